"""A matrix product for a few tokens at a time, in the quicker of two ways on the machine at hand.

Notebook: 12_fast_generation.
"""

import time
from functools import lru_cache, reduce

import torch
from torch import nn
from torch.nn import functional as F

FEW_ROWS = 64  # up to here the time goes into reading the weights, beyond into the products
MOST_SLICES = 64
_quicker = {}  # kind of product: the way that was quicker when both were tried


class Linear(nn.Linear):
    """`nn.Linear`, with a quicker product for few rows where there is one.

    For a few rows, as when a GPT writes token by token, PyTorch's product may leave processors waiting, and slices do
    not; which way is quicker depends on the machine and on the sizes, so both are tried once for each kind of product.
    The results agree up to rounding. Where gradients are recorded, with other number types, on other devices and in
    torch.compile, PyTorch's product stays.

    Shapes: (..., in_features) -> (..., out_features).
    Notebook: 12_fast_generation.
    """

    def forward(self, x):
        return linear(x, self.weight, self.bias)


def linear(x, weight, bias):
    """The product of `Linear`, for weights (out_features, in_features) and a bias (out_features) or None."""
    num_rows = x.numel() // weight.shape[1]
    ours = x.is_cpu and x.dtype == torch.float32 and 1 <= num_rows <= FEW_ROWS
    if not ours or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    # Once for 1 row, once for 2 and 3, once for 4 to 7 and so on: prompts have many lengths.
    kind = (num_rows.bit_length(), *weight.shape, weight.is_contiguous(), torch.get_num_threads())
    if kind not in _quicker:
        _quicker[kind] = quicker_of((F.linear, sliced), x, weight, bias)
    return _quicker[kind](x, weight, bias)


@torch.no_grad()
def quicker_of(ways, x, weight, bias, rounds=3):
    """Return the way to multiply that had the shortest time, tried in turn so that a noisy moment hits all."""
    shortest = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for way in ways:
            start = time.perf_counter()
            way(x, weight, bias)
            shortest[way] = min(shortest[way], time.perf_counter() - start)
    return min(shortest, key=shortest.get)


def sliced(x, weight, bias):
    """`F.linear` with the weights cut into slices, at least one for each processor, that all read at once."""
    out_features, in_features = weight.shape
    rows = x.reshape(-1, in_features)
    num_threads = torch.get_num_threads()
    if weight.is_contiguous():  # stored output by output: each slice makes some of the outputs
        num_slices = _num_slices(out_features, num_threads)
        columns = rows.t().expand(num_slices, -1, -1)
        y = torch.bmm(weight.view(num_slices, -1, in_features), columns)  # (slices, out / slices, rows)
        y = y.flatten(0, 1).t()
        y = y if bias is None else y + bias
    else:  # stored input by input, as OpenAI does: each slice sums over some of the inputs
        num_slices = _num_slices(in_features, num_threads)
        parts = rows.reshape(len(rows), num_slices, -1).transpose(0, 1)
        sums = torch.bmm(parts, weight.t().view(num_slices, -1, out_features)).unbind()  # each (rows, out)
        y = reduce(torch.add, sums if bias is None else (bias, *sums))
    return y.reshape(*x.shape[:-1], out_features).contiguous()  # as PyTorch's: who has it may `view` it


@lru_cache
def _num_slices(size, num_threads):
    """At least one slice for each processor, all of one size; 1 where no number up to MOST_SLICES fits."""
    return next((number for number in range(num_threads, MOST_SLICES + 1) if size % number == 0), 1)

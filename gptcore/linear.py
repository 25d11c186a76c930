"""A matrix product that reads its weights as fast as the memory gives them, also for one token at a time.

Notebook: 12_fast_generation.
"""

from functools import lru_cache, reduce

import torch
from torch import nn
from torch.nn import functional as F

FEW_ROWS = 32  # up to here the time goes into reading the weights, beyond into the products (measured: notebook 12)
MOST_SLICES = 64


class Linear(nn.Linear):
    """`nn.Linear`, with the weights cut into slices that all processors read at once when the rows are few.

    PyTorch's product for one row or a few, as when a GPT writes token by token, leaves processors waiting;
    its product for a batch of matrices gives each a slice of its own. The result is the same. Other number
    types, other devices and torch.compile have products of their own for this, and keep them.

    Shapes: (..., in_features) -> (..., out_features).
    Notebook: 12_fast_generation.
    """

    def forward(self, x):
        return linear(x, self.weight, self.bias)


def linear(x, weight, bias):
    """The product of `Linear`, for weights (out_features, in_features) and a bias (out_features) or None."""
    out_features, in_features = weight.shape
    num_rows = x.numel() // in_features
    if num_rows > FEW_ROWS or not x.is_cpu or x.dtype != torch.float32 or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    num_threads = torch.get_num_threads()
    if weight.is_contiguous():  # stored output by output: each slice makes some of the outputs
        num_slices = _num_slices(out_features, num_threads)
        columns = x.reshape(num_rows, in_features).t().expand(num_slices, -1, -1)
        y = torch.bmm(weight.view(num_slices, -1, in_features), columns)  # (slices, out / slices, rows)
        y = y.flatten(0, 1).t()
        y = y if bias is None else y + bias
    else:  # stored input by input, as OpenAI does: each slice sums over some of the inputs
        num_slices = _num_slices(in_features, num_threads)
        rows = x.reshape(num_rows, num_slices, -1).transpose(0, 1)
        sums = torch.bmm(rows, weight.t().view(num_slices, -1, out_features)).unbind()  # each (rows, out)
        y = reduce(torch.add, sums if bias is None else (bias, *sums))
    return y.reshape(*x.shape[:-1], out_features)


@lru_cache
def _num_slices(size, num_threads):
    """At least one slice for each processor, all of one size; 1 where no number up to MOST_SLICES fits."""
    return next((number for number in range(num_threads, MOST_SLICES + 1) if size % number == 0), 1)

"""A matrix product that reads its weights as fast as the memory gives them, also for one token at a time.

Notebook: 12_fast_generation.
"""

import torch
from torch import nn
from torch.nn import functional as F

FEW_ROWS = 32  # up to here the time goes into reading the weights, beyond into the products (measured: notebook 12)
MOST_SLICES = 64


class Linear(nn.Linear):
    """`nn.Linear`, with the weights cut into slices that all processors read at once when the rows are few.

    PyTorch's product for one row or a few, as when a GPT writes token by token, leaves processors waiting;
    its product for a batch of matrices gives each a slice of its own. The result is the same. Other number
    types and other devices have products of their own for this, and keep them.

    Shapes: (..., in_features) -> (..., out_features).
    Notebook: 12_fast_generation.
    """

    def __init__(self, in_features, out_features, bias=True):
        super().__init__(in_features, out_features, bias)
        self.in_slices, self.out_slices = _num_slices(in_features), _num_slices(out_features)

    def forward(self, x):
        weight, bias = self.weight, self.bias
        num_rows = x.numel() // self.in_features
        if num_rows > FEW_ROWS or not x.is_cpu or x.dtype != torch.float32:
            return F.linear(x, weight, bias)
        if weight.is_contiguous():  # stored output by output: each slice makes some of the outputs
            rows = x.reshape(num_rows, -1).expand(self.out_slices, -1, -1)
            slices = weight.view(self.out_slices, -1, self.in_features).mT  # (slices, in, out / slices)
            y = torch.bmm(rows, slices).transpose(0, 1)
        else:  # stored input by input, as OpenAI does: each slice sums over some of the inputs
            rows = x.reshape(num_rows, self.in_slices, -1).transpose(0, 1)
            slices = weight.t().view(self.in_slices, -1, self.out_features)  # (slices, in / slices, out)
            y = torch.bmm(rows, slices).sum(0)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if bias is None else y + bias


def _num_slices(size):
    """At least one slice for each processor, all of one size; 1 where no number up to MOST_SLICES fits."""
    return next((number for number in range(torch.get_num_threads(), MOST_SLICES + 1) if size % number == 0), 1)

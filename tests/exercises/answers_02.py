"""Wrong answers to the exercises of notebook 02 that no mistake is declared for, and words of what is said of each."""

import torch


def loses_the_axis(x, scale, shift, eps):
    return scale * (x - x.mean(-1)) / torch.sqrt(x.var(-1) + eps) + shift


def in_place(x, scale, shift, eps):
    x -= x.mean(-1, keepdim=True)
    return x


WRONG = {
    "02.1": [
        (loses_the_axis, "stopped with RuntimeError"),
        (in_place, "changes the tensor"),
        (torch.ones(2, 3), "Expected a function"),
    ],
    "02.3": [(768, "too large"), (10, "too small")],
    "02.5": [(2, "tuple of 2")],
}

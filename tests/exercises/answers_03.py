"""Wrong answers to the exercises of notebook 03 that no mistake is declared for, and words of what is said of each."""

import math

import torch

from gptcore.exercises.notebook_03 import swiglu, tanh_form


def in_place(x):
    x *= tanh_form(x)
    return x


WRONG = {
    "03.1": [
        (lambda x: tanh_form(x, cubic=0.05), "it gives"),
        (in_place, "changes the tensor"),
        (lambda x: x * math.tanh(x), "stopped with"),
        (torch.tensor(0.5), "Expected a function"),
    ],
    "03.2": [("C", "only rises"), ("(d)", "ReLU's slope"), ("GELU", "none of them"), (2, "letters")],
    "03.3": [
        (1.278, "left of 0"),
        (27_215, "looks like the index"),
        (-1.3, "too small"),
        (-1.25, "too large"),
        (torch.tensor([-1.278, -0.278]), "Expected one number"),
    ],
    "03.4": [(lambda x: (x <= 0).all(dim=0), "Expected one number"), (3, "Expected a function")],
    "03.5": [
        (lambda *inputs: swiglu(*inputs)[0], "shape (3, 4)"),
        (torch.zeros(2, 3, 4), "Expected a function"),
    ],
}

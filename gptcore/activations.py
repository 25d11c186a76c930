"""Activation functions that are drawn beside each other, and their slopes. GPT-2's own is `GELU` in model.py.

Notebook: 03_activations.
"""

import torch
from torch.nn import functional as F

ACTIVATIONS = {  # of x, and of the value that a gate multiplies
    "GELU, tanh form (GPT-2)": lambda x, value: F.gelu(x, approximate="tanh"),
    "GELU, exact": lambda x, value: F.gelu(x),
    "ReLU": lambda x, value: F.relu(x),
    "SiLU": lambda x, value: F.silu(x),
    "SwiGLU gate": lambda x, value: F.silu(x) * value,
}


def with_slope(activation, x, value=1.0):
    """Outputs and slopes of one of `ACTIVATIONS` at each x: (number of xs) -> (number of xs), (number of xs)."""
    x = x.clone().requires_grad_()
    y = activation(x, value)
    (slope,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), slope

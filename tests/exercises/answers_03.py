"""Typical wrong answers to the exercises of notebook 03, and words of the message that each gets."""

import math

import torch
import torch.nn.functional as F

ROOT = math.sqrt(2 / math.pi)


def in_place(x):
    x *= 0.5 * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3)))
    return x


def one_number_at_a_time(x):
    return 0.5 * x * (1 + math.tanh(ROOT * (x + 0.044715 * x**3)))


def gated(x, gate, value, back, bend=F.silu):
    return (bend(x @ gate.T) * (x @ value.T)) @ back.T


WRONG = {
    "03.1": [
        (lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), "That is the exact form"),
        (lambda x: x.clamp(min=0), "That is ReLU"),
        (lambda x: x * torch.sigmoid(1.702 * x), "sigmoid form"),
        (lambda x: x * torch.sigmoid(x), "That is Swish"),
        (lambda x: 0.5 * x * (1 + torch.tanh(ROOT * x)), "cubic term is missing"),
        (lambda x: 0.5 * x * (1 + torch.tanh(ROOT * (x + x**3))), "x**3 whole"),
        (lambda x: 0.5 * x * (1 + torch.tanh(ROOT * (x + 0.044715 * x**2))), "the cube"),
        (lambda x: x * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3))), "0.5 in front is missing"),
        (lambda x: 0.5 * x * torch.tanh(ROOT * (x + 0.044715 * x**3)), "The 1 is missing"),
        (lambda x: 0.5 * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3))), "share that is kept"),
        (lambda x: 0.5 * x * (1 + torch.tanh(2 / math.pi * (x + 0.044715 * x**3))), "has its root"),
        (lambda x: 0.5 * x * (1 + torch.tanh(x + 0.044715 * x**3)), "in front of the parentheses is missing"),
        (lambda x: 0.5 * x * (1 + torch.tanh(ROOT * x + 0.044715 * x**3)), "root multiplies x only"),
        (lambda x: 0.5 * x * (1 + torch.tanh(ROOT * (x + 0.0447 * x**3))), "multiplied by 0.0447;"),
        (lambda x: 0.5 * x * (1 + torch.tanh(ROOT * (x + 0.05 * x**3))), "it gives"),
        (in_place, "changes the tensor"),
        (one_number_at_a_time, "stopped with"),
        (torch.tensor(0.5), "Expected a function"),
    ],
    "03.2": [
        ("a", "Very near"),
        ("C", "only rises"),
        ("(d)", "ReLU's slope"),
        ("GELU", "none of them"),
        (2, "letters"),
    ],
    "03.3": [
        (-0.2785, "how deep"),
        (1.278, "left of 0"),
        (-0.752, "GELU's lowest"),
        (27_215, "looks like the index"),
        (-2.3994, "slope is smallest"),
        (-1.28, "must be finer"),
        (-1.3, "too small"),
        (-1.25, "too large"),
        (torch.tensor([-1.278, -0.278]), "Expected one number"),
    ],
    "03.4": [
        (lambda x: (x <= 0).any(dim=1).sum().item(), "Nothing is mended"),
        (lambda x: (x <= 0).all(dim=1).sum().item(), "inputs that reach no unit"),
        (lambda x: (x <= 0).any(dim=0).sum().item(), "is not dead"),
        (lambda x: (x < 0).all(dim=0).sum().item(), "keep the <="),
        (lambda x: (x > 0).any(dim=0).sum().item(), "that are alive"),
        (lambda x: (x <= 0).all(dim=0).float().mean().item(), "share of dead units"),
        (lambda x: (x <= 0).sum().item(), "every single number"),
        (lambda x: (x.mean(dim=0) <= 0).sum(), "negative on average"),
        (lambda x: (x <= 0).all(dim=0), "Expected one number"),
        (3, "Expected a function"),
    ],
    "03.5": [
        (lambda x, gate, value, back: (F.silu(x @ gate) * (x @ value)) @ back, "miss the .T"),
        (lambda x, gate, value, back: gated(x, value, gate, back), "swapped"),
        (lambda *inputs: gated(*inputs, bend=torch.sigmoid), "plain sigmoid"),
        (lambda *inputs: gated(*inputs, bend=F.gelu), "GEGLU"),
        (lambda *inputs: gated(*inputs, bend=F.relu), "ReGLU"),
        (lambda *inputs: gated(*inputs, bend=torch.clone), "no bend yet"),
        (lambda x, gate, value, back: (F.silu(x @ gate.T) + x @ value.T) @ back.T, "A gate multiplies"),
        (lambda x, gate, value, back: F.silu((x @ gate.T) * (x @ value.T)) @ back.T, "bend the product"),
        (lambda x, gate, value, back: (F.silu(x @ gate.T) * F.silu(x @ value.T)) @ back.T, "bend the value, too"),
        (lambda x, gate, value, back: F.silu(x @ gate.T) @ back.T, "value is missing"),
        (lambda x, gate, value, back: F.silu(x @ gate.T) * (x @ value.T), "way back is missing"),
        (lambda x, gate, value, back: gated(x, gate, value, back)[0], "shape (3, 4)"),
        (torch.zeros(2, 3, 4), "Expected a function"),
    ],
}

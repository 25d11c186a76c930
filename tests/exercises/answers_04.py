"""Wrong answers to the exercises of notebook 04 that no mistake is declared for, and words of what is said of each."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from gptcore.exercises.notebook_04 import built, mixes


def not_turned(x, W_in, b_in, W_out, b_out):
    return F.gelu(x @ W_in + b_in) @ W_out + b_out


def bends_in_place(x, W_in, b_in, W_out, b_out):
    return x.relu_() @ W_in.T @ W_out.T


def without_bias(emb_dim):
    return nn.Sequential(nn.Linear(emb_dim, 4 * emb_dim, bias=False), *built(emb_dim)[1:])


def in_order(order_of):
    """Return a test that puts the tokens in the order that `order_of` makes of their number."""

    def mixes_by_order(layer, x):
        order = order_of(x.shape[1])
        return not torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-5)

    return mixes_by_order


def reversed_order(n):
    return torch.arange(n).flip(0)


def random_order(n):  # the last token comes first: so never the old order
    return torch.cat([torch.tensor([n - 1]), torch.randperm(n - 1)])


def first_number_only(vector):
    return torch.cat([vector[:, :1] + 1, vector[:, 1:]], dim=1)


def change_only(token):
    return lambda layer, x: mixes(layer, x, [token % x.shape[1]])


def mean_of_the_differences(layer, x):
    for token in range(x.shape[1]):
        edited = x.clone()
        edited[:, token] = torch.randn(x.shape[-1])
        moved = (layer(edited) - layer(x)).mean(dim=(0, 2)).abs() > 1e-5
        moved[token] = False
        if moved.any():
            return True
    return False


def keeps_one_without_tolerance(layer, x):
    for token in range(x.shape[1]):
        edited = torch.zeros_like(x)
        edited[:, token] = x[:, token]
        if (layer(edited) != layer(x))[:, token].any():
            return True
    return False


def at_the_ends(layer, x):
    last = x.shape[1] - 1
    return mixes(layer, x, {0, min(1, last), max(0, last - 1), last})


def looks_at_the_ends(layer, x):
    for token in range(x.shape[1]):
        edited = x.clone()
        edited[:, token] = torch.randn(x.shape[-1])
        moved = (layer(edited) - layer(x)).abs().amax(dim=(0, 2)) > 1e-5
        moved[token] = False
        if moved[[0, -1]].any():
            return True
    return False


class Silent(nn.Linear):
    def forward(self, x):
        super().forward(x)


def changes_the_input(layer, x):
    before = layer(x)
    x[:, 0] = 0
    return not torch.equal(layer(x)[:, 1:], before[:, 1:])


WRONG = {
    "04.1": [(8_000_000, "too small"), ("8393728", "quotation marks")],
    "04.2": [
        (not_turned, "stopped with RuntimeError"),
        (lambda x, W_in, b_in, W_out, b_out: F.gelu(x @ W_in.T + b_in), "expected is (3, 4)"),
        (bends_in_place, "changes the tensor"),
    ],
    "04.3": [(lambda token, W_in, b_in, W_out: W_out.norm(dim=0), "Expected one number")],
    "04.4": [
        (partial(built, hidden_dim=4), "has 4 units; expected are 4 times as many"),
        (partial(built, hidden_dim=3072), "has 3072 units"),
        (partial(built, end=lambda: nn.Softmax(dim=1)), "not that of widen"),
        (without_bias, "keep their biases"),
        (lambda emb_dim: nn.Linear(emb_dim, emb_dim), "two nn.Linear layers"),
        (lambda emb_dim: built(emb_dim)[:2], "shape of the input"),
        (lambda emb_dim: list(built(emb_dim)), "not list"),
        (built(8), "function that builds it"),
        (lambda emb_dim: built(emb_dim, hidden_dim=4.0 * emb_dim), "stopped with TypeError"),
        (
            lambda emb_dim: nn.Sequential(nn.Linear(emb_dim, 24), nn.Linear(6, emb_dim)),
            "layer for emb_dim 6 does not run",
        ),
        (lambda emb_dim: Silent(emb_dim, emb_dim), "The layer for emb_dim 6 returns nothing"),
    ],
    "04.5": [(11_264, "too large"), (10_922.67, "the equal count exactly")],
    "04.6": [
        (in_order(reversed_order), "in a new order"),
        (in_order(random_order), "in a new order"),
        (partial(mixes, change=first_number_only), "adds to each token's last number that of the one before"),
        (change_only(2), "first token takes from another"),
        (change_only(1), "last token takes from another"),
        (at_the_ends, "takes from another, one in the middle"),
        (looks_at_the_ends, "only a token in the middle takes from another"),
        (lambda layer, x: not torch.equal(layer(x), layer(x.roll(1, dims=1)).roll(-1, dims=1)), "it says"),
        (lambda layer, x: (layer(x) != x).any(dim=-1), "Expected is True or False"),
        (changes_the_input, "changes the tensor"),
        (mean_of_the_differences, "Your test is blind for attention behind a layer norm"),
        (keeps_one_without_tolerance, "You take rounding for mixing"),
        (partial(mixes, tolerance=0.1), "a layer that adds a little of the one before"),
    ],
}

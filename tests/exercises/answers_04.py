"""Typical wrong answers to the exercises of notebook 04, and words of the message that each gets."""

import torch
import torch.nn.functional as F
from torch import nn

from gptcore import GELU


def gelu(x):
    return F.gelu(x, approximate="tanh")


def half(bend, after=None):
    """Return a feed-forward layer that bends with `bend`, and its output with `after`."""

    def layer(x, W_in, b_in, W_out, b_out):
        out = bend(x @ W_in.T + b_in) @ W_out.T + b_out
        return after(out) if after else out

    return layer


def not_turned(x, W_in, b_in, W_out, b_out):
    return gelu(x @ W_in + b_in) @ W_out + b_out


def bias_after_the_bend(x, W_in, b_in, W_out, b_out):
    return (gelu(x @ W_in.T) + b_in) @ W_out.T + b_out


def bends_in_place(x, W_in, b_in, W_out, b_out):
    return x.relu_() @ W_in.T @ W_out.T


def written(token, W_in, b_in, W_out):
    return W_out.T * gelu(W_in @ token + b_in).unsqueeze(1)


def unit(choose):
    return lambda token, W_in, b_in, W_out: choose(token, W_in, b_in, W_out).argmax().item()


def strengths(token, W_in, b_in, W_out):
    return gelu(W_in @ token + b_in)


def built(hidden_dim, *bends):
    """Return a builder of two layers with a bend after each, or none."""

    def layer(emb_dim):
        linears = [nn.Linear(emb_dim, hidden_dim(emb_dim)), nn.Linear(hidden_dim(emb_dim), emb_dim)]
        return nn.Sequential(linears[0], bends[0], linears[1], bends[1])

    return layer


def without_bias(emb_dim):
    return nn.Sequential(nn.Linear(emb_dim, 4 * emb_dim, bias=False), GELU(), nn.Linear(4 * emb_dim, emb_dim))


def four(emb_dim):
    return 4


def four_times(emb_dim):
    return 4 * emb_dim


def new_order(layer, x):
    order = torch.randperm(x.shape[1])
    while x.shape[1] > 1 and torch.equal(order, torch.arange(x.shape[1])):
        order = torch.randperm(x.shape[1])
    return not torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-5)


def reversed_order(layer, x):
    return not torch.allclose(layer(x.flip(1)), layer(x).flip(1), atol=1e-5)


def changed(layer, x, token):
    edited = x.clone()
    edited[:, token] += 1
    return (layer(edited) - layer(x)).abs().amax(dim=(0, 2)) > 1e-5


def change_first(layer, x):
    return bool(changed(layer, x, 0)[1:].any())


def change_last(layer, x):
    return bool(changed(layer, x, -1)[:-1].any())


def change_only(token):
    def mixes(layer, x):
        place = token % x.shape[1]
        moved = changed(layer, x, place)
        moved[place] = False
        return bool(moved.any())

    return mixes


def counts_itself(layer, x):
    return bool(changed(layer, x, 0).any())


def change_each(layer, x):
    places = range(x.shape[1])
    return any(bool(changed(layer, x, token)[[p for p in places if p != token]].any()) for token in places)


def alone(layer, x):
    each = [layer(x[:, token : token + 1]) for token in range(x.shape[1])]
    return not torch.allclose(torch.cat(each, dim=1), layer(x), atol=1e-5)


def changes_the_input(layer, x):
    before = layer(x)
    x[:, 0] = 0
    return not torch.equal(layer(x)[:, 1:], before[:, 1:])


WRONG = {
    "04.1": [
        (8_388_608, "Each layer has a bias, too"),
        (8_392_704, "bias of the second layer is missing"),
        (8_389_632, "bias of the first layer is missing"),
        (8_390_656, "4 * 1024 outputs"),
        (4_722_432, "emb_dim 768"),
        (201_449_472, "all 24 blocks"),
        (8_000_000, "too small"),
        ("8393728", "quotation marks"),
    ],
    "04.2": [
        (half(lambda x: x), "no bend"),
        (half(F.relu), "bend with ReLU"),
        (half(F.gelu), "exact GELU"),
        (half(gelu, after=gelu), "a second time"),
        (half(lambda x: x, after=gelu), "bend the output"),
        (lambda x, W_in, b_in, W_out, b_out: half(lambda x: x)(gelu(x), W_in, b_in, W_out, b_out), "bend the input"),
        (lambda x, W_in, b_in, W_out, b_out: gelu(x @ W_in.T) @ W_out.T + b_out, "b_in is missing"),
        (lambda x, W_in, b_in, W_out, b_out: gelu(x @ W_in.T + b_in) @ W_out.T, "b_out is missing"),
        (lambda x, W_in, b_in, W_out, b_out: gelu(x @ W_in.T) @ W_out.T, "Both biases"),
        (bias_after_the_bend, "after the bend"),
        (lambda x, *rest: x + half(gelu)(x, *rest), "shortcut of notebook 05"),
        (not_turned, "stopped with RuntimeError"),
        (lambda x, W_in, b_in, W_out, b_out: gelu(x @ W_in.T + b_in), "expected is (3, 4)"),
        (bends_in_place, "changes the tensor"),
    ],
    "04.3": [
        (unit(strengths), "the largest strength"),
        (unit(lambda *case: strengths(*case).abs()), "the largest strength"),
        (unit(lambda token, W_in, b_in, W_out: W_in @ token + b_in), "before the bend"),
        (unit(lambda token, W_in, b_in, W_out: W_out.norm(dim=0)), "longest column"),
        (unit(lambda t, W_in, b_in, W_out: (W_in @ t + b_in).abs() * W_out.norm(dim=0)), "leave the bend out"),
        (unit(lambda t, W_in, b_in, W_out: (W_in @ t + b_in).relu() * W_out.norm(dim=0)), "bend with ReLU"),
        (unit(lambda *case: strengths(*case) * case[-1].norm(dim=0)), "negative strength"),
        (unit(lambda t, W_in, b_in, W_out: written(t, W_in, 0, W_out).norm(dim=1)), "b_in is missing"),
        (unit(lambda *case: written(*case).abs().sum(dim=1)), "absolute values"),
        (unit(lambda *case: written(*case).sum(dim=1)), "cancel"),
        (unit(lambda *case: written(*case).norm(dim=0)), "wrong axis"),
        (lambda *case: written(*case).norm(dim=1), "Expected one number"),
        (lambda *case: written(*case).norm(dim=1).max(), "Which unit writes it"),
        (unit(lambda t, W_in, b_in, W_out: F.gelu(W_in @ t + b_in).abs() * W_out.norm(dim=0)), "exact GELU"),
    ],
    "04.4": [
        (built(four, GELU(), GELU()), "Nothing is mended"),
        (built(four, GELU(), nn.Identity()), "has 4 units; expected are 4 times as many"),
        (built(four_times, GELU(), GELU()), "never falls below -0.17"),
        (built(four_times, nn.Identity(), GELU()), "wrong GELU"),
        (built(four_times, nn.Identity(), nn.Identity()), "Without any bend"),
        (built(four_times, nn.GELU(), nn.Identity()), "exact GELU"),
        (built(four_times, nn.ReLU(), nn.Identity()), "bend with ReLU"),
        (built(lambda emb_dim: 3072, GELU(), nn.Identity()), "has 3072 units"),
        (built(four_times, GELU(), nn.Softmax(dim=1)), "not that of widen"),
        (without_bias, "keep their biases"),
        (lambda emb_dim: nn.Linear(emb_dim, emb_dim), "two nn.Linear layers"),
        (lambda emb_dim: nn.Sequential(nn.Linear(emb_dim, 4 * emb_dim), GELU()), "shape of the input"),
        (lambda emb_dim: [nn.Linear(emb_dim, 4 * emb_dim), GELU(), nn.Linear(4 * emb_dim, emb_dim)], "not list"),
        (built(four_times, GELU(), nn.Identity())(8), "function that builds it"),
        (built(lambda emb_dim: 4.0 * emb_dim, GELU(), GELU()), "stopped with TypeError"),
    ],
    "04.5": [
        (10_923, "next multiple of 256"),
        (10_752, "rounded down"),
        (16_384, "plain layer's width"),
        (8_192, "SwiGLU has three"),
        (5_632, "You counted one"),
        (11_264, "too large"),
    ],
    "04.6": [
        (reversed_order, "in a new order"),
        (new_order, "in a new order"),
        (lambda layer, x: not change_each(layer, x), "True and False are exchanged"),
        (alone, "each token through the layer alone"),
        (change_first, "first token only"),
        (change_last, "last token only"),
        (change_only(2), "first token takes from another"),
        (change_only(1), "last token takes from another"),
        (counts_itself, "count the output of the token"),
        (lambda layer, x: not torch.equal(layer(x), layer(x.roll(1, dims=1)).roll(-1, dims=1)), "it says"),
        (lambda layer, x: True, "True for every layer"),
        (lambda layer, x: False, "False for every layer"),
        (lambda layer, x: changed(layer, x, 0), "Expected is True or False"),
        (changes_the_input, "changes the tensor"),
    ],
}

"""Typical wrong answers to the exercises of notebook 02, and words of the message that each gets."""

import torch


def norm(x, dim=-1, eps=1e-5, unbiased=False):
    return (x - x.mean(dim, keepdim=True)) / torch.sqrt(x.var(dim, keepdim=True, unbiased=unbiased) + eps)


def eps_outside(x, scale, shift, eps):
    return scale * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, unbiased=False) + eps) + shift


def std_and_eps(x, scale, shift, eps):
    return scale * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + shift


def squares_minus_square(x, scale, shift, eps):
    mean = x.mean(-1, keepdim=True)
    return scale * (x - mean) / ((x**2).mean(-1, keepdim=True) - mean**2 + eps).sqrt() + shift


def no_root(x, scale, shift, eps):
    return scale * (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + eps) + shift


def whole_tensor(x, scale, shift, eps):
    return scale * (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + eps) + shift


def loses_the_axis(x, scale, shift, eps):
    return scale * (x - x.mean(-1)) / torch.sqrt(x.var(-1) + eps) + shift


def in_place(x, scale, shift, eps):
    x -= x.mean(-1, keepdim=True)
    return x


def nothing_mended(x, eps):
    return (x - x.mean(0, keepdim=True)) / (x.std(0, keepdim=True, unbiased=False) + eps)


WRONG = {
    "02.1": [
        (lambda x, scale, shift, eps: scale * norm(x, eps=eps, unbiased=True) + shift, "divides by n - 1"),
        (eps_outside, "Your eps stands outside the root. GPT-2"),
        (std_and_eps, "Two things"),
        (squares_minus_square, "Right on paper"),
        (no_root, "by the variance itself"),
        (lambda x, scale, shift, eps: scale * norm(x) + shift, "always 0.00001"),
        (lambda x, scale, shift, eps: scale * norm(x, eps=0) + shift, "eps is not used"),
        (lambda x, scale, shift, eps: scale * norm(x, 0, eps) + shift, "first axis"),
        (whole_tensor, "of the whole tensor"),
        (lambda x, scale, shift, eps: norm(x, eps=eps), "Scale and shift are still missing"),
        (lambda x, scale, shift, eps: scale * norm(x, eps=eps), "The shift is still missing"),
        (lambda x, scale, shift, eps: norm(x, eps=eps) + shift, "The scale is still missing"),
        (lambda x, scale, shift, eps: scale * (norm(x, eps=eps) + shift), "shift first"),
        (loses_the_axis, "stopped with RuntimeError"),
        (in_place, "changes the tensor"),
        (norm(torch.ones(2, 3)), "Expected a function"),
    ],
    "02.2": [(36_864, "after the last block"), (19_200, "two: scale and shift"), (25, "How many parameters")],
    "02.3": [(500, "Very near"), (1001, "looked at the variance"), (768, "too large"), (10, "too small")],
    "02.4": [
        (nothing_mended, "Nothing is mended"),
        (lambda x, eps: (x - x.mean(-1, True)) / (x.std(-1, False, keepdim=True) + eps), "where does eps stand"),
        (lambda x, eps: norm(x, 0, eps), "look at dim"),
        (lambda x, eps: norm(x, 1, eps), "eps is in its place now. But dim=1"),
        (lambda x, eps: (x - x.mean(1, True)) / (x.std(1, False, keepdim=True) + eps), "And the other fault"),
        (lambda x, eps: norm(x, -1, 0), "eps is not used any more"),
        (lambda x, eps: norm(x, -1, eps, unbiased=True), "n - 1"),
    ],
    "02.5": [
        ((3, 2), "other way round"),
        ((4, 3), "variance to 16"),
        ((2, 1.5), "not scaled"),
        ((-2, 3), "flips the row"),
        (2, "tuple of 2"),
    ],
    "02.6": [
        (lambda x, scale, eps: scale * norm(x, eps=eps), "does not subtract the mean"),
        (
            lambda x, scale, eps: scale * x / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + eps),
            "averages the sq",
        ),
        (lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) + eps), "sum the squares"),
        (lambda x, scale, eps: scale * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps), "outside the root"),
        (lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).mean(-1, keepdim=True)), "eps is not used"),
        (lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).mean(0, keepdim=True) + eps), "first axis"),
        (lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).mean() + eps), "of the whole tensor"),
        (lambda x, scale, eps: x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps), "scale is still missing"),
    ],
}

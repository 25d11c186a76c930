"""Checks and hints for notebook 02, layer norm."""

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import check_function, check_number, check_tuple, devices, exercise


def layer_norm(x, scale, shift, eps):
    return F.layer_norm(x, x.shape[-1:], scale, shift, eps)


def normalised(x, dim, eps, unbiased=False):
    variance = x.var(dim=dim, keepdim=True, unbiased=unbiased)
    return (x - x.mean(dim=dim, keepdim=True)) / torch.sqrt(variance + eps)


def eps_outside(x, eps, dim=-1, unbiased=False):
    return (x - x.mean(dim=dim, keepdim=True)) / (x.std(dim=dim, keepdim=True, unbiased=unbiased) + eps)


def no_root(x, eps):
    return (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True, unbiased=False) + eps)


def squares_minus_square(x, eps):
    variance = x.pow(2).mean(dim=-1, keepdim=True) - x.mean(dim=-1, keepdim=True).pow(2)
    return (x - x.mean(dim=-1, keepdim=True)) / torch.sqrt(variance + eps)


def rows(eps=(1e-5, 0.1)):
    """Return inputs that tell right from nearly right: 1 to 3 axes, tiny, far and very far from 0, and a large eps."""
    generator = torch.Generator().manual_seed(2)
    shapes = [(5,), (3, 4), (2, 3, 6)]
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    inputs += [inputs[1] * 0.002, inputs[2] + 20]
    # Very far from 0: float32 holds these numbers and their means exactly, but not their squares.
    inputs += [10_000 + torch.tensor([[-3.0, -1.0, 1.0, 3.0], [6.0, 2.0, -2.0, -6.0]])]
    return [(x.to(device), value) for x in inputs for value in eps for device in devices()]


@exercise(
    "02.1",
    hints=[
        "Five steps: the mean of the last axis, its variance, normalise (subtract and divide), scale, shift.",
        "`keepdim=True` keeps the averaged axis with length 1, so that mean and variance fit beside `x`.",
        "The variance divides by n: `x.var(dim=-1, keepdim=True, unbiased=False)`.",
        "`scale * (x - mean) / torch.sqrt(variance + eps) + shift`",
    ],
)
def my_layer_norm(answer):
    generator = torch.Generator().manual_seed(1)
    cases = []
    for x, eps in rows():
        scale, shift = torch.randn(2, x.shape[-1], generator=generator).to(x.device)
        cases.append((x, scale, shift, eps))
    mistakes = [
        (
            lambda x, scale, shift, eps: scale * normalised(x, -1, eps, unbiased=True) + shift,
            "Your variance divides by n - 1; GPT-2 divides by n: unbiased=False.",
        ),
        (
            lambda x, scale, shift, eps: scale * eps_outside(x, eps) + shift,
            "Your eps stands outside the root. GPT-2 adds it to the variance, before the root is taken.",
        ),
        (
            lambda x, scale, shift, eps: scale * eps_outside(x, eps, unbiased=True) + shift,
            "Two things: your eps stands outside the root, and std divides by n - 1 unless you say unbiased=False.",
        ),
        (
            lambda x, scale, shift, eps: scale * squares_minus_square(x, eps) + shift,
            "Right on paper, but far from 0 it subtracts two huge, almost equal numbers. "
            "Subtract the mean first, then square.",
        ),
        (
            lambda x, scale, shift, eps: scale * no_root(x, eps) + shift,
            "You divide by the variance itself. Layer norm divides by its root.",
        ),
        (
            lambda x, scale, shift, eps: scale * normalised(x, -1, 1e-5) + shift,
            "Your eps is always 0.00001. Use the one that the function is given.",
        ),
        (
            lambda x, scale, shift, eps: scale * normalised(x, -1, 0.0) + shift,
            "Your eps is not used. Where the variance is tiny, it decides.",
        ),
        (
            lambda x, scale, shift, eps: scale * normalised(x, 0, eps) + shift,
            "You average over the first axis, so rows get mixed. Layer norm looks along the last axis: dim=-1.",
        ),
        (
            lambda x, scale, shift, eps: scale * (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + eps) + shift,
            "You take one mean and one variance of the whole tensor. Each row has its own: dim=-1, keepdim=True.",
        ),
        (
            lambda x, scale, shift, eps: normalised(x, -1, eps),
            "Mean and variance are right. Scale and shift are still missing.",
        ),
        (
            lambda x, scale, shift, eps: scale * normalised(x, -1, eps),
            "All is right up to the scale. The shift is still missing.",
        ),
        (
            lambda x, scale, shift, eps: normalised(x, -1, eps) + shift,
            "Mean, variance and shift are right. The scale is still missing.",
        ),
        (
            lambda x, scale, shift, eps: scale * (normalised(x, -1, eps) + shift),
            "You shift first and scale then, so the shift is scaled too. The order is: scale, then shift.",
        ),
    ]
    check_function(answer, cases, layer_norm, mistakes)
    return "It agrees with PyTorch's layer norm, on tiny rows and rows far from 0, too."


@exercise(
    "02.2",
    hints=[
        "How many layer norms stand in one block? Notebook 00's map shows them.",
        "There is one more after the last block.",
        "Each has two vectors of emb_dim = 768 parameters: scale and shift.",
    ],
)
def parameters_of_all_norms(answer):
    mistakes = {
        36_864: "That is the blocks alone. There is one more layer norm, after the last block.",
        19_200: "That is one vector for each layer norm. Each has two: scale and shift.",
        18_432: "One vector each, in the blocks alone. Each norm has scale and shift, and one follows the blocks.",
        25: "That many layer norms there are. How many parameters has each?",
        19_968: "Two layer norms in each of the 12 blocks: one before attention, one before feed-forward.",
    }
    check_number(answer, 38_400, mistakes)
    return "25 layer norms with 2 x 768 parameters each: 0.03 percent of the published 124 million."


@exercise(
    "02.3",
    hints=[
        "The variance grows by the factor n / (n - 1). What happens to its root?",
        "The root of n / (n - 1) is about 1 + 1 / (2n). When is 1 / (2n) less than 0.001?",
        "Around 500 it is decided: compute (n / (n - 1)) ** 0.5 - 1 for 499, 500, 501 and 502.",
    ],
)
def smallest_row(answer):
    mistakes = {
        500: "Very near: at 500 it is still 0.1002 percent.",
        1000: "You looked at the variance. Layer norm divides by its root, which changes half as much.",
        1001: "You looked at the variance. Layer norm divides by its root, which changes half as much.",
        1002: "You looked at the variance. Layer norm divides by its root, which changes half as much.",
    }
    check_number(answer, 501, mistakes)
    return "At GPT-2's width of 768 the two differ by 0.07 percent: too little to see, enough to fail a comparison."


@exercise(
    "02.4",
    hints=[
        "Feed it a batch of two rows, change one, and look at the other.",
        "There are two faults. One is an axis, written twice; the other shows only in rows with a tiny variance.",
        "Compare the place of eps with the formula in notebook 02.",
    ],
)
def mended_norm(answer):
    mistakes = [
        (
            lambda x, eps: eps_outside(x, eps, dim=0),
            "Nothing is mended yet: change one row of a batch, and the other rows still change too.",
        ),
        (
            eps_outside,
            "The axis is right now. The other fault shows in rows with a tiny variance: where does eps stand?",
        ),
        (
            lambda x, eps: normalised(x, 0, eps),
            "eps is in its place now. But change one row of a batch, and the other rows still change: look at dim.",
        ),
        (
            lambda x, eps: normalised(x, 1, eps),
            "eps is in its place now. But dim=1 is the last axis of a matrix only; with three axes it runs over the "
            "tokens. Which dim is the last one, whatever the number of axes?",
        ),
        (
            lambda x, eps: eps_outside(x, eps, dim=1),
            "dim=1 is the last axis of a matrix only; with three axes it runs over the tokens. "
            "And the other fault shows in rows with a tiny variance: where does eps stand?",
        ),
        (
            lambda x, eps: normalised(x, -1, 0.0),
            "The axis is right now, but eps is not used any more. It belongs inside the root, next to the variance.",
        ),
        (
            lambda x, eps: normalised(x, -1, eps, unbiased=True),
            "Axis and eps are right, but now your variance divides by n - 1. GPT-2 divides by n.",
        ),
    ]
    cases = [(x, eps) for x, eps in rows() if x.ndim > 1]
    check_function(answer, cases, lambda x, eps: normalised(x, -1, eps), mistakes)
    return "Two faults that leave every shape as it was."


@exercise(
    "02.5",
    hints=[
        "Before scale and shift, each row has mean 0 and standard deviation 1.",
        "Multiplying by a number multiplies the standard deviation by it, and leaves a mean of 0 where it is.",
    ],
)
def scale_and_shift(answer):
    mistakes = {
        (
            -2,
            3,
        ): "That is right too, but it flips the row: its largest number becomes its smallest. Take the positive one.",
        (3, 2): "The other way round: scale sets the standard deviation, shift sets the mean.",
        (4, 3): "You set the variance to 16. A standard deviation of 2 needs a factor of 2.",
        (2, 1.5): "The shift is added after the scale, so it is not scaled.",
        (2, 6): "The shift is added after the scale, so it is not scaled.",
    }
    check_tuple(answer, (2, 3), mistakes)
    return "A norm does not pin rows to mean 0 and variance 1: what it learns can move them anywhere."


@exercise(
    "02.6",
    hints=[
        "Leave the mean out altogether: square, average along the last axis, add eps, take the root, divide.",
        "`x.pow(2).mean(dim=-1, keepdim=True)`",
        "`scale * x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps)`",
    ],
)
def my_rms_norm(answer):
    def rms_norm(x, scale, eps):
        return F.rms_norm(x, x.shape[-1:], scale, eps)

    generator = torch.Generator().manual_seed(1)
    cases = [(x, torch.randn(x.shape[-1], generator=generator).to(x.device), eps) for x, eps in rows()]
    mistakes = [
        (
            lambda x, scale, eps: scale * normalised(x, -1, eps),
            "That is layer norm without shift. RMSNorm does not subtract the mean.",
        ),
        (
            lambda x, scale, eps: scale * x / torch.sqrt(x.var(dim=-1, keepdim=True, unbiased=False) + eps),
            "You divide by the standard deviation, which looks at the mean. RMSNorm averages the squares of x itself.",
        ),
        (
            lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).sum(dim=-1, keepdim=True) + eps),
            "You sum the squares. RMSNorm takes their mean.",
        ),
        (
            lambda x, scale, eps: scale * x / (x.pow(2).mean(dim=-1, keepdim=True).sqrt() + eps),
            "Your eps stands outside the root. It is added to the mean of the squares.",
        ),
        (
            lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True)),
            "Your eps is not used. Where all numbers of a row are tiny, it decides.",
        ),
        (
            lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).mean(dim=0, keepdim=True) + eps),
            "You average over the first axis, so rows get mixed. RMSNorm looks along the last axis: dim=-1.",
        ),
        (
            lambda x, scale, eps: scale * x / torch.sqrt(x.pow(2).mean() + eps),
            "You take one mean of the squares of the whole tensor. Each row has its own: dim=-1, keepdim=True.",
        ),
        (
            lambda x, scale, eps: x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps),
            "The division is right. The scale is still missing.",
        ),
    ]
    check_function(answer, cases, rms_norm, mistakes)
    return "It agrees with torch.nn.RMSNorm. On rows whose mean is 0 it equals layer norm."

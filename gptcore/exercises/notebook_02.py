"""The exercises of notebook 02, layer norm."""

from functools import partial

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import function, number, on_each_device, values
from gptcore.exercises.ready_made import NORMS


def inputs():
    """Return rows that tell right from nearly right: 1 to 3 axes, tiny, far and very far from 0, and a large eps."""
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randn(shape, generator=generator) for shape in [(5,), (3, 4), (2, 3, 6)]]
    rows += [rows[1] * 0.002, rows[2] + 20]
    # Very far from 0: float32 holds these numbers and their means exactly, but not their squares.
    rows += [10_000 + torch.tensor([[-3.0, -1.0, 1.0, 3.0], [6.0, 2.0, -2.0, -6.0]])]
    return on_each_device([(x, eps) for x in rows for eps in (1e-5, 0.1)])


def with_vectors(count):
    """Return the inputs, each with `count` random vectors before its eps."""
    generator = torch.Generator().manual_seed(1)
    return [(x, *torch.randn(count, x.shape[-1], generator=generator).to(x.device), eps) for x, eps in inputs()]


def root_of(variance, eps):
    return torch.sqrt(variance + eps)


def eps_outside(variance, eps):
    return torch.sqrt(variance) + eps


def norm(x, eps, *, dim=-1, unbiased=False, divisor=root_of):
    """Layer norm without scale and shift, or with a fault."""
    variance = x.var(dim, keepdim=True, unbiased=unbiased)
    return (x - x.mean(dim, keepdim=True)) / divisor(variance, eps)


def scaled(x, scale, shift, eps, **fault):
    return scale * norm(x, eps, **fault) + shift


def divided_mean(x, eps):
    return x.mean(dim=-1, keepdim=True) / root_of(x.var(dim=-1, keepdim=True, unbiased=False), eps)


def squares_minus_square(x, scale, shift, eps):
    mean = x.mean(dim=-1, keepdim=True)
    return scale * (x - mean) / root_of(x.pow(2).mean(dim=-1, keepdim=True) - mean.pow(2), eps) + shift


function(
    "02.1",
    lambda x, scale, shift, eps: F.layer_norm(x, x.shape[-1:], scale, shift, eps),
    cases=partial(with_vectors, 2),
    forbidden=NORMS,
    mistakes={
        "Your variance divides by n - 1; GPT-2 divides by n: unbiased=False.": partial(scaled, unbiased=True),
        "Your eps stands outside the root. GPT-2 adds it to the variance, before the root is taken.": partial(
            scaled, divisor=eps_outside
        ),
        "Two things: your eps stands outside the root, "
        "and std divides by n - 1 unless you say unbiased=False.": partial(scaled, divisor=eps_outside, unbiased=True),
        "Right on paper, but far from 0 it subtracts two huge, almost equal numbers. "
        "Subtract the mean first, then square.": squares_minus_square,
        "You divide by the variance itself. Layer norm divides by its root.": partial(scaled, divisor=torch.add),
        "Your eps is always 0.00001. Use the one that the function is given.": lambda *given: scaled(*given[:3], 1e-5),
        "Your eps is not used. Where the variance is tiny, it decides.": lambda *given: scaled(*given[:3], 0.0),
        "You average over the first axis, so rows get mixed. Layer norm looks along the last axis: dim=-1.": partial(
            scaled, dim=0
        ),
        "You take one mean and one variance of the whole tensor. Each row has its own: dim=-1, keepdim=True.": partial(
            scaled, dim=None
        ),
        "Mean and variance are right. Scale and shift are still missing.": lambda x, _, __, eps: norm(x, eps),
        "All is right up to the scale. The shift is still missing.": lambda x, scale, _, eps: scaled(x, scale, 0, eps),
        "Mean, variance and shift are right. The scale is still missing.": lambda x, _, *rest: scaled(x, 1, *rest),
        "You shift first and scale then, so the shift is scaled too. The order is: scale, then shift.": (
            lambda x, scale, shift, eps: scaled(x, scale, scale * shift, eps)
        ),
        "Scale and shift are exchanged: you multiply by the shift and add the scale.": (
            lambda x, scale, shift, eps: scaled(x, shift, scale, eps)
        ),
        "You divide the mean alone: `/` comes before `-`. Put x - mean in parentheses.": [
            lambda x, scale, shift, eps: scale * x - divided_mean(x, eps) + shift,
            lambda x, scale, shift, eps: scale * (x - divided_mean(x, eps)) + shift,
            lambda x, scale, shift, eps: x - scale * divided_mean(x, eps) + shift,
        ],
        "Nothing is subtracted yet: layer norm divides x - mean, not x.": (
            lambda x, scale, shift, eps: scaled(x, scale, shift + scale * divided_mean(x, eps), eps)
        ),
    },
    solved="It agrees with PyTorch's layer norm, on tiny rows and rows far from 0, too.",
    hints=[
        "Five steps: the mean of the last axis, its variance, normalise (subtract and divide), scale, shift.",
        "`keepdim=True` keeps the averaged axis with length 1, so that mean and variance fit beside `x`.",
        "The variance divides by n: `x.var(dim=-1, keepdim=True, unbiased=False)`.",
        "`scale * (x - mean) / torch.sqrt(variance + eps) + shift`",
    ],
)

number(
    "02.2",
    38_400,
    mistakes={
        "That is the blocks alone. There is one more layer norm, after the last block.": 36_864,
        "That is one vector for each layer norm. Each has two: scale and shift.": 19_200,
        "Did you count one vector for each norm, or one norm for each block? A block has two norms, each of them scale "
        "and shift, and one more norm follows the blocks.": 18_432,
        "That is how many layer norms there are. How many parameters has each?": 25,
        "Two layer norms in each of the 12 blocks: one before attention, one before feed-forward.": 19_968,
    },
    solved="25 layer norms with 2 x 768 parameters each: 0.03 percent of the published 124 million.",
    hints=[
        "How many layer norms stand in one block? Notebook 00's map shows them.",
        "There is one more after the last block.",
        "Each has two vectors of emb_dim = 768 parameters: scale and shift.",
    ],
)

number(
    "02.3",
    501,
    mistakes={
        "Very near: at 500 it is still 0.1002 percent.": 500,
        "You looked at the variance. Layer norm divides by its root, which changes half as much.": [1000, 1001, 1002],
    },
    solved="At GPT-2's width of 768 the two differ by 0.07 percent: too little to see, enough to fail a comparison.",
    hints=[
        "The variance grows by the factor n / (n - 1). What happens to its root?",
        "The root of n / (n - 1) is about 1 + 1 / (2n). When is 1 / (2n) less than 0.001?",
        "Around 500 it is decided: compute (n / (n - 1)) ** 0.5 - 1 for 499, 500, 501 and 502.",
    ],
)


def half_mended(dim_of_mean, dim_of_std, divisor, x, eps):
    variance = x.var(dim_of_std, keepdim=True, unbiased=False)
    return (x - x.mean(dim_of_mean, keepdim=True)) / divisor(variance, eps)


function(
    "02.4",
    norm,
    cases=lambda: [(x, eps) for x, eps in inputs() if x.ndim > 1],
    mistakes={
        "Nothing is mended yet: change one row of a batch, and the other rows still change too.": partial(
            norm, dim=0, divisor=eps_outside
        ),
        "The axis is right now. The other fault shows in rows with a tiny variance: where does eps stand?": partial(
            norm, divisor=eps_outside
        ),
        "eps is in its place now. "
        "But change one row of a batch, and the other rows still change: look at dim.": partial(norm, dim=0),
        "eps is in its place now. But dim=1 is the last axis of a matrix only; with three axes it runs over the "
        "tokens. Which dim is the last one, whatever the number of axes?": partial(norm, dim=1),
        "dim=1 is the last axis of a matrix only; with three axes it runs over the tokens. "
        "And the other fault shows in rows with a tiny variance: where does eps stand?": partial(
            norm, dim=1, divisor=eps_outside
        ),
        "The axis is mended in one line only. Mean and standard deviation both run along the last axis.": [
            partial(half_mended, *dims, divisor) for dims in ((-1, 0), (0, -1)) for divisor in (root_of, eps_outside)
        ],
        "The axis is right now. But the standard deviation is a root already, and you take another one of it. "
        "eps is added to the variance.": partial(norm, divisor=lambda variance, eps: (variance.sqrt() + eps).sqrt()),
        "The axis is right now. But you divide by the variance: the root is missing.": partial(norm, divisor=torch.add),
        "The axis is right now, but eps is not used any more. It belongs inside the root, next to the variance.": (
            lambda x, eps: norm(x, 0.0)
        ),
        "The axis is right now. But unbiased=False was right, too: GPT-2 divides by n. The other fault is where eps "
        "stands.": partial(norm, divisor=eps_outside, unbiased=True),
        "Axis and eps are right, but now your variance divides by n - 1. GPT-2 divides by n.": partial(
            norm, unbiased=True
        ),
    },
    solved="Two faults that leave every shape as it was.",
    hints=[
        "Feed it a batch of two rows, change one, and look at the other.",
        "There are two faults. One is an axis, written twice; the other shows only in rows with a tiny variance.",
        "Compare the place of eps with the formula in notebook 02.",
    ],
)

values(
    "02.5",
    (2, 3),
    mistakes={
        "That is right too, but it flips the row: its largest number becomes its smallest. Take the positive one.": (
            -2,
            3,
        ),
        "The other way round: scale sets the standard deviation, shift sets the mean.": (3, 2),
        "You set the variance to 16. A standard deviation of 2 needs a factor of 2.": (4, 3),
        "The shift is added after the scale, so it is not scaled.": [(2, 1.5), (2, 6)],
    },
    solved="A norm does not pin rows to mean 0 and variance 1: what it learns can move them anywhere.",
    hints=[
        "Before scale and shift, each row has mean 0 and standard deviation 1.",
        "Multiplying by a number multiplies the standard deviation by it, and leaves a mean of 0 where it is.",
    ],
)


def rms_norm(x, scale, eps, *, dim=-1, average=torch.mean, divisor=root_of):
    return scale * x / divisor(average(x.pow(2), dim=dim, keepdim=True), eps)


function(
    "02.6",
    lambda x, scale, eps: F.rms_norm(x, x.shape[-1:], scale, eps),
    cases=partial(with_vectors, 1),
    forbidden=NORMS,
    mistakes={
        "That is layer norm without shift. RMSNorm does not subtract the mean.": (
            lambda x, scale, eps: scale * norm(x, eps)
        ),
        "You divide by the standard deviation, which looks at the mean. RMSNorm averages the squares of x itself.": (
            lambda x, scale, eps: scale * x / root_of(x.var(dim=-1, keepdim=True, unbiased=False), eps)
        ),
        "You sum the squares. RMSNorm takes their mean.": partial(rms_norm, average=torch.sum),
        "You take the mean first and square it. RMSNorm squares each number first, then takes the mean.": (
            lambda x, scale, eps: scale * x / root_of(x.mean(dim=-1, keepdim=True).pow(2), eps)
        ),
        "The root is missing: you divide by the mean of the squares itself.": partial(rms_norm, divisor=torch.add),
        "Your eps is always 0.00001. Use the one that the function is given.": (
            lambda x, scale, eps: rms_norm(x, scale, 1e-5)
        ),
        "Your eps stands outside the root. It is added to the mean of the squares.": partial(
            rms_norm, divisor=eps_outside
        ),
        "Your eps is not used. Where all numbers of a row are tiny, it decides.": (
            lambda x, scale, eps: rms_norm(x, scale, 0.0)
        ),
        "You average over the first axis, so rows get mixed. RMSNorm looks along the last axis: dim=-1.": partial(
            rms_norm, dim=0
        ),
        "You take one mean of the squares of the whole tensor. Each row has its own: dim=-1, keepdim=True.": partial(
            rms_norm, dim=None
        ),
        "The division is right. The scale is still missing.": lambda x, scale, eps: rms_norm(x, 1, eps),
    },
    solved="It agrees with torch.nn.RMSNorm. On rows whose mean is 0 it equals layer norm.",
    hints=[
        "Leave the mean out altogether: square, average along the last axis, add eps, take the root, divide.",
        "`x.pow(2).mean(dim=-1, keepdim=True)`",
        "`scale * x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps)`",
    ],
)

"""The exercises of notebook 05, shortcut connections."""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from gptcore.exercises.checking import (
    Wrong,
    as_number,
    call_all,
    check_function,
    close,
    devices,
    exercise,
    function,
    name_mistake,
    number,
    show,
)


class Layer(nn.Sequential):
    """A Linear and a GELU, with a short name for messages."""

    def __init__(self, inputs, outputs, generator):
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # draws nothing: the learner's random numbers stay
        for parameter in linear.parameters():
            parameter.requires_grad_(False).copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        super().__init__(linear, nn.GELU(approximate="tanh"))

    def __repr__(self):
        return f"layer {self[0].in_features} to {self[0].out_features}"


def make_layers(widths, seed):
    """Return a layer from each width to the next."""
    generator = torch.Generator().manual_seed(seed)
    return [Layer(inputs, outputs, generator) for inputs, outputs in pairwise(widths)]


def stream_case(shape, widths, device):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    return x.to(device), [layer.to(device) for layer in make_layers([shape[-1], *widths], seed=len(widths))]


def cases_of(sizes):
    return [stream_case(shape, widths, device) for shape, widths in sizes for device in devices()]


def plain(x, layers):
    for layer in layers:
        x = layer(x)
    return x


def stream(x, layers, *, add="input", compare=False):
    """Add to each layer's result its input, or by mistake something else; with `compare` only if the shape is kept."""
    start = x
    for layer in layers:
        out = layer(x)
        shortcut = {"input": x, "start": start, "result": out}[add]
        x = out if compare and out.shape != x.shape else shortcut + out
    return x


to_first = partial(stream, add="start")
keeps_the_shape = partial(stream, compare=True)

function(
    "05.1",
    stream,
    cases=lambda: cases_of([((2, 4, 6), [6] * 3), ((2, 3), [3] * 4), ((5,), [5] * 2), ((1, 3), [3])]),
    then=lambda: cases_of([((1, 1, 4), [])]),
    mistakes={
        "There is no shortcut yet: each layer's result takes the place of its input.": plain,
        "You have one shortcut, past all layers together. Each layer needs its own.": (
            lambda x, layers: x + plain(x, layers)
        ),
        "You add each result to the first x. A shortcut goes past one layer: add what that layer was given.": to_first,
        "All your layers read the first x. Each must read what the layers before it have left in the stream.": (
            lambda x, layers: x + sum(layer(x) for layer in layers)
        ),
        "x is overwritten before it is added, so you add the layer's result to itself.": partial(stream, add="result"),
        "x comes out as it went in. In the loop, is the sum given back to x?": lambda x, layers: x,
        "That is what all the layers have written. x itself is missing: it is in the stream, too.": (
            lambda x, layers: stream(x, layers) - x
        ),
        "The last layer is missing.": lambda x, layers: stream(x, layers[:-1]),
        "Only the last layer's work is in your result. The next layer must read the sum: give it back to x.": (
            lambda x, layers: x + layers[-1](x)
        ),
        "The last layer has no shortcut. Here it keeps the shape, so it has one like the others.": (
            lambda x, layers: layers[-1](stream(x, layers[:-1])) if layers else x
        ),
        "Only the first layer has worked: does your return stand inside the loop?": (
            lambda x, layers: stream(x, layers[:1])
        ),
    },
    solved="One plus sign in a loop: with no layers at all, x comes out as it went in.",
    hints=[
        "Go through the layers with a for loop. What does each one read, and what happens to its result?",
        "Each layer reads what the stream holds by now, and its result is added to that.",
        "Inside the loop stands one line: `x = x + layer(x)`.",
    ],
)

number(
    "05.2",
    16,
    mistakes={
        "0.29 to the power of 15 is below 1e-8. But from the last of 15 layers to the first there are 14 steps.": 15,
        "Count the steps again: 0.29 to the power of 14 is still 3e-8, and the ratio must be smaller than 1e-8.": 14,
        "There are only whole layers, and the ratio must be smaller than 1e-8: round up.": 1 + 8 / -math.log10(0.29),
        "That is how many steps it takes, and there are only whole ones. With n layers, how many steps lie between "
        "the first and the last?": 8 / -math.log10(0.29),
        "One too many. With n layers, how many steps lie between the first and the last?": 17,
        "That would be so if each layer took a factor of 10 away. It takes 0.29.": [8, 9],
    },
    near=2e-3,  # 14.88 and 15.9 are known, too
    solved="16 layers are not deep: a GPT-2 of 48 blocks has 96 parts, one after another.",
    hints=[
        "The first layer's gradient has passed through all the layers that come after it. How many are they?",
        "With n layers the ratio is 0.29 to the power of n - 1.",
        "Try it: for which n is `0.29 ** (n - 1)` below 1e-8 for the first time?",
    ],
)

# Recognised where the last layer alone makes another number of numbers than it is given.
MISTAKES_IN_NARROWING = {
    "Nothing is mended yet: the output has as many numbers as the input, whatever the last layer is.": to_first,
    "Each layer has its own shortcut now. But where a layer makes 1 number out of more, PyTorch still repeats "
    "that number, and the sum has the wrong shape.": stream,
    "The shapes are right now. But every layer's result is still added to the network's first input. "
    "Add what *that* layer was given.": partial(stream, add="start", compare=True),
    "x is overwritten before it is added, so you add the layer's result to itself.": partial(
        stream, add="result", compare=True
    ),
    "Now there is no shortcut at all. Every layer that keeps the shape has one.": plain,
}
# Recognised where every layer keeps the shape.
MISTAKES_ON_THE_LEVEL = {
    "You leave out the last layer's shortcut, whatever its shape. Compare the shapes of its input and its result.": (
        lambda x, layers: layers[-1](stream(x, layers[:-1]))
    ),
}


class MeanOverTokens(nn.Module):
    """Changes an axis that is not the last one: (batch, num_tokens, emb_dim) -> (batch, 1, emb_dim)."""

    def forward(self, x):
        return x.mean(dim=1, keepdim=True)

    def __repr__(self):
        return "mean over tokens"


@exercise(
    "05.3",
    mistakes=MISTAKES_IN_NARROWING | MISTAKES_ON_THE_LEVEL,
    solved="A sum of shapes that differ is refused only sometimes: comparing them is safer than hoping for an error.",
    hints=[
        "Look at the shape of the output: the last layer makes 1 number, and yet 3 come out. Which line makes them?",
        "(2, 3) + (2, 1) does not fail: PyTorch repeats the 1. Compare the shapes before you add.",
        "And what does `shortcut` hold in the second round of the loop? It must be what *this* layer was given.",
        "In the loop: `out = layer(x)`, then `x = x + out if out.shape == x.shape else out`.",
    ],
)
def mended_forward(answer):
    narrow = cases_of([((2, 3), [3, 3, 1]), ((2, 4, 5), [5, 5, 5, 1]), ((1, 4), [4, 4, 4, 1])])
    level = cases_of([((2, 3), [3, 3]), ((4, 5), [5])])
    others = cases_of([((2, 4), [6, 6, 2, 2]), ((2, 3), [1, 3, 3]), ((3,), [5, 1, 1]), ((2, 3), [])])
    recognise(answer, narrow, MISTAKES_IN_NARROWING)
    recognise(answer, level, MISTAKES_ON_THE_LEVEL)
    others += [(x, [MeanOverTokens()]) for x, _ in narrow if x.shape == (2, 4, 5)]
    check_function(answer, [*narrow, *level, *others], keeps_the_shape, {})


def recognise(function, cases, mistakes):
    """Raise Wrong with what fits if `function` does the same as one of `mistakes`, even where the shape is wrong."""
    results = call_all(function, cases)
    name_mistake(
        mistakes,
        lambda wrong: all(close(result, wrong(*case)) for result, case in zip(results, cases, strict=True)),
    )


number(
    "05.4",
    7,
    tolerance=1,
    near=0.1,  # a mistake may be read off with less care, but 0 is not 1
    mistakes={
        "Those are the layers with a shortcut. Where the gradient falls steeply on its way back, it is missing.": 17,
        "That would be all of them. Where the line is nearly level, shortcuts carry the gradient.": 24,
        "Without a gap in the shortcuts there would be no steep piece.": 0,
        "One layer takes away a factor of 0.29, half a power of ten. Here more than three powers of ten are lost.": [
            1,
            2,
        ],
        "You read the powers of ten that are lost. Each layer takes away only about half of one.": [3.2, 4],
        "That is the layer at which the steep piece begins. How many layers long is it?": 14,
    },
    solved="Layers 8 to 14 had none: seven times half a power of ten, as the factor 0.29 says.",
    hints=[
        "Read from right to left, as the gradient travels. Where does it lose the factor 0.29 at every layer?",
        "A layer with a shortcut hardly changes the gradient. Count the steps of the steep piece.",
        "The steep piece goes from layer 14 down to layer 7.",
    ],
)

number(
    "05.5",
    1 / math.sqrt(96),
    tolerance=0.0006,
    mistakes={
        "That would be right if all writes pointed the same way. Random ones partly cancel.": 1 / 96,
        "Each block writes twice: after attention, and after feed-forward.": 1 / math.sqrt(48),
        "Each block writes twice, and random writes partly cancel.": 1 / 48,
        "That is how much longer they are together without the factor. By what must each be multiplied?": [
            math.sqrt(96),
            9.8,
        ],
        "Each block writes twice. And that is how much they grow; by what must each be multiplied?": [
            *(math.sqrt(48), 6.93)
        ],
        "Nearly: three decimals are asked for.": 0.1,
        "Random writes partly cancel, and the factor must make them smaller.": 96,
    },
    solved="1 / sqrt(96). The GPT-2 paper (section 2.3) makes the writing layers' initial weights smaller in this way.",
    hints=[
        "Steps in random directions partly cancel. Think of a walk whose every step goes in a new direction at random.",
        "At right angles, lengths add like the sides of a triangle: the *squares* add up.",
        "96 writes of length f have together the length f * sqrt(96). That shall be 1.",
    ],
)


class Network(nn.Module):
    """What the task describes: `layers`, each a Linear and a GELU, and a forward through all of them."""

    def __init__(self, widths, seed, walk, has_old_gradients):
        super().__init__()
        self.layers = nn.ModuleList(make_layers(widths, seed)).requires_grad_()
        self.walk = walk
        if has_old_gradients:
            for place, parameter in enumerate(self.parameters()):
                parameter.grad = torch.full_like(parameter, 0.1 * (place + 1))

    def forward(self, x):
        return self.walk(x, self.layers)

    def __repr__(self):
        return f"<{len(self.layers)} layer{'s' if len(self.layers) > 1 else ''}>"


def networks():
    """Return networks and inputs: new ones at each call, for what an answer leaves in them must not stay."""
    settings = [
        ([3, 3, 3, 3, 1], plain, False),
        ([3, 3, 3, 3, 1], keeps_the_shape, False),
        ([8, 8, 8], plain, True),
        ([6, 6, 6, 6, 2], keeps_the_shape, True),
        ([20] * 9, plain, True),
        ([4, 2], plain, False),
    ]
    cases = []
    for seed, (widths, walk, has_old_gradients) in enumerate(settings):
        x = torch.randn(5, widths[0], generator=torch.Generator().manual_seed(seed))
        for device in devices():
            cases.append((Network(widths, seed, walk, has_old_gradients).to(device), x.to(device)))
    return cases


def mean_size(tensor):
    return tensor.abs().mean()


def mean_square(output):
    return output.square().mean()


def sizes(network, x, *, forget=True, of=lambda linear: linear.weight.grad, size=mean_size, loss=mean_square):
    """Return the size of each layer's gradient, or with a fault that of something else."""
    if forget:
        network.zero_grad()
    loss(network(x)).backward()
    return [size(of(layer[0])).item() for layer in network.layers]


def ratio(network, x, *, first=0, last=-1, **fault):
    of_layers = sizes(network, x, **fault)
    return of_layers[first] / of_layers[last]


near = partial(math.isclose, rel_tol=1e-3)  # relative only: a tiny ratio is not right because it is near 0

MISTAKES_IN_RATIO = {
    "The other way round: first divided by last.": partial(ratio, first=-1, last=0),
    "Some of these networks come with old gradients, and backward() adds to them: zero_grad() first.": partial(
        ratio, forget=False
    ),
    "In a mean of signed numbers, plus and minus cancel. Take the absolute values first.": partial(
        ratio, size=torch.mean
    ),
    "In a mean of signed numbers, plus and minus cancel. Take the absolute values first, then the mean.": (
        lambda network, x: abs(ratio(network, x, size=torch.mean))
    ),
    "You compare lengths, and a larger matrix has a longer one. Compare the means of the absolute values.": partial(
        ratio, size=torch.norm
    ),
    "You compare sums, and a larger matrix has a larger one. Compare the means of the absolute values.": partial(
        ratio, size=lambda gradient: gradient.abs().sum()
    ),
    "You compare the roots of the mean squares. Compare the means of the absolute values.": partial(
        ratio, size=lambda gradient: gradient.square().mean().sqrt()
    ),
    "Your loss is another one: square each number of the output first, then take the mean.": [
        partial(ratio, loss=torch.mean),
        partial(ratio, loss=lambda output: output.mean().square()),
    ],
    "You compare the largest numbers. Compare the means of the absolute values.": partial(
        ratio, size=lambda gradient: gradient.abs().max()
    ),
    "You compare the gradients of the biases. The task asks for those of the weights.": partial(
        ratio, of=lambda linear: linear.bias.grad
    ),
    "You start from the second layer. Counting begins at 0.": (
        lambda network, x: ratio(network, x, first=min(1, len(network.layers) - 1))
    ),
    "That is the first layer's gradient alone. A larger error makes it larger: divide by the last one's.": (
        lambda network, x: sizes(network, x)[0]
    ),
    "You compare the weights themselves. Their gradients are in `.grad`, after backward().": partial(
        ratio, of=lambda linear: linear.weight
    ),
}


@exercise(
    "05.6",
    mistakes=MISTAKES_IN_RATIO,
    solved="The error of the network is in both gradients and cancels: so this number compares networks fairly.",
    hints=[
        "Four steps: forget old gradients, calculate the loss, go backward, compare two gradients.",
        "`network.zero_grad()`, then `network(x).square().mean().backward()`.",
        "The gradient of the first weight matrix: `network.layers[0][0].weight.grad`. Its size: `.abs().mean()`.",
        "`first = network.layers[0][0].weight.grad.abs().mean()`, the same for `network.layers[-1]`, "
        "and `return (first / last).item()`",
    ],
)
def my_gradient_ratio(answer):
    try:
        said = [as_number(result) for result in call_all(answer, networks())]
    except Wrong as wrong:
        if "'NoneType' object has no attribute" not in str(wrong):
            raise
        raise Wrong(f"{wrong}. A `.grad` is None before backward(), and again after zero_grad().", wrong.case) from None
    right = [ratio(network, x) for network, x in networks()]
    if all(map(near, said, right)):
        return
    tried = zip(networks(), said, right, strict=True)
    case, result, expected = next(each for each in tried if not near(*each[1:]))
    name_mistake(
        MISTAKES_IN_RATIO, lambda wrong: all(map(near, said, [wrong(network, x) for network, x in networks()])), case
    )
    given = f"For a network of {len(case[0].layers)} layers it gives {show(result)}"
    raise Wrong(f"{given}; expected is {expected:.6g}.", case)

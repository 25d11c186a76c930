"""Checks and hints for notebook 05, shortcut connections."""

import math
from itertools import pairwise

import torch
from torch import nn

from gptcore.exercises.checking import (
    Wrong,
    as_number,
    call,
    check_function,
    check_number,
    close,
    devices,
    exercise,
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
    return [stream_case(shape, widths, device) for widths, shape in sizes for device in devices()]


def stream(x, layers):
    for layer in layers:
        x = x + layer(x)
    return x


def plain(x, layers):
    for layer in layers:
        x = layer(x)
    return x


def doubled(x, layers):
    for layer in layers:
        x = layer(x)
        x = x + x
    return x


def from_the_start(x, layers):
    start = x
    for layer in layers:
        x = start + layer(x)
    return x


@exercise(
    "05.1",
    hints=[
        "Go through the layers with a for loop. What does each one read, and what happens to its result?",
        "Each layer reads what the stream holds by now, and its result is added to that.",
        "Inside the loop stands one line: `x = x + layer(x)`.",
    ],
)
def my_stream(answer):
    sizes = [((2, 4, 6), 3), ((2, 3), 4), ((5,), 2), ((1, 3), 1), ((1, 1, 4), 0)]
    cases = cases_of([([shape[-1]] * depth, shape) for shape, depth in sizes])
    mistakes = [
        (plain, "There is no shortcut yet: each layer's result takes the place of its input."),
        (
            lambda x, layers: x + plain(x, layers),
            "You have one shortcut, past all layers together. Each layer needs its own.",
        ),
        (
            from_the_start,
            "You add each result to the first x. A shortcut goes past one layer: add what that layer was given.",
        ),
        (
            lambda x, layers: x + sum(layer(x) for layer in layers),
            "All your layers read the first x. Each must read what the layers before it have left in the stream.",
        ),
        (doubled, "x is overwritten before it is added, so you add the layer's result to itself."),
        (
            lambda x, layers: stream(x, layers[:-1]),
            "The last layer is missing.",
        ),
        (
            lambda x, layers: layers[-1](stream(x, layers[:-1])) if layers else x,
            "The last layer has no shortcut. Here it keeps the shape, so it has one like the others.",
        ),
        (
            lambda x, layers: stream(x, layers[:1]),
            "Only the first layer has worked: does your return stand inside the loop?",
        ),
    ]
    check_function(answer, cases, stream, mistakes)
    return "One plus sign in a loop: with no layers at all, x comes out as it went in."


@exercise(
    "05.2",
    hints=[
        "The first layer's gradient has passed through all the layers that come after it. How many are they?",
        "With n layers the ratio is 0.29 to the power of n - 1.",
        "Try it: for which n is `0.29 ** (n - 1)` below 1e-8 for the first time?",
    ],
)
def depth_of_silence(answer):
    mistakes = {
        15: "0.29 to the power of 15 is below 1e-8. But from the last of 15 layers to the first there are 14 steps.",
        14: "Count the steps again: 0.29 to the power of 14 is still 3e-8, and the ratio must be smaller than 1e-8.",
        1 + 8 / -math.log10(0.29): "There are only whole layers, and the ratio must be smaller than 1e-8: round up.",
        17: "One too many. With n layers, how many steps lie between the first and the last?",
        8: "That would be so if each layer took a factor of 10 away. It takes 0.29.",
        9: "That would be so if each layer took a factor of 10 away. It takes 0.29.",
    }
    check_number(answer, 16, mistakes)
    return "16 layers are not deep: a GPT-2 of 48 blocks has 96 parts, one after another."


def keeps_the_shape(x, layers):
    for layer in layers:
        out = layer(x)
        x = x + out if out.shape == x.shape else out
    return x


def faulty_forward(x, layers):
    shortcut = x
    for layer in layers:
        x = layer(x)
        x = x + shortcut
    return x


def starts_and_keeps(x, layers):
    start = x
    for layer in layers:
        out = layer(x)
        x = start + out if out.shape == start.shape else out
    return x


def overwritten(x, layers):
    for layer in layers:
        before, x = x.shape, layer(x)
        x = x + x if x.shape == before else x
    return x


@exercise(
    "05.3",
    hints=[
        "Look at the shape of the output: the last layer makes 1 number, and yet 3 come out. Which line makes them?",
        "(2, 3) + (2, 1) does not fail: PyTorch repeats the 1. Compare the shapes before you add.",
        "And what does `shortcut` hold in the second round of the loop? It must be what *this* layer was given.",
        "In the loop: `out = layer(x)`, then `x = x + out if out.shape == x.shape else out`.",
    ],
)
def mended_forward(answer):
    mistakes = [
        (
            faulty_forward,
            "Nothing is mended yet: the output has as many numbers as the input, whatever the last layer is.",
        ),
        (
            stream,
            "Each layer has its own shortcut now. But where a layer makes 1 number out of more, PyTorch still repeats "
            "that number, and the sum has the wrong shape.",
        ),
        (
            starts_and_keeps,
            "The shapes are right now. But every layer's result is still added to the network's first input. "
            "Add what *that* layer was given.",
        ),
        (overwritten, "x is overwritten before it is added, so you add the layer's result to itself."),
        (plain, "Now there is no shortcut at all. Every layer that keeps the shape has one."),
        (
            lambda x, layers: layers[-1](from_the_start(x, layers[:-1])),
            "The last layer is right now. But every other result is still added to the network's first input.",
        ),
    ]
    leaves_out_the_last = (
        lambda x, layers: layers[-1](stream(x, layers[:-1])),
        "You leave out the last layer's shortcut, whatever its shape. Compare the shapes of its input and its result.",
    )
    narrow = cases_of([([3, 3, 1], (2, 3)), ([5, 5, 5, 1], (2, 4, 5)), ([4, 4, 4, 1], (1, 4))])
    level = cases_of([([3, 3], (2, 3)), ([5], (4, 5))])
    others = cases_of([([6, 6, 2, 2], (2, 4)), ([1, 3, 3], (2, 3)), ([5, 1, 1], (3,)), ([], (2, 3))])
    recognise(answer, narrow, mistakes)
    recognise(answer, level, [leaves_out_the_last])
    check_function(answer, [*narrow, *level, *others], keeps_the_shape)
    return "A sum of shapes that differ is refused only sometimes: comparing them is safer than hoping for an error."


def recognise(function, cases, mistakes):
    """Raise Wrong with what fits if `function` does the same as one of `mistakes`, even where the shape is wrong."""
    results = [call(function, *case) for case in cases]
    for wrong, message in mistakes:
        if all(close(result, wrong(*case)) for result, case in zip(results, cases, strict=True)):
            raise Wrong(message)


@exercise(
    "05.4",
    hints=[
        "Read from right to left, as the gradient travels. Where does it lose the factor 0.29 at every layer?",
        "A layer with a shortcut hardly changes the gradient. Count the steps of the steep piece.",
        "The steep piece goes from layer 14 down to layer 7.",
    ],
)
def forgotten_shortcuts(answer):
    mistakes = {
        17: "Those are the layers with a shortcut. Where the gradient falls steeply on its way back, it is missing.",
        24: "That would be all of them. Where the line is nearly level, shortcuts carry the gradient.",
        0: "Without a gap in the shortcuts there would be no steep piece.",
        1: "One layer takes away a factor of 0.29, half a power of ten. Here more than three powers of ten are lost.",
        3.5: "You read the powers of ten that are lost. Each layer takes away only about half of one.",
    }
    check_number(answer, 7, mistakes, tolerance=1)
    return "Layers 8 to 14 had none: seven times half a power of ten, as the factor 0.29 says."


@exercise(
    "05.5",
    hints=[
        "Steps in random directions partly cancel. Think of a walk whose every step goes in a new direction at random.",
        "At right angles, lengths add like the sides of a triangle: the *squares* add up.",
        "96 writes of length f have together the length f * sqrt(96). That shall be 1.",
    ],
)
def factor_of_writes(answer):
    mistakes = {
        1 / 96: "That would be right if all writes pointed the same way. Random ones partly cancel.",
        1 / math.sqrt(48): "Each block writes twice: after attention, and after feed-forward.",
        1 / 48: "Each block writes twice, and random writes partly cancel.",
        math.sqrt(96): "That is how much longer they are together without the factor. By what must each be multiplied?",
        math.sqrt(48): "Each block writes twice. And that is how much they grow; by what must each be multiplied?",
        96.0: "Random writes partly cancel, and the factor must make them smaller.",
    }
    check_number(answer, 1 / math.sqrt(96), mistakes, tolerance=0.0006)
    return "1 / sqrt(96). GPT-2 draws the initial weights of the writing layers smaller in just this way."


class Network(nn.Module):
    """What the task describes: `layers`, each a Linear and a GELU, and a forward through all of them."""

    def __init__(self, widths, seed, use_shortcut, has_old_gradients):
        super().__init__()
        self.layers = nn.ModuleList(make_layers(widths, seed)).requires_grad_()
        self.walk = keeps_the_shape if use_shortcut else plain
        if has_old_gradients:
            for place, parameter in enumerate(self.parameters()):
                parameter.grad = torch.full_like(parameter, 0.1 * (place + 1))

    def forward(self, x):
        return self.walk(x, self.layers)

    def __repr__(self):
        return f"of {len(self.layers)} layers"


def networks():
    """Return networks and inputs: new ones at each call, for what an answer leaves in them must not stay."""
    settings = [
        ([3, 3, 3, 3, 1], False, False),
        ([3, 3, 3, 3, 1], True, False),
        ([8, 8, 8], False, True),
        ([6, 6, 6, 6, 2], True, True),
        ([20] * 9, False, True),
        ([4, 2], False, False),
    ]
    cases = []
    for seed, setting in enumerate(settings):
        for device in devices():
            network = Network(setting[0], seed, *setting[1:]).to(device)
            x = torch.randn(5, setting[0][0], generator=torch.Generator().manual_seed(seed)).to(device)
            cases.append((network, x))
    return cases


def tensors_of(network, x):
    """Return lists with one tensor for each layer: what the ratio may rightly or wrongly be made of."""
    old = [0 if layer[0].weight.grad is None else layer[0].weight.grad for layer in network.layers]
    network.zero_grad()
    network(x).square().mean().backward()
    linears = [layer[0] for layer in network.layers]
    gradients = [linear.weight.grad for linear in linears]
    return {
        "gradients": gradients,
        "old and new": [before + gradient for before, gradient in zip(old, gradients, strict=True)],
        "biases": [linear.bias.grad for linear in linears],
        "weights": [linear.weight for linear in linears],
    }


def mean_size(tensor):
    return tensor.abs().mean()


def ratio(tensors, size=mean_size, first=0):
    return (size(tensors[min(first, len(tensors) - 1)]) / size(tensors[-1])).item()


@exercise(
    "05.6",
    hints=[
        "Four steps: forget old gradients, calculate the loss, go backward, compare two gradients.",
        "`network.zero_grad()`, then `network(x).square().mean().backward()`.",
        "The gradient of the first weight matrix: `network.layers[0][0].weight.grad`. Its size: `.abs().mean()`.",
        "`first = network.layers[0][0].weight.grad.abs().mean()`, the same for `network.layers[-1]`, "
        "and `return (first / last).item()`",
    ],
)
def my_gradient_ratio(answer):
    said = [as_number(call(answer, network, x)) for network, x in networks()]
    found = [tensors_of(network, x) for network, x in networks()]
    right = [ratio(tensors["gradients"]) for tensors in found]
    if all_near(said, right):
        return "The error of the network is in both gradients and cancels: so this number compares networks fairly."
    mistakes = [
        (lambda tensors: 1 / ratio(tensors["gradients"]), "The other way round: first divided by last."),
        (
            lambda tensors: ratio(tensors["old and new"]),
            "Some of these networks come with old gradients, and backward() adds to them: zero_grad() first.",
        ),
        (
            lambda tensors: ratio(tensors["gradients"], torch.mean),
            "In a mean of signed numbers, plus and minus cancel. Take the absolute values first.",
        ),
        (
            lambda tensors: abs(ratio(tensors["gradients"], torch.mean)),
            "In a mean of signed numbers, plus and minus cancel. Take the absolute values first, then the mean.",
        ),
        (
            lambda tensors: ratio(tensors["gradients"], torch.norm),
            "You compare lengths, and a larger matrix has a longer one. Compare the means of the absolute values.",
        ),
        (
            lambda tensors: ratio(tensors["gradients"], lambda gradient: gradient.abs().sum()),
            "You compare sums, and a larger matrix has a larger one. Compare the means of the absolute values.",
        ),
        (
            lambda tensors: ratio(tensors["gradients"], lambda gradient: gradient.abs().max()),
            "You compare the largest numbers. Compare the means of the absolute values.",
        ),
        (
            lambda tensors: ratio(tensors["biases"]),
            "You compare the gradients of the biases. The task asks for those of the weights.",
        ),
        (
            lambda tensors: ratio(tensors["gradients"], first=1),
            "You start from the second layer. Counting begins at 0.",
        ),
        (
            lambda tensors: mean_size(tensors["gradients"][0]).item(),
            "That is the first layer's gradient alone. A larger error makes it larger: divide by the last one's.",
        ),
        (
            lambda tensors: ratio(tensors["weights"]),
            "You compare the weights themselves. Their gradients are in `.grad`, after backward().",
        ),
    ]
    for wrong, message in mistakes:
        if all_near(said, [wrong(tensors) for tensors in found]):
            raise Wrong(message)
    (network, _), result, expected = next(
        triple for triple in zip(networks(), said, right, strict=True) if not near(*triple[1:])
    )
    raise Wrong(f"For a network of {len(network.layers)} layers it gives {show(result)}; expected is {expected:.6g}.")


def near(number, other):
    return math.isclose(number, other, rel_tol=1e-3)  # relative only: a tiny ratio is not right because it is near 0


def all_near(numbers, others):
    return all(near(*pair) for pair in zip(numbers, others, strict=True))

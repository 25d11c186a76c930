"""Typical wrong answers to the exercises of notebook 05, and words of the message that each gets."""

import math

import torch


def plain(x, layers):
    for layer in layers:
        x = layer(x)
    return x


def stream(x, layers):
    for layer in layers:
        x = x + layer(x)
    return x


def first_x(x, layers):
    start = x
    for layer in layers:
        x = start + layer(x)
    return x


def overwritten(x, layers):
    for layer in layers:
        x = layer(x)
        x = x + x
    return x


def returns_too_early(x, layers):
    for layer in layers:
        x = x + layer(x)
        return x
    return x


def in_place(x, layers):
    for layer in layers:
        x += layer(x)
    return x


def concatenated(x, layers):
    for layer in layers:
        x = torch.cat([x, layer(x)], dim=-1)
    return x


def nothing_mended(x, layers):
    shortcut = x
    for layer in layers:
        x = layer(x)
        x = x + shortcut
    return x


def first_x_and_shapes(x, layers):
    shortcut = x
    for layer in layers:
        x = layer(x)
        if x.shape == shortcut.shape:
            x = x + shortcut
    return x


def overwritten_and_shapes(x, layers):
    for layer in layers:
        shape = x.shape
        x = layer(x)
        if x.shape == shape:
            x = x + x
    return x


def refuses(x, layers):
    for layer in layers:
        try:
            x = x + layer(x)
        except RuntimeError:
            x = layer(x)
    return x


def last_without(x, layers):
    for layer in layers[:-1]:
        x = x + layer(x)
    return layers[-1](x) if layers else x


def last_axis_only(x, layers):
    for layer in layers:
        out = layer(x)
        x = out if out.shape[-1] == 1 else x + out
    return x


def ratio(size, zero=True, which="weight", first=0, last=-1):
    def my_ratio(network, x):
        if zero:
            network.zero_grad()
        network(x).square().mean().backward()
        sizes = [size(getattr(layer[0], which).grad) for layer in network.layers]
        return (sizes[first] / sizes[last]).item()

    return my_ratio


def mean_size(gradient):
    return gradient.abs().mean()


def no_backward(network, x):
    network.zero_grad()
    return network.layers[0][0].weight.grad.abs().mean()


def weights_themselves(network, x):
    network(x).square().mean().backward()
    first, last = (network.layers[place][0].weight.abs().mean() for place in (0, -1))
    return first / last


def first_alone(network, x):
    return mean_size(gradients_of_first(network, x))


def gradients_of_first(network, x):
    network.zero_grad()
    network(x).square().mean().backward()
    return network.layers[0][0].weight.grad


WRONG = {
    "05.1": [
        (plain, "no shortcut yet"),
        (lambda x, layers: x + plain(x, layers), "past all layers together"),
        (first_x, "add what that layer was given"),
        (lambda x, layers: x + sum(layer(x) for layer in layers), "All your layers read the first x"),
        (overwritten, "overwritten before it is added"),
        (lambda x, layers: stream(x, layers[:-1]), "last layer is missing"),
        (last_without, "last layer has no shortcut"),
        (returns_too_early, "return stand inside the loop"),
        (in_place, "changes the tensor"),
        (concatenated, "stopped with RuntimeError"),
        (stream(torch.ones(2, 3), []), "Expected a function"),
    ],
    "05.2": [
        (15, "there are 14 steps"),
        (14, "still 3e-8"),
        (17, "One too many"),
        (1 - 8 / math.log10(0.29), "only whole layers"),
        (8, "a factor of 10"),
        (50, "too large"),
        (3, "too small"),
    ],
    "05.3": [
        (nothing_mended, "Nothing is mended"),
        (stream, "Each layer has its own shortcut now"),
        (refuses, "Each layer has its own shortcut now"),
        (first_x_and_shapes, "The shapes are right now"),
        (overwritten_and_shapes, "overwritten before it is added"),
        (plain, "no shortcut at all"),
        (last_without, "leave out the last layer's shortcut"),
        (last_axis_only, "stopped with RuntimeError"),
    ],
    "05.4": [
        (17, "layers with a shortcut"),
        (24, "all of them"),
        (4, "only about half of one"),
        (3.5, "powers of ten that are lost"),
        (0, "no steep piece"),
        (12, "too large"),
    ],
    "05.5": [
        (1 / 96, "pointed the same way"),
        (48**-0.5, "Each block writes twice"),
        (96**0.5, "without the factor"),
        (1 / 48, "writes twice, and random"),
        (96, "smaller"),
        (0.5, "too large"),
    ],
    "05.6": [
        (ratio(mean_size, first=-1, last=0), "other way round"),
        (ratio(mean_size, zero=False), "old gradients"),
        (ratio(torch.mean), "plus and minus cancel"),
        (lambda network, x: abs(ratio(torch.mean)(network, x)), "then the mean"),
        (ratio(torch.norm), "a longer one"),
        (ratio(lambda gradient: gradient.abs().sum()), "compare sums"),
        (ratio(lambda gradient: gradient.abs().max()), "largest numbers"),
        (ratio(mean_size, which="bias"), "of the biases"),
        (lambda network, x: ratio(mean_size, first=min(1, len(network.layers) - 1))(network, x), "second layer"),
        (first_alone, "first layer's gradient alone"),
        (weights_themselves, "weights themselves"),
        (no_backward, "stopped with AttributeError"),
        (gradients_of_first, "Expected one number"),
        (lambda network, x: 0.0, "it gives float 0.0"),
    ],
}

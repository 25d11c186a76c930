"""Wrong answers to the exercises of notebook 05 that no mistake is declared for, and words of what is said of each."""

import torch


def in_place(x, layers):
    for layer in layers:
        x += layer(x)
    return x


def refuses(x, layers):
    for layer in layers:
        try:
            x = x + layer(x)
        except RuntimeError:
            x = layer(x)
    return x


def last_axis_only(x, layers):
    for layer in layers:
        out = layer(x)
        x = out if out.shape[-1] == 1 else x + out
    return x


def compares_the_last_axis(x, layers):
    for layer in layers:
        out = layer(x)
        x = x + out if out.shape[-1] == x.shape[-1] else out
    return x


WRONG = {
    "05.1": [
        (in_place, "changes the tensor"),
        (lambda x, layers: layers[0](torch.cat([x, x], dim=-1)), "stopped with RuntimeError"),
        (torch.ones(2, 3), "Expected a function"),
    ],
    "05.2": [(50, "too large"), (3, "too small"), (14.88, "That is how many steps it takes"), (15.9, "round up")],
    "05.3": [
        (refuses, "Each layer has its own shortcut now"),
        (last_axis_only, "stopped with RuntimeError"),
        (compares_the_last_axis, "mean over tokens"),
    ],
    "05.4": [
        *((4, "only about half of one"), (3.17, "only about half of one"), (12, "too large"), (9, "too large")),
        *((0, "Without a gap"), (1, "more than three powers of ten are lost"), (5, "too small")),
    ],
    "05.5": [(0.5, "too large"), (0.1011, "too small")],
    "05.6": [
        (lambda network, x: network.layers[0][0].weight.grad.abs().mean(), "A `.grad` is None before backward()"),
        (lambda network, x: network.layers[0][0].weight, "Expected one number"),
        (lambda network, x: 0.0, "it gives 0.0"),
    ],
}

"""Wrong answers to the exercises of notebook 07 that no mistake is declared for, and words of what is said of each."""

import torch

from gptcore.exercises.notebook_07 import count, writes


def drops_twice(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(norm1(x)))
    return drop(x + drop(ff(norm2(x))))


def in_place(x, norm1, att, norm2, ff, drop):
    x += drop(att(norm1(x)))
    x += drop(ff(norm2(x)))
    return x


WRONG = {
    "07.1": [
        ("dacbhefg", "Up to step 6 your order is right. Then adding what feed-forward wrote"),
        ("cdabhegf", "At the very start dropout after attention comes too early"),
        ("dacbdacb", "text of the 8 letters a to h"),
        (["norm1", "attention"], "text of the 8 letters"),
    ],
    "07.2": [
        (drops_twice, "expected is"),
        (in_place, "changes the tensor"),
        (lambda x, norm1, att, norm2, ff, drop: x + att.forward(x), "stopped with AttributeError"),
    ],
    "07.3": [(lambda block, x: block(x), "stopped with TypeError")],
    "07.4": [
        (lambda *given: count(*given) + 1, "7085569; expected is 7085568"),
        (7_085_568, "Expected a function"),
    ],
    "07.5": [((200, 11, 10), "not right at place 1"), ("200", "Expected a tuple")],
    "07.6": [
        (lambda blocks, x: writes(blocks, x).unflatten(0, (-1, 2)).sum(dim=1), "the result has shape (2, 1, 1, 4)"),
        (lambda blocks, x: torch.cat([x[None], writes(blocks, x)]), "the result has shape (5, 1, 1, 4)"),
        (lambda blocks, x: list(writes(blocks, x)), "expected is a tensor of shape"),
    ],
}

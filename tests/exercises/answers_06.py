"""Wrong answers to the exercises of notebook 06 that no mistake is declared for, and words of what is said of each."""

import torch
import torch.nn.functional as F


def moves_the_wrong_axes(queries, keys, values, num_heads):
    parts = [part.unflatten(-1, (num_heads, -1)).transpose(2, 3) for part in (queries, keys, values)]
    return F.scaled_dot_product_attention(*parts, is_causal=True)


def float_window(n, window):
    distance = torch.arange(n)[:, None] - torch.arange(n)
    return ((distance < 0) | (distance >= window)).float()


WRONG = {
    "06.1": [
        (lambda n: torch.ones(n, n).triu(1) * -torch.inf, "0 times infinity"),
        (lambda n: torch.ones(n, n, dtype=torch.bool).triu(1), "holds True and False"),
        (lambda n: torch.full((n,), -torch.inf), "expected is (2, 2)"),
        (lambda n: torch.full((n, n), -1_000_000_000).triu(1), "dtype torch.int64; expected is torch.float32.\n"),
        (torch.full((4, 4), -torch.inf).triu(1), "Expected a function"),
    ],
    "06.2": [
        (lambda q, k: q @ k.transpose(-2, -1), "it gives the tensor"),
        (lambda q, k: q @ k.transpose(-2, -1) @ k, "expected is"),
        (lambda q, k: q @ k, "stopped with RuntimeError"),
    ],
    "06.3": [
        ("caab", "each of them once"),
        ("the third one", "a to d, each of them once"),
        (3, "text of the 4 letters"),
    ],
    "06.4": [(moves_the_wrong_axes, "the result has shape")],
    "06.5": [
        ((2_360_064, 2_362_368, 5), "not right at place 2"),
        (2_360_064, "tuple of 3 values"),
        (("4*768*768 + 768", 2_362_368, 2_360_064), "Leave the quotation marks out"),
    ],
    "06.6": [(float_window, "dtype torch.float32")],
}

"""Wrong answers to the exercises of notebook 09 that no mistake is declared for, and words of what is said of each."""

import torch

from gptcore.exercises.notebook_09 import HEAD, write


def forgets_to_return(model, idx, max_new_tokens, context_size):
    write(model, idx, max_new_tokens, context_size)


def no_column(model, idx, max_new_tokens, context_size):
    return torch.cat((idx, model(idx)[:, -1].argmax(dim=-1)), dim=1)


def under_the_texts(model, idx, max_new_tokens, context_size):
    return torch.cat((idx, model(idx)[:, -1].argmax(dim=-1, keepdim=True)), dim=0)


def in_place(model, idx, max_new_tokens, context_size):
    idx[:, 0] = 0
    return idx


def almost_tie(n, dtype=torch.float32, high=1e-8, place=-1):
    scores = torch.zeros(n, dtype=dtype)
    scores[place] = high
    return scores


def cuts_afterwards(model, idx, max_new_tokens, context_size, end_id):
    text, start = write(model, idx, max_new_tokens, context_size), idx.shape[1]
    ended = (text[:, start:] == end_id).cumsum(dim=1).clamp(max=1).prod(dim=0)  # 1 where every row has ended
    return text[:, : start + int((1 - ended).sum()) + 1] if ended.any() else text


def asks_before_it_looks(model, idx, max_new_tokens, context_size, end_id):
    start, logits = idx.shape[1], model(idx[:, -context_size:])
    for _ in range(max_new_tokens):
        idx = torch.cat((idx, logits[:, -1].argmax(dim=-1, keepdim=True)), dim=1)
        if (idx[:, start:] == end_id).any(dim=1).all():
            break
        logits = model(idx[:, -context_size:])
    return idx


WRONG = {
    "09.1": [
        (no_column, "must be a column"),
        (under_the_texts, "A text grows at its end, along dim=1"),
        (lambda *given: write(*given).float(), "dtype torch.float32"),
        (lambda *given: write(*given).tolist(), "expected is a tensor"),
        (
            lambda model, idx, n, size: torch.cat((idx, idx[:, -1:].expand(-1, n)), dim=1),
            "expected is [[7, 8, 9, 0, 1, 2, 3]]",
        ),
        (forgets_to_return, "return the ids at the end"),
        (in_place, "changes the tensor"),
        (torch.tensor([[7, 8, 9, 0, 1, 2, 3]]), "Expected a function"),
    ],
    "09.2": [
        (torch.zeros, "more than once"),
        (lambda n: almost_tie(n, high=1.0), "Closer!"),
        (lambda n: almost_tie(n, high=1e-5), "Closer!"),
        (lambda n: almost_tie(n, place=0), "Let a rival stand before it"),
        (lambda n: almost_tie(n, dtype=torch.float64), "dtype torch.float64; expected is torch.float32.\n"),
        (lambda n: [0.0] * n, "not list [0.0, 0.0].\n"),
        (lambda n: almost_tie(2), "has shape (2,)"),
        (lambda n: almost_tie(n, high=float("nan")), "infinite or no numbers"),
        (lambda n: almost_tie(n).tolist(), "expected is a tensor"),
        (torch.tensor([0, 1e-8]), "Expected a function"),
    ],
    "09.3": [
        ((7, 3), "Count the length again"),
        ((7, 8), "The beginning is right"),
        ((0, 4), "The length is right"),
        ((8, 6), "Neither"),
        (7, "tuple of 2 values"),
    ],
    "09.4": [(lambda model, *given: write(model.eval(), *given)[:, :-1], "the result has shape")],
    "09.5": [
        (cuts_afterwards, "called 20 times. 2 are enough"),
        (asks_before_it_looks, "called 4 times. 3 are enough"),
        (lambda model, idx, n, size, end_id: write(model, idx, min(n, 2), size), "the result has shape"),
    ],
    "09.6": [(HEAD, "too small"), (1.2737e9, "Rounded, that is right")],
}

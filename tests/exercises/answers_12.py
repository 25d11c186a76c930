"""Wrong answers to the exercises of notebook 12 that no mistake is declared for, and words of what is said of each."""

import torch

from gptcore.exercises.notebook_12 import top_p


def exactly_k(logits, temperature, k):
    best = logits.topk(k)
    return torch.full_like(logits, -torch.inf).scatter(-1, best.indices, best.values).div(temperature).softmax(-1)


def one_too_many_at_p(logits, p):
    return top_p(logits, p, stays=lambda each, running, p: running - each <= p)


def so_many_different_ones(logits, temperature, top_k):
    """Keeps the tokens with the top_k largest *different* logits, so more than top_k of them."""
    kept = torch.full_like(logits, -torch.inf)
    for row, scores in enumerate(logits):
        different = scores.unique()
        enough = scores >= different[-min(top_k, len(different))]
        kept[row, enough] = scores[enough]
    return (kept / temperature).softmax(dim=-1)


WRONG = {
    "12.6": [(one_too_many_at_p, "*at least* p, so it stays alone")],
    "12.3": [
        (lambda query, *rest: query.transpose(1, 2), "expected is (2, 3, 1, 4)"),
        (lambda query, a, b, c, d: query @ torch.cat((c, a), 1).mT, "stopped with RuntimeError"),
    ],
    "12.4": [(lambda ids, n, tok, pos: tok[ids] + pos[torch.arange(n)], "stopped with RuntimeError")],
    "12.5": [
        (exactly_k, "share the second place"),
        (so_many_different_ones, "They differ most at"),
        (lambda logits, temperature, k: (logits.topk(k)[0] / temperature).softmax(-1), "has shape (2, 3)"),
    ],
}

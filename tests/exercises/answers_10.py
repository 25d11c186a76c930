"""Typical wrong answers to the exercises of notebook 10, and words of the message that each gets."""

import math

import torch
from torch.nn import functional as F


def picked(values, targets):
    return values.gather(-1, targets.unsqueeze(-1))


def naive(logits, targets):
    powers = logits.exp()
    return -picked((powers / powers.sum(-1, keepdim=True)).log(), targets).mean()


def log_of_softmax(logits, targets):
    return -picked(logits.softmax(-1).log(), targets).mean().item()


def base_two(logits, targets):
    return -picked(logits.softmax(-1).log2(), targets).mean()


def keeps_the_tokens(logits, targets):
    return -picked(logits.log_softmax(-1), targets).squeeze(-1).mean(0)


def over_vocabulary(logits, targets):
    return -(F.one_hot(targets, logits.shape[-1]) * logits.log_softmax(-1)).mean()


def pieces(token_ids, starts, context_length):
    return torch.stack([token_ids[start : start + context_length] for start in starts])


def ends_with_zero(token_ids, starts, context_length):
    return F.pad(pieces(token_ids, starts, context_length)[:, 1:], (0, 1))


WRONG = {
    "10.1": [
        (13, "base 2"),
        (math.log10(8192), "base 10"),
        (8192, "That is the perplexity"),
        (-9.01, "not negative"),
        (10.82, "50,257"),
        (1 / 8192, "probability of each token"),
        (0, "probability of each token"),
    ],
    "10.2": [
        (base_two, "base 2"),
        (lambda logits, targets: -picked(logits.log_softmax(-1), targets).sum(), "add the losses of all positions"),
        (lambda logits, targets: F.cross_entropy(logits.transpose(1, 2), targets, reduction="sum"), "add the losses"),
        (lambda logits, targets: -picked(logits.log_softmax(-1), targets).sum(1).mean(), "average over the batch only"),
        (lambda logits, targets: F.cross_entropy(logits[:, -1], targets[:, -1]), "last position only"),
        (over_vocabulary, "also divides by vocab_size"),
        (lambda logits, targets: -picked(logits.log_softmax(1), targets).mean(), "softmax goes over the positions"),
        (lambda logits, targets: -picked(logits.log_softmax(0), targets).mean(), "softmax goes over the batch"),
        (lambda logits, targets: picked(logits.log_softmax(-1), targets).mean(), "Only the sign"),
        (lambda logits, targets: picked(logits.softmax(-1), targets).mean(), "mean probability"),
        (lambda logits, targets: -picked(logits.softmax(-1), targets).mean(), "minus the probabilities"),
        (lambda logits, targets: -picked(logits.softmax(-1), targets).mean().log(), "The logarithm comes first"),
        (lambda logits, targets: -picked(logits, targets).mean(), "the logits themselves"),
        (lambda logits, targets: -logits.log_softmax(-1)[..., targets].mean(), "use gather"),
        (lambda logits, targets: -picked(logits.softmax(-1).log_softmax(-1), targets).mean(), "softmax twice"),
        (naive, "it is nan"),
        (log_of_softmax, "it is inf"),
        (lambda logits, targets: (logits.exp().sum(-1).log() - picked(logits, targets)[..., 0]).mean(), "it is inf"),
        (keeps_the_tokens, "Expected one number"),
    ],
    "10.3": [
        (lambda *case: pieces(*case).roll(1, dims=1), "Nothing is mended"),
        (lambda *case: pieces(*case).roll(-1, dims=1), "roll brings"),
        (pieces, "the inputs themselves"),
        (lambda ids, starts, length: pieces(ids[1:], starts, length)[:, :-1], "expected is (3, 4)"),
        (lambda ids, starts, length: pieces(ids, starts + 2, length), "moved on by two"),
        (ends_with_zero, "always 0"),
    ],
    "10.4": [
        (2.25 * math.log(2), "mean loss, in nats"),
        (2.25, "in bits"),
        (9.4877, "mixed two bases"),
        (4, "averaged the probabilities first"),
        (5.5, "mean of 1 / p"),
        (512, "sum of the losses"),
        (6.238, "sum of the four losses"),
    ],
    "10.5": [
        (300, "long been rising"),
        (20, "falls once more"),
        (60, "begun to rise"),
        (200, "begun to rise"),
        (45, "too large"),
        (2, "the step at"),
    ],
}

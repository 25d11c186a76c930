"""Typical wrong answers to the exercises of notebook 06, and words of the message that each gets."""

import torch
import torch.nn.functional as F


def triangle(n, diagonal=1):
    return torch.ones(n, n, dtype=torch.bool).triu(diagonal)


def hides(squares):
    return torch.zeros(squares.shape).masked_fill(squares, -torch.inf)


def weights(queries, keys, *, power=0.5, diagonal=1, dim=-1):
    scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** power
    return scores.masked_fill(triangle(scores.shape[-1], diagonal), -torch.inf).softmax(dim)


def zeros_after(queries, keys):
    scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
    return scores.softmax(-1).tril()


def minus_infinity_after(queries, keys):
    scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
    return scores.softmax(-1).masked_fill(triangle(scores.shape[-1]), -torch.inf)


def scores_times_tril(queries, keys):
    scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
    return scores.tril().softmax(-1)


def forgets_the_mask(queries, keys):
    return (queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5).softmax(-1)


def softmax_by_hand(queries, keys):
    scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
    shares = scores.exp().tril()
    return shares / shares.sum(-1, keepdim=True)


def divides_the_weights(queries, keys):
    return weights(queries, keys, power=0) / keys.shape[-1] ** 0.5


def by_emb_dim(queries, keys):
    return weights(queries / (keys.shape[1] * keys.shape[-1]) ** 0.5, keys, power=0)


def by_num_tokens(queries, keys):
    return weights(queries / keys.shape[-2] ** 0.5, keys, power=0)


def hides_the_past(queries, keys):
    scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
    return scores.masked_fill(triangle(scores.shape[-1]).T, -torch.inf).softmax(-1)


def heads(queries, keys, values, num_heads, *, cut=True, move=True, put_back=True, is_causal=True):
    batch, num_tokens, emb_dim = queries.shape
    head_dim = emb_dim // num_heads
    shape = (batch, num_tokens, num_heads, head_dim) if cut else (batch, num_heads, num_tokens, head_dim)
    parts = [part.view(shape) for part in (queries, keys, values)]
    if move:
        parts = [part.transpose(1, 2) for part in parts]
    context = F.scaled_dot_product_attention(*parts, is_causal=is_causal)
    return (context.transpose(1, 2) if put_back else context).reshape(batch, num_tokens, emb_dim)


def alternating_heads(queries, keys, values, num_heads):
    parts = [part.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2) for part in (queries, keys, values)]
    return F.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).flatten(2)


def alternating_end(queries, keys, values, num_heads):
    parts = [part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in (queries, keys, values)]
    return F.scaled_dot_product_attention(*parts, is_causal=True).permute(0, 2, 3, 1).flatten(2)


def moves_the_wrong_axes(queries, keys, values, num_heads):
    parts = [part.unflatten(-1, (num_heads, -1)).transpose(2, 3) for part in (queries, keys, values)]
    return F.scaled_dot_product_attention(*parts, is_causal=True)


def distance(n):
    places = torch.arange(n)
    return places[:, None] - places


WRONG = {
    "06.1": [
        (lambda n: hides(triangle(n).T), "yours hides the past"),
        (lambda n: hides(~triangle(n)), "leaves the future open"),
        (lambda n: hides(triangle(n, 0)), "hides the diagonal"),
        (lambda n: hides(triangle(n, 2)), "One column late"),
        (lambda n: torch.full((n, n), -torch.inf), "hides everything"),
        (lambda n: torch.zeros(n, n), "hides nothing"),
        (lambda n: torch.ones(n, n).triu(1), "more welcome"),
        (lambda n: torch.ones(n, n).tril(), "would be multiplied"),
        (lambda n: torch.full((n, n), -1e9).triu(1), "minus infinity does always"),
        (lambda n: torch.ones(n, n).triu(1) * -torch.inf, "0 times infinity"),
        (triangle, "holds True and False"),
        (lambda n: torch.full((n,), -torch.inf), "expected is (1, 1)"),
        (hides(triangle(4)), "Expected a function"),
    ],
    "06.2": [
        (lambda q, k: weights(q, k, power=0), "scores are not divided"),
        (lambda q, k: weights(q, k, power=1), "head_dim itself"),
        (by_num_tokens, "root of num_tokens"),
        (by_emb_dim, "root of emb_dim"),
        (lambda q, k: weights(q, k, dim=-2), "Your columns sum to 1"),
        (lambda q, k: weights(q, k, dim=1), "over the heads"),
        (minus_infinity_after, "minus infinity into the weights"),
        (zeros_after, "after the softmax"),
        (scores_times_tril, "e to the power 0 is 1"),
        (forgets_the_mask, "mask is still missing"),
        (lambda q, k: (q @ k.transpose(-2, -1)).softmax(-1), "Two steps are missing"),
        (lambda q, k: weights(q, k, diagonal=0), "hides the diagonal"),
        (lambda q, k: weights(q, k, diagonal=2), "one column late"),
        (hides_the_past, "hides the past"),
        (lambda q, k: weights(k, q), "Queries and keys are swapped"),
        (divides_the_weights, "You divide the weights"),
        (softmax_by_hand, "torch.softmax takes care"),
        (lambda q, k: weights(q, k).log() + 1, "it gives the tensor"),
        (lambda q, k: weights(q, k) @ k, "expected is"),
        (lambda q, k: q @ k, "stopped with RuntimeError"),
    ],
    "06.3": [
        ("abcd", "The first letter"),
        ("cbda", "The second letter"),
        ("cabd", "The third letter"),
        ("dacb", "The first letter"),
        ("caab", "each of them once"),
        ("the third one", "a to d, each of them once"),
        (3, "text of the 4 letters"),
    ],
    "06.4": [
        (lambda *parts: heads(*parts, cut=False, move=False, put_back=False), "Nothing is mended"),
        (lambda *parts: heads(*parts, put_back=False), "At the end they are put together wrongly"),
        (lambda *parts: heads(*parts, cut=False, move=False), "heads are still cut wrongly"),
        (lambda *parts: heads(*parts, move=False, put_back=False), "no token sees another"),
        (lambda *parts: heads(*parts, is_causal=False), "has gone missing"),
        (alternating_heads, "every so-many-th number"),
        (alternating_end, "side by side"),
        (lambda q, k, v, n: F.scaled_dot_product_attention(q, k, v, is_causal=True), "one wide head"),
        (moves_the_wrong_axes, "the result has shape"),
    ],
    "06.5": [
        ((2_359_296, 2_361_600, 2_359_296), "out_proj has a bias"),
        ((1_769_472, 1_771_776, 1_769_472), "out_proj is a Linear layer"),
        ((2_360_064, 2_360_832, 2_360_064), "three biases"),
        ((2_360_064, 2_363_136, 2_360_064), "already in the first count"),
        ((2_362_368, 2_360_064, 2_362_368), "other way round"),
        ((2_360_064, 2_362_368, 196_672), "first two are right"),
        ((2_360_064, 2_362_368, 5), "not right at place 2"),
        (2_360_064, "tuple of 3 values"),
    ],
    "06.6": [
        (lambda n, window: triangle(n), "too far back are still seen"),
        (lambda n, window: distance(n) >= window, "future must be hidden"),
        (lambda n, window: distance(n).abs() >= window, "forward as well as back"),
        (lambda n, window: (distance(n) < 0) | (distance(n) > window), "one too wide"),
        (lambda n, window: (distance(n) < 0) | (distance(n) >= window - 1), "one too narrow"),
        (lambda n, window: (distance(n) >= 0) & (distance(n) < window), "wrong way round"),
        (lambda n, window: (distance(n) < 0) & (distance(n) >= window), "join with |"),
        (lambda n, window: (distance(n).T < 0) | (distance(n).T >= window), "yours hides the past"),
        (lambda n, window: ((distance(n) < 0) | (distance(n) >= window)).float(), "dtype torch.float32"),
    ],
}

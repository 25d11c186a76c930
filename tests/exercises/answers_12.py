"""Typical wrong answers to the exercises of notebook 12, and words of the message that each gets."""

import torch
from torch.nn import functional as F


def attend(query, new_key, new_value, keys, values, scale=None, dim=-1, is_causal=False):
    all_keys, all_values = torch.cat((keys, new_key), 2), torch.cat((values, new_value), 2)
    if is_causal:
        return F.scaled_dot_product_attention(query, all_keys, all_values, is_causal=True)
    scores = query @ all_keys.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    return scores.softmax(dim) @ all_values


def without_softmax(query, new_key, new_value, keys, values):
    scores = query @ torch.cat((keys, new_key), 2).mT / query.shape[-1] ** 0.5
    return scores @ torch.cat((values, new_value), 2)


def without_itself(query, new_key, new_value, keys, values):
    return F.scaled_dot_product_attention(query, keys, values)


def embed(new_ids, positions, tok_emb, pos_emb):
    return tok_emb[new_ids] + pos_emb[positions]


def from_position(first):
    return lambda new_ids, num_cached, *tables: embed(
        new_ids, first(num_cached) + torch.arange(new_ids.shape[1]), *tables
    )


def cut(logits, k, largest=True):
    return torch.topk(logits, k, largest=largest).values[:, -1:]


def top_k(logits, temperature, k, fill=-torch.inf):
    return torch.softmax(torch.where(logits >= cut(logits, k), logits, fill) / temperature, -1)


def smallest_k(logits, temperature, k):
    return torch.softmax(torch.where(logits <= cut(logits, k, False), logits, -torch.inf) / temperature, -1)


def cut_late(logits, temperature, k):
    return torch.where(logits >= cut(logits, k), torch.softmax(logits / temperature, -1), 0.0)


def one_short(logits, temperature, k):
    return torch.softmax(torch.where(logits > cut(logits, k), logits, -torch.inf) / temperature, -1)


def whole_batch(logits, temperature, k):
    return torch.softmax(torch.where(logits >= logits.flatten().topk(k)[0][-1], logits, -torch.inf) / temperature, -1)


def lowest_cut(logits, temperature, k):
    return torch.softmax(torch.where(logits >= cut(logits, k).min(), logits, -torch.inf) / temperature, -1)


def exactly_k(logits, temperature, k):
    best = logits.topk(k)
    return torch.full_like(logits, -torch.inf).scatter(-1, best.indices, best.values).div(temperature).softmax(-1)


def top_p(logits, p, too_early=False, at_least_one=False, one_more=False, normalise=True, back=True):
    rows = []
    for row in logits.softmax(-1):
        values, places = row.sort(descending=True)
        count = int((values.cumsum(0) < p).sum()) + 1 - too_early + one_more
        count = max(count, 1) if at_least_one else count
        kept = torch.cat((values[:count], torch.zeros_like(values[count:])))
        kept = kept / kept.sum() if normalise else kept
        rows.append(torch.zeros_like(row).index_put((places,), kept) if back else kept)
    return torch.stack(rows)


def from_the_bottom(logits, p):
    values, places = logits.softmax(-1).sort()
    kept = values * (values.cumsum(-1) - values < p)
    return torch.zeros_like(kept).scatter(-1, places, kept / kept.sum(-1, keepdim=True))


def gathered(logits, p):
    return top_p(logits, p, back=False).gather(-1, logits.sort(descending=True).indices)


def own_probability(logits, p):
    kept = logits.softmax(-1)
    kept = kept * (kept >= p)
    return kept / kept.sum(-1, keepdim=True)


def softmax_twice(logits, p):
    kept = top_p(logits, p, normalise=False)
    return torch.where(kept > 0, kept, -torch.inf).softmax(-1)


WRONG = {
    "12.1": [
        (393_216_000, "a key and a value"),
        (6_291_456_000, "Those are bits"),
        (196_608_000, "4 bytes in float32"),
        (98_304_000, "its own cache"),
        (750, "right in MiB"),
        (786.432, "right in MB"),
        (1_610_612_736, "a full context"),
        (196_608, "one token of one text"),
        (32_768_000, "one block"),
        (1_179_648_000, "Queries are not kept"),
        (12_582_912_000, "64 each"),
    ],
    "12.2": [
        (12, "steps per second"),
        (160, "left the caches out"),
        (20, "one text without its cache"),
        (147.69, "one cache for all"),
        (18.46, "once for all its texts"),
        (60, "four bytes a weight. In"),
        (137.14, "one byte a weight"),
        (80, "no caches"),
        (40, "number of weights"),
    ],
    "12.3": [
        (lambda *case: attend(*case, scale=1), "do not scale"),
        (lambda *case: attend(*case, scale=1 / case[0].shape[-1]), "by head_dim. It is the root"),
        (lambda *case: attend(*case, scale=case[0][0, :, 0].numel() ** -0.5), "root of emb_dim"),
        (lambda *case: attend(*case, scale=case[0].shape[-1] ** 0.5), "Divide by it"),
        (lambda *case: attend(*case, dim=-2), "the query's axis"),
        (lambda *case: attend(*case, dim=1), "over the heads"),
        (without_softmax, "softmax is missing"),
        (without_itself, "does not see itself"),
        (lambda query, new_key, new_value, keys, values: new_value + 0, "own value"),
        (lambda *case: attend(*case, is_causal=True), "Only the first token"),
        (lambda query, a, b, c, d: attend(query, b, a, d, c), "exchanged keys and values"),
        (lambda query, a, b, c, d: attend(query, a, b, c, d).transpose(1, 2), "expected is (2, 3, 1, 4)"),
        (lambda query, a, b, c, d: query @ torch.cat((c, a), 1).mT, "stopped with RuntimeError"),
    ],
    "12.4": [
        (from_position(lambda num_cached: 0), "Nothing is mended"),
        (from_position(lambda num_cached: num_cached + 1), "One too far"),
        (from_position(lambda num_cached: num_cached - 1), "One too early"),
        (embed, "the same position"),
        (lambda ids, num_cached, *tables: embed(ids, num_cached + ids.shape[1] - 1, *tables), "of its last one"),
        (lambda ids, num_cached, tok_emb, pos_emb: tok_emb[ids], "position vectors are missing"),
        (lambda ids, num_cached, *tables: embed(ids, torch.arange(num_cached), *tables), "stopped with RuntimeError"),
    ],
    "12.5": [
        (smallest_k, "k smallest"),
        (lowest_cut, "cut all rows at one logit"),
        (cut_late, "no longer sum to 1"),
        (lambda logits, temperature, k: top_k(logits, 1 / temperature, k), "multiply by the temperature"),
        (lambda logits, temperature, k: top_k(logits, 1, k), "temperature is not used"),
        (lambda logits, temperature, k: top_k(logits, 1, k) / temperature, "Divide the logits"),
        (lambda logits, temperature, k: top_k(logits, temperature, k, fill=0.0), "set the other logits to 0"),
        (lambda logits, temperature, k: (logits / temperature).softmax(-1), "cut is still missing"),
        (one_short, "keep k - 1 tokens"),
        (whole_batch, "whole batch"),
        (exactly_k, "share the second place"),
        (lambda logits, temperature, k: (logits.topk(k)[0] / temperature).softmax(-1), "has shape (2, 3)"),
    ],
    "12.6": [
        (lambda logits, p: top_p(logits, p, too_early=True), "sums to less than p"),
        (gathered, "scatter puts there"),
        (lambda logits, p: top_p(logits, p, too_early=True, at_least_one=True), "sums to less than p"),
        (lambda logits, p: top_p(logits, p, too_early=True, normalise=False), "must sum to 1 again"),
        (lambda logits, p: top_p(logits, p, one_more=True), "one token too large"),
        (lambda logits, p: top_p(logits, p, normalise=False), "The right tokens stay"),
        (lambda logits, p: top_p(logits, p, back=False), "but sorted"),
        (from_the_bottom, "least likely token up"),
        (own_probability, "whose own probability"),
        (softmax_twice, "softmax to probabilities"),
        (lambda logits, p: logits.softmax(-1), "No token is cut off"),
    ],
}

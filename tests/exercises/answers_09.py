"""Typical wrong answers to the exercises of notebook 09, and words of the message that each gets."""

import torch


def greedy(model, idx, max_new_tokens, context_size):
    for _ in range(max_new_tokens):
        logits = model(idx[:, -context_size:])[:, -1, :]
        idx = torch.cat((idx, logits.argmax(dim=-1, keepdim=True)), dim=1)
    return idx


def loop(step):
    """A greedy loop of which one step, from the whole text to a longer one, is wrong."""

    def write(model, idx, max_new_tokens, context_size):
        for _ in range(max_new_tokens):
            idx = step(model, idx, context_size)
        return idx

    return write


def append(idx, logits):
    return torch.cat((idx, logits.argmax(dim=-1, keepdim=True)), dim=1)


def forgets_to_return(model, idx, max_new_tokens, context_size):
    greedy(model, idx, max_new_tokens, context_size)


def keeps_the_window_only(model, idx, max_new_tokens, context_size):
    for _ in range(max_new_tokens):
        idx = idx[:, -context_size:]
        idx = append(idx, model(idx)[:, -1])
    return idx


def crops_once(model, idx, max_new_tokens, context_size):
    window = idx[:, -context_size:]
    for _ in range(max_new_tokens):
        idx = append(idx, model(window)[:, -1])
    return idx


def in_place(model, idx, max_new_tokens, context_size):
    idx[:, 0] = 0
    return idx


def in_eval_mode(writer):
    return lambda model, *rest: writer(model.eval(), *rest)


no_crop = loop(lambda model, idx, context_size: append(idx, model(idx)[:, -1]))
first_tokens = loop(lambda model, idx, context_size: append(idx, model(idx[:, :context_size])[:, -1]))


def almost_tie(n, dtype=torch.float32, high=1e-8, place=-1):
    scores = torch.zeros(n, dtype=dtype)
    scores[place] = high
    return scores


def until(is_over):
    """A loop that stops when `is_over(the whole text, the new tokens, end_id)`."""

    def write(model, idx, max_new_tokens, context_size, end_id):
        start = idx.shape[1]
        for _ in range(max_new_tokens):
            idx = greedy(model, idx, 1, context_size)
            if is_over(idx, idx[:, start:], end_id):
                break
        return idx

    return write


def cuts_the_end_token(model, idx, max_new_tokens, context_size, end_id):
    has_ended = torch.zeros(len(idx), dtype=torch.bool)
    for _ in range(max_new_tokens):
        idx_next = model(idx[:, -context_size:])[:, -1].argmax(dim=-1)
        has_ended |= idx_next == end_id
        if has_ended.all():
            break
        idx = torch.cat((idx, idx_next[:, None]), dim=1)
    return idx


def fills_up(model, idx, max_new_tokens, context_size, end_id):
    has_ended = torch.zeros(len(idx), 1, dtype=torch.bool)
    for _ in range(max_new_tokens):
        idx_next = model(idx[:, -context_size:])[:, -1].argmax(dim=-1, keepdim=True)
        idx_next[has_ended] = end_id
        has_ended |= idx_next == end_id
        idx = torch.cat((idx, idx_next), dim=1)
        if has_ended.all():
            break
    return idx


def looks_before_it_writes(model, idx, max_new_tokens, context_size, end_id):
    for _ in range(max_new_tokens):
        if (idx == end_id).any(dim=1).all():
            break
        idx = greedy(model, idx, 1, context_size)
    return idx


def cuts_afterwards(model, idx, max_new_tokens, context_size, end_id):
    text, start = greedy(model, idx, max_new_tokens, context_size), idx.shape[1]
    ended = (text[:, start:] == end_id).cumsum(dim=1).clamp(max=1).prod(dim=0)  # 1 where every row has ended
    return text[:, : start + int((1 - ended).sum()) + 1] if ended.any() else text


HEAD = 50_257 * 768

WRONG = {
    "09.1": [
        (no_crop, "the whole text"),
        (first_tokens, "keeps the first tokens"),
        (crops_once, "The same token comes again"),
        (loop(lambda model, idx, size: append(idx, model(idx[:, -1:])[:, -1])), "only the newest token"),
        (loop(lambda model, idx, size: append(idx, model(idx[:, -size - 1 :])[:, -1])), "one token too many"),
        (loop(lambda model, idx, size: append(idx, model(idx[:, -size:])[:, 0])), "first position"),
        (loop(lambda model, idx, size: append(idx, -model(idx[:, -size:])[:, -1])), "lowest score"),
        (
            loop(lambda model, idx, size: torch.cat((idx, model(idx[:, -size:]).argmax(dim=1)[:, -1:]), dim=1)),
            "runs over the positions",
        ),
        (
            loop(lambda model, idx, size: torch.cat((idx, model(idx[:, -size:]).argmax(dim=-1)), dim=1)),
            "for every position",
        ),
        (loop(lambda model, idx, size: append(idx, model(idx[:, -size:])[:, -1].softmax(dim=0))), "over the batch"),
        (
            loop(lambda model, idx, size: append(idx, model(idx[:1, -size:])[:, -1].expand(len(idx), -1))),
            "the first text",
        ),
        (
            loop(
                lambda model, idx, size: torch.cat(
                    (model(idx[:, -size:])[:, -1].argmax(dim=-1, keepdim=True), idx), dim=1
                )
            ),
            "in front",
        ),
        (
            loop(lambda model, idx, size: torch.cat((idx, model(idx[:, -size:])[:, -1].argmax(dim=-1)), dim=1)),
            "must be a column",
        ),
        (keeps_the_window_only, "is lost from your text"),
        (lambda model, idx, n, size: greedy(model, idx, n + 1, size), "write one token too many"),
        (lambda model, idx, n, size: greedy(model, idx, n - 1, size), "one token too few"),
        (lambda model, idx, n, size: greedy(model, idx, 1, size), "one token only"),
        (lambda model, idx, n, size: greedy(model, idx, n, size)[:, idx.shape[1] :], "the prompt is missing"),
        (lambda model, idx, n, size: greedy(model, idx, n, size).float(), "dtype torch.float32"),
        (lambda model, idx, n, size: greedy(model, idx, n, size).tolist(), "expected is a tensor"),
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
        (lambda n: almost_tie(n, dtype=torch.float64), "dtype torch.float64"),
        (lambda n: almost_tie(2), "has shape (2,)"),
        (lambda n: almost_tie(n, high=float("nan")), "infinite or no numbers"),
        (lambda n: almost_tie(n).tolist(), "expected is a tensor"),
        (torch.tensor([0, 1e-8]), "Expected a function"),
    ],
    "09.3": [
        ((6, 4), "8 stands before it now"),
        ((11, 4), "the second round"),
        ((8, 4), "count the places from 0"),
        ((7, 3), "Count the length again"),
        ((4, 7), "other way round"),
        ((0, 4), "The length is right"),
        ((7, 8), "The beginning is right"),
        ((8, 6), "Neither"),
        (7, "tuple of 2 values"),
    ],
    "09.4": [
        (first_tokens, "Nothing is mended yet"),
        (in_eval_mode(first_tokens), "The other fault shows in long texts"),
        (greedy, "came in train mode"),
        (no_crop, "Without a crop"),
        (in_eval_mode(no_crop), "But without a crop"),
        (in_eval_mode(lambda model, idx, n, size: greedy(model, idx, n, size)[:, :-1]), "the result has shape"),
    ],
    "09.5": [
        (until(lambda text, new, end_id: False), "never stop"),
        (until(lambda text, new, end_id: (text == end_id).any(dim=1).all()), "end token in the prompt"),
        (looks_before_it_writes, "end token in the prompt"),
        (until(lambda text, new, end_id: (new == end_id).any()), "when the first row has ended"),
        (until(lambda text, new, end_id: (new[:, -1] == end_id).all()), "in the same step"),
        (until(lambda text, new, end_id: (new[0] == end_id).any()), "first row of the batch only"),
        (cuts_the_end_token, "the end token itself is missing"),
        (fills_up, "fill up the rows"),
        (cuts_afterwards, "the model was called 20 times"),
        (lambda model, idx, n, size, end_id: greedy(model, idx, min(n, 2), size), "the result has shape"),
    ],
    "09.6": [
        (39 * HEAD, "39 positions"),
        (3 * HEAD, "the first pass"),
        (18 * HEAD, "the text grows"),
        (42 * HEAD, "not read any more"),
        (66 * HEAD, "both together"),
        (6 * HEAD, "whose scores are used"),
        (1.27e9, "whole number"),
        (33, "How many multiply-adds"),
        (33 * 768, "a score of its own"),
        (33 * 50_257, "sum of emb_dim products"),
        (HEAD, "too small"),
    ],
}

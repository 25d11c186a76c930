"""Checks and hints for notebook 09, greedy generation."""

from itertools import product

import torch
import torch.nn.functional as F
from torch import nn

from gptcore.exercises.checking import (
    NotAnswered,
    Wrong,
    call,
    check_kind,
    check_number,
    check_tuple,
    close,
    copies,
    devices,
    exercise,
    show_all,
)

VOCAB_SIZE = 10


class Rigged(nn.Module):
    """A model whose every answer is known. In train mode it errs, as dropout makes a real one err."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, in_idx):
        self.calls += 1
        next_ids = self.next_ids(in_idx) + (3 if self.training else 0)
        return F.one_hot(next_ids % VOCAB_SIZE, VOCAB_SIZE).float()  # (batch, num_tokens, vocab_size)

    def __repr__(self):
        return f"({self.does})"


class Counting(Rigged):
    does = "writes the next number after each token, and 0 after 9"

    def next_ids(self, in_idx):
        return in_idx + 1


class Weighing(Rigged):
    """Its answer depends on every token that it reads and on the token's position, so it tells what it was given."""

    does = "looks at all the tokens it is given, and at their places"

    def next_ids(self, in_idx):
        weights = torch.arange(1, in_idx.shape[1] + 1, device=in_idx.device)
        return (in_idx * weights).cumsum(dim=1) + 2 * weights


def run(function, model, case):
    """Return what the learner's loop returns; one that writes but returns nothing has been answered, in a way."""
    try:
        return call(function, model, *case)
    except NotAnswered:
        if model.calls:
            raise Wrong("It runs the model, but what it writes is lost: return the ids at the end.") from None
        raise
    except Wrong as wrong:
        if "Tensors must" in str(wrong) or "Sizes of tensors" in str(wrong):  # cat's two complaints
            raise Wrong(f"{wrong}. What you append must be a column, (batch, 1): a token for each row.") from None
        raise


def check_writer(function, cases, right, mistakes, training=False):
    """Compare a loop with `right`, with a model that a pencil can follow and with one that looks at all it is given.

    Unlike check_function it knows a mistake by its result's length, too, and gives every call a new model.
    """
    runs = [(kind, case) for kind in (Counting, Weighing) for case in cases]

    def texts_by(writer):
        return [writer(kind().train(training), *copies(case)) for kind, case in runs]

    wanted = texts_by(right)  # first, while nobody can have changed the models
    results = [run(function, kind().train(training), copies(case)) for kind, case in runs]
    if _same(results, wanted):
        return
    for wrong, message in mistakes:
        if _same(results, texts_by(wrong)):
            raise Wrong(message)
    for (kind, case), result, expected in zip(runs, results, wanted, strict=True):
        before = f"For a model that {kind.does}, and for {show_all(case)} "
        check_kind(result, expected, before)
        if not close(result, expected):
            raise Wrong(f"{before}it gives {result.tolist()}; expected is {expected.tolist()}.")


def _same(results, others):
    return all(close(result, other) for result, other in zip(results, others, strict=True))


def last(idx, context_size):
    return idx[:, -context_size:]


def best_of_last(logits):
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)


def behind(idx, idx_next):
    return torch.cat((idx, idx_next), dim=1)


def write(model, idx, max_new_tokens, context_size, crop=last, choose=best_of_last, append=behind):
    for _ in range(max_new_tokens):
        idx = append(idx, choose(model(crop(idx, context_size))))
    return idx


def same_again(model, idx, max_new_tokens, context_size):
    return torch.cat((idx, *[best_of_last(model(last(idx, context_size)))] * max_new_tokens), dim=1)


def loses_the_beginning(model, idx, max_new_tokens, context_size):
    for _ in range(max_new_tokens):
        idx = last(idx, context_size)
        idx = behind(idx, best_of_last(model(idx)))
    return idx


def varied(**changes):
    return lambda model, idx, max_new_tokens, context_size: write(model, idx, max_new_tokens, context_size, **changes)


FIRST_TOKENS = varied(crop=lambda idx, context_size: idx[:, :context_size])
NO_CROP = varied(crop=lambda idx, context_size: idx)


def texts():
    """Return (idx, max_new_tokens, context_size): batches of 1 to 3, shorter and longer than the context, 0 tokens."""
    cases = [
        ([[7, 8]], 5, 4),
        ([[1, 5, 3], [0, 9, 2], [4, 4, 6]], 4, 8),
        ([[3]], 6, 3),
        ([[2, 7, 1, 8, 2, 8], [1, 4, 1, 4, 2, 1]], 5, 2),
        ([[6, 2, 8]], 0, 2),
    ]
    return [(torch.tensor(ids, device=device), *rest) for ids, *rest in cases for device in devices()]


@exercise(
    "09.1",
    hints=[
        "Four steps, `max_new_tokens` times: crop, run the model, choose the winner of the last position, append it.",
        "Keep the whole text in `idx`, and give the model only its end: `idx[:, -context_size:]`.",
        "Of the logits (batch, num_tokens, vocab_size) you need `[:, -1, :]`; `argmax(dim=-1, keepdim=True)` then "
        "gives the column (batch, 1).",
        "`logits = model(idx[:, -context_size:])[:, -1, :]`, then "
        "`idx = torch.cat((idx, logits.argmax(dim=-1, keepdim=True)), dim=1)`, in a loop; after it `return idx`.",
    ],
)
def my_greedy(answer):
    mistakes = [
        (
            varied(choose=lambda logits: logits[:, :1, :].argmax(dim=-1)),
            "You use the scores of the first position, which has read one token only. The last one has read them all.",
        ),
        (
            varied(choose=lambda logits: logits.argmax(dim=1)[:, -1:]),
            "Your argmax runs over the positions and gives a position. It must run over the vocabulary: dim=-1.",
        ),
        (
            varied(choose=lambda logits: logits[:, -1, :].argmin(dim=-1, keepdim=True)),
            "You take the token with the lowest score. Greedy takes the highest.",
        ),
        (
            varied(choose=lambda logits: best_of_last(logits.softmax(dim=0))),
            "Your softmax runs over the batch, so the texts disturb each other. It must run over the vocabulary.",
        ),
        (
            varied(choose=lambda logits: best_of_last(logits)[:1].expand(len(logits), 1)),
            "Every text gets the winner of the first text. Each row of the batch has its own.",
        ),
        (
            varied(choose=lambda logits: logits.argmax(dim=-1)),
            "You append a token for every position. Only the last position's token is new.",
        ),
        (
            varied(append=lambda idx, idx_next: torch.cat((idx_next, idx), dim=1)),
            "You put the new token in front. Text grows at its end: cat((idx, idx_next), dim=1).",
        ),
        (
            same_again,
            "The same token comes again and again: the model always reads the prompt. It must read what was written.",
        ),
        (
            lambda model, idx, max_new_tokens, context_size: write(model, idx, max_new_tokens + 1, context_size),
            "You write one token too many.",
        ),
        (
            lambda model, idx, max_new_tokens, context_size: write(model, idx, max_new_tokens - 1, context_size),
            "You write one token too few.",
        ),
        (
            lambda model, idx, max_new_tokens, context_size: write(model, idx, 1, context_size),
            "You write one token only, whatever max_new_tokens says.",
        ),
        (
            lambda model, idx, max_new_tokens, context_size: write(model, idx, max_new_tokens, context_size)[
                :, idx.shape[1] :
            ],
            "The new tokens are right, but the prompt is missing in front of them.",
        ),
        (
            loses_the_beginning,
            "What falls out of the context is lost from your text, too. Crop only what the model is given.",
        ),
        (
            NO_CROP,
            "You give the model the whole text. It must get the last context_size tokens only.",
        ),
        (
            FIRST_TOKENS,
            "Your crop keeps the first tokens of the text. The model must get the last ones: idx[:, -context_size:].",
        ),
        (
            varied(crop=lambda idx, context_size: idx[:, -1:]),
            "You give the model only the newest token. It must get the last context_size tokens.",
        ),
        (
            varied(crop=lambda idx, context_size: idx[:, -context_size - 1 :]),
            "Your crop keeps one token too many.",
        ),
        (
            varied(crop=lambda idx, context_size: idx[:, 1 - context_size :]),
            "Your crop keeps one token too few.",
        ),
    ]
    check_writer(answer, texts(), write, mistakes)
    return "It writes what gptcore's generate_text_simple writes, whatever the batch and the context."


@exercise(
    "09.2",
    hints=[
        "`float32` can tell 0 and 0.00000001 apart. Can it tell their probabilities apart?",
        "When probabilities are equal, argmax takes the first. Where must the winner of the scores stand?",
        "Zeros, and in the last place 1e-8.",
    ],
)
def my_near_tie(answer):
    for vocab_size in (2, 10, 1000):
        given = call(answer, vocab_size)
        check_kind(given, torch.zeros(vocab_size), f"For vocab_size {vocab_size} ")
        scores = given.detach().cpu()
        if not scores.isfinite().all():
            raise Wrong("Some of your scores are infinite or no numbers. Ordinary numbers are enough.")
        probas = scores.softmax(dim=-1)
        before, after = scores.argmax().item(), probas.argmax().item()
        if before != after:
            continue
        if (scores == scores.max()).sum() > 1:
            raise Wrong(
                f"For vocab_size {vocab_size} the highest score is there more than once, so argmax takes the first "
                "of them before softmax, too. One score must be a little higher than all others."
            )
        if (probas == probas.max()).sum() > 1:
            raise Wrong(
                f"For vocab_size {vocab_size} softmax does make a tie, but of a tie argmax takes the first, and that "
                f"is your winner {before} again. Let a rival stand before it."
            )
        second = probas.topk(2).values[1].item()
        raise Wrong(
            f"For vocab_size {vocab_size} index {before} wins before and after: {probas[before].item():.10f} against "
            f"{second:.10f}. Closer!"
        )
    return "On real numbers softmax keeps the order; float32 rounds two probabilities to one."


@exercise(
    "09.3",
    hints=[
        "The model reads two tokens. That one token comes again does not make a loop yet: what stood before it?",
        "Go backwards from the right end: how far does the same shape repeat?",
        "The shape 0, 1, 4, 7 repeats. What is the place of its very first 0?",
    ],
)
def where_the_loop_begins(answer):
    mistakes = {pair: "Neither the place nor the length is right." for pair in product(range(26), repeat=2)}
    mistakes |= {
        (7, length): "The beginning is right. Count the length again, from one 0 to the next." for length in range(26)
    }
    mistakes |= {
        (place, 4): "The length is right. At which place does this shape begin for the first time?"
        for place in range(26)
    }
    mistakes |= {
        (6, 4): "At place 6 token 9 comes again, but not the loop: 8 stands before it now, 2 stood there before. "
        "The model reads two tokens, so it goes on differently.",
        (2, 4): "Token 9 of place 2 comes again at place 6, but after it the text goes on differently.",
        (8, 4): "Very near: count the places from 0, and look whether the token before belongs to the loop.",
        (11, 4): "The length is right. At place 11 the second round begins; where does the first one?",
        (4, 7): "The other way round: first the place, then the length.",
    }
    check_tuple(answer, (7, 4), mistakes)
    return "With a window of 16 tokens it is the same: all 16 must come again, and then everything does."


@exercise(
    "09.4",
    hints=[
        "One fault shows only in texts that are longer than context_size. Which tokens does the model get then?",
        "The other one shows only with a model that comes straight from training.",
        "`idx[:, :context_size]` are the first tokens. And what does `model.eval()` do?",
        "Begin with `model.eval()`, and crop with `idx[:, -context_size:]`.",
    ],
)
def mended_writer(answer):
    def in_eval_mode(writer):
        return lambda model, *rest: writer(model.eval(), *rest)

    mistakes = [
        (
            FIRST_TOKENS,
            "Nothing is mended yet: the model is still in train mode, and long texts are still cropped wrongly.",
        ),
        (
            in_eval_mode(FIRST_TOKENS),
            "The model is in eval mode now. The other fault shows in long texts: which tokens does the model get?",
        ),
        (
            in_eval_mode(NO_CROP),
            "The model is in eval mode now. But without a crop it gets more than context_size tokens: keep the last.",
        ),
        (
            write,
            "The crop is right now. But the model came in train mode and still is in it: dropout disturbs its scores.",
        ),
        (
            NO_CROP,
            "Without a crop the model gets more than context_size tokens: keep the last. The other fault is its mode.",
        ),
    ]
    check_writer(answer, texts(), in_eval_mode(write), mistakes, training=True)
    return "Neither fault raises an error. One spoils long texts only, the other makes every run differ."


def write_until(model, idx, max_new_tokens, context_size, end_id, is_over):
    """Write until `is_over(text, new, end_id)`, where `new` are the tokens written so far."""
    start = idx.shape[1]
    for _ in range(max_new_tokens):
        idx = write(model, idx, 1, context_size)
        if is_over(idx, idx[:, start:], end_id):
            break
    return idx


def each_has_ended(text, new, end_id):
    return (new == end_id).any(dim=1).all()


def prompt_counts(text, new, end_id):
    return each_has_ended(text, text, end_id)


def stopping(is_over):
    return lambda *arguments: write_until(*arguments, is_over)


def prompt_counts_at_once(model, idx, max_new_tokens, context_size, end_id):
    if prompt_counts(idx, None, end_id):
        return idx
    return write_until(model, idx, max_new_tokens, context_size, end_id, prompt_counts)


def fills_up(model, idx, max_new_tokens, context_size, end_id):
    has_ended = torch.zeros(len(idx), 1, dtype=torch.bool, device=idx.device)
    for _ in range(max_new_tokens):
        idx_next = best_of_last(model(last(idx, context_size))).masked_fill(has_ended, end_id)
        has_ended = has_ended | (idx_next == end_id)
        idx = behind(idx, idx_next)
        if has_ended.all():
            break
    return idx


def without_the_end_token(model, idx, max_new_tokens, context_size, end_id):
    text = write_until(model, idx, max_new_tokens, context_size, end_id, each_has_ended)
    return text[:, :-1] if each_has_ended(text, text[:, idx.shape[1] :], end_id) else text


@exercise(
    "09.5",
    hints=[
        "Take the loop of 09.1. After each new column, note which rows have written `end_id` by now.",
        "`has_ended`, one truth value per row, begins as all False; with each column "
        "`has_ended = has_ended | (idx_next[:, 0] == end_id)`.",
        "`torch.zeros(len(idx), dtype=torch.bool)` is such a beginning; `if has_ended.all(): break` ends the loop.",
        "Or without notes: after each step `if (idx[:, start:] == end_id).any(dim=1).all(): break`, where `start` is "
        "the length of the prompt.",
    ],
)
def my_stopping_writer(answer):
    def never(text, new, end_id):
        return False

    mistakes = [
        (stopping(never), "You never stop before max_new_tokens. When every row has written end_id, it is enough."),
        (
            stopping(prompt_counts),
            "An end token in the prompt stops you. Only those count that were written after the prompt.",
        ),
        (
            prompt_counts_at_once,
            "An end token in the prompt stops you. Only those count that were written after the prompt.",
        ),
        (
            stopping(lambda text, new, end_id: (new == end_id).any()),
            "You stop when the first row has ended. The other rows of the batch are not finished yet.",
        ),
        (
            stopping(lambda text, new, end_id: (new[:, -1] == end_id).all()),
            "You stop when all rows write end_id in the same step. Remember the rows that wrote it earlier.",
        ),
        (
            stopping(lambda text, new, end_id: (new[0] == end_id).any()),
            "You look at the first row of the batch only.",
        ),
        (without_the_end_token, "You stop in time, but the end token itself is missing: append it, then stop."),
        (
            fills_up,
            "You fill up the rows that have ended. Here they are written on like the others, until all have ended.",
        ),
    ]
    cases = [
        ([[7]], 20, 4, 9),
        ([[7, 7], [5, 4], [6, 5]], 20, 2, 9),
        ([[2, 5], [4, 6], [3, 5]], 20, 3, 9),
        ([[1, 9, 3], [9, 2, 4]], 12, 3, 9),
        ([[2], [3]], 3, 4, 9),
        ([[8, 0]], 15, 5, 0),
    ]
    cases = [(torch.tensor(ids, device=device), *rest) for ids, *rest in cases for device in devices()]
    check_writer(answer, cases, stopping(each_has_ended), mistakes)
    model = Counting().eval()
    call(answer, model, torch.tensor([[7]]), 20, 4, 9)
    if model.calls != 2:
        raise Wrong(
            f"The text is right, but after 7 the model was called {model.calls} times to write 8 and 9. Two are enough."
        )
    return "After 7 it writes 8 and 9 and has called the model exactly twice."


@exercise(
    "09.6",
    hints=[
        "The first pass reads 4 tokens and scores 4 positions. One of them is used.",
        "Each pass reads one token more, and each of the six throws away all positions but one: 3 + 4 + ...",
        "To score one position, the head makes `vocab_size` sums of `emb_dim` products each.",
    ],
)
def wasted_in_the_head(answer):
    one = 50_257 * 768
    mistakes = {
        39 * one: "Those are 39 positions, all that the six passes score. The last one of each pass is used.",
        3 * one: "That is the first pass. Five more follow, and each reads one token more.",
        18 * one: "You throw away 3 positions each time. But the text grows: the second pass reads 5 tokens.",
        42 * one: "Your last pass reads 10 tokens. But the sixth new token is not read any more.",
        66 * one: "You count multiplications and additions apart. One multiply-add is both together.",
        6 * one: "Those are the six positions whose scores are used. How many are thrown away?",
        1.27e9: "Rounded, that is right. Give the whole number.",
        33: "That many positions are thrown away. How many multiply-adds does each cost?",
        33 * 768: "You count emb_dim for each position. But each token of the vocabulary has a score of its own.",
        33 * 50_257: "You count one for each score. Each score is a sum of emb_dim products.",
    }
    check_number(answer, 33 * one, mistakes)
    return "33 of 39 positions, 1.27 billion multiply-adds. Notebook 12 asks the head for the last position only."

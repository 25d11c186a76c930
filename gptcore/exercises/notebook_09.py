"""The exercises of notebook 09, greedy generation."""

from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import nn

from gptcore.exercises.checking import (
    NotAnswered,
    Wrong,
    call,
    call_all,
    check_kind,
    check_tuple,
    close,
    copies,
    exercise,
    name_mistake,
    number,
    on_each_device,
    show_all,
)
from gptcore.exercises.ready_made import WRITERS

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


def run(function, cases):
    """Return what the learner's loop returns; one that writes but returns nothing has been answered, in a way."""
    try:
        return call_all(function, cases)
    except NotAnswered:
        if any(model.calls for model, *_ in cases):
            raise Wrong("It runs the model, but what it writes is lost: return the ids at the end.") from None
        raise
    except Wrong as wrong:
        if "except in dimension 0" in str(wrong):
            raise Wrong(f"{wrong}. A text grows at its end, along dim=1; dim=0 is the batch.", wrong.case) from None
        if "Tensors must" in str(wrong) or "Sizes of tensors" in str(wrong):  # cat's two complaints
            column = "What you append must be a column, (batch, 1): a token for each row."
            raise Wrong(f"{wrong}. {column}", wrong.case) from None
        raise


def check_writer(function, cases, right, mistakes, training=False):
    """Compare a loop with `right`, with a model that a pencil can follow and with one that looks at all it is given.

    Unlike check_function it knows a mistake by its result's length, too, and gives every call a new model.
    """
    runs = [(kind, case) for kind in (Counting, Weighing) for case in cases]

    def new():
        return [(kind().train(training), *copies(case)) for kind, case in runs]

    def texts_by(writer):
        return [writer(*case) for case in new()]

    wanted = texts_by(right)  # first, while nobody can have changed the models
    results = run(function, new())
    tried = list(zip(new(), results, wanted, strict=True))
    missed = next((case for case, result, expected in tried if not close(result, expected)), None)
    if missed is None:
        return
    name_mistake(mistakes, lambda wrong: _same(results, texts_by(wrong)), missed)
    for case, result, expected in tried:
        check_kind(result, expected, case=case, function=function)
        if not close(result, expected):
            given = show_all(case, function)
            raise Wrong(f"For {given} it gives {result.tolist()}; expected is {expected.tolist()}.", case)


def _same(results, others):
    return all(close(result, other) for result, other in zip(results, others, strict=True))


def writer(name, right, *, cases, mistakes, solved, hints, training=False, forbidden=()):
    """Register an exercise whose answer is such a loop."""

    def judge(answer):
        check_writer(answer, cases(), right, mistakes, training)

    exercise(name, hints=hints, solved=solved, mistakes=mistakes, forbidden=forbidden)(judge)


def last(idx, context_size):
    return idx[:, -context_size:]


def first(idx, context_size):
    return idx[:, :context_size]


def whole(idx, context_size):
    return idx


def best(logits):
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)


def behind(idx, idx_next):
    return torch.cat((idx, idx_next), dim=1)


def write(model, idx, max_new_tokens, context_size, *, crop=last, choose=best, append=behind):
    """Generate greedily, or with a fault."""
    for _ in range(max_new_tokens):
        idx = append(idx, choose(model(crop(idx, context_size))))
    return idx


def same_again(model, idx, max_new_tokens, context_size):
    return torch.cat((idx, *[best(model(last(idx, context_size)))] * max_new_tokens), dim=1)


def texts():
    """Return (idx, max_new_tokens, context_size): batches of 1 to 3, shorter and longer than the context, 0 tokens."""
    cases = [
        ([[7, 8]], 5, 4),
        ([[1, 5, 3], [0, 9, 2], [4, 4, 6]], 4, 8),
        ([[3]], 6, 3),
        ([[2, 7, 1, 8, 2, 8], [1, 4, 1, 4, 2, 1]], 5, 2),
        ([[6, 2, 8]], 0, 2),
    ]
    return on_each_device([(torch.tensor(ids), *rest) for ids, *rest in cases])


writer(
    "09.1",
    write,
    cases=texts,
    forbidden=WRITERS,
    mistakes={
        "You use the scores of the first position, which has read one token only. The last one has read them all.": (
            partial(write, choose=lambda logits: logits[:, :1].argmax(dim=-1))
        ),
        "Your argmax runs over the positions and gives a position. It must run over the vocabulary: dim=-1.": partial(
            write, choose=lambda logits: logits.argmax(dim=1)[:, -1:]
        ),
        "You take the token with the lowest score. Greedy takes the highest.": partial(
            write, choose=lambda logits: best(-logits)
        ),
        "Your softmax runs over the batch, so the texts disturb each other. It must run over the vocabulary.": partial(
            write, choose=lambda logits: best(logits.softmax(dim=0))
        ),
        "Every text gets the winner of the first text. Each row of the batch has its own.": partial(
            write, choose=lambda logits: best(logits[:1].expand_as(logits))
        ),
        "You append a token for every position. Only the last position's token is new.": partial(
            write, choose=lambda logits: logits.argmax(dim=-1)
        ),
        "You put the new token in front. Text grows at its end: cat((idx, idx_next), dim=1).": partial(
            write, append=lambda idx, idx_next: behind(idx_next, idx)
        ),
        "The same token comes again and again: the model always reads the prompt. It must read what was written.": (
            same_again
        ),
        "You write one token too many.": lambda model, idx, n, size: write(model, idx, n + 1, size),
        "You write one token too few.": lambda model, idx, n, size: write(model, idx, n - 1, size),
        "You write one token only, whatever max_new_tokens says.": (
            lambda model, idx, n, size: write(model, idx, 1, size)
        ),
        "The new tokens are right, but the prompt is missing in front of them.": (
            lambda model, idx, n, size: write(model, idx, n, size)[:, idx.shape[1] :]
        ),
        "What falls out of the context is lost from your text, too. Crop only what the model is given.": (
            lambda model, idx, n, size: write(
                model, idx, n, size, append=lambda idx, idx_next: behind(last(idx, size), idx_next)
            )
        ),
        "You give the model the whole text. It must get the last context_size tokens only.": partial(write, crop=whole),
        "Your crop keeps the first tokens of the text. The model must get the last ones: idx[:, -context_size:].": (
            partial(write, crop=first)
        ),
        "You give the model only the newest token. It must get the last context_size tokens.": partial(
            write, crop=lambda idx, size: last(idx, 1)
        ),
        "Your crop keeps one token too many.": partial(write, crop=lambda idx, size: last(idx, size + 1)),
        "Your crop keeps one token too few.": partial(write, crop=lambda idx, size: idx[:, 1 - size :]),
    },
    solved="It writes what gptcore's generate_text_simple writes, whatever the batch and the context.",
    hints=[
        "Four steps, `max_new_tokens` times: crop, run the model, choose the winner of the last position, append it.",
        "Keep the whole text in `idx`, and give the model only its end: `idx[:, -context_size:]`.",
        "Of the logits (batch, num_tokens, vocab_size) you need `[:, -1, :]`; `argmax(dim=-1, keepdim=True)` then "
        "gives the column (batch, 1).",
        "`logits = model(idx[:, -context_size:])[:, -1, :]`, then "
        "`idx = torch.cat((idx, logits.argmax(dim=-1, keepdim=True)), dim=1)`, in a loop; after it `return idx`.",
    ],
)


@exercise(
    "09.2",
    solved="On real numbers softmax keeps the order; float32 rounds two probabilities to one.",
    hints=[
        "`float32` can tell 0 and 0.00000001 apart. Can it tell their probabilities apart?",
        "When probabilities are equal, argmax takes the first. Where must the winner of the scores stand?",
        "Zeros, and in the last place 1e-8.",
    ],
)
def my_near_tie(answer):
    sizes = (2, 10, 1000)
    for vocab_size, given in zip(sizes, call_all(answer, [(size,) for size in sizes]), strict=True):
        case = (vocab_size,)
        nothing_is_right_yet = torch.full(case, torch.nan)  # else a wrong dtype would hear that its zeros are right
        check_kind(given, nothing_is_right_yet, case=case, function=answer)
        scores = given.detach().cpu()
        if not scores.isfinite().all():
            raise Wrong("Some of your scores are infinite or no numbers. Ordinary numbers are enough.", case)
        probas = scores.softmax(dim=-1)
        before, after = scores.argmax().item(), probas.argmax().item()
        if before != after:
            continue
        if (scores == scores.max()).sum() > 1:
            raise Wrong(
                f"For vocab_size {vocab_size} the highest score is there more than once, so argmax takes the first "
                "of them before softmax, too. One score must be a little higher than all others.",
                case,
            )
        if (probas == probas.max()).sum() > 1:
            raise Wrong(
                f"For vocab_size {vocab_size} softmax does make a tie, but of a tie argmax takes the first, and that "
                f"is your winner {before} again. Let a rival stand before it.",
                case,
            )
        second = probas.topk(2).values[1].item()
        raise Wrong(
            f"For vocab_size {vocab_size} index {before} wins before and after: {probas[before].item():.10f} against "
            f"{second:.10f}. Closer!",
            case,
        )


LOOP_MISTAKES = {
    "At place 6 token 9 comes again, but not the loop: 8 stands before it now, 2 stood there before. "
    "The model reads two tokens, so it goes on differently.": (6, 4),
    "Token 9 of place 2 comes again at place 6, but after it the text goes on differently.": (2, 4),
    "Very near: count the places from 0, and look whether the token before belongs to the loop.": (8, 4),
    "The length is right. At place 11 the second round begins; where does the first one?": (11, 4),
    "The other way round: first the place, then the length.": (4, 7),
}


@exercise(
    "09.3",
    mistakes=LOOP_MISTAKES,
    solved="With a window of 16 tokens it is the same: all 16 must come again, and then everything does.",
    hints=[
        "The model reads two tokens. That one token comes again does not make a loop yet: what stood before it?",
        "Go backwards from the right end: how far does the same shape repeat?",
        "The shape 0, 1, 4, 7 repeats. What is the place of its very first 0?",
    ],
)
def where_the_loop_begins(answer):
    others = {
        "The length is right. At which place does this shape begin for the first time?": list(product(range(26), [4])),
        "The beginning is right. Count the length again, from one 0 to the next.": list(product([7], range(26))),
        "Neither the place nor the length is right.": list(product(range(26), repeat=2)),
    }
    check_tuple(answer, (7, 4), LOOP_MISTAKES | others)


def in_eval_mode(loop, **fault):
    return lambda model, *rest: loop(model.eval(), *rest, **fault)


writer(
    "09.4",
    in_eval_mode(write),
    cases=texts,
    training=True,
    mistakes={
        "Nothing is mended yet: the model is still in train mode, and long texts are still cropped wrongly.": partial(
            write, crop=first
        ),
        "The model is in eval mode now. The other fault shows in long texts: which tokens does the model get?": (
            in_eval_mode(write, crop=first)
        ),
        "The model is in eval mode now. But without a crop it gets more than context_size tokens: keep the last.": (
            in_eval_mode(write, crop=whole)
        ),
        "The crop is right now. But the model came in train mode and still is in it: dropout disturbs its scores.": (
            write
        ),
        "Without a crop the model gets more than context_size tokens: keep the last. The other fault is its mode.": (
            partial(write, crop=whole)
        ),
    },
    solved="Neither fault raises an error. One spoils long texts only, the other makes every run differ.",
    hints=[
        "One fault shows only in texts that are longer than context_size. Which tokens does the model get then?",
        "The other one shows only with a model that comes straight from training.",
        "`idx[:, :context_size]` are the first tokens. And what does `model.eval()` do?",
        "Begin with `model.eval()`, and crop with `idx[:, -context_size:]`.",
    ],
)


def leaves_out_the_last(is_over):
    """Return a writer that looks whether the text is over before it appends the newest token."""

    def writes(model, idx, max_new_tokens, context_size, end_id):
        start = idx.shape[1]
        for _ in range(max_new_tokens):
            longer = write(model, idx, 1, context_size)
            if is_over(longer, longer[:, start:], end_id):
                break
            idx = longer
        return idx

    return writes


def writes_at_least_one(model, idx, max_new_tokens, context_size, end_id):
    return stopping(each_has_ended)(model, idx, max(1, max_new_tokens), context_size, end_id)


def write_until(model, idx, max_new_tokens, context_size, end_id, *, is_over, at_once=False):
    """Write until `is_over(text, new, end_id)`, where `new` are the tokens written so far: one at least, or none."""
    start = idx.shape[1]
    for step in range(max_new_tokens):
        if (step or at_once) and is_over(idx, idx[:, start:], end_id):
            break
        idx = write(model, idx, 1, context_size)
    return idx


def stopping(is_over, at_once=False):
    return partial(write_until, is_over=is_over, at_once=at_once)


def each_has_ended(text, new, end_id):
    return (new == end_id).any(dim=1).all()


def prompt_counts(text, new, end_id):
    return each_has_ended(text, text, end_id)


def fills_up(model, idx, max_new_tokens, context_size, end_id):
    has_ended = torch.zeros(len(idx), 1, dtype=torch.bool, device=idx.device)
    for _ in range(max_new_tokens):
        idx_next = best(model(last(idx, context_size))).masked_fill(has_ended, end_id)
        has_ended = has_ended | (idx_next == end_id)
        idx = behind(idx, idx_next)
        if has_ended.all():
            break
    return idx


def first_row_has_ended(text, new, end_id):
    return (new[0] == end_id).any()


def some_row_has_ended(text, new, end_id):
    return (new == end_id).any()


def all_end_at_once(text, new, end_id):
    return (new[:, -1] == end_id).all()


STOP_MISTAKES = {
    "You never stop before max_new_tokens. When every row has written end_id, it is enough.": stopping(
        lambda text, new, end_id: False
    ),
    "An end token in the prompt stops you. Only those count that were written after the prompt.": [
        stopping(prompt_counts),
        stopping(prompt_counts, at_once=True),
    ],
    "You stop when the first row has ended. The other rows of the batch are not finished yet.": stopping(
        some_row_has_ended
    ),
    "You stop when all rows write end_id in the same step. Remember the rows that wrote it earlier.": stopping(
        all_end_at_once
    ),
    "You look at the first row of the batch only.": stopping(first_row_has_ended),
    "You stop in time, but the end token itself is missing: append it, then stop.": leaves_out_the_last(each_has_ended),
    "The end token itself belongs to the text: append it, then stop. And look again at when all rows have ended.": [
        leaves_out_the_last(all_end_at_once),
        leaves_out_the_last(some_row_has_ended),
        leaves_out_the_last(first_row_has_ended),
        leaves_out_the_last(prompt_counts),
    ],
    "You write one token at least. With max_new_tokens 0 there is nothing to write.": writes_at_least_one,
    "You fill up the rows that have ended. Here they are written on like the others, until all have ended.": fills_up,
}


@exercise(
    "09.5",
    mistakes=STOP_MISTAKES,
    solved="After 7 it writes 8 and 9 and has called the model exactly twice.",
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
    cases = [
        ([[7]], 20, 4, 9),
        ([[7, 7], [5, 4], [6, 5]], 20, 2, 9),
        ([[2, 5], [4, 6], [3, 5]], 20, 3, 9),
        ([[1, 9, 3], [9, 2, 4]], 12, 3, 9),
        ([[2], [3]], 3, 4, 9),
        ([[8, 0]], 15, 5, 0),
        ([[6, 2]], 0, 3, 9),
    ]
    cases = on_each_device([(torch.tensor(ids), *rest) for ids, *rest in cases])
    check_writer(answer, cases, stopping(each_has_ended), STOP_MISTAKES)
    for ids, most, needed in [([[7]], 20, 2), ([[2]], 3, 3), ([[6]], 0, 0)]:  # the first reaches the end, 9
        model = Counting().eval()
        call(answer, model, torch.tensor(ids), most, 4, 9)
        if model.calls != needed:
            raise Wrong(
                f"The text is right, but to write {needed} tokens (idx={ids}, max_new_tokens={most}) the model was "
                f"called {model.calls} times. {needed} are enough."
            )


HEAD = 50_257 * 768  # multiply-adds for one position

number(
    "09.6",
    33 * HEAD,
    mistakes={
        "Those are 39 positions, all that the six passes score. The last one of each pass is used.": 39 * HEAD,
        "That is the first pass. Five more follow, and each reads one token more.": 3 * HEAD,
        "You throw away 3 positions each time. But the text grows: the second pass reads 5 tokens.": 18 * HEAD,
        "Your last pass reads 10 tokens. But the sixth new token is not read any more.": 42 * HEAD,
        "You count multiplications and additions apart. One multiply-add is both together.": 66 * HEAD,
        "Those are the six positions whose scores are used. How many are thrown away?": 6 * HEAD,
        "Rounded, that is right. Give the whole number.": [1.27e9, 1.274e9, 1.2737e9],
        "That is how many positions are thrown away. How many multiply-adds does each cost?": 33,
        "You count emb_dim for each position. But each token of the vocabulary has a score of its own.": 33 * 768,
        "You count one for each score. Each score is a sum of emb_dim products.": 33 * 50_257,
    },
    solved="33 of 39 positions, 1.27 billion multiply-adds. Notebook 12 asks the head for the last position only.",
    hints=[
        "The first pass reads 4 tokens and scores 4 positions. One of them is used.",
        "Each pass reads one token more, and each of the six throws away all positions but one: 3 + 4 + ...",
        "To score one position, the head makes `vocab_size` sums of `emb_dim` products each.",
    ],
)

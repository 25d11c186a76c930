"""Checks and hints for notebook 07, the transformer block."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import (
    Wrong,
    as_letters,
    check_function,
    check_tuple,
    devices,
    exercise,
)

STEPS = {
    "a": "attention",
    "b": "adding what attention wrote",
    "c": "dropout after attention",
    "d": "norm1",
    "e": "feed-forward",
    "f": "adding what feed-forward wrote",
    "g": "dropout after feed-forward",
    "h": "norm2",
}


class Part(NamedTuple):
    """A small stand-in for one part of a block. In messages it goes by its name."""

    name: str
    function: object

    def __call__(self, x):
        return self.function(x)

    def __repr__(self):
        return self.name


class Block(NamedTuple):
    """The parts of a block. A tuple cannot be changed by the code that is checked; the right answer uses it, too."""

    norm1: Part
    att: Part
    norm2: Part
    ff: Part
    drop: Part

    def __repr__(self):
        return "<norm1, att, norm2, ff>"


def make_block(emb_dim, seed):
    """Return parts with fixed numbers: two different norms, an attention that averages what came before, ..."""
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randn(2, emb_dim, emb_dim, generator=generator)
    scales = 1 + torch.rand(2, emb_dim, generator=generator)
    shifts = torch.randn(2, emb_dim, generator=generator)
    kept = torch.rand(emb_dim, generator=generator) < 0.6
    kept[:2] = torch.tensor([True, False])  # at least one is kept, and one dropped

    def norm(number):
        return lambda x: F.layer_norm(x, (emb_dim,), scales[number].to(x.device), shifts[number].to(x.device))

    def attention(x):
        num_seen = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        return torch.tanh(x.cumsum(dim=1) / num_seen @ matrices[0].to(x.device))

    return Block(
        norm1=Part("norm1", norm(0)),
        att=Part("att", attention),
        norm2=Part("norm2", norm(1)),
        ff=Part("ff", lambda x: F.gelu(x @ matrices[1].to(x.device))),
        drop=Part("drop", lambda x: x * kept.to(x.device) / 0.6),
    )


def streams(emb_dims=(4, 6)):
    """Return inputs: one token, one text, several, long vectors, tiny ones; the first is small enough to be shown."""
    generator = torch.Generator().manual_seed(7)
    shapes = [(1, 1, emb_dims[0]), (1, 5, emb_dims[-1]), (3, 4, emb_dims[0])]
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    inputs += [inputs[1] * 20, inputs[2] * 0.01]
    return [x.to(device) for x in inputs for device in devices()]


@exercise(
    "07.1",
    hints=[
        "Begin with the side street of attention alone: read a tidied copy, work, drop, add. Which letters are these?",
        "Layer norm tidies what a part reads, so it comes before the part. Dropout works on what the part wrote.",
        "The first four are d, a, c, b. The second side street goes in the same way.",
        '`"dacbhegf"`',
    ],
)
def mended_order(answer):
    right = "dacbhegf"
    text = as_letters(answer, right)
    named = {
        "abcdefgh": "Nothing is mended yet: that is your friend's order.",
        "acbdegfh": "Dropout is in its place now. The norms still come after the addition: that is post-LN.",
        "dabchefg": "The norms are in their places now. Dropout still comes after the addition: on the road.",
        "hegfdacb": "Each side street is right. But attention has its turn first, then feed-forward.",
        "hacbdegf": "The two norms are exchanged: norm1 belongs to attention, norm2 to feed-forward.",
        "adcbehgf": "The norms come after the parts now. They tidy what a part reads, so they come before it.",
    }
    if text in named:
        raise Wrong(named[text])
    if text != right:
        place = next(index for index in range(len(right)) if text[index] != right[index])
        so_far = f"Up to step {place} your order is right. Then" if place else "At the very start"
        raise Wrong(f"{so_far} {STEPS[text[place]]} comes too early.")
    return "Twice the same four steps: norm, part, dropout, add. The road itself is only ever added to."


def block(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(norm1(x)))
    return x + drop(ff(norm2(x)))


def post_ln(x, norm1, att, norm2, ff, drop):
    x = norm1(x + drop(att(x)))
    return norm2(x + drop(ff(x)))


def norm_on_the_road(x, norm1, att, norm2, ff, drop):
    x = norm1(x)
    x = x + drop(att(x))
    x = norm2(x)
    return x + drop(ff(x))


def parallel(x, norm1, att, norm2, ff, drop):
    return x + drop(att(norm1(x))) + drop(ff(norm2(x)))


def from_the_start(x, norm1, att, norm2, ff, drop):
    written = x + drop(att(norm1(x)))
    return x + drop(ff(norm2(written)))


def first_shortcut_lost(x, norm1, att, norm2, ff, drop):
    x = drop(att(norm1(x)))
    return x + drop(ff(norm2(x)))


def second_shortcut_lost(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(norm1(x)))
    return drop(ff(norm2(x)))


def no_shortcuts(x, norm1, att, norm2, ff, drop):
    return drop(ff(norm2(drop(att(norm1(x))))))


def feed_forward_first(x, norm1, att, norm2, ff, drop):
    return block(x, norm2, ff, norm1, att, drop)


def norms_exchanged(x, norm1, att, norm2, ff, drop):
    return block(x, norm2, att, norm1, ff, drop)


def norm1_twice(x, norm1, att, norm2, ff, drop):
    return block(x, norm1, att, norm1, ff, drop)


def norm2_twice(x, norm1, att, norm2, ff, drop):
    return block(x, norm2, att, norm2, ff, drop)


def same(x):
    return x


def norms_left_out(x, norm1, att, norm2, ff, drop):
    return block(x, same, att, same, ff, drop)


def norm_after_the_part(x, norm1, att, norm2, ff, drop):
    x = x + drop(norm1(att(x)))
    return x + drop(norm2(ff(x)))


STRUCTURES = [
    (post_ln, "Your norms come after the addition, on the road: post-LN. GPT-2 norms what a part reads."),
    (
        norm_on_the_road,
        "Your norms change the road itself. Only the part reads the tidied copy; the addition starts from x as it was.",
    ),
    (parallel, "Your feed-forward reads the original x. It should read the stream after attention has written to it."),
    (
        from_the_start,
        "At the end you add to the original x, so what attention wrote is lost. Add to the stream as it is by then.",
    ),
    (first_shortcut_lost, "The first shortcut is missing: attention's output replaces x instead of being added."),
    (second_shortcut_lost, "The second shortcut is missing: feed-forward's output is not added to the stream."),
    (no_shortcuts, "Both shortcuts are missing: nothing is added, so what was on the road is lost."),
    (feed_forward_first, "You let feed-forward write first. Attention has its turn before it."),
    (norms_exchanged, "The two norms are exchanged: norm1 tidies for attention, norm2 for feed-forward."),
    (norm1_twice, "You use norm1 twice. Feed-forward has a norm of its own, norm2, with its own scale and shift."),
    (norm2_twice, "You use norm2 twice. Attention has a norm of its own, norm1, with its own scale and shift."),
    (norms_left_out, "The norms are missing: each part should read a tidied copy of the stream."),
    (norm_after_the_part, "You norm what each part writes. The norm tidies what a part reads, so it comes before it."),
]


def without_drop(structure):
    return lambda x, norm1, att, norm2, ff, drop: structure(x, norm1, att, norm2, ff, same)


def drop_on_the_road(x, norm1, att, norm2, ff, drop):
    x = drop(x + att(norm1(x)))
    return drop(x + ff(norm2(x)))


def drop_first(x, norm1, att, norm2, ff, drop):
    x = x + att(drop(norm1(x)))
    return x + ff(drop(norm2(x)))


def drop_after_attention(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(norm1(x)))
    return x + ff(norm2(x))


def drop_after_feed_forward(x, norm1, att, norm2, ff, drop):
    x = x + att(norm1(x))
    return x + drop(ff(norm2(x)))


@exercise(
    "07.2",
    hints=[
        "Two lines are enough, one for each side street.",
        "Read the first from the inside: norm1 tidies, att works, drop drops. The result is added to x.",
        "The second line starts from what the first has made, not from the original x.",
        "`x = x + drop(att(norm1(x)))`, then `return x + drop(ff(norm2(x)))`",
    ],
)
def my_block(answer):
    cases = []
    for seed, x in enumerate(streams()):
        cases.append((x, *make_block(x.shape[-1], seed)))
    mistakes = [
        (
            without_drop(block),
            "The block is right but for dropout. It works on what each part writes, before it is added.",
        ),
        (
            drop_on_the_road,
            "Your dropout works on the road, after the addition. It belongs before: on what a part writes.",
        ),
        (drop_first, "Your dropout works on what a part reads. It belongs after the part: on what it writes."),
        (drop_after_attention, "Dropout is missing after feed-forward."),
        (drop_after_feed_forward, "Dropout is missing after attention."),
    ]
    for structure, message in STRUCTURES:
        mistakes.append((structure, message))
        mistakes.append((without_drop(structure), f"{message} And dropout is missing."))
    check_function(answer, cases, block, mistakes)
    return "That is GPT-2's block. Twelve of them, one after the other, are nearly the whole model."


def with_parts(structure):
    """Return a function of a block and x that runs a block's parts, without dropout, in this way."""
    return lambda parts, x: structure(x, parts.norm1, parts.att, parts.norm2, parts.ff, same)


def faulty_block(x, norm1, att, norm2, ff, drop):
    x = norm1(x)
    x = x + drop(att(x))
    return x + drop(ff(norm1(x)))


def first_norm_on_the_road(x, norm1, att, norm2, ff, drop):
    x = norm1(x)
    x = x + drop(att(x))
    return x + drop(ff(norm2(x)))


def second_norm_on_the_road(x, norm1, att, norm2, ff, drop):
    x = norm2(x + drop(att(norm1(x))))
    return x + drop(ff(x))


def norm2_left_out(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(norm1(x)))
    return x + drop(ff(x))


@exercise(
    "07.3",
    hints=[
        "Follow x: which lines change the road itself? Only additions may.",
        "How often is each of the four parts used?",
        "`block.norm1(x)` belongs inside the brackets of `block.att(...)`, so that x stays as it was.",
        "`x = x + block.att(block.norm1(x))`, and after it the same with `ff` and `norm2`",
    ],
)
def mended_block(answer):
    mistakes = [
        (
            with_parts(faulty_block),
            "Nothing is mended yet: long vectors still come out as short as layer norm makes them.",
        ),
        (
            with_parts(first_norm_on_the_road),
            "norm2 is in its place now. The other fault is left: what attention's output is added to is not x itself.",
        ),
        (
            with_parts(norm1_twice),
            "The road is right now. The other fault shows only after training: does each part read from its own norm?",
        ),
        (
            with_parts(second_norm_on_the_road),
            "The first half is right now. In the second half the norm changes the road: only ff may read it.",
        ),
        (with_parts(norm2_left_out), "The first half is right now. Feed-forward reads the stream without any norm."),
        (lambda parts, x: block(x, *parts), "Both faults are mended. But dropout is left out here: do not use it."),
        *((with_parts(structure), message) for structure, message in STRUCTURES),
    ]
    cases = [(make_block(x.shape[-1], seed), x) for seed, x in enumerate(streams())]
    check_function(answer, cases, with_parts(block), mistakes)
    return "The second fault hides while both norms are fresh, with scale 1 and shift 0. Tests need norms that differ."


def count(emb_dim, qkv_bias, *, matrices=12, vectors=10, biases=3):
    return matrices * emb_dim**2 + vectors * emb_dim + (biases * emb_dim if qkv_bias else 0)


@exercise(
    "07.4",
    hints=[
        "Four parts: attention (notebook 06), feed-forward (notebook 04), and two layer norms (notebook 02).",
        "Attention: four matrices of emb_dim * emb_dim, a bias for out_proj, and three more if qkv_bias is true.",
        "Feed-forward: two matrices of emb_dim * (4 * emb_dim), biases of 4 * emb_dim and of emb_dim. "
        "A norm: 2 * emb_dim.",
        "`12 * emb_dim**2 + 10 * emb_dim`, and `3 * emb_dim` more if `qkv_bias`",
    ],
)
def my_block_parameters(answer):
    mistakes = [
        (partial(count, vectors=0, biases=0), "Those are the matrices alone. The biases and the norms are missing."),
        (partial(count, vectors=6), "The two layer norms are missing: each has scale and shift."),
        (
            partial(count, vectors=8),
            "2 * emb_dim are missing: a block has two layer norms, and each has scale and shift.",
        ),
        (
            partial(count, vectors=5),
            "5 * emb_dim are missing: feed-forward has two biases, of 4 * emb_dim and of emb_dim.",
        ),
        (
            partial(count, vectors=9),
            "emb_dim are missing: look at the biases of out_proj and of feed-forward's last layer.",
        ),
        (
            partial(count, vectors=7),
            "3 * emb_dim are missing: feed-forward's first bias has 4 * emb_dim numbers, not emb_dim.",
        ),
        (
            lambda emb_dim, qkv_bias: count(emb_dim, False),
            "Right without qkv_bias. With it, queries, keys and values get a bias each.",
        ),
        (
            partial(count, biases=1),
            "Right without qkv_bias. With it come three biases: for queries, for keys and for values.",
        ),
        (
            lambda emb_dim, qkv_bias: count(emb_dim, not qkv_bias),
            "The other way round: with qkv_bias=True there are more.",
        ),
        (
            lambda emb_dim, qkv_bias: count(emb_dim, True),
            "Right with qkv_bias. Without it, queries, keys and values have no bias.",
        ),
        (partial(count, matrices=11), "One matrix of emb_dim * emb_dim is missing: attention has four, with out_proj."),
        (
            partial(count, matrices=8, vectors=9, biases=0),
            "Attention is missing: what you count are feed-forward and the norms.",
        ),
        (lambda emb_dim, qkv_bias: count(768, qkv_bias), "Right for emb_dim 768. It should count for any emb_dim."),
    ]
    cases = [(768, False), (768, True), (1024, False), (1600, True), (12, False), (1, True)]
    check_function(answer, cases, count, mistakes, tolerance=0.0)
    return "7,085,568 at 768, or 7,087,872 with qkv_bias. Two thirds of it is feed-forward."


@exercise(
    "07.5",
    hints=[
        "Three questions: how large a share is dropped, what is done to the rest, and does `eval()` do anything?",
        "On average the sum must stay as it was: fewer numbers, so each of them is larger.",
        "The rest is divided by 1 - 0.2. In `eval()` mode dropout does nothing.",
    ],
)
def dropped(answer):
    nothing_in_eval = "The first two are right. In eval() mode dropout gives back what it is given."
    kept_for_dropped = "0.2 is the share that is dropped, not the share that is kept."
    described_first = "That is dropout as it was first described. PyTorch enlarges in training and does nothing later."
    enlarged = "Fewer numbers are left, and yet the sum must stay the same on average: the others do not stay at 10."
    one_run = "The second and third are right. Each run drops another number of them: how many are they on average?"
    mistakes = {(count, 12.5, 10): one_run for count in range(150, 251)}
    mistakes |= {
        (200, 10, 10): enlarged,
        (200, 8, 10): "The others become larger, not smaller, so that the sum stays the same on average.",
        (200, 12, 10): "Nearly: 800 times 12 is 9,600, but the sum was 10,000.",
        (200, 10, 8): described_first,
        (800, 12.5, 10): kept_for_dropped,
        (800, 50, 10): kept_for_dropped,
        (200, 50, 10): "The others are divided by the share that is kept, not by the share that is dropped.",
        (200, 12.5, 12.5): nothing_in_eval,
        (200, 12.5, 8): nothing_in_eval,
        (200, 12.5, 0): nothing_in_eval,
        (0.2, 12.5, 10): "0.2 is the share. How many of the 1,000 numbers is that?",
        (0, 10, 10): "In train() mode dropout is at work. A fresh module is in that mode.",
    }
    check_tuple(answer, (200, 12.5, 10), mistakes)
    return "800 times 12.5 is 10,000, the sum from before. So nothing needs to change when dropout is switched off."


def writes(blocks, x):
    written = []
    for parts in blocks:
        written.append(parts.att(parts.norm1(x)))
        x = x + written[-1]
        written.append(parts.ff(parts.norm2(x)))
        x = x + written[-1]
    return torch.stack(written)


def roads(blocks, x):
    return x + writes(blocks, x).cumsum(dim=0)


def each_from_the_start(blocks, x):
    return torch.cat([writes([parts], x) for parts in blocks])


def all_from_the_start(blocks, x):
    return torch.stack([part for parts in blocks for part in (parts.att(parts.norm1(x)), parts.ff(parts.norm2(x)))])


def side_by_side(blocks, x):
    written = []
    for parts in blocks:
        written += [parts.att(parts.norm1(x)), parts.ff(parts.norm2(x))]
        x = x + written[-2] + written[-1]
    return torch.stack(written)


def without_norms(blocks, x):
    written = []
    for parts in blocks:
        written.append(parts.att(x))
        x = x + written[-1]
        written.append(parts.ff(x))
        x = x + written[-1]
    return torch.stack(written)


def attention_first(blocks, x):
    written = writes(blocks, x)
    return torch.cat([written[0::2], written[1::2]])


def not_added(blocks, x):
    written = []
    for parts in blocks:
        written.append(x := parts.att(parts.norm1(x)))
        written.append(x := parts.ff(parts.norm2(x)))
    return torch.stack(written)


@exercise(
    "07.6",
    hints=[
        "Walk down the road as a block does, and put aside what each side street writes before you add it.",
        "For each block: `write = block.att(block.norm1(x))`, keep it, `x = x + write`; then the same for ff.",
        "Collect in a list, and make one tensor of it at the end: `torch.stack(writes)`.",
        "`for block in blocks: for norm, part in ((block.norm1, block.att), (block.norm2, block.ff)):` and inside it "
        "`writes.append(part(norm(x)))` and `x = x + writes[-1]`",
    ],
)
def my_writes(answer):
    mistakes = [
        (roads, "You keep the road after each addition. What is asked is what each part writes: before it is added."),
        (
            each_from_the_start,
            "Each of your blocks reads the original x. It should read what the one before it has left.",
        ),
        (all_from_the_start, "All your parts read the original x. Each should read the stream as it is by then."),
        (side_by_side, "Your feed-forward reads the stream before attention has written to it: add first."),
        (without_norms, "Your parts read the stream without their norms."),
        (
            attention_first,
            "The numbers are right, the order is not: all attentions, then all feed-forwards. Follow the road.",
        ),
        (not_added, "Your x becomes what a part writes. It should be added: x = x + write."),
    ]
    cases = [
        ((make_block(x.shape[-1], seed), make_block(x.shape[-1], seed + 50)), x) for seed, x in enumerate(streams())
    ]
    cases += [(tuple(make_block(4, seed) for seed in range(n_layers)), cases[0][1]) for n_layers in (1, 5)]
    # Each call gets a list of its own: some walk through it with pop.
    given = (lambda blocks, x: answer(list(blocks), x)) if callable(answer) else answer
    check_function(given, cases, writes, mistakes)
    return "x and all the writes add up to the output: the road forgets nothing, so each part's share can be named."

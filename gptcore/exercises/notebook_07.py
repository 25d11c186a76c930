"""The exercises of notebook 07, the transformer block."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import (
    Wrong,
    as_letters,
    devices,
    exercise,
    function,
    name_mistake,
    values,
)
from gptcore.exercises.ready_made import COUNTS, LAYERS

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

    def eval(self):
        return self  # nothing in it knows a mode

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


def streams():
    """Return inputs: one token, one text, several, long vectors, tiny ones; the first is small enough to be shown."""
    generator = torch.Generator().manual_seed(7)
    shapes = [(1, 1, 4), (1, 5, 6), (3, 4, 4)]
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    inputs += [inputs[1] * 20, inputs[2] * 0.01]
    return [x.to(device) for x in inputs for device in devices()]


ORDERS = {
    "Nothing is mended yet: that is your friend's order.": "abcdefgh",
    "Dropout is in its place now. The norms still come after the addition: that is post-LN.": "acbdegfh",
    "The norms are in their places now. Dropout still comes after the addition: on the stream itself.": "dabchefg",
    "Each half is right. But attention has its turn first, then feed-forward.": "hegfdacb",
    "The two norms are exchanged: norm1 belongs to attention, norm2 to feed-forward.": "hacbdegf",
    "The norms come after the parts now. They work on what a part reads, so they come before it.": "adcbehgf",
}


@exercise(
    "07.1",
    mistakes=ORDERS,
    solved="Twice the same four steps: norm, part, dropout, add. The stream itself is only ever added to.",
    hints=[
        "Begin with attention's half alone: read a normed copy of the stream, work, drop, add. Which letters?",
        "Layer norm works on what a part reads, so it comes before the part. Dropout works on what the part wrote.",
        "The first four are d, a, c, b. Feed-forward's half goes in the same way.",
        '`"dacbhegf"`',
    ],
)
def mended_order(answer):
    right = "dacbhegf"
    text = as_letters(answer, right)
    name_mistake(ORDERS, lambda wrong: text == wrong)
    if text != right:
        place = next(index for index in range(len(right)) if text[index] != right[index])
        so_far = f"Up to step {place} your order is right. Then" if place else "At the very start"
        raise Wrong(f"{so_far} {STEPS[text[place]]} comes too early.")


def half_block(x, norm, part, drop):
    return x + drop(part(norm(x)))


def undropped(x, norm, part, drop):
    return x + part(norm(x))


def without_norm(x, norm, part, drop):
    return x + drop(part(x))


def without_shortcut(x, norm, part, drop):
    return drop(part(norm(x)))


def norm_on_the_stream(x, norm, part, drop):
    x = norm(x)
    return x + drop(part(x))


def block(x, norm1, att, norm2, ff, drop, *, first=half_block, second=half_block):
    x = first(x, norm1, att, drop)
    return second(x, norm2, ff, drop)


def twice(half):
    """Return a block whose halves both are this faulty one."""
    return partial(block, first=half, second=half)


def norm1_twice(x, norm1, att, norm2, ff, drop, **fault):
    return block(x, norm1, att, norm1, ff, drop, **fault)


STRUCTURES = {
    "Your norms come after the addition, on the stream itself: post-LN. GPT-2 norms what a part reads.": twice(
        lambda x, norm, part, drop: norm(x + drop(part(x)))
    ),
    "Your norms change the stream itself. "
    "Only the part reads the normed copy; the addition starts from x as it was.": twice(norm_on_the_stream),
    "Your feed-forward reads the original x. It should read the stream after attention has written to it.": (
        lambda x, norm1, att, norm2, ff, drop: x + drop(att(norm1(x))) + drop(ff(norm2(x)))
    ),
    "At the end you add to the original x, so what attention wrote is lost. Add to the stream as it is by then.": (
        lambda x, norm1, att, norm2, ff, drop: x + drop(ff(norm2(x + drop(att(norm1(x))))))
    ),
    "The first shortcut is missing: attention's output replaces x instead of being added.": partial(
        block, first=without_shortcut
    ),
    "The second shortcut is missing: feed-forward's output is not added to the stream.": partial(
        block, second=without_shortcut
    ),
    "Both shortcuts are missing: nothing is added, so what the stream held is lost.": twice(without_shortcut),
    "You let feed-forward write first. Attention has its turn before it.": (
        lambda x, norm1, att, norm2, ff, drop: block(x, norm2, ff, norm1, att, drop)
    ),
    "The two norms are exchanged: norm1 belongs to attention, norm2 to feed-forward.": (
        lambda x, norm1, att, norm2, ff, drop: block(x, norm2, att, norm1, ff, drop)
    ),
    "You use norm1 twice. Feed-forward has a norm of its own, norm2, with its own scale and shift.": norm1_twice,
    "You use norm2 twice. Attention has a norm of its own, norm1, with its own scale and shift.": (
        lambda x, norm1, att, norm2, ff, drop: block(x, norm2, att, norm2, ff, drop)
    ),
    "The norms are missing: each part should read a normed copy of the stream.": twice(without_norm),
    "You norm what each part writes. The norm works on what a part reads, so it comes before it.": twice(
        lambda x, norm, part, drop: x + drop(norm(part(x)))
    ),
}


def without_drop(structure):
    return lambda x, norm1, att, norm2, ff, drop: structure(x, norm1, att, norm2, ff, lambda written: written)


function(
    "07.2",
    block,
    cases=lambda: [(x, *make_block(x.shape[-1], seed)) for seed, x in enumerate(streams())],
    mistakes={
        "The block is right but for dropout. It works on what each part writes, before it is added.": without_drop(
            block
        ),
        "Your dropout works on the stream, after the addition. It belongs before: on what a part writes.": twice(
            lambda x, norm, part, drop: drop(x + part(norm(x)))
        ),
        "Your dropout works on what a part reads. It belongs after the part: on what it writes.": twice(
            lambda x, norm, part, drop: x + part(drop(norm(x)))
        ),
        "Dropout is missing after feed-forward.": partial(block, second=undropped),
        "Dropout is missing after attention.": partial(block, first=undropped),
        "Attention reads the stream without a norm. norm1 belongs before it.": partial(block, first=without_norm),
        "Feed-forward reads the stream without a norm. norm2 belongs before it.": partial(block, second=without_norm),
        "Before attention, your norm changes the stream itself. Only attention reads the normed copy.": partial(
            block, first=norm_on_the_stream
        ),
        "Before feed-forward, your norm changes the stream itself. Only feed-forward reads the normed copy.": partial(
            block, second=norm_on_the_stream
        ),
        "Attention's half is right. Feed-forward's half is missing.": (
            lambda x, norm1, att, norm2, ff, drop: half_block(x, norm1, att, drop)
        ),
        "Feed-forward's half is right. What attention writes is lost: is the first sum given back to x?": (
            lambda x, norm1, att, norm2, ff, drop: half_block(x, norm2, ff, drop)
        ),
        **STRUCTURES,
        **{f"{message} And dropout is missing.": without_drop(wrong) for message, wrong in STRUCTURES.items()},
    },
    solved="That is GPT-2's block. Twelve of them, one after the other, are nearly the whole model.",
    hints=[
        "Two lines are enough, one for attention and one for feed-forward.",
        "Read the first from the inside: norm1 norms, att works, drop drops. The result is added to x.",
        "The second line starts from what the first has made, not from the original x.",
        "`x = x + drop(att(norm1(x)))`, then `return x + drop(ff(norm2(x)))`",
    ],
)


def with_parts(structure):
    """Return a function of a block and x that runs a block's parts, without dropout, in this way."""
    return lambda parts, x: without_drop(structure)(x, *parts)


function(
    "07.3",
    with_parts(block),
    cases=lambda: [(make_block(x.shape[-1], seed), x) for seed, x in enumerate(streams())],
    mistakes={
        "Nothing is mended yet: long vectors still come out as short as layer norm makes them.": with_parts(
            partial(norm1_twice, first=norm_on_the_stream)
        ),
        "norm2 is in its place now. The other fault is left: "
        "what attention's output is added to is not x itself.": with_parts(partial(block, first=norm_on_the_stream)),
        "The stream is right now. The other fault shows only after training: "
        "does each part read from its own norm?": with_parts(norm1_twice),
        "The first half is right now. In the second half the norm changes the stream: only ff reads it.": with_parts(
            partial(block, second=norm_on_the_stream)
        ),
        "The first half is right now. Feed-forward reads the stream without any norm.": with_parts(
            partial(block, second=without_norm)
        ),
        "Feed-forward is in order now. Attention reads the stream without any norm.": with_parts(
            partial(block, first=without_norm)
        ),
        "Both faults are mended. But dropout is left out here: do not use it.": lambda parts, x: block(x, *parts),
        # norm1_twice has words of its own here.
        **{message: with_parts(wrong) for message, wrong in STRUCTURES.items() if wrong is not norm1_twice},
    },
    solved="The second fault hides while both norms are fresh, with scale 1 and shift 0. Tests need norms that differ.",
    hints=[
        "Follow x: which lines change the stream itself? Only additions may.",
        "How often is each of the four parts used?",
        "`block.norm1(x)` belongs inside the brackets of `block.att(...)`, so that x stays as it was.",
        "`x = x + block.att(block.norm1(x))`, and after it the same with `ff` and `norm2`",
    ],
)


def count(emb_dim, qkv_bias, *, matrices=12, vectors=10, biases=3):
    return matrices * emb_dim**2 + vectors * emb_dim + (biases * emb_dim if qkv_bias else 0)


function(
    "07.4",
    count,
    tolerance=0.0,
    forbidden=COUNTS + LAYERS,
    cases=[(768, False), (768, True), (1024, False), (1600, True), (12, False), (1, True)],
    mistakes={
        "Those are the matrices alone. The biases and the norms are missing.": partial(count, vectors=0, biases=0),
        "4 * emb_dim are missing: the two norms (scale and shift each), or feed-forward's first bias?": partial(
            count, vectors=6
        ),
        "2 * emb_dim are missing: a vector of each norm, or the biases of out_proj and of feed-forward's last layer?": (
            partial(count, vectors=8)
        ),
        "5 * emb_dim are missing: feed-forward's two biases, or the two norms and the bias of out_proj?": partial(
            count, vectors=5
        ),
        "emb_dim are missing: look at the biases of out_proj and of feed-forward's last layer.": partial(
            count, vectors=9
        ),
        "3 * emb_dim are missing: feed-forward's first bias has 4 * emb_dim numbers, not emb_dim.": partial(
            count, vectors=7
        ),
        "Right without qkv_bias. With it, queries, keys and values get a bias each.": partial(count, biases=0),
        "Right without qkv_bias. With it come three biases: for queries, for keys and for values.": partial(
            count, biases=1
        ),
        "The other way round: with qkv_bias=True there are more.": (
            lambda emb_dim, qkv_bias: count(emb_dim, not qkv_bias)
        ),
        "Right with qkv_bias. Without it, queries, keys and values have no bias.": (
            lambda emb_dim, qkv_bias: count(emb_dim, True)
        ),
        "One matrix of emb_dim * emb_dim is missing: attention has four, with out_proj.": [
            partial(count, matrices=11),
            partial(count, matrices=11, vectors=9),
        ],
        "That is attention alone. Feed-forward and the norms are missing.": partial(count, matrices=4, vectors=1),
        "That is feed-forward alone. Attention and the norms are missing.": partial(
            count, matrices=8, vectors=5, biases=0
        ),
        "Attention is missing: what you count are feed-forward and the norms.": partial(
            count, matrices=8, vectors=9, biases=0
        ),
        "Right for emb_dim 768. It should count for any emb_dim.": lambda emb_dim, qkv_bias: count(768, qkv_bias),
    },
    solved="7,085,568 at 768, or 7,087,872 with qkv_bias. Two thirds of it is feed-forward.",
    hints=[
        "Four parts: attention (notebook 06), feed-forward (notebook 04), and two layer norms (notebook 02).",
        "Attention: four matrices of emb_dim * emb_dim, a bias for out_proj, and three more if qkv_bias is true.",
        "Feed-forward: two matrices of emb_dim * (4 * emb_dim), biases of 4 * emb_dim and of emb_dim. "
        "A norm: 2 * emb_dim.",
        "`12 * emb_dim**2 + 10 * emb_dim`, and `3 * emb_dim` more if `qkv_bias`",
    ],
)

values(
    "07.5",
    (200, 12.5, 10),
    mistakes={
        "The second and third are right. Each run drops another number of them: how many are they on average?": [
            (dropped, 12.5, 10) for dropped in range(150, 251) if dropped != 200
        ],
        "Fewer numbers are left, and yet the sum must stay the same on average: the others do not stay at 10.": (
            (200, 10, 10)
        ),
        "The others become larger, not smaller, so that the sum stays the same on average.": (200, 8, 10),
        "Nearly: 800 times 12 is 9,600, but the sum was 10,000.": (200, 12, 10),
        "That is dropout as it was first described. PyTorch enlarges in training and does nothing later.": (200, 10, 8),
        "0.2 is the share that is dropped, not the share that is kept.": [(800, 12.5, 10), (800, 50, 10)],
        "The others are divided by the share that is kept, not by the share that is dropped.": (200, 50, 10),
        "The first two are right. In eval() mode dropout gives back what it is given.": [
            (200, 12.5, in_eval) for in_eval in (12.5, 8, 0)
        ],
        "0.2 is the share. How many of the 1,000 numbers is that?": (0.2, 12.5, 10),
        "In train() mode dropout is at work. A fresh module is in that mode.": (0, 10, 10),
    },
    solved="800 times 12.5 is 10,000, the sum from before. So nothing needs to change when dropout is switched off.",
    hints=[
        "Three questions: how large a share is dropped, what is done to the rest, and does `eval()` do anything?",
        "On average the sum must stay as it was: fewer numbers, so each of them is larger.",
        "The rest is divided by 1 - 0.2. In `eval()` mode dropout does nothing.",
    ],
)


def writes(blocks, x, *, normed=True, onward=torch.add, adds=(True, True)):
    """Return what each part writes. The stream goes on as `onward` makes it of what it was and what is written.

    `adds` says whether that is done after attention, and after feed-forward.
    """
    written = []
    for parts in blocks:
        for norm, part, goes_on in ((parts.norm1, parts.att, adds[0]), (parts.norm2, parts.ff, adds[1])):
            written.append(part(norm(x) if normed else x))
            x = onward(x, written[-1]) if goes_on else x
    return torch.stack(written)


def side_by_side(blocks, x):
    written = []
    for parts in blocks:
        written += [parts.att(parts.norm1(x)), parts.ff(parts.norm2(x))]
        x = x + written[-2] + written[-1]
    return torch.stack(written)


def attention_first(blocks, x):
    written = writes(blocks, x)
    return torch.cat([written[0::2], written[1::2]])


def blocks_and_streams():
    """Return two blocks for each stream, and one and five for the first; lists, since some walk through with pop."""
    cases = [
        ([make_block(x.shape[-1], seed), make_block(x.shape[-1], seed + 50)], x) for seed, x in enumerate(streams())
    ]
    return cases + [([make_block(4, seed) for seed in range(n_layers)], cases[0][1]) for n_layers in (1, 5)]


function(
    "07.6",
    writes,
    cases=blocks_and_streams,
    mistakes={
        "You keep the stream after each addition. What is asked is what each part writes: before it is added.": (
            lambda blocks, x: x + writes(blocks, x).cumsum(dim=0)
        ),
        "Each of your blocks reads the original x. It should read what the one before it has left.": (
            lambda blocks, x: torch.cat([writes([parts], x) for parts in blocks])
        ),
        "All your parts read the original x. Each should read the stream as it is by then.": partial(
            writes, onward=lambda x, written: x
        ),
        "Your feed-forward reads the stream before attention has written to it: add first.": side_by_side,
        "Your parts read the stream without their norms.": partial(writes, normed=False),
        "The numbers are right, the order is not: all attentions, then all feed-forwards. "
        "Follow the stream.": attention_first,
        "What attention writes is kept, but not added to the stream.": partial(writes, adds=(False, True)),
        "What feed-forward writes is kept, but not added to the stream.": partial(writes, adds=(True, False)),
        "You use norm1 twice. Feed-forward has a norm of its own, norm2.": (
            lambda blocks, x: writes([parts._replace(norm2=parts.norm1) for parts in blocks], x)
        ),
        "Your x becomes what a part writes. It should be added: x = x + write.": partial(
            writes, onward=lambda x, written: written
        ),
    },
    solved="x and all the writes add up to the output: the stream forgets nothing, so each part's share can be named.",
    hints=[
        "Follow the stream as a block does, and put aside what each part writes before you add it.",
        "For each block: `write = block.att(block.norm1(x))`, keep it, `x = x + write`; then the same for ff.",
        "Collect in a list, and make one tensor of it at the end: `torch.stack(writes)`.",
        "`for block in blocks: for norm, part in ((block.norm1, block.att), (block.norm2, block.ff)):` and inside it "
        "`writes.append(part(norm(x)))` and `x = x + writes[-1]`",
    ],
)

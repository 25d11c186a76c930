"""Wrong answers to the exercises of notebook 11 that no mistake is declared for, and words of what is said of each."""

from functools import partial

import torch
from torch import nn

from gptcore.exercises.notebook_11 import mapping


def linear(theirs, name, weight=torch.t, bias=nn.Parameter):
    """Return a layer whose weight and bias are made of the file's in this way."""
    given = theirs[f"{name}.weight"]
    layer = nn.Linear(*given.shape)
    layer.weight, layer.bias = nn.Parameter(weight(given)), bias(theirs[f"{name}.bias"])
    return layer


def find_block(faulty, ids, wanted, puts_back=True):
    for index, block in enumerate(faulty.trf_blocks):
        old = block.att.out_proj.weight
        block.att.out_proj.weight = nn.Parameter(old.detach().t())
        if torch.allclose(faulty(ids), wanted, atol=1e-4):
            return index
        if puts_back:
            block.att.out_proj.weight = old


def find_among(how_many):
    def find(faulty, ids, wanted):
        place = find_block(faulty, ids, wanted)
        return place if place < how_many else None

    return find


def guess(faulty, ids, wanted):
    """Return the block without which the logits are nearest."""
    errors = []
    for block in faulty.trf_blocks:
        old = block.att.out_proj.weight
        block.att.out_proj.weight = nn.Parameter(torch.zeros_like(old))
        errors.append((faulty(ids) - wanted).abs().sum().item())
        block.att.out_proj.weight = old
    return errors.index(min(errors))


def by_strides(faulty, ids, wanted):
    turned = [not block.att.out_proj.weight.is_contiguous() for block in faulty.trf_blocks]
    return turned.index(True) if any(turned) else -1


WRONG = {
    "11.2": [
        (partial(linear, weight=torch.clone), "nn.Linear keeps (out, in)"),
        (partial(linear, weight=lambda weight: weight if len(weight) == len(weight.t()) else weight.t()), "is square"),
        (partial(linear, weight=lambda weight: weight.reshape(weight.t().shape)), "keep the order of the numbers"),
        (partial(linear, bias=lambda bias: None), "has no bias"),
        (partial(linear, bias=lambda bias: nn.Parameter(-bias)), "the bias is not the file's"),
        (partial(linear, weight=lambda weight: -weight.t()), "other numbers than the file's"),
        (partial(linear, bias=torch.clone), "stopped with TypeError"),
        (partial(linear, weight=torch.Tensor.t_), "changes the tensors of `theirs`"),
        (lambda theirs, name: theirs[f"{name}.weight"].t(), "an nn.Linear, not"),
        (lambda theirs, name: linear(theirs, name).double(), "the dtype torch.float64, the file's torch.float32"),
    ],
    "11.3": [
        (lambda c_attn: torch.stack(c_attn.chunk(3, dim=0)), "wrong axis"),
        (lambda c_attn: c_attn.chunk(3, dim=1), "expected is a tensor of shape (3, 6, 6)"),
    ],
    "11.4": [
        (partial(mapping, left=["ff.layers.0"]), "ff.layers.0.weight should be a tensor of shape (24, 6)"),
        (lambda theirs: {name: part.double() for name, part in mapping(theirs).items()}, "has the dtype torch.float64"),
        (lambda theirs: {"ff.layers.0.weight": theirs["mlp.c_fc.weight"]}, "'att.out_proj.weight' is missing"),
        (lambda theirs: list(mapping(theirs).values()), "Expected is a dictionary"),
        (lambda theirs: {**mapping(theirs), "ff": 1}, "which the faulty one has not"),
    ],
    "11.5": [
        (partial(find_block, puts_back=False), "put a block's old weight back"),
        (find_among(3), "returns nothing when block 5 of 6 is the faulty one. A model may have any number"),
        (find_among(4), "returns nothing when block 5 of 6 is the faulty one. A model may have any number"),
        (guess, "or for the block that comes nearest?"),
        (lambda *case: find_block(*case) + 1, "from 1"),
        (lambda faulty, ids, wanted: 0, "Your function says 0"),
        (by_strides, "Your function says -1"),
        (lambda faulty, ids, wanted: faulty(ids), "Expected one number"),
        (lambda faulty, ids, wanted: find_block(faulty, ids[0], wanted), "stopped with ValueError"),
    ],
}

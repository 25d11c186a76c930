"""Typical wrong answers to the exercises of notebook 11, and words of the message that each gets."""

import torch
from torch import nn


def linear_with(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def without_bias(theirs, name):
    layer = nn.Linear(*theirs[f"{name}.weight"].shape, bias=False)
    layer.weight = nn.Parameter(theirs[f"{name}.weight"].t())
    return layer


def only_when_it_fails(theirs, name):
    weight = theirs[f"{name}.weight"]
    return linear_with(weight.t() if weight.shape[0] != weight.shape[1] else weight, theirs[f"{name}.bias"])


def reshaped(theirs, name):
    weight = theirs[f"{name}.weight"]
    return linear_with(weight.reshape(weight.shape[1], weight.shape[0]), theirs[f"{name}.bias"])


def no_parameter(theirs, name):
    layer = nn.Linear(*theirs[f"{name}.weight"].shape)
    layer.weight = theirs[f"{name}.weight"].t()
    return layer


def turns_the_file(theirs, name):
    return linear_with(theirs[f"{name}.weight"].t_(), theirs[f"{name}.bias"])


def mapping(theirs, square=False, norms=("ln_1", "ln_2"), scale="weight", shift="bias"):
    ours = {}
    names = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}
    for layer, name in names.items():
        weight = theirs[f"{name}.weight"]
        ours[f"{layer}.weight"] = weight if square and weight.shape[0] == weight.shape[1] else weight.t()
        ours[f"{layer}.bias"] = theirs[f"{name}.bias"]
    for layer, name in zip(("norm1", "norm2"), norms, strict=True):
        ours[f"{layer}.scale"], ours[f"{layer}.shift"] = theirs[f"{name}.{scale}"], theirs[f"{name}.{shift}"]
    return ours


def as_stored(theirs):
    return {**mapping(theirs), "ff.layers.0.weight": theirs["mlp.c_fc.weight"]}


def without_norms(theirs):
    return {name: tensor for name, tensor in mapping(theirs).items() if not name.startswith("norm")}


def find_block(faulty, ids, wanted, puts_back):
    for index, block in enumerate(faulty.trf_blocks):
        old = block.att.out_proj.weight
        block.att.out_proj.weight = nn.Parameter(old.detach().t())
        if torch.allclose(faulty(ids), wanted, atol=1e-4):
            return index
        if puts_back:
            block.att.out_proj.weight = old


def by_strides(faulty, ids, wanted):
    turned = [not block.att.out_proj.weight.is_contiguous() for block in faulty.trf_blocks]
    return turned.index(True) if any(turned) else -1


WRONG = {
    "11.1": [
        (205_903_872, "Those are bytes"),
        (51_463_680, "biases of query, key and value are still missing"),
        (77_207_552, "no output head of its own"),
        (51_467_776, "one bias in each block"),
        (51_465_216, "three biases of one block"),
        (51_451_392, "took the biases away"),
        (77_195_264, "as it was built"),
    ],
    "11.2": [
        (
            lambda theirs, name: linear_with(theirs[f"{name}.weight"], theirs[f"{name}.bias"]),
            "nn.Linear keeps (out, in)",
        ),
        (only_when_it_fails, "is square"),
        (reshaped, "keep the order of the numbers"),
        (without_bias, "has no bias"),
        (lambda theirs, name: linear_with(theirs[f"{name}.weight"].t(), None), "the bias is not the file's"),
        (lambda theirs, name: nn.Linear(*theirs[f"{name}.weight"].shape), "other numbers than the file's"),
        (lambda theirs, name: theirs[f"{name}.weight"].t(), "an nn.Linear, not"),
        (no_parameter, "stopped with TypeError"),
        (turns_the_file, "changes the tensors of `theirs`"),
    ],
    "11.3": [
        (lambda c_attn: torch.stack(c_attn.chunk(3, dim=0)), "wrong axis"),
        (lambda c_attn: torch.stack(c_attn.chunk(3, dim=1)), "not transposed"),
        (lambda c_attn: torch.stack([c_attn.chunk(3, dim=1)[i].t() for i in (1, 0, 2)]), "key, query, value"),
        (lambda c_attn: torch.stack([c_attn.chunk(3, dim=1)[i].t() for i in (2, 1, 0)]), "value, key, query"),
        (lambda c_attn: c_attn.reshape(3, c_attn.shape[0], c_attn.shape[0]), "reshape counts row by row"),
        (lambda c_attn: torch.stack([c_attn[:, i::3].t() for i in range(3)]), "every third column"),
        (lambda c_attn: c_attn.chunk(3, dim=1), "expected is a tensor of shape (3, 6, 6)"),
    ],
    "11.4": [
        (lambda theirs: mapping(theirs, square=True, norms=("ln_2", "ln_1")), "Nothing is mended"),
        (lambda theirs: mapping(theirs, square=True), "would fit either way"),
        (lambda theirs: mapping(theirs, norms=("ln_2", "ln_1")), "each other's numbers"),
        (lambda theirs: mapping(theirs, scale="bias", shift="weight"), "scale and shift are exchanged"),
        (as_stored, "ff.layers.0.weight should be a tensor of shape (24, 6)"),
        (without_norms, "'norm1.scale' is missing"),
        (lambda theirs: list(mapping(theirs).values()), "Expected is a dictionary"),
        (lambda theirs: {**mapping(theirs), "ff": 1}, "which the faulty one has not"),
    ],
    "11.5": [
        (lambda *case: find_block(*case, puts_back=False), "put a block's old weight back"),
        (lambda *case: find_block(*case, puts_back=True) + 1, "from 1"),
        (lambda faulty, ids, wanted: 0, "Your function says 0"),
        (by_strides, "Your function says -1"),
        (lambda faulty, ids, wanted: faulty(ids), "Expected one number"),
        (lambda faulty, ids, wanted: find_block(faulty, ids[0], wanted, True), "stopped with ValueError"),
    ],
}

"""Typical wrong answers to the exercises of notebook 01, and words of the message that each gets."""

import math

import torch

from gptcore import GPT_CONFIG_124M


def text_vectors(ids, tok_table, pos_table, axis_of_positions=1, axis_of_mean=1):
    return (tok_table[ids] + pos_table[: ids.shape[axis_of_positions]]).mean(axis_of_mean)


def small(**changes):
    return {**GPT_CONFIG_124M, "vocab_size": 256, "emb_dim": 128, "n_heads": 2, "n_layers": 4, **changes}


def read(shapes, **changes):
    vocab_size, emb_dim = shapes["tok_emb.weight"]
    context_length, _ = shapes["pos_emb.weight"]
    n_layers = len({name.split(".")[1] for name in shapes if name.startswith("trf_blocks")})
    qkv_bias = "trf_blocks.0.att.W_key.bias" in shapes
    read_off = {"vocab_size": vocab_size, "context_length": context_length, "emb_dim": emb_dim}
    return {**read_off, "n_layers": n_layers, "qkv_bias": qkv_bias, **changes}


def block_numbers(shapes):
    return [name.split(".")[1] for name in shapes if name.startswith("trf_blocks")]


WRONG = {
    "01.1": [
        ((2_359_296, 2_362_368), "other way round"),
        ((2_360_064, 2_359_296), "one number for each input"),
        ((2_359_297, 2_359_296), "not one number for the whole layer"),
        ((2_359_296, 2_359_296), "numbers of its own"),
        ((6_912, 3_840), "multiply"),
        (2_362_368, "tuple of 2"),
        ((2_362_368, 5), "place 1"),
    ],
    "01.2": [
        (((5, 3), (3, 5, 768), (3, 5, 50257), (50257, 768)), "token ids: the batch comes first"),
        (((3, 5), (3, 768, 5), (3, 5, 50257), (50257, 768)), "emb_dim is the last axis"),
        (((3, 5), (3, 5, 768), (3, 50257), (50257, 768)), "at each of the 5 positions"),
        (((3, 5), (3, 5, 768), (3, 5, 50257), (768, 50257)), "one row for each token"),
        (((3, 5), (3, 5, 768), (3, 5, 50257), (3, 50257, 768)), "does not depend on the batch"),
        (((3, 5), (3, 5, 768), (3, 5, 50257)), "Expected four shapes, got 3"),
        ((3, 5, 768, 50257), "Shape of the token ids: Expected a tuple"),
    ],
    "01.3": [
        (lambda shapes: sum(sum(shape) for shape in shapes), "add the numbers"),
        (lambda shapes: math.prod(math.prod(shape) for shape in shapes), "from tensor to tensor add"),
        (lambda shapes: sum(math.prod(shape) for shape in shapes if len(shape) == 2), "it gives"),
        (lambda shapes: sum(math.prod(shape) for shape in shapes if len(shape) > 1), "A bias has parameters"),
        (lambda shapes: sum(shape[0] * shape[1] for shape in shapes), "stopped with IndexError"),
        (lambda shapes: sum(math.prod(shape[:2]) for shape in shapes), "It may have more"),
        (len, "how many tensors"),
        (lambda shapes: next((math.prod(shape) for shape in shapes), 0), "inside the loop"),
        (2_362_368, "Expected a function"),
    ],
    "01.4": [
        (lambda *inputs: text_vectors(*inputs, 0, -1), "Nothing is mended"),
        (lambda *inputs: text_vectors(*inputs, 0), "The mean is right now"),
        (lambda *inputs: text_vectors(*inputs, 1, 2), "The positions are right now"),
        (lambda *inputs: text_vectors(*inputs, 1, 0), "expected is (1, 4)"),
        (lambda ids, tok_table, pos_table: (tok_table[ids] + pos_table[: ids.shape[1]]).sum(1), "divides the sum"),
        (lambda ids, tok_table, pos_table: tok_table[ids].mean(1), "your positions are gone"),
        (lambda ids, tok_table, pos_table: (tok_table[ids] + pos_table[0]).mean(1), "gets position 0"),
        (lambda ids, tok_table, pos_table: (tok_table[ids] + pos_table[ids]).mean(1), "by token id"),
        (lambda ids, tok_table, pos_table: (tok_table[ids] + pos_table[:4]).mean(1), "stopped with RuntimeError"),
        (torch.ones(2, 6), "Expected a function"),
    ],
    "01.5": [
        (GPT_CONFIG_124M, "vocab_size is to be 256"),
        (small(context_length=16), "context_length is to be 1024"),
        (small(n_heads=4), "heads are 32 wide"),
        (small(emb_dim=64, n_heads=1, n_layers=12), "at least two"),
        (small(n_layers=5), "too many"),
        (small(n_layers=2), "room for more blocks"),
        (small(emb_dim=192, n_heads=3, n_layers=1), "room for more blocks"),
        (small(emb_dim=100, n_heads=12), "not divisible"),
        ({"emb_dim": 128, "n_heads": 2}, "'vocab_size' is missing"),
        ((256, 1024, 128, 2, 4), "Expected a dictionary"),
    ],
    "01.6": [
        (lambda shapes: read(shapes, n_layers=int(block_numbers(shapes)[-1])), "numbered from 0"),
        (lambda shapes: read(shapes, n_layers=int(max(block_numbers(shapes))) + 1), "compare numbers as texts"),
        (lambda shapes: read(shapes, n_layers=len(block_numbers(shapes))), "several tensors for each block"),
        (lambda shapes: read(shapes, qkv_bias="trf_blocks.0.att.out_proj.bias" in shapes), "out_proj has a bias"),
        (lambda shapes: read(shapes, qkv_bias="W_query.bias" in shapes), "compares whole names"),
        (lambda shapes: read(shapes, n_layers=1), "qkv_bias=True your n_layers is 1.\n"),
        (lambda shapes: read(shapes, qkv_bias=1), "True or False"),
        (lambda shapes: read(shapes, context_length=shapes["pos_emb.weight"][1]), "another key"),
        (lambda shapes: read(shapes, vocab_size=shapes["tok_emb.weight"]), "vocab_size: Expected one number"),
        (lambda shapes: read(shapes, n_heads=12), "n_heads cannot be read off"),
        (lambda shapes: {"vocab_size": shapes["tok_emb.weight"][0]}, "context_length is missing"),
        (lambda shapes: tuple(read(shapes).values()), "Expected a dictionary"),
        (GPT_CONFIG_124M, "Expected a function"),
    ],
}

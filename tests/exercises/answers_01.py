"""Wrong answers to the exercises of notebook 01 that no mistake is declared for, and words of what is said of each."""

import math
from functools import partial

import torch

from gptcore import GPT_CONFIG_124M
from gptcore.exercises.notebook_01 import text_vectors


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
    "01.1": [(2_362_368, "tuple of 2"), ((2_362_368, 5), "place 1")],
    "01.2": [
        (((3, 5), (3, 5, 768), (3, 5, 50257)), "Expected four shapes, got 3"),
        ((3, 5, 768, 50257), "Shape of the token ids: Expected a tuple"),
    ],
    "01.3": [
        (lambda shapes: sum(math.prod(shape) for shape in shapes if len(shape) == 2), "it gives"),
        (lambda shapes: sum(shape[0] * shape[1] for shape in shapes), "stopped with IndexError"),
        (lambda shapes: [math.prod(shape) for shape in shapes][-1], "That is the last tensor alone"),
        (lambda shapes: sum(math.prod(shape) for shape in shapes) or shapes[0], "stopped with IndexError"),
        (2_362_368, "Expected a function"),
    ],
    "01.4": [
        (partial(text_vectors, axis_of_mean=0), "expected is (1, 4)"),
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
        (small(comment="mine"), "'comment' is no key of a configuration"),
        (small(qkv_bias="no"), "qkv_bias: Expected is True or False, not str 'no'"),
        (small(drop_rate="none"), "drop_rate: Expected a number"),
        ((256, 1024, 128, 2, 4), "Expected a dictionary"),
    ],
    "01.6": [
        (lambda shapes: read(shapes, n_layers=int(block_numbers(shapes)[-1])), "numbered from 0"),
        (lambda shapes: read(shapes, n_layers=int(max(block_numbers(shapes))) + 1), 'as texts, "9" comes after "11"'),
        (lambda shapes: read(shapes, n_layers=len({number[0] for number in block_numbers(shapes)})), "only one digit"),
        (lambda shapes: read(shapes, vocab_size=max(shapes["tok_emb.weight"])), "another key"),
        (lambda shapes: read(shapes, n_layers=len(block_numbers(shapes))), "several tensors for each block"),
        (
            lambda shapes: read(shapes, qkv_bias="trf_blocks.0.att.out_proj.bias" in shapes),
            "out_proj has a bias, in every",
        ),
        (lambda shapes: read(shapes, qkv_bias=any("W_query" in name for name in shapes)), "W_query has a weight"),
        (lambda shapes: read(shapes, n_layers=sum("norm1.weight" in name for name in shapes)), "Does any name fit"),
        (lambda shapes: read(shapes, n_layers=sum("W_query" in name for name in shapes)), "that each block has once"),
        (lambda shapes: read(shapes, qkv_bias="W_query.bias" in shapes), "compares whole names"),
        (lambda shapes: read(shapes, n_layers=1), "qkv_bias=True your n_layers is 1. You give this number for every"),
        (lambda shapes: read(shapes, n_layers=12), "n_layers is 12. You give this number for every model"),
        (lambda shapes: read(shapes, n_layers=read(shapes)["n_layers"] + 1), "n_layers is 2. It is one too many for"),
        (lambda shapes: read(shapes, n_layers=(len(shapes) - 5) // 13), "depends on qkv_bias"),
        (lambda shapes: read(shapes, n_layers=2 + len(shapes) % 7), "n_layers is 6.\n"),
        (lambda shapes: read(shapes, n_layers=13 if len(shapes) < 20 else []), "n_layers is 13.\n"),
        (lambda shapes: read(shapes, qkv_bias=1), "True or False"),
        (lambda shapes: read(shapes, context_length=shapes["pos_emb.weight"][1]), "another key"),
        (lambda shapes: read(shapes, vocab_size=shapes["tok_emb.weight"]), "vocab_size: Expected one number"),
        (lambda shapes: read(shapes, n_heads=12), "n_heads cannot be read off"),
        (lambda shapes: {"vocab_size": shapes["tok_emb.weight"][0]}, "context_length is missing"),
        (lambda shapes: tuple(read(shapes).values()), "Expected a dictionary"),
        (GPT_CONFIG_124M, "Expected a function"),
    ],
}

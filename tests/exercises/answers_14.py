"""Wrong answers to the exercises of notebook 14 that no mistake is declared for, and words of what is said of each."""

import math

import torch
from own_gpts import SOLVER, parts_of
from torch import nn

from gptcore import GPTModel, generate_text_simple, replaced, story_loss

RIGHT = parts_of(SOLVER)
CONFIG = {"vocab_size": 1019, "context_length": 32, "emb_dim": 16, "n_heads": 2, "n_layers": 1}
CONFIG |= {"drop_rate": 0.0, "qkv_bias": True}


def faulty(old, new):
    return parts_of(SOLVER, (old, new))


class Bigram(nn.Module):
    """Has learned nothing, and sees what comes next."""

    def __init__(self, shift):
        super().__init__()
        self.tok_emb, self.pos_emb = nn.Embedding(1019, 1019), nn.Embedding(64, 1)
        self.shift = shift

    def forward(self, in_idx):
        return 20 * nn.functional.one_hot(in_idx.roll(self.shift, dims=1), 1019).float()


def new_tokens_only(model, idx, max_new_tokens, context_size):
    return generate_text_simple(model, idx, max_new_tokens, context_size)[:, -max_new_tokens:]


def at_most_so_many_in_all(model, idx, max_new_tokens, context_size):
    return generate_text_simple(model, idx, max_new_tokens - idx.shape[1], context_size)


def loss_with(parts, function):
    model = GPTModel.from_pretrained("stories")
    with replaced(model, parts, function):
        return story_loss(model)


def broken(model):
    model.out_head.weight.data.fill_(math.nan)
    return model


def reads_the_prompt_again(model, idx, max_new_tokens, context_size):
    text = idx
    for _ in range(max_new_tokens):
        text = torch.cat((text, model(idx[:, -context_size:])[:, -1].argmax(dim=-1, keepdim=True)), dim=1)
    return text


WRONG = {
    "14.1": [
        (faulty("unbiased=False", "unbiased=True"), "norm1 of block 0, by up to"),
        (faulty("unbiased=False", "unbiased=True"), "yours divides by n - 1"),
        (faulty("diagonal=1", "diagonal=2"), "your mask lets a token see the next one"),
        # In the story model emb_dim is context_length, 128, with 4 heads.
        (
            faulty('nn.Embedding(cfg["context_length"], cfg["emb_dim"])', 'nn.Embedding(*[cfg["emb_dim"]] * 2)'),
            "In MyGPT: with the story model's sizes it is right, but not with others (vocab_size=30, context_length",
        ),
        (
            faulty("self.num_heads = num_heads", "self.num_heads = 4"),
            "n_heads=3, n_layers=2, qkv_bias=False): its numbers are not gptcore's. Take every size from what __init__",
        ),
        (faulty('nn.Embedding(cfg["context_length"], cfg["emb_dim"])', "nn.Parameter(torch.zeros(128, 128))"), "bare"),
        (faulty("self.scale * ", "self.scale.double() * "), "In MyLayerNorm: it returns torch.float64"),
        (faulty("torch.ones(emb_dim)", "torch.ones(128)"), "In MyLayerNorm: with the story model's sizes it is right"),
        ({**RIGHT, "MyNorm": RIGHT["MyLayerNorm"]}, "There is no part called 'MyNorm'"),
        ({**RIGHT, "MyGPT": RIGHT["MyGPT"](CONFIG)}, "MyGPT is to be a class"),
        (RIGHT["MyGPT"], "Expected a dictionary"),
    ],
    "14.2": [
        (faulty("[:, -1, :]", "[:, 0, :]")["my_generate"], "It reads the first position's scores"),
        (faulty("argmax(dim=-1, keepdim=True)", "softmax(-1).multinomial(1)")["my_generate"], "draws the next token"),
        (faulty("idx[:, -context_size:]", "idx")["my_generate"], "more than context_size tokens"),
        (new_tokens_only, "It returns the new tokens only"),
        (at_most_so_many_in_all, "Of 3 tokens and 6 new ones it makes the shape (2, 6), not (2, 9)"),
        (lambda *given: generate_text_simple(*given).tolist(), "In my_generate: it returns list, not a tensor"),
        (lambda model, idx: idx, "stopped with TypeError"),
        (reads_the_prompt_again, "reads the beginning again and again"),
        (5, "Expected a function"),
    ],
    "14.3": [
        (3, "Expected a trained model"),
        (RIGHT["MyGPT"], "not the class"),
        (RIGHT["MyGPT"](CONFIG), "It has learned nothing yet. The first goal is below 2"),
        (GPTModel.from_pretrained("stories"), "the weights that ship with gptcore"),
        (nn.Linear(3, 3), "It does not read stories (AttributeError"),
        (Bigram(-1), "Your model sees the tokens that it is to guess"),
        (broken(GPTModel(CONFIG)), "Its loss is not a number"),
    ],
    "14.4": [
        (("trf_blocks.3.att", 2.0), "Expected three things"),
        (("out_head", 3.0, 5.0), "Without out_head the loss is not 5.00"),
        (("trf_blocks.1.norm2", 2.0, 0.41366), "with everything in its place"),
        (("trf_blocks.0.ff.widen", 3.0, 4.0), "(These are the names of gptcore's model.)"),
        ((3, 2.0, 4.0), "the name of the part"),
        (("trf_blocks.9.att", 2.0, 4.0), "The model has no part named 'trf_blocks.9.att'"),
        (("trf_blocks", 3.0, 0.4137), "The model's 'trf_blocks' is a list of parts, which never runs itself"),
        (("trf_blocks.3.att", 2.0, 0.414), "with everything in its place"),
        (("", 2.0, 4.0), "the name of the part"),
        (("trf_blocks.3.att", 2.0, loss_with("trf_blocks.3.att", lambda part, x: x)), "You let through what comes in"),
        (("trf_blocks.3.att", 2.0, 0.9), "the loss is not 0.90"),
        (("trf_blocks.3.att", "two", 0.9), "Expected a number, got the text 'two'"),
    ],
}

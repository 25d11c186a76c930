"""Typical wrong answers to the exercises of notebook 08, and words of the message that each gets."""

import copy

import torch
from torch import nn

from gptcore import GPT_CONFIG_124M, count_parameters


def copies(model):
    model.out_head.weight.data.copy_(model.tok_emb.weight.data)
    return model


def new_parameter(model):
    model.out_head.weight = nn.Parameter(model.tok_emb.weight.detach().clone())
    return model


def same_memory(model):
    model.out_head.weight.data = model.tok_emb.weight.data
    return model


def wraps_again(model):
    model.out_head.weight = nn.Parameter(model.tok_emb.weight)
    return model


def other_way_round(model):
    model.tok_emb.weight = model.out_head.weight
    return model


def freezes(model):
    model.out_head.weight = model.tok_emb.weight
    model.requires_grad_(False)
    return model


def another_model(model):
    model = copy.deepcopy(model)
    model.out_head.weight = model.tok_emb.weight
    return model


def forgets_to_return(model):
    model.out_head.weight = model.tok_emb.weight


def transposes(model):
    model.out_head.weight = nn.Parameter(model.tok_emb.weight.detach().T)
    return model


def uses_the_embedding_as_head(model):
    model.out_head = model.tok_emb
    return model


def nothing_mended(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    positions = torch.arange(in_idx.shape[0]).unsqueeze(1)
    x = tok_emb(in_idx) + pos_emb(positions)
    for block in blocks:
        x = block(x)
    final_norm(x)
    return out_head(x)


def norm_without_effect(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return out_head(blocks(tok_emb(in_idx) + pos_emb(torch.arange(in_idx.shape[1]))))


def position_of_the_text(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    positions = torch.arange(in_idx.shape[0]).unsqueeze(1)
    return out_head(final_norm(blocks(tok_emb(in_idx) + pos_emb(positions))))


def no_positions(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return out_head(final_norm(blocks(tok_emb(in_idx))))


def no_positions_no_norm(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return out_head(blocks(tok_emb(in_idx)))


def last_position(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    x = tok_emb(in_idx) + pos_emb(torch.tensor(in_idx.shape[1] - 1))
    return out_head(final_norm(blocks(x)))


def norm_in_the_loop(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    x = tok_emb(in_idx) + pos_emb(torch.arange(in_idx.shape[1]))
    for block in blocks:
        x = final_norm(block(x))
    return out_head(x)


def norm_first(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return out_head(blocks(final_norm(tok_emb(in_idx) + pos_emb(torch.arange(in_idx.shape[1])))))


def right_forward(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return out_head(final_norm(blocks(tok_emb(in_idx) + pos_emb(torch.arange(in_idx.shape[1])))))


def positions_from_one(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return out_head(final_norm(blocks(tok_emb(in_idx) + pos_emb(torch.arange(1, in_idx.shape[1] + 1)))))


def forgets_the_head(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return final_norm(blocks(tok_emb(in_idx) + pos_emb(torch.arange(in_idx.shape[1]))))


def count(cfg, head=1, positions=1, final=2, norms=4, qkv_bias=None, out_bias=1, ff_bias=5, out_proj=1, ff=8, qkv=3):
    d, V = cfg["emb_dim"], cfg["vocab_size"]
    qkv_bias = 3 * cfg["qkv_bias"] if qkv_bias is None else qkv_bias
    block = (qkv + out_proj + ff) * d * d + (norms + qkv_bias + out_bias + ff_bias) * d
    return V * d + positions * cfg["context_length"] * d + cfg["n_layers"] * block + final * d + head * V * d


def with_parts(**changes):
    return lambda cfg: count(cfg, **changes)


def changes_the_config(cfg):
    cfg["n_layers"] = 0
    return count(cfg)


WRONG = {
    "08.1": [
        (1549.58, "That is float32"),
        (812.43, "MB of 1,000,000 bytes"),
        (1624.85, "in float32"),
        (387.4, "one byte each"),
        (676.63, "tied model"),
        (658, "trusted the name"),
        (812_425_216, "Those are bytes"),
        (0.7566, "Those are GiB"),
        (100, "too small"),
        (310.92, "124M model"),
        (900, "too large"),
        ("774.79", "quotation marks"),
    ],
    "08.2": [
        (6.23, "weights alone"),
        (12.46, "weights and gradients"),
        (18.69, "Three numbers"),
        (26.2, "untied"),
        (23.2, "GiB"),
        (24_918_092_800, "Those are bytes"),
        (24.67, "trusted the name"),
        (25.17, "quarter for PyTorch"),
        (1, "too small"),
    ],
    "08.3": [
        ({**GPT_CONFIG_124M, "emb_dim": 512}, "12 heads do not divide"),
        ({**GPT_CONFIG_124M, "emb_dim": 512, "n_heads": 8}, "64,067,072 parameters: too many"),
        ({**GPT_CONFIG_124M, "emb_dim": 512, "n_heads": 8, "n_layers": 5}, "too few"),
        ({**GPT_CONFIG_124M, "emb_dim": 512, "n_heads": 8, "n_layers": 6, "vocab_size": 50_000}, "vocab_size is"),
        ({**GPT_CONFIG_124M, "n_heads": 8, "n_layers": 6}, "emb_dim is int 768"),
        ({**GPT_CONFIG_124M, "emb_dim": 512, "n_heads": 8, "n_layers": 6.5}, "n_layers=6.5 must be a whole number"),
        ({**GPT_CONFIG_124M, "emb_dim": 512, "n_heads": 0}, "n_heads=0 must be a whole number"),
        ({"emb_dim": 512, "n_heads": 8, "n_layers": 6}, "Give all seven"),
        (6, "Expected a dictionary"),
    ],
    "08.4": [
        (copies, "That is a copy"),
        (new_parameter, "That is a copy"),
        (same_memory, "two parameters"),
        (wraps_again, "two parameters"),
        (other_way_round, "not that of the token embedding"),
        (freezes, "requires_grad=False"),
        (another_model, "Return the model that you were given"),
        (forgets_to_return, "Now return the model"),
        (transposes, "another shape"),
        (uses_the_embedding_as_head, "does not run any more"),
        (lambda model: model, "Nothing is tied yet"),
        (lambda model: model.tie_weights(), "no attribute 'tie_weights'"),
    ],
    "08.5": [
        (nothing_mended, "Nothing is mended yet"),
        (norm_without_effect, "The positions are right now"),
        (position_of_the_text, "one position: the text's place"),
        (no_positions, "dropped the positions: each"),
        (no_positions_no_norm, "still without effect"),
        (last_position, "the last position"),
        (norm_in_the_loop, "after every block"),
        (norm_first, "belongs after the blocks"),
        (lambda *parts: right_forward(*parts).softmax(dim=-1), "probabilities"),
        (positions_from_one, "index out of range"),
        (forgets_the_head, "the result has shape"),
    ],
    "08.6": [
        (with_parts(head=0), "One table of vocab_size * emb_dim is missing"),
        (with_parts(final=0), "The final layer norm is missing"),
        (with_parts(positions=0), "The position embedding is missing"),
        (with_parts(qkv_bias=0), "qkv_bias is ignored"),
        (with_parts(qkv_bias=3), "only if qkv_bias is True"),
        (lambda cfg: count(cfg, qkv_bias=int(cfg["qkv_bias"])), "you count one"),
        (with_parts(out_bias=0), "a bias of emb_dim numbers"),
        (with_parts(ff_bias=0), "Feed-forward's two biases"),
        (with_parts(ff_bias=0, out_bias=0), "you count none"),
        (with_parts(ff_bias=0, final=0), "after the last block. Feed-forward's two biases"),
        (with_parts(norms=2), "two layer norms; you count one"),
        (with_parts(norms=2, final=1), "one vector for each"),
        (with_parts(norms=0), "lacks 4 * emb_dim"),
        (with_parts(out_proj=0, out_bias=0), "output projection of attention is missing"),
        (with_parts(ff=4), "two matrices"),
        (lambda cfg: count({**cfg, "n_layers": 1}), "You count one block"),
        (lambda cfg: count(cfg) + 3 * (cfg["n_heads"] - 1) * cfg["n_layers"] * cfg["emb_dim"] ** 2, "share one query"),
        (lambda cfg: count(cfg) + cfg["vocab_size"], "The output head has no bias"),
        (lambda cfg: count_parameters(cfg, tied=True), "One table"),
        (lambda cfg: 163_009_536, "it gives int 163009536"),
        (lambda cfg: count(cfg) + 1, "expected is int"),
        (changes_the_config, "expected is int"),
        (163_009_536, "Expected a function"),
    ],
}

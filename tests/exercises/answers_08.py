"""Wrong answers to the exercises of notebook 08 that no mistake is declared for, and words of what is said of each."""

import copy

import torch
from torch import nn

from gptcore import GPT_CONFIG_124M, count_parameters
from gptcore.exercises.notebook_08 import forward

NARROW = {**GPT_CONFIG_124M, "emb_dim": 512, "n_heads": 8, "n_layers": 6}  # the right answer to 08.3


def gives(new_weights):
    """Give the model two weights made from the old ones, of the embedding and of the head."""

    def tie(model):
        model.tok_emb.weight, model.out_head.weight = new_weights(model.tok_emb.weight, model.out_head.weight)
        return model

    return tie


def copies(model):
    model.out_head.weight.data.copy_(model.tok_emb.weight.data)
    return model


def forgets_to_return(model):
    model.out_head.weight = model.tok_emb.weight


def uses_the_embedding_as_head(model):
    model.out_head = model.tok_emb
    return model


class Reads(nn.Module):
    """A head that reads the embedding's table, and has none of its own."""

    def __init__(self, tok_emb):
        super().__init__()
        self.table = tok_emb

    def forward(self, x):
        return x @ self.table.weight.T


def puts_another_head_in(model):
    model.out_head = Reads(model.tok_emb)
    return model


def positions_from_one(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
    return out_head(final_norm(blocks(tok_emb(in_idx) + pos_emb(torch.arange(1, in_idx.shape[1] + 1)))))


def changes_the_config(cfg):
    cfg["n_layers"] = 0
    return 0


WRONG = {
    "08.1": [
        (0.81, "Those are GB"),
        (0.757, "Those are GiB"),
        (100, "too small"),
        (900, "too large"),
        ("774.79", "quotation marks"),
    ],
    "08.2": [(1, "too small")],
    "08.3": [
        ({**NARROW, "n_heads": 12}, "12 heads do not divide"),
        ({**NARROW, "n_layers": 12}, "64,067,072 parameters: too many"),
        ({**NARROW, "n_layers": 5}, "too few"),
        ({**NARROW, "vocab_size": 50_000}, "vocab_size is"),
        ({**NARROW, "emb_dim": 768}, "emb_dim is 768"),
        ({**NARROW, "n_layers": 6.5}, "n_layers=6.5 must be a whole number"),
        ({**NARROW, "n_heads": "8"}, "n_heads='8' must be a whole number"),
        ({**NARROW, "n_heads": None}, "n_heads=None must be a whole number"),
        ({**NARROW, "emb_dim": "512"}, "emb_dim is str '512'"),
        ({**NARROW, "n_heads": 0}, "n_heads=0 must be a whole number"),
        ({"emb_dim": 512, "n_heads": 8, "n_layers": 6}, "Give all seven"),
        (6, "Expected a dictionary"),
    ],
    "08.4": [
        (copies, "That is a copy"),
        (gives(lambda emb, head: (emb, nn.Parameter(emb))), "two parameters"),
        (gives(lambda emb, head: (head, head)), "not that of the token embedding"),
        (gives(lambda emb, head: (emb.requires_grad_(False), emb)), "requires_grad=False"),
        (gives(lambda emb, head: (emb, nn.Parameter(emb.detach().T))), "another shape"),
        (gives(lambda emb, head: (emb, head)), "Nothing is tied yet"),
        (gives(lambda emb, head: (emb, nn.Parameter(emb + 1))), "There are still two tables. Make"),
        (forgets_to_return, "Now return the model"),
        (puts_another_head_in, "The head has no weight any more"),
        (uses_the_embedding_as_head, "does not run any more"),
        (copy.deepcopy, "Return the model that you were given"),
        (lambda model: model.tie_weights(), "no attribute 'tie_weights'"),
    ],
    "08.5": [
        (lambda in_idx, *parts: forward(in_idx, *parts[:2], parts[2][:2], *parts[3:]), "They differ most at"),
        (positions_from_one, "index out of range"),
        (lambda in_idx, tok, pos, blocks, norm, head: norm(blocks(tok(in_idx))), "the result has shape"),
    ],
    "08.6": [
        (lambda cfg: count_parameters(cfg) - (2 + 5 * cfg["n_layers"]) * cfg["emb_dim"], "block. Feed-forward's two"),
        (
            lambda cfg: (
                (2 * cfg["vocab_size"] + cfg["context_length"]) * cfg["emb_dim"]
                + 12 * cfg["n_layers"] * cfg["emb_dim"] ** 2
            ),
            "No layer norm is counted. No bias is counted",
        ),
        (lambda cfg: 163_009_536, "it gives 163009536"),
        (lambda cfg: count_parameters(cfg) + 1, "expected is 1158"),
        (changes_the_config, "For cfg={'n_layers': 2,"),
        (163_009_536, "Expected a function"),
    ],
}

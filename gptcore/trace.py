"""Everything that a model computes on the way from a text to its answer, to be looked at.

Notebook: 13_what_it_learned.
"""

from contextlib import ExitStack

import torch

from gptcore.checks import check_no_dropout, check_token_ids


def run_with_trace(model, in_idx, cache=None):
    """Return the model's logits, and what each of its parts gave: a dictionary by the parts' names.

    The names are those of `model.named_modules()`. `trace["drop_emb"]` is the stream as it enters the first block,
    `trace["trf_blocks.0"]` the stream behind that block, `trace["trf_blocks.0.att"]` what its attention added. Of a
    block's `drop_shortcut`, which runs twice, it has what came the second time. All parts run as ever, and are only
    listened to: the logits are those of `model(in_idx, cache)`, to the last bit unless dropout is on.

    Shapes: in_idx (batch, num_tokens) -> logits (batch, num_tokens, vocab_size); the stream and what is added to it
    (batch, num_tokens, emb_dim).
    Raises: as the model. Notebook: 13_what_it_learned.
    """
    trace = {}
    with ExitStack() as hooks:
        for name, part in model.named_modules():
            if not name:
                continue  # the model itself, whose answer is returned

            def listen(part, inputs, output, name=name):
                trace[name] = output

            hooks.callback(part.register_forward_hook(listen).remove)
        logits = model(in_idx, cache)
    return logits, trace


@torch.no_grad()
def attention_weights(model, in_idx):
    """Return how much each token looks at each other one, in every head of every block.

    The model's fused attention never writes these weights down; here they are computed again from its own queries and
    keys, by the formula of `MultiHeadAttention`. Each row sums to 1.

    Shapes: in_idx (batch, num_tokens) -> (n_layers, batch, n_heads, num_tokens, num_tokens): the row looks, the column
    is looked at.
    Raises: ValueError for a model in train mode; and as the model. Notebook: 13_what_it_learned.
    """
    check_no_dropout(model)
    _, trace = run_with_trace(model, in_idx)
    weights = []
    for i, block in enumerate(model.trf_blocks):
        queries, keys = (
            block.att.split_heads(trace[f"trf_blocks.{i}.att.{projection}"]) for projection in ("W_query", "W_key")
        )
        scores = queries @ keys.mT / keys.shape[-1] ** 0.5  # (batch, n_heads, num_tokens, num_tokens)
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        weights.append(scores.masked_fill(future, -torch.inf).softmax(dim=-1))
    return torch.stack(weights)


def strongest_look(looks):
    """Return the largest weight's place as (head, token), but for looks at a text's beginning, where idle heads look.

    Shapes: looks, of several heads from one token: (heads, num_tokens).
    Raises: ValueError when there is no token but the first.
    """
    if looks.shape[1] < 2:
        raise ValueError(
            f"at least two tokens are needed, got {looks.shape[1]}; looks at the first one do not count, so read a "
            "longer text"
        )
    looked_at = looks[:, 1:].max(dim=0)  # of each token the head that looks at it most
    token = looked_at.values.argmax().item()
    return looked_at.indices[token].item(), token + 1


def stream_names(model):
    """Return the names, in a trace, of the stream at each depth: before the first block, and behind each block."""
    return ["drop_emb", *(f"trf_blocks.{i}" for i in range(len(model.trf_blocks)))]


@torch.no_grad()
def patch_everywhere(model, in_idx, other_idx):
    """Put one vector of another text's stream into a text's, at each depth and place in turn.

    Returns the probabilities of the token that comes next: where they become those of the other text, the vector
    carried what the texts differ in. All places of a depth are one batch.

    Shapes: in_idx and other_idx (1, num_tokens) -> (n_layers + 1, num_tokens, vocab_size).
    Raises: ValueError when there is more than one text, the texts differ in length, or the model is in train mode,
    where dropout would change each run; and as the model.
    Notebook: 13_what_it_learned.
    """
    check_token_ids(in_idx)
    check_token_ids(other_idx)
    if in_idx.shape != other_idx.shape or len(in_idx) != 1:
        raise ValueError(
            f"two single texts of the same number of tokens are needed, (1, num_tokens) each, got "
            f"{tuple(in_idx.shape)} and {tuple(other_idx.shape)}; give one text at a time, both with as many tokens"
        )
    check_no_dropout(model)
    (_, trace), (_, other) = run_with_trace(model, in_idx), run_with_trace(model, other_idx)
    places = torch.arange(in_idx.shape[1], device=in_idx.device)
    chances = []
    for depth, name in enumerate(stream_names(model)):
        x = trace[name].repeat(len(places), 1, 1)
        x[places, places] = other[name][0]  # in text i of the batch, the vector at place i
        for block in model.trf_blocks[depth:]:
            x = block(x)
        chances.append(model.out_head(model.final_norm(x[:, -1])).softmax(dim=-1))
    return torch.stack(chances)

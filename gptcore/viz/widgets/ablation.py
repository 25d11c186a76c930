"""Notebooks 11 and 14: switch off one head, or one shortcut, and read what the model says without it."""

import html

import torch

from gptcore import next_token_loss, replaced, text_to_token_ids
from gptcore.checks import check_not_nan
from gptcore.viz.widgets.generation import likeliest
from gptcore.viz.widgets.live import Explorer, asking, choice, short, side_by_side, slider, text_box
from gptcore.viz.widgets.tokens import check_length, visible

_BEST = 6


def ablation_explorer(model, text="The fox had a red ball", tokenizer=None):
    """Type a text, switch one part of one block off, and compare the next tokens and the perplexity of the text."""

    def look(ids):
        logits = model(ids)[0]  # (num_tokens, vocab_size)
        check_not_nan(logits)
        perplexity = next_token_loss(logits[:-1], ids[0, 1:]).exp().item() if len(logits) > 1 else float("nan")
        return logits[-1].softmax(dim=-1).topk(_BEST), perplexity

    @asking(model)
    def view(text, part, block, head):
        check_length(text)
        ids = text_to_token_ids(text, tokenizer)

        def perplexity(*measured):
            if ids.shape[1] == 1:
                return "A text of one token has no perplexity: nothing in it was predicted"
            return f"Perplexity of the text: {', without it '.join(map(short, measured))}"

        whole, usual = look(ids)
        first = visible(whole.indices[0].item(), tokenizer)
        table = likeliest(whole, tokenizer, "the whole model")
        if part == "nothing":
            words = f"Switched off: nothing. Likeliest next token: {first}. {perplexity(usual)}."
            return f"{table}<p>{html.escape(words)}</p>", words
        with switched_off(model, part, block, head):
            without, unusual = look(ids)
        name = f"head {head} of block {block}" if part == "head" else f"the {part} of block {block}"
        second = visible(without.indices[0].item(), tokenizer)
        words = (
            f"Switched off: {name}. Likeliest next token: {first}, without it {second}. {perplexity(usual, unusual)}."
        )
        tables = side_by_side(table, likeliest(without, tokenizer, f"without {name}"))
        return f"{tables}<p>{html.escape(words)}</p>", words

    controls = {
        "text": text_box("text", text),
        "part": choice("switch off", ["nothing", "head", "attention", "feed-forward", "shortcut"], "shortcut"),
        "block": slider("block", 0, model.cfg["n_layers"] - 1, 1, 0),
        "head": slider("head", 0, model.cfg["n_heads"] - 1, 1, 0),
    }
    Explorer("ablation_explorer", view, controls).show()


def switched_off(model, part, block, head):
    """Inside, one block of `model` works without its `part`; "shortcut" is the one past attention."""
    here = f"trf_blocks.{block}"
    head_dim = model.cfg["emb_dim"] // model.cfg["n_heads"]

    def without_head(out_proj, context):  # (batch, num_tokens, emb_dim): the heads side by side
        kept = torch.ones(model.cfg["n_heads"], dtype=context.dtype, device=context.device)
        kept[head] = 0
        return out_proj.forward(context * kept.repeat_interleave(head_dim))

    def without_shortcut(layer, x):
        x = layer.att(layer.norm1(x))
        return x + layer.ff(layer.norm2(x))

    instead = {
        "head": (f"{here}.att.out_proj", without_head),
        "attention": (f"{here}.att", lambda att, x: 0 * x),
        "feed-forward": (f"{here}.ff", lambda ff, x: 0 * x),
        "shortcut": (here, without_shortcut),
    }
    return replaced(model, *instead[part])

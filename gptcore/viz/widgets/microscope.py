"""Notebook 13: what a model would say at each depth, where it carries an answer, and which parts it needs for that."""

import html

import torch

from gptcore import (
    generate,
    get_story_tokenizer,
    losses_by_kind,
    patch_everywhere,
    run_with_trace,
    stream_names,
    text_to_token_ids,
    token_ids_to_text,
)
from gptcore.checks import check_not_nan
from gptcore.viz.widgets.ablation import switched_off
from gptcore.viz.widgets.generation import percent
from gptcore.viz.widgets.live import Explorer, asking, choice, slider, text_box
from gptcore.viz.widgets.tokens import check_length, visible

MOST_TOKENS = 40  # rows that a reader still overlooks
STORY = '<|endoftext|>Anna could not find her red ball. She looked everywhere and was very sad. "Where is my'
OTHER_STORY = STORY.replace("ball", "cup")
_NEW_TOKENS = 10
_EXAM_STORIES = 6
_SHADE = 0, 114, 178  # the first of the figures' colours
_DARK = 0.93  # from here on white letters have the greater contrast; before, and after, it is at least 4.5


def lens_explorer(model, text=STORY, tokenizer=None):
    """Type a text and see, at each token and each depth, what the model would say if it had to answer there.

    The stream behind each block is read through the final norm and the output head ("logit lens").
    """

    def view(text):
        ids = _ids_of(text, tokenizer)
        _, trace = run_with_trace(model, ids)
        depths = stream_names(model)
        cells, answers = [], []
        for name in depths:
            logits = model.out_head(model.final_norm(trace[name]))[0]  # (num_tokens, vocab_size)
            check_not_nan(logits)
            chances = logits.softmax(dim=-1).max(dim=-1)
            said = [visible(token_id, tokenizer) for token_id in chances.indices.tolist()]
            cells.append(list(zip(said, chances.values.tolist(), strict=True)))
            answers.append(f"{said[-1]} {percent(chances.values[-1].item())}")
        words = f"At the last token, from the embeddings to the last block: {', '.join(answers)}."
        table = _table_by_depth(model, ids, tokenizer, cells, "the likeliest next token, read at each depth")
        return f"{table}<p>{html.escape(words)}</p>", words

    Explorer("lens_explorer", asking(model)(view), {"text": text_box("text", text)}).show()


def patch_explorer(model, text=STORY, other=OTHER_STORY, tokenizer=None):
    """Two texts with different answers: put one vector of the other's stream into the first's, at each place in turn.

    Where the answer turns into the other one, it was carried by that vector.
    """

    def view(text, other):
        ids, other_ids = _ids_of(text, tokenizer), _ids_of(other, tokenizer)
        if ids.shape != other_ids.shape:
            raise ValueError(
                f"the texts have {ids.shape[1]} and {other_ids.shape[1]} tokens; they need the same number"
            )
        both = model(torch.cat([ids, other_ids]))[:, -1]  # (2, vocab_size)
        check_not_nan(both)
        answers = both.argmax(dim=-1).tolist()
        chances = patch_everywhere(model, ids, other_ids)[:, :, answers[1]]  # (n_layers + 1, num_tokens)
        cells = [[(f"{100 * chance:.0f}%", chance) for chance in depth.tolist()] for depth in chances]
        first, second = (visible(answer, tokenizer) for answer in answers)
        words = (
            f"After the first text {first} is likeliest, after the other {second}. One vector of the other text gives "
            f"{second} more than half at {(chances > 0.5).sum().item()} of {chances.numel()} places."
        )
        if first == second:
            words = f"After both texts {first} is likeliest, so no vector can turn the answer; take texts that differ."
        caption = f"probability of {html.escape(second)} with one vector of the other text"
        table = _table_by_depth(model, ids, tokenizer, cells, caption)
        return f"{table}<p>{html.escape(words)}</p>", words

    controls = {"text": text_box("text", text), "other": text_box("other", other)}
    Explorer("patch_explorer", asking(model)(view), controls).show()


def cut_explorer(model, text=STORY):
    """Switch off a head, a layer or a shortcut of a model that knows the stories: its text, its answer, its losses."""
    tokenizer = get_story_tokenizer()
    whole = {"text": None}  # what the whole model says of the last text
    losses = {}  # of the whole model and of each that was cut, whatever the text

    def row(name, ids, answer):
        if name not in losses:
            losses[name] = losses_by_kind(model, _EXAM_STORIES)
        logits = model(ids)[0, -1]
        check_not_nan(logits)
        chance = logits.softmax(dim=-1)[answer].item()
        written = generate(model, ids, _NEW_TOKENS, use_cache=False)[:, ids.shape[1] :]
        return name, token_ids_to_text(written, tokenizer), chance, losses[name]

    def view(text, part, block, head):
        if whole["text"] != text:
            ids = _ids_of(text, tokenizer)
            answer = model(ids)[0, -1].argmax().item()
            whole.update(text=text, ids=ids, answer=answer, said=row("the whole model", ids, answer))
        ids, answer, rows = whole["ids"], whole["answer"], [whole["said"]]
        if part != "nothing":
            with switched_off(model, part, block, head):
                name = f"without {f'head {head}' if part == 'head' else f'the {part}'} of block {block}"
                rows.append(row(name, ids, answer))
        said = visible(answer, tokenizer)
        head_row = "".join(
            f'<th scope="col" style="text-align:left">{html.escape(each)}</th>'
            for each in ("", "goes on", f"probability of {said}", "loss, all tokens", "loss, names again")
        )
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{name}</th>'
            f'<td style="text-align:left">{html.escape(text)}</td><td>{percent(chance)}</td>'
            f"<td>{cost['all tokens']:.2f}</td><td>{cost['names again']:.2f}</td></tr>"
            for name, text, chance, cost in rows
        )
        words = " ".join(
            f"{name[0].upper()}{name[1:]}: {said} {percent(chance)}, loss {cost['all tokens']:.2f}, "
            f"on names again {cost['names again']:.2f}; it goes on:{text}"
            for name, text, chance, cost in rows
        )
        # A widget's table has no room between its columns, unlike one in a stored output.
        return f'<table style="border-spacing:14px 2px"><tr>{head_row}</tr>{body}</table>', words

    controls = {
        "text": text_box("text", text),
        "part": choice("switch off", ["nothing", "head", "attention", "feed-forward", "shortcut"], "attention"),
        "block": slider("block", 0, model.cfg["n_layers"] - 1, 1, model.cfg["n_layers"] - 1),
        "head": slider("head", 0, model.cfg["n_heads"] - 1, 1, 0),
    }
    Explorer("cut_explorer", asking(model)(view), controls).show()


def _ids_of(text, tokenizer):
    check_length(text)
    ids = text_to_token_ids(text, tokenizer)
    if ids.shape[1] > MOST_TOKENS:
        raise ValueError(f"the text has {ids.shape[1]} tokens; {MOST_TOKENS} fit here, so use fewer")
    return ids


def _table_by_depth(model, ids, tokenizer, cells, caption):
    """An HTML table: a row for each token, a column for each depth; the darker a cell, the larger its probability.

    `cells` has for each depth a list of (text, probability).
    """
    columns = ["embeddings", *(f"block {block}" for block in range(model.cfg["n_layers"]))]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("token", *columns))
    rows = []
    for place, token_id in enumerate(ids[0].tolist()):
        row = "".join(_cell(*column[place]) for column in cells)
        name = html.escape(visible(token_id, tokenizer))
        rows.append(f'<tr><th scope="row" style="text-align:left">{name}</th>{row}</tr>')
    table = f"<table><caption>{caption}</caption><tr>{head}</tr>{''.join(rows)}</table>"
    return f'<div style="overflow-x:auto" tabindex="0">{table}</div>'  # so that keys can scroll it in a narrow window


def _cell(text, chance):
    red, green, blue = (round(255 - chance * (255 - part)) for part in _SHADE)
    colours = f"background:rgb({red},{green},{blue});color:{'#fff' if chance > _DARK else '#000'}"
    return f'<td style="text-align:left;{colours}">{html.escape(text)}</td>'

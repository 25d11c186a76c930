"""Notebooks 09 and 10: a text that grows, one token at a time; and what drawing instead of choosing changes."""

import asyncio
import html
import math

import torch
from torch.nn import functional as F

from gptcore import generate, text_to_token_ids, token_ids_to_text
from gptcore.checks import check_not_nan
from gptcore.generation import drawing_probabilities
from gptcore.viz import plots
from gptcore.viz.style import one_at_a_time, our_look
from gptcore.viz.widgets.live import (
    Explorer,
    LiveFigure,
    asking,
    button,
    choice,
    own_random_numbers,
    side_by_side,
    slider,
    text_box,
)
from gptcore.viz.widgets.tokens import check_length, visible

MOST_NEW_TOKENS = 30
_BEST = 10
_SECONDS_BETWEEN_TOKENS = 0.5
_DRAWN_TOKENS = 16
_ALL = "all"


@our_look()
def generation_explorer(model, prompt="Hello, I am", tokenizer=None):
    """Step through greedy generation: the ten likeliest next tokens, how undecided the model was, and the text.

    `tokenizer` is the model's; GPT-2's when None.
    """
    figure = LiveFigure("The entropy at each step, from the prompt to the newest token.", size=(4.6, 3.4))
    axes = figure.axes
    title, ylabel = "how undecided the model was", "entropy (nats)"
    plots.lines(axes, [0], {"": [0]}, markers=True, title=title, xlabel="tokens written", ylabel=ylabel)
    (curve,) = axes.lines
    guessing = math.log(model.cfg["vocab_size"])
    axes.set(xlim=(-0.5, MOST_NEW_TOKENS + 0.5), ylim=(0, 1.1 * guessing))
    plots.mark(axes, y=guessing, label="guessing")
    told = {"prompt": None}  # what the model said so far: (sequence, its ten best with probabilities, entropy) a step

    def tell(prompt, step):
        if told["prompt"] != prompt:
            told.update(prompt=prompt, steps=[_think(model, text_to_token_ids(prompt, tokenizer))])
        while len(told["steps"]) <= step:
            ids, best, _ = told["steps"][-1]
            told["steps"].append(_think(model, torch.cat([ids, best.indices[:1][None]], dim=1)))
        return told["steps"]

    @asking(model)
    def view(prompt, written):
        if written and prompt != told["prompt"]:  # the new prompt has nothing behind it yet
            reset()
            written = 0
        check_length(prompt, "prompt")
        steps = tell(prompt, written)
        ids, best, _ = steps[written]
        curve.set_data(range(written + 1), [entropy for *_, entropy in steps[: written + 1]])
        picture, words = figure.reading(
            f"{written} token{'s' * (written != 1)} written. Next: {visible(best.indices[0].item(), tokenizer)}, "
            f"{percent(best.values[0].item())}. Entropy {steps[written][2]:.2f}."
        )
        text = token_ids_to_text(ids, tokenizer)
        new = html.escape(text[len(prompt) :])
        shown = f'<p style="white-space:pre-wrap">{html.escape(prompt)}<strong><u>{new}</u></strong></p>'
        return shown + side_by_side(likeliest(best, tokenizer), picture), f"{words} The text: {text}"

    tokens = slider("tokens written", 0, MOST_NEW_TOKENS, 1, 0)
    playing = None  # the task that adds tokens

    def stop():
        nonlocal playing
        playing, play_button.description = None, "Play"

    async def go_on():
        while True:
            with one_at_a_time:
                if asyncio.current_task() is not playing or tokens.comm is None:
                    return  # paused or closed; to cancel is not safe from another thread, and a button may come in one
                if tokens.value == tokens.max:
                    return stop()
                tokens.value += 1
            await asyncio.sleep(_SECONDS_BETWEEN_TOKENS)

    def play_or_pause():
        nonlocal playing
        if playing:
            stop()
        else:
            play_button.description = "Pause"
            playing = asyncio.get_running_loop().create_task(go_on())

    def step():
        stop()
        tokens.value = min(tokens.value + 1, tokens.max)

    def reset():
        stop()
        tokens.value = 0

    play_button = button("Play", play_or_pause, "one token every half second")
    buttons = [button("Step", step, "one token"), play_button, button("Reset", reset, "back to the prompt")]
    Explorer("generation_explorer", view, {"prompt": text_box("prompt", prompt), "written": tokens}, buttons).show()


def percent(probability):
    """Two digits, and 100% where two digits would make it 1e+02%."""
    return f"{100 * probability:.2g}%" if probability < 0.995 else "100%"


def likeliest(best, tokenizer=None, caption="the ten likeliest next tokens"):
    """The likeliest tokens, as `topk` gives them, as rows of an HTML table, with bars in proportion to the first."""
    rows = []
    for probability, token_id in zip(*(each.tolist() for each in best), strict=True):
        width = 100 * probability / best.values[0].item()
        bar = f'<div style="width:{width:.1f}%;height:1em;background:{plots.COLOURS[0]}"></div>'
        name = f'<th scope="row" style="text-align:left">{html.escape(visible(token_id, tokenizer))}</th>'
        rows.append(f'<tr>{name}<td style="width:120px">{bar}</td><td>{percent(probability)}</td></tr>')
    return f"<table><caption>{caption}</caption>{''.join(rows)}</table>"


def sampling_explorer(model, prompt="One day", tokenizer=None):
    """Turn temperature and top-k, and see what they do to the next token's probabilities and to a drawn text."""
    draws = {"number": 0}

    @asking(model)
    def view(prompt, temperature, top_k):
        check_length(prompt, "prompt")
        top_k = None if top_k == _ALL else top_k
        idx = text_to_token_ids(prompt, tokenizer)
        logits = model(idx[:, -model.cfg["context_length"] :])[:, -1]  # (1, vocab_size)
        if temperature:
            shares = drawing_probabilities(logits, temperature, top_k)[0]
        else:
            shares = F.one_hot(logits[0].argmax(), logits.shape[-1]).float()
        count = (shares > 0).sum().item()
        best = shares.topk(min(_BEST, count))
        with own_random_numbers():
            torch.manual_seed(draws["number"])
            ids = generate(model, idx, _DRAWN_TOKENS, temperature=temperature, top_k=top_k)
        text = token_ids_to_text(ids, tokenizer)
        shown = f'<p style="white-space:pre-wrap">{html.escape(prompt)}<strong><u>{html.escape(text[len(prompt) :])}'
        first = f"{visible(best.indices[0].item(), tokenizer)} {100 * best.values[0].item():.0f}%"
        summary = f"{count} token{'s' * (count > 1)} can come next; the likeliest is {first}."
        page = f"{shown}</u></strong></p><p>{html.escape(summary)}</p>{likeliest(best, tokenizer)}"
        return page, f"{summary} The text: {text}"

    controls = {
        "prompt": text_box("prompt", prompt),
        "temperature": slider("temperature", 0.0, 2.0, 0.1, 1.0, format=".1f"),
        "top_k": choice("top-k", [("1", 1), ("3", 3), ("10", 10), ("all", _ALL)], _ALL),
    }

    def draw_again():
        draws["number"] += 1
        explorer.redraw()

    buttons = [button("Draw again", draw_again, "other random numbers")]
    explorer = Explorer("sampling_explorer", view, controls, buttons)
    explorer.show()


def _think(model, ids):
    """The ids, the model's ten likeliest next tokens, and the entropy of all its probabilities."""
    logits = model(ids[:, -model.cfg["context_length"] :])[0, -1]  # (vocab_size,)
    check_not_nan(logits)
    probabilities = logits.softmax(dim=-1)
    return ids, probabilities.topk(_BEST), torch.special.entr(probabilities).sum().item()

"""Notebook 00: text as tokens."""

import html

from gptcore.tokenizer import get_tokenizer, text_to_token_ids
from gptcore.viz.widgets.live import Explorer, text_box

LONGEST_TEXT = 400  # characters: what fits on a screen
_TINTS = ("#cfe3f2", "#f9dcc7", "#cfeadd", "#f3dfea", "#f8e7c4", "#d9effa")
_CHIP = (
    "display:inline-block;margin:2px;padding:1px 6px;border:1px solid #555;border-radius:4px;color:#000;"
    "text-align:center;white-space:pre"
)


def token_explorer(text="Hello, I am learning"):
    """Type a text and see its tokens, each with its id."""
    Explorer("token_explorer", _show_tokens, {"text": text_box("text", text)}).show()


def visible(token_id, tokenizer=None):
    """The token's text, with spaces and line ends made visible; its bytes when nobody would see it as a letter."""
    raw = (tokenizer or get_tokenizer()).decode_single_token_bytes(token_id)
    try:
        text = raw.decode().replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    except UnicodeDecodeError:  # part of a letter
        return raw.hex(" ")
    return text if text.isprintable() else raw.hex(" ")  # a control character would leave an empty place


def check_length(text, name="text"):
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"the {name} has {len(text)} characters; {LONGEST_TEXT} fit here, so use fewer")


def _show_tokens(text):
    check_length(text)
    ids = text_to_token_ids(text)[0].tolist()
    chips = "".join(
        f'<span style="{_CHIP};background:{_TINTS[position % len(_TINTS)]}">{html.escape(visible(token_id))}'
        f'<br><small style="color:#333">{token_id}</small></span>'
        for position, token_id in enumerate(ids)
    )
    count = f"{len(text)} character{'s' * (len(text) != 1)} became {len(ids)} token{'s' * (len(ids) != 1)}."
    words = f"{count} " + ", ".join(f"{visible(token_id)} {token_id}" for token_id in ids)
    return f'<p>{count} ␣ stands for a space.</p><div style="line-height:1.3">{chips}</div>', words

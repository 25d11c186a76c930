"""Diagrams as SVG: sharp at every zoom, a few kilobytes, described in words for those who cannot see them."""

import html

from IPython.display import display

from gptcore.viz.style import COLOURS, Picture

BOX_HEIGHT = 44
_PLAIN = {"fill": "#ffffff", "border": "#555555", "border_width": 1.5, "weight": "normal"}
_LIT = {"fill": "#fbe3d3", "border": COLOURS[1], "border_width": 4, "weight": "bold"}
_STEPS_IN_A_ROW = 4  # more would be too small to read in a narrow window

# JupyterLab breaks a long line of print or of source anywhere, in the middle of a word. The map is in every lesson, so
# it comes with a rule that keeps the words of its notebook whole.
_WHOLE_WORDS = "<style>.jp-Notebook:has(.gptcore-picture) .jp-OutputArea-output pre{word-break:normal}</style>"

# x, y, width, name, notebook that explains it
_MAP_BOXES = (
    (14, 168, 166, "text to token ids", "01"),
    (14, 48, 166, "embeddings", "01"),
    (232, 48, 96, "layer norm", "02"),
    (346, 48, 116, "attention", "06"),
    (482, 48, 60, "add", "05"),
    (232, 168, 96, "layer norm", "02"),
    (346, 168, 116, "feed-forward", "04"),
    (482, 168, 60, "add", "05"),
    (346, 226, 116, "GELU inside", "03"),
    (232, 226, 96, "12 blocks", "07"),
    (594, 168, 166, "final layer norm", "02"),
    (594, 108, 166, "GPT model, logits", "08"),
    (594, 48, 166, "next token", "09"),
    (14, 300, 134, "training", "10"),
    (160, 300, 160, "OpenAI's weights", "11"),
    (332, 300, 134, "fast writing", "12"),
    (478, 300, 136, "what it learned", "13"),
    (626, 300, 134, "your own GPT", "14"),
)
_NOTEBOOKS = {
    "01": "01_config_and_shapes",
    "02": "02_layer_norm",
    "03": "03_activations",
    "04": "04_feed_forward",
    "05": "05_shortcut_connections",
    "06": "06_causal_attention",
    "07": "07_transformer_block",
    "08": "08_gpt_model",
    "09": "09_greedy_generation",
    "10": "10_why_training_matters",
    "11": "11_gpt2_weights",
    "12": "12_fast_generation",
    "13": "13_what_it_learned",
    "14": "14_your_own_gpt",
}
_MAP_WIDTH, _MAP_HEIGHT = 774, 356
_MAP_ARROWS = (
    ((97, 168), (97, 96)),
    ((180, 70), (228, 70)),
    ((328, 70), (342, 70)),
    ((462, 70), (478, 70)),
    ((512, 92), (512, 118), (216, 118), (216, 190), (228, 190)),
    ((328, 190), (342, 190)),
    ((462, 190), (478, 190)),
    ((542, 190), (590, 190)),
    ((677, 168), (677, 156)),
    ((677, 108), (677, 96)),
)
_MAP_SHORTCUTS = (
    ((216, 70), (216, 30), (512, 30), (512, 44)),
    ((216, 146), (512, 146), (512, 164)),
)
_MAP_IN_WORDS = (
    "Map of a GPT. Text becomes token ids and then embeddings (notebook 01). They pass through 12 transformer "
    "blocks (07). Each block: layer norm (02), attention (06), added to a shortcut (05); then layer norm (02), "
    "feed-forward (04) with GELU inside (03), added to a shortcut (05). After the blocks: the final layer norm (02), "
    "the logits of the whole GPT model (08), and the next token (09). Below the map: training (10), OpenAI's "
    "weights (11), fast writing (12), what was learned (13) and your own GPT (14)."
)


def gpt_map(notebook=None):
    """Show the map of a GPT: each part links to its notebook, and those of `notebook`, such as "02", are lit.

    Raises: ValueError for a number that is not on the map.
    """
    on_map = sorted({number for *_, number in _MAP_BOXES})
    if notebook is not None and notebook not in on_map:
        raise ValueError(f"notebook {notebook!r} is not on the map; its numbers are {', '.join(on_map)}")
    parts = ['<rect x="200" y="12" width="360" height="270" rx="10" fill="#f0f0f0" stroke="#777777"/>']
    parts += [_arrow(points) for points in _MAP_ARROWS]
    parts += [_arrow(points, dashed=True) for points in _MAP_SHORTCUTS]
    parts += [
        _box(x, y, width, name, f"notebook {number}" if width > 60 else number, is_lit=number == notebook)
        for x, y, width, name, number in _MAP_BOXES
    ]
    lit = dict.fromkeys(name for *_, name, number in _MAP_BOXES if number == notebook)
    alt = _MAP_IN_WORDS + (f" Lit here: {', '.join(lit)}." if lit else "")
    links = "".join(_link(*box) for box in _MAP_BOXES)
    picture = _picture(_MAP_WIDTH, _MAP_HEIGHT, parts, alt)
    picture.html = f'<div style="position:relative;display:inline-block;max-width:100%">{picture.html}{links}</div>'
    picture.html += _WHOLE_WORDS
    display(picture)


def flow(steps, alt):
    """Show a chain of boxes from left to right, in rows; `steps` are pairs (name, shape or note)."""
    width, gap, pitch = 136, 30, BOX_HEIGHT + 36
    last_column = min(len(steps), _STEPS_IN_A_ROW) - 1
    parts = []
    for i, (name, note) in enumerate(steps):
        row, column = divmod(i, _STEPS_IN_A_ROW)
        x, y = 4 + column * (width + gap), 6 + row * pitch
        middle = y + BOX_HEIGHT // 2
        parts.append(_box(x, y, width, name, note))
        if column:
            parts.append(_arrow(((x - gap, middle), (x - 4, middle))))
        elif row:  # from the end of the row above, between the two rows, down to the first box of this one
            end, above, between = 4 + last_column * (width + gap) + width // 2, y - pitch + BOX_HEIGHT, y - 18
            parts.append(_arrow(((end, above), (end, between), (x + width // 2, between), (x + width // 2, y - 4))))
    rows = (len(steps) - 1) // _STEPS_IN_A_ROW
    display(_picture(8 + (last_column + 1) * (width + gap) - gap, rows * pitch + BOX_HEIGHT + 12, parts, alt))


def _link(x, y, width, name, number):
    """An invisible link over a box of the map, in percent, so that it stays there when the picture shrinks."""
    place = {
        "left": x / _MAP_WIDTH,
        "top": y / _MAP_HEIGHT,
        "width": width / _MAP_WIDTH,
        "height": BOX_HEIGHT / _MAP_HEIGHT,
    }
    style = "".join(f";{side}:{100 * share:.2f}%" for side, share in place.items())
    label = f'title="{name}: notebook {number}" aria-label="{name}: notebook {number}"'
    return f'<a href="{_NOTEBOOKS[number]}.ipynb" {label} style="position:absolute{style}"></a>'


def _box(x, y, width, name, note, is_lit=False):
    look = _LIT if is_lit else _PLAIN
    middle = x + width / 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{BOX_HEIGHT}" rx="6" fill="{look["fill"]}" '
        f'stroke="{look["border"]}" stroke-width="{look["border_width"]}"/>'
        f'<text x="{middle}" y="{y + 19}" font-size="14" font-weight="{look["weight"]}">{html.escape(name)}</text>'
        f'<text x="{middle}" y="{y + 36}" font-size="12" fill="#444444">{html.escape(note)}</text>'
    )


def _arrow(points, dashed=False):
    path = " ".join(f"{x},{y}" for x, y in points)
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="#333333" stroke-width="1.5"{dashes} marker-end="url(#tip)"/>'


def _picture(width, height, parts, alt):
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="DejaVu Sans, Verdana, Arial, sans-serif" text-anchor="middle">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#333333"/></marker></defs>'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>'
    )
    return Picture(svg.encode(), "image/svg+xml", alt, width)

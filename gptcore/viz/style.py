"""The one look of every figure, and how a picture reaches the page with its alternative text.

Colours: Okabe and Ito 2008, "Color Universal Design", readable with every kind of colour vision.
"""

import base64
import html
import io
import re
import threading
import tomllib
from contextlib import contextmanager
from pathlib import Path

from IPython.display import display

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")  # tell bars apart without colour

PIXELS_PER_INCH = 100  # of the page; the picture holds more, for sharp text on dense screens
PICTURE_DPI = 130
PICTURE_COLOURS = 128  # enough for smooth edges, and a third of the bytes

LOOK = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same everywhere
    "font.size": 10.5,
    "grid.alpha": 0.3,
    "legend.framealpha": 0.9,
    "lines.linewidth": 2,
}

# The alternative texts of the lessons' figures stand here and not in the cells, where they would answer a prediction
# before it is made: a file for each notebook.
TEXTS = Path(__file__).parent / "texts"
NAME_OF_A_TEXT = re.compile(r"(\d\d)\.(\w+)")

# A kernel may handle an explorer's messages in other threads than the one that runs the cells (ipykernel 7 does, and
# not all of them in the same), while matplotlib's settings and an explorer's state belong to all threads.
one_at_a_time = threading.RLock()

# JupyterLab marks its dark themes on the page's body: there the picture is turned dark, hues kept.
_DARK_THEME = "<style>[data-jp-theme-light=false] .gptcore-picture{filter:invert(0.93) hue-rotate(180deg)}</style>"


class Picture:
    """A picture for a notebook: an <img> with alternative text, which also stands in for it as plain text."""

    def __init__(self, data, mime, alt, width, height=None):
        self.alt, self._mime, self._width = alt, mime, width
        self._base64 = base64.b64encode(data).decode()
        source = f"data:{mime};base64,{self._base64}"
        keep_room = f'height="{height}" ' if height else ""  # the page stands still while the next picture comes
        self.html = (
            f'{_DARK_THEME}<img class="gptcore-picture" alt="{html.escape(alt, quote=True)}" '
            f'width="{width}" {keep_room}style="max-width:100%;height:auto" src="{source}">'
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/html": self.html, "text/plain": self.alt}
        if self._mime != "image/png":
            return bundle
        # For viewers that drop HTML. JupyterLab takes the HTML: it gives a plain picture no alternative text.
        return bundle | {"image/png": self._base64}, {"image/png": {"alt": self.alt, "width": self._width}}


@contextmanager
def figure(alt, *, rows=1, columns=1, size=None):
    """Give axes to draw into, then show the picture with the alternative text `alt`, or with the one named so.

        with figure("ReLU is 0 left of 0 and the diagonal right of it") as ax:
            plots.lines(ax, x, {"ReLU": relu(x)}, title="ReLU", xlabel="input x", ylabel="output")

    The name of a text, such as "02.spread", stands for the line `spread` of texts/02.toml.
    `size` is (width, height) in inches of 100 pixels; the axes come as from `Figure.subplots(rows, columns)`.
    Raises: ValueError when there is no such text, or an axis is left without a title or labels.
    """
    alt = alternative_text(alt)
    # Here and not above: matplotlib takes 35 MB, and a notebook that holds a large model may draw without it.
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    width, height = size or (7.2, 3.4 * rows)
    with our_look():
        fig = Figure(figsize=(width, height), dpi=PICTURE_DPI, layout="constrained")
        canvas = FigureCanvasAgg(fig)
        axes = fig.subplots(rows, columns)
        yield axes
        for ax in fig.axes:
            check_labels(ax)
        canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    png = io.BytesIO()
    pixels.quantize(PICTURE_COLOURS).save(png, format="png", optimize=True)
    display(Picture(png.getvalue(), "image/png", alt, width=round(width * PIXELS_PER_INCH)))


def alternative_text(alt):
    """Return `alt`, or where it is a name such as "02.spread", the text of that name."""
    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence or two what the figure shows")
    name = NAME_OF_A_TEXT.fullmatch(alt)
    if name is None:
        return alt
    path = TEXTS / f"{name[1]}.toml"
    texts = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if name[2] not in texts:
        raise ValueError(f"no alternative text is named {alt!r}; texts/{path.name} has {', '.join(texts) or 'none'}")
    return texts[name[2]]


@contextmanager
def our_look():
    """Draw inside with the one look, whatever style the reader has set, while nobody else draws."""
    from matplotlib import style

    with one_at_a_time, style.context(LOOK, after_reset=True):
        yield


def check_labels(ax):
    if not ax.axison or ax.get_label() == "<colorbar>":
        return
    missing = [
        name
        for name, text in (("title", ax.get_title()), ("xlabel", ax.get_xlabel()), ("ylabel", ax.get_ylabel()))
        if not text
    ]
    if missing:
        raise ValueError(f"a figure needs {' and '.join(missing)} on every axis, so that it can be read alone")

"""The one look of every figure, and how a picture reaches the page with its alternative text.

Colours: Okabe and Ito 2008, "Color Universal Design", readable with every kind of colour vision.
"""

import base64
import html
import io
import threading
from contextlib import contextmanager

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

# A kernel may handle an explorer's messages in other threads than the one that runs the cells (ipykernel 7 does, and
# not all of them in the same), while matplotlib's settings and an explorer's state belong to all threads.
one_at_a_time = threading.RLock()

# JupyterLab marks its dark themes on the page's body: there the picture is turned dark, hues kept.
_DARK_THEME = "<style>[data-jp-theme-light=false] .gptcore-picture{filter:invert(0.93) hue-rotate(180deg)}</style>"


class Picture:
    """A picture for a notebook: an <img> with alternative text, which also stands in for it as plain text."""

    def __init__(self, data, mime, alt, width, height=None):
        self.alt = alt
        source = f"data:{mime};base64,{base64.b64encode(data).decode()}"
        keep_room = f'height="{height}" ' if height else ""  # the page stands still while the next picture comes
        self.html = (
            f'{_DARK_THEME}<img class="gptcore-picture" alt="{html.escape(alt, quote=True)}" '
            f'width="{width}" {keep_room}style="max-width:100%;height:auto" src="{source}">'
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html, "text/plain": self.alt}


@contextmanager
def figure(alt, *, rows=1, columns=1, size=None):
    """Give axes to draw into, then show the picture with the alternative text `alt`.

        with figure("ReLU is 0 left of 0 and the diagonal right of it") as ax:
            plots.lines(ax, x, {"ReLU": relu(x)}, title="ReLU", xlabel="input x", ylabel="output")

    `size` is (width, height) in inches of 100 pixels; the axes come as from `Figure.subplots(rows, columns)`.
    Raises: ValueError when `alt` is empty, or an axis is left without a title or labels.
    """
    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence or two what the figure shows")
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


@contextmanager
def our_look():
    """Draw inside with the one look, while nobody else draws."""
    import matplotlib as mpl

    with one_at_a_time, mpl.rc_context(LOOK):
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

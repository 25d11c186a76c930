"""What every explorer is made of: controls, and a view that follows them at once.

A picture is drawn by matplotlib into a figure that stays: its frame (axes, ticks, labels, legend) is kept as pixels,
and only the data are drawn anew ("blitting"). That is what makes a slider feel instant.
"""

import html
import io
from contextlib import contextmanager

import ipywidgets
import numpy as np
import torch
from IPython import get_ipython
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from PIL import Image

from gptcore.modes import in_mode
from gptcore.viz import plots
from gptcore.viz.style import (
    PICTURE_COLOURS,
    PICTURE_DPI,
    PIXELS_PER_INCH,
    Picture,
    check_labels,
    one_at_a_time,
    our_look,
)

# The button that is pressed has a tick, which is part of its name: a colour alone nobody hears, and not everybody sees.
_TICKS = """<style>
.gptcore-explorer .widget-toggle-button::before { content: "✓ "; visibility: hidden; }
.gptcore-explorer .widget-toggle-button.mod-active::before { visibility: visible; }
</style>"""
HOW_TO_MOVE_IT = "This is how it looks at the start. Run the cell in JupyterLab, and its controls appear and move it."

_shown = {}  # explorers by name, cell and run: running a cell again replaces its explorers


class Explorer(ipywidgets.VBox):
    """Controls above a view that follows them.

    `controls` are ipywidgets by the names of the arguments of `view(**values)`, which returns (html, words): what is
    shown, and the same in words for the alternative text and for readers without a kernel. A ValueError or TypeError
    that `view` raises is shown as a line of text, and the last good view stays.
    """

    def __init__(self, name, view, controls, buttons=()):
        self.name, self._view, self.controls = name, view, controls
        self.words = ""
        self._picture = ipywidgets.HTML()
        self._problem = ipywidgets.HTML()
        for control in controls.values():
            control.observe(self._follow, "value")
        row = ipywidgets.Box(
            [*controls.values(), *buttons],
            layout=ipywidgets.Layout(flex_flow="row wrap", grid_gap="2px 18px", align_items="center"),
        )
        ticks = ipywidgets.HTML(_TICKS, layout={"display": "none"})
        super().__init__([row, self._problem, self._picture, ticks])
        self.add_class("gptcore-explorer")
        self.redraw()

    def redraw(self):
        """Show the view for what the controls say now."""
        with our_look():  # and one at a time, so that what is shown last is what was moved last
            values = {name: control.value for name, control in self.controls.items()}
            try:
                self._picture.value, self.words = self._view(**values)
            except (ValueError, TypeError) as problem:
                self._problem.value = f'<p role="alert"><strong>Not possible:</strong> {html.escape(str(problem))}</p>'
                self.words = self.words or f"Not possible: {problem}"  # where there is no good view yet
            else:
                self._problem.value = ""

    def show(self):
        """Show the explorer below the cell; those that an earlier run of the same cell showed are closed."""
        cell, run = _cell_and_run()
        for key in [*_shown]:
            if key[:2] == (self.name, cell) and (run is None or key[2] != run):
                _shown.pop(key).close()
        _shown[self.name, cell, run, id(self)] = self
        display(self)

    def close(self):
        """End the explorer and everything in it, so that nothing of it stays in memory."""
        for widget in [*_with_parts(self)]:
            ipywidgets.Widget.close(widget)

    def _follow(self, change):
        self.redraw()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = self.words
        bundle["text/html"] = f"{self._problem.value}{self._picture.value}<p><em>{HOW_TO_MOVE_IT}</em></p>"
        return bundle


class LiveFigure:
    """A matplotlib figure that stays; `reading(words)` gives it as it is now, with what it shows in words below.

    Draw into `axes` once, keep what was drawn (`line, = ax.plot(...)`), and change it later (`line.set_ydata(...)`).
    Lines, bars, images and texts may change at no cost; a new title, limit or tick makes the frame be drawn again.
    `about` says in a sentence what is drawn: it begins the alternative text.
    """

    def __init__(self, about, *, rows=1, columns=1, size=None):
        self._about = about
        self._size = size or (7.2, 3.4 * rows)
        with our_look():
            self._figure = Figure(figsize=self._size, dpi=PICTURE_DPI, layout="constrained")
            self._canvas = FigureCanvasAgg(self._figure)
            axes = self._figure.subplots(rows, columns)
        # A list, because Python cannot free a reference cycle that runs through a NumPy array.
        self.axes = axes.tolist() if isinstance(axes, np.ndarray) else axes
        self._frame = self._bare_frame = None
        self._rarely_changed = []

    def rarely_changes(self, artists):
        """Keep these with the frame, as pixels, until one of them changes: names of rows, for example."""
        self._rarely_changed += artists

    def reading(self, words):
        """The picture as it is now with `words` below it, as HTML; and all that it says, in words."""
        return f"{self.picture(words)}<p>{html.escape(words)}</p>", f"{self._about} {words}"

    def picture(self, words):
        """The picture alone; its alternative text ends with `words`."""
        self._draw()
        sides = [round(side * PIXELS_PER_INCH) for side in self._size]
        return Picture(self._png(), "image/png", f"{self._about} {words}", *sides).html

    def _draw(self):
        with our_look():
            if self._bare_frame is None:
                self._begin()
            elif self._figure.stale:
                self._keep_frame()
            elif any(artist.stale for artist in self._rarely_changed):
                self._complete_frame()
            self._canvas.restore_region(self._frame)
            for axes in self._figure.axes:
                for artist in sorted(_data_of(axes), key=lambda artist: artist.zorder):
                    if artist not in self._rarely_changed:
                        axes.draw_artist(artist)

    def _begin(self):
        for axes in self._figure.axes:
            check_labels(axes)
            for text in axes.texts:
                text.set_parse_math(False)  # a reader's "$" is a dollar, not a formula
        self._canvas.draw()  # once with everything, so that the layout leaves room for it
        self._figure.set_layout_engine("none")
        for axes in self._figure.axes:
            for artist in _data_of(axes):
                artist.set_animated(True)
        self._keep_frame()

    def _keep_frame(self):
        self._canvas.draw()  # leaves out what is animated
        self._bare_frame = self._canvas.copy_from_bbox(self._figure.bbox)
        self._complete_frame()

    def _complete_frame(self):
        self._canvas.restore_region(self._bare_frame)
        for artist in self._rarely_changed:
            artist.axes.draw_artist(artist)
            artist.stale = False  # an empty text would stay stale: it returns before it is drawn
        self._frame = self._canvas.copy_from_bbox(self._figure.bbox)

    def _png(self):
        pixels = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        png = io.BytesIO()
        # Few colours, quickly found: the picture must cross a slow network many times a second.
        pixels.quantize(PICTURE_COLOURS, method=Image.Quantize.FASTOCTREE).save(png, format="png", compress_level=1)
        return png.getvalue()


def drawable(text, longest=12):
    """The text as matplotlib can draw it: cut when too long, letters that its font lacks as their Unicode numbers."""
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    drawn = "".join(letter if ord(letter) in known else f"U+{ord(letter):04X}" for letter in text)
    return drawn if len(drawn) <= longest else f"{drawn[: longest - 1]}…"


def asking(model):
    """A decorator for a view that asks a model: as it is in use, without dropout and without gradients."""

    def decorate(view):
        def asked(**values):
            with torch.no_grad(), in_mode(model, training=False):
                return view(**values)

        return asked

    return decorate


@contextmanager
def own_random_numbers():
    """Draw from seed 123 inside, and leave the notebook's own random numbers as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        yield


def move_bars(axes, heights, values=""):
    """Give the bars of `plots.bars(..., values=values)` new heights and labels; `values` may be a function, too."""
    written = values if callable(values) else f"{{:{values}}}".format
    for bar, height in zip(axes.patches, heights, strict=True):
        bar.set_height(height)
    for label, bar, height in zip(axes.texts, axes.patches, heights, strict=False):
        label.xy = (bar.get_x() + bar.get_width() / 2, height)
        label.set(text=written(height), va="bottom" if height >= 0 else "top")
        label.xyann = (0, 2 if height >= 0 else -2)


def move_heatmap(axes, matrix, values=""):
    """Give the squares of `plots.heatmap(..., values=values)` new numbers; the colours' range follows them."""
    (image,) = axes.images
    numbers = np.asarray(matrix, dtype=float)
    image.set_data(numbers)
    largest = max(np.abs(numbers).max(), 1e-9)  # all zeros have a colour too
    image.set_clim(-largest if image.norm.vmin < 0 else 0, largest)
    for text, number in zip(axes.texts, numbers.ravel(), strict=False):
        text.set(text=f"{number:{values}}", color=plots.readable_on(image, number))


def short(number, digits=4):
    """So many digits of a number that can be 0.2 or 2 million."""
    return f"{float(f'{number:.{digits}g}'):,.15g}"


def side_by_side(*parts):
    """HTML of several things in a row; in a narrow window they stand below one another."""
    boxes = "".join(f'<div style="max-width:100%">{part}</div>' for part in parts)
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 28px">{boxes}</div>'


def slider(description, low, high, step, value, format=".2f"):
    """A slider; with whole numbers for its limits it gives whole numbers."""
    kind = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
    return kind(
        min=low,
        max=high,
        step=step,
        value=value,
        description=description,
        readout_format="d" if isinstance(step, int) else format,
        **_LOOK_OF_CONTROLS,
    )


def pick(description, options, value):
    """A slider over a list of pairs (name, value)."""
    return ipywidgets.SelectionSlider(options=options, value=value, description=description, **_LOOK_OF_CONTROLS)


def choice(description, options, value=None):
    """Buttons side by side, one of them pressed: names, or pairs (name, value).

    Not a list that drops down: JupyterLab takes the arrow keys and Enter away from it. No value may be None: to
    ipywidgets that means that no button is pressed, and it would show none.
    """
    values = [option if isinstance(option, str) else option[1] for option in options]
    return ipywidgets.ToggleButtons(
        options=options,
        value=values[0] if value is None else value,
        description=description,
        style={"description_width": "initial", "button_width": "auto"},
    )


def switch(description, value=False):
    """A box to tick."""
    return ipywidgets.Checkbox(value=value, description=description, indent=False, layout={"width": "auto"})


def text_box(description, value):
    """A line of text; the view follows each letter."""
    return ipywidgets.Text(
        value=value,
        description=description,
        style={"description_width": "initial"},
        layout={"width": "min(520px, 96%)"},
    )


def button(description, on_click, tooltip=""):
    """A button; `on_click` takes no argument."""
    made = ipywidgets.Button(description=description, tooltip=tooltip, layout={"width": "auto"})

    def pressed(_):
        with one_at_a_time:
            on_click()

    made.on_click(pressed)
    return made


_LOOK_OF_CONTROLS = {"style": {"description_width": "initial"}, "layout": {"width": "min(330px, 96%)"}}


def _data_of(axes):
    return [*axes.images, *axes.collections, *axes.patches, *axes.lines, *axes.texts]


def _with_parts(widget):
    """A widget, what it contains, and the layout and style that each of these has."""
    for part in (*getattr(widget, "children", ()), getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, ipywidgets.Widget):
            yield from _with_parts(part)
    yield widget


def _cell_and_run():
    """What tells the cell that runs from others, its source where a front end gives no id, and this run from others."""
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code")
    return cell, parent.get("header", {}).get("msg_id")

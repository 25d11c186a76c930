"""Plots for the notebooks: data and an axis in, None out.

Series differ in line style, marker or hatch as well as in colour. Tensors, arrays and lists all work.
"""

import numpy as np
import torch

from gptcore.viz.style import COLOURS, HATCHES, LINE_STYLES, MARKERS


def lines(ax, x, series, *, title, xlabel, ylabel, markers=False, log_x=False, log_y=False):
    """Draw each `{name: y values}` of `series` over `x`, with a legend when there are several.

    With `log_y`, set limits other than the data's before: how many decades there are decides what is labelled.
    """
    for i, (name, y) in enumerate(series.items()):
        style = i % len(COLOURS)
        ax.plot(
            _array(x),
            _array(y),
            label=name,
            color=COLOURS[style],
            linestyle=LINE_STYLES[style],
            marker=MARKERS[style] if markers else None,
        )
    if log_x:
        ax.set_xscale("log")
    if log_x and markers:  # few points: name each, as 4 and 16 instead of powers of ten
        ax.set_xticks(_array(x), [f"{value:g}" for value in _array(x)])
        ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    if log_y:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        if high < 100 * low:  # otherwise one or two powers of ten would be all its labels
            _label_within_decades(ax.yaxis)
    if len(series) > 1:
        ax.legend()
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


def _label_within_decades(axis):
    """Label 1, 2 and 5 of each decade of a logarithmic axis, as plain numbers."""
    from matplotlib.ticker import LogLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def bars(ax, names, series, *, title, xlabel, ylabel, values="", log_y=False):
    """Draw bars for each name, side by side for each `{label: heights}` of `series`.

    `values` is a format such as ".2f" that writes each height above its bar.
    """
    positions = np.arange(len(names))
    width = 0.8 / len(series)
    for i, (label, heights) in enumerate(series.items()):
        offset = (i - (len(series) - 1) / 2) * width
        style = i % len(COLOURS)
        drawn = ax.bar(
            positions + offset,
            _array(heights),
            width,
            label=label,
            color=COLOURS[style],
            hatch=HATCHES[style],
            edgecolor="white",
        )
        if values:
            ax.bar_label(drawn, labels=[f"{height:{values}}" for height in _array(heights)], padding=2, fontsize=9)
    if values:
        ax.margins(y=0.15)
    if log_y:
        ax.set_yscale("log")
    if len(series) > 1:
        ax.legend()
    _name_ticks(ax.xaxis, len(names), names)
    ax.grid(axis="x", visible=False)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


def stacked_bars(ax, names, parts, *, title, xlabel, ylabel):
    """Draw one bar per name, made of the `{part: heights}` of `parts` on top of one another."""
    bottom = np.zeros(len(names))
    for i, (part, heights) in enumerate(parts.items()):
        style = i % len(COLOURS)
        ax.bar(
            names,
            _array(heights),
            bottom=bottom,
            label=part,
            color=COLOURS[style],
            hatch=HATCHES[style],
            edgecolor="white",
        )
        bottom += _array(heights)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5))  # in the order of the stack
    ax.grid(axis="x", visible=False)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


def points(ax, x, series, *, title, xlabel, ylabel):
    """Draw each `{name: y values}` of `series` over `x` as points, with a legend when there are several."""
    for i, (name, y) in enumerate(series.items()):
        style = i % len(COLOURS)
        ax.scatter(_array(x), _array(y), label=name, color=COLOURS[style], marker=MARKERS[style], s=24, alpha=0.7)
    if len(series) > 1:
        ax.legend()
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


def histogram(ax, samples, *, title, xlabel, ylabel="how many", bins=40):
    """Draw the distribution of each `{name: values}` of `samples`, as steps, with a legend when there are several."""
    edges = np.histogram_bin_edges(np.concatenate([_array(values).ravel() for values in samples.values()]), bins)
    for i, (name, values) in enumerate(samples.items()):
        style = i % len(COLOURS)
        heights, _ = np.histogram(_array(values).ravel(), edges)
        ax.stairs(heights, edges, label=name, color=COLOURS[style], linestyle=LINE_STYLES[style], linewidth=2)
    if len(samples) > 1:
        ax.legend()
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


def heatmap(
    ax, matrix, *, title, xlabel, ylabel, row_names=None, column_names=None, values="", colour_label="", centred=False,
    colour_bar=True,
):  # fmt: skip
    """Draw a matrix as coloured squares with a colour bar, or without where the numbers are written in.

    `values` is a format such as ".2f" that writes each number into its square. `centred=True` uses two
    colours that meet at 0, for numbers of both signs.
    """
    matrix = _array(matrix)
    largest = max(np.nanmax(np.abs(matrix)), 1e-9)  # all zeros have two colours' middle, too
    limits = {"cmap": "PuOr", "vmin": -largest, "vmax": largest} if centred else {"cmap": "viridis"}
    image = ax.imshow(matrix, aspect="auto", **limits)
    n_rows, n_columns = matrix.shape
    if row_names is not None or values:
        _name_ticks(ax.yaxis, n_rows, row_names)
    if column_names is not None or values:
        _name_ticks(ax.xaxis, n_columns, column_names)
    if values:
        for row, column in np.ndindex(*matrix.shape):
            ax.text(
                column,
                row,
                f"{matrix[row, column]:{values}}",
                ha="center",
                va="center",
                color=readable_on(image, matrix[row, column]),
                fontsize=9,
            )
    if colour_bar:
        ax.figure.colorbar(image, ax=ax, label=colour_label)
    ax.grid(visible=False)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


def _name_ticks(axis, count, names):
    """Put a tick at each of so many places, with its name: perhaps a reader's word, in which a "$" is a dollar."""
    if names is None:
        axis.set_ticks(range(count))
    else:
        axis.set_ticks(range(count), names, parse_math=False)


def readable_on(image, number):
    """The colour of text, black or white, that can be read on the square that shows `number`."""
    red, green, blue, _ = image.cmap(image.norm(number))
    is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # brightness as the eye weighs it (ITU-R BT.601)
    return "white" if is_dark else "black"


def outline(ax, rows, columns, label):
    """Draw a thick frame around some squares of a heat map: the numbers that are averaged together."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    style = len(ax.patches) % len(LINE_STYLES)
    ax.add_patch(
        Rectangle(
            (min(columns) - 0.5, min(rows) - 0.5),
            width=len(columns),
            height=len(rows),
            label=label,
            facecolor="none",
            edgecolor="black",
            linestyle=LINE_STYLES[style],
            linewidth=3,
            path_effects=[withStroke(linewidth=6, foreground="white")],  # seen on dark and on light squares
            clip_on=False,
            zorder=3,
        )
    )
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False)


def mark(ax, *, x=None, y=None, label):
    """Draw a thin dotted line across the plot at `x` or at `y`, with its name beside it."""
    look = {"color": "#555555", "linestyle": ":", "linewidth": 1.5}
    for number in ax.texts:  # one above a bar would have the line through it
        number.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    if x is not None:
        ax.axvline(x, **look)
        ax.text(x, 0.98, f"{label} ", rotation=90, ha="right", va="top", transform=ax.get_xaxis_transform())
    else:
        ax.axhline(y, **look)
        ax.text(1.01, y, label, ha="left", va="center", transform=ax.get_yaxis_transform())


def _array(values):
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().double().numpy()
    return np.asarray([v.item() if isinstance(v, torch.Tensor) else v for v in values], dtype=float)

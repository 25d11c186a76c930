"""Notebook 02: layer norm, and the axis that tells it from batch norm."""

import torch

from gptcore import LayerNorm
from gptcore.viz import plots
from gptcore.viz.style import our_look
from gptcore.viz.widgets.live import Explorer, LiveFigure, choice, move_bars, move_heatmap, slider, text_box

_LIMIT = 10  # of the values that can be set


@our_look()
def layer_norm_explorer(values=(3.0, -1.0, 0.5, 2.0)):
    """Move a token's activations, and scale, shift and eps: see what layer norm makes of them."""
    names = [f"x{i}" for i in range(len(values))]
    layer = LayerNorm(len(values)).double().requires_grad_(False)  # as the page's explorer: both round alike
    figure = LiveFigure("Bars of a token's activations, and beside them after layer norm.", columns=2)
    before, after = figure.axes
    for axes, title in ((before, "before"), (after, "after layer norm")):
        plots.bars(axes, names, {"": values}, values=".2f", title=title, xlabel="feature", ylabel="activation")
        axes.axhline(0, color="black", linewidth=1)
        axes.set_ylim(-1.2 * _LIMIT, 1.2 * _LIMIT)  # one range for both; scale and shift can lead to 8.2

    def view(scale, shift, eps, **moved):
        x = torch.tensor([moved[name] for name in names], dtype=torch.float64)  # (emb_dim,)
        layer.scale.fill_(scale)
        layer.shift.fill_(shift)
        layer.eps = eps
        y = layer(x)  # (emb_dim,)
        move_bars(before, x.tolist(), ".2f")
        move_bars(after, y.tolist(), ".2f")
        words = (
            f"Before: mean {x.mean():z.2f}, variance {x.var(correction=0):.2f}. "
            f"After: mean {y.mean():z.2f}, variance {y.var(correction=0):.2f}."
        )
        return figure.reading(words)

    controls = {name: slider(name, -_LIMIT, _LIMIT, 0.1, value) for name, value in zip(names, values, strict=True)}
    controls["scale"] = slider("scale", -2.0, 3.0, 0.1, 1.0)
    controls["shift"] = slider("shift", -3.0, 3.0, 0.1, 0.0)
    controls["eps"] = choice("eps", [("0.00001 (GPT-2)", 1e-5), ("0.1", 0.1), ("1", 1.0), ("10", 10.0)])
    Explorer("layer_norm_explorer", view, controls).show()


@our_look()
def norm_axis_explorer(rows=("1, 2, 3, 4", "10, 20, 30, 40", "5, 5, 6, 5")):
    """Edit a batch and switch between layer norm (along a row) and batch norm (along a column)."""
    start = torch.stack([_numbers(row) for row in rows])
    look = {
        "centred": True,
        "colour_bar": False,
        "row_names": [f"token {i}" for i in range(len(rows))],
        "column_names": [f"x{i}" for i in range(4)],
    }
    figure = LiveFigure("Three tokens of four features, before and after normalising.", columns=2, size=(8.6, 3.4))
    before, after = figure.axes
    for axes, title, values in ((before, "the batch", ".4g"), (after, "normalised", ".1f")):
        plots.heatmap(axes, start, title=title, xlabel="feature", ylabel="token", values=values, **look)

    plots.outline(before, rows=[0], columns=range(4), label="averaged together")
    (frame,) = before.patches

    def view(along, **typed):
        batch = torch.stack([_numbers(row) for row in typed.values()])  # (num_tokens, emb_dim)
        dim = -1 if along == "layer norm" else 0
        variance = batch.var(dim, correction=0, keepdim=True)
        normalised = (batch - batch.mean(dim, keepdim=True)) / (variance + 1e-5).sqrt()
        move_heatmap(before, batch, ".4g")
        frame.set(width=4 if dim == -1 else 1, height=1 if dim == -1 else len(batch))
        move_heatmap(after, normalised, "z.1f")
        means = ", ".join(f"{abs(mean):.1f}" for mean in normalised.mean(dim).tolist())
        what = "token" if dim == -1 else "feature"
        first = ", ".join(f"{number:z.1f}" for number in normalised[0].tolist())
        return figure.reading(f"{along.capitalize()}: every {what} has mean 0 ({means}). Token 0 is now {first}.")

    controls = {"along": choice("normalise by", ["layer norm", "batch norm"])}
    controls |= {f"token_{i}": text_box(f"token {i}", row) for i, row in enumerate(rows)}
    Explorer("norm_axis_explorer", view, controls).show()


def _numbers(row):
    """Four numbers from a text such as "1, 2, 3, 4"."""
    try:
        numbers = [float(number) for number in row.split(",")]
    except ValueError:
        raise ValueError(f'{row!r} is not four numbers with commas between them, such as "1, 2, 3, 4"') from None
    if len(numbers) != 4 or not all(abs(number) <= 1000 for number in numbers):
        raise ValueError(f"{row!r} must be four numbers from -1000 to 1000, with commas between them")
    return torch.tensor(numbers)

"""Notebook 04: what a wider hidden layer costs, and what it buys."""

import torch
from torch.nn import functional as F

from gptcore.viz import plots
from gptcore.viz.style import our_look
from gptcore.viz.widgets.live import Explorer, LiveFigure, choice, move_bars, slider

_UNITS = 3  # hidden units for each step of the expansion factor, in the small network that is fitted
CURVES = {
    "sine": lambda x: torch.sin(2 * x),
    "bump": lambda x: torch.exp(-4 * x**2),
    "step": lambda x: torch.tanh(8 * x),
    "zigzag": lambda x: 1 - (x.abs() % 2 - 1).abs() * 2,
}


@our_look()
def feed_forward_explorer(emb_dim=768):
    """Choose the expansion factor: its price in GPT-2's size, and how well a small network then follows a curve."""
    x = torch.linspace(-3, 3, 121, dtype=torch.float64)
    figure = LiveFigure(
        "A curve and a small network that follows it; the price of the layer.", columns=2, size=(8.4, 3.4)
    )
    left, right = figure.axes
    plots.lines(left, x, {"curve": x, "network": x}, title="fitting a curve", xlabel="input", ylabel="output")
    target_line, fit_line = left.lines
    left.legend(loc="upper center", ncols=2)
    left.set_ylim(-1.5, 2.1)
    price = ["parameters", "FLOP\nper token"]
    plots.bars(right, price, {"": [1.0, 1.0]}, values=".2f", title=f"price at emb_dim {emb_dim}", xlabel="kind",
               ylabel="millions")  # fmt: skip
    right.set_ylim(0, 1.16 * 32 * emb_dim**2 / 1e6)  # room for the numbers on the bars of the largest factor
    first = torch.randn(8 * _UNITS, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(123))

    def view(expansion, curve):
        slopes, places = first[: expansion * _UNITS].unbind(dim=1)
        hidden = F.gelu(3 * slopes * (x[:, None] - 3 * places.tanh()), approximate="tanh")
        hidden = torch.cat([hidden, torch.ones_like(x)[:, None]], dim=1)  # and the output's bias
        target = CURVES[curve](x)
        # The first layer stays random; the best second layer for it is found at once, without training steps.
        fit = hidden @ torch.linalg.lstsq(hidden, target[:, None], driver="gelsd").solution
        error = (fit[:, 0] - target).square().mean().sqrt().item()
        target_line.set_ydata(target)
        fit_line.set_ydata(fit[:, 0])
        weights = 2 * expansion * emb_dim**2
        parameters = weights + (expansion + 1) * emb_dim
        flop = 2 * weights  # a multiplication and an addition for each
        move_bars(right, [parameters / 1e6, flop / 1e6], ".2f")
        return figure.reading(
            f"Expansion {expansion}: {parameters:,} parameters in each block, {flop:,} FLOP for each token. "
            f"A network with {expansion * _UNITS} hidden units misses the {curve} by {error:.2f} on average (RMS)."
        )

    controls = {"expansion": slider("expansion", 1, 8, 1, 4), "curve": choice("curve", list(CURVES))}
    Explorer("feed_forward_explorer", view, controls).show()

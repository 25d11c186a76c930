"""Notebook 03: activation functions, their slopes, and how near the tanh form of GELU comes."""

import math

import torch
from torch.nn import functional as F

from gptcore.activations import ACTIVATIONS, with_slope
from gptcore.viz import plots
from gptcore.viz.style import our_look
from gptcore.viz.widgets.live import Explorer, LiveFigure, choice, slider

GELU_COEFFICIENT = 0.044715  # Hendrycks and Gimpel 2016, section 2


@our_look()
def activation_explorer():
    """Walk along an activation function and read off its value and its slope."""
    grid = torch.linspace(-4, 4, 161)
    figure = LiveFigure("An activation function with its slope at a point, and the slope at every point.", columns=2)
    left, right = figure.axes
    plots.lines(left, grid, {"function": grid, "slope at x": grid}, title="activation", xlabel="input x",
                ylabel="output")  # fmt: skip
    plots.lines(right, grid, {"": grid}, title="its slope (derivative)", xlabel="input x", ylabel="slope")
    curve, tangent = left.lines
    (slope_curve,) = right.lines
    points = [axes.plot([0], [0], "o", color="black", markersize=8)[0] for axes in (left, right)]
    left.legend(loc="upper left")

    def view(function, x, value):
        activation = ACTIVATIONS[function]
        ys, slopes = with_slope(activation, grid, value)
        # With another value SwiGLU's gate reaches farther than the other functions, which would look flat beside it.
        limits = ((-8.5, 8.5), (-2.5, 2.5)) if function == "SwiGLU gate" and value != 1 else ((-2, 4.5), (-1.5, 2.2))
        for axes, (low, high) in zip((left, right), limits, strict=True):
            if axes.get_ylim() != (low, high):  # to set them draws the frame again
                axes.set_ylim(low, high)
        at = torch.tensor([x], dtype=torch.float64)  # as the page's explorer: both round alike
        (y,), (slope,) = (numbers.tolist() for numbers in with_slope(activation, at, value))
        curve.set_ydata(ys)
        slope_curve.set_ydata(slopes)
        tangent.set_data([x - 1, x + 1], [y - slope, y + slope])
        points[0].set_data([x], [y])
        points[1].set_data([x], [slope])
        gate = f" with value {value:.1f}" if function == "SwiGLU gate" else ""
        return figure.reading(
            f"{function}{gate}: at x = {x:z.2f} the output is {y:z.3f} and the slope is {slope:z.3f}."
        )

    controls = {
        "function": choice("function", list(ACTIVATIONS)),
        "x": slider("x", -4.0, 4.0, 0.05, 1.0),
        "value": slider("value (SwiGLU only)", -2.0, 2.0, 0.1, 1.0, ".1f"),
    }
    Explorer("activation_explorer", view, controls).show()


@our_look()
def gelu_error_explorer():
    """Change the number 0.044715 in GELU's tanh form and see how far it is from the exact function."""
    grid = torch.linspace(-4, 4, 321, dtype=torch.float64)
    exact = F.gelu(grid)
    figure = LiveFigure("How far approximations of GELU are from the exact function, from x = -4 to 4.")
    axes = figure.axes
    smallest = 1e-7  # errors below it are drawn there: a logarithmic axis has no 0
    gpt2 = _gelu_tanh_form(grid, GELU_COEFFICIENT) - exact
    plots.lines(axes, grid, {"yours": grid, f"GPT-2's {GELU_COEFFICIENT}": gpt2.abs().clamp(min=smallest)},
                title="error of an approximation of GELU", xlabel="input x", ylabel="|error|", log_y=True)  # fmt: skip
    curve = axes.lines[0]
    (worst,) = axes.plot([0], [1], "o", color="black", markersize=8)
    axes.legend(loc="upper center", ncols=2)
    axes.set_ylim(smallest, 1)

    def view(form, coefficient):
        if form == "tanh":
            approximation = _gelu_tanh_form(grid, coefficient)
            name = f"The tanh form with {coefficient:.4f}"
        else:
            approximation = grid * torch.sigmoid(1.702 * grid)  # Hendrycks and Gimpel 2016, section 2
            name = "The sigmoid form"
        error = (approximation - exact).abs()
        at = error.argmax().item()
        curve.set_ydata(error.clamp(min=smallest))
        worst.set_data([grid[at]], [error[at]])
        return figure.reading(f"{name} is wrong by {error[at]:.5f} at most, at x = ±{grid[at].abs():.3f}.")

    controls = {
        "form": choice("form", [("0.5 x (1 + tanh(...))", "tanh"), ("x sigmoid(1.702 x)", "sigmoid")]),
        "coefficient": slider("coefficient of x³ in tanh", 0.03, 0.06, 0.0005, 0.04, ".4f"),
    }
    Explorer("gelu_error_explorer", view, controls).show()


def _gelu_tanh_form(x, coefficient):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + coefficient * x**3)))

"""Notebooks 05 and 07: what happens along the depth of a network."""

import torch
from torch import nn
from torch.nn import functional as F

from gptcore import GPT_CONFIG_124M, FeedForward, LayerNorm, MultiHeadAttention
from gptcore.viz import plots
from gptcore.viz.style import our_look
from gptcore.viz.widgets.live import Explorer, LiveFigure, choice, own_random_numbers, slider, switch

_DEEPEST, _WIDTH = 24, 16
_BLOCKS, _EMB_DIM, _NUM_TOKENS = 12, 48, 16
_BEYOND = " Some points lie beyond the axis and are drawn at its edge."
_ACTIVATIONS = {
    "GELU": lambda x: F.gelu(x, approximate="tanh"),
    "ReLU": F.relu,
    "tanh": torch.tanh,
    "none": lambda x: x,
}


@our_look()
def gradient_explorer():
    """Choose depth, activation, initial weights and shortcuts: see how much of the gradient reaches each layer."""
    with own_random_numbers():
        linears = [nn.Linear(_WIDTH, _WIDTH) for _ in range(_DEEPEST)]
        x, target = torch.randn(2, 32, _WIDTH)  # 32 tokens each
    weights = torch.stack([linear.weight.detach() for linear in linears])  # (depth, out, in)
    biases = torch.stack([linear.bias.detach() for linear in linears])  # (depth, out)
    layers = torch.arange(1, _DEEPEST + 1)
    figure = LiveFigure("Mean size of the gradient of each layer's weights, on a logarithmic axis.")
    axes = figure.axes
    lowest, highest = 1e-12, 1e6
    axes.set_ylim(lowest, highest)
    plots.lines(axes, layers, {"": torch.ones(_DEEPEST)}, markers=True, log_y=True, title="gradient in each layer",
                xlabel="layer (1 is next to the input)", ylabel="mean |gradient|")  # fmt: skip
    (curve,) = axes.lines

    def view(depth, activation, gain, shortcut):
        used = (gain * weights[:depth]).requires_grad_()
        stream = x
        for weight, bias in zip(used, biases, strict=False):
            out = _ACTIVATIONS[activation](F.linear(stream, weight, gain * bias))
            stream = stream + out if shortcut else out
        (gradient,) = torch.autograd.grad(F.mse_loss(stream, target), used)
        sizes = gradient.abs().mean(dim=(1, 2))  # (depth,)
        curve.set_data(layers[:depth], sizes.clamp(lowest, highest))
        first, last = sizes[0].item(), sizes[-1].item()
        beyond = "" if lowest < sizes.min() <= sizes.max() < highest else _BEYOND
        return figure.reading(
            f"Layer 1 gets {first:.1e}, layer {depth} gets {last:.1e}: "
            f"a ratio of {first / max(last, 1e-45):.1e}.{beyond}"
        )

    controls = {
        "depth": slider("layers", 2, _DEEPEST, 1, 12),
        "activation": choice("activation", list(_ACTIVATIONS)),
        "gain": slider("initial weights, times", 0.2, 4.0, 0.1, 1.0, ".1f"),
        "shortcut": switch("shortcuts"),
    }
    Explorer("gradient_explorer", view, controls).show()


@our_look()
def residual_stream_explorer():
    """Switch off parts of twelve blocks: see how long the vectors in the stream become, block by block."""
    cfg = {**GPT_CONFIG_124M, "emb_dim": _EMB_DIM, "n_heads": 4, "context_length": _NUM_TOKENS}
    parts = nn.ModuleList()
    with own_random_numbers():
        for _ in range(_BLOCKS):
            attention = MultiHeadAttention(_EMB_DIM, _EMB_DIM, _NUM_TOKENS, 0.0, cfg["n_heads"])
            parts += [attention, FeedForward(cfg)]
        start = torch.randn(1, _NUM_TOKENS, _EMB_DIM)  # (batch, num_tokens, emb_dim)
    parts.requires_grad_(False)
    norm = LayerNorm(_EMB_DIM).requires_grad_(False)
    depth = torch.arange(2 * _BLOCKS + 1) / 2
    figure = LiveFigure("Mean length of the vectors in the stream, from the input to the end of block 12.")
    axes = figure.axes
    lowest, highest = 1e-2, 1e6
    axes.set_ylim(lowest, highest)
    plots.lines(axes, depth, {"": depth + 1}, markers=True, log_y=True, title="length of the stream's vectors",
                xlabel="block (a half: after attention)", ylabel="mean length")  # fmt: skip
    (curve,) = axes.lines

    def view(norm_place, shortcut, drop_rate, gain):
        generator = torch.Generator().manual_seed(123)  # the same numbers are dropped each time
        stream, lengths = start, [_mean_length(start)]
        for part in parts:
            out = gain * part(norm(stream) if norm_place == "before (GPT-2)" else stream)
            if drop_rate:
                out = out * (torch.rand(out.shape, generator=generator) >= drop_rate) / (1 - drop_rate)
            stream = stream + out if shortcut else out
            if norm_place == "after (2017)":
                stream = norm(stream)
            lengths.append(_mean_length(stream))
        curve.set_ydata([min(max(length, lowest), highest) for length in lengths])
        beyond = "" if lowest < min(lengths) <= max(lengths) < highest else _BEYOND
        return figure.reading(
            f"The vectors are {lengths[0]:.1f} long at the start and {lengths[-1]:.2g} after block {_BLOCKS}.{beyond}"
        )

    controls = {
        "norm_place": choice("layer norm", ["before (GPT-2)", "after (2017)", "off"]),
        "shortcut": switch("shortcuts", True),
        "drop_rate": slider("dropout", 0.0, 0.5, 0.1, 0.0, ".1f"),
        "gain": slider("each part's output, times", 0.5, 8.0, 0.5, 1.0, ".1f"),
    }
    Explorer("residual_stream_explorer", view, controls).show()


def _mean_length(stream):
    return stream.norm(dim=-1).mean().item()

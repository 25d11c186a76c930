"""Notebooks 01, 08 and 12: what the seven settings of a configuration cost."""

import torch

from gptcore import GPT_CONFIG_124M, GPT_CONFIGS, count_parameters, memory_bytes, parameter_table, validate_config
from gptcore.viz import plots
from gptcore.viz.style import COLOURS, our_look
from gptcore.viz.widgets.live import (
    Explorer,
    LiveFigure,
    choice,
    move_bars,
    pick,
    short,
    side_by_side,
    slider,
    switch,
)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GPT3 = {**GPT_CONFIG_124M, "emb_dim": 12288, "n_heads": 96, "n_layers": 96, "context_length": 2048}


@our_look()
def config_explorer():
    """Choose the numbers of a configuration: the shapes of its tensors, its parameters and its memory follow."""

    def view(emb_dim, n_heads, n_layers, context_length, vocab_size, qkv_bias):
        chosen = dict(
            emb_dim=emb_dim, n_heads=n_heads, n_layers=n_layers, context_length=context_length, vocab_size=vocab_size
        )
        cfg = validate_config({**GPT_CONFIG_124M, **chosen, "qkv_bias": qkv_bias})
        shapes = {
            "token embedding": (vocab_size, emb_dim),
            "position embedding": (context_length, emb_dim),
            "W_query, W_key, W_value": (emb_dim, emb_dim),
            "one head's queries": ("num_tokens", emb_dim // n_heads),
            "feed-forward, first layer": (4 * emb_dim, emb_dim),
            "logits": ("batch", "num_tokens", vocab_size),
        }
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{name}</th><td>({', '.join(map(str, shape))})</td></tr>"
            for name, shape in shapes.items()
        )
        parameters = count_parameters(cfg)
        words = f"{parameters:,} parameters, {4 * parameters / 1e6:,.2f} MB in float32; head_dim {emb_dim // n_heads}."
        table = f"<table><caption>tensors and their shapes</caption>{rows}</table>"
        in_words = "; ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in shapes.items())
        return f"<p><strong>{words}</strong></p>{table}", f"{words} Shapes: {in_words}."

    start = GPT_CONFIG_124M
    controls = {
        "emb_dim": _steps("emb_dim", [48, 96, 192, 384, 768, 1024, 1280, 1600], start["emb_dim"]),
        "n_heads": _steps("n_heads", [1, 2, 4, 8, 12, 16, 20, 25], start["n_heads"]),
        "n_layers": slider("n_layers", 1, 48, 1, start["n_layers"]),
        "context_length": slider("context_length", 64, 2048, 64, start["context_length"]),
        "vocab_size": choice("vocab_size", [("100", 100), ("10,000", 10_000), ("50,257 (GPT-2)", 50257)], 50257),
        "qkv_bias": switch("qkv_bias", start["qkv_bias"]),
    }
    Explorer("config_explorer", view, controls).show()


@our_look()
def size_explorer():
    """Drag a model's numbers: its parameters by part, and the memory to run and to train it."""
    figures = parts, memory, place = (
        LiveFigure("A model's parameters by part, as a stack.", size=(4.0, 3.6)),
        LiveFigure("Memory for the weights, to run, and to train.", size=(3.2, 3.6)),
        LiveFigure("Your size among GPT-2's four sizes and GPT-3.", size=(2.8, 3.6)),
    )
    share = {part: [100 / 6] for part in parameter_table(GPT_CONFIG_124M)}
    plots.stacked_bars(parts.axes, ["all"], share, title="parameters by part", xlabel="your model", ylabel="percent")
    parts.axes.set_ylim(0, 100)
    look = {"title": "memory", "xlabel": "for", "ylabel": "GB (1000 MB), logarithmic"}
    plots.bars(memory.axes, ["weights", "running", "training"], {"": [1.0] * 3}, values=".1f", log_y=True, **look)
    memory.axes.set_ylim(1e-3, 1e5)
    yours = _draw_place(place.axes)

    def view(emb_dim, n_heads, n_layers, context_length, dtype, tied):
        cfg = {**GPT_CONFIG_124M, "emb_dim": emb_dim, "n_heads": n_heads, "n_layers": n_layers}
        cfg = validate_config({**cfg, "context_length": context_length})
        table = parameter_table(cfg, tied)
        total = sum(table.values())
        bottom = 0.0
        for part, count in zip(parts.axes.patches, table.values(), strict=True):
            part.set(y=bottom, height=100 * count / total)
            bottom += 100 * count / total
        settings = {"dtype": DTYPES[dtype], "tied": tied, "num_tokens": context_length}
        run, train = (
            sum(memory_bytes(cfg, training=training, **settings).values()) / 1e9 for training in (False, True)
        )
        move_bars(memory.axes, [total * DTYPES[dtype].itemsize / 1e9, run, train], lambda size: short(size, 3))
        yours.set_ydata([count_parameters(cfg, tied=True)])
        largest = max(table, key=table.get)
        words = (
            f"{total:,} parameters, {100 * table[largest] / total:.0f}% of them in the {largest}.",
            f"With a context of {context_length:,} tokens: {run:,.2f} GB to run, {train:,.2f} GB to train (AdamW).",
        )
        pictures = [figure.picture(said) for figure, said in zip(figures, (*words, words[0]), strict=True)]
        return f"{side_by_side(*pictures)}<p>{' '.join(words)}</p>", " ".join(words)

    start = GPT_CONFIG_124M
    controls = {
        "emb_dim": _steps(
            "emb_dim", [64, 128, 256, 512, 768, 1024, 1280, 1600, 2048, 4096, 8192, 12288], start["emb_dim"]
        ),
        "n_heads": _steps("n_heads", [1, 2, 4, 8, 12, 16, 20, 25, 32, 64, 96], start["n_heads"]),
        "n_layers": slider("n_layers", 1, 96, 1, start["n_layers"]),
        "context_length": _steps("context_length", [128, 256, 512, 1024, 2048, 4096], start["context_length"]),
        "dtype": choice("dtype", list(DTYPES)),
        "tied": switch("tied weights", True),
    }
    Explorer("size_explorer", view, controls).show()


def _draw_place(axes):
    """Draw the known models on an axis of sizes; returns the arrow that marks yours."""
    known = {f"GPT-2 {name}": count_parameters(cfg, tied=True) for name, cfg in GPT_CONFIGS.items()}
    known |= {"GPT-3": count_parameters(GPT3, tied=True), "10 million": 1e7, "10 billion": 1e10}
    (yours,) = axes.plot([0], [1e8], marker=">", markersize=12, color=COLOURS[1])
    axes.set(title="your size (arrow)", xlabel="with tied weights", ylabel="parameters, logarithmic")
    axes.set(yscale="log", xlim=(-0.5, 0.5), ylim=(1e6, 1e12), xticks=[])
    axes.set_yticks(list(known.values()), list(known))
    axes.minorticks_off()
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", labelsize=9)  # the four sizes stand close together
    axes.yaxis.set_label_position("left")
    return yours


def _steps(description, values, value):
    """A slider over the sizes that are in use."""
    return pick(description, [(f"{each:,}", each) for each in values], value)

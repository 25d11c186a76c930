"""Notebooks 06 and 10: who looks at whom."""

import numpy as np
import torch

from gptcore import MultiHeadAttention, attention_weights, get_story_tokenizer, run_with_trace, text_to_token_ids
from gptcore.modes import in_mode
from gptcore.trace import strongest_look
from gptcore.viz import plots
from gptcore.viz.style import our_look
from gptcore.viz.widgets.live import Explorer, LiveFigure, choice, drawable, own_random_numbers, switch, text_box
from gptcore.viz.widgets.tokens import visible

MOST_TOKENS = 10
MOST_STORY_TOKENS = 24  # with the one that begins a story
_EMB_DIM, _HEADS, _VOCAB_SIZE = 64, 4, 50257
_SHARPEN = 3.0  # untrained queries and keys hardly prefer anyone; three times larger, they show what the parts do
_ROOM_FOR_NAMES = 52, 76  # points below and beside the squares: the tokens are written there
_ROOM_BELOW_HEADS = 78
_UNTRAINED = "an untrained layer"


@our_look()
def attention_explorer(text="the cat sat and it purred", trained=None):
    """Type a sentence and see the attention weights of each head, with and without mask and scaling.

    The weights are those of an untrained `MultiHeadAttention` on random embeddings (seed 123), written out. With
    `trained`, a GPT with as many heads that knows the stories, they can also be those of each of its blocks.
    """
    with own_random_numbers():
        embedding = torch.nn.Embedding(_VOCAB_SIZE, _EMB_DIM).requires_grad_(False)
        attention = MultiHeadAttention(_EMB_DIM, _EMB_DIM, MOST_TOKENS, 0.0, _HEADS).requires_grad_(False)
    figure = LiveFigure(
        "Attention weights: a row for each token that looks, a column for each that is looked at.", size=(6.0, 4.4)
    )
    show_weights = _draw_squares(figure, MOST_TOKENS if trained is None else MOST_STORY_TOKENS)

    def view(text, head, mask, scaling, block=_UNTRAINED):
        block = None if block == _UNTRAINED else block
        tokenizer = None if block is None else get_story_tokenizer()
        ids = text_to_token_ids(text if block is None else "<|endoftext|>" + text, tokenizer)
        most = MOST_TOKENS if block is None else MOST_STORY_TOKENS
        if ids.shape[1] > most:
            raise ValueError(f"the sentence has {ids.shape[1]} tokens; {most} fit into the picture, so use fewer")
        layer, x = (attention, embedding(ids)) if block is None else _read_by(trained, block, ids)
        queries, keys = (layer.split_heads(W(x))[0, head].detach() for W in (layer.W_query, layer.W_key))
        scores = queries @ keys.T  # (num_tokens, num_tokens)
        if block is None:
            scores = _SHARPEN * scores
        if scaling:
            scores = scores / keys.shape[-1] ** 0.5
        if mask:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
        weights = scores.softmax(dim=-1)
        names = [visible(token_id, tokenizer) for token_id in ids[0].tolist()]
        show_weights(weights, names)
        largest = weights[-1].argmax().item()
        future = weights.triu(1).sum().item() / len(names)
        return figure.reading(
            f"Head {head}: the last token, {names[-1]}, gives its largest weight, {weights[-1, largest]:.2f}, to "
            f"{names[largest]} (position {largest}). Share of weight on the future: {100 * future:.0f}%."
        )

    controls = {
        "text": text_box("sentence", text),
        "head": choice("head", [(str(head), head) for head in range(_HEADS)]),
        "mask": switch("causal mask", True),
        "scaling": switch("divide by √head_dim", True),
    }
    if trained is not None:
        blocks = [(f"block {block}", block) for block in range(trained.cfg["n_layers"])]
        controls["block"] = choice("weights of", [(_UNTRAINED, _UNTRAINED), *blocks])
    Explorer("attention_explorer", view, controls).show()


@torch.no_grad()
def _read_by(model, block, ids):
    """The attention layer of that block, and what it is given when the model reads the tokens."""
    with in_mode(model, training=False):
        _, trace = run_with_trace(model, ids)
    return model.trf_blocks[block].att, trace[f"trf_blocks.{block}.norm1"]


def _draw_squares(figure, most_tokens):
    """Draw the heat map once; the function that is returned gives it new weights and tokens."""
    axes = figure.axes
    plots.heatmap(
        axes,
        torch.eye(most_tokens),
        title="attention weights",
        xlabel="looks at",
        ylabel="token",
        colour_label="weight (each row sums to 1)",
    )
    (squares,) = axes.images
    squares.set(clim=(0, 1), extent=(0, 1, 1, 0))
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
    axes.xaxis.labelpad, axes.yaxis.labelpad = _ROOM_FOR_NAMES
    rows = [axes.text(-0.02, 0, "", ha="right", va="center") for _ in range(most_tokens)]
    below = {"ha": "right", "va": "top", "rotation": 40, "rotation_mode": "anchor"}
    columns = [axes.text(0, 1.03, "", **below) for _ in range(most_tokens)]

    figure.rarely_changes([*rows, *columns])

    def show_weights(weights, names):
        squares.set_data(weights.float().numpy())
        labels = [drawable(name) for name in names] + [""] * (most_tokens - len(names))
        if labels != [row.get_text() for row in rows]:
            for i, label in enumerate(labels):
                size = 10.5 if len(names) <= MOST_TOKENS else 7
                rows[i].set(text=label, y=(i + 0.5) / len(names), fontsize=size)
                columns[i].set(text=label, x=(i + 0.5) / len(names), fontsize=size)

    return show_weights


def every_head(text, model):
    """Where each head of a model that knows the stories looks from the last token of `text`: as HTML, and in words."""
    tokenizer = get_story_tokenizer()
    ids = text_to_token_ids("<|endoftext|>" + text, tokenizer)
    weights = attention_weights(model, ids)[:, 0, :, -1]  # (n_layers, n_heads, num_tokens)
    names = [visible(token_id, tokenizer) for token_id in ids[0].tolist()]
    return HeadByHead(*weights.shape).reading(weights.flatten(0, 1), names, f"The text: {text}")


class HeadByHead:
    """A heat map of where the last token looks, with a row for each head, and its strongest look in words.

    Shapes: weights (n_layers * n_heads, num_tokens), with a name for each token.
    """

    def __init__(self, n_layers, n_heads, most_tokens):
        self._n_heads = n_heads
        heads = [f"block {block}, head {head}" for block in range(n_layers) for head in range(n_heads)]
        self._figure = LiveFigure("A row for each head: where it looks from the last token.", size=(7.2, 4.6))
        axes = self._figure.axes
        plots.heatmap(axes, np.eye(len(heads), most_tokens), row_names=heads, xlabel="looks at", ylabel="head",
                      title="where the last token looks, head by head",
                      colour_label="weight (each row sums to 1)")  # fmt: skip
        (self._squares,) = axes.images
        self._squares.set(clim=(0, 1), extent=(0, 1, len(heads) - 0.5, -0.5))
        axes.set(xlim=(0, 1), xticks=[])
        axes.xaxis.labelpad = _ROOM_BELOW_HEADS
        below = {"ha": "right", "va": "top", "rotation": 50, "rotation_mode": "anchor", "fontsize": 8.5}
        self._columns = [axes.text(0, len(heads) - 0.2, "", **below) for _ in range(most_tokens)]
        self._figure.rarely_changes(self._columns)
        self._names = None

    def picture(self, weights, names):
        """The picture as HTML."""
        self._change(weights, names)
        return self._figure.picture(self.words(weights, names))

    def reading(self, weights, names, more):
        """The picture with its words and `more` words below it, as HTML; and all of that in words."""
        self._change(weights, names)
        return self._figure.reading(f"{self.words(weights, names)} {more}")

    def words(self, weights, names):
        """The strongest look, but for those at the beginning of the text, where heads look that look for nothing."""
        row, token = strongest_look(weights)
        block, head = divmod(row, self._n_heads)
        return f"The strongest look goes to {names[token]}: {weights[row, token]:.2f}, by head {head} of block {block}."

    def _change(self, weights, names):
        self._squares.set_data(weights.float().numpy())
        if names != self._names:
            self._names = names
            for i, column in enumerate(self._columns):
                column.set(text=drawable(names[i]) if i < len(names) else "", x=(i + 0.5) / len(names))

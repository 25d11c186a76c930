"""The parts of a GPT as people get them wrong, computed from gptcore's own parts.

Each function here does what the part of that name does, in a form whose steps can be exchanged, and each table says of
one step which wrong ways there are and what to say of them. `reason_for` finds the wrong way that gives what a
learner's part gives: with one step exchanged, or with two.
"""

import itertools
import math

import torch
from torch.nn import functional as F

TOLERANCE = 1e-4  # of the typical size: rounding is a hundred times smaller, the smallest usual fault four times larger


def differs_by(result, right):
    """Return the largest difference if it is more than rounding, otherwise 0."""
    if result.shape != right.shape:
        return math.inf
    result, right = result.detach().double(), right.detach().double()
    if torch.allclose(result, right, rtol=1e-5, atol=TOLERANCE * size_of(right), equal_nan=True):
        return 0
    return (result - right).abs().nan_to_num(torch.inf).max().item()


def size_of(x):
    return x.detach().double().nan_to_num(0.0).square().mean().sqrt().item()


def ways(function, table):
    """Yield each wrong way with what is said of it: one step of `function` exchanged, then two."""
    steps = [(step, said, way) for step, options in table.items() for said, way in options.items()]
    for step, said, way in steps:
        yield said, {step: way}
    for (step, said, way), (other_step, also_said, other) in itertools.combinations(steps, 2):
        if step != other_step:
            yield f"{said}; and {also_said}", {step: way, other_step: other}


def reason_for(kind, part, inputs, results):
    """Return what is said of the wrong way that turns `inputs` into `results`, with gptcore's `part`, or nothing.

    `inputs` and `results` are lists: a way must give all of them.
    """
    function, table = FAULTS[kind]
    for said, exchanged in ways(function, table):
        if all(_gives(function, part, x, exchanged, result) for x, result in zip(inputs, results, strict=True)):
            return said
    return ""


def _gives(function, part, x, exchanged, result):
    try:
        found = function(part, x, **exchanged)
    except (RuntimeError, ValueError, IndexError, TypeError):  # some pairs of ways do not fit together
        return False
    if not isinstance(found, torch.Tensor) or found.shape != result.shape:
        return False
    return torch.allclose(
        result.detach(), found, rtol=1e-4, atol=TOLERANCE / 3 * max(size_of(found), 1e-9), equal_nan=True
    )


def layer_norm(
    norm,
    x,
    *,
    over=(-1,),
    centred=lambda x, mean: x - mean,
    spread=lambda x, over: x.var(over, keepdim=True, correction=0),
    divisor=lambda variance, eps: (variance + eps).sqrt(),
    learned=lambda y, scale, shift: scale * y + shift,
):
    y = centred(x, x.mean(over, keepdim=True))
    return learned(y / divisor(spread(x, over), norm.eps), norm.scale, norm.shift)


def with_eps(eps):
    return lambda variance, _: (variance + eps).sqrt()


LAYER_NORM = {
    "spread": {
        "yours divides by n - 1 in the variance; divide by n: unbiased=False": (
            lambda x, over: x.var(over, keepdim=True, correction=1)
        ),
        "you take the mean of the squares for the variance; the mean must be taken away before": (
            lambda x, over: x.square().mean(over, keepdim=True)
        ),
    },
    "divisor": {
        "eps is missing under the root; without it a vector of equal numbers becomes nan": with_eps(0.0),
        "eps stands outside the root; add it to the variance, before the root": lambda variance, eps: (
            variance.sqrt() + eps
        ),
        "the root is missing; divide by the root of variance plus eps": lambda variance, eps: variance + eps,
        "nothing is divided; divide by the root of variance plus eps": lambda variance, eps: 1.0,
        **{
            f"your eps is {eps:g}; the weights were trained with 1e-5": with_eps(eps)
            for eps in (1e-3, 1e-4, 1e-6, 1e-7, 1e-8, 1e-9, 1e-12)
        },
    },
    "learned": {
        "scale and shift are forgotten at the end": lambda y, scale, shift: y,
        "scale is forgotten: multiply by it before shift is added": lambda y, scale, shift: y + shift,
        "shift is forgotten: add it at the end": lambda y, scale, shift: scale * y,
        "scale and shift are exchanged": lambda y, scale, shift: shift * y + scale,
        "shift is added before scale multiplies; first scale, then shift": lambda y, scale, shift: scale * (y + shift),
    },
    "centred": {"the mean is not taken away": lambda x, mean: x},
    "over": {
        "your norm goes over the tokens' axis; each vector is normed by itself, along the last axis: dim=-1": (-2,),
        "your norm goes over the batch; each vector is normed by itself, along the last axis: dim=-1": (0,),
        "your norm goes over tokens and features at once; each vector is normed by itself: dim=-1": (-2, -1),
        "your norm goes over everything at once; each vector is normed by itself: dim=-1, keepdim=True": (0, 1, 2),
    },
}


ROOT = math.sqrt(2 / math.pi)


def tanh_gelu(x, half=0.5, cubic=0.044715, factor=ROOT, one=1.0):
    return half * x * (one + torch.tanh(factor * (x + cubic * x**3)))


BENDS = {
    "yours is the exact GELU, with erf; GPT-2 was trained with the tanh form": F.gelu,
    "yours is a ReLU; GPT-2 has the tanh form of GELU": torch.relu,
    "there is no bend: what comes in goes out, and two layers without a bend are one": lambda x: x,
    "yours is SiLU, x * sigmoid(x); GPT-2 has the tanh form of GELU": F.silu,
    "yours is the quick GELU, x * sigmoid(1.702 * x); GPT-2 has the tanh form": lambda x: x * torch.sigmoid(1.702 * x),
    "yours is a tanh; GPT-2 has the tanh form of GELU": torch.tanh,
    "yours is a sigmoid; GPT-2 has the tanh form of GELU": torch.sigmoid,
    "the 0.5 in front is missing": lambda x: tanh_gelu(x, half=1.0),
    "0.044715 * x**3 is missing inside the tanh": lambda x: tanh_gelu(x, cubic=0.0),
    "sqrt(2 / pi) is missing inside the tanh": lambda x: tanh_gelu(x, factor=1.0),
    "it is 2 / pi without its root; take sqrt(2 / pi)": lambda x: tanh_gelu(x, factor=2 / math.pi),
    "the 1 that is added to the tanh is missing": lambda x: tanh_gelu(x, one=0.0),
    "x is squared inside the tanh; the formula has the cube, x**3": lambda x: (
        0.5 * x * (1 + torch.tanh(ROOT * (x + 0.044715 * x**2)))
    ),
    "sqrt(2 / pi) multiplies x only; it stands before the parentheses": lambda x: (
        0.5 * x * (1 + torch.tanh(ROOT * x + 0.044715 * x**3))
    ),
    "yours is the share that is kept, between 0 and 1; GELU is x times it": lambda x: (
        0.5 * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3)))
    ),
    **{
        f"x**3 is multiplied by {cubic:g}; GPT-2's by 0.044715": lambda x, cubic=cubic: tanh_gelu(x, cubic=cubic)
        for cubic in (1.0, 0.04, 0.044, 0.045, 0.0044715, 0.44715)
    },
}


def gelu(_, x, *, bend=tanh_gelu):
    return bend(x)


def feed_forward(ff, x, *, bend=tanh_gelu, order=lambda first, bend, second, x: second(bend(first(x))), added=None):
    out = order(ff.layers[0], bend, ff.layers[2], x)
    return out if added is None else added(x, out)


FEED_FORWARD = {
    "bend": BENDS,
    "order": {
        "the bend comes after the second layer; it belongs between the two": lambda first, bend, second, x: bend(
            second(first(x))
        ),
        "the bend comes twice; after the second layer there is none": lambda first, bend, second, x: bend(
            second(bend(first(x)))
        ),
        "the bend comes before the first layer; it belongs between the two": lambda first, bend, second, x: second(
            first(bend(x))
        ),
        "the first layer's bias is added after the bend; it belongs to the layer, before it": (
            lambda first, bend, second, x: second(bend(x @ first.weight.T) + first.bias)
        ),
        "the biases are forgotten": lambda first, bend, second, x: bend(x @ first.weight.T) @ second.weight.T,
        "the second layer's bias is forgotten": lambda first, bend, second, x: bend(first(x)) @ second.weight.T,
        "the first layer's bias is forgotten": lambda first, bend, second, x: second(bend(x @ first.weight.T)),
    },
    "added": {"it adds its input to the result; the shortcut is the block's": torch.add},
}


def softmax(scores, hidden, head_dim, *, dim=-1, fill=-torch.inf):
    return scores.masked_fill(hidden, fill).softmax(dim)


def later(scores, diagonal=1):
    return torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal)


def attention(
    att,
    x,
    *,
    roles=lambda q, k, v: (q, k, v),
    heads=None,
    cut=lambda x, heads: x.unflatten(-1, (heads, -1)).transpose(1, 2),
    factor=lambda head_dim, emb_dim, heads: head_dim**-0.5,
    hidden=later,
    weigh=softmax,
    merge=lambda context: context.transpose(1, 2).flatten(2),
    out=lambda att, context: att.out_proj(context),
):
    heads = heads or att.num_heads
    q, k, v = (cut(part, heads) for part in roles(att.W_query(x), att.W_key(x), att.W_value(x)))
    head_dim = x.shape[-1] // heads
    scores = q @ k.mT * factor(head_dim, x.shape[-1], heads)
    return out(att, merge(weigh(scores, hidden(scores), head_dim) @ v))


ATTENTION = {
    "hidden": {
        "the mask is missing: a token sees all that come after it": lambda scores: later(scores, scores.shape[-1]),
        "your mask lets a token see the next one; hide everything above the diagonal: triu(diagonal=1)": (
            lambda scores: later(scores, 2)
        ),
        "your mask hides the token from itself; hide only what is above the diagonal: triu(diagonal=1)": (
            lambda scores: later(scores, 0)
        ),
        "your mask hides the past and shows the future; it is the upper triangle that is hidden": (
            lambda scores: later(scores).mT
        ),
    },
    "weigh": {
        "the mask comes after the softmax, so the weights no longer sum to 1; set the scores to -inf before": (
            lambda scores, hidden, head_dim: scores.softmax(-1).masked_fill(hidden, 0.0)
        ),
        "the mask writes 0 into the scores, and softmax makes a weight of that, too; write -torch.inf": (
            lambda scores, hidden, head_dim: softmax(scores, hidden, head_dim, fill=0.0)
        ),
        "the softmax is missing": lambda scores, hidden, head_dim: scores.masked_fill(hidden, 0.0),
        "the softmax goes over the tokens that look; over those that are looked at: dim=-1": (
            lambda scores, hidden, head_dim: softmax(scores, hidden, head_dim, dim=-2)
        ),
        "the softmax goes over the heads; over the tokens that are looked at: dim=-1": (
            lambda scores, hidden, head_dim: softmax(scores, hidden, head_dim, dim=1)
        ),
        "the softmax goes over the batch; over the tokens that are looked at: dim=-1": (
            lambda scores, hidden, head_dim: softmax(scores, hidden, head_dim, dim=0)
        ),
        "you divide by the root of head_dim after the softmax; divide the scores, before it": (
            lambda scores, hidden, head_dim: softmax(scores * head_dim**0.5, hidden, head_dim) / head_dim**0.5
        ),
        # a large number in place of infinity: the same, but where a row has nothing else
        "your mask hides the token from itself; hide only what is above the diagonal: triu(diagonal=1)": (
            lambda scores, hidden, head_dim: softmax(scores, later(scores, 0), head_dim, fill=-1e9)
        ),
    },
    "factor": {
        "the scores are not divided by the root of head_dim": lambda head_dim, emb_dim, heads: 1.0,
        "you divide the scores by the root of emb_dim; each head's vectors have only head_dim numbers": (
            lambda head_dim, emb_dim, heads: emb_dim**-0.5
        ),
        "you divide the scores by head_dim; it is the root of head_dim": lambda head_dim, emb_dim, heads: 1 / head_dim,
        "you multiply the scores by the root of head_dim; divide by it": lambda head_dim, emb_dim, heads: head_dim**0.5,
        "you divide the scores by the root of the number of heads; it is the root of head_dim": (
            lambda head_dim, emb_dim, heads: heads**-0.5
        ),
    },
    "cut": {
        "the heads are cut wrongly: `view` alone puts pieces of several tokens into a head; view as "
        "(batch, num_tokens, num_heads, head_dim), then transpose(1, 2)": lambda x, heads: x.reshape(
            len(x), heads, x.shape[1], -1
        ),
        "the heads are cut wrongly: a head is head_dim numbers in a row, so view as (..., num_heads, head_dim), in "
        "this order": lambda x, heads: x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2),
    },
    "merge": {
        "the heads are put together wrongly: transpose(1, 2) back before they are laid side by side": (
            lambda context: context.reshape(len(context), context.shape[2], -1)
        ),
        "the heads are put together wrongly: their numbers are mixed; whole heads lie side by side": (
            lambda context: context.permute(0, 2, 3, 1).flatten(2)
        ),
    },
    "heads": {f"it works with {heads} head{'s' * (heads > 1)} instead of num_heads": heads for heads in (1, 2, 8, 16)},
    "out": {"out_proj is forgotten at the end": lambda att, context: context},
    "roles": {
        "queries and keys are exchanged: a row belongs to the token that looks": lambda q, k, v: (k, q, v),
        "keys and values are exchanged": lambda q, k, v: (q, v, k),
        "queries and values are exchanged": lambda q, k, v: (v, k, q),
        "the keys come from W_query": lambda q, k, v: (q, q, v),
        "the queries come from W_key": lambda q, k, v: (k, k, v),
        "the values come from W_key": lambda q, k, v: (q, k, k),
        "the values come from W_query": lambda q, k, v: (q, k, q),
    },
}


def half(x, part, norm, other_norm):
    return x + part(norm(x))


def normed_shortcut(x, part, norm, other_norm):
    normed = norm(x)
    return normed + part(normed)


def block(block, x, *, first=half, second=half, order=lambda first, second, x: second(first(x))):
    def with_attention(x):
        return first(x, block.att, block.norm1, block.norm2)

    def with_feed_forward(x):
        return second(x, block.ff, block.norm2, block.norm1)

    return order(with_attention, with_feed_forward, x)


def wrong_halves(part, norm, other_norm):
    return {
        f"the shortcut around {part} is forgotten: add what came in": lambda x, part, norm, other: part(norm(x)),
        f"the shortcut around {part} starts from the normed stream; it starts before {norm}": normed_shortcut,
        f"{norm} comes after {part} and its sum; it belongs before {part}, inside the side branch": (
            lambda x, part, norm, other: norm(x + part(x))
        ),
        f"{norm} comes after {part}; it belongs before it": lambda x, part, norm, other: x + norm(part(x)),
        f"{norm} is forgotten before {part}": lambda x, part, norm, other: x + part(x),
        f"{other_norm} stands before {part}, where {norm} belongs": (lambda x, part, norm, other: x + part(other(x))),
        f"{part} is forgotten": lambda x, part, norm, other: x,
    }


BLOCK = {
    "first": wrong_halves("attention", "norm1", "norm2"),
    "second": wrong_halves("feed-forward", "norm2", "norm1"),
    "order": {
        "the two halves are exchanged: first attention, then feed-forward": lambda first, second, x: first(second(x)),
        "both halves read what came into the block; feed-forward reads what attention has added to": (
            lambda first, second, x: first(x) + second(x) - x
        ),
        "the second shortcut starts from what came into the block; it starts behind the first": (
            lambda first, second, x: x + second(first(x)) - first(x)
        ),
    },
}


def apply(parts, x):
    """Send x through the parts, one after the other."""
    for part in parts:
        x = part(x)
    return x


def gpt(
    model,
    in_idx,
    *,
    enter=lambda tok, pos: tok + pos,
    places=lambda in_idx: torch.arange(in_idx.shape[1]),
    blocks=apply,
    norm=lambda model, x: model.final_norm(x),
    head=lambda model, x: model.out_head(x),
):
    x = enter(model.tok_emb(in_idx), model.pos_emb(places(in_idx)))
    return head(model, norm(model, blocks(model.trf_blocks, x)))


GPT = {
    "enter": {
        "the positions are forgotten: add pos_emb to tok_emb": lambda tok, pos: tok,
        "the tokens are forgotten: only the positions come in": lambda tok, pos: pos.expand_as(tok),
        "the token embedding is multiplied by the root of emb_dim, as in the first Transformer; GPT-2 does not": (
            lambda tok, pos: tok * tok.shape[-1] ** 0.5 + pos
        ),
        "the positions are multiplied with the tokens; add them": lambda tok, pos: tok * pos,
    },
    "places": {
        "the positions are off by one: they count from 0": lambda in_idx: torch.arange(1, in_idx.shape[1] + 1),
        "the positions count the texts of the batch; they count the tokens: in_idx.shape[1]": (
            lambda in_idx: torch.arange(in_idx.shape[0]).unsqueeze(1)
        ),
        "every token gets the last position": lambda in_idx: torch.full(in_idx.shape[1:], in_idx.shape[1] - 1),
        "every token gets position 0": lambda in_idx: torch.zeros(in_idx.shape[1], dtype=torch.long),
        "the positions count backwards": lambda in_idx: torch.arange(in_idx.shape[1]).flip(0),
        "the token ids are looked up in the table of positions": lambda in_idx: in_idx,
    },
    "blocks": {
        "the blocks change nothing: is it `x = block(x)`?": lambda blocks, x: x,
        "only the first block is used": lambda blocks, x: blocks[0](x),
        "each block gets the embeddings, and only the last one's result goes on: x = block(x)": (
            lambda blocks, x: blocks[-1](x)
        ),
        "the last block is left out": lambda blocks, x: apply(blocks[:-1], x),
        "the first block is left out": lambda blocks, x: apply(blocks[1:], x),
        "the first block is used again and again": lambda blocks, x: apply([blocks[0]] * len(blocks), x),
        "the blocks run in the opposite order": lambda blocks, x: apply(reversed(blocks), x),
        "each block runs twice": lambda blocks, x: apply([block for block in blocks for _ in range(2)], x),
        "there is a second shortcut around each block; the block has its own": (
            lambda blocks, x: apply([lambda x, block=block: x + block(x) for block in blocks], x)
        ),
    },
    "norm": {
        "the final norm is forgotten (or its result thrown away): x = self.final_norm(x)": lambda model, x: x,
        "the final norm comes twice": lambda model, x: model.final_norm(model.final_norm(x)),
    },
    "head": {
        "the output head is forgotten": lambda model, x: x,
        "the output head uses the token embedding's weights; this model has a head of its own": (
            lambda model, x: x @ model.tok_emb.weight.T
        ),
        "your model gives probabilities; it is to give scores (logits), without a softmax": (
            lambda model, x: model.out_head(x).softmax(-1)
        ),
        "your model gives log-probabilities; it is to give scores (logits), without a softmax": (
            lambda model, x: model.out_head(x).log_softmax(-1)
        ),
        "your model gives the last position's scores only; it is to give those of every position": (
            lambda model, x: model.out_head(x)[:, -1]
        ),
    },
}

FAULTS = {
    "MyLayerNorm": (layer_norm, LAYER_NORM),
    "MyGELU": (gelu, {"bend": BENDS}),
    "MyFeedForward": (feed_forward, FEED_FORWARD),
    "MyAttention": (attention, ATTENTION),
    "MyBlock": (block, BLOCK),
    "MyGPT": (gpt, GPT),
}

"""A learner's own GPT beside gptcore's: where do the two part, in which part, and for which of the usual reasons?

`diagnose` gives the learner's classes the weights of the story model, by name, and then looks in three ways. Each part
is tried alone, on what gptcore's own model gives to that part, with gptcore's parts inside. The whole models are
walked side by side, and the first place is named at which the one's numbers are not the other's. And both write a
story, compared token for token. A reason is said only where computing that very fault gives the learner's numbers.
"""

import contextlib
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import nn

from gptcore import get_story_tokenizer
from gptcore.exercises.checking import NotAnswered, Wrong, own_line
from gptcore.exercises.faulty_parts import differs_by, reason_for
from gptcore.exercises.ready_made import PARTS, Watch
from gptcore.generation import generate_text_simple
from gptcore.model import GELU, FeedForward, GPTModel, LayerNorm, MultiHeadAttention, TransformerBlock
from gptcore.pretrained import WithoutInitialValues
from gptcore.tokenizer import text_to_token_ids
from gptcore.trace import run_with_trace

GPTCORES = {
    "MyLayerNorm": LayerNorm,
    "MyGELU": GELU,
    "MyFeedForward": FeedForward,
    "MyAttention": MultiHeadAttention,
    "MyBlock": TransformerBlock,
    "MyGPT": GPTModel,
    "my_generate": generate_text_simple,
}
CLASSES = [name for name in GPTCORES if name != "my_generate"]
# The parts that a part may have inside, whosever they are: what happens in them is not its own work.
MADE_OF = {"MyFeedForward": ["MyGELU"], "MyBlock": CLASSES[:4], "MyGPT": CLASSES[:5]}
START, BEGINNING, NUM_TOKENS = "<|endoftext|>", "One day Anna met", 30
TEXTS = (  # both have the same number of tokens, and people and things that come again
    '<|endoftext|>Anna could not find her red ball. She looked everywhere and was very sad. "Where is my',
    '<|endoftext|>Tom could not find his old lamp. He looked everywhere and was very sad. "Where is my',
)
DROP_RATE = 0.1  # not the stories' own 0: in eval mode it must make no difference
# In the story model emb_dim is context_length, so some sizes may be exchanged without a sign.
OTHER_SIZES = {
    "vocab_size": 30,
    "context_length": 160,
    "emb_dim": 24,
    "n_heads": 3,
    "n_layers": 2,
    "drop_rate": DROP_RATE,
    "qkv_bias": False,
}
OTHER_NAMES = {
    "scale": ("weight", "gamma", "g", "gain"),
    "shift": ("bias", "beta", "b", "offset"),
    "W_query": ("W_q", "Wq", "q_proj", "query", "queries", "to_q", "q"),
    "W_key": ("W_k", "Wk", "k_proj", "key", "keys", "to_k", "k"),
    "W_value": ("W_v", "Wv", "v_proj", "value", "values", "to_v", "v"),
    "out_proj": ("W_out", "W_o", "Wo", "o_proj", "proj", "c_proj", "to_out", "out"),
}


class Misfit(Exception):
    """The weights of the story model do not fit into a learner's part, or it does not run; the message says why."""

    def __init__(self, part, message, place="where the weights are loaded"):
        super().__init__(message)
        self.part, self.place = part, place


@dataclass
class Diagnosis:
    """What was found out about a learner's parts.

    same:   every part, the whole model and the story are gptcore's
    part:   the name of the part that is to be looked at first, such as "MyLayerNorm"; "" when all is well
    place:  where the two models part, such as "norm1 of block 1"
    reason: the usual reason, where one was recognised by computing it
    alone:  each part that is not gptcore's when it is tried alone, with its reason or ""
    story:  what the learner's own model writes
    whose:  for each part "yours" or "gptcore's"
    text:   all that in the learner's words
    """

    part: str = ""
    place: str = ""
    reason: str = ""
    text: str = ""
    story: str = ""
    alone: dict = field(default_factory=dict)
    whose: dict = field(default_factory=dict)

    @property
    def same(self):
        return not self.part


@cache
def story_model():
    return GPTModel.from_pretrained("stories").requires_grad_(False)


@cache
def story_ids():
    tokenizer = get_story_tokenizer()
    return torch.cat([text_to_token_ids(text, tokenizer) for text in TEXTS])


def checked_parts(parts):
    """Return the learner's parts by name, gptcore's in place of those that are missing.

    Raises: Wrong for what is no dictionary of classes; NotAnswered when all of it is gptcore's.
    """
    found = all_parts(parts)
    if all(is_gptcores(part) for part in found.values()):
        raise NotAnswered(": so far every part is gptcore's")
    return found


def all_parts(parts):
    """Return the learner's parts by name, gptcore's in place of those that are missing, even of all."""
    if not isinstance(parts, dict):
        raise Wrong('Expected a dictionary with your parts by name: {"MyLayerNorm": MyLayerNorm, ..., "MyGPT": MyGPT}.')
    unknown = [str(name) for name in parts if name not in GPTCORES]
    if unknown:
        raise Wrong(f"There is no part called {unknown[0]!r}; the names are {', '.join(GPTCORES)}.")
    for name, part in parts.items():
        if part is None or part is ...:
            continue
        if name != "my_generate" and not (isinstance(part, type) and issubclass(part, nn.Module)):
            raise Wrong(f"{name} is to be a class that begins with `class {name}(nn.Module):`, without calling it.")
        if not callable(part):
            raise Wrong(f"{name} is to be a function; give its name alone, without calling it.")
    mine = {
        name: part for name, part in parts.items() if part is not None and part is not ... and not is_gptcores(part)
    }
    return gptcores_around(GPTCORES | mine)


def gptcores_around(parts):
    """Return the parts with gptcore's own changed so that they hold the learner's parts inside."""

    class FeedForwardAround(FeedForward):
        def __init__(self, cfg):
            super().__init__(cfg)
            self.layers[1] = parts["MyGELU"]()

    class BlockAround(TransformerBlock):
        def __init__(self, cfg):
            super().__init__(cfg)
            self.att = parts["MyAttention"](
                cfg["emb_dim"],
                cfg["emb_dim"],
                cfg["context_length"],
                cfg["drop_rate"],
                cfg["n_heads"],
                cfg["qkv_bias"],
            )
            self.ff = parts["MyFeedForward"](cfg)
            self.norm1 = parts["MyLayerNorm"](cfg["emb_dim"])
            self.norm2 = parts["MyLayerNorm"](cfg["emb_dim"])

        def forward(self, x, remember=None):  # without a cache, which a learner's attention does not know
            x = x + self.att(self.norm1(x))
            return x + self.ff(self.norm2(x))

    class GPTAround(GPTModel):
        def __init__(self, cfg):
            super().__init__(cfg)
            self.trf_blocks = nn.ModuleList(parts["MyBlock"](cfg) for _ in range(cfg["n_layers"]))
            self.final_norm = parts["MyLayerNorm"](cfg["emb_dim"])

        def forward(self, in_idx):
            x = self.tok_emb(in_idx) + self.pos_emb(torch.arange(in_idx.shape[1]))
            for block in self.trf_blocks:
                x = block(x)
            return self.out_head(self.final_norm(x))

    around = {"MyFeedForward": FeedForwardAround, "MyBlock": BlockAround, "MyGPT": GPTAround}
    for name, part in around.items():
        if is_gptcores(parts[name]):
            parts = parts | {name: part}
    return parts


def is_gptcores(part):
    """True for gptcore's own parts, also of a gptcore that was imported before, and under another name."""
    code = getattr(part, "forward", part) if isinstance(part, type) else part
    return getattr(code, "__module__", None) in ("gptcore.model", "gptcore.generation", __name__)


def diagnose(parts, ready_made=()):
    """Compare a learner's parts with gptcore's; see `Diagnosis`. Those named in `ready_made` do not count as theirs.

    Raises: Wrong for what is no dictionary of parts, NotAnswered when all of it is gptcore's.
    """
    given, parts = parts, checked_parts(parts)
    found = Diagnosis(whose={name: "gptcore's" if is_gptcores(part) else "yours" for name, part in parts.items()})
    torch_state = torch.random.get_rng_state()
    try:
        with torch.no_grad():
            _look(parts, found)
    except Misfit as misfit:
        found.part, found.place, found.reason = misfit.part, misfit.place, str(misfit)
        found.text = f"In {misfit.part}: {misfit}"
    finally:
        torch.random.set_rng_state(torch_state)
    found.whose |= dict.fromkeys(ready_made, "ready-made")
    found.text += "\n" + said_of_whose(found.whose, given)
    return found


def _look(parts, found):
    for name in CLASSES:
        if found.whose[name] == "yours":
            try:
                difference, reason = try_alone(name, parts)
            except Misfit as misfit:
                if misfit.part in CLASSES[: CLASSES.index(name)]:  # which was right: so it is built with something else
                    raise Misfit(name, str(misfit), misfit.place) from None
                raise
            if difference:
                found.alone[name] = reason
    model = assembled(parts)
    unused = [
        name
        for name in CLASSES
        if found.whose[name] == "yours" and not any(isinstance(part, parts[name]) for part in model.modules())
    ]
    step = walk(model, story_ids())
    writes, why_not = try_generate(parts["my_generate"]) if found.whose["my_generate"] == "yours" else (True, "")
    if not writes:
        found.alone["my_generate"] = why_not
    own_generate = parts["my_generate"] if writes else generate_text_simple
    try:
        found.story, comparison = compare_stories(model, own_generate)
    except Misfit:  # a broken model cannot write; what is broken is known already
        if not step:
            raise
        comparison = "It cannot write a story yet."
    if step:
        found.part, found.place, found.reason, said = _said_of_step(step, found)
    elif found.alone:
        found.part = next(iter(found.alone))
        found.reason = found.alone[found.part]
        found.place = "my_generate" if found.part == "my_generate" else f"{found.part} alone"
        said = f"{_where_alone(found.part, unused)}: {found.reason or 'its numbers are others'}."
    elif comparison:
        found.part, found.place = "my_generate", "my_generate"
        said = "Model and my_generate agree with gptcore's each by itself, but not together."
    else:
        _look_at_other_sizes(parts, found)
        not_there = f" (It does without your {' and '.join(unused)}.)" if unused else ""
        found.text = f"Your GPT writes the story that gptcore writes, token for token.{not_there}"
        return
    also = [
        f"{name} alone differs, too{': ' if reason else ''}{reason}."
        for name, reason in found.alone.items()
        if name != found.part
    ]
    same = "it is not yet the same model" if step else "one of your parts is not right"
    story = comparison or f"It writes the same story, but {same}."
    found.text = "\n".join([story, said, *also])


def _look_at_other_sizes(parts, found):
    """See that each part is right when it is made for other sizes, too; Misfit tells which is not."""
    for name in CLASSES:
        if found.whose[name] != "yours":
            continue
        right_part, x = parts_of_other_sizes()[name]
        try:
            own = build(name, parts[name], OTHER_SIZES)
            exchange_gptcores(own, parts, OTHER_SIZES)
            for parameter, weights in pairs(name, own, right_part):
                parameter.copy_(weights)
            if differs_by(run(name, own, x), right_part(x)):
                raise Misfit(name, "its numbers are not gptcore's.")
        except Misfit as misfit:
            sizes = ", ".join(f"{size}={OTHER_SIZES[size]}" for size in OTHER_SIZES if size != "drop_rate")
            raise Misfit(
                name,
                f"with the story model's sizes it is right, but not with others ({sizes}): {misfit} "
                "Take every size from what __init__ is given.",
                f"{name} with other sizes",
            ) from None


@cache
def parts_of_other_sizes():
    """Return, for each kind of part, gptcore's own part of other sizes than the story model's, and an input for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        right = GPTModel({**OTHER_SIZES, "drop_rate": 0.0}).requires_grad_(False).eval()
        ids = torch.randint(OTHER_SIZES["vocab_size"], (2, OTHER_SIZES["context_length"]))
        x = torch.randn(*ids.shape, OTHER_SIZES["emb_dim"])
    block = right.trf_blocks[0]
    return {
        "MyLayerNorm": (block.norm1, x),
        "MyGELU": (block.ff.layers[1], x),
        "MyFeedForward": (block.ff, x),
        "MyAttention": (block.att, x),
        "MyBlock": (block, x),
        "MyGPT": (right, ids),
    }


def _where_alone(part, unused):
    if part == "my_generate":
        return "The model is gptcore's to the last token; my_generate is not"
    if part in unused:
        return f"Your model is right, but it does not use your {part}, which alone is not"
    return f"On the story's own numbers {part} agrees; on others, when it is tried alone, it does not"


def said_of_whose(whose, given):
    """Return whose each part is; my_generate only where it was given."""
    names = [name for name in whose if name in given or name in CLASSES]
    sides = {side: [name for name in names if whose[name] == side] for side in ("yours", "gptcore's", "ready-made")}
    said = "; ".join(f"{side}: {', '.join(names)}" for side, names in sides.items() if names)
    return said[0].upper() + said[1:] + "."


@torch.no_grad()
def ready_made_in(parts):
    """Return, by name, the learner's parts whose work something ready-made does, and what: {"MyGELU": "nn.GELU"}.

    Each part is tried alone, and nobody looks into the parts that it is made of: they are tried themselves.
    """
    parts = all_parts(parts)
    found = {}
    for name in CLASSES:
        if is_gptcores(parts[name]):
            continue
        if inherited := [base.__name__ for base in parts[name].__mro__ if is_gptcores(base)]:
            found[name] = f"gptcore's {inherited[0]}"
            continue
        watch = Watch(PARTS, lambda module, name=name: is_one_of(module, MADE_OF.get(name, []), parts))
        with torch.random.fork_rng(devices=[]), contextlib.suppress(Misfit):  # what does not run, `diagnose` tells
            own = build(name, parts[name])
            for x in inputs_and_parts()[name][1]:
                with watch:
                    run(name, own, x)
                if watch.used:
                    break
        if watch.used:
            found[name] = watch.used[0]
    return found


def is_one_of(module, names, parts):
    """True for a learner's part of one of these names, and for gptcore's."""
    return any(
        isinstance(module, parts[name]) or (is_gptcores(type(module)) and is_named(module, name)) for name in names
    )


def put_together(parts):
    """Return the learner's own GPT, made of the parts by name, with the weights of the story model, in eval mode.

    A part that is missing is gptcore's. The model has a `cfg`, as gptcore's functions want it.

    Raises: ValueError when the weights do not fit; Wrong for what is no dictionary of parts.
    """
    try:
        with torch.no_grad():
            return assembled(all_parts(parts))
    except Misfit as misfit:
        raise ValueError(f"in {misfit.part}: {misfit}") from None


def assembled(parts):
    right = story_model()
    model = build("MyGPT", parts["MyGPT"])
    exchange_gptcores(model, parts)
    for own, weights in pairs("MyGPT", model, right):
        own.copy_(weights)
    if not hasattr(model, "cfg"):
        model.cfg = dict(right.cfg)
    return model


def exchange_gptcores(module, parts, cfg=None):
    """Put the learner's parts into those parts of gptcore that the learner's model is built of."""
    for each, inner in list(module.named_children()):
        kinds = [name for name in ("MyFeedForward", "MyBlock") if is_gptcores(type(inner)) and is_named(inner, name)]
        if kinds:
            setattr(module, each, build(kinds[0], parts[kinds[0]], cfg))
        else:
            exchange_gptcores(inner, parts, cfg)


def is_named(module, name):
    return type(module).__name__ == GPTCORES[name].__name__


def build(name, part, cfg=None):
    """Return the learner's part `name`, made for the story model's sizes or those of `cfg`, in eval mode."""
    cfg = dict(cfg or {**story_model().cfg, "drop_rate": DROP_RATE})
    arguments = {
        "MyLayerNorm": (cfg["emb_dim"],),
        "MyGELU": (),
        "MyAttention": (
            cfg["emb_dim"], cfg["emb_dim"], cfg["context_length"], DROP_RATE, cfg["n_heads"], cfg["qkv_bias"],
        ),
    }  # fmt: skip
    with WithoutInitialValues():  # each parameter gets the story model's weights, or is complained about
        built = attempt(name, part, *arguments.get(name, (cfg,)))
    if not isinstance(built, nn.Module):
        raise Misfit(name, "it is to be a module: `class ...(nn.Module)`, with `super().__init__()` at its beginning.")
    return built.eval()


def attempt(name, function, *arguments):
    """Return what the learner's code gives; when it fails, Misfit tells the error and the line."""
    try:
        result = function(*arguments)
    except NotImplementedError:
        raise Misfit(name, "it is not written yet.") from None
    except Misfit:
        raise
    except (Exception, SystemExit) as error:
        what = f"it stopped with {type(error).__name__}: {error}{own_line(error)}."
        raise Misfit(name, what, f"{name} alone") from None
    if result is None:
        raise Misfit(name, "it returns nothing; the `return` is missing.", f"{name} alone")
    return result


def child(name, own, *names):
    """Return the learner's layer of the first of these names that there is."""
    for each in names:
        found = getattr(own, each, None)
        if isinstance(found, nn.Module | nn.Parameter):
            return found
    if not isinstance(own, nn.Module):
        raise Misfit(name, "one of its layers is a bare nn.Parameter; make it an nn.Linear or nn.Embedding.")
    there = ", ".join(each for each, _ in [*own.named_children(), *own.named_parameters(recurse=False)]) or "none"
    advice = ""
    if any("qkv" in each or "c_attn" in each for each in own._modules):
        advice = " Queries, keys and values need a layer each: one for all three cannot be loaded by name."
    if isinstance(getattr(own, names[0], None), list | tuple):
        advice = " It is a plain list, which PyTorch does not look into: make it an nn.ModuleList."
    raise Misfit(name, f"it needs a layer named self.{names[0]}; the names there are: {there}.{advice}")


def pairs(name, own, right):
    """Return (own parameter, gptcore's weights) for all of the learner's part.

    Raises: Misfit for names or shapes that do not fit, a parameter that gets no weights, or one that would get two.
    """
    found = list(PAIRS[name](own, right))
    taken = {}
    for parameter, _, place in found:
        if id(parameter) in taken:
            owner = "MyGPT" if "block" not in place else "MyBlock"
            if "of the blocks" in place:
                owner = "MyGPT"
            raise Misfit(
                owner if name in ("MyGPT", "MyBlock") else name,
                f"{taken[id(parameter)]} and {place} are one and the same, so they cannot hold different weights; make "
                f"a layer for each.",
            )
        taken[id(parameter)] = place
    for parameter, weights, place in found:
        if parameter.shape != weights.shape:
            raise Misfit(
                name, f"{place} has the shape {tuple(parameter.shape)}; the weights have {tuple(weights.shape)}."
            )
    extra = [each for each, parameter in own.named_parameters() if id(parameter) not in taken]
    if extra:
        bias = " Is it bias=False?" if extra[0].endswith("bias") else ""
        raise Misfit(name, f"it has {extra[0]}, for which there are no weights.{bias}")
    return [(parameter, weights) for parameter, weights, _ in found]


def pair_linear(name, own, right, place):
    weight = child(name, own, "weight")
    yield weight, right.weight, f"{place}.weight"
    if right.bias is not None:
        if not isinstance(getattr(own, "bias", None), nn.Parameter):
            qkv = " Pass qkv_bias on: nn.Linear(..., bias=qkv_bias)." if "W_" in place else ""
            raise Misfit(name, f"{place} has no bias, and the weights have one.{qkv}")
        yield own.bias, right.bias, f"{place}.bias"


def pair_norm(own, right, place="the norm"):
    for each in ("scale", "shift"):
        parameter = child("MyLayerNorm", own, each, *OTHER_NAMES[each])
        yield parameter, getattr(right, each), f"{place}.{each}"


def pair_gelu(own, right):
    return []


def pair_feed_forward(own, right, place="feed-forward"):
    """The two layers have different shapes, so they are known whatever their names are."""
    weights = list(right.named_parameters())
    for own_name, parameter in own.named_parameters():
        fits = [(each, tensor) for each, tensor in weights if tensor.shape == parameter.shape]
        if not fits:
            shapes = ", ".join(str(tuple(tensor.shape)) for _, tensor in weights)
            raise Misfit(
                "MyFeedForward",
                f"{own_name} has the shape {tuple(parameter.shape)}; the weights have {shapes}: from emb_dim to "
                f"4 * emb_dim, and back.",
            )
        weights.remove(next((each, tensor) for each, tensor in weights if each == fits[0][0]))
        yield parameter, fits[0][1], f"{place}.{own_name}"
    if weights:
        shape = tuple(weights[0][1].shape)
        raise Misfit(
            "MyFeedForward",
            f"it needs two nn.Linear layers with biases; one for weights of the shape {shape} is missing.",
        )


def pair_attention(own, right, place="attention"):
    for each in ("W_query", "W_key", "W_value", "out_proj"):
        layer = child("MyAttention", own, each, *OTHER_NAMES[each])
        yield from pair_linear("MyAttention", layer, getattr(right, each), f"{place}.{each}")


def pair_block(own, right, place="the block"):
    for each, pair in (("norm1", pair_norm), ("att", pair_attention), ("norm2", pair_norm), ("ff", pair_feed_forward)):
        yield from pair(child("MyBlock", own, each), getattr(right, each), f"{each} of {place}")


def pair_gpt(own, right):
    yield child("MyGPT", child("MyGPT", own, "tok_emb"), "weight"), right.tok_emb.weight, "tok_emb"
    yield child("MyGPT", child("MyGPT", own, "pos_emb"), "weight"), right.pos_emb.weight, "pos_emb"
    blocks = child("MyGPT", own, "trf_blocks")
    if not isinstance(blocks, nn.ModuleList | nn.Sequential) or len(blocks) != len(right.trf_blocks):
        raise Misfit(
            "MyGPT", f"trf_blocks is to be an nn.ModuleList or nn.Sequential of cfg['n_layers'] blocks, here "
            f"{len(right.trf_blocks)}."
        )  # fmt: skip
    if len(set(map(id, blocks))) < len(blocks):
        raise Misfit(
            "MyGPT", "the blocks are one and the same block; make each anew: MyBlock(cfg) for _ in range(n_layers)."
        )
    for index, (block, right_block) in enumerate(zip(blocks, right.trf_blocks, strict=True)):
        yield from pair_block(block, right_block, f"block {index}")
    yield from pair_norm(child("MyGPT", own, "final_norm"), right.final_norm, "final_norm")
    head = child("MyGPT", own, "out_head")
    if getattr(head, "weight", None) is own.tok_emb.weight:
        raise Misfit("MyGPT", "the output head is tied to tok_emb; the story model's head has weights of its own.")
    yield from pair_linear("MyGPT", head, right.out_head, "out_head")


PAIRS = {
    "MyLayerNorm": pair_norm,
    "MyGELU": pair_gelu,
    "MyFeedForward": pair_feed_forward,
    "MyAttention": pair_attention,
    "MyBlock": pair_block,
    "MyGPT": pair_gpt,
}


@cache
def inputs_and_parts():
    """Return, for each kind of part, gptcore's own part and what that part is given in the story model, and more.

    The more is what makes rare faults seen: a norm's eps, say, which matters only where all numbers are nearly equal.
    """
    right, ids = story_model(), story_ids()
    _, trace = run_with_trace(right, ids)
    stream, block = trace["drop_emb"], right.trf_blocks[0]
    middle = stream + trace["trf_blocks.0.att"]
    draw = torch.Generator().manual_seed(123)
    small = 1e-3 * torch.randn(stream.shape, generator=draw)
    equal = stream.clone()
    equal[:, :2] = 0.5
    return {
        "MyLayerNorm": (block.norm1, [stream, middle, trace["trf_blocks.2"], small, equal]),
        "MyGELU": (block.ff.layers[1], [trace["trf_blocks.0.ff.layers.0"], torch.linspace(-6, 6, 96).view(1, 8, 12)]),
        "MyFeedForward": (block.ff, [trace["trf_blocks.0.norm2"], torch.randn(stream.shape, generator=draw)]),
        "MyAttention": (block.att, [trace["trf_blocks.0.norm1"], 3 * torch.randn(stream.shape, generator=draw)]),
        "MyBlock": (block, [stream, trace["trf_blocks.1"]]),
        "MyGPT": (right, [ids[:, :3], ids[:1, :1], ids]),  # the short ones first: they tell most faults apart
    }


@cache
def wanted(name):
    right_part, inputs = inputs_and_parts()[name]
    return [right_part(x) for x in inputs]


def try_alone(name, parts):
    """Return by how much the learner's part differs when all around and in it is gptcore's, and the usual reason."""
    right_part, inputs = inputs_and_parts()[name]
    own = build(name, parts[name])
    if name in ("MyBlock", "MyGPT"):  # what is inside comes from gptcore: its weights are loaded already
        put_gptcores_inside(name, own, right_part)
        if name == "MyGPT":
            own.tok_emb.weight.copy_(right_part.tok_emb.weight)
            own.pos_emb.weight.copy_(right_part.pos_emb.weight)
            own.out_head.weight.copy_(right_part.out_head.weight)
    else:
        for parameter, weights in pairs(name, own, right_part):
            parameter.copy_(weights)
        put_gptcores_bend_inside(own, parts)
    results = [run(name, own, x) for x in inputs]
    difference = max(differs_by(*both) for both in zip(results, wanted(name), strict=True))
    if not difference:
        return 0, ""
    return difference, reason_for(name, right_part, inputs, results) or seen_without_computing(name, own, inputs[0])


def put_gptcores_inside(name, own, right):
    """Exchange what is in a learner's block or GPT for gptcore's, after a look whether all its names are there."""
    list(pairs(name, own, right))
    if name == "MyGPT":
        for index, block in enumerate(right.trf_blocks):
            own.trf_blocks[index] = block
        own.final_norm = right.final_norm
    else:
        for each in ("norm1", "att", "norm2", "ff"):
            setattr(own, each, getattr(right, each))


def put_gptcores_bend_inside(own, parts):
    for module in own.modules():
        for each, inner in list(module.named_children()):
            if type(inner) is parts["MyGELU"]:
                setattr(module, each, GELU())


def run(name, own, x):
    given = x.clone()
    result = attempt(name, own, given)
    if not isinstance(result, torch.Tensor):
        raise Misfit(name, f"it returns {type(result).__name__}, not a tensor.")
    if result.is_floating_point() and result.dtype != torch.float32:
        raise Misfit(name, f"it returns {result.dtype}; what it is given, and the weights, are torch.float32.")
    if not torch.equal(given, x):
        raise Misfit(name, "it changes the tensor that it is given; make a new one, without `+=` on the input.")
    return result


def seen_without_computing(name, own, x):
    """Return what can be said of a part by what it does, without a usual fault to compare with; or nothing."""
    first, second = run(name, own, x), run(name, own, x)
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        return (
            "it gives something else each time, in eval mode, too; is there a dropout that does not know of it? "
            "nn.Dropout does, F.dropout needs training=self.training"
        )
    if name == "MyAttention" and first.shape == x.shape:
        changed = x.clone()
        changed[:, -1] = changed[:, -1].flip(-1)
        if differs_by(run(name, own, changed)[:, :-1], first[:, :-1]):
            return "your mask lets tokens see what comes after them"
    return ""


@dataclass
class Step:
    """Something that happens in both models: a part is given its input, or gives its output."""

    path: str
    is_output: bool
    own: object = None
    right: object = None
    before: str = ""


def walk(model, ids):
    """Return the first step at which the two models' numbers differ; None when there is none."""
    own_steps, own_logits = record(model, lambda: run("MyGPT", model, ids))
    right_steps, right_logits = gptcores_steps()
    before = "the token ids"
    for path, is_output in right_steps:
        own, wanted = own_steps.get((path, is_output)), right_steps[path, is_output]
        if own is None:
            return Step(path, is_output, None, wanted, before)
        if differs_by(own, wanted):
            return Step(path, is_output, own, wanted, before)
        before = name_of(path, is_output)
    if differs_by(own_logits, right_logits):
        return Step("", True, own_logits, right_logits, before)
    return None


@cache
def gptcores_steps():
    right, ids = story_model(), story_ids()
    return record(right, lambda: right(ids))


def record(model, run_it):
    """Run a model and return what each of its named parts was first given and first gave, in order, and the logits."""
    paths = ["final_norm", "out_head"]
    for index in range(len(model.trf_blocks)):
        paths += [f"trf_blocks.{index}{each}" for each in ("", ".norm1", ".att", ".norm2", ".ff")]
    steps, hooks = {}, []
    for path in paths:

        def enters(part, inputs, path=path):
            if inputs and isinstance(inputs[0], torch.Tensor):
                steps.setdefault((path, False), inputs[0].clone())

        def leaves(part, inputs, output, path=path):
            steps.setdefault((path, True), output.clone() if isinstance(output, torch.Tensor) else output)

        part = model.get_submodule(path)
        hooks += [part.register_forward_pre_hook(enters), part.register_forward_hook(leaves)]
    try:
        return steps, run_it()
    finally:
        for hook in hooks:
            hook.remove()


def name_of(path, is_output=True):
    """Return a step in the learner's words: "norm1 of block 0", "what goes into final_norm"."""
    pieces = path.split(".")
    if pieces[0] == "trf_blocks":
        short = {"att": "the attention", "ff": "the feed-forward layer"}
        place = f"block {pieces[1]}" if len(pieces) == 2 else f"{short.get(pieces[2], pieces[2])} of block {pieces[1]}"
    else:
        place = {"": "the logits", "out_head": "the output head", "final_norm": "the final norm"}[path]
    return place if is_output else f"what goes into {place}"


KIND_OF = {"norm1": "MyLayerNorm", "norm2": "MyLayerNorm", "final_norm": "MyLayerNorm", "att": "MyAttention"}
KIND_OF |= {"ff": "MyFeedForward"}


def part_at(step):
    """Return which of the learner's parts makes the numbers of a step.

    A part's output, when its input is still right, is its own work; its input is the work of whoever calls it.
    """
    pieces = step.path.split(".")
    if pieces[0] == "trf_blocks" and len(pieces) == 2:
        return "MyBlock" if step.is_output else "MyGPT"
    if not step.is_output or step.own is None:
        return "MyBlock" if pieces[0] == "trf_blocks" else "MyGPT"
    return KIND_OF.get(pieces[-1], "MyGPT")


def _said_of_step(step, found):
    """Return the part to blame for a step, its place, the reason, and a sentence of all that."""
    part, place = part_at(step), name_of(step.path, step.is_output)
    if part == "MyFeedForward" and "MyGELU" in found.alone and part not in found.alone:
        part, place = "MyGELU", place.replace("the feed-forward layer", "the bend in the feed-forward layer")
    if step.own is None:
        place = name_of(step.path)
        there = "is never used" if step.path else "is missing"
        said = f"Side by side they are equal up to {step.before}; then {place} {there}"
    elif not isinstance(step.own, torch.Tensor) or step.own.shape != step.right.shape:
        shape = tuple(getattr(step.own, "shape", ())) or type(step.own).__name__
        said = (
            f"Side by side they are equal up to {step.before}, and part at {place}: yours has the shape {shape}, "
            f"gptcore's {tuple(step.right.shape)}"
        )
    else:
        difference = differs_by(step.own, step.right)
        said = f"Side by side they are equal up to {step.before}, and part at {place}, by up to {difference:.2g}"
    reason = found.alone.get(part, "")
    if part in found.alone:
        return part, place, reason, f"{said}. {part}, tried alone: {reason or _no_reason(part)}."
    if found.whose[part] == "gptcore's" or part in KIND_OF.values():
        # As built here it is wrong, alone it is right: the one that builds it is to be asked.
        reason = reason_for(part, story_model().get_submodule(step.path), *_on_its_input(step)) if step.path else ""
        builder = "MyGPT" if step.path == "final_norm" else "MyBlock"
        return builder, place, reason, (
            f"{said}. Tried alone {part} is right, so look at how {builder} makes or uses it"
            f"{': ' if reason else ''}{reason}."
        )  # fmt: skip
    return part, place, "", f"{said}. Tried alone each of your parts is right; look at how {part} puts them together."


def _on_its_input(step):
    steps, _ = gptcores_steps()
    return [steps[step.path, False]], [step.own]


def _no_reason(part):
    return f"its numbers are not gptcore's, and it is none of the usual faults; look at {part} line by line"


@cache
def gptcores_story(num_tokens):
    right = story_model()
    ids = text_to_token_ids(START + BEGINNING, get_story_tokenizer())
    return generate_text_simple(right, ids, num_tokens, right.cfg["context_length"])


def compare_stories(model, own_generate):
    """Return what the learner's model writes, and, if it is not gptcore's story, where the two part."""
    tokenizer, right = get_story_tokenizer(), story_model()
    ids = text_to_token_ids(START + BEGINNING, tokenizer)
    wanted = gptcores_story(NUM_TOKENS)
    own = attempt("my_generate", own_generate, model, ids.clone(), NUM_TOKENS, right.cfg["context_length"])
    if not isinstance(own, torch.Tensor):
        raise Misfit("my_generate", f"it returns {type(own).__name__}, not a tensor of token ids.", "my_generate")
    story = tokenizer.decode(own[0].tolist()).removeprefix(START)
    if torch.equal(own, wanted):
        return story, ""
    if own.shape != wanted.shape:
        return story, f"Yours has {own.shape[1]} tokens, gptcore's story {wanted.shape[1]}."
    place = (own != wanted)[0].nonzero()[0].item()
    words = [tokenizer.decode([each[0, place].item()]) for each in (own, wanted)]
    after = tokenizer.decode(wanted[0, max(place - 6, 1) : place].tolist())
    return story, (
        f'The stories part at token {place}: after "{after}" yours writes "{words[0]}", gptcore "{words[1]}".'
    )


class Recorder(nn.Module):
    """A model of ten tokens that writes down what it is given; after a token its next one has the highest score.

    It is hardly higher than the others, so that nobody who draws tokens draws the right ones.
    """

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, in_idx):
        self.given.append(in_idx.clone())
        return 0.3 * torch.eye(10)[(in_idx + 1) % 10] + 0.2 * torch.eye(10)[(in_idx + 4) % 10]


def rows_of(ids):
    return set(map(tuple, ids.tolist()))


def try_generate(function):
    """Return whether the learner's function writes as it should, and if not, the reason, by what it does."""
    idx, context_size = torch.tensor([[7, 2, 5], [1, 1, 3]]), 4
    recorder = Recorder().eval()
    own = attempt("my_generate", function, recorder, idx.clone(), 6, context_size)
    if not isinstance(own, torch.Tensor):
        return False, f"it returns {type(own).__name__}, not a tensor of token ids"
    wanted = idx
    for _ in range(6):
        wanted = torch.cat((wanted, (wanted[:, -1:] + 1) % 10), dim=1)
    if any(given.ndim != 2 or given.shape[1] > context_size for given in recorder.given):
        return False, "the model is given more than context_size tokens; give it the last ones: idx[:, -context_size:]"
    if own.shape == wanted.shape and torch.equal(own, wanted):
        crops = [wanted[:, : 3 + step][:, -context_size:] for step in range(6)]
        needed = {row for crop in crops for row in rows_of(crop)}
        given = {row for each in recorder.given for row in rows_of(each)}  # the texts together, or one by one
        if needed <= given <= needed | rows_of(wanted[:, -context_size:]):
            return True, ""
        return False, "the model is not given all of the last context_size tokens: idx[:, -context_size:]"
    if own.shape == (2, 6) and not torch.equal(own[:, :3], idx):
        return False, "it returns the new tokens only; the beginning belongs to the text"
    if own.shape != wanted.shape:
        return False, f"of 3 tokens and 6 new ones it makes the shape {tuple(own.shape)}, not {tuple(wanted.shape)}"
    again = attempt("my_generate", function, Recorder().eval(), idx.clone(), 6, context_size)
    if not torch.equal(own, again):
        return False, "it draws the next token; take the one with the highest score: argmax"
    if torch.equal(own[:, -3:], idx):
        return False, "the new tokens stand before the old ones; torch.cat((idx, new), dim=1)"
    if all(torch.equal(given, idx) for given in recorder.given):
        return False, "the model reads the beginning again and again; it must read what was written, too"
    if any(len(given) > 0 and torch.equal(given, wanted[:, : given.shape[1]]) for given in recorder.given[3:]):
        return False, "the model is given the first tokens of the text; give it the last: idx[:, -context_size:]"
    new, last, first = own[:, 3], idx[:, -1], idx[:, 0]
    if torch.equal(new, (first + 1) % 10) and not torch.equal(first, last):
        return False, "it reads the first position's scores; those of the last one say what comes next: logits[:, -1]"
    if torch.equal(new, (idx[:, -2] + 1) % 10):
        return False, "it reads the scores of the position before the last one; take logits[:, -1]"
    scores = recorder(idx)[:, -1]
    if torch.equal(new, scores.argmin(dim=-1)):
        return False, "it takes the lowest score; take the highest: argmax"
    if torch.equal(new, scores.topk(2).indices[:, 1]):
        return False, "it takes the second-highest score; take the highest: argmax"
    return False, ""

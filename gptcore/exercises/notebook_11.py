"""The exercises of notebook 11, OpenAI's weights."""

from functools import partial

import torch
from torch import nn

from gptcore import GPT_CONFIG_124M, GPTModel
from gptcore.exercises.checking import (
    NotAnswered,
    Wrong,
    as_number,
    call,
    call_all,
    check_function,
    close,
    exercise,
    name_mistake,
    number,
    show,
)

UNTIED, HEAD, BIASES = 77_195_264, 50_257 * 512, 8 * 3 * 512
TIED = UNTIED - HEAD

number(
    "11.1",
    TIED + BIASES,
    mistakes={
        "The head is taken away. The biases of query, key and value are still missing.": TIED,
        "The biases are added. But the file has no output head of its own: it is tied.": UNTIED + BIASES,
        "That is one bias in each block. Query, key and value have one each.": TIED + 8 * 512,
        "That is the three biases of one block. There are 8 blocks.": TIED + 3 * 512,
        "You took the biases away. The published files have them, the model above has not.": TIED - BIASES,
        "You added the head a second time. Tied, it is not stored at all.": UNTIED + HEAD + BIASES,
        "You took away the head and the token embedding. One of them stays: it serves as both.": TIED - HEAD + BIASES,
        "Those are bytes in float32. How many numbers are they?": (TIED + BIASES) * 4,
        "You count the causal masks, too. Some copies of the files hold them, but nothing has learned them: leave them "
        "out.": TIED + BIASES + 8 * 1024**2,
        "That is the model as it was built. The file has biases, and no output head.": UNTIED,
    },
    solved="The head was a third of all numbers; the biases are 0.02 percent.",
    hints=[
        "Two things differ: one adds numbers, one takes numbers away.",
        "Tied means that the output head is the token embedding, so it does not stand in the file. "
        "It would have vocab_size times emb_dim numbers.",
        "Query, key and value each get a bias of emb_dim numbers, in every block.",
        "`77_195_264 - 50_257 * 512 + 8 * 3 * 512`",
    ],
)


def block_tensors():
    """Return random tensors of one block under OpenAI's names, without c_attn, for an emb_dim of 6."""
    generator = torch.Generator().manual_seed(11)
    shapes = {"attn.c_proj": (6, 6), "mlp.c_fc": (6, 24), "mlp.c_proj": (24, 6), "ln_1": (6,), "ln_2": (6,)}
    theirs = {}
    for name, shape in shapes.items():
        theirs[f"{name}.weight"] = torch.randn(shape, generator=generator)
        theirs[f"{name}.bias"] = torch.randn(shape[-1], generator=generator)
    return theirs


def call_with_tensors(answer, theirs, *arguments):
    """Call the learner's function with a copy of the dictionary, and see that its tensors stay as they are."""
    handed = {name: tensor.clone() for name, tensor in theirs.items()}
    result = call(answer, dict(handed), *arguments)
    if not all(close(handed[name], theirs[name], 0) for name in theirs):
        raise Wrong("It changes the tensors of `theirs`. Somebody else may still need them: make new ones, or views.")
    return result


@exercise(
    "11.2",
    solved="The same layer, written down the other way round; the square one too, where no shape would complain.",
    hints=[
        "The weight in the file has the shape (in, out): read the two sizes of the new layer from it.",
        "`nn.Linear(n_in, n_out)` keeps its weight as (out, in). Which operation makes (out, in) of (in, out)?",
        'A layer takes only an `nn.Parameter`: `layer.bias = nn.Parameter(theirs[f"{name}.bias"])`',
        "`layer.weight = nn.Parameter(weight.t())`, the same for the bias without `.t()`, and `return layer`.",
    ],
)
def my_linear(answer):
    theirs = {f"h.3.{name}": tensor for name, tensor in block_tensors().items()}
    x = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(1))
    names = ("h.3.mlp.c_fc", "h.3.mlp.c_proj", "h.3.attn.c_proj")
    layers = call_all(answer, [(theirs, name) for name in names], call_with_tensors)
    for name, layer in zip(names, layers, strict=True):
        weight, bias = theirs[f"{name}.weight"], theirs[f"{name}.bias"]
        if not isinstance(layer, nn.Linear):
            raise Wrong(f"Expected is a layer, an nn.Linear, not {show(layer)}.")
        try:
            check_layer(layer, name, weight, bias, x[..., : weight.shape[0]])
        except Wrong as wrong:
            raise Wrong(str(wrong), (theirs, name)) from None


def check_layer(layer, name, weight, bias, tokens):
    n_in, n_out = weight.shape
    shape = tuple(layer.weight.shape)
    if layer.weight.dtype != weight.dtype:
        raise Wrong(f"For {name} your weight has the dtype {layer.weight.dtype}, the file's {weight.dtype}.")
    if not isinstance(layer.bias, torch.Tensor):
        raise Wrong("Your layer has no bias. The file has one for each of these layers.")
    if close(layer.weight, weight) and n_in == n_out:
        raise Wrong(f"For {name} the weight is not transposed. It is square, so no shape tells you.")
    if shape == (n_in, n_out) and n_in != n_out:
        raise Wrong(f"For {name} your weight is (in, out) = {shape}. nn.Linear keeps (out, in): transpose.")
    if shape != (n_out, n_in):
        raise Wrong(
            f"For {name} your weight has the shape {shape}; nn.Linear from {n_in} to {n_out} numbers has {n_out, n_in}."
        )
    if close(layer.weight, weight.reshape(n_out, n_in)):
        raise Wrong("reshape and view keep the order of the numbers, so rows get mixed. Rows become columns by .t().")
    if not close(layer.weight, weight.t()):
        raise Wrong(f"For {name} the weight has the right shape, but other numbers than the file's.")
    if not close(layer.bias, bias):
        raise Wrong(f"For {name} the weight is right, but the bias is not the file's.")
    if not close(call(layer, tokens), tokens @ weight + bias):
        raise Wrong(f"For {name} the layer's weight and bias are right, but it does not compute x @ weight + bias.")


def cut(c_attn, order=(0, 1, 2)):
    """Return query, key and value, or another order of them, each (in, out) still."""
    return torch.stack(c_attn.chunk(3, dim=1))[list(order)]


def turned(c_attn, order=(0, 1, 2)):
    return cut(c_attn, order).transpose(1, 2)


CUTS = {
    "Three parts in the right order, but not transposed. They are square, so no shape tells you.": cut,
    "Your order is key, query, value. In the file it is query, key, value.": partial(turned, order=(1, 0, 2)),
    "Your order is key, value, query. In the file it is query, key, value.": partial(turned, order=(1, 2, 0)),
    "Your order is value, key, query. In the file it is query, key, value.": partial(turned, order=(2, 1, 0)),
    "Your order is query, value, key. In the file it is query, key, value.": partial(turned, order=(0, 2, 1)),
    "reshape counts row by row, so each of your parts holds numbers of all three. Cut the columns: dim=1.": [
        lambda c_attn: c_attn.reshape(3, len(c_attn), -1),
        lambda c_attn: c_attn.reshape(3, len(c_attn), -1).transpose(1, 2),
    ],
    "You take every third column. Query, key and value are not mixed: the first third is the query.": (
        lambda c_attn: c_attn.t().reshape(-1, 3, len(c_attn)).transpose(0, 1)
    ),
}


@exercise(
    "11.3",
    mistakes=CUTS,
    solved="In the loaded model these are views: cut apart and turned, and still one block of memory.",
    hints=[
        "The three parts stand side by side: each has all the rows, and a third of the columns.",
        "`c_attn.chunk(3, dim=1)` gives the three parts, query first.",
        "Each part is still (in, out). nn.Linear wants (out, in).",
        "`torch.stack([part.t() for part in c_attn.chunk(3, dim=1)])`",
    ],
)
def my_query_key_value(answer):
    generator = torch.Generator().manual_seed(3)
    cases = [(torch.randn(emb_dim, 3 * emb_dim, generator=generator),) for emb_dim in (6, 4, 1)]
    first = call(answer, cases[0][0].clone())
    if isinstance(first, torch.Tensor) and sorted(first.shape) == [2, 3, 18]:
        raise Wrong("You cut along the wrong axis: each part is 2 by 18. Query, key and value stand side by side.")
    check_function(answer, cases, turned, CUTS)


def mapping(theirs, *, left=(), norms=("ln_1", "ln_2"), scale="weight", shift="bias"):
    """Return a block's tensors under our names. Weights in `left` are not transposed."""
    ours = {}
    layers = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}
    for layer, name in layers.items():
        weight = theirs[f"{name}.weight"]
        ours[f"{layer}.weight"] = weight if layer in left else weight.t()
        ours[f"{layer}.bias"] = theirs[f"{name}.bias"]
    for layer, name in zip(("norm1", "norm2"), norms, strict=True):
        ours |= {f"{layer}.scale": theirs[f"{name}.{scale}"], f"{layer}.shift": theirs[f"{name}.{shift}"]}
    return ours


SQUARE, SWAPPED = ("att.out_proj",), ("ln_2", "ln_1")
MAPPINGS = {
    "Nothing is mended yet: one matrix is (in, out) still, and two layers hold each other's numbers.": partial(
        mapping, left=SQUARE, norms=SWAPPED
    ),
    "The norms are right now. One weight is still not transposed: the one that would fit either way.": partial(
        mapping, left=SQUARE
    ),
    "All weights are transposed now. The other fault: two layers hold each other's numbers.": partial(
        mapping, norms=SWAPPED
    ),
    "The weights are right now, but scale and shift are exchanged. Their `weight` is our scale.": partial(
        mapping, scale="bias", shift="weight"
    ),
}


@exercise(
    "11.4",
    mistakes=MAPPINGS,
    solved="Only logits would have shown these faults, compared with the published model's.",
    hints=[
        "Both faults are silent: every tensor fits into its place. So ask of each line not whether the shape is "
        "right, but whether the meaning is.",
        "When must a weight be transposed: if its shape does not fit, or because of how it was written down?",
        "For the other fault, look at the names. Which norm stands before attention?",
        "Transpose all three weights, without the `if`; norm1 is ln_1, norm2 is ln_2.",
    ],
)
def mended_mapping(answer):
    theirs = block_tensors()
    right = mapping(theirs)
    result = call_with_tensors(answer, theirs)
    if not isinstance(result, dict):
        raise Wrong(f"Expected is a dictionary of tensors by our names, not {show(result)}.")
    for name in right:
        if name not in result:
            raise Wrong(f"{name!r} is missing in your dictionary. Keep the names as they are.")
    for name in result:
        if name not in right:
            raise Wrong(f"Your dictionary has {show(name)}, which the faulty one has not. Keep the names as they are.")

    def equals(wanted):
        return all(close(result[name], wanted[name]) for name in wanted)

    if equals(right):
        return
    name_mistake(MAPPINGS, lambda wrong: equals(wrong(theirs)))
    for name, wanted in right.items():
        if not isinstance(result[name], torch.Tensor) or result[name].shape != wanted.shape:
            raise Wrong(f"{name} should be a tensor of shape {tuple(wanted.shape)}, not {show(result[name])}.")
        if result[name].dtype != wanted.dtype:
            raise Wrong(f"{name} has the dtype {result[name].dtype}, the file's {wanted.dtype}. Leave it as it is.")
        if not close(result[name], wanted):
            raise Wrong(f"{name} has the right shape, but holds numbers that belong elsewhere, or in another order.")
    raise Wrong("Some tensor is not as it should be.")


BLOCKS_AND_CULPRITS = [(3, 0), (4, 2), (2, 1), (6, 5), (3, 1)]  # more blocks than the story model has, and fewer


def small_model(n_layers):
    sizes = {"vocab_size": 40, "context_length": 8, "emb_dim": 16, "n_heads": 2, "n_layers": n_layers}
    with torch.random.fork_rng():
        torch.manual_seed(n_layers)
        model = GPTModel({**GPT_CONFIG_124M, **sizes, "qkv_bias": True}).eval()
        return model, torch.randint(40, (2, 7))


def faulty_model(n_layers, culprit):
    """Return a model with this block's weight transposed, ids, and the logits of the right model."""
    model, ids = small_model(n_layers)
    layer = model.trf_blocks[culprit].att.out_proj
    with torch.no_grad():
        if (n_layers, culprit) == BLOCKS_AND_CULPRITS[-1]:
            # Nearly equal to its transpose: without this block the logits are worse than with its fault.
            turned = layer.weight.t()
            layer.weight.copy_(1.3 * layer.weight + 0.7 * turned)
        wanted = model(ids)
    layer.weight = nn.Parameter(layer.weight.detach().t().contiguous())  # so that strides tell nothing
    return model, ids, wanted


GUESSED = " Mended, the model gives `wanted` up to rounding: do you look for that, or for the block that comes nearest?"


@exercise(
    "11.5",
    solved="Logits are the proof that shapes cannot give.",
    hints=[
        "Try one block after the other: transpose its weight, let the model compute the logits, and compare.",
        "If the logits still differ, it was not this block: put its old weight back before you try the next one.",
        "`torch.allclose(faulty(ids), wanted, atol=1e-4)` says whether the logits agree up to rounding.",
        "For each block, with `layer = block.att.out_proj` and `old = layer.weight`: "
        "`layer.weight = nn.Parameter(old.detach().t())`, compare, `layer.weight = old`.",
    ],
)
def my_find_block(answer):
    found = []
    for n_layers, culprit in BLOCKS_AND_CULPRITS:
        try:
            index = as_number(call(answer, *faulty_model(n_layers, culprit)))
        except NotAnswered:
            index = None
        found.append((n_layers, culprit, index))
    if all(index is None for *_, index in found):
        raise NotAnswered(": your function returns nothing")
    named = max(index for *_, index in found if index is not None)
    for n_layers, culprit, index in found:
        if index is None and 0 < named < culprit:
            raise Wrong(
                f"It returns nothing when block {culprit} of {n_layers} is the faulty one. A model may have any number "
                "of blocks: `faulty.trf_blocks` holds them all.",
                faulty_model(n_layers, culprit),
            )
        if index is None:
            raise Wrong(
                f"It finds block 0, but returns nothing when block {culprit} of {n_layers} is the faulty one. "
                "Do you put a block's old weight back before you try the next one?",
                faulty_model(n_layers, culprit),
            )
    if all(index == culprit + 1 for _, culprit, index in found):
        raise Wrong("You count the blocks from 1. model.trf_blocks counts from 0.")
    wrong = [each for each in found if each[1] != each[2]]
    for n_layers, culprit, index in found:
        if index != culprit:
            raise Wrong(
                f"In a model of {n_layers} blocks, block {culprit} (from 0) was faulty. Your function says {index}."
                + (GUESSED if wrong == [(n_layers, culprit, index)] else ""),
                faulty_model(n_layers, culprit),
            )

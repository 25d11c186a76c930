"""Checks and hints for notebook 11, OpenAI's weights."""

import torch
from torch import nn

from gptcore import GPT_CONFIG_124M, GPTModel
from gptcore.exercises.checking import (
    NotAnswered,
    Wrong,
    as_number,
    call,
    check_function,
    check_number,
    close,
    exercise,
    show,
)

OUR_NAMES = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}


def block_tensors(emb_dim=6):
    """Return random tensors of one block under OpenAI's names, without c_attn."""
    generator = torch.Generator().manual_seed(11)
    sizes = {"attn.c_proj": (1, 1), "mlp.c_fc": (1, 4), "mlp.c_proj": (4, 1)}
    theirs = {}
    for name, (n_in, n_out) in sizes.items():
        theirs[f"{name}.weight"] = torch.randn(n_in * emb_dim, n_out * emb_dim, generator=generator)
        theirs[f"{name}.bias"] = torch.randn(n_out * emb_dim, generator=generator)
    for name in ("ln_1", "ln_2"):
        theirs[f"{name}.weight"] = torch.randn(emb_dim, generator=generator)
        theirs[f"{name}.bias"] = torch.randn(emb_dim, generator=generator)
    return theirs


def call_with_tensors(function, theirs, *arguments):
    """Call the learner's function with a copy of the dictionary, and see that its tensors stay as they are."""
    handed = {name: tensor.clone() for name, tensor in theirs.items()}
    tensors = dict(handed)
    result = call(function, handed, *arguments)
    if not all(close(tensors[name], theirs[name], 0) for name in theirs):
        raise Wrong("It changes the tensors of `theirs`. Somebody else may still need them: make new ones, or views.")
    return result


@exercise(
    "11.1",
    hints=[
        "Two things differ: one adds numbers, one takes numbers away.",
        "Tied means that the output head is the token embedding, so it does not stand in the file. "
        "It would have vocab_size times emb_dim numbers.",
        "Query, key and value each get a bias of emb_dim numbers, in every block.",
        "`77_195_264 - 50_257 * 512 + 8 * 3 * 512`",
    ],
)
def numbers_in_the_file(answer):
    untied, head, biases = 77_195_264, 50_257 * 512, 8 * 3 * 512
    mistakes = {
        untied - head: "The head is taken away. The biases of query, key and value are still missing.",
        untied + biases: "The biases are added. But the file has no output head of its own: it is tied.",
        untied - head + 8 * 512: "That is one bias in each block. Query, key and value have one each.",
        untied - head + 3 * 512: "That is the three biases of one block. There are 8 blocks.",
        untied - head - biases: "You took the biases away. The published files have them, the model above has not.",
        untied + head + biases: "You added the head a second time. Tied, it is not stored at all.",
        untied
        - 2 * head
        + biases: "You took away the head and the token embedding. One of them stays: it serves as both.",
        (untied - head + biases) * 4: "Those are bytes in float32. How many numbers are they?",
        untied: "That is the model as it was built. The file has biases, and no output head.",
    }
    check_number(answer, untied - head + biases, mistakes)
    return "The head was a third of all numbers; the biases are 0.02 percent."


@exercise(
    "11.2",
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
    for name in ("h.3.mlp.c_fc", "h.3.mlp.c_proj", "h.3.attn.c_proj"):
        weight, bias = theirs[f"{name}.weight"], theirs[f"{name}.bias"]
        layer = call_with_tensors(answer, theirs, name)
        if not isinstance(layer, nn.Linear):
            raise Wrong(f"Expected is a layer, an nn.Linear, not {show(layer)}.")
        _check_layer(layer, name, weight, bias)
        tokens = x[..., : weight.shape[0]]
        if not close(call(layer, tokens), tokens @ weight + bias):
            raise Wrong(f"For {name} the layer's weight and bias are right, but it does not compute x @ weight + bias.")
    return "The same layer, written down the other way round; the square one too, where no shape would complain."


def _check_layer(layer, name, weight, bias):
    if not isinstance(layer.bias, torch.Tensor):
        raise Wrong("Your layer has no bias. The file has one for each of these layers.")
    if close(layer.weight, weight) and weight.shape[0] == weight.shape[1]:
        raise Wrong(f"For {name} the weight is not transposed. It is square, so no shape tells you.")
    if layer.weight.shape == weight.shape != weight.t().shape:
        raise Wrong(
            f"For {name} your weight is (in, out) = {tuple(weight.shape)}. nn.Linear keeps (out, in): transpose."
        )
    if layer.weight.shape != weight.t().shape:
        raise Wrong(
            f"For {name} your weight has the shape {tuple(layer.weight.shape)}; nn.Linear from {weight.shape[0]} to "
            f"{weight.shape[1]} numbers has {tuple(weight.t().shape)}."
        )
    if close(layer.weight, weight.reshape(weight.t().shape)):
        raise Wrong("reshape and view keep the order of the numbers, so rows get mixed. Rows become columns by .t().")
    if not close(layer.weight, weight.t()):
        raise Wrong(f"For {name} the weight has the right shape, but other numbers than the file's.")
    if not close(layer.bias, bias):
        raise Wrong(f"For {name} the weight is right, but the bias is not the file's.")


@exercise(
    "11.3",
    hints=[
        "The three parts stand side by side: each has all the rows, and a third of the columns.",
        "`c_attn.chunk(3, dim=1)` gives the three parts, query first.",
        "Each part is still (in, out). nn.Linear wants (out, in).",
        "`torch.stack([part.t() for part in c_attn.chunk(3, dim=1)])`",
    ],
)
def my_query_key_value(answer):
    def parts(c_attn):
        return torch.stack(c_attn.chunk(3, dim=1))  # (3, emb_dim, emb_dim), each (in, out)

    def right(c_attn):
        return parts(c_attn).transpose(1, 2).contiguous()

    generator = torch.Generator().manual_seed(3)
    cases = [(torch.randn(emb_dim, 3 * emb_dim, generator=generator),) for emb_dim in (6, 4, 1)]
    first = call(answer, cases[0][0].clone())
    if isinstance(first, torch.Tensor) and sorted(first.shape) == [2, 3, 18]:
        raise Wrong("You cut along the wrong axis: each part is 2 by 18. Query, key and value stand side by side.")
    mistakes = [
        (parts, "Three parts in the right order, but not transposed. They are square, so no shape tells you."),
        (
            lambda c_attn: right(c_attn)[[1, 0, 2]],
            "Your order is key, query, value. In the file it is query, key, value.",
        ),
        (
            lambda c_attn: right(c_attn)[[1, 2, 0]],
            "Your order is key, value, query. In the file it is query, key, value.",
        ),
        (
            lambda c_attn: right(c_attn)[[2, 1, 0]],
            "Your order is value, key, query. In the file it is query, key, value.",
        ),
        (
            lambda c_attn: right(c_attn)[[0, 2, 1]],
            "Your order is query, value, key. In the file it is query, key, value.",
        ),
        (
            lambda c_attn: c_attn.reshape(3, len(c_attn), -1),
            "reshape counts row by row, so each of your parts holds numbers of all three. Cut the columns: dim=1.",
        ),
        (
            lambda c_attn: c_attn.reshape(3, len(c_attn), -1).transpose(1, 2),
            "reshape counts row by row, so each of your parts holds numbers of all three. Cut the columns: dim=1.",
        ),
        (
            lambda c_attn: c_attn.t().reshape(-1, 3, len(c_attn)).transpose(0, 1),
            "You take every third column. Query, key and value are not mixed: the first third is the query.",
        ),
    ]
    check_function(answer, cases, right, mistakes)
    return "In the loaded model these are views: cut apart and turned, and still one block of memory."


def block_mapping(theirs, transposes=lambda weight: True, norms=("ln_1", "ln_2"), scale="weight", shift="bias"):
    ours = {}
    for layer, name in OUR_NAMES.items():
        weight = theirs[f"{name}.weight"]
        ours[f"{layer}.weight"] = weight.t() if transposes(weight) else weight
        ours[f"{layer}.bias"] = theirs[f"{name}.bias"]
    for layer, name in zip(("norm1", "norm2"), norms, strict=True):
        ours |= {f"{layer}.scale": theirs[f"{name}.{scale}"], f"{layer}.shift": theirs[f"{name}.{shift}"]}
    return ours


def not_square(weight):
    return weight.shape[0] != weight.shape[1]


@exercise(
    "11.4",
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
    right = block_mapping(theirs)
    result = call_with_tensors(answer, theirs)
    if not isinstance(result, dict):
        raise Wrong(f"Expected is a dictionary of tensors by our names, not {show(result)}.")
    missing = [name for name in right if name not in result]
    if missing:
        raise Wrong(f"{missing[0]!r} is missing in your dictionary. Keep the names as they are.")
    unknown = [name for name in result if name not in right]
    if unknown:
        raise Wrong(
            f"Your dictionary has {show(unknown[0])}, which the faulty one has not. Keep the names as they are."
        )

    def equals(wanted):
        return all(close(result[name], wanted[name]) for name in wanted)

    if equals(right):
        return "Only logits would have shown these faults, compared with the published model's."
    swapped = ("ln_2", "ln_1")
    mistakes = [
        (
            block_mapping(theirs, not_square, swapped),
            "Nothing is mended yet: one matrix is (in, out) still, and two layers hold each other's numbers.",
        ),
        (
            block_mapping(theirs, not_square),
            "The norms are right now. One weight is still not transposed: the one that would fit either way.",
        ),
        (
            block_mapping(theirs, norms=swapped),
            "All weights are transposed now. The other fault: two layers hold each other's numbers.",
        ),
        (
            block_mapping(theirs, scale="bias", shift="weight"),
            "The weights are right now, but scale and shift are exchanged. Their `weight` is our scale.",
        ),
    ]
    for wrong, message in mistakes:
        if equals(wrong):
            raise Wrong(message)
    for name, wanted in right.items():
        if not isinstance(result[name], torch.Tensor) or result[name].shape != wanted.shape:
            raise Wrong(f"{name} should be a tensor of shape {tuple(wanted.shape)}, not {show(result[name])}.")
        if not close(result[name], wanted):
            raise Wrong(f"{name} has the right shape, but holds numbers that belong elsewhere, or in another order.")
    raise Wrong("Some tensor is not as it should be.")


@exercise(
    "11.5",
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
    for n_layers, culprit in [(3, 0), (4, 2), (2, 1)]:
        model, ids = _small_model(n_layers)
        with torch.no_grad():
            wanted = model(ids)
        layer = model.trf_blocks[culprit].att.out_proj
        layer.weight = nn.Parameter(layer.weight.detach().t().contiguous())  # so that strides tell nothing
        try:
            index = as_number(call(answer, model, ids, wanted))
        except NotAnswered:
            if not found:
                raise
            raise Wrong(
                f"It finds block 0, but returns nothing when block {culprit} of {n_layers} is the faulty one. "
                "Do you put a block's old weight back before you try the next one?"
            ) from None
        found.append((n_layers, culprit, index))
    if all(index == culprit + 1 for _, culprit, index in found):
        raise Wrong("You count the blocks from 1. model.trf_blocks counts from 0.")
    for n_layers, culprit, index in found:
        if index != culprit:
            raise Wrong(
                f"In a model of {n_layers} blocks, block {culprit} (from 0) was faulty. Your function says {index}."
            )
    return "Logits are the proof that shapes cannot give."


def _small_model(n_layers):
    sizes = {"vocab_size": 40, "context_length": 8, "emb_dim": 16, "n_heads": 2, "n_layers": n_layers}
    with torch.random.fork_rng():
        torch.manual_seed(n_layers)
        model = GPTModel({**GPT_CONFIG_124M, **sizes, "qkv_bias": True}).eval()
        return model, torch.randint(40, (2, 7))

"""The exercises of notebook 01, configuration and shapes."""

import math
from functools import partial

import torch

from gptcore.accounting import count_parameters
from gptcore.config import GPT_CONFIG_124M, validate_config
from gptcore.exercises.checking import (
    Wrong,
    as_bool,
    as_number,
    call_all,
    check_function,
    check_tuple,
    each_mistake,
    exercise,
    function,
    show,
    values,
)
from gptcore.model import GPTModel

values(
    "01.1",
    (2_362_368, 2_359_296),
    mistakes={
        "The other way round: first the count with bias, then the one without.": (2_359_296, 2_362_368),
        "Your bias has one number for each input. It has one for each output.": (2_360_064, 2_359_296),
        "Your bias has a number for each input and each output. It has one for each output.": (2_363_136, 2_359_296),
        "A bias is not one number for the whole layer: it has one for each output.": (2_359_297, 2_359_296),
        "The count without bias is right. The bias has numbers of its own to add.": (2_359_296, 2_359_296),
        "You added inputs and outputs. Every output has a weight for every input: multiply.": [
            (6_912, 3_840),
            (3_840, 3_840),
        ],
    },
    solved="The bias is 0.13 percent of the layer.",
    hints=[
        "Each output is a weighted sum of all inputs. How many weights is that for one output, and for all?",
        "The bias is one number for each output, not for each input.",
        "3072 * 768 weights; with a bias, 3072 more.",
    ],
)

BATCH_OF_THREE = {  # what it is: its shape, and what is said of other shapes
    "token ids": (
        (3, 5),
        {
            "the batch comes first: (batch, num_tokens).": (5, 3),
            "an id is a single number; there is one for each token.": (3, 5, 50257),
            "these are ids still, one number for each token. The vectors come next.": (3, 5, 768),
            "a text does not have to fill the context: these have 5 tokens each.": (3, 1024),
        },
    ),
    "vectors": (
        (3, 5, 768),
        {
            "the batch comes first: (batch, num_tokens, emb_dim).": (5, 3, 768),
            "emb_dim is the last axis: (batch, num_tokens, emb_dim).": (3, 768, 5),
            "the position's row is added to the token's row, not put beside it.": (3, 5, 1536),
            "n_heads is a matter of attention. A vector has emb_dim numbers.": (3, 5, 12),
            "each id picks a row of the table, and a row has emb_dim numbers.": (3, 5, 50257),
            "a text does not have to fill the context: these have 5 tokens each.": (3, 1024, 768),
        },
    ),
    "logits": (
        (3, 5, 50257),
        {
            "there are scores at each of the 5 positions, not only at the last.": [(3, 50257), (3, 1, 50257)],
            "those are the vectors. The output head makes a score for every token of each.": (3, 5, 768),
            "the batch comes first: (batch, num_tokens, vocab_size).": (5, 3, 50257),
        },
    ),
    "token embedding's weight": (
        (50257, 768),
        {
            "the table has one row for each token of the vocabulary.": (768, 50257),
            "that is what comes out. The table is a parameter: it stays the same for every input.": (3, 5, 768),
            "the table has a row for every token of the vocabulary, not for the 5 in the text.": (5, 768),
            "the table is a parameter: it does not depend on the batch.": (3, 50257, 768),
            "that is the position embedding. This table has a row for each token of the vocabulary.": (1024, 768),
        },
    ),
}


def wrong_shapes():
    """Return what is said of each answer in which one shape is a known mistake."""
    right = {what: shape for what, (shape, _) in BATCH_OF_THREE.items()}
    answers = {}
    for what, (_, mistakes) in BATCH_OF_THREE.items():
        for wrong, message in each_mistake(mistakes):
            shapes = right | {what: wrong}
            answers.setdefault(f"Shape of the {what}: {message}", []).append(tuple(shapes.values()))
    return answers


@exercise(
    "01.2",
    mistakes=wrong_shapes(),
    solved="The three activations change with the batch. The table is a parameter, and does not.",
    hints=[
        "Three of the four depend on the batch. One is a parameter, and does not.",
        "Every tensor that depends on the batch begins with (3, 5).",
        "Vectors end in emb_dim = 768, logits in vocab_size = 50257. The table has a row for each possible token.",
    ],
)
def shapes_of_a_batch(answer):
    if not isinstance(answer, (tuple, list)):
        raise Wrong(f"Expected four shapes in a tuple, got {show(answer)}.")
    shapes = tuple(answer)
    if len(shapes) != len(BATCH_OF_THREE):
        raise Wrong(f"Expected four shapes, got {len(shapes)}.")
    for shape, (what, (right, mistakes)) in zip(shapes, BATCH_OF_THREE.items(), strict=True):
        try:
            check_tuple(shape, right, mistakes)
        except Wrong as wrong:
            raise Wrong(f"Shape of the {what}: {wrong}") from None


function(
    "01.3",
    lambda shapes: sum(math.prod(shape) for shape in shapes),
    cases=[
        (((2, 3), (2,)),),
        (((2, 3),),),
        (((7,),),),
        (((2, 3, 4), (5, 1)),),
        (((1, 1), (1,), (6, 2)),),
        (((4,), (4,)),),
        (((), (3,)),),
    ],
    then=[((),)],  # by itself, so that it hides nothing: to many a wrong answer it is an error
    mistakes={
        "You add the numbers of a shape. A table of 2 rows and 3 columns holds 2 * 3 numbers.": (
            lambda shapes: sum(sum(shape) for shape in shapes)
        ),
        "You multiply the tensors' counts, too. Within one shape multiply; from tensor to tensor add.": (
            lambda shapes: math.prod(math.prod(shape) for shape in shapes)
        ),
        "You leave out shapes with one axis. A bias has parameters, too.": (
            lambda shapes: sum(math.prod(shape) for shape in shapes if len(shape) > 1)
        ),
        "You multiply the first two numbers of a shape only. It may have more.": (
            lambda shapes: sum(math.prod(shape[:2]) for shape in shapes)
        ),
        "A shape without axes, `()`, belongs to one number alone: it counts as 1.": (
            lambda shapes: sum(math.prod(shape) for shape in shapes if shape)
        ),
        "You count equal shapes once. Two tensors of one shape hold numbers of their own.": (
            lambda shapes: sum(math.prod(shape) for shape in set(shapes))
        ),
        "You go on multiplying from shape to shape. Each shape's product begins anew, at 1.": (
            lambda shapes: sum(math.prod(map(math.prod, shapes[: place + 1])) for place in range(len(shapes)))
        ),
        "That is how many tensors there are. How many numbers do they hold?": len,
        "That is the first tensor alone. Does your `return` stand inside the loop?": (
            lambda shapes: math.prod(shapes[0]) if shapes else 0
        ),
        "That is the last tensor alone. In the loop, each product is added to the sum of those before.": (
            lambda shapes: math.prod(shapes[-1]) if shapes else 0
        ),
    },
    solved="That is all that counting a model takes, once you have its shapes.",
    hints=[
        "A tensor of shape (2, 3) holds 2 * 3 numbers. What about (2,), and what about (2, 3, 4)?",
        "`math.prod(shape)` multiplies all numbers of a shape, however many there are.",
        "`sum(math.prod(shape) for shape in shapes)`",
    ],
    tolerance=0,
)


def text_vectors(ids, tok_table, pos_table, axis_of_positions=1, axis_of_mean=1):
    vectors = tok_table[ids] + pos_table[torch.arange(ids.shape[axis_of_positions], device=ids.device)]
    return vectors.mean(dim=axis_of_mean)


def texts_and_tables(shapes, emb_dim):
    """Return ids of each shape, and a token and a position table that fit."""
    generator = torch.Generator().manual_seed(1)
    tok_table, pos_table = torch.randn(2, 20, emb_dim, generator=generator)
    return [(torch.randint(20, shape, generator=generator), tok_table, pos_table) for shape in shapes]


TEXT_VECTOR_MISTAKES = {
    "Nothing is mended yet: which axis of the vectors disappears, and for how many positions are there rows?": partial(
        text_vectors, axis_of_positions=0, axis_of_mean=-1
    ),
    "The mean is right now. The other fault hides in a batch of one: there, every token gets position 0.": partial(
        text_vectors, axis_of_positions=0
    ),
    "The positions are right now. But the mean runs over the emb_dim numbers of each token, "
    "not over the tokens of each text.": partial(text_vectors, axis_of_mean=-1),
    "You add the tokens' vectors. An average divides the sum by how many there are.": (
        lambda ids, *tables: text_vectors(ids, *tables) * ids.shape[1]
    ),
    "The mean is right, but your positions are gone: a vector is the token's row plus its position's row.": (
        lambda ids, tok_table, pos_table: tok_table[ids].mean(dim=1)
    ),
    "Every token gets position 0. The second token needs row 1, the third row 2, and so on.": (
        lambda ids, tok_table, pos_table: (tok_table[ids] + pos_table[0]).mean(dim=1)
    ),
    "You look up the positions by token id. The first token of a text gets row 0, the second row 1, and so on.": (
        lambda ids, tok_table, pos_table: (tok_table[ids] + pos_table[ids]).mean(dim=1)
    ),
}


@exercise(
    "01.4",
    mistakes=TEXT_VECTOR_MISTAKES,
    solved="The positions' fault is silent in a batch of one, where most people try their code.",
    hints=[
        "Look at the shape that comes out for one text of 4 tokens, and then feed it two texts.",
        "Which axis of `ids` counts the texts, and which the tokens of a text?",
        "In `(batch, num_tokens, emb_dim)` the axis that `mean` names is the one that disappears. "
        "And there are as many positions as tokens in a text, not as texts.",
        "`torch.arange(ids.shape[1])` and `vectors.mean(dim=1)`",
    ],
)
def mended_text_vectors(answer):
    all_of_length_4 = texts_and_tables([(1, 4), (4, 4)], emb_dim=4)  # here every one of these ways runs
    check_function(answer, all_of_length_4, text_vectors, TEXT_VECTOR_MISTAKES)
    check_function(answer, texts_and_tables([(1, 4), (2, 5), (3, 1), (1, 1), (2, 9)], emb_dim=6), text_vectors, {})


@exercise(
    "01.5",
    hints=[
        "Begin with `{**GPT_CONFIG_124M, ...}` and change some keys. `count_parameters(cfg)` counts.",
        "Heads 64 wide: emb_dim is 64 * n_heads. emb_dim costs most, so take as few heads as the task allows.",
        "emb_dim 128 and n_heads 2. Then raise n_layers as long as the count stays within 1,000,000.",
        "vocab_size 256, emb_dim 128, n_heads 2, n_layers 4; everything else as in GPT_CONFIG_124M.",
    ],
)
def my_config(answer):
    if not isinstance(answer, dict):
        raise Wrong(f"Expected a dictionary like GPT_CONFIG_124M, got {show(answer)}.")
    cfg = {}
    for key in answer:
        if key not in GPT_CONFIG_124M:
            raise Wrong(f"{key!r} is no key of a configuration. GPT_CONFIG_124M has all seven: leave others out.")
    for key, value in answer.items():
        try:
            if key == "qkv_bias":
                cfg[key] = as_bool(value)
            else:
                cfg[key] = value if type(value) is bool else as_number(value)
        except Wrong as wrong:
            raise Wrong(f"{key}: {wrong}") from None
    try:
        validate_config(cfg)
    except ValueError as error:
        raise Wrong(str(error).replace("this", "This", 1)) from None
    for key, value in {"vocab_size": 256, "context_length": GPT_CONFIG_124M["context_length"]}.items():
        if cfg[key] != value:
            raise Wrong(f"{key} is to be {value}; yours is {cfg[key]}.")
    if cfg["emb_dim"] != 64 * cfg["n_heads"]:
        raise Wrong(f"Your heads are {cfg['emb_dim'] // cfg['n_heads']} wide: emb_dim / n_heads is to be 64.")
    if cfg["n_heads"] < 2:
        raise Wrong("One head is too few: the task asks for at least two.")
    count = count_parameters(cfg)
    if count > 1_000_000:
        raise Wrong(f"That is {count:,} parameters: {count - 1_000_000:,} too many.")
    if cfg["n_layers"] < 4:  # with the fewest heads, 4 blocks fit and 5 do not
        raise Wrong(f"That is {count:,} parameters. Is there no room for more blocks, with as few heads as allowed?")
    return (
        f"{count:,} parameters. With the full vocabulary of 50,257 it cannot be done: the token embedding and the "
        "output head alone would have 12.9 million."
    )


def weight_shapes(cfg):
    with torch.device("meta"):  # no memory, and the learner's random numbers stay as they are
        model = GPTModel(cfg)
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


@exercise(
    "01.6",
    solved="n_heads and drop_rate cannot be read off: they leave no trace in the shapes.",
    hints=[
        "Three of the values stand in the two tables. Which table has a row for each token, which for each position?",
        "qkv_bias: a bias is there or it is not. `name in shapes` is True or False, such as for "
        '"trf_blocks.0.att.W_query.bias".',
        "n_layers: every block has one tensor whose name ends in norm1.scale, so count the names that do. "
        "`name.endswith(...)` helps.",
        'vocab_size, emb_dim = shapes["tok_emb.weight"]; context_length = shapes["pos_emb.weight"][0]; '
        'n_layers = sum(name.endswith("norm1.scale") for name in shapes)',
    ],
)
def my_config_from_shapes(answer):
    small = {**GPT_CONFIG_124M, "vocab_size": 300, "context_length": 16, "emb_dim": 24, "n_heads": 2}
    configs = [
        {**small, "n_layers": 1},
        {**small, "n_layers": 3, "qkv_bias": True},
        # As texts, "9" comes after "11"; and with biases, a block has 16 tensors, without them 13.
        {**small, "n_layers": 12, "context_length": 24, "n_heads": 12, "qkv_bias": True},
        {**small, "n_layers": 2, "vocab_size": 24, "context_length": 300},
        {**small, "n_layers": 1, "vocab_size": 10},  # not every vocabulary is larger than emb_dim
    ]
    results = call_all(answer, [(weight_shapes(cfg),) for cfg in configs])
    keys = ("vocab_size", "context_length", "emb_dim", "n_layers", "qkv_bias")
    tried = [(result, {key: cfg[key] for key in keys}) for cfg, result in zip(configs, results, strict=True)]
    for cfg, (result, wanted) in zip(configs, tried, strict=True):
        check_read_config(result, wanted, tried, (weight_shapes(cfg),))


def check_read_config(result, wanted, tried, case):
    if not isinstance(result, dict):
        raise Wrong(f"Expected a dictionary with the keys {', '.join(wanted)}, got {show(result)}.")
    unseen = [key for key in ("n_heads", "drop_rate") if key in result]
    if unseen:
        raise Wrong(f"{unseen[0]} cannot be read off: it changes no shape. Leave it out.")
    for key in wanted:
        if key not in result:
            raise Wrong(f"{key} is missing in your dictionary.")
    if len(result) > len(wanted):
        raise Wrong(f"Your dictionary has {len(result)} keys; expected are {', '.join(wanted)}.")
    for key, right in wanted.items():
        value = result[key]
        try:
            value = as_bool(value) if type(right) is bool else as_number(value)
        except Wrong as wrong:
            raise Wrong(f"{key}: {wrong}") from None
        if value != right:
            model = ", ".join(f"{name}={number}" for name, number in wanted.items())
            reason = likely_reason(key, value, wanted, tried)
            raise Wrong(f"For a model with {model} your {key} is {value}.{reason}", case)


def likely_reason(key, value, wanted, tried):
    if key == "n_layers":
        return reason_for_layers(value, wanted, tried)
    if key == "qkv_bias" and not value:
        return (
            ' Among the names is "trf_blocks.0.att.W_query.bias". (With a dictionary, `in` compares whole names. And '
            "the other linear layers always have a bias.)"
        )
    if key == "qkv_bias":
        return " W_query has a weight, and out_proj has a bias, in every model: ask for the bias of W_query."
    if value in wanted.values():
        return " That number belongs to another key: look at the order of the axes, and at which table it is."
    return ""


def reason_for_layers(count, wanted, tried):
    """Return why a count of blocks may be wrong, from what came for each of the models."""
    n_layers = wanted["n_layers"]
    if count in (9, 10) and n_layers == 12:
        return (
            ' Numbers in a text: one character is only one digit of "11", and as texts, "9" comes after "11". '
            "Cut the name at its dots and turn the number into an int."
        )
    try:
        counts = [(as_number(result["n_layers"]), right) for result, right in tried]
    except (Wrong, KeyError, TypeError):  # what came for another model is no answer at all
        return ""
    if len({count for count, _ in counts}) == 1:
        return " You give this number for every model." + ("" if count else " Does any name fit what you look for?")
    if count == n_layers - 1:
        return " The blocks are numbered from 0, so the last number is one less than their count."
    if all(count == right["n_layers"] + 1 for count, right in counts):
        return " It is one too many for every model."
    if all(count >= 2 * right["n_layers"] for count, right in counts):
        return " You count several tensors for each block."
    if all(count == right["n_layers"] for count, right in counts if not right["qkv_bias"]):
        return (
            " How many tensors a block has depends on qkv_bias: do not divide by a fixed number, and count a name that "
            "each block has once."
        )
    return ""

"""The exercises of notebook 08, the GPT model."""

import copy
from functools import partial
from itertools import combinations

import torch
from torch import nn

from gptcore.accounting import count_parameters, parameter_table
from gptcore.config import GPT_CONFIG_124M, is_whole_number, validate_config
from gptcore.exercises.checking import (
    NotAnswered,
    Wrong,
    as_number,
    call,
    check_function,
    close,
    devices,
    exercise,
    number,
    show,
)
from gptcore.exercises.ready_made import COUNTS

MEDIUM = 406_212_608  # the parameters of 345M, untied
XL = 1_557_380_800  # and of 1542M, tied

number(
    "08.1",
    MEDIUM * 2 / 2**20,
    tolerance=0.3,
    near=0.005,  # relative: GB and GiB are less than 0.3 apart
    mistakes={
        "That is float32, 4 bytes each. bfloat16 has 16 bits.": MEDIUM * 4 / 2**20,
        "Those are MB of 1,000,000 bytes. A MiB has 1,048,576 bytes.": MEDIUM * 2 / 1e6,
        "Those are MB, in float32. A MiB has 1,048,576 bytes, and bfloat16 has 16 bits.": MEDIUM * 4 / 1e6,
        "That is one byte each. bfloat16 has 16 bits.": MEDIUM / 2**20,
        "bfloat16 has 16 bits. Divide by 8 to get bytes.": MEDIUM * 16 / 2**20,
        "That is the tied model. Here the output head has a table of its own.": 354_749_440 * 2 / 2**20,
        "You trusted the name. Count the parameters: they are not 345 million.": [345e6 * 2 / 2**20, 345e6 * 2 / 1e6],
        "That is the 124M model.": 163_009_536 * 2 / 2**20,
        "Those are bytes. How many MiB are they?": MEDIUM * 2,
        "Those are GiB. How many MiB are they?": MEDIUM * 2 / 2**30,
        "Those are GB of 1,000,000,000 bytes. How many MiB are they?": MEDIUM * 2 / 1e9,
        "Those are KiB. How many MiB are they?": MEDIUM * 2 / 2**10,
    },
    solved="406,212,608 parameters, two bytes each: 774.79 MiB, or 812.43 MB.",
    hints=[
        "Three steps: how many parameters, how many bytes has each, and how many bytes make a MiB?",
        "A number in bfloat16 has 16 bits. A MiB is 2 to the power of 20 bytes.",
        "`count_parameters(GPT_CONFIGS['345M']) * 2 / 2**20`",
    ],
)

number(
    "08.2",
    XL * 16 / 1e9,
    tolerance=0.1,
    mistakes={
        "Those are the weights alone. What does training keep besides, for each of them?": XL * 4 / 1e9,
        "Those are weights and gradients. Adam keeps something for each parameter, too.": XL * 8 / 1e9,
        "Three numbers for each parameter. There are four: weight, gradient, and Adam has two.": XL * 12 / 1e9,
        "Five numbers for each parameter. There are four: weight, gradient, and Adam has two.": XL * 20 / 1e9,
        "That is the untied model. With tied weights the head has no table of its own.": 1_637_792_000 * 16 / 1e9,
        "Those are GiB of 2^30 bytes. A GB has 1,000,000,000 bytes.": XL * 16 / 2**30,
        "Those are bytes. How many GB are they?": XL * 16,
        "Those are MB. How many GB are they?": XL * 16 / 1e6,
        "You added what PyTorch itself takes. The task asks for the model's share only.": XL * 16 / 1e9 + 0.25,
        "You trusted the name. Count the parameters: they are not 1542 million.": 1.542 * 16,
    },
    solved="16 bytes for each parameter, 24.9 GB, and activations come on top: 24 GB are not enough.",
    hints=[
        "Four things of the size of the model are in memory: the weights, and what else?",
        "Each parameter has a gradient, and Adam keeps two running averages for it.",
        "Four numbers of 4 bytes for each of 1,557,380,800 parameters. A GB has 1,000,000,000 bytes.",
    ],
)


@exercise(
    "08.3",
    hints=[
        "Copy GPT_CONFIG_124M and change what must change: `{**GPT_CONFIG_124M, 'emb_dim': 512, ...}`.",
        "`count_parameters(cfg, tied=True)` counts. One more block costs about 12 * 512**2, or 3.15 million.",
        "The tables take 26.3 million. For the rest, 6 or 7 blocks will do. And 512 must be divisible by n_heads.",
    ],
)
def configuration_within_a_budget(answer):
    if not isinstance(answer, dict):
        raise Wrong(f"Expected a dictionary like GPT_CONFIG_124M, got {show(answer)}.")
    cfg = dict(answer)
    missing = [key for key in GPT_CONFIG_124M if key not in cfg]
    if missing:
        raise Wrong(f"Missing: {', '.join(missing)}. Give all seven: start from {{**GPT_CONFIG_124M, ...}}.")
    for key, wanted in {"emb_dim": 512, "vocab_size": 50_257, "context_length": 1024}.items():
        if isinstance(cfg[key], str) or as_number(cfg[key]) != wanted:
            raise Wrong(f"{key} is {show(cfg[key])}. The task wants {wanted}.")
    if is_whole_number(cfg["n_heads"]) and cfg["n_heads"] > 0 and 512 % cfg["n_heads"]:
        raise Wrong(f"This cannot be built: {cfg['n_heads']} heads do not divide an emb_dim of 512 into equal parts.")
    try:
        cfg = validate_config(cfg)
    except ValueError as error:
        raise Wrong(f"This cannot be built: {str(error).splitlines()[-1].removeprefix('- ')}.") from None
    count = count_parameters(cfg, tied=True)
    if not 45_000_000 <= count <= 50_000_000:
        raise Wrong(f"Tied, this model has {count:,} parameters: too {'few' if count < 45_000_000 else 'many'}.")
    return f"Tied, it has {count:,} parameters; untied it would have {count_parameters(cfg):,}."


class TwoTables(nn.Module):
    """The two ends of a GPT, with nothing between them."""

    def __init__(self, device):
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.tok_emb = nn.Embedding.from_pretrained(torch.randn(7, 3, generator=generator), freeze=False)
        self.out_head = nn.Linear(3, 7, bias=False)
        self.out_head.weight = nn.Parameter(torch.randn(7, 3, generator=generator))
        self.to(device)

    def forward(self, in_idx):
        return self.out_head(self.tok_emb(in_idx))

    def __repr__(self):
        return "(a model with tok_emb and out_head)"


@exercise(
    "08.4",
    solved="One tensor with two names: one count, one step of training, and a gradient from both uses.",
    hints=[
        "Copying numbers is not enough: the head must hold the very same tensor.",
        "`model.tok_emb.weight` and `model.out_head.weight` are two names. Make the second name mean the first tensor.",
        "`model.out_head.weight = model.tok_emb.weight`, and then `return model`.",
    ],
)
def my_tie(answer):
    for device in devices():
        model = TwoTables(device)
        before_emb, before_head = model.tok_emb.weight.detach().clone(), model.out_head.weight.detach().clone()
        in_idx = torch.tensor([[1, 2, 2], [0, 6, 4]], device=device)
        try:
            returned = call(answer, model)
        except NotAnswered:
            if model.out_head.weight is model.tok_emb.weight:
                raise Wrong("The weights are tied. Now return the model.") from None
            raise
        if returned is not model:
            raise Wrong(f"Return the model that you were given, not {show(returned)}.")
        if not isinstance(getattr(model.out_head, "weight", None), torch.Tensor):
            raise Wrong(
                "The head has no weight any more. Keep the layer that it is, and give it the embedding's weight."
            )
        emb, head = model.tok_emb.weight, model.out_head.weight
        if not isinstance(emb, torch.Tensor) or emb.shape != before_emb.shape or head.shape != before_head.shape:
            raise Wrong("The tables have another shape now. Both are (vocab_size, emb_dim) already: use one as it is.")
        try:
            logits = call(model, in_idx)
        except Wrong as wrong:
            raise Wrong(f"The model does not run any more. {wrong}") from None
        if emb is not head:
            raise Wrong(why_untied(emb, head, before_emb, before_head))
        if not emb.requires_grad:
            raise Wrong("The shared tensor has requires_grad=False now, so training would leave it as it is.")
        if not torch.equal(emb, before_emb):
            raise Wrong(
                "Both share one tensor now, but not that of the token embedding. The embedding's numbers must stay."
            )
        if not close(logits, before_emb[in_idx] @ before_emb.T, 1e-4):
            raise Wrong("The logits are not embedding times head any more. Change nothing but the head's weight.")


def why_untied(emb, head, before_emb, before_head):
    if emb.data_ptr() == head.data_ptr():
        return (
            "The numbers are in one place, but they belong to two parameters: each gets a gradient of its own, and "
            "they still count twice. Give the head the embedding's parameter itself."
        )
    if torch.equal(emb, head):
        return "That is a copy. Equal now, but change one number in the embedding, or train one step, and they differ."
    if torch.equal(emb, before_emb) and torch.equal(head, before_head):
        return "Nothing is tied yet: there are still two tables with numbers of their own."
    return "There are still two tables. Make the head's weight the embedding's own tensor."


def forward(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head, *, positions="tokens", norm="last"):
    """The model from its parts, or with a fault."""
    batch, num_tokens = in_idx.shape
    table = pos_emb.weight
    added = {"tokens": table[:num_tokens], "batch": table[:batch, None], "last": table[num_tokens - 1], None: 0}
    x = tok_emb(in_idx) + added[positions]
    if norm == "first":
        x = final_norm(x)
    for block in blocks:
        x = block(x)
        if norm == "each":
            x = final_norm(x)
    return out_head(final_norm(x) if norm == "last" else x)


FORWARD_MISTAKES = {
    "Nothing is mended yet: all tokens of a text get the same position, and the last norm is without effect.": partial(
        forward, positions="batch", norm=None
    ),
    "The positions are right now. The other fault is after the blocks: what becomes of the last norm's result?": (
        partial(forward, norm=None)
    ),
    "The norm is right now. But all tokens of a text still get one position: the text's place in the batch.": partial(
        forward, positions="batch"
    ),
    "The last norm is right now. But you have dropped the positions: each token needs that of its place.": partial(
        forward, positions=None
    ),
    "You have dropped the positions, and the last norm is still without effect.": partial(
        forward, positions=None, norm=None
    ),
    "All tokens get the last position. Each needs that of its own place: 0, 1, 2, ...": partial(
        forward, positions="last"
    ),
    "The positions are right. But you normalise after every block: the final norm stands once, after the last.": (
        partial(forward, norm="each")
    ),
    "The positions are right. But the final norm belongs after the blocks, before the output head.": partial(
        forward, norm="first"
    ),
    "Both faults are mended. But you return probabilities; the model returns logits.": (
        lambda *parts: forward(*parts).softmax(dim=-1)
    ),
}


@exercise(
    "08.5",
    mistakes=FORWARD_MISTAKES,
    solved="Positions by place, and a norm that counts. Both faults left every shape as it was.",
    hints=[
        "One fault is before the blocks, the other after them. Ask of each line: is what it makes used?",
        "What should `positions` count: the texts of the batch, or the tokens of a text?",
        "Calling `final_norm(x)` changes nothing: it gives a new tensor.",
        "`pos_emb(torch.arange(num_tokens, device=in_idx.device))` without unsqueeze, and `x = final_norm(x)`.",
    ],
)
def mended_forward(answer):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        parts = nn.ModuleList(
            [
                nn.Embedding(20, 8),
                nn.Embedding(6, 8),
                nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3)]),  # in place of blocks
                nn.LayerNorm(8),
                nn.Linear(8, 20, bias=False),
            ]
        )
        nn.init.normal_(parts[3].weight)  # so that one norm more is seen, too
        nn.init.normal_(parts[3].bias)
    generator = torch.Generator().manual_seed(5)
    shapes = [(1, 4), (2, 6), (3, 3), (4, 1), (5, 2)]
    cases = []
    for device in devices():
        theirs = copy.deepcopy(parts).to(device)  # its own: nobody knows what it does to it
        cases += [(torch.randint(0, 20, shape, generator=generator).to(device), *theirs) for shape in shapes]

    def with_parts(function):
        return lambda in_idx, *_: function(in_idx, *parts.to(in_idx.device))

    mistakes = {message: with_parts(wrong) for message, wrong in FORWARD_MISTAKES.items()}
    with torch.no_grad():
        check_function(answer, cases, with_parts(forward), mistakes, tolerance=1e-4)


def slips(cfg):
    """What a count may lack or have too much: what to say about it, by how many parameters it is off, and of which."""
    table = parameter_table(cfg)
    width, depth = cfg["emb_dim"], cfg["n_layers"]
    vectors, matrices = depth * width, depth * width**2  # one of each size in every block
    with_bias = 1 if cfg["qkv_bias"] else 0
    more_heads = 3 * matrices * (cfg["n_heads"] - 1)
    blocks = table["attention"] + table["feed-forward"] + 4 * vectors
    return {
        "One table of vocab_size * emb_dim is missing: the token embedding has one, and the output head, untied, has "
        "one of its own.": (-table["output head"], {"tables"}),
        "The position embedding is missing.": (-table["position embedding"], {"positions"}),
        "The final layer norm is missing, the one after the last block.": (-2 * width, {"final norm"}),
        "Each block has two layer norms; you count one.": (-2 * vectors, {"norms"}),
        "Each block lacks 4 * emb_dim: its two layer norms have as many, and so has the bias of feed-forward's hidden "
        "layer.": (-4 * vectors, {"norms", "ff biases"}),
        "Each layer norm has scale and shift; you count one vector for each.": (
            -table["layer norms"] // 2,
            {"norms", "final norm"},
        ),
        "No layer norm is counted.": (-table["layer norms"], {"norms", "final norm"}),
        "Each block lacks a bias of emb_dim numbers: the output projection has one, and feed-forward's second layer, "
        "too.": (-vectors, {"out bias", "ff biases"}),
        "Feed-forward's two biases are missing.": (-5 * vectors, {"ff biases"}),
        "The output projection and feed-forward have biases; you count none.": (
            -6 * vectors,
            {"out bias", "ff biases"},
        ),
        "No bias is counted: the output projection and feed-forward have some, and queries, keys and values if "
        "qkv_bias is True.": (-(6 + 3 * with_bias) * vectors, {"out bias", "ff biases", "qkv bias"}),
        "qkv_bias is ignored: if it is True, queries, keys and values have a bias each.": (
            -3 * vectors * with_bias,
            {"qkv bias"},
        ),
        "Queries, keys and values have biases only if qkv_bias is True.": (
            3 * vectors * (1 - with_bias),
            {"qkv bias"},
        ),
        "qkv_bias brings three biases to each block; you count one.": (-2 * vectors * with_bias, {"qkv bias"}),
        "The output projection of attention is missing.": (-matrices - vectors, {"out", "out bias"}),
        "The weights of attention's output projection are missing.": (-matrices, {"out"}),
        "Queries, keys and values have a matrix of emb_dim * emb_dim each; you count one.": (-2 * matrices, {"qkv"}),
        "The output head has no bias.": (cfg["vocab_size"], {"head bias"}),
        "Feed-forward has two matrices of emb_dim * 4 emb_dim; you count one.": (-4 * matrices, {"ff"}),
        "Feed-forward's hidden layer has 4 * emb_dim numbers; you count 3 * emb_dim.": (
            -2 * matrices - vectors,
            {"ff", "ff biases"},
        ),
        "n_heads changes no count: the heads share one query, one key and one value matrix.": (more_heads, {"qkv"}),
        "You count one block. There are n_layers of them.": (-blocks // depth * (depth - 1), {"blocks"}),
    }


def count_with(made, cfg):
    """Count parameters, with some slips made."""
    return count_parameters(cfg) + sum(slips(cfg)[slip][0] for slip in made)


def count_mistakes(together):
    """Return the mistakes of everybody who makes so many slips together, none of which speaks of what another does."""
    about = {slip: parts for slip, (_, parts) in slips(GPT_CONFIG_124M).items()}
    return {
        " ".join(made): partial(count_with, made)
        for made in combinations(about, together)
        if len(set.union(*(about[slip] for slip in made))) == sum(len(about[slip]) for slip in made)
    }


@exercise(
    "08.6",
    mistakes=count_mistakes(1),
    forbidden=COUNTS,
    solved="Exact for depths of 1 to 48, with biases and without.",
    hints=[
        "Take the model apart: two tables, n_layers blocks, a norm, a head. A Linear(a, b) has a * b weights and, "
        "unless told otherwise, b biases.",
        "A block: two norms; queries, keys and values; the output projection; feed-forward, first to 4 * emb_dim and "
        "back. `parameter_table` shows what each part should come to.",
        "With d = emb_dim: norms 2 * 2d, queries, keys and values 3d² (and 3d if qkv_bias), output projection d² + d, "
        "feed-forward 8d² + 5d.",
        "`(2 * vocab_size + context_length) * d + n_layers * (12 * d**2 + (10 + 3 * qkv_bias) * d) + 2 * d`",
    ],
)
def my_count(answer):
    sizes = [  # small, in case somebody builds the model after all
        {"n_layers": 2, "emb_dim": 6, "qkv_bias": False, "n_heads": 3, "vocab_size": 11, "context_length": 5},
        {"n_layers": 3, "emb_dim": 10, "qkv_bias": True, "n_heads": 2, "vocab_size": 7, "context_length": 13},
        {"n_layers": 1, "emb_dim": 4, "qkv_bias": True, "n_heads": 1, "vocab_size": 1, "context_length": 1},
        {"n_layers": 48, "emb_dim": 25, "qkv_bias": False, "n_heads": 25, "vocab_size": 50, "context_length": 1024},
    ]
    cases = [({**cfg, "drop_rate": 0.1},) for cfg in sizes]
    mistakes = count_mistakes(1) | count_mistakes(2)
    check_function(answer, cases, count_parameters, mistakes, tolerance=0)

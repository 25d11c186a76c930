"""The exercises of notebook 04, feed-forward."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from gptcore.exercises.checking import (
    NotAnswered,
    Wrong,
    as_bool,
    call_all,
    close,
    exercise,
    function,
    name_mistake,
    number,
    on_each_device,
    show,
)


def gelu(x):
    return F.gelu(x, approximate="tanh")


def same(x):
    return x


def feed_forward(x, W_in, b_in, W_out, b_out, *, first=same, bend=gelu, last=same):
    """Widen, bend and shrink; `first` and `last` are what a fault does to the input and the output."""
    return last(bend(first(x) @ W_in.T + b_in) @ W_out.T + b_out)


def weights(emb_dim, hidden_dim, seed):
    """Return W_in, b_in, W_out and b_out, with numbers large enough that every part matters."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(hidden_dim, emb_dim), (hidden_dim,), (emb_dim, hidden_dim), (emb_dim,)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def token_vectors(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


number(
    "04.1",
    8_393_728,
    mistakes={
        "Those are the two weight matrices. Each layer has a bias, too.": 8_388_608,
        "The bias of the second layer is missing.": 8_392_704,
        "The bias of the first layer is missing.": 8_389_632,
        "The biases are not of the same length: the first layer has 4 * 1024 outputs.": 8_390_656,
        "The biases are not of the same length: the second layer has only 1024 outputs.": 8_396_800,
        "That is the first of the two layers.": 4_198_400,
        "That is the second of the two layers.": 4_195_328,
        "That is the 124M model's layer, with emb_dim 768.": 4_722_432,
        "That is without the factor 4: the hidden layer has 4 * 1024 units.": 2_099_200,
        "That is for all 24 blocks together. The question is about one block.": 201_449_472,
    },
    solved="8d² + 5d. The biases are few, 0.06 percent, but a count that leaves them out does not match the model.",
    hints=[
        "Two layers: one from emb_dim to 4 * emb_dim, one back. Each has a weight matrix and a bias.",
        "A bias has one number for each *output* of its layer.",
        "(d * 4d + 4d) + (4d * d + d), with d = 1024.",
    ],
)


def inputs_and_weights():
    sizes = [((3, 4), 7), ((5,), 20), ((2, 3, 6), 6), ((1, 1, 8), 32), ((2, 3), 14)]
    return on_each_device([(token_vectors(*shape), *weights(shape[-1], n, seed=n)) for shape, n in sizes])


function(
    "04.2",
    feed_forward,
    cases=inputs_and_weights,
    mistakes={
        "There is no bend between the two layers. Without GELU they do no more than one layer can.": partial(
            feed_forward, bend=same
        ),
        "You bend with ReLU. GPT-2 bends with GELU, in its tanh form.": partial(feed_forward, bend=F.relu),
        "You use the exact GELU. GPT-2 uses the tanh form: F.gelu(..., approximate='tanh').": partial(
            feed_forward, bend=F.gelu
        ),
        "You bend a second time, at the end. The output must be free to be negative: bend only in the middle.": partial(
            feed_forward, last=gelu
        ),
        "You bend the output. GELU belongs between the two layers.": partial(feed_forward, bend=same, last=gelu),
        "You bend the input. GELU belongs between the two layers.": partial(feed_forward, first=gelu, bend=same),
        "b_in is missing: it is added before the bend.": lambda x, W_in, _, *rest: feed_forward(x, W_in, 0, *rest),
        "b_out is missing: it is added at the very end.": lambda *given: feed_forward(*given[:4], 0),
        "Both biases are missing: b_in is added before the bend, b_out at the end.": (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(x, W_in, 0, W_out, 0)
        ),
        "You add b_in after the bend. It belongs to the first layer: add it before.": (
            lambda x, W_in, b_in, W_out, b_out: (gelu(x @ W_in.T) + b_in) @ W_out.T + b_out
        ),
        "Your hidden layer ends at 4 * emb_dim units. Here it may be wider: take all of W_in and W_out.": (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(
                x, W_in[: 4 * len(W_out)], b_in[: 4 * len(W_out)], W_out[:, : 4 * len(W_out)], b_out
            )
        ),
        "You add x to the result. That is the shortcut of notebook 05; the layer itself does not have it.": (
            lambda x, *tensors: x + feed_forward(x, *tensors)
        ),
    },
    solved="It works for one vector, a text and a batch, and for any hidden_dim: nothing in it knows the factor 4.",
    hints=[
        "Three steps: widen, bend, shrink. What is the shape of each result?",
        "`W_in` is (hidden_dim, emb_dim), as in nn.Linear. For `x @ ...` it has to be turned round: `W_in.T`.",
        "`hidden = F.gelu(x @ W_in.T + b_in, approximate='tanh')`",
        "The last line: `return hidden @ W_out.T + b_out`",
    ],
)


def units_to_judge():
    """Return cases in which every usual way to choose a unit chooses another one at least once."""
    cases = []
    for seed in range(8):
        W_in, b_in, W_out, _ = weights(emb_dim=6, hidden_dim=6 if seed % 2 else 24, seed=seed)
        cases.append((token_vectors(6) * (1 + seed), W_in, b_in, W_out))
    silent_and_long = torch.tensor([[1.0, -50.0, 900.0, 2.0], [0.0, 20.0, 0.0, 1.0], [1.0, 0.0, 9.0, 0.0], [0.0] * 4])
    nearly_silent = torch.diag(torch.tensor([1.0, 10.0, 1.0, 1.0]))
    between_the_gelus = torch.diag(torch.tensor([1.0, 0.13454, 1.0, 1.0]))
    for token, W_out in [
        ([2.0, -0.7, -9.0, 1.5], silent_and_long),  # unit 1 wins, of negative strength
        ([1.5, 0.2, -1.0, 0.0], nearly_silent),  # unit 0: GELU lets less of 0.2 through than ReLU
        ([2.7, 20.0, -9.0, -9.0], between_the_gelus),  # unit 1 wins by a hair with the exact GELU only
        ([-0.8, -0.1, -4.0, -3.0], torch.eye(4)),  # all below 0: unit 0 is the strongest, and the largest is unit 1
    ]:
        cases.append((torch.tensor(token), torch.eye(4), torch.zeros(4), W_out))
    listens_to_much = torch.tensor([[2.0, 0.0], [1.0, 50.0]])  # unit 1's row is long, but unit 0 writes more
    cases.append((torch.tensor([1.0, 0.0]), listens_to_much, torch.zeros(2), torch.eye(2)))
    silenced = torch.tensor([-3.0, 0.0])  # unit 1 wins; a bias that is added after the bend would make unit 0 loud
    cases.append((torch.tensor([1.0, 1.0]), torch.eye(2), silenced, torch.eye(2)))
    return on_each_device(cases)


def strongest(token, W_in, b_in, W_out, *, bend=gelu, size=torch.abs, length=torch.norm, found=torch.argmax):
    """Return the unit for which the size of its strength times the length of its column is greatest."""
    return found(size(bend(W_in @ token + b_in)) * length(W_out, dim=0)).item()


columns_are_alike = partial(strongest, length=lambda W_out, dim: 1)

function(
    "04.3",
    strongest,
    cases=units_to_judge,
    mistakes={
        "You look at the units before the bend, and not at what they write.": partial(
            columns_are_alike, bend=same, size=same
        ),
        "You look for the largest strength. How much a unit writes depends on the length of its column, too.": [
            partial(columns_are_alike, size=same),
            columns_are_alike,
        ],
        "You look for the longest column. A unit that is silent for this token writes nothing.": partial(
            strongest, size=torch.ones_like
        ),
        "You leave the bend out: a unit that is far below 0 before it is silent after it.": partial(
            strongest, bend=same
        ),
        "You bend with ReLU. With GELU a unit below 0 can write as well, a little.": partial(strongest, bend=F.relu),
        "Your bend is nearly GPT-2's. It uses GELU in its tanh form: F.gelu(..., approximate='tanh').": [
            partial(strongest, bend=bend) for bend in (F.gelu, F.silu, lambda x: x * torch.sigmoid(1.702 * x))
        ],
        "A unit of negative strength writes, too, in the opposite direction. A length is never negative.": partial(
            strongest, size=same
        ),
        "b_in is missing: it is added before the bend.": lambda x, W_in, _, W_out: strongest(x, W_in, 0, W_out),
        "You add b_in after the bend. It belongs before it: a unit may be silent only because of its bias.": (
            lambda token, W_in, b_in, W_out: strongest(token, W_in, 0, W_out, bend=lambda bare: gelu(bare) + b_in)
        ),
        "You add up absolute values. The length is the root of the sum of the squares: norm().": partial(
            strongest, length=lambda W_out, dim: W_out.abs().sum(dim)
        ),
        "You add the numbers that a unit writes, so those of opposite sign cancel. Its length is their norm().": (
            partial(strongest, size=same, length=torch.sum)
        ),
        "You take the lengths along the wrong axis. What unit i writes is column i: norm(dim=0).": (
            lambda token, W_in, b_in, W_out: (gelu(W_in @ token + b_in) * W_out).norm(dim=1).argmax().item()
        ),
        "You take the lengths of W_in's rows: what a unit listens to. What unit i writes is column i of W_out.": (
            lambda token, W_in, b_in, W_out: strongest(token, W_in, b_in, W_in.T)
        ),
        "One too many: counting starts at 0.": lambda *given: strongest(*given) + 1,
        "That is the greatest length. Which unit writes it?": partial(strongest, found=torch.max),
    },
    solved="Strong is not loud: what counts is strength times the length of the column.",
    hints=[
        "Unit i writes its strength times column i of `W_out`. How long is that vector?",
        "The length of a multiple: the absolute value of the strength times the length of the column.",
        "All lengths of columns at once: `W_out.norm(dim=0)`. The place of the largest number: `.argmax()`.",
        "`strength = F.gelu(W_in @ token + b_in, approximate='tanh')`, then "
        "`(strength.abs() * W_out.norm(dim=0)).argmax().item()`",
    ],
)

GELU = partial(nn.GELU, approximate="tanh")


def built(emb_dim, *, hidden_dim=None, middle=GELU, end=nn.Identity):
    hidden_dim = hidden_dim or 4 * emb_dim
    return nn.Sequential(nn.Linear(emb_dim, hidden_dim), middle(), nn.Linear(hidden_dim, emb_dim), end())


MISTAKES_IN_LAYER = {
    "Nothing is mended yet: 4 hidden units for any emb_dim, and no number of the output below -0.17.": partial(
        built, hidden_dim=4, end=GELU
    ),
    "Its output never falls below -0.17. What does the last layer's result still pass through?": partial(
        built, end=GELU
    ),
    "You took out the wrong GELU: now the bend comes after the second layer, where it harms.": partial(
        built, middle=nn.Identity, end=GELU
    ),
    "Without any bend the two layers do no more than one. One GELU belongs between them.": partial(
        built, middle=nn.Identity
    ),
    "That is the exact GELU. gptcore's GELU(), in its tanh form, was right.": partial(built, middle=nn.GELU),
    "You bend with ReLU. The GELU in the middle was right.": partial(built, middle=nn.ReLU),
}


@exercise(
    "04.4",
    mistakes=MISTAKES_IN_LAYER,
    solved="Both faults ran without a word, and the shapes were right. Only the numbers told.",
    hints=[
        "Print the layer for an emb_dim of 768. How wide is its hidden layer?",
        "Feed it a thousand random vectors. What is the smallest number that ever comes out?",
        "The hidden layer must have `4 * emb_dim` units, and only what comes *between* the layers is bent.",
    ],
)
def mended_feed_forward(answer):
    if isinstance(answer, nn.Module):
        raise Wrong("That is one layer. Expected is the function that builds it, for any emb_dim.")
    sizes = (6, 10)
    with torch.random.fork_rng(devices=[]):  # drawing weights leaves the learner's random numbers alone
        layers = call_all(answer, [(emb_dim,) for emb_dim in sizes])
    for layer, emb_dim in zip(layers, sizes, strict=True):
        check_layer(layer, emb_dim)


def sizes_of(layer):
    return sorted(tuple(parameter.shape) for parameter in layer.parameters())


def check_layer(layer, emb_dim):
    case = (emb_dim,)
    if not isinstance(layer, nn.Module):
        raise Wrong(f"For emb_dim {emb_dim} expected is a layer such as nn.Sequential(...), not {show(layer)}.", case)
    x = 4 * token_vectors(2, 50, emb_dim)
    try:
        (result,) = call_all(layer, [(x,)])
    except NotAnswered:
        raise Wrong(f"The layer for emb_dim {emb_dim} returns nothing: its forward has no `return`.", case) from None
    except Wrong as wrong:
        raise Wrong(f"The layer for emb_dim {emb_dim} does not run. {wrong}", case) from None
    if not isinstance(result, torch.Tensor) or result.shape != x.shape:
        raise Wrong(f"The output must have the shape of the input, {tuple(x.shape)}; it is {show(result)}.", case)
    sizes = sizes_of(layer)
    hidden_dim = max((size[0] for size in sizes if len(size) == 2 and size[1] == emb_dim), default=0)
    expected = [(hidden_dim, emb_dim), (hidden_dim,), (emb_dim, hidden_dim), (emb_dim,)]
    if [size for size in sizes if len(size) == 2] != sorted(size for size in expected if len(size) == 2):
        raise Wrong("Expected are two nn.Linear layers: one from emb_dim to the hidden units, one back.", case)
    if sizes != sorted(expected):
        raise Wrong("The two nn.Linear keep their biases, and nothing else has parameters.", case)
    tensors = [next(p.detach() for p in layer.parameters() if tuple(p.shape) == shape) for shape in expected]
    bends_right = close(result, feed_forward(x, *tensors))
    if not bends_right:

        def is_it(wrong):
            other = wrong(emb_dim)
            with_these = dict(zip(other.state_dict(), tensors, strict=True))
            return sizes_of(other) == sizes and close(result, functional_call(other, with_these, x))

        name_mistake(MISTAKES_IN_LAYER, is_it, case)
    if hidden_dim != 4 * emb_dim:
        raise Wrong(
            f"For emb_dim {emb_dim} the hidden layer has {hidden_dim} units; expected are 4 times as many as "
            "there are features." + (" The bend is as it should be." if bends_right else ""),
            case,
        )
    if not bends_right:
        raise Wrong("The output is not that of widen, GELU, shrink with your layer's weights.", case)


number(
    "04.5",
    11_008,
    mistakes={
        "That is the equal count, rounded down. The next multiple of 256 is still to come.": 10_922,
        "That is the equal count. The next multiple of 256 is still to come.": 10_923,
        "That is the equal count exactly. The next multiple of 256 is still to come.": [32_768 / 3, 10_922.7],
        "That is a multiple of 256, but you rounded down.": 10_752,
        "That is the plain layer's width, 4 * 4096. Three matrices of it would be half as much again.": 16_384,
        "You share two matrices among four. SwiGLU has three: the gate, one to widen and one to shrink.": 8_192,
        "That is the width for emb_dim 768.": 2_048,
        "The plain layer has two matrices, each with 4 * 4096 * 4096 weights. You counted one.": [
            *(5_461, 5_632, 16_384 / 3)
        ],
    },
    near=1e-6,  # so that 10,922.67 is known, too
    solved="That is the width of Llama 2's smallest model (7B), found in this way.",
    hints=[
        "With d for emb_dim and h for the hidden width: the plain layer has 2 * d * 4d weights, SwiGLU 3 * d * h.",
        "h = 8/3 * 4096, which is between 10,922 and 10,923. Now round up.",
        "How many times does 256 go into it? Take one more: (10922 // 256 + 1) * 256.",
    ],
)

BOTH_WAYS = "attention in which each token looks both ways"
PLACES = "a layer that adds another vector at each position"
SIZES = "a layer that adds to each token the absolute values of the one before"
NORM_FIRST = "attention behind a layer norm, as in GPT-2's block"


class Layer:
    """Something that takes (batch, num_tokens, emb_dim) to the same shape, with words for messages."""

    def __init__(self, function, mixes, words):
        self.function, self.mixes, self.words = function, mixes, words

    def __call__(self, x):
        return self.function(x)

    def __repr__(self):
        return f"({self.words})"


def attention(x, visible):
    mask = visible(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool))
    return torch.where(mask, x @ x.mT, -torch.inf).softmax(dim=-1) @ x


def last_number_of_the_one_before(x):
    of_each = F.pad(x[:, :-1, -1:], (0, 0, 1, 0))  # (batch, num_tokens, 1)
    return x + F.pad(of_each, (x.shape[-1] - 1, 0))


def rounds(x):
    """Add to x a number made of all tokens, and subtract it again: no more than rounding is left of it."""
    number = 8 * x.sum(dim=1, keepdim=True).tanh()
    return x + number - number


def layers_to_judge(num_tokens, emb_dim):
    """Return layers for `num_tokens` tokens; they take fewer, too, for whoever sends each token alone."""
    tensors = weights(emb_dim, 4 * emb_dim, seed=5)
    places = token_vectors(num_tokens, emb_dim)
    lonely = num_tokens == 1

    def taking(token, source):
        shares = torch.eye(num_tokens)
        shares[token, source] = 1
        return lambda x: shares[: x.shape[1], : x.shape[1]] @ x

    judged = [
        (lambda x: feed_forward(x, *tensors), False, "a feed-forward layer"),
        (lambda x: attention(x, torch.tril), not lonely, "attention in which each token looks back"),
        (lambda x: attention(x, torch.clone), not lonely, BOTH_WAYS),
        (lambda x: attention(x, torch.triu), not lonely, "attention in which each token looks ahead"),
        # Its eps is tiny, so that to multiply a token by a number leaves no trace.
        (lambda x: x + attention(F.layer_norm(x, x.shape[-1:], eps=1e-12), torch.tril), not lonely, NORM_FIRST),
        (lambda x: x + F.pad(x.abs(), (0, 0, 1, 0))[:, :-1], not lonely, SIZES),
        (lambda x: x + places[: x.shape[1]], False, PLACES),
        (torch.zeros_like, False, "a layer whose output is always 0"),
        (rounds, False, "a layer in which other tokens change no more than the rounding"),
        (
            lambda x: x + F.pad(0.02 * x, (0, 0, 1, 0))[:, :-1],
            not lonely,
            "a layer that adds a little of the one before",
        ),
    ]
    if not lonely:
        last, middle = num_tokens - 1, num_tokens // 2
        judged += [  # whoever changes certain tokens only, or looks at certain ones, misses one of them
            (taking(0, 1), True, "a layer in which only the first token takes from another, the second"),
            (taking(last, last - 1), True, "a layer in which only the last token takes from another, the one before"),
            (taking(0, last), True, "a layer in which only the first token takes from another, the last"),
            (taking(0, middle), True, "a layer in which only the first token takes from another, one in the middle"),
            (taking(middle, middle - 1), True, "a layer in which only a token in the middle takes from another"),
            (
                last_number_of_the_one_before,
                True,
                "a layer that adds to each token's last number that of the one before",
            ),
            (lambda x: x.roll(1, dims=1), True, "a layer that hands each token's vector to the next position"),
        ]
    return [Layer(*each) for each in judged]


def other_numbers(vector):
    return 1 - 2 * vector


def mixes(layer, x, tokens=None, *, count_itself=False, change=other_numbers, reach=None, tolerance=1e-5):
    """Change each of `tokens` in turn: does the output at another position move, or by mistake at the same one?

    With `reach` it looks no further than so many positions.
    """
    for token in range(x.shape[1]) if tokens is None else tokens:
        edited = x.clone()
        edited[:, token] = change(x[:, token])
        moved = ((layer(edited) - layer(x)).abs() > tolerance).any(dim=-1).any(dim=0)
        moved[token] &= count_itself
        if reach is not None:
            moved &= (torch.arange(x.shape[1]) - token).abs() <= reach
        if moved.any():
            return True
    return False


def differs_alone(layer, x):
    alone = torch.cat([layer(x[:, token : token + 1]) for token in range(x.shape[1])], dim=1)
    return not torch.allclose(alone, layer(x), atol=1e-5)


MISTAKES_IN_TEST = {
    "It says True for every layer.": lambda layer, x: True,
    "It says False for every layer.": lambda layer, x: False,
    "The right test, but True and False are exchanged: True says that the layer mixes.": (
        lambda layer, x: not layer.mixes
    ),
    "You change the first token only. A layer that looks ahead shows nothing then: try each token.": (
        lambda layer, x: mixes(layer, x, [0])
    ),
    "You change the last token only. A layer that looks back shows nothing then: try each token.": (
        lambda layer, x: mixes(layer, x, [-1])
    ),
    "You also count the output of the token that you changed, which moves in nearly every layer.": [
        lambda layer, x: mixes(layer, x, [0], count_itself=True),
        partial(mixes, count_itself=True),
    ],
    "Your test is blind for attention behind a layer norm, and GPT-2's own block begins with one. Do you add the same "
    "to all numbers of a token, or multiply all by the same? A norm takes just that away: use random numbers.": [
        partial(mixes, change=lambda vector: vector + 1),
        partial(mixes, change=lambda vector: 2 * vector),
        partial(mixes, change=lambda vector: vector + 1e-3),
        partial(mixes, change=lambda vector: 1000 * vector),
    ],
    "You turn all signs round. A layer that looks at absolute values does not notice: give the token other numbers.": (
        partial(mixes, change=torch.neg)
    ),
    "You take rounding for mixing: a difference below 1e-5 does not count.": partial(mixes, tolerance=0.0),
    "You compare neighbours only. A token may look at one that is far away: look at all other positions.": partial(
        mixes, reach=1
    ),
    "You send each token through the layer alone. A layer that only knows positions gives another result "
    "then, though it mixes nothing. Change one token instead.": differs_alone,
}


@exercise(
    "04.6",
    mistakes=MISTAKES_IN_TEST,
    solved="It tells mixing from knowing positions, and misses no look ahead or back, not even behind a norm.",
    hints=[
        "The notebook showed two tests, and a trap in one of them. Take the other one.",
        "Change one token, and look at the outputs at all *other* positions. Do so for each token in turn.",
        "For each token: `edited = x.clone()`, then `edited[:, token] = torch.randn(...)`.",
        "`moved = (layer(edited) - layer(x)).abs().amax(dim=(0, 2)) > 1e-5`, then `moved[token] = False`; "
        "if `moved.any()` for any token, the layer mixes.",
    ],
)
def my_mixes_tokens(answer):
    shapes = [(1, 5, 4), (2, 4, 6), (1, 1, 4)]
    judged = [(layer, token_vectors(*shape)) for shape in shapes for layer in layers_to_judge(*shape[1:])]
    with torch.random.fork_rng(devices=[]):  # a test may draw random vectors
        said = [as_bool(result) for result in call_all(answer, judged)]
    if said == [layer.mixes for layer, _ in judged]:
        return
    wrongly = next((layer, x, r) for (layer, x), r in zip(judged, said, strict=True) if r != layer.mixes)
    name_mistake(MISTAKES_IN_TEST, lambda wrong: said == [wrong(layer, x) for layer, x in judged], wrongly[:2])
    said_of = {layer.words: result for (layer, x), result in zip(judged, said, strict=True) if x.shape[1] > 1}
    if not said_of[BOTH_WAYS] and said_of[PLACES]:  # whatever the order was
        raise Wrong(
            "You seem to put the tokens in a new order. Attention that looks both ways passes that test, and a layer "
            "that only knows positions fails it. Change one token instead."
        )
    layer, x, result = wrongly
    raise Wrong(
        f"For {layer.words} and x of shape {tuple(x.shape)} it says {result}; expected is {layer.mixes}.", (layer, x)
    )

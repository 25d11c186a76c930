"""Checks and hints for notebook 04, feed-forward."""

import torch
import torch.nn.functional as F
from torch import nn

from gptcore.exercises.checking import Wrong, call, check_function, check_number, close, devices, exercise, show


def gelu(x):
    return F.gelu(x, approximate="tanh")


def feed_forward(x, W_in, b_in, W_out, b_out, bend=gelu):
    return bend(x @ W_in.T + b_in) @ W_out.T + b_out


def weights(emb_dim, hidden_dim, seed):
    """Return W_in, b_in, W_out and b_out, with numbers large enough that every part matters."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(hidden_dim, emb_dim), (hidden_dim,), (emb_dim, hidden_dim), (emb_dim,)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def token_vectors(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


@exercise(
    "04.1",
    hints=[
        "Two layers: one from emb_dim to 4 * emb_dim, one back. Each has a weight matrix and a bias.",
        "A bias has one number for each *output* of its layer.",
        "(d * 4d + 4d) + (4d * d + d), with d = 1024.",
    ],
)
def parameters_of_feed_forward(answer):
    mistakes = {
        8_388_608: "Those are the two weight matrices. Each layer has a bias, too.",
        8_392_704: "The bias of the second layer is missing.",
        8_389_632: "The bias of the first layer is missing.",
        8_390_656: "The biases are not of the same length: the first layer has 4 * 1024 outputs.",
        8_396_800: "The biases are not of the same length: the second layer has only 1024 outputs.",
        4_198_400: "That is the first of the two layers.",
        4_195_328: "That is the second of the two layers.",
        4_722_432: "That is the 124M model's layer, with emb_dim 768.",
        2_099_200: "That is without the factor 4: the hidden layer has 4 * 1024 units.",
        201_449_472: "That is the layer of all 24 blocks. The question is about one block.",
    }
    check_number(answer, 8_393_728, mistakes)
    return "8d² + 5d. The biases are few, 0.06 percent, but a count that leaves them out does not match the model."


@exercise(
    "04.2",
    hints=[
        "Three steps: widen, bend, shrink. What is the shape of each result?",
        "`W_in` is (hidden_dim, emb_dim), as in nn.Linear. For `x @ ...` it has to be turned round: `W_in.T`.",
        "`hidden = F.gelu(x @ W_in.T + b_in, approximate='tanh')`",
        "The last line: `return hidden @ W_out.T + b_out`",
    ],
)
def my_feed_forward(answer):
    def identity(x):
        return x

    cases = []
    for shape, hidden_dim in [((3, 4), 7), ((5,), 20), ((2, 3, 6), 6), ((1, 1, 8), 32)]:
        for device in devices():
            tensors = [token_vectors(*shape), *weights(shape[-1], hidden_dim, seed=hidden_dim)]
            cases.append(tuple(tensor.to(device) for tensor in tensors))
    mistakes = [
        (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(x, W_in, b_in, W_out, b_out, identity),
            "There is no bend between the two layers. Without GELU they do no more than one layer can.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(x, W_in, b_in, W_out, b_out, F.relu),
            "You bend with ReLU. GPT-2 bends with GELU, in its tanh form.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(x, W_in, b_in, W_out, b_out, F.gelu),
            "You use the exact GELU. GPT-2 uses the tanh form: F.gelu(..., approximate='tanh').",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: gelu(feed_forward(x, W_in, b_in, W_out, b_out)),
            "You bend a second time, at the end. The output must be free to be negative: bend only in the middle.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: gelu(feed_forward(x, W_in, b_in, W_out, b_out, identity)),
            "You bend the output. GELU belongs between the two layers.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(gelu(x), W_in, b_in, W_out, b_out, identity),
            "You bend the input. GELU belongs between the two layers.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(x, W_in, 0, W_out, b_out),
            "b_in is missing: it is added before the bend.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(x, W_in, b_in, W_out, 0),
            "b_out is missing: it is added at the very end.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: feed_forward(x, W_in, 0, W_out, 0),
            "Both biases are missing: b_in is added before the bend, b_out at the end.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: (gelu(x @ W_in.T) + b_in) @ W_out.T + b_out,
            "You add b_in after the bend. It belongs to the first layer: add it before.",
        ),
        (
            lambda x, W_in, b_in, W_out, b_out: x + feed_forward(x, W_in, b_in, W_out, b_out),
            "You add x to the result. That is the shortcut of notebook 05; the layer itself does not have it.",
        ),
    ]
    check_function(answer, cases, feed_forward, mistakes)
    return "It works for one vector, a text and a batch, and for any hidden_dim: nothing in it knows the factor 4."


def strength(token, W_in, b_in):
    return gelu(W_in @ token + b_in)


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
    return [tuple(tensor.to(device) for tensor in case) for case in cases for device in devices()]


@exercise(
    "04.3",
    hints=[
        "Unit i writes its strength times column i of `W_out`. How long is that vector?",
        "The length of a multiple: the absolute value of the strength times the length of the column.",
        "All lengths of columns at once: `W_out.norm(dim=0)`. The place of the largest number: `.argmax()`.",
        "`strength = F.gelu(W_in @ token + b_in, approximate='tanh')`, then "
        "`(strength.abs() * W_out.norm(dim=0)).argmax().item()`",
    ],
)
def my_strongest_unit(answer):
    def lengths(token, W_in, b_in, W_out):
        return strength(token, W_in, b_in).abs() * W_out.norm(dim=0)

    chosen_by = [
        (
            lambda token, W_in, b_in, W_out: W_in @ token + b_in,
            "You look at the units before the bend, and not at what they write.",
        ),
        (
            lambda token, W_in, b_in, W_out: strength(token, W_in, b_in),
            "You look for the largest strength. How much a unit writes depends on the length of its column, too.",
        ),
        (
            lambda token, W_in, b_in, W_out: strength(token, W_in, b_in).abs(),
            "You look for the largest strength. How much a unit writes depends on the length of its column, too.",
        ),
        (
            lambda token, W_in, b_in, W_out: W_out.norm(dim=0),
            "You look for the longest column. A unit that is silent for this token writes nothing.",
        ),
        (
            lambda token, W_in, b_in, W_out: (W_in @ token + b_in).abs() * W_out.norm(dim=0),
            "You leave the bend out: a unit that is far below 0 before it is silent after it.",
        ),
        (
            lambda token, W_in, b_in, W_out: (W_in @ token + b_in).relu() * W_out.norm(dim=0),
            "You bend with ReLU. With GELU a unit below 0 can write as well, a little.",
        ),
        (
            lambda token, W_in, b_in, W_out: F.gelu(W_in @ token + b_in).abs() * W_out.norm(dim=0),
            "You use the exact GELU. GPT-2 uses the tanh form: F.gelu(..., approximate='tanh').",
        ),
        (
            lambda token, W_in, b_in, W_out: strength(token, W_in, b_in) * W_out.norm(dim=0),
            "A unit of negative strength writes, too, in the opposite direction. A length is never negative.",
        ),
        (
            lambda token, W_in, b_in, W_out: strength(token, W_in, 0).abs() * W_out.norm(dim=0),
            "b_in is missing: it is added before the bend.",
        ),
        (
            lambda token, W_in, b_in, W_out: strength(token, W_in, b_in).abs() * W_out.abs().sum(dim=0),
            "You add up absolute values. The length is the root of the sum of the squares: norm().",
        ),
        (
            lambda token, W_in, b_in, W_out: (strength(token, W_in, b_in) * W_out).sum(dim=0),
            "You add the numbers that a unit writes, so those of opposite sign cancel. Its length is their norm().",
        ),
        (
            lambda token, W_in, b_in, W_out: (strength(token, W_in, b_in) * W_out).norm(dim=1),
            "You take the lengths along the wrong axis. What unit i writes is column i: norm(dim=0).",
        ),
    ]
    mistakes = [(lambda *case, by=by: by(*case).argmax().item(), message) for by, message in chosen_by]
    mistakes.append((lambda *case: lengths(*case).max().item(), "That is the greatest length. Which unit writes it?"))
    check_function(answer, units_to_judge(), lambda *case: lengths(*case).argmax().item(), mistakes)
    return "Strong is not loud: what counts is strength times the length of the column."


@exercise(
    "04.4",
    hints=[
        "Print the layer for an emb_dim of 768. How wide is its hidden layer?",
        "Feed it a thousand random vectors. What is the smallest number that ever comes out?",
        "The hidden layer must have `4 * emb_dim` units, and only what comes *between* the layers is bent.",
    ],
)
def mended_feed_forward(answer):
    if isinstance(answer, nn.Module):
        raise Wrong("That is one layer. Expected is the function that builds it, for any emb_dim.")
    for emb_dim in (6, 10):
        with torch.random.fork_rng(devices=[]):  # drawing weights leaves the learner's random numbers alone
            check_layer(call(answer, emb_dim), emb_dim)
    return "Both faults ran without a word, and the shapes were right. Only the numbers told."


def check_layer(layer, emb_dim):
    if not isinstance(layer, nn.Module):
        raise Wrong(f"For emb_dim {emb_dim} expected is a layer such as nn.Sequential(...), not {show(layer)}.")
    x = 4 * token_vectors(2, 50, emb_dim)
    result = call(layer, x)
    if not isinstance(result, torch.Tensor) or result.shape != x.shape:
        raise Wrong(f"The output must have the shape of the input, {tuple(x.shape)}; it is {show(result)}.")
    sizes = sorted(tuple(parameter.shape) for parameter in layer.parameters())
    hidden_dim = max((size[0] for size in sizes if len(size) == 2 and size[1] == emb_dim), default=0)
    expected = sorted([(hidden_dim, emb_dim), (hidden_dim,), (emb_dim, hidden_dim), (emb_dim,)])
    if sorted(size for size in sizes if len(size) == 2) != [size for size in expected if len(size) == 2]:
        raise Wrong("Expected are two nn.Linear layers: one from emb_dim to the hidden units, one back.")
    if sizes != expected:
        raise Wrong("The two nn.Linear keep their biases, and nothing else has parameters.")
    W_in, b_in, W_out, b_out = (
        next(p.detach() for p in layer.parameters() if tuple(p.shape) == shape)
        for shape in [(hidden_dim, emb_dim), (hidden_dim,), (emb_dim, hidden_dim), (emb_dim,)]
    )
    straight = x @ W_in.T + b_in
    ways = {
        "right": feed_forward(x, W_in, b_in, W_out, b_out),
        "bent twice": gelu(feed_forward(x, W_in, b_in, W_out, b_out)),
        "bent at the end": gelu(straight @ W_out.T + b_out),
        "not bent": straight @ W_out.T + b_out,
        "exact": feed_forward(x, W_in, b_in, W_out, b_out, F.gelu),
        "relu": feed_forward(x, W_in, b_in, W_out, b_out, F.relu),
    }
    way = next((way for way, numbers in ways.items() if close(result, numbers)), "another")
    if hidden_dim == 4 and way == "bent twice":
        raise Wrong("Nothing is mended yet: 4 hidden units for any emb_dim, and no number of the output below -0.17.")
    messages = {
        "bent twice": "Its output never falls below -0.17. What does the last layer's result still pass through?",
        "bent at the end": "You took out the wrong GELU: now the bend comes after the second layer, where it harms.",
        "not bent": "Without any bend the two layers do no more than one. One GELU belongs between them.",
        "exact": "That is the exact GELU. gptcore's GELU(), in its tanh form, was right.",
        "relu": "You bend with ReLU. The GELU in the middle was right.",
        "another": "The output is not that of widen, GELU, shrink with your layer's weights.",
    }
    if hidden_dim != 4 * emb_dim:
        raise Wrong(
            f"For emb_dim {emb_dim} the hidden layer has {hidden_dim} units; expected are 4 times as many as "
            "there are features." + (" The bend is as it should be." if way == "right" else "")
        )
    if way != "right":
        raise Wrong(messages[way])


@exercise(
    "04.5",
    hints=[
        "With d for emb_dim and h for the hidden width: the plain layer has 2 * d * 4d weights, SwiGLU 3 * d * h.",
        "h = 8/3 * 4096, which is between 10,922 and 10,923. Now round up.",
        "How many times does 256 go into it? Take one more: (10922 // 256 + 1) * 256.",
    ],
)
def swiglu_width(answer):
    mistakes = {
        10_922: "That is the equal count, rounded down. The next multiple of 256 is still to come.",
        10_923: "That is the equal count. The next multiple of 256 is still to come.",
        32_768 / 3: "That is the equal count exactly. The next multiple of 256 is still to come.",
        10_752: "That is a multiple of 256, but you rounded down.",
        16_384: "That is the plain layer's width, 4 * 4096. Three matrices of it would be half as much again.",
        8_192: "You share two matrices among four. SwiGLU has three: the gate, one to widen and one to shrink.",
        2_048: "That is the width for emb_dim 768.",
        5_461: "The plain layer has two matrices, each with 4 * 4096 * 4096 weights. You counted one.",
        5_632: "The plain layer has two matrices, each with 4 * 4096 * 4096 weights. You counted one.",
    }
    check_number(answer, 11_008, mistakes)
    return "That is the width of Llama 2's smallest model (7B), found in this way."


BOTH_WAYS = "attention in which each token looks both ways"
PLACES = "a layer that adds another vector at each position"


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
        (lambda x: x + places[: x.shape[1]], False, PLACES),
        (torch.zeros_like, False, "a layer whose output is always 0"),
    ]
    if not lonely:
        last = num_tokens - 1
        judged += [  # the first two: whoever changes one certain token, or the first and the last, misses one of them
            (taking(0, 1), True, "a layer in which only the first token takes from another, the second"),
            (taking(last, last - 1), True, "a layer in which only the last token takes from another, the one before"),
            (lambda x: x.roll(1, dims=1), True, "a layer that hands each token's vector to the next position"),
        ]
    return [Layer(*each) for each in judged]


def moved_by_change(layer, x, token):
    """Return for each position whether the output there moves when another vector stands at `token`."""
    edited = x.clone()
    edited[:, token] = 1 - 2 * x[:, token]
    return ((layer(edited) - layer(x)).abs() > 1e-5).any(dim=-1).any(dim=0)


def others_moved(layer, x, token):
    moved = moved_by_change(layer, x, token)
    moved[token] = False
    return moved.any().item()


def differs_alone(layer, x):
    alone = torch.cat([layer(x[:, token : token + 1]) for token in range(x.shape[1])], dim=1)
    return not torch.allclose(alone, layer(x), atol=1e-5)


@exercise(
    "04.6",
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
        said = [as_bool(call(answer, layer, x)) for layer, x in judged]
    usual = [
        (lambda layer, x: True, "It says True for every layer."),
        (lambda layer, x: False, "It says False for every layer."),
        (
            lambda layer, x: not layer.mixes,
            "The right test, but True and False are exchanged: True says that the layer mixes.",
        ),
        (
            lambda layer, x: others_moved(layer, x, 0),
            "You change the first token only. A layer that looks ahead shows nothing then: try each token.",
        ),
        (
            lambda layer, x: others_moved(layer, x, x.shape[1] - 1),
            "You change the last token only. A layer that looks back shows nothing then: try each token.",
        ),
        (
            lambda layer, x: moved_by_change(layer, x, 0).any().item(),
            "You also count the output of the token that you changed, which moves in nearly every layer.",
        ),
        (
            lambda layer, x: any(moved_by_change(layer, x, token).any().item() for token in range(x.shape[1])),
            "You also count the output of the token that you changed, which moves in nearly every layer.",
        ),
        (
            differs_alone,
            "You send each token through the layer alone. A layer that only knows positions gives another result "
            "then, though it mixes nothing. Change one token instead.",
        ),
    ]
    if said == [layer.mixes for layer, _ in judged]:
        return "It tells mixing from knowing positions, and misses neither a look ahead nor a look back."
    for wrong, message in usual:
        if said == [wrong(layer, x) for layer, x in judged]:
            raise Wrong(message)
    said_of = {layer.words: result for (layer, x), result in zip(judged, said, strict=True) if x.shape[1] > 1}
    if not said_of[BOTH_WAYS] and said_of[PLACES]:  # whatever the order was
        raise Wrong(
            "You seem to put the tokens in a new order. Attention that looks both ways passes that test, and a layer "
            "that only knows positions fails it. Change one token instead."
        )
    layer, x, result = next((layer, x, r) for (layer, x), r in zip(judged, said, strict=True) if r != layer.mixes)
    raise Wrong(f"For {layer.words} and x of shape {tuple(x.shape)} it says {result}; expected is {layer.mixes}.")


def as_bool(answer):
    """Return True or False, also where it comes as a tensor of one element."""
    if callable(getattr(answer, "item", None)) and getattr(answer, "ndim", None) == 0:
        answer = answer.item()
    if type(answer) is not bool:
        raise Wrong(f"Expected is True or False, not {show(answer)}.")
    return answer

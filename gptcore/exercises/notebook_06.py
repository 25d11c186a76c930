"""The exercises of notebook 06, causal attention."""

from functools import partial

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import (
    NotAnswered,
    Wrong,
    as_letters,
    call,
    check_function,
    exercise,
    function,
    on_each_device,
    values,
)


def future(num_tokens, diagonal=1, device=None):
    return torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=device).triu(diagonal)


def hide_future(scores, diagonal=1):
    return scores.masked_fill(future(scores.shape[-1], diagonal, scores.device), -torch.inf)


MASKS = {
    "Rows and columns are swapped: yours hides the past. In row t, the token t looks: hide what is right of t.": (
        lambda n: hide_future(torch.zeros(n, n)).T
    ),
    "The wrong way round: yours hides what a token may see and leaves the future open.": (
        lambda n: torch.zeros(n, n).masked_fill(~future(n), -torch.inf)
    ),
    "Your mask hides the diagonal, too. A token may see itself; the first one would see nothing at all.": (
        lambda n: hide_future(torch.zeros(n, n), 0)
    ),
    "One column late: each token can still see the next one, which it should guess.": (
        lambda n: hide_future(torch.zeros(n, n), 2)
    ),
    "Your mask hides everything. Each token may see itself and those before it: 0 stands there.": (
        lambda n: torch.full((n, n), -torch.inf)
    ),
    "Your mask hides nothing: it is 0 everywhere.": lambda n: torch.zeros(n, n),
    "Added to a score, 1 makes the future more welcome, not less. Minus infinity hides it.": (
        lambda n: future(n).float()
    ),
    "That mask would be multiplied. This one is added: 0 where a token may look, minus infinity elsewhere.": (
        lambda n: (~future(n)).float()
    ),
    "The right squares. A large negative number mostly works, minus infinity always does: -torch.inf.": [
        lambda n, large=large: torch.full((n, n), large).triu(1)
        for large in (-1e9, -1e10, -1e4, -100.0, torch.finfo(torch.float32).min)
    ],
}


@exercise(
    "06.1",
    mistakes=MASKS,
    solved="PyTorch's Transformer makes the same one. "
    "Added to the scores, it needs no further step before the softmax.",
    hints=[
        "Write the table for 3 tokens on paper first: a row for each token that looks, a column for each looked at.",
        "The future stands right of the diagonal. `triu(diagonal=1)` keeps that part and sets all the rest to 0.",
        "Infinity times 0 is `nan`, so do not multiply. Start from a table that is full of minus infinity.",
        "`torch.full((num_tokens, num_tokens), -torch.inf).triu(diagonal=1)`",
    ],
)
def my_mask(answer):
    try:
        mask = call(answer, 4)
    except NotAnswered:  # perhaps for 4 only
        mask = None
    if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool:
        raise Wrong("Your mask holds True and False. This one is to be added to scores: it holds 0 and minus infinity.")
    if isinstance(mask, torch.Tensor) and mask.isnan().any():
        raise Wrong("Your mask holds nan: that is what 0 times infinity gives. Fill in the infinity without a product.")
    right = torch.nn.Transformer.generate_square_subsequent_mask
    check_function(answer, [(2,), (1,), (4,), (7,)], right, MASKS)  # of (2,), a message can show all


def scores(queries, keys, power=0.5):
    return queries @ keys.transpose(-2, -1) / keys.shape[-1] ** power


def weights(queries, keys, *, power=0.5, diagonal=1, dim=-1):
    return hide_future(scores(queries, keys, power), diagonal).softmax(dim)


def hidden_and_shared_again(queries, keys):
    left = scores(queries, keys).softmax(dim=-1).tril()
    return left / left.sum(dim=-1, keepdim=True)


def bare_exponentials(queries, keys):
    shares = hide_future(scores(queries, keys)).exp()
    return shares / shares.sum(dim=-1, keepdim=True)


def hidden_by_value(queries, keys):
    lower = scores(queries, keys).tril()
    return lower.masked_fill(lower == 0, -torch.inf).softmax(dim=-1)


def queries_and_keys():
    generator = torch.Generator().manual_seed(6)
    # (batch, num_heads, num_tokens, head_dim); a message can show all numbers of the first one
    shapes = [(1, 1, 2, 3), (2, 3, 5, 4), (1, 2, 6, 8), (3, 1, 2, 16), (1, 1, 1, 4)]
    pairs = [torch.randn(2, *shape, generator=generator) for shape in shapes]
    same = torch.full((1, 2, 3, 4), 30.0)  # scores that are all equal, and large
    pairs += [pairs[1] * 2, torch.stack([same, same]), torch.stack([same, -same])]
    liked = same.clone()
    liked[..., 0, :] *= -1  # every token likes the later ones far better than the first
    pairs += [torch.stack([same, liked])]
    pairs += [torch.stack([torch.zeros_like(same), same])]  # scores that are 0 by themselves
    return on_each_device([tuple(pair) for pair in pairs])


function(
    "06.2",
    weights,
    cases=queries_and_keys,
    mistakes={
        "Your scores are not divided. In a wide head one word would take nearly all the weight.": partial(
            weights, power=0
        ),
        "You divide by head_dim itself. The scores grow like its root: divide by head_dim ** 0.5.": partial(
            weights, power=1
        ),
        "You divide by the root of num_tokens. head_dim is the last axis of the keys.": (
            lambda q, k: weights(q / k.shape[-2] ** 0.5, k, power=0)
        ),
        "You divide by the root of emb_dim. A head's vectors have head_dim numbers: the last axis of the keys.": (
            lambda q, k: weights(q / k.shape[1] ** 0.5, k)
        ),
        "Your columns sum to 1. A row belongs to the token that looks, and shares out its weight: dim=-1.": partial(
            weights, dim=-2
        ),
        "Your softmax runs over the heads. "
        "Each head shares out its weights by itself, along each row: dim=-1.": partial(weights, dim=1),
        "You hide the future after the softmax: rows no longer sum to 1, the future took its share. Mask first.": (
            lambda q, k: scores(q, k).softmax(-1).tril()
        ),
        "Right on paper: hidden after the softmax, then divided by what is left. But where the future has taken all "
        "the weight, that is 0 / 0, nan. Mask the scores first.": hidden_and_shared_again,
        "You write minus infinity into the weights. It belongs in the scores: softmax makes it a weight of 0.": (
            lambda q, k: hide_future(scores(q, k).softmax(-1))
        ),
        "You set the scores of the future to 0. That is no weight of 0, since e to the power 0 is 1: "
        "minus infinity is needed.": lambda q, k: scores(q, k).tril().softmax(-1),
        "You hide each score that is 0. But a score may be 0 by itself, for two vectors at right angles: hide by "
        "place, not by value.": hidden_by_value,
        "Scores, division and softmax are right. The mask is still missing: tokens see the future.": (
            lambda q, k: scores(q, k).softmax(-1)
        ),
        "Scores and softmax are right. Two steps are missing between them: the division and the mask.": (
            lambda q, k: scores(q, k, power=0).softmax(-1)
        ),
        "Your mask hides the diagonal, too. The first token then sees nothing, and its weights are nan.": partial(
            weights, diagonal=0
        ),
        "Your mask is one column late: each token still sees the next one.": partial(weights, diagonal=2),
        "Your mask hides the past and leaves the future open: rows and columns are swapped.": (
            lambda q, k: hide_future(scores(q, k).mT).mT.softmax(-1)
        ),
        "The wrong way round: masked_fill hides the squares where the mask is True. Those are the future, "
        "not what a token may see.": (
            lambda q, k: scores(q, k).masked_fill(~future(k.shape[-2], device=k.device), -torch.inf).softmax(-1)
        ),
        "Queries and keys are swapped. Rows are queries: the tokens that look.": lambda q, k: weights(k, q),
        "Scores, division and mask are right. The softmax is still missing.": lambda q, k: hide_future(scores(q, k)),
        "You divide the weights, so that rows no longer sum to 1. The scores are divided, before the softmax.": (
            lambda q, k: weights(q, k, power=0) / k.shape[-1] ** 0.5
        ),
        "The formula is right, but e to the power of a large score is too large for a float32, and nan comes "
        "out. torch.softmax takes care of that.": bare_exponentials,
    },
    solved="Each row sums to 1, the future has weight 0, and no head and no text in the batch touches another.",
    hints=[
        "Four steps, in this order: scores, division, minus infinity on the future, softmax.",
        "`keys.transpose(-2, -1)` swaps the last two axes, so `queries @ keys.transpose(-2, -1)` holds all scores.",
        "`head_dim` is `keys.shape[-1]`. The mask: `torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)`.",
        "`scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5`, then "
        "`torch.softmax(scores.masked_fill(mask, -torch.inf), dim=-1)`",
    ],
)

PICTURES = {  # one for each place but the last: no answer has that one wrong alone
    "The first letter is not right: without a fault, rows sum to 1 and nothing stands right of the diagonal.": "abcd",
    "The second letter is not right: a softmax along dim=-2 makes the columns sum to 1.": "cbda",
    "The third letter is not right: hidden after the softmax, the future takes its share with it, and rows sum "
    "to less than 1.": "cabd",
}


@exercise(
    "06.3",
    mistakes=PICTURES,
    solved="Three of the four are staircases. The sums of rows and columns tell them apart.",
    hints=[
        "Add up the rows, then the columns, of each picture. Which of them give 1?",
        "A softmax along each row makes rows sum to 1. Whoever hides the future afterwards takes some of that away.",
        "Scores times 0: no square is empty. Softmax along the columns: columns sum to 1 instead of rows.",
        "The picture without a fault begins with 1.00 and has empty squares right of the diagonal: c.",
    ],
)
def faults(answer):
    for letter, right, problem in zip(as_letters(answer, "cadb"), "cadb", PICTURES, strict=False):
        if letter != right:
            raise Wrong(problem)


def cut(z, num_heads):
    return z.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # (batch, num_heads, num_tokens, head_dim)


def cut_by_view(z, num_heads):
    return z.view(len(z), num_heads, z.shape[1], -1)


def view_then_transpose(z, num_heads):
    return cut_by_view(z, num_heads).transpose(1, 2)


def cut_every_other(z, num_heads):
    return z.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)


def join(context):
    return context.transpose(1, 2).flatten(2)


def join_by_view(context):
    return context.reshape(len(context), context.shape[2], -1)


def attention(q, k, v, num_heads, *, cut=cut, join=join, is_causal=True):
    """Attention with this way to cut the vectors into heads, and this way to join the heads again."""
    return join(F.scaled_dot_product_attention(*(cut(z, num_heads) for z in (q, k, v)), is_causal=is_causal))


def vectors_and_heads():
    generator = torch.Generator().manual_seed(64)
    shapes = [((1, 2, 2), 2), ((2, 6, 4), 2), ((1, 5, 12), 3), ((2, 3, 8), 4), ((1, 4, 6), 1), ((1, 1, 8), 2)]
    return on_each_device([(*torch.randn(3, *shape, generator=generator), num_heads) for shape, num_heads in shapes])


function(
    "06.4",
    attention,
    cases=vectors_and_heads,
    mistakes={
        "Nothing is mended yet: change the first token, and the last output still does not move.": partial(
            attention, cut=cut_by_view, join=join_by_view
        ),
        "The heads are cut rightly now. At the end they are put together wrongly: there each row must hold "
        "all heads of one token.": partial(attention, join=join_by_view),
        "The end is right now. The heads are still cut wrongly: head 0 holds several pieces of one token.": partial(
            attention, cut=cut_by_view
        ),
        "Your view still cuts across tokens, and the transpose behind it cannot mend that. View as (batch, "
        "num_tokens, num_heads, head_dim) first.": [
            partial(attention, cut=view_then_transpose, join=end) for end in (join, lambda context: context.flatten(2))
        ],
        "The numbers are cut rightly, but without the transpose, attention runs over the heads of one token: "
        "no token sees another.": partial(
            attention,
            cut=lambda z, num_heads: z.unflatten(-1, (num_heads, -1)),
            join=lambda context: context.flatten(2),
        ),
        "Now each head sees all tokens, but it takes every so-many-th number. In GPT-2 head 0 has the first "
        "head_dim numbers, head 1 the next ones.": [
            partial(attention, cut=cut_every_other),
            partial(attention, cut=cut_every_other, join=lambda context: context.permute(0, 2, 3, 1).flatten(2)),
        ],
        "The heads are cut rightly. At the end their numbers alternate; they belong side by side.": partial(
            attention, join=lambda context: context.permute(0, 2, 3, 1).flatten(2)
        ),
        "The heads are right now, but tokens see the future: is_causal=True has gone missing.": partial(
            attention, is_causal=False
        ),
        "That is one wide head. With several heads each has its own part of the numbers, and its own weights.": (
            lambda q, k, v, num_heads: attention(q, k, v, 1)
        ),
    },
    solved="view cuts the last axis; transpose moves the heads. Both faults left every shape as it was.",
    hints=[
        "`view` never moves a number: it only reads the same numbers, in the same order, with other line breaks.",
        "Cut the last axis alone: `view(batch, num_tokens, num_heads, head_dim)`. Then bring the heads forward.",
        "On the way back the same two steps, the other way round: first the axes, then the shape.",
        "`part.view(batch, num_tokens, num_heads, -1).transpose(1, 2)` for each part, and at the end "
        "`context.transpose(1, 2).reshape(batch, num_tokens, emb_dim)`",
    ],
)

values(
    "06.5",
    (2_360_064, 2_362_368, 2_360_064),
    mistakes={
        "out_proj has a bias in any case, of 768 numbers. The argument qkv_bias is about the other three.": [
            (2_359_296, 2_361_600, 2_359_296),
            (2_359_296, 2_362_368, 2_359_296),
            (2_359_296, 2_359_296, 2_359_296),
        ],
        "One matrix is missing: W_query, W_key, W_value and out_proj are four.": (1_770_240, 1_772_544, 1_770_240),
        "Those are W_query, W_key and W_value. out_proj is a Linear layer, too, and it has a bias.": (
            (1_769_472, 1_771_776, 1_769_472)
        ),
        "qkv_bias=True adds three biases: for queries, for keys and for values.": [
            (2_360_064, 2_360_832, 2_360_064),
            (2_360_064, 2_360_064, 2_360_064),
        ],
        "The biases of queries, keys and values come on top of out_proj's, which is still there.": (
            (2_360_064, 2_361_600, 2_360_064)
        ),
        "out_proj has its bias already in the first count. How many more come?": (2_360_064, 2_363_136, 2_360_064),
        "The other way round: qkv_bias=False comes first.": (2_362_368, 2_360_064, 2_362_368),
        "The first two are right. Look at the third again: 12 heads have 64 numbers each, and one head has all 768. "
        "What is the shape of W_query in each case?": [
            (2_360_064, 2_362_368, third) for third in (196_672, 197_376, 28_320_768)
        ],
    },
    solved="4 * emb_dim² + emb_dim, and 3 * emb_dim more for the biases. Heads cost nothing: they share the columns.",
    hints=[
        "Four Linear layers: W_query, W_key, W_value and out_proj. Each turns 768 numbers into 768.",
        "out_proj has a bias in any case: 768 more. `qkv_bias=True` gives one to each of the other three.",
        "What is the shape of W_query with 12 heads of 64, and with one head of 768?",
        "4 * 768 * 768 + 768; with the three biases 3 * 768 more; and the number of heads stands nowhere in it.",
    ],
)


def too_far_back(num_tokens, window):
    return future(num_tokens, window).T


def window_mask(num_tokens, window):
    return future(num_tokens) | too_far_back(num_tokens, window)


function(
    "06.6",
    window_mask,
    cases=[(2, 1), (2, 2), (6, 3), (5, 1), (8, 2), (4, 4), (3, 9), (1, 1)],
    mistakes={
        "The future is hidden. The tokens that are too far back are still seen.": lambda n, window: future(n),
        "What is too far back is hidden. The future must be hidden, too.": too_far_back,
        "Your window reaches forward as well as back: the next token can be seen.": (
            lambda n, window: future(n, window) | too_far_back(n, window)
        ),
        "Your window is one too wide. It counts the token itself: with window 1 a token sees nothing else.": (
            lambda n, window: window_mask(n, window + 1)
        ),
        "Your window is one too narrow. It counts the token itself: with window 1 a token sees itself.": (
            lambda n, window: window_mask(n, window - 1)
        ),
        "Your mask hides the diagonal, too. A token sees itself, whatever the window.": (
            lambda n, window: future(n, 0) | too_far_back(n, window)
        ),
        "The wrong way round: True where a square is hidden, as in masked_fill.": (
            lambda n, window: ~window_mask(n, window)
        ),
        "You hide what is both in the future and too far back: nothing is. Either reason is enough: join with |.": (
            lambda n, window: future(n) & too_far_back(n, window)
        ),
        "Rows and columns are swapped: yours hides the past. Row i is the token that looks.": (
            lambda n, window: window_mask(n, window).T
        ),
    },
    solved="Each layer carries news window - 1 tokens further, so 12 layers reach 12 times as far as one.",
    hints=[
        "Two things are hidden: the future, and what lies too far back. Make each mask, then join them with `|`.",
        "With i for the token that looks and j for the one looked at: hidden where j > i, and where i - j >= window.",
        "`torch.arange(num_tokens)` as a column minus the same as a row is a table of all i - j.",
        "`distance = places[:, None] - places` with `places = torch.arange(num_tokens)`; then "
        "`(distance < 0) | (distance >= window)`",
    ],
)

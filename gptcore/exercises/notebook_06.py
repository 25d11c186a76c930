"""Checks and hints for notebook 06, causal attention."""

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import (
    Wrong,
    as_letters,
    call,
    check_function,
    check_tuple,
    devices,
    exercise,
)


def future(num_tokens, diagonal=1, device=None):
    return torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=device).triu(diagonal)


def minus_infinity_where(hidden):
    return torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)


@exercise(
    "06.1",
    hints=[
        "Write the table for 3 tokens on paper first: a row for each token that looks, a column for each looked at.",
        "The future stands right of the diagonal. `triu(diagonal=1)` keeps that part and sets all the rest to 0.",
        "Infinity times 0 is `nan`, so do not multiply. Start from a table that is full of minus infinity.",
        "`torch.full((num_tokens, num_tokens), -torch.inf).triu(diagonal=1)`",
    ],
)
def my_mask(answer):
    mask = call(answer, 4)
    if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool:
        raise Wrong("Your mask holds True and False. This one is to be added to scores: it holds 0 and minus infinity.")
    if isinstance(mask, torch.Tensor) and mask.isnan().any():
        raise Wrong("Your mask holds nan: that is what 0 times infinity gives. Fill in the infinity without a product.")
    mistakes = [
        (
            lambda n: minus_infinity_where(future(n).T),
            "Rows and columns are swapped: yours hides the past. In row t, the token t looks: hide what is right of t.",
        ),
        (
            lambda n: minus_infinity_where(~future(n)),
            "The wrong way round: yours hides what a token may see and leaves the future open.",
        ),
        (
            lambda n: minus_infinity_where(future(n, 0)),
            "Your mask hides the diagonal, too. A token may see itself; the first one would see nothing at all.",
        ),
        (
            lambda n: minus_infinity_where(future(n, 2)),
            "One column late: each token can still see the next one, which it should guess.",
        ),
        (
            lambda n: torch.full((n, n), -torch.inf),
            "Your mask hides everything. Each token may see itself and those before it: 0 stands there.",
        ),
        (lambda n: torch.zeros(n, n), "Your mask hides nothing: it is 0 everywhere."),
        (
            lambda n: future(n).float(),
            "Added to a score, 1 makes the future more welcome, not less. Minus infinity hides it.",
        ),
        (
            lambda n: (~future(n)).float(),
            "That mask would be multiplied. This one is added: 0 where a token may look, minus infinity elsewhere.",
        ),
        (
            lambda n: torch.full((n, n), -1e9).triu(1),
            "The right squares. A large negative number mostly does, minus infinity does always: -torch.inf.",
        ),
    ]
    cases = [(num_tokens,) for num_tokens in (1, 2, 4, 7)]
    check_function(answer, cases, torch.nn.Transformer.generate_square_subsequent_mask, mistakes)
    return "PyTorch's Transformer makes the same one. Added to the scores, it needs no further step before the softmax."


def plain_scores(queries, keys):
    return queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5


def masked_scores(queries, keys, diagonal=1):
    scores = plain_scores(queries, keys)
    return scores.masked_fill(future(scores.shape[-1], diagonal, scores.device), -torch.inf)


def causal_weights(queries, keys):
    return torch.softmax(masked_scores(queries, keys), dim=-1)


def may_look(scores):
    return ~future(scores.shape[-1], device=scores.device)


def zeros_after(queries, keys):
    scores = plain_scores(queries, keys)
    return torch.softmax(scores, dim=-1) * may_look(scores)


def minus_infinity_after(queries, keys):
    scores = plain_scores(queries, keys)
    return torch.softmax(scores, dim=-1).masked_fill(~may_look(scores), -torch.inf)


def times_zero(queries, keys):
    scores = plain_scores(queries, keys)
    return torch.softmax(scores * may_look(scores), dim=-1)


def past_hidden(queries, keys):
    scores = plain_scores(queries, keys)
    return torch.softmax(scores.masked_fill(future(scores.shape[-1], device=scores.device).T, -torch.inf), dim=-1)


def bare_exponentials(queries, keys):
    scores = masked_scores(queries, keys).exp()
    return scores / scores.sum(dim=-1, keepdim=True)


def divided_again(queries, keys, factor):
    """Return the weights that scores `factor` times as large give."""
    return causal_weights(queries * factor, keys)


@exercise(
    "06.2",
    hints=[
        "Four steps, in this order: scores, division, minus infinity on the future, softmax.",
        "`keys.transpose(-2, -1)` swaps the last two axes, so `queries @ keys.transpose(-2, -1)` holds all scores.",
        "`head_dim` is `keys.shape[-1]`. The mask: `torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)`.",
        "`scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5`, then "
        "`torch.softmax(scores.masked_fill(mask, -torch.inf), dim=-1)`",
    ],
)
def my_weights(answer):
    generator = torch.Generator().manual_seed(6)
    # (batch, num_heads, num_tokens, head_dim); a message can show all numbers of the first one
    shapes = [(1, 1, 2, 3), (2, 3, 5, 4), (1, 2, 6, 8), (3, 1, 2, 16), (1, 1, 1, 4)]
    pairs = [torch.randn(2, *shape, generator=generator) for shape in shapes]
    same = torch.full((1, 2, 3, 4), 30.0)  # scores that are all equal, and large
    pairs += [pairs[1] * 2, torch.stack([same, same]), torch.stack([same, -same])]
    cases = [(queries.to(device), keys.to(device)) for queries, keys in pairs for device in devices()]
    mistakes = [
        (
            lambda q, k: divided_again(q, k, k.shape[-1] ** 0.5),
            "Your scores are not divided. In a wide head one word would take nearly all the weight.",
        ),
        (
            lambda q, k: divided_again(q, k, k.shape[-1] ** -0.5),
            "You divide by head_dim itself. The scores grow like its root: divide by head_dim ** 0.5.",
        ),
        (
            lambda q, k: divided_again(q, k, (k.shape[-1] / k.shape[-2]) ** 0.5),
            "You divide by the root of num_tokens. head_dim is the last axis of the keys.",
        ),
        (
            lambda q, k: divided_again(q, k, k.shape[1] ** -0.5),
            "You divide by the root of emb_dim. A head's vectors have head_dim numbers: the last axis of the keys.",
        ),
        (
            lambda q, k: torch.softmax(masked_scores(q, k), dim=-2),
            "Your columns sum to 1. A row belongs to the token that looks, and shares out its weight: dim=-1.",
        ),
        (
            lambda q, k: torch.softmax(masked_scores(q, k), dim=1),
            "Your softmax runs over the heads. Each head shares out its weights by itself, along each row: dim=-1.",
        ),
        (
            zeros_after,
            "You hide the future after the softmax: rows no longer sum to 1, the future took its share. Mask first.",
        ),
        (
            minus_infinity_after,
            "You write minus infinity into the weights. It belongs into the scores: softmax makes it a weight of 0.",
        ),
        (
            times_zero,
            "You set the scores of the future to 0. That is no weight of 0, since e to the power 0 is 1: "
            "minus infinity is needed.",
        ),
        (
            lambda q, k: torch.softmax(plain_scores(q, k), dim=-1),
            "Scores, division and softmax are right. The mask is still missing: tokens see the future.",
        ),
        (
            lambda q, k: torch.softmax(q @ k.transpose(-2, -1), dim=-1),
            "Scores and softmax are right. Two steps are missing between them: the division and the mask.",
        ),
        (
            lambda q, k: torch.softmax(masked_scores(q, k, 0), dim=-1),
            "Your mask hides the diagonal, too. The first token then sees nothing, and its weights are nan.",
        ),
        (
            lambda q, k: torch.softmax(masked_scores(q, k, 2), dim=-1),
            "Your mask is one column late: each token still sees the next one.",
        ),
        (past_hidden, "Your mask hides the past and leaves the future open: rows and columns are swapped."),
        (
            lambda q, k: causal_weights(k, q),
            "Queries and keys are swapped. Rows are queries: the tokens that look.",
        ),
        (masked_scores, "Scores, division and mask are right. The softmax is still missing."),
        (
            lambda q, k: torch.softmax(masked_scores(q, k) * k.shape[-1] ** 0.5, dim=-1) / k.shape[-1] ** 0.5,
            "You divide the weights, so that rows no longer sum to 1. The scores are divided, before the softmax.",
        ),
        (
            bare_exponentials,
            "The formula is right, but e to the power of a large score is too large for a float32, and nan comes "
            "out. torch.softmax takes care of that.",
        ),
    ]
    check_function(answer, cases, causal_weights, mistakes)
    return "Each row sums to 1, the future has weight 0, and no head and no text in the batch touches another."


@exercise(
    "06.3",
    hints=[
        "Add up the rows, then the columns, of each picture. Which of them give 1?",
        "A softmax along each row makes rows sum to 1. Whoever hides the future afterwards takes some of that away.",
        "Scores times 0: no square is empty. Softmax along the columns: columns sum to 1 instead of rows.",
        "The picture without a fault begins with 1.00 and has empty squares right of the diagonal: c.",
    ],
)
def faults(answer):
    text = as_letters(answer, "cadb")
    problems = {
        0: "The first letter is not right: without a fault, rows sum to 1 and nothing stands right of the diagonal.",
        1: "The second letter is not right: a softmax along dim=-2 makes the columns sum to 1.",
        2: "The third letter is not right: hidden after the softmax, the future takes its share with it, and rows sum "
        "to less than 1.",
        3: "The last letter is not right: a score of 0 still gives weight, so no square would be empty.",
    }
    for place, problem in problems.items():
        if text[place] != "cadb"[place]:
            raise Wrong(problem)
    return "Three of the four are staircases. The sums of rows and columns tell them apart."


def split(z, num_heads):
    return z.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # (batch, num_heads, num_tokens, head_dim)


def split_by_view(z, num_heads):
    batch, num_tokens, emb_dim = z.shape
    return z.view(batch, num_heads, num_tokens, emb_dim // num_heads)


def split_interleaved(z, num_heads):
    return z.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)


def heads_for_tokens(z, num_heads):
    return z.unflatten(-1, (num_heads, -1))  # not transposed: (batch, num_tokens, num_heads, head_dim)


def join(context):
    return context.transpose(1, 2).flatten(2)


def join_by_view(context):
    batch, num_heads, num_tokens, head_dim = context.shape
    return context.reshape(batch, num_tokens, num_heads * head_dim)


def attend(split, join, is_causal=True):
    """Return attention with this way to cut the vectors into heads, and this way to join the heads again."""

    def attention(queries, keys, values, num_heads):
        parts = (split(z, num_heads) for z in (queries, keys, values))
        return join(F.scaled_dot_product_attention(*parts, is_causal=is_causal))

    return attention


@exercise(
    "06.4",
    hints=[
        "`view` never moves a number: it only reads the same numbers, in the same order, with other line breaks.",
        "Cut the last axis alone: `view(batch, num_tokens, num_heads, head_dim)`. Then bring the heads forward.",
        "On the way back the same two steps, the other way round: first the axes, then the shape.",
        "`part.view(batch, num_tokens, num_heads, -1).transpose(1, 2)` for each part, and at the end "
        "`context.transpose(1, 2).reshape(batch, num_tokens, emb_dim)`",
    ],
)
def mended_attention(answer):
    generator = torch.Generator().manual_seed(64)
    shapes = [((1, 2, 2), 2), ((2, 6, 4), 2), ((1, 5, 12), 3), ((2, 3, 8), 4), ((1, 4, 6), 1), ((1, 1, 8), 2)]
    cases = [
        (*torch.randn(3, *shape, generator=generator).to(device), num_heads)
        for shape, num_heads in shapes
        for device in devices()
    ]
    mistakes = [
        (
            attend(split_by_view, join_by_view),
            "Nothing is mended yet: change the first token, and the last output still does not move.",
        ),
        (
            attend(split, join_by_view),
            "The heads are cut rightly now. At the end they are put together wrongly: there each row must hold "
            "all heads of one token.",
        ),
        (
            attend(split_by_view, join),
            "The end is right now. The heads are still cut wrongly: head 0 holds several pieces of one token.",
        ),
        (
            attend(heads_for_tokens, lambda context: context.flatten(2)),
            "The numbers are cut rightly, but without the transpose, attention runs over the heads of one token: "
            "no token sees another.",
        ),
        (
            attend(split_interleaved, join),
            "Now each head sees all tokens, but it takes every so-many-th number. In GPT-2 head 0 has the first "
            "head_dim numbers, head 1 the next ones.",
        ),
        (
            attend(split, lambda context: context.permute(0, 2, 3, 1).flatten(2)),
            "The heads are cut rightly. At the end their numbers alternate; they belong side by side.",
        ),
        (
            attend(split, join, is_causal=False),
            "The heads are right now, but tokens see the future: is_causal=True has gone missing.",
        ),
        (
            lambda q, k, v, num_heads: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            "That is one wide head. With several heads each has its own part of the numbers, and its own weights.",
        ),
    ]
    check_function(answer, cases, attend(split, join), mistakes)
    return "view cuts the last axis; transpose moves the heads. Both faults left every shape as it was."


@exercise(
    "06.5",
    hints=[
        "Four Linear layers: W_query, W_key, W_value and out_proj. Each turns 768 numbers into 768.",
        "out_proj has a bias in any case: 768 more. `qkv_bias=True` gives one to each of the other three.",
        "What is the shape of W_query with 12 heads of 64, and with one head of 768?",
        "4 * 768 * 768 + 768; with the three biases 3 * 768 more; and the number of heads stands nowhere in it.",
    ],
)
def attention_parameters(answer):
    no_output_bias = "out_proj has a bias in any case, of 768 numbers. The argument qkv_bias is about the other three."
    no_output = "Those are W_query, W_key and W_value. out_proj is a Linear layer, too, and it has a bias."
    heads = (
        "The first two are right. Look at the third again: 12 heads have 64 numbers each, and one head has all 768. "
        "What is the shape of W_query in each case?"
    )
    mistakes = {
        (2_359_296, 2_361_600, 2_359_296): no_output_bias,
        (2_359_296, 2_362_368, 2_359_296): no_output_bias,
        (1_769_472, 1_771_776, 1_769_472): no_output,
        (2_360_064, 2_360_832, 2_360_064): "qkv_bias=True adds three biases: for queries, for keys and for values.",
        (2_360_064, 2_363_136, 2_360_064): "out_proj has its bias already in the first count. How many more come?",
        (2_362_368, 2_360_064, 2_362_368): "The other way round: qkv_bias=False comes first.",
        (2_360_064, 2_362_368, 196_672): heads,
        (2_360_064, 2_362_368, 197_376): heads,
        (2_360_064, 2_362_368, 28_320_768): heads,
    }
    check_tuple(answer, (2_360_064, 2_362_368, 2_360_064), mistakes)
    return "4 * emb_dim² + emb_dim, and 3 * emb_dim more for the biases. Heads cost nothing: they share the columns."


def window_mask(num_tokens, window):
    return future(num_tokens) | future(num_tokens, window).T


@exercise(
    "06.6",
    hints=[
        "Two things are hidden: the future, and what lies too far back. Make each mask, then join them with `|`.",
        "With i for the token that looks and j for the one looked at: hidden where j > i, and where i - j >= window.",
        "`torch.arange(num_tokens)` as a column minus the same as a row is a table of all i - j.",
        "`distance = places[:, None] - places` with `places = torch.arange(num_tokens)`; then "
        "`(distance < 0) | (distance >= window)`",
    ],
)
def my_window_mask(answer):
    cases = [(2, 1), (2, 2), (6, 3), (5, 1), (8, 2), (4, 4), (3, 9), (1, 1)]
    mistakes = [
        (
            lambda n, window: future(n),
            "The future is hidden. The tokens that are too far back are still seen.",
        ),
        (
            lambda n, window: future(n, window).T,
            "What is too far back is hidden. The future must be hidden, too.",
        ),
        (
            lambda n, window: future(n, window) | future(n, window).T,
            "Your window reaches forward as well as back: the next token can be seen.",
        ),
        (
            lambda n, window: future(n) | future(n, window + 1).T,
            "Your window is one too wide. It counts the token itself: with window 1 a token sees nothing else.",
        ),
        (
            lambda n, window: future(n) | future(n, window - 1).T,
            "Your window is one too narrow. It counts the token itself: with window 1 a token sees itself.",
        ),
        (
            lambda n, window: ~window_mask(n, window),
            "The wrong way round: True where a square is hidden, as in masked_fill.",
        ),
        (
            lambda n, window: future(n) & future(n, window).T,
            "You hide what is both in the future and too far back: nothing is. Either reason is enough: join with |.",
        ),
        (
            lambda n, window: window_mask(n, window).T,
            "Rows and columns are swapped: yours hides the past. Row i is the token that looks.",
        ),
    ]
    check_function(answer, cases, window_mask, mistakes)
    return "Each layer carries news window - 1 tokens further, so 12 layers reach 12 times as far as one."

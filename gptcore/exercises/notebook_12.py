"""The exercises of notebook 12, fast generation."""

import math
from functools import partial

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import Wrong, call, check_function, close, exercise, number, on_each_device, show
from gptcore.generation import drawing_probabilities


def function_and_edge(name, right, *, cases, mistakes, and_then=None, **texts):
    """Register a function. Its last case, at an edge, is tried when all others are right, and knows no mistakes.

    `and_then` looks at an answer that has passed so far.
    """

    @exercise(name, mistakes=mistakes, **texts)
    def judge(answer):
        *usual, edge = cases()
        check_function(answer, on_each_device(usual), right, mistakes)
        check_function(answer, on_each_device([edge]), right, {})
        if and_then:
            and_then(answer)


CACHE = 2 * 24 * 1024 * 4 * 500 * 8

number(
    "12.1",
    CACHE,
    near=0.005,  # relative: GB and GiB are rounded
    mistakes={
        "That is half of it. A token leaves a key and a value. (Or did you count 2 bytes a number?)": CACHE // 2,
        "That is how many numbers there are. Each has 4 bytes in float32.": CACHE // 4,
        "That is one text. The batch has 8 texts, and each needs its own cache.": CACHE // 8,
        "Those are bits. A number in float32 has 32 bits, and that is 4 bytes.": CACHE * 8,
        "That is one block. Each of the 24 blocks keeps its own keys and values.": CACHE // 24,
        "That is one token of each text. There are 500.": CACHE // 500,
        "That is one token of one text. There are 8 texts of 500.": CACHE // 4000,
        "That is a full context. Here each text has 500 tokens.": CACHE // 500 * 1024,
        "You counted every head with emb_dim numbers. The heads share them: 64 each.": CACHE * 16,
        "That is one head. All 16 heads keep keys and values: emb_dim numbers together.": CACHE // 16,
        "That is right in GB. Answer in bytes.": CACHE / 1e9,
        "That is right in GiB. Answer in bytes.": CACHE / 2**30,
        "That is right in MiB. Answer in bytes.": CACHE / 2**20,
        "That is right in MB. Answer in bytes.": CACHE / 1e6,
        "Queries are not kept: no later token asks for them. Only keys and values are.": CACHE * 3 // 2,
    },
    solved="750 MiB for eight short texts: about half of what the model itself needs.",
    hints=[
        "What does the cache hold for one token in one block? A key and a value of emb_dim numbers each.",
        "Then for all blocks, all tokens and all texts; and a number in float32 has 4 bytes.",
        "`2 * 24 * 1024 * 4` bytes for one token of one text.",
    ],
)

number(
    "12.2",
    96,
    mistakes={
        "That is the steps per second. Each step gives one token to each of the 8 texts.": 12,
        "You left the weights out. They are read too, once in every step.": 240,
        "You left the caches out. Each text's cache is read too, in every step.": 160,
        "That is one text without its cache. Here 8 texts are written together.": 20,
        "You read one cache for all. Each text has its own.": 60 / 3.25 * 8,
        "True only if every text read the weights for itself. A batch reads them once for all its texts.": 60 / 3.25,
        "You counted one byte a weight. In bf16 a weight has two.": 60 / 3.5 * 8,
        "You counted four bytes a weight. In bf16 a weight has two.": 60 / 8 * 8,
        "You counted four bytes a weight, and no caches. In bf16 a weight has two; the caches are read too.": 10 * 8,
        "You divided by the number of weights. What limits is the bytes: those of the weights and the caches.": [
            40,
            40 * 8,
        ],
    },
    tolerance=0.05,
    solved="Without caches it would be 160: long texts eat up what a batch saves.",
    hints=[
        "How many bytes must come out of memory for one step, in which each of the 8 texts gets one token?",
        "The weights are read once a step for all texts: 3 GB. The caches are 8 times 0.25 GB.",
        "60 GB per second and 5 GB per step: how many steps per second, and how many tokens does each give?",
    ],
)


def tokens_and_caches():
    """Return new tokens with what is cached before them, which is nothing in the last case."""
    generator = torch.Generator().manual_seed(12)
    return [
        [2 * torch.randn(batch, n_heads, length, head_dim, generator=generator) for length in (1, 1, 1, old, old)]
        for batch, n_heads, old, head_dim in [(2, 3, 5, 4), (1, 2, 1, 8), (1, 1, 7, 3), (3, 2, 0, 4)]
    ]


def attention(query, new_key, new_value, keys, values):
    return F.scaled_dot_product_attention(query, torch.cat((keys, new_key), 2), torch.cat((values, new_value), 2))


def by_hand(query, new_key, new_value, keys, values, *, power=-0.5, dim=-1):
    scores = query @ torch.cat((keys, new_key), 2).mT * query.shape[-1] ** power
    weights = scores if dim is None else scores.softmax(dim)
    return weights @ torch.cat((values, new_value), 2)


function_and_edge(
    "12.3",
    attention,
    cases=tokens_and_caches,
    mistakes={
        "You do not scale: divide the scores by the root of head_dim.": partial(by_hand, power=0),
        "You divide the scores by head_dim. It is the root of head_dim.": partial(by_hand, power=-1),
        "You divide by the root of emb_dim. Each head's vectors have only head_dim numbers.": (
            lambda query, *rest: by_hand(query / query.shape[1] ** 0.5, *rest)
        ),
        "You multiply the scores by the root of head_dim. Divide by it.": partial(by_hand, power=0.5),
        "Your softmax goes over the query's axis, where there is only one: all weights are 1. Use dim=-1.": partial(
            by_hand, dim=-2
        ),
        "Your softmax goes over the heads. The weights of all tokens must sum to 1: dim=-1.": partial(by_hand, dim=1),
        "The softmax is missing between the scores and the values.": partial(by_hand, dim=None),
        "The new token does not see itself. Its own key and value belong after the old ones.": (
            lambda query, new_key, new_value, *old: F.scaled_dot_product_attention(query, *old)
        ),
        "Your result is the new token's own value. It should be a mixture of all: who looks at the old ones?": (
            lambda query, new_key, new_value, *old: new_value
        ),
        "Only the first token gets any weight: a causal mask of one row does that. The newest token needs no mask.": (
            lambda query, new_key, new_value, keys, values: values[:, :, :1]
        ),
        "You mix the keys. They only say how much of each token is taken; the values are what is mixed.": (
            lambda query, new_key, new_value, keys, values: attention(query, new_key, new_key, keys, keys)
        ),
        "Your new value stands in front of the old ones, and your new key behind them. Both belong behind.": (
            lambda query, new_key, new_value, keys, values: attention(query, new_key, values, keys, new_value)
        ),
        "You exchanged keys and values: the query meets the keys, and the values are mixed.": (
            lambda query, new_key, new_value, keys, values: attention(query, new_value, new_key, values, keys)
        ),
    },
    solved="It agrees with PyTorch's attention, and works for the first token, too, when the cache is empty.",
    hints=[
        "First put the new key after the old keys and the new value after the old values: torch.cat along dim=2.",
        "Then as in notebook 06: scores, divide by the root of head_dim, softmax, weighted sum of the values.",
        "No mask is needed: the newest token may look at everything there is.",
        "`weights = (query @ all_keys.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)`, then "
        "`weights @ all_values`",
    ],
)


def pieces_and_tables():
    """Return pieces of texts that go on at some position, in the last case at the very last one."""
    generator = torch.Generator().manual_seed(4)
    tables = torch.randn(30, 6, generator=generator), torch.randn(16, 6, generator=generator)
    cases = [
        (torch.randint(30, (batch, num_new), generator=generator), num_cached, *tables)
        for batch, num_new, num_cached in [(1, 4, 0), (2, 3, 4), (1, 1, 7), (3, 5, 10)]
    ]
    return [*cases, (cases[0][0][:, :1], 15, *tables)]


def embedding(ids, num_cached, tok, pos, *, offset=0, step=1):
    return tok[ids] + pos[num_cached + offset + step * torch.arange(ids.shape[1], device=ids.device)]


function_and_edge(
    "12.4",
    embedding,
    cases=pieces_and_tables,
    mistakes={
        "Nothing is mended yet: each new piece is told that it stands at the beginning of the text.": (
            lambda ids, num_cached, *tables: embedding(ids, 0, *tables)
        ),
        "One too far. Positions are counted from 0: after 3 tokens, the next one stands at position 3.": partial(
            embedding, offset=1
        ),
        "One too early: that position belongs to the last token in the cache.": partial(embedding, offset=-1),
        "All tokens of a piece get the same position. "
        "They stand one after the other: num_cached, then one more.": partial(embedding, step=0),
        "All tokens of a piece get the position of its last one. They stand one after the other.": (
            lambda ids, num_cached, *tables: embedding(ids, num_cached + ids.shape[1] - 1, *tables, step=0)
        ),
        "The position vectors are missing now: the result is the sum of both.": lambda ids, _, tok, __: tok[ids],
    },
    solved="One token or many, the cache empty or nearly full: num_cached tells where the text goes on.",
    hints=[
        "The first piece is right, and later ones are not. What differs between them?",
        "At which position does the first new token stand, if 3 tokens are in the cache?",
        "Positions are counted from 0: with 3 tokens in the cache, the new ones stand at 3, 4, 5, ...",
        "`positions = torch.arange(num_cached, num_cached + new_ids.shape[1])`",
    ],
)


def logits_and_cuts():
    generator = torch.Generator().manual_seed(5)
    cases = []
    for shape, temperature, k in [((2, 9), 0.5, 3), ((1, 6), 2.0, 1), ((3, 5), 0.7, 5), ((2, 40), 1.3, 7)]:
        logits = 3 * torch.randn(shape, generator=generator)
        logits[0] += 2  # so that no one cut is right for all rows
        cases.append((logits, temperature, k))
    return on_each_device(cases)


def kth_best(logits, k, largest=True):
    return logits.topk(k, dim=-1, largest=largest).values[:, -1:]


def top_k(logits, temperature, k, *, cut=kth_best, hidden=torch.lt, fill=-torch.inf):
    """Top-k with this cut for the logits, this way to compare them with it, and this number for hidden ones."""
    return (logits.masked_fill(hidden(logits, cut(logits, k)), fill) / temperature).softmax(dim=-1)


TOP_K = {
    "You keep the k smallest logits. The likeliest tokens have the largest.": partial(
        top_k, cut=partial(kth_best, largest=False), hidden=torch.gt
    ),
    "Your probabilities no longer sum to 1: softmax came before the cut. Set the logits to -inf first.": (
        lambda logits, temperature, k: (logits / temperature).softmax(-1) * (logits >= kth_best(logits, k))
    ),
    "You multiply by the temperature. Divide: a low temperature makes the favourites stronger.": (
        lambda logits, temperature, k: top_k(logits, 1 / temperature, k)
    ),
    "The cut is right. The temperature is not used yet.": lambda logits, temperature, k: top_k(logits, 1, k),
    "You divide the probabilities by the temperature, so they do not sum to 1. Divide the logits.": (
        lambda logits, temperature, k: top_k(logits, 1, k) / temperature
    ),
    "You set the other logits to 0. Softmax makes a probability of that too: it takes -inf to get 0.": partial(
        top_k, fill=0.0
    ),
    "The temperature is right. The cut is still missing: only the k best may keep a probability.": (
        lambda logits, temperature, k: (logits / temperature).softmax(-1)
    ),
    "You cut at the largest logit, so only the best token is left. The k-th best is the last of the k.": partial(
        top_k, cut=lambda logits, k: kth_best(logits, 1)
    ),
    "You hide the k best and keep the others. It is the other way round.": partial(top_k, hidden=torch.ge),
    "Your softmax goes over the batch. The tokens of the vocabulary share the probability: dim=-1.": (
        lambda logits, temperature, k: (
            logits.masked_fill(logits < kth_best(logits, k), -torch.inf) / temperature
        ).softmax(0)
    ),
    "You apply softmax twice, before the cut and after it. Set logits to -inf, and apply it once, last.": (
        lambda logits, temperature, k: top_k((logits / temperature).softmax(-1), 1, k)
    ),
    "You compare logits with a cut that is divided by the temperature. Divide both or neither.": (
        lambda logits, temperature, k: top_k(logits, temperature, k, cut=lambda x, k: kth_best(x, k) / temperature)
    ),
    "You keep k - 1 tokens: the k-th best stays too.": partial(top_k, hidden=torch.le),
    "You look for the k best in the whole batch. Each row has its own k best: dim=-1.": partial(
        top_k, cut=lambda logits, k: logits.flatten().topk(k).values[-1]
    ),
    "You cut all rows at one logit. Each row has its own k-th best: keep the batch dimension.": partial(
        top_k, cut=lambda logits, k: kth_best(logits, k).min()
    ),
}


@exercise(
    "12.5",
    mistakes=TOP_K,
    solved="The same numbers that gptcore's `generate` draws from.",
    hints=[
        "Find the k-th best logit of each row: everything below it is to get the probability 0.",
        "A logit of minus infinity becomes a probability of 0, and softmax shares the rest among the others.",
        "`lowest_kept = logits.topk(top_k, dim=-1).values[:, -1:]` has shape (batch, 1).",
        "`logits.masked_fill(logits < lowest_kept, -torch.inf)`, divided by the temperature, then softmax.",
    ],
)
def my_top_k(answer):
    check_function(answer, logits_and_cuts(), drawing_probabilities, TOP_K)
    tied = (torch.tensor([[1.0, 4.0, 2.0, 2.0, 0.0, 2.0]]), 1.0, 2)
    result = call(answer, tied[0].clone(), *tied[1:])
    if close((result > 0).sum(), torch.tensor(2)):
        raise Wrong(
            "It is right as long as no logits are equal. In [1, 4, 2, 2, 0, 2] three tokens share the second place: "
            "then all of them stay."
        )
    check_function(answer, [tied, (tied[0], 1.0, 3)], drawing_probabilities, {})


def logits_and_p():
    """Return logits, in one case very sure ones, and a share of the probability, in the last case all of it."""
    generator = torch.Generator().manual_seed(6)
    sizes = [(2, 8, 0.5), (1, 5, 0.05), (3, 6, 0.9), (2, 30, 0.75), (1, 4, 1.0)]
    *usual, everything = [(2 * torch.randn(batch, size, generator=generator), p) for batch, size, p in sizes]
    return [*usual, (torch.tensor([[0.0, 30.0, 1.0]]), 0.5), everything]


def share(kept):
    return kept / kept.sum(dim=-1, keepdim=True)


def top_p(logits, p, *, stays=lambda each, running, p: running - each < p, share=share, descending=True, put_back=True):
    """Top-p: `stays` says which of the sorted probabilities stay, by each one and their running sum."""
    probabilities, order = logits.softmax(dim=-1).sort(dim=-1, descending=descending)
    kept = share(probabilities * stays(probabilities, probabilities.cumsum(dim=-1), p))
    return torch.zeros_like(kept).scatter(-1, order, kept) if put_back else kept


def stops_at_p(answer):
    """See that a set whose sum is exactly p is complete; on the processor, where these probabilities are exact."""
    logits = torch.tensor([[math.log(2), 0.0, 0.0]])
    result = call(answer, logits.clone(), 0.5)
    if not close(result, torch.tensor([[1.0, 0.0, 0.0]])):
        raise Wrong(
            "It is right until a sum is exactly p. With probabilities 0.5, 0.25, 0.25 and p = 0.5 the first token has "
            f"*at least* p, so it stays alone: expected is [[1, 0, 0]], not {show(result)}.",
            (logits, 0.5),
        )


def or_nothing(kept):
    return kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-9)


def unsorted(logits, p):
    probabilities = logits.softmax(dim=-1)
    return share(probabilities * (probabilities.cumsum(dim=-1) - probabilities < p))


def of_logits(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    kept = share(ordered * (ordered.cumsum(dim=-1) - ordered < p))
    return torch.zeros_like(kept).scatter(-1, order, kept)


def first_rows_number(logits, p):
    def stays(each, running, p):
        return (running - each < p)[:1]

    return top_p(logits, p, stays=stays)


TOO_SMALL = "Your set sums to less than p: the token with which the sum reaches p belongs to it."

function_and_edge(
    "12.6",
    top_p,
    cases=logits_and_p,
    and_then=stops_at_p,
    mistakes={
        TOO_SMALL: [
            partial(top_p, stays=lambda each, running, p: running <= p),
            partial(top_p, stays=lambda each, running, p: (running <= p) | (running == each)),
            partial(top_p, stays=lambda each, running, p: running <= p, share=or_nothing),
        ],
        TOO_SMALL + " And what is left must sum to 1 again.": partial(
            top_p, stays=lambda each, running, p: running <= p, share=torch.clone
        ),
        "Your set is one token too large: it is complete as soon as its sum is at least p.": partial(
            top_p, stays=lambda each, running, p: F.pad((running - each)[:, :-1], (1, 0)) < p
        ),
        "The right tokens stay. Now their probabilities must sum to 1 again: divide by their sum.": partial(
            top_p, share=torch.clone
        ),
        "Your numbers are right, but sorted: put each back to the token to which it belongs.": partial(
            top_p, put_back=False
        ),
        "Right numbers in wrong places: gather takes from the places in `order`, scatter puts there.": (
            lambda logits, p: top_p(logits, p, put_back=False).gather(-1, logits.argsort(dim=-1, descending=True))
        ),
        "You collect the tokens in the order of the vocabulary. Sort them first, the likeliest in front.": unsorted,
        "You add up logits. Softmax makes probabilities of them first.": of_logits,
        "You collect from the least likely token up. Begin with the likeliest: descending=True.": partial(
            top_p, descending=False
        ),
        "You divide by p. The set may have more than p: divide by its own sum.": (
            lambda logits, p: top_p(logits, p, share=lambda kept: kept / p)
        ),
        "You divide by the sum of the whole batch. Each row's probabilities must sum to 1.": partial(
            top_p, share=lambda kept: kept / kept.sum()
        ),
        "You cut each row where the first one is cut. Each row has its own set.": first_rows_number,
        "You apply softmax to probabilities, which makes them nearly equal. Divide by their sum instead.": partial(
            top_p, share=lambda kept: kept.masked_fill(kept == 0, -torch.inf).softmax(dim=-1)
        ),
        "You keep the tokens whose own probability is at least p. It is the sum of the set that must reach p.": partial(
            top_p, stays=lambda each, running, p: each >= p
        ),
        "No token is cut off yet. Only those may stay that are needed to reach p.": lambda logits, p: logits.softmax(1),
    },
    solved="Where the model is sure, few tokens stay; where it is not, many. Top-k always keeps the same number.",
    hints=[
        "Sort the probabilities of each row, the largest first, and look at their running sum (`cumsum`).",
        "A token stays if those before it have less than p together: so the one that crosses p stays too.",
        "Then set the others to 0, divide by the sum of what is left, and put the numbers back into their places: with "
        "`probabilities, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)`, scatter undoes the sorting.",
        "`before = probabilities.cumsum(dim=-1) - probabilities`, "
        "`kept = probabilities.masked_fill(before >= p, 0.0)`, divide by the sum, then "
        "`torch.zeros_like(kept).scatter(-1, order, kept)`",
    ],
)

"""Checks and hints for notebook 12, fast generation."""

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import Wrong, call, check_function, check_number, close, devices, exercise
from gptcore.generation import drawing_probabilities


@exercise(
    "12.1",
    hints=[
        "What does the cache hold for one token in one block? A key and a value of emb_dim numbers each.",
        "Then for all blocks, all tokens and all texts; and a number in float32 has 4 bytes.",
        "`2 * 24 * 1024 * 4` bytes for one token of one text.",
    ],
)
def cache_bytes(answer):
    right = 2 * 24 * 1024 * 4 * 500 * 8
    mistakes = {
        right // 2: "That is half of it. A token leaves a key and a value. (Or did you count 2 bytes a number?)",
        right // 4: "That many numbers there are. Each has 4 bytes in float32.",
        right // 8: "That is one text. The batch has 8 texts, and each needs its own cache.",
        right * 8: "Those are bits. A number in float32 has 32 bits, and that is 4 bytes.",
        right // 24: "That is one block. Each of the 24 blocks keeps its own keys and values.",
        right // 500: "That is one token of each text. There are 500.",
        right // 4000: "That is one token of one text. There are 8 texts of 500.",
        right // 500 * 1024: "That is a full context. Here each text has 500 tokens.",
        right * 16: "You counted every head with emb_dim numbers. The heads share them: 64 each.",
        right / 2**20: "That is right in MiB. Answer in bytes.",
        right / 1e6: "That is right in MB. Answer in bytes.",
        right * 3 // 2: "Queries are not kept: no later token asks for them. Only keys and values are.",
    }
    check_number(answer, right, mistakes)
    return "750 MiB for eight short texts: about half of what the model itself needs."


@exercise(
    "12.2",
    hints=[
        "How many bytes must come out of memory for one step, in which each of the 8 texts gets one token?",
        "The weights are read once a step for all texts: 3 GB. The caches are 8 times 0.25 GB.",
        "60 GB per second and 5 GB per step: how many steps per second, and how many tokens does each give?",
    ],
)
def tokens_per_second(answer):
    mistakes = {
        12: "That is the steps per second. Each step gives one token to each of the 8 texts.",
        160: "You left the caches out. Each text's cache is read too, in every step.",
        20: "That is one text without its cache. Here 8 texts are written together.",
        60 / 3.25 * 8: "You read one cache for all. Each text has its own.",
        60 / 3.25: "So many if every text read the weights for itself. A batch reads them once for all its texts.",
        60 / 3.5 * 8: "You counted one byte a weight. In bf16 a weight has two.",
        60 / 8 * 8: "You counted four bytes a weight. In bf16 a weight has two.",
        10 * 8: "You counted four bytes a weight, and no caches. In bf16 a weight has two; the caches are read too.",
        40: "You divided by the number of weights. What limits is the bytes: those of the weights and the caches.",
        40 * 8: "You divided by the number of weights. What limits is the bytes: those of the weights and the caches.",
    }
    check_number(answer, 96, mistakes, tolerance=0.05)
    return "Without caches it would be 160: long texts eat up what a batch saves."


def attention(query, keys, values, scale=None):
    return F.scaled_dot_product_attention(query, keys, values, scale=scale)


def cached_attention(query, new_key, new_value, keys, values, scale=None):
    return attention(query, torch.cat((keys, new_key), dim=2), torch.cat((values, new_value), dim=2), scale)


@exercise(
    "12.3",
    hints=[
        "First put the new key after the old keys and the new value after the old values: torch.cat along dim=2.",
        "Then as in notebook 06: scores, divide by the root of head_dim, softmax, weighted sum of the values.",
        "No mask is needed: the newest token may look at everything there is.",
        "`weights = (query @ all_keys.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)`, then "
        "`weights @ all_values`",
    ],
)
def my_cached_attention(answer):
    def by_hand(query, new_key, new_value, keys, values, dim=-1):
        all_keys, all_values = torch.cat((keys, new_key), dim=2), torch.cat((values, new_value), dim=2)
        scores = query @ all_keys.transpose(2, 3) / query.shape[-1] ** 0.5
        return (scores if dim is None else scores.softmax(dim=dim)) @ all_values

    def scaled(scale):
        return lambda query, *case: cached_attention(query, *case, scale=scale(query))

    mistakes = [
        (scaled(lambda query: 1.0), "You do not scale: divide the scores by the root of head_dim."),
        (
            scaled(lambda query: 1 / query.shape[-1]),
            "You divide the scores by head_dim. It is the root of head_dim.",
        ),
        (
            scaled(lambda query: (query.shape[-1] * query.shape[1]) ** -0.5),
            "You divide by the root of emb_dim. Each head's vectors have only head_dim numbers.",
        ),
        (
            scaled(lambda query: query.shape[-1] ** 0.5),
            "You multiply the scores by the root of head_dim. Divide by it.",
        ),
        (
            lambda *case: by_hand(*case, dim=-2),
            "Your softmax goes over the query's axis, where there is only one: all weights are 1. Use dim=-1.",
        ),
        (
            lambda *case: by_hand(*case, dim=1),
            "Your softmax goes over the heads. The weights of all tokens must sum to 1: dim=-1.",
        ),
        (lambda *case: by_hand(*case, dim=None), "The softmax is missing between the scores and the values."),
        (
            lambda query, new_key, new_value, keys, values: attention(query, keys, values),
            "The new token does not see itself. Its own key and value belong after the old ones.",
        ),
        (
            lambda query, new_key, new_value, keys, values: new_value,
            "Your result is the new token's own value. It should be a mixture of all: who looks at the old ones?",
        ),
        (
            lambda query, new_key, new_value, keys, values: torch.cat((values, new_value), dim=2)[:, :, :1],
            "Only the first token gets any weight: a causal mask of one row does that. The newest token needs no mask.",
        ),
        (
            lambda query, new_key, new_value, keys, values: cached_attention(query, new_value, new_key, values, keys),
            "You exchanged keys and values: the query meets the keys, and the values are mixed.",
        ),
    ]
    generator = torch.Generator().manual_seed(12)
    cases = []
    for batch, n_heads, num_old, head_dim in [(2, 3, 5, 4), (1, 2, 1, 8), (1, 1, 7, 3), (3, 2, 0, 4)]:
        new = [2 * torch.randn(batch, n_heads, 1, head_dim, generator=generator) for _ in range(3)]
        old = [2 * torch.randn(batch, n_heads, num_old, head_dim, generator=generator) for _ in range(2)]
        cases += [tuple(tensor.to(device) for tensor in new + old) for device in devices()]
    first_token = cases[-len(devices()) :]  # nothing in the cache yet
    others = cases[: -len(devices())]
    check_function(answer, others, cached_attention, mistakes)
    check_function(answer, first_token, cached_attention)
    return "It agrees with PyTorch's attention, and works for the first token, too, when the cache is empty."


@exercise(
    "12.4",
    hints=[
        "The first piece is right, and later ones are not. What differs between them?",
        "At which position does the first new token stand, if 3 tokens are in the cache?",
        "Positions are counted from 0: with 3 tokens in the cache, the new ones stand at 3, 4, 5, ...",
        "`positions = torch.arange(num_cached, num_cached + new_ids.shape[1])`",
    ],
)
def mended_embedding(answer):
    def embedding(start, step=1):
        def embed(new_ids, num_cached, tok_emb, pos_emb):
            positions = start(num_cached, new_ids.shape[1]) + step * torch.arange(new_ids.shape[1])
            return tok_emb[new_ids] + pos_emb[positions.to(pos_emb.device)]

        return embed

    mistakes = [
        (
            embedding(lambda num_cached, num_new: 0),
            "Nothing is mended yet: each new piece is told that it stands at the beginning of the text.",
        ),
        (
            embedding(lambda num_cached, num_new: num_cached + 1),
            "One too far. Positions are counted from 0: after 3 tokens, the next one stands at position 3.",
        ),
        (
            embedding(lambda num_cached, num_new: num_cached - 1),
            "One too early: that position belongs to the last token in the cache.",
        ),
        (
            embedding(lambda num_cached, num_new: num_cached, step=0),
            "All tokens of a piece get the same position. They stand one after the other: num_cached, then one more.",
        ),
        (
            embedding(lambda num_cached, num_new: num_cached + num_new - 1, step=0),
            "All tokens of a piece get the position of its last one. They stand one after the other.",
        ),
        (
            lambda new_ids, num_cached, tok_emb, pos_emb: tok_emb[new_ids],
            "The position vectors are missing now: the result is the sum of both.",
        ),
    ]
    generator = torch.Generator().manual_seed(4)
    tok_emb, pos_emb = torch.randn(30, 6, generator=generator), torch.randn(16, 6, generator=generator)
    cases = []
    for batch, num_new, num_cached in [(1, 4, 0), (2, 3, 4), (1, 1, 7), (3, 5, 10)]:
        new_ids = torch.randint(30, (batch, num_new), generator=generator)
        tensors = [(new_ids.to(device), tok_emb.to(device), pos_emb.to(device)) for device in devices()]
        cases += [(ids, num_cached, tokens, positions) for ids, tokens, positions in tensors]
    right = embedding(lambda num_cached, num_new: num_cached)
    check_function(answer, cases, right, mistakes)
    full = [(ids[:1, :1], 15, tokens, positions) for ids, _, tokens, positions in cases[: len(devices())]]
    check_function(answer, full, right)
    return "One token or many, the cache empty or nearly full: num_cached tells where the text goes on."


def top_k_by(logits, temperature, top_k, largest=True, fill=-torch.inf):
    """Keep exactly `top_k` logits of each row and set the others to `fill`."""
    places = logits.topk(top_k, dim=-1, largest=largest).indices
    kept = torch.full_like(logits, fill).scatter(-1, places, logits.gather(-1, places))
    return (kept / temperature).softmax(dim=-1)


@exercise(
    "12.5",
    hints=[
        "Find the k-th best logit of each row: everything below it is to get the probability 0.",
        "A logit of minus infinity becomes a probability of 0, and softmax shares the rest among the others.",
        "`lowest_kept = logits.topk(top_k, dim=-1).values[:, -1:]` has shape (batch, 1).",
        "`logits.masked_fill(logits < lowest_kept, -torch.inf)`, divided by the temperature, then softmax.",
    ],
)
def my_top_k(answer):
    def cut_late(logits, temperature, top_k):
        probabilities = (logits / temperature).softmax(dim=-1)
        return probabilities.masked_fill(logits < logits.topk(top_k, dim=-1).values[:, -1:], 0.0)

    def without_the_last(logits, temperature, top_k):
        kept = logits.masked_fill(logits <= logits.topk(top_k, dim=-1).values[:, -1:], -torch.inf)
        return (kept / temperature).softmax(dim=-1)

    def lowest_cut_for_all(logits, temperature, top_k):
        kept = logits.masked_fill(logits < logits.topk(top_k, dim=-1).values.min(), -torch.inf)
        return (kept / temperature).softmax(dim=-1)

    def one_cut_for_all(logits, temperature, top_k):
        kept = logits.masked_fill(logits < logits.flatten().topk(top_k).values[-1], -torch.inf)
        return (kept / temperature).softmax(dim=-1)

    mistakes = [
        (
            lambda *case: top_k_by(*case, largest=False),
            "You keep the k smallest logits. The likeliest tokens have the largest.",
        ),
        (
            cut_late,
            "Your probabilities no longer sum to 1: softmax came before the cut. Set the logits to -inf first.",
        ),
        (
            lambda logits, temperature, top_k: top_k_by(logits, 1 / temperature, top_k),
            "You multiply by the temperature. Divide: a low temperature makes the favourites stronger.",
        ),
        (
            lambda logits, temperature, top_k: top_k_by(logits, 1.0, top_k),
            "The cut is right. The temperature is not used yet.",
        ),
        (
            lambda logits, temperature, top_k: top_k_by(logits, 1.0, top_k) / temperature,
            "You divide the probabilities by the temperature, so they do not sum to 1. Divide the logits.",
        ),
        (
            lambda *case: top_k_by(*case, fill=0.0),
            "You set the other logits to 0. Softmax makes a probability of that too: it takes -inf to get 0.",
        ),
        (
            lambda logits, temperature, top_k: (logits / temperature).softmax(dim=-1),
            "The temperature is right. The cut is still missing: only the k best may keep a probability.",
        ),
        (
            without_the_last,
            "You keep k - 1 tokens: the k-th best stays too.",
        ),
        (
            one_cut_for_all,
            "You look for the k best in the whole batch. Each row has its own k best: dim=-1.",
        ),
        (
            lowest_cut_for_all,
            "You cut all rows at one logit. Each row has its own k-th best: keep the batch dimension.",
        ),
    ]
    generator = torch.Generator().manual_seed(5)
    cases = []
    for (batch, vocab_size), temperature, top_k in [
        ((2, 9), 0.5, 3),
        ((1, 6), 2.0, 1),
        ((3, 5), 0.7, 5),
        ((2, 40), 1.3, 7),
    ]:
        logits = 3 * torch.randn(batch, vocab_size, generator=generator)
        logits[0] += 2  # so that no one cut is right for all rows
        cases += [(logits.to(device), temperature, top_k) for device in devices()]
    check_function(answer, cases, drawing_probabilities, mistakes)
    tied = (torch.tensor([[1.0, 4.0, 2.0, 2.0, 0.0, 2.0]]), 1.0, 2)
    result = call(answer, tied[0].clone(), *tied[1:])
    if close((result > 0).sum(), torch.tensor(2)):
        raise Wrong(
            "It is right as long as no logits are equal. In [1, 4, 2, 2, 0, 2] three tokens share the second place: "
            "then all of them stay."
        )
    check_function(answer, [tied], drawing_probabilities)
    return "The same numbers that gptcore's `generate` draws from."


def top_p_by(logits, keep, renormalise=lambda kept: kept / kept.sum(dim=-1, keepdim=True), descending=True):
    """Keep the sorted probabilities for which `keep(probabilities, their running sum)` holds, and put them back."""
    probabilities, order = logits.softmax(dim=-1).sort(dim=-1, descending=descending)
    kept = renormalise(probabilities * keep(probabilities, probabilities.cumsum(dim=-1)))
    return torch.zeros_like(kept).scatter(-1, order, kept)


def top_p(logits, p):
    return top_p_by(logits, lambda probabilities, running: running - probabilities < p)


@exercise(
    "12.6",
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
def my_top_p(answer):
    def unchanged(kept):
        return kept

    def sorted_only(logits, p):
        return top_p(logits, p).sort(dim=-1, descending=True).values

    def gathered(logits, p):
        return sorted_only(logits, p).gather(-1, logits.argsort(dim=-1, descending=True))

    def softmax_again(logits, p):
        kept = top_p_by(logits, lambda each, running: running - each < p, unchanged)
        return kept.masked_fill(kept == 0, -torch.inf).softmax(dim=-1)

    too_small = "Your set sums to less than p: the token with which the sum reaches p belongs to it."
    mistakes = [
        (lambda logits, p: top_p_by(logits, lambda each, running: running <= p), too_small),
        (lambda logits, p: top_p_by(logits, lambda each, running: (running <= p) | (running == each)), too_small),
        (
            lambda logits, p: top_p_by(logits, lambda each, running: running <= p, unchanged),
            too_small + " And what is left must sum to 1 again.",
        ),
        (
            lambda logits, p: top_p_by(logits, lambda each, running: F.pad((running - each)[:, :-1], (1, 0)) < p),
            "Your set is one token too large: it is complete as soon as its sum is at least p.",
        ),
        (
            lambda logits, p: top_p_by(logits, lambda each, running: running - each < p, unchanged),
            "The right tokens stay. Now their probabilities must sum to 1 again: divide by their sum.",
        ),
        (
            sorted_only,
            "Your numbers are right, but sorted: put each back to the token to which it belongs.",
        ),
        (
            gathered,
            "Right numbers in wrong places: gather takes from the places in `order`, scatter puts there.",
        ),
        (
            lambda logits, p: top_p_by(logits, lambda each, running: running - each < p, descending=False),
            "You collect from the least likely token up. Begin with the likeliest: descending=True.",
        ),
        (
            softmax_again,
            "You apply softmax to probabilities, which makes them nearly equal. Divide by their sum instead.",
        ),
        (
            lambda logits, p: top_p_by(logits, lambda each, running: each >= p),
            "You keep the tokens whose own probability is at least p. It is the sum of the set that must reach p.",
        ),
        (
            lambda logits, p: logits.softmax(dim=-1),
            "No token is cut off yet. Only those may stay that are needed to reach p.",
        ),
    ]
    generator = torch.Generator().manual_seed(6)

    def on_devices(batch, vocab_size, p):
        logits = 2 * torch.randn(batch, vocab_size, generator=generator)
        return [(logits.to(device), p) for device in devices()]

    sure = [(torch.tensor([[0.0, 30.0, 1.0]], device=device), 0.5) for device in devices()]
    sizes = [(2, 8, 0.5), (1, 5, 0.05), (3, 6, 0.9), (2, 30, 0.75)]
    check_function(answer, [case for size in sizes for case in on_devices(*size)] + sure, top_p, mistakes)
    check_function(answer, on_devices(1, 4, 1.0), top_p)
    return "Where the model is sure, few tokens stay; where it is not, many. Top-k always keeps the same number."

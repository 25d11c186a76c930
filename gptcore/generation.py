"""Writing text with a GPT, one token at a time.

Notebooks: 09_greedy_generation, 12_fast_generation.
"""

import math

import torch

from gptcore.cache import KVCache
from gptcore.checks import check_count, check_not_nan, check_number, check_token_ids

SMALLEST_TEMPERATURE = 1e-30  # in float32 a far smaller one would be 0


@torch.no_grad()
def generate_text_simple(model, idx, max_new_tokens, context_size):
    """Append `max_new_tokens` tokens, each the one to which the model gives the highest score (greedy).

    The model sees the last `context_size` tokens only. Its train/eval mode is left as it is:
    call `model.eval()` first, or dropout makes every run differ.

    Shapes: idx (batch, num_tokens) -> (batch, num_tokens + max_new_tokens).
    Raises: TypeError or ValueError for ids, counts or a context that cannot work, or logits that are NaN.
    Notebook: 09_greedy_generation.
    """
    check_token_ids(idx)
    check_count("max_new_tokens", max_new_tokens, least=0)
    check_count("context_size", context_size, least=1)
    for _ in range(max_new_tokens):
        idx_cond = idx[:, -context_size:]  # (batch, at most context_size)
        logits = model(idx_cond)[:, -1, :]  # the last position only: (batch, vocab_size)
        check_not_nan(logits)
        probas = torch.softmax(logits, dim=-1)
        idx_next = torch.argmax(probas, dim=-1, keepdim=True)  # (batch, 1)
        idx = torch.cat((idx, idx_next), dim=1)
    return idx


def generate(model, idx, max_new_tokens, *, temperature=0.0, top_k=None, eos_id=None, use_cache=True):
    """Append up to `max_new_tokens` tokens: `generate_text_simple` with a cache, sampling and an end token.

    Arguments, errors and the model's mode: see `stream`, which this collects.

    Shapes: idx (batch, num_tokens) -> (batch, num_tokens + at most max_new_tokens).
    Notebook: 12_fast_generation.
    """
    steps = stream(model, idx, max_new_tokens, temperature=temperature, top_k=top_k, eos_id=eos_id, use_cache=use_cache)
    return torch.cat((idx, *steps), dim=1)


def stream(model, idx, max_new_tokens, *, temperature=0.0, top_k=None, eos_id=None, use_cache=True):
    """Return an iterator over the new tokens, (batch, 1) each, so that text can be shown while it is written.

    Temperature 0 is greedy; above 0, the next token is drawn from softmax(logits / temperature) of the
    `top_k` highest scores (None: of all) and those that equal the lowest of them, with torch's random numbers.
    A row that wrote `eos_id` goes on with `eos_id`; when every row did, the stream ends. The cache saves time
    and, rounding aside, changes no token. It serves until the context is full: then the window slides, all positions
    change, and each step computes anew.

    Shapes: idx (batch, num_tokens) -> (batch, 1), at most max_new_tokens times.
    Raises: TypeError or ValueError, at once, for ids or settings that cannot work; later when logits are NaN.
    Source: top-k sampling: Fan et al. 2018, "Hierarchical Neural Story Generation". Notebook: 12_fast_generation.
    """
    vocab_size = model.cfg["vocab_size"]
    check_token_ids(idx, vocab_size)
    check_count("max_new_tokens", max_new_tokens, least=0)
    check_number("temperature", temperature, example="0.8")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be 0 (greedy) or a positive number such as 0.8, got {temperature}")
    if top_k is not None:
        check_count("top_k", top_k, least=1)
    if eos_id is not None:
        check_count("eos_id", eos_id, least=0)
        if eos_id >= vocab_size:
            raise ValueError(
                f"eos_id={eos_id} would never come: the model's ids are 0 to {vocab_size - 1} "
                f"(vocab_size={vocab_size}); take the eot_token of the model's own tokenizer"
            )
    return _steps(model, idx, max_new_tokens, temperature, top_k, eos_id, use_cache)


def _steps(model, idx, max_new_tokens, temperature, top_k, eos_id, use_cache):
    context_length = model.cfg["context_length"]
    weight = model.tok_emb.weight
    cache = KVCache(model.cfg, len(idx), weight.dtype, weight.device) if use_cache and not _is_replaced(model) else None
    new = idx = idx[:, -context_length:]
    has_ended = torch.zeros(len(idx), 1, dtype=torch.bool, device=idx.device)
    for _ in range(max_new_tokens):
        with torch.inference_mode():
            if cache is not None and cache.num_tokens + new.shape[1] <= context_length:
                hidden = model.hidden_states(new, cache)
            else:
                hidden = model.hidden_states(idx)
            logits = model.out_head(hidden[:, -1, :])  # the head reads the last position only: (batch, vocab_size)
            check_not_nan(logits)
            new = _choose(logits, temperature, top_k)  # (batch, 1)
            if eos_id is not None:
                new = torch.where(has_ended, eos_id, new)
                has_ended = has_ended | (new == eos_id)
            idx = torch.cat((idx, new), dim=1)[:, -context_length:]
        yield new.clone()  # made outside inference mode: an ordinary tensor, for any later use
        if has_ended.all():
            return


def _is_replaced(model):
    """True inside `replaced`: its function is to see the whole text, and `part.forward(x)` in it knows no cache."""
    hooks = [hook for part in model.modules() for hook in part._forward_hooks.values()]
    return any(getattr(hook, "needs_whole_text", False) for hook in hooks)


def _choose(logits, temperature, top_k):
    if temperature == 0:
        return torch.argmax(logits, dim=-1, keepdim=True)
    return torch.multinomial(drawing_probabilities(logits, temperature, top_k), num_samples=1)


def drawing_probabilities(logits, temperature, top_k=None):
    """The probabilities that `stream` draws the next token from, at a temperature above 0.

    Shapes: logits (batch, vocab_size) -> (batch, vocab_size).
    """
    # The largest becomes 0, whatever it is divided by: a small temperature would make it infinite.
    scaled = (logits - logits.max(dim=-1, keepdim=True).values) / max(temperature, SMALLEST_TEMPERATURE)
    if top_k is not None and top_k < logits.shape[-1]:
        lowest_kept = torch.topk(logits, top_k).values[:, -1:]
        scaled = scaled.masked_fill(logits < lowest_kept, -torch.inf)  # last: divided by 1e39 it would be NaN
    return torch.softmax(scaled, dim=-1)

"""Writing text with a GPT, one token at a time.

Notebook: 09_greedy_generation.
"""

import torch

from gptcore.checks import check_count, check_not_nan, check_token_ids


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

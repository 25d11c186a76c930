"""Input checks, shared by all modules: an error names the value, the limit and the fix."""

import torch

from gptcore.config import is_number, is_whole_number


def check_features(x, num_features=None):
    """Raise TypeError or ValueError unless `x` is a floating-point tensor whose last axis has `num_features`."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"expected a tensor, got {type(x).__name__}; convert it with torch.tensor(...)")
    if not x.is_floating_point():
        raise TypeError(f"expected floating-point numbers, got {x.dtype}; convert them with x.float()")
    if num_features is not None and (x.ndim == 0 or x.shape[-1] != num_features):
        raise ValueError(
            f"expected {num_features} features on the last axis, got shape {tuple(x.shape)}; "
            f"reshape the input or build the layer for its size"
        )


def check_whole_numbers(token_ids):
    """Raise TypeError unless `token_ids` is a tensor of whole numbers, of any shape."""
    if not isinstance(token_ids, torch.Tensor):
        raise TypeError(
            f"token ids must be a tensor, got {type(token_ids).__name__}; pass torch.tensor(ids), or "
            f"text_to_token_ids(text) for a text"
        )
    if token_ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(
            f"token ids must be torch.int64 or torch.int32, got {token_ids.dtype}; convert them with .long()"
        )


def check_row(token_ids):
    """Raise TypeError or ValueError unless `token_ids` is one row of whole numbers, (num_tokens,)."""
    check_whole_numbers(token_ids)
    if token_ids.ndim != 1:
        raise ValueError(f"one row of token ids is needed, got shape {tuple(token_ids.shape)}: pass ids[0]")


def check_token_ids(in_idx, vocab_size=None, context_length=None):
    """Raise TypeError or ValueError unless `in_idx` is (batch, num_tokens) whole numbers that the model knows.

    A limit that is None is not checked.
    """
    check_whole_numbers(in_idx)
    if in_idx.ndim != 2:
        raise ValueError(
            f"token ids must have shape (batch, num_tokens), got {tuple(in_idx.shape)}; "
            f"add the batch axis with .unsqueeze(0)"
        )
    if in_idx.numel() == 0:
        raise ValueError(f"token ids are empty, shape {tuple(in_idx.shape)}; the model needs at least one token")
    if context_length is not None and in_idx.shape[1] > context_length:
        raise ValueError(
            f"{in_idx.shape[1]} tokens are more than context_length={context_length}; "
            f"keep the last ones with in_idx[:, -{context_length}:]"
        )
    # Tensors on PyTorch's "meta" device, or while torch.compile reads the model, have shapes but no values to look at.
    if vocab_size is not None and not in_idx.is_meta and not torch.compiler.is_compiling():
        smallest, largest = in_idx.min().item(), in_idx.max().item()
        if smallest < 0 or largest >= vocab_size:
            raise ValueError(
                f"token ids must be 0 to {vocab_size - 1} (vocab_size={vocab_size}), got {smallest} to {largest}; "
                f"was the text encoded with another tokenizer?"
            )


def check_count(name, value, least):
    """Raise TypeError or ValueError unless `value` is a whole number of at least `least`."""
    if not is_whole_number(value):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_number(name, value, example):
    """Raise TypeError unless `value` is a number, such as `example`; a tensor of one number is one, too."""
    is_one = isinstance(value, torch.Tensor) and value.ndim == 0
    if not (is_one or is_number(value)):
        raise TypeError(f"{name} must be a number such as {example}, got {value!r}")


def check_no_dropout(model):
    """Raise ValueError for a model in train mode."""
    if model.training:
        raise ValueError("the model is in train mode, where dropout changes each run; call model.eval() first")


def check_not_nan(logits):
    """Raise ValueError when `logits` hold a NaN: the largest of them would mean nothing."""
    if torch.isnan(logits).any():
        raise ValueError("the logits contain NaN, so no token is the likeliest; the model's weights are broken")

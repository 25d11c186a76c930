"""The seven settings that define a GPT, for the four GPT-2 sizes, and their check.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", table 2.
Notebook: 01_config_and_shapes.
"""

from collections.abc import Mapping
from numbers import Integral, Real

GPT_CONFIG_124M = {
    "vocab_size": 50257,  # different token ids the model can read and write
    "context_length": 1024,  # positions it can look at in one go
    "emb_dim": 768,  # numbers that describe one token
    "n_heads": 12,  # attention heads in each block
    "n_layers": 12,  # transformer blocks, one after the other
    "drop_rate": 0.1,  # share of the values that dropout zeroes while training
    "qkv_bias": False,  # a bias in the query, key and value layers
}
GPT_CONFIG_345M = {**GPT_CONFIG_124M, "emb_dim": 1024, "n_heads": 16, "n_layers": 24}
GPT_CONFIG_762M = {**GPT_CONFIG_124M, "emb_dim": 1280, "n_heads": 20, "n_layers": 36}
GPT_CONFIG_1542M = {**GPT_CONFIG_124M, "emb_dim": 1600, "n_heads": 25, "n_layers": 48}

GPT_CONFIGS = {
    "124M": GPT_CONFIG_124M,
    "345M": GPT_CONFIG_345M,
    "762M": GPT_CONFIG_762M,
    "1542M": GPT_CONFIG_1542M,
}

FEED_FORWARD_EXPANSION = 4  # GPT-2 and the Transformer paper (section 3.3) make the hidden layer 4 times as wide

_COUNTS = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers")


def validate_config(cfg):
    """Return a checked copy of the configuration `cfg`, its numbers as Python's own.

    Raises: TypeError when `cfg` is not a dictionary; one ValueError that lists every problem:
    missing or unknown keys, wrong types, values out of range, `emb_dim` not divisible by `n_heads`.

    >>> validate_config({**GPT_CONFIG_124M, "emb_dim": 100})
    Traceback (most recent call last):
    ValueError: this configuration cannot work:
    - emb_dim=100 is not divisible by n_heads=12; try emb_dim=96 or emb_dim=108
    """
    if not isinstance(cfg, Mapping):
        raise TypeError(f"cfg must be a dictionary like GPT_CONFIG_124M, got {type(cfg).__name__}")
    problems = [f"{key!r} is missing; GPT_CONFIG_124M has all keys" for key in GPT_CONFIG_124M if key not in cfg]
    problems += [
        f"{key!r} is not a key of a configuration; the keys are {', '.join(GPT_CONFIG_124M)}"
        for key in cfg
        if key not in GPT_CONFIG_124M
    ]
    problems += [
        f"{key}={cfg[key]!r} must be a whole number of at least 1"
        for key in _COUNTS
        if key in cfg and not _is_count(cfg[key])
    ]
    if "drop_rate" in cfg and not (is_number(cfg["drop_rate"]) and 0 <= cfg["drop_rate"] < 1):
        problems.append(f"drop_rate={cfg['drop_rate']!r} must be a number from 0 up to, not including, 1")
    if "qkv_bias" in cfg and not isinstance(cfg["qkv_bias"], bool):
        problems.append(f"qkv_bias={cfg['qkv_bias']!r} must be True or False")
    emb_dim, n_heads = cfg.get("emb_dim"), cfg.get("n_heads")
    if _is_count(emb_dim) and _is_count(n_heads) and emb_dim % n_heads:
        below, above = emb_dim // n_heads * n_heads, (emb_dim // n_heads + 1) * n_heads
        fits = f"emb_dim={below} or emb_dim={above}" if below else f"emb_dim={above}"
        problems.append(f"emb_dim={emb_dim} is not divisible by n_heads={n_heads}; try {fits}")
    if problems:
        raise ValueError("this configuration cannot work:\n- " + "\n- ".join(problems))
    numbers = {key: int(cfg[key]) for key in _COUNTS} | {"drop_rate": float(cfg["drop_rate"])}  # numpy's, for example
    return {**cfg, **numbers}


def is_whole_number(value):
    """True for 3 and numpy's 3, False for True, 3.0 and "3"."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_count(value):
    return is_whole_number(value) and value >= 1


def is_number(value):
    """True for 3, 0.5 and numpy's numbers, False for True and "3"."""
    return isinstance(value, Real) and not isinstance(value, bool)

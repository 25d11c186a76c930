"""Parameters, bytes and floating-point operations, from the configuration alone: nothing is allocated.

Notebooks: 01_config_and_shapes, 04_feed_forward, 08_gpt_model to 11_gpt2_weights.
"""

import torch

from gptcore.checks import check_count
from gptcore.config import FEED_FORWARD_EXPANSION, validate_config

FLOP_PER_MULTIPLY_ADD = 2


def parameter_table(cfg, tied=False):
    """Return the number of parameters of each part of `GPTModel(cfg)`, in the model's order.

    `tied=True` counts a model after `tie_weights()`: its output head has no weights of its own.
    Raises: TypeError or ValueError for a configuration that cannot work.

    >>> from gptcore import GPT_CONFIG_124M
    >>> parameter_table(GPT_CONFIG_124M)["feed-forward"]
    56669184
    """
    cfg = validate_config(cfg)
    emb_dim, n_layers, vocab_size = cfg["emb_dim"], cfg["n_layers"], cfg["vocab_size"]
    hidden_dim = FEED_FORWARD_EXPANSION * emb_dim
    qkv = 3 * (emb_dim * emb_dim + cfg["qkv_bias"] * emb_dim)
    out_proj = emb_dim * emb_dim + emb_dim
    layer_norm = 2 * emb_dim  # scale and shift
    return {
        "token embedding": vocab_size * emb_dim,
        "position embedding": cfg["context_length"] * emb_dim,
        "attention": n_layers * (qkv + out_proj),
        "feed-forward": n_layers * (2 * emb_dim * hidden_dim + hidden_dim + emb_dim),
        "layer norms": (2 * n_layers + 1) * layer_norm,  # two in each block and the final one
        "output head": 0 if tied else vocab_size * emb_dim,
    }


def count_parameters(cfg, tied=False):
    """Return the number of parameters of `GPTModel(cfg)`, tied or not.

    Raises: TypeError or ValueError for a configuration that cannot work.

    >>> from gptcore import GPT_CONFIG_124M
    >>> count_parameters(GPT_CONFIG_124M), count_parameters(GPT_CONFIG_124M, tied=True)
    (163009536, 124412160)
    """
    return sum(parameter_table(cfg, tied).values())


def memory_bytes(cfg, dtype=torch.float32, *, tied=False, batch_size=1, num_tokens=0, training=False):
    """Return the bytes of each thing that must be in memory, all of one `dtype`; their sum is the total.

    Running keeps the parameters, the KV cache of `num_tokens` tokens and their logits. Training (AdamW)
    keeps a gradient and two moments per parameter, what the backward pass needs of each layer, and the
    logits twice. Not counted: PyTorch itself (about 200 MB) and short-lived values.

    Raises: TypeError or ValueError for a dtype, a count or a configuration that cannot work.
    Source: Kingma and Ba 2015, "Adam", algorithm 1 (moments).

    >>> from gptcore import GPT_CONFIG_124M
    >>> round(memory_bytes(GPT_CONFIG_124M)["parameters"] / 2**20, 2)
    621.83
    """
    cfg = validate_config(cfg)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a PyTorch type such as torch.float32 or torch.bfloat16, got {dtype!r}")
    check_count("batch_size", batch_size, least=1)
    _check_num_tokens(num_tokens, cfg, least=0)
    parameters = count_parameters(cfg, tied) * dtype.itemsize
    per_token = batch_size * num_tokens * dtype.itemsize
    logits = cfg["vocab_size"] * per_token
    if not training:
        kv_cache = 2 * cfg["n_layers"] * cfg["emb_dim"] * per_token  # a key and a value in each block
        return {"parameters": parameters, "KV cache": kv_cache, "logits": logits}
    return {
        "parameters": parameters,
        "gradients": parameters,
        "Adam's moments": 2 * parameters,
        "activations": _saved_per_token(cfg, num_tokens) * per_token,
        "logits": 2 * logits,  # with their log-softmax going forward, with their gradient going back
    }


def forward_flops(cfg, num_tokens, batch_size=1):
    """Return the floating-point operations of one forward pass, two for each multiply-add.

    Matrix products only: the rest is under 1%. Attention is counted for all pairs of tokens, though the
    causal mask needs about half of them.

    Raises: TypeError or ValueError for a count or a configuration that cannot work.
    Source: Kaplan et al. 2020, "Scaling Laws for Neural Language Models", table 1.

    >>> from gptcore import GPT_CONFIG_124M
    >>> round(forward_flops(GPT_CONFIG_124M, num_tokens=1024) / 1e9, 1)
    291.6
    """
    cfg = validate_config(cfg)
    _check_num_tokens(num_tokens, cfg, least=1)
    check_count("batch_size", batch_size, least=1)
    emb_dim = cfg["emb_dim"]
    linear_layers = (4 + 2 * FEED_FORWARD_EXPANSION) * emb_dim**2  # query, key, value, out_proj; feed-forward's two
    attention = 2 * num_tokens * emb_dim  # queries @ keys^T, then weights @ values
    per_token = cfg["n_layers"] * (linear_layers + attention) + cfg["vocab_size"] * emb_dim
    return FLOP_PER_MULTIPLY_ADD * batch_size * num_tokens * per_token


def _check_num_tokens(num_tokens, cfg, least):
    check_count("num_tokens", num_tokens, least)
    if num_tokens > cfg["context_length"]:
        raise ValueError(
            f"num_tokens={num_tokens} is more than context_length={cfg['context_length']}; use fewer tokens"
        )


def _saved_per_token(cfg, num_tokens):
    """Numbers that one forward pass saves for the backward pass, for each token."""
    emb_dim, n_heads = cfg["emb_dim"], cfg["n_heads"]
    # A block, in units of emb_dim: 2 norms in and out (4), queries, keys, values (3), attention's result (1),
    # feed-forward's hidden layer before and after GELU (8). The two norms also keep their mean and 1 / std.
    block = 16 * emb_dim + 4
    ends = 2 * emb_dim + 2  # the final norm, in and out, with its mean and 1 / std
    if cfg["drop_rate"] == 0:
        block += n_heads  # the fused attention keeps one number per head and token, not a matrix
    else:
        block += 2 * emb_dim  # two masks on the shortcuts
        block += 3 * n_heads * num_tokens  # attention weights, their mask, and the product
        ends += emb_dim  # the mask on the embeddings
    return cfg["n_layers"] * block + ends

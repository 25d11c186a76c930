"""Right answers in other styles than the solutions': each must pass."""

import math
from collections import OrderedDict
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gptcore import GELU, GPT_CONFIG_124M, attention_weights


def norm_from_sums(x, scale, shift, eps):
    n = x.shape[-1]
    mean = x.sum(-1, keepdim=True) / n
    variance = ((x - mean) ** 2).sum(-1, keepdim=True) / n
    return (x - mean) * (variance + eps) ** -0.5 * scale + shift


def norm_row_by_row(x, scale, shift, eps):
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        centred = row - row.mean()
        rows.append(centred / (centred.pow(2).mean() + eps).sqrt())
    return torch.stack(rows).reshape(x.shape) * scale + shift


def norm_with_a_try(x, scale, shift, eps):
    try:
        x = x.no_such_method()
    except AttributeError:
        return norm_from_sums(x, scale, shift, eps)


def layer_norm(x, scale, shift, eps):  # the name of what is forbidden is free
    return norm_from_sums(x, scale, shift, eps)


def stable_tanh(x):
    power = torch.exp(-2 * x.abs())
    return x.sign() * (1 - power) / (1 + power)


def gelu_without_tanh(x):
    return x / 2 * (1 + stable_tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))))


def gelu_by_sigmoid(x):
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def mixes_by_random_tokens(layer, x):
    right = layer(x)
    for token in range(x.shape[1]):
        other = torch.cat([x[:, :token], torch.randn_like(x[:, :1]), x[:, token + 1 :]], dim=1)
        moved = (layer(other) - right).abs() > 1e-5
        moved[:, token] = False
        if moved.any():
            return torch.tensor(True)
    return torch.tensor(False)


def mixes_by_zeros(layer, x):
    def moves(token):
        other = x.clone()
        other[:, token] = 0.0
        rest = torch.arange(x.shape[1]) != token
        return not torch.allclose(layer(other)[:, rest], layer(x)[:, rest], atol=1e-5)

    return any(moves(token) for token in range(x.shape[1]))


class Built(nn.Module):
    def __init__(self, emb_dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(emb_dim, 4 * emb_dim), GELU(), nn.Linear(4 * emb_dim, emb_dim))

    def forward(self, x):
        return self.layers(x)


def ratio_by_autograd(network, x):
    weights = [network.layers[0][0].weight, network.layers[-1][0].weight]
    first, last = torch.autograd.grad(network(x).square().mean(), weights)
    return first.abs().mean() / last.abs().mean()


def mask_in_loops(num_tokens):
    rows = [[0.0 if j <= i else -math.inf for j in range(num_tokens)] for i in range(num_tokens)]
    return torch.tensor(rows)


def weights_by_hand(queries, keys):
    scores = queries @ keys.mT / math.sqrt(keys.shape[-1])
    scores = scores + mask_in_loops(scores.shape[-1])
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def attention_head_by_head(queries, keys, values, num_heads):
    parts = zip(*(part.chunk(num_heads, dim=-1) for part in (queries, keys, values)), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*part, is_causal=True) for part in parts], dim=-1)


def window_in_loops(num_tokens, window):
    return torch.tensor([[j > i or i - j >= window for j in range(num_tokens)] for i in range(num_tokens)])


def writes_with_list(blocks, x):
    written = []
    for block in blocks:
        attention = block.att(block.norm1(x))
        feed_forward = block.ff(block.norm2(x + attention))
        written.extend([attention, feed_forward])
        x = x + attention + feed_forward
    return torch.cat([write[None] for write in written])


def count_by_parts(cfg):
    d = cfg["emb_dim"]
    linear = {"att": [(d, d)] * 4, "ff": [(d, 4 * d), (4 * d, d)]}
    block = sum(a * b for part in linear.values() for a, b in part)
    block += (3 * d if cfg["qkv_bias"] else 0) + d + 5 * d + 4 * d
    return cfg["n_layers"] * block + d * (2 * cfg["vocab_size"] + cfg["context_length"] + 2)


def writer_recursive(model, idx, max_new_tokens, context_size):
    if max_new_tokens == 0:
        return idx
    best = model(idx[:, -context_size:])[:, -1].max(dim=-1).indices
    return writer_recursive(model, torch.cat([idx, best[:, None]], 1), max_new_tokens - 1, context_size)


def writer_into_a_table(model, idx, max_new_tokens, context_size):
    start = idx.shape[1]
    text = torch.cat([idx, torch.zeros(len(idx), max_new_tokens, dtype=idx.dtype, device=idx.device)], dim=1)
    for place in range(start, start + max_new_tokens):
        text[:, place] = model(text[:, max(0, place - context_size) : place])[:, -1].argmax(-1)
    return text


def writer_of_each_text_alone(model, idx, max_new_tokens, context_size):
    return torch.cat([writer_recursive(model, text[None], max_new_tokens, context_size) for text in idx])


def writer_that_looks_once_too_often(model, idx, max_new_tokens, context_size):
    logits = model(idx[:, -context_size:])
    for _ in range(max_new_tokens):
        idx = torch.cat([idx, logits[:, -1:].argmax(-1)], dim=1)
        logits = model(idx[:, -context_size:])
    return idx


def stopping_writer_tested_first(model, idx, max_new_tokens, context_size, end_id):
    start = idx.shape[1]
    while idx.shape[1] - start < max_new_tokens and not (idx[:, start:] == end_id).any(dim=1).all():
        idx = torch.cat([idx, model(idx[:, -context_size:])[:, -1].argmax(-1, keepdim=True)], dim=1)
    return idx


def loss_by_logsumexp(logits, targets):
    return (logits.logsumexp(-1) - logits.gather(-1, targets[..., None])[..., 0]).mean()


def loss_in_loops(logits, targets):
    losses = []
    for row, target in zip(logits.flatten(0, 1), targets.flatten(), strict=True):
        shifted = row - row.max()
        losses.append(shifted.exp().sum().log() - shifted[target])
    return sum(losses) / len(losses)


def block_by_least_error(faulty, ids, wanted):
    errors = []
    for block in faulty.trf_blocks:
        weight = block.att.out_proj.weight
        block.att.out_proj.weight = nn.Parameter(weight.detach().T)
        errors.append((faulty(ids) - wanted).abs().max().item())
        block.att.out_proj.weight = weight
    return int(np.argmin(errors))


def top_p_row_by_row(logits, p):
    rows = []
    for row in logits.softmax(dim=-1):
        kept, total = torch.zeros_like(row), 0.0
        for place in row.argsort(descending=True).tolist():
            kept[place] = row[place]
            total += row[place].item()
            if total >= p:
                break
        rows.append(kept / kept.sum())
    return torch.stack(rows)


def block_in_eval_mode(block, x):
    block = block.eval()
    x = block.att(block.norm1(x)) + x
    return block.ff(block.norm2(x)) + x


def copy_score_by_search(model, ids):
    weights, length = attention_weights(model, ids), ids.shape[1] // 2
    total = 0
    for text, row in enumerate(ids.tolist()):
        for place in range(length, 2 * length):
            total = total + weights[:, text, :, place, row.index(row[place]) + 1]
    return total / (len(ids) * length)


SMALL = {**GPT_CONFIG_124M, "vocab_size": 256, "emb_dim": 128, "n_heads": 2, "n_layers": 4}

RIGHT = {
    "01.1": [torch.tensor([2_362_368, 2_359_296]), np.array([2_362_368, 2_359_296]), [2_362_368.0, 2_359_296]],
    "01.3": [
        lambda shapes: sum(torch.empty(shape, device="meta").numel() for shape in shapes),
        lambda shapes: np.int64(sum(reduce(lambda a, b: a * b, shape, 1) for shape in shapes)),
    ],
    "01.5": [
        *({**SMALL, "drop_rate": 0, "qkv_bias": False}, {**SMALL, "n_layers": np.int64(4)}, OrderedDict(SMALL)),
        {**SMALL, "qkv_bias": np.bool_(True)},
    ],
    "01.6": [
        lambda shapes: {
            "qkv_bias": np.bool_(any(name.endswith("W_key.bias") for name in shapes)),
            "n_layers": len({name.split(".")[1] for name in shapes if name.startswith("trf_blocks")}),
            "emb_dim": shapes["final_norm.scale"][0],
            "vocab_size": shapes["out_head.weight"][0],
            "context_length": shapes["pos_emb.weight"][0],
        },
        lambda shapes: OrderedDict(
            vocab_size=shapes["out_head.weight"][0],
            emb_dim=shapes["final_norm.scale"][0],
            context_length=shapes["pos_emb.weight"][0],
            n_layers=sum(name.endswith("norm2.shift") for name in shapes),
            qkv_bias="trf_blocks.0.att.W_value.bias" in shapes,
        ),
    ],
    "02.1": [norm_from_sums, norm_row_by_row, norm_with_a_try, layer_norm],
    "02.2": [38_400.0, np.int64(38_400), torch.tensor(38_400)],
    "02.5": [(2.0, 3.0), torch.tensor([2.0, 3.0])],
    "02.6": [
        lambda x, scale, eps: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * scale,
        lambda x, scale, eps: scale * x / (x.norm(dim=-1, keepdim=True) ** 2 / x.shape[-1] + eps).sqrt(),
    ],
    "03.1": [gelu_without_tanh, gelu_by_sigmoid],
    "03.2": ["B", "b", "(B)", ["B"], "curve B", ("b",)],
    "04.2": [
        lambda x, W_in, b_in, W_out, b_out: F.linear(F.gelu(F.linear(x, W_in, b_in), approximate="tanh"), W_out, b_out),
    ],
    "04.4": [Built],
    "04.6": [mixes_by_random_tokens, mixes_by_zeros],
    "05.1": [lambda x, layers: reduce(lambda stream, layer: stream + layer(stream), layers, x)],
    "05.6": [ratio_by_autograd],
    "06.1": [mask_in_loops],
    "06.2": [weights_by_hand],
    "06.4": [attention_head_by_head],
    "06.6": [window_in_loops],
    "07.3": [block_in_eval_mode],
    "07.4": [
        lambda emb_dim, qkv_bias: 12 * emb_dim**2 + (13 if qkv_bias else 10) * emb_dim,
        lambda emb_dim, qkv_bias: sum([4 * emb_dim**2, emb_dim, 8 * emb_dim**2, 9 * emb_dim, 3 * emb_dim * qkv_bias]),
    ],
    "07.5": [(1000 * (1 - 0.8), 12.5, 10), (200.0, 12.5, 100 / 10)],
    "07.6": [writes_with_list],
    "08.6": [count_by_parts],
    "09.1": [writer_recursive, writer_into_a_table, writer_of_each_text_alone],
    "09.5": [stopping_writer_tested_first],
    "10.2": [loss_by_logsumexp, loss_in_loops],
    "11.3": [lambda c_attn: c_attn.reshape(len(c_attn), 3, -1).permute(1, 2, 0)],
    "11.5": [block_by_least_error],
    "12.3": [
        lambda query, new_key, new_value, keys, values: F.scaled_dot_product_attention(
            query, torch.cat([keys, new_key], -2), torch.cat([values, new_value], -2)
        )
    ],
    "12.6": [top_p_row_by_row],
    "13.5": [copy_score_by_search],
    "14.2": [writer_recursive, writer_into_a_table, writer_of_each_text_alone, writer_that_looks_once_too_often],
}

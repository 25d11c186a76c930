"""Answers that give the right numbers in a way that their task forbids, and what each of them uses."""

import sys
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import rms_norm as my_own_norm

import gptcore
from gptcore import GPT_CONFIG_124M, count_parameters, generate_text_simple, parameter_table


def by_gptcores_norm(x, scale, shift, eps):
    norm = gptcore.LayerNorm(x.shape[-1])
    norm.eps, norm.scale, norm.shift = eps, nn.Parameter(scale), nn.Parameter(shift)
    return norm(x)


def by_torchs_norm(x, scale, shift, eps):
    return scale * nn.LayerNorm(x.shape[-1], eps=eps, elementwise_affine=False)(x) + shift


def hidden_import(x, scale, shift, eps):
    norm = __import__("importlib").import_module("torch.nn.functional").__dict__["layer" + "_norm"]
    return norm(x, x.shape[-1:], scale, shift, eps)


def only_where_it_is_hard(x, scale, shift, eps):
    if x.ndim > 2:
        return torch.layer_norm(x, x.shape[-1:], scale, shift, eps)
    return scale * (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + eps).sqrt() + shift


def of_a_model(cfg):
    with torch.device("meta"):
        model = gptcore.GPTModel(cfg)
    return sum(parameter.numel() for parameter in model.parameters())


def of_a_block(emb_dim, qkv_bias):
    cfg = {**GPT_CONFIG_124M, "emb_dim": emb_dim, "n_heads": 1, "qkv_bias": qkv_bias}
    return sum(parameter.numel() for parameter in gptcore.TransformerBlock(cfg).parameters())


def of_layers(emb_dim, qkv_bias):
    attention = [nn.Linear(emb_dim, emb_dim, bias=qkv_bias) for _ in range(3)] + [nn.Linear(emb_dim, emb_dim)]
    layers = [*attention, nn.Linear(emb_dim, 4 * emb_dim), nn.Linear(4 * emb_dim, emb_dim)]
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters()) + 4 * emb_dim


def gptcores_own_old_copy(*given):
    """Call it as the grader meets it: gptcore is imported anew there, the notebook's names mean the modules before."""
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "gptcore"}
    for name in kept:
        del sys.modules[name]
    try:
        return __import__("gptcore").generate_text_simple(*given)
    finally:
        sys.modules.update(kept)


def picked(values, targets):
    return values.gather(-1, targets.unsqueeze(-1))


READY_MADE = [
    ("02.1", lambda x, scale, shift, eps: F.layer_norm(x, x.shape[-1:], scale, shift, eps), "PyTorch's layer_norm"),
    ("02.1", hidden_import, "PyTorch's layer_norm"),
    ("02.1", only_where_it_is_hard, "PyTorch's layer_norm"),
    ("02.1", by_gptcores_norm, "gptcore's LayerNorm"),
    ("02.1", by_torchs_norm, "nn.LayerNorm"),
    (
        "02.1",
        lambda x, *given: torch.ops.aten.native_layer_norm(x, x.shape[-1:], *given)[0],
        "PyTorch's native_layer_norm",
    ),
    ("02.6", lambda x, scale, eps: my_own_norm(x, x.shape[-1:], scale, eps), "PyTorch's rms_norm"),
    ("02.6", lambda x, scale, eps: scale * nn.RMSNorm(x.shape[-1], eps=eps)(x).detach(), "nn.RMSNorm"),
    ("03.1", partial(F.gelu, approximate="tanh"), "PyTorch's gelu"),
    ("03.1", nn.GELU("tanh"), "nn.GELU"),
    ("03.1", gptcore.GELU(), "gptcore's GELU"),
    ("07.4", of_a_block, "gptcore's TransformerBlock"),
    ("07.4", of_layers, "nn.Linear"),
    ("08.6", count_parameters, "gptcore's count_parameters"),
    ("08.6", lambda cfg: sum(parameter_table(cfg).values()), "gptcore's parameter_table"),
    ("08.6", of_a_model, "gptcore's GPTModel"),
    ("09.1", generate_text_simple, "gptcore's generate_text_simple"),
    ("09.1", gptcores_own_old_copy, "gptcore's generate_text_simple"),
    ("10.2", lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten()), "cross_entropy"),
    ("10.2", lambda logits, targets: -picked(logits.log_softmax(-1), targets).mean(), "PyTorch's log_softmax"),
    ("10.2", lambda logits, targets: -picked(torch.special.log_softmax(logits, -1), targets).mean(), "log_softmax"),
    ("10.2", lambda logits, targets: nn.CrossEntropyLoss()(logits.mT, targets), "nn.CrossEntropyLoss"),
    ("10.2", lambda z, targets: -torch.distributions.Categorical(logits=z).log_prob(targets).mean(), "Categorical"),
]

"""Counts from the configuration alone, against real modules, PyTorch's own counters and published figures."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peak import rise_of_peak
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gptcore import (
    GPT_CONFIG_124M,
    GPT_CONFIGS,
    FeedForward,
    GPTModel,
    LayerNorm,
    MultiHeadAttention,
    count_parameters,
    forward_flops,
    memory_bytes,
    parameter_table,
)

# Figures F: untied and tied, without qkv bias; then as published, tied and with it; MiB untied in float32.
PUBLISHED = {
    "124M": (163_009_536, 124_412_160, 124_439_808, 621.83),
    "345M": (406_212_608, 354_749_440, 354_823_168, 1549.58),
    "762M": (838_220_800, 773_891_840, 774_030_080, 3197.56),
    "1542M": (1_637_792_000, 1_557_380_800, 1_557_611_200, 6247.68),
}

small_configs = st.builds(
    lambda heads, head_dim, **keys: {"n_heads": heads, "emb_dim": heads * head_dim, **keys},
    heads=st.integers(1, 4),
    head_dim=st.integers(1, 8),
    vocab_size=st.integers(1, 50),
    context_length=st.integers(1, 20),
    n_layers=st.integers(1, 3),
    drop_rate=st.sampled_from([0.0, 0.1]),
    qkv_bias=st.booleans(),
)


@pytest.mark.parametrize("name", GPT_CONFIGS)
def test_the_four_sizes(name):
    cfg = GPT_CONFIGS[name]
    untied, tied, with_bias, mebibytes = PUBLISHED[name]
    assert count_parameters(cfg) == untied
    assert count_parameters(cfg, tied=True) == tied
    assert count_parameters({**cfg, "qkv_bias": True}, tied=True) == with_bias
    assert round(memory_bytes(cfg)["parameters"] / 2**20, 2) == mebibytes
    with torch.device("meta"):
        model = GPTModel(cfg)
    assert sum(p.numel() for p in model.parameters()) == untied
    assert sum(p.numel() for p in model.tie_weights().parameters()) == tied


@given(small_configs, st.booleans())
@settings(max_examples=50)
def test_each_part_equals_the_real_modules(cfg, tied):
    with torch.device("meta"):
        model = GPTModel(cfg)
    if tied:
        model.tie_weights()
    kinds = {"attention": MultiHeadAttention, "feed-forward": FeedForward, "layer norms": LayerNorm}
    real = {
        part: sum(p.numel() for m in model.modules() if isinstance(m, kind) for p in m.parameters())
        for part, kind in kinds.items()
    }
    real["token embedding"] = model.tok_emb.weight.numel()
    real["position embedding"] = model.pos_emb.weight.numel()
    real["output head"] = 0 if tied else model.out_head.weight.numel()
    assert parameter_table(cfg, tied) == real
    assert count_parameters(cfg, tied) == sum(p.numel() for p in model.parameters())


@given(small_configs, st.integers(1, 3), st.data())
@settings(max_examples=30, deadline=None)
def test_flops_equal_pytorchs_count(cfg, batch_size, data):
    num_tokens = data.draw(st.integers(1, cfg["context_length"]))
    model = GPTModel(cfg).eval()
    in_idx = torch.zeros(batch_size, num_tokens, dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with torch.no_grad():
        model(in_idx)  # a first time, in which Linear tries two ways to multiply
        with counter, sdpa_kernel(SDPBackend.MATH):  # the fused kernel's products are not counted
            model(in_idx)
    assert forward_flops(cfg, num_tokens, batch_size) == counter.get_total_flops()


def test_flops_of_the_124m_model():
    assert forward_flops(GPT_CONFIG_124M, num_tokens=1024) == 291_648_307_200


@pytest.mark.parametrize("drop_rate", [0.0, 0.1])
@pytest.mark.parametrize("changes", [{}, {"n_layers": 3}, {"n_heads": 8}, {"emb_dim": 128}, {"context_length": 48}])
def test_activations_equal_what_autograd_saves(changes, drop_rate):
    cfg = {"vocab_size": 50, "context_length": 32, "emb_dim": 64, "n_heads": 4, "n_layers": 2, "qkv_bias": False}
    cfg |= {"drop_rate": drop_rate, **changes}
    model = GPTModel(cfg)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)  # kept alive, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = model(torch.zeros(2, cfg["context_length"], dtype=torch.long))
    counted = memory_bytes(cfg, batch_size=2, num_tokens=cfg["context_length"], training=True)
    assert counted["activations"] == sum(size for size, _ in saved.values())
    assert counted["logits"] == 2 * logits.untyped_storage().nbytes()


def test_memory_for_running_and_for_training():
    running = memory_bytes(GPT_CONFIG_124M, num_tokens=1024)
    assert running == {"parameters": 652_038_144, "KV cache": 1024 * 73_728, "logits": 1024 * 50257 * 4}
    training = memory_bytes(GPT_CONFIG_124M, training=True, num_tokens=1024)
    assert training["gradients"] == training["parameters"] == training["Adam's moments"] / 2 == 652_038_144
    halved = memory_bytes(GPT_CONFIG_124M, torch.bfloat16, num_tokens=1024)
    assert {part: 2 * size for part, size in halved.items()} == running
    assert memory_bytes(GPT_CONFIG_124M, torch.int8)["parameters"] == 163_009_536
    assert memory_bytes(GPT_CONFIG_124M, tied=True)["parameters"] == 4 * 124_412_160


@pytest.mark.parametrize(
    ("name", "bytes_per_token"), [("124M", 73_728), ("345M", 196_608), ("762M", 368_640), ("1542M", 614_400)]
)
def test_kv_cache_per_token(name, bytes_per_token):
    assert memory_bytes(GPT_CONFIGS[name], num_tokens=1)["KV cache"] == bytes_per_token
    assert memory_bytes(GPT_CONFIGS[name], torch.float16, num_tokens=1)["KV cache"] == bytes_per_token // 2


def test_counting_the_largest_model_allocates_nothing():
    prepare = "from gptcore import GPT_CONFIG_1542M, GPTModel, forward_flops, memory_bytes, parameter_table"
    count = "parameter_table(GPT_CONFIG_1542M), memory_bytes(GPT_CONFIG_1542M, training=True)"
    flops = "forward_flops(GPT_CONFIG_1542M, 1024)"
    assert rise_of_peak(prepare, f"{count}, {flops}") < 5e6  # bytes; the model has 6 GB
    assert rise_of_peak(prepare, "GPTModel({**GPT_CONFIG_1542M, 'n_layers': 1, 'vocab_size': 100})") > 100e6


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: count_parameters({}), ValueError, ["'emb_dim' is missing"]),
        (lambda: parameter_table([1]), TypeError, ["dictionary"]),
        (lambda: memory_bytes(GPT_CONFIG_124M, "float32"), TypeError, ["torch.float32", "'float32'"]),
        (lambda: memory_bytes(GPT_CONFIG_124M, num_tokens=1025), ValueError, ["1025", "context_length=1024"]),
        (lambda: memory_bytes(GPT_CONFIG_124M, batch_size=0), ValueError, ["batch_size", "at least 1"]),
        (lambda: memory_bytes(GPT_CONFIG_124M, num_tokens=-1), ValueError, ["num_tokens", "-1"]),
        (lambda: forward_flops(GPT_CONFIG_124M, 1025), ValueError, ["1025", "context_length=1024"]),
        (lambda: forward_flops(GPT_CONFIG_124M, 0), ValueError, ["num_tokens", "at least 1"]),
        (lambda: forward_flops(GPT_CONFIG_124M, 1.5), TypeError, ["num_tokens", "1.5"]),
    ],
)
def test_bad_input_gets_the_value_the_limit_and_the_fix(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    for word in words:
        assert word in str(error.value)

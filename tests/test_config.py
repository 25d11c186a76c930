"""Configurations: what is accepted, and that every problem is named at once."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcore import GPT_CONFIG_124M, GPT_CONFIGS, GPTModel, validate_config


def changed(**keys):
    return {**GPT_CONFIG_124M, **keys}


def test_the_124m_configuration_is_the_published_one():
    assert GPT_CONFIG_124M == {
        "vocab_size": 50257,
        "context_length": 1024,
        "emb_dim": 768,
        "n_heads": 12,
        "n_layers": 12,
        "drop_rate": 0.1,
        "qkv_bias": False,
    }


def test_the_larger_ones_differ_in_three_keys_only():
    sizes = {name: (cfg["emb_dim"], cfg["n_heads"], cfg["n_layers"]) for name, cfg in GPT_CONFIGS.items()}
    assert sizes == {"124M": (768, 12, 12), "345M": (1024, 16, 24), "762M": (1280, 20, 36), "1542M": (1600, 25, 48)}
    for cfg in GPT_CONFIGS.values():
        assert validate_config(cfg) == cfg
        assert {key for key in cfg if cfg[key] != GPT_CONFIG_124M[key]} <= {"emb_dim", "n_heads", "n_layers"}


def test_returns_a_copy():
    checked = validate_config(GPT_CONFIG_124M)
    checked["emb_dim"] = 1
    assert GPT_CONFIG_124M["emb_dim"] == 768


def test_returns_pythons_own_numbers():
    checked = validate_config(changed(n_layers=np.int64(2), emb_dim=np.int32(24), drop_rate=Fraction(1, 10)))
    assert {key: type(value) for key, value in checked.items()} == {
        **dict.fromkeys(GPT_CONFIG_124M, int),
        "drop_rate": float,
        "qkv_bias": bool,
    }
    assert (checked["n_layers"], checked["emb_dim"], checked["drop_rate"]) == (2, 24, 0.1)


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (changed(emb_dim=100), ["emb_dim=100", "n_heads=12", "96", "108"]),
        (changed(emb_dim=3), ["emb_dim=3", "try emb_dim=12"]),
        (changed(emb_dim="768"), ["emb_dim='768'", "whole number"]),
        (changed(emb_dim=768.0), ["emb_dim=768.0"]),
        (changed(n_layers=0), ["n_layers=0", "at least 1"]),
        (changed(n_heads=True), ["n_heads=True"]),
        (changed(vocab_size=-1), ["vocab_size=-1"]),
        (changed(context_length=None), ["context_length=None"]),
        (changed(drop_rate=1.0), ["drop_rate=1.0", "not including, 1"]),
        (changed(drop_rate=-0.1), ["drop_rate=-0.1"]),
        (changed(drop_rate=float("nan")), ["drop_rate=nan"]),
        (changed(qkv_bias=1), ["qkv_bias=1", "True or False"]),
        (changed(n_layer=12), ["'n_layer' is not a key", "n_layers"]),
        ({}, [f"'{key}' is missing" for key in GPT_CONFIG_124M]),
        (changed(n_layer=12, emb_dim=100), ["'n_layer' is not a key", "emb_dim=100 is not divisible"]),
        (changed(n_layers=0, drop_rate=2, qkv_bias=None), ["n_layers=0", "drop_rate=2", "qkv_bias=None"]),
    ],
)
def test_names_every_problem(cfg, words):
    with pytest.raises(ValueError) as error:
        validate_config(cfg)
    for word in words:
        assert word in str(error.value)
    with pytest.raises(ValueError):
        GPTModel(cfg)


def test_a_configuration_is_a_dictionary():
    with pytest.raises(TypeError, match="dictionary like GPT_CONFIG_124M, got list"):
        validate_config([768])


@given(st.dictionaries(st.sampled_from([*GPT_CONFIG_124M, "other"]), st.integers() | st.floats() | st.booleans()))
def test_any_dictionary_is_accepted_or_refused_with_a_list(changes):
    cfg = {**GPT_CONFIG_124M, **changes}
    try:
        checked = validate_config(cfg)
    except ValueError as error:
        assert str(error).count("\n- ") >= 1
    else:
        assert checked["emb_dim"] % checked["n_heads"] == 0 and 0 <= checked["drop_rate"] < 1

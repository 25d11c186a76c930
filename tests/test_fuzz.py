"""Whatever comes in, what comes out is a result or a ValueError that says why: files, settings, typed text.

A hundred inputs each; `HYPOTHESIS_PROFILE=long pytest tests/test_fuzz.py tests/test_tokenizer.py tests/test_config.py`
tries 20,000 each.
"""

import inspect
import json
import re
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gptcore
from gptcore import GPTModel
from gptcore.pretrained import CONFIG_FILE, NEEDED_SETTINGS, NUMBER_OF, WEIGHTS_FILE, save_checkpoint
from gptcore.viz import widgets
from gptcore.viz.widgets import live

SMALL = {"vocab_size": 11, "context_length": 4, "emb_dim": 4, "n_heads": 2, "n_layers": 1, "drop_rate": 0.0}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from([*NEEDED_SETTINGS, *NUMBER_OF.values(), "n_inner", "resid_pdrop", "tie_word_embeddings"])
one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(123)
    save_checkpoint(GPTModel({**SMALL, "qkv_bias": True}).tie_weights(), folder)
    return folder


@pytest.fixture(scope="module")
def damaged(checkpoint, tmp_path_factory):
    """Write a checkpoint with this config.json and these weights, and try to load it."""
    folder = tmp_path_factory.mktemp("damaged")

    def load(config=None, weights=None):
        (folder / CONFIG_FILE).write_bytes((checkpoint / CONFIG_FILE).read_bytes() if config is None else config)
        (folder / WEIGHTS_FILE).write_bytes((checkpoint / WEIGHTS_FILE).read_bytes() if weights is None else weights)
        try:
            model = GPTModel.from_pretrained(folder)
        except ValueError as error:
            assert len(str(error)) > 20
            return None
        assert model(torch.tensor([[1, 2]])).shape == (1, 2, model.cfg["vocab_size"])
        return model

    assert load() is not None
    return load


@given(changes=st.dictionaries(KEYS, JSON, min_size=1, max_size=3))
def test_any_settings_fit_or_are_refused(changes, checkpoint, damaged):
    config = json.loads((checkpoint / CONFIG_FILE).read_text()) | changes
    damaged(config=json.dumps(config).encode())


@given(config=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_in_the_place_of_settings_is_refused(config, damaged):
    assert damaged(config=config) is None


@given(data=st.data())
def test_weights_with_any_bytes_changed_are_loaded_or_refused(data, checkpoint, damaged):
    weights = bytearray((checkpoint / WEIGHTS_FILE).read_bytes())
    end_of_header = 8 + struct.unpack("<Q", weights[:8])[0]
    for place in data.draw(st.lists(st.integers(0, end_of_header - 1), min_size=1, max_size=4)):
        weights[place] = data.draw(st.integers(0, 255))
    damaged(weights=bytes(weights[: data.draw(st.integers(0, len(weights)))] if data.draw(st.booleans()) else weights))


ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "U8", "BOOL", "F99", ""]),
        "shape": st.lists(st.integers(-1, 12), max_size=3),
        "data_offsets": st.lists(st.integers(-1, 2000), min_size=2, max_size=2),
    }
)


@given(
    changes=st.dictionaries(
        st.sampled_from(["transformer.wte.weight", "transformer.h.0.ln_1.bias", "other", "lm_head.weight"]),
        ENTRY | JSON,
        min_size=1,
        max_size=2,
    )
)
def test_any_header_is_loaded_or_refused(changes, checkpoint, damaged):
    weights = (checkpoint / WEIGHTS_FILE).read_bytes()
    length = struct.unpack("<Q", weights[:8])[0]
    header = json.dumps(json.loads(weights[8 : 8 + length]) | changes).encode()
    damaged(weights=struct.pack("<Q", len(header)) + header + weights[8 + length :])


TEXT_BOXES = {
    "token_explorer": "text",
    "norm_axis_explorer": "token_0",
    "attention_explorer": "text",
    "generation_explorer": "prompt",
    "sampling_explorer": "prompt",
    "ablation_explorer": "text",
}
HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "</p>", '">', "&lt;script"]
SIGNS = "<>&\"'$_^\\{}%,.0123456789-eina \t\n"
TYPED = st.text(max_size=60) | st.lists(st.sampled_from([*HOSTILE, *SIGNS]), max_size=60).map("".join)


@pytest.mark.parametrize("name", TEXT_BOXES)
def test_any_text_in_a_box_is_shown_or_refused(name, capsys):
    torch.manual_seed(123)
    model = GPTModel({**gptcore.GPT_CONFIG_124M, "context_length": 64, "emb_dim": 16, "n_heads": 2, "n_layers": 1})
    function = getattr(widgets, name)
    function(*[model.eval()] if "model" in inspect.signature(function).parameters else [])
    explorer = next(reversed(live._shown.values()))

    # A redraw takes as long as some hundred of the other inputs.
    @settings(max_examples=max(10, settings().max_examples // 20))
    @given(TYPED)
    def try_it(text):
        explorer.controls[TEXT_BOXES[name]].value = text
        shown = explorer._picture.value + explorer._problem.value
        assert shown and "<script" not in shown and not re.search("<[^>]*onerror", shown)

    try_it()
    explorer.close()
    live._shown.clear()

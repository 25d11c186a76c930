"""Greedy generation, against rigged models whose every answer is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gptcore import GPTModel, KVCache, generate, generate_text_simple, stream
from gptcore.generation import drawing_probabilities

VOCAB_SIZE = 7


class Rigged(nn.Module):
    """Scores highest the sum of the last two tokens it sees, modulo the vocabulary; notes what it was shown.

    Only the last position tells the truth: the others point to token 0.
    """

    def __init__(self):
        super().__init__()
        self.lengths = []

    def forward(self, in_idx):
        self.lengths.append(in_idx.shape[1])
        logits = F.one_hot(torch.zeros_like(in_idx), VOCAB_SIZE).float()
        logits[:, -1] = 1e-3 * F.one_hot(in_idx[:, -2:].sum(dim=1) % VOCAB_SIZE, VOCAB_SIZE).float()
        return logits


@given(
    st.lists(st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(0, 12),
    st.integers(2, 20),
)
def test_appends_the_highest_score_of_the_last_position(prompts, max_new_tokens, context_size):
    model = Rigged()
    idx = torch.tensor(prompts)
    out = generate_text_simple(model, idx, max_new_tokens, context_size)
    for row, prompt in zip(out.tolist(), prompts, strict=True):
        expected = list(prompt)
        for _ in range(max_new_tokens):
            expected.append(sum(expected[-2:]) % VOCAB_SIZE)
        assert row == expected
    assert model.lengths == [min(3 + step, context_size) for step in range(max_new_tokens)]
    assert torch.equal(idx, torch.tensor(prompts))  # the prompt itself is left alone


def test_the_context_is_the_last_tokens():
    out = generate_text_simple(Rigged(), torch.tensor([[1, 2, 3]]), max_new_tokens=3, context_size=1)
    assert out.tolist() == [[1, 2, 3, 3, 3, 3]]  # one token seen: its sum is itself


@given(st.integers(0, 99))
@settings(max_examples=15)
def test_rows_of_a_batch_do_not_touch_each_other(seed):
    torch.manual_seed(seed)
    cfg = {
        "vocab_size": 50,
        "context_length": 8,
        "emb_dim": 16,
        "n_heads": 2,
        "n_layers": 2,
        "drop_rate": 0.5,
        "qkv_bias": False,
    }
    model = GPTModel(cfg).eval()
    idx = torch.randint(0, 50, (3, 4))
    together = generate_text_simple(model, idx, max_new_tokens=10, context_size=8)
    alone = [generate_text_simple(model, row.unsqueeze(0), max_new_tokens=10, context_size=8) for row in idx]
    assert torch.equal(together, torch.cat(alone))


def test_keeps_no_gradients_and_leaves_the_mode_alone():
    model = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
    for mode in (True, False):
        model.train(mode)
        out = generate_text_simple(model, torch.tensor([[1]]), max_new_tokens=2, context_size=4)
        assert model.training is mode and not out.requires_grad
    assert model[0].weight.grad is None


@pytest.mark.parametrize(
    ("idx", "max_new_tokens", "context_size", "kind", "words"),
    [
        (torch.zeros(1, 0).long(), 1, 4, ValueError, ["empty", "at least one token"]),
        (torch.tensor([1, 2]), 1, 4, ValueError, ["(2,)", "unsqueeze"]),
        (torch.tensor([[1.5]]), 1, 4, TypeError, ["torch.float32", ".long()"]),
        ([[1, 2]], 1, 4, TypeError, ["list"]),
        (torch.tensor([[1]]), -1, 4, ValueError, ["max_new_tokens", "at least 0", "-1"]),
        (torch.tensor([[1]]), 2.0, 4, TypeError, ["max_new_tokens", "2.0"]),
        (torch.tensor([[1]]), 1, 0, ValueError, ["context_size", "at least 1", "0"]),
    ],
)
def test_bad_input_gets_the_value_the_limit_and_the_fix(idx, max_new_tokens, context_size, kind, words):
    with pytest.raises(kind) as error:
        generate_text_simple(Rigged(), idx, max_new_tokens, context_size)
    for word in words:
        assert word in str(error.value)


def test_logits_that_are_not_numbers_are_refused():
    broken = nn.Embedding(5, 5)
    nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        generate_text_simple(broken, torch.tensor([[1]]), max_new_tokens=1, context_size=4)


def small_model(seed=123, **changes):
    torch.manual_seed(seed)
    cfg = {"vocab_size": 50, "context_length": 10, "emb_dim": 12, "n_heads": 3, "n_layers": 2, "drop_rate": 0.1}
    return GPTModel({**cfg, "qkv_bias": True, **changes}).eval()


configs = st.fixed_dictionaries(
    {
        "vocab_size": st.integers(2, 60),
        "context_length": st.integers(1, 12),
        "n_layers": st.integers(1, 3),
        "qkv_bias": st.booleans(),
        "heads": st.tuples(st.integers(1, 4), st.integers(1, 6)),
    }
)


@st.composite
def models_and_prompts(draw):
    changes = draw(configs)
    n_heads, head_dim = changes.pop("heads")
    model = small_model(draw(st.integers(0, 99)), n_heads=n_heads, emb_dim=n_heads * head_dim, **changes)
    batch, length = draw(st.integers(1, 4)), draw(st.integers(1, 2 * changes["context_length"]))
    return model, torch.randint(changes["vocab_size"], (batch, length))


@given(models_and_prompts(), st.integers(0, 15))
@settings(max_examples=60, deadline=None)
def test_the_cache_changes_nothing_and_greedy_is_the_simple_one(model_and_prompt, max_new_tokens):
    model, idx = model_and_prompt
    simple = generate_text_simple(model, idx, max_new_tokens, model.cfg["context_length"])
    assert torch.equal(generate(model, idx, max_new_tokens), simple)
    assert torch.equal(generate(model, idx, max_new_tokens, use_cache=False), simple)
    assert torch.equal(torch.cat((idx, *stream(model, idx, max_new_tokens)), dim=1), simple)


@given(models_and_prompts(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_text_fed_in_pieces_gives_the_logits_of_the_whole(model_and_prompt, data):
    model, idx = model_and_prompt
    idx = idx[:, : model.cfg["context_length"]]
    cache, found, start = KVCache(model.cfg, batch_size=len(idx)), [], 0
    with torch.no_grad():
        while start < idx.shape[1]:
            size = data.draw(st.integers(1, idx.shape[1] - start))
            found.append(model(idx[:, start : start + size], cache))
            start += size
            assert cache.num_tokens == start
        torch.testing.assert_close(torch.cat(found, dim=1), model(idx), atol=1e-5, rtol=1e-5)


def sample_written_out(model, idx, max_new_tokens, temperature, top_k):
    """Temperature and top-k from their definitions, row by row, without a cache."""
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits = model(idx[:, -model.cfg["context_length"] :])[:, -1]
        rows = []
        for row in logits:
            kept = set(row.argsort(descending=True)[:top_k].tolist())
            weights = [math.exp(score / temperature) if i in kept else 0.0 for i, score in enumerate(row.tolist())]
            rows.append([weight / sum(weights) for weight in weights])
        idx = torch.cat((idx, torch.multinomial(torch.tensor(rows), num_samples=1)), dim=1)
    return idx


@pytest.mark.parametrize(("temperature", "top_k"), [(0.7, None), (1.0, 1), (1.5, 5), (0.3, 50), (1.0, 999)])
def test_temperature_and_top_k_match_the_plain_form_on_a_fixed_seed(temperature, top_k):
    model = small_model()
    idx = torch.tensor([[1, 2, 3], [7, 8, 9]])
    torch.manual_seed(5)
    expected = sample_written_out(model, idx, 14, temperature, top_k)
    for use_cache in (True, False):
        torch.manual_seed(5)
        found = generate(model, idx, 14, temperature=temperature, top_k=top_k, use_cache=use_cache)
        assert torch.equal(found, expected)
    torch.manual_seed(5)
    steps = list(stream(model, idx, 14, temperature=temperature, top_k=top_k))
    assert torch.equal(torch.cat((idx, *steps), dim=1), expected)


def test_top_k_keeps_all_that_equal_the_lowest_kept():
    logits = torch.tensor([[3.0, 1.0, 1.0, 0.0]])
    assert (drawing_probabilities(logits, 1.0, top_k=2) > 0).tolist() == [[True, True, True, False]]


def test_a_temperature_may_be_a_tensor_of_one_number():
    torch.manual_seed(5)
    expected = generate(small_model(), torch.tensor([[1, 2]]), 5, temperature=0.75)
    torch.manual_seed(5)
    assert torch.equal(generate(small_model(), torch.tensor([[1, 2]]), 5, temperature=torch.tensor(0.75)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [5e-324, 1e-45, 1e-8, 1e-3])
def test_a_tiny_temperature_is_greedy(temperature, dtype):
    """Scores divided by it would be infinite, and then not numbers; in half precision 0.001 is tiny enough."""
    torch.manual_seed(123)
    logits = (1000 * torch.randn(3, 50)).to(dtype)
    highest = logits == logits.max(dim=-1, keepdim=True).values
    for top_k in (None, 5):
        assert torch.equal(drawing_probabilities(logits, temperature, top_k), highest / highest.sum(-1, keepdim=True))


def test_a_row_ends_at_eos_and_all_rows_end_the_stream():
    model = small_model()
    idx = torch.tensor([[1, 2, 3], [7, 8, 9]])
    free = generate(model, idx, 9)
    eos_id = free[0, 4].item()  # the first row's second new token
    ended = generate(model, idx, 9, eos_id=eos_id)
    first, second = free[:, 3:].tolist()
    ends = [row.index(eos_id) if eos_id in row else 9 for row in (first, second)]
    assert ended.shape[1] == 3 + min(9, max(ends) + 1)
    for found, row, end in zip(ended[:, 3:].tolist(), (first, second), ends, strict=True):
        assert found == (row[: end + 1] + [eos_id] * 9)[: len(found)]
    assert generate(model, idx[:1], 9, eos_id=eos_id).tolist() == [[*idx[0].tolist(), *first[: ends[0] + 1]]]


def test_a_stream_gives_each_token_as_soon_as_it_is_there():
    model = small_model()
    shown = []
    model.out_head.register_forward_hook(lambda *_: shown.append(len(shown)))
    steps = stream(model, torch.tensor([[1, 2]]), 5)
    assert shown == []
    next(steps)
    next(steps)
    assert len(shown) == 2


def test_generated_ids_are_ordinary_tensors_and_the_mode_is_left_alone():
    model = small_model().train()
    out = generate(model, torch.tensor([[1, 2]]), 3)
    (step,) = stream(model, torch.tensor([[1, 2]]), 1)
    assert model.training and not out.is_inference() and not step.is_inference()
    model(out).sum().backward()  # as when a generated text is trained on


def test_a_cache_refuses_what_does_not_fit():
    model = small_model()
    cache = KVCache(model.cfg)
    with torch.no_grad():
        model(torch.ones(1, 8, dtype=torch.long), cache)
        with pytest.raises(ValueError, match="3 new tokens do not fit: the cache holds 8 of context_length=10"):
            model(torch.ones(1, 3, dtype=torch.long), cache)
        with pytest.raises(ValueError, match=r"\(1, 3, 1, 4\), got \(2, 3, 1, 4\).*batch size"):
            model(torch.ones(2, 1, dtype=torch.long), cache)
        assert cache.num_tokens == 8  # what was refused left nothing behind
        with pytest.raises(ValueError, match="the cache is for 1 blocks, the model has more"):
            model(torch.ones(1, 1, dtype=torch.long), KVCache({**model.cfg, "n_layers": 1}))
        model(torch.ones(1, 2, dtype=torch.long), cache)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        KVCache(model.cfg, batch_size=0)


@torch.no_grad()
def test_a_cache_of_another_model_is_refused_before_anything_is_kept():
    model, ids = small_model(), torch.ones(1, 1, dtype=torch.long)
    longer = KVCache({**model.cfg, "context_length": 20})
    model(ids.repeat(1, 10), longer)  # as far as the model's positions go
    with pytest.raises(ValueError, match="1 new tokens do not fit: the cache holds 10 of context_length=10"):
        model(ids, longer)
    deeper = KVCache({**model.cfg, "n_layers": 3})
    with pytest.raises(ValueError, match="the cache is for 3 blocks, the model has fewer"):
        model(ids, deeper)
    in_float32 = KVCache(model.cfg)
    with pytest.raises(ValueError, match=r"float32 on cpu.*KVCache\(model\.cfg, batch_size, dtype=torch\.bfloat16"):
        model.bfloat16()(ids, in_float32)
    assert deeper.num_tokens == in_float32.num_tokens == 0
    model(ids, KVCache(model.cfg, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("settings_", "kind", "words"),
    [
        ({"temperature": -1.0}, ValueError, "temperature must be 0"),
        ({"temperature": math.inf}, ValueError, "temperature must be 0"),
        ({"temperature": math.nan}, ValueError, "temperature must be 0"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1"),
        ({"top_k": 2.5}, TypeError, "top_k must be a whole number"),
        ({"temperature": "0.8"}, TypeError, "temperature must be a number such as 0.8, got '0.8'"),
        ({"temperature": None}, TypeError, "temperature must be a number such as 0.8, got None"),
        ({"eos_id": -1}, ValueError, "eos_id must be at least 0"),
        ({"eos_id": 50}, ValueError, r"eos_id=50 .* 0 to 49 \(vocab_size=50\); take the eot_token"),
        ({"max_new_tokens": -1}, ValueError, "max_new_tokens must be at least 0"),
        ({"idx": torch.tensor([[50]])}, ValueError, "0 to 49"),
        ({"idx": torch.tensor([1, 2])}, ValueError, "batch axis"),
    ],
)
def test_stream_refuses_at_once(settings_, kind, words):
    arguments = {"idx": torch.tensor([[1, 2]]), "max_new_tokens": 3, **settings_}
    with pytest.raises(kind, match=words):
        stream(small_model(), **arguments)


def test_logits_that_are_nan_are_refused():
    model = small_model()
    with torch.no_grad():
        model.final_norm.scale.fill_(math.nan)
    with pytest.raises(ValueError, match="NaN"):
        generate(model, torch.tensor([[1]]), 2)


@pytest.mark.parametrize("temperature", [1e39, 1e300])
def test_a_huge_temperature_draws_evenly_from_the_top_k(temperature):
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    assert drawing_probabilities(logits, temperature, top_k=2).tolist() == [[0.5, 0, 0.5, 0]]

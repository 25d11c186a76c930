"""Greedy generation, against rigged models whose every answer is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gptcore import GPTModel, generate_text_simple

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

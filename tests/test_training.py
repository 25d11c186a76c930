"""The training loop and its loss."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gptcore import GPTModel, mean_loss, next_token_loss, story_token_ids, token_batches, train, write_stories

ROW = torch.zeros(500, dtype=torch.long)


def line_batch():
    x = torch.linspace(-1, 1, 16).unsqueeze(1)
    return x, 3 * x + 1


def test_loss_of_a_uniform_guess_is_the_logarithm_of_the_vocabulary():
    assert next_token_loss(torch.zeros(2, 3, 50257), torch.zeros(2, 3).long()).item() == pytest.approx(math.log(50257))


def test_loss_is_the_mean_over_all_positions():
    torch.manual_seed(123)
    logits, targets = torch.randn(2, 3, 5), torch.randint(0, 5, (2, 3))
    by_hand = -torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).mean()
    torch.testing.assert_close(next_token_loss(logits, targets), by_hand)


def test_the_type_of_whole_numbers_changes_no_loss():
    torch.manual_seed(123)
    ids = torch.randint(0, 10, (61,))
    logits, targets = torch.randn(2, 3, 10), ids[:6].view(2, 3)
    assert next_token_loss(logits, targets.int()) == next_token_loss(logits, targets)
    model = nn.Embedding(10, 10)
    assert mean_loss(model, ids.int(), 20) == mean_loss(model, ids, 20)


def test_steps_equal_those_of_adamw_by_hand():
    torch.manual_seed(123)
    ours, reference = nn.Linear(1, 1), nn.Linear(1, 1)
    reference.load_state_dict(ours.state_dict())
    losses = train(ours, line_batch, num_steps=5, lr=0.1, loss_fn=F.mse_loss)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=0.1, fused=True)
    for step in range(5):
        x, y = line_batch()
        loss = F.mse_loss(reference(x), y)
        assert loss.item() == losses[step]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(ours.state_dict(), reference.state_dict(), rtol=0, atol=0)


def test_a_gpt_learns_to_count():
    torch.manual_seed(123)
    cfg = {
        "vocab_size": 10,
        "context_length": 8,
        "emb_dim": 16,
        "n_heads": 2,
        "n_layers": 1,
        "drop_rate": 0.0,
        "qkv_bias": False,
    }

    def counting_batch():
        ids = (torch.randint(0, 10, (16, 1)) + torch.arange(9)) % 10
        return ids[:, :-1], ids[:, 1:]

    losses = train(GPTModel(cfg), counting_batch, num_steps=80, lr=1e-2)
    assert len(losses) == 80 and losses[0] > 2 and losses[-1] < 0.05


@pytest.mark.parametrize("mode", [True, False])
def test_trains_in_train_mode_and_puts_the_mode_back(mode):
    seen = []
    model = nn.Linear(1, 1).train(mode)
    model.register_forward_hook(lambda module, *_: seen.append(module.training))
    train(model, line_batch, num_steps=2, lr=0.1, loss_fn=F.mse_loss)
    assert seen == [True, True] and model.training is mode


@pytest.mark.parametrize("use", [train, mean_loss])
def test_a_part_that_was_put_into_eval_mode_by_hand_stays_there(use):
    model = nn.Sequential(nn.Embedding(5, 5), nn.Dropout(0.1))
    model[1].eval()
    if use is train:
        train(model, lambda: (torch.tensor([[1]]), torch.tensor([[2]])), num_steps=1, lr=0.1)
    else:
        mean_loss(model, torch.arange(5), 2)
    assert [part.training for part in model.modules()] == [True, True, False]


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_fix():
    model = nn.Linear(1, 1).eval()
    with pytest.raises(ValueError, match=r"became nan at step 0; try a smaller lr than 0\.1"):
        train(model, lambda: (torch.tensor([[float("nan")]]), torch.zeros(1, 1)), 3, lr=0.1, loss_fn=F.mse_loss)
    assert not model.training


@pytest.mark.parametrize("visible", [True, False])
def test_shows_a_progress_bar_unless_told_not_to(visible, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    train(nn.Linear(1, 1), line_batch, num_steps=3, lr=0.1, loss_fn=F.mse_loss, progress=visible)
    assert ("Training" in capsys.readouterr().err) is visible


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: train(nn.Linear(1, 1), line_batch, 0, 0.1), ValueError, ["num_steps", "at least 1"]),
        (lambda: train(nn.Linear(1, 1), line_batch, 1.5, 0.1), TypeError, ["num_steps", "1.5"]),
        (lambda: train(nn.Linear(1, 1), line_batch, 1, 0.0), ValueError, ["lr", "positive"]),
        (lambda: train(nn.Linear(1, 1), line_batch, 1, math.nan), ValueError, ["lr", "nan"]),
        (lambda: train(nn.Linear(1, 1), line_batch, 1, "1e-3"), TypeError, ["lr", "a number such as 1e-3", "'1e-3'"]),
        (lambda: next_token_loss(torch.zeros(2, 3, 5), torch.zeros(2, 4).long()), ValueError, ["(2, 3)", "(2, 4)"]),
        (lambda: next_token_loss(torch.zeros(1, 1, 5), torch.zeros(1, 1)), TypeError, ["torch.float32", ".long()"]),
        (lambda: token_batches(ROW[None], 4, 2), ValueError, ["one row", "(1, 500)", "ids[0]"]),
        (lambda: token_batches(ROW.tolist(), 4, 2), TypeError, ["list", "torch.tensor(ids)"]),
        (lambda: token_batches(ROW.float(), 4, 2), TypeError, ["torch.float32", ".long()"]),
        (lambda: token_batches(ROW, 0, 2), ValueError, ["context_length", "at least 1", "0"]),
        (lambda: token_batches(ROW, 4, 0), ValueError, ["batch_size", "at least 1", "0"]),
        (lambda: token_batches(ROW, 4, 1.5), TypeError, ["batch_size", "1.5"]),
        (lambda: token_batches(ROW, 500, 2), ValueError, ["500 token ids", "context_length=500"]),
        (lambda: mean_loss(nn.Embedding(9, 9), ROW[None], 4), ValueError, ["one row", "(1, 500)", "ids[0]"]),
        (lambda: mean_loss(nn.Embedding(9, 9), ROW.tolist(), 4), TypeError, ["list", "torch.tensor(ids)"]),
        (lambda: mean_loss(nn.Embedding(9, 9), ROW, 0), ValueError, ["context_length", "at least 1", "0"]),
    ],
)
def test_bad_input_gets_the_value_the_limit_and_the_fix(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    for word in words:
        assert word in str(error.value)


def test_a_loaded_model_learns_what_its_copy_in_ordinary_memory_learns():
    ids = story_token_ids(write_stories(30, seed=5))
    loaded = GPTModel.from_pretrained("stories")
    assert not loaded.trf_blocks[0].att.W_value.weight.is_contiguous()
    copy = GPTModel(loaded.cfg)
    copy.load_state_dict(loaded.state_dict())
    loaded.trf_blocks[1].requires_grad_(False)
    copy.trf_blocks[1].requires_grad_(False)
    frozen = [p.clone() for p in loaded.trf_blocks[1].parameters()]
    for model in (loaded, copy):
        train(model, token_batches(ids, 32, 2), num_steps=3, lr=1e-3, progress=False)
    for (name, found), wanted in zip(loaded.named_parameters(), copy.parameters(), strict=True):
        if "W_key.bias" not in name:  # whose gradient is 0 but for rounding
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4, msg=name)
    assert all(map(torch.equal, loaded.trf_blocks[1].parameters(), frozen))


def test_a_frozen_neighbour_stays():
    model = GPTModel.from_pretrained("stories").requires_grad_(False)
    att = model.trf_blocks[0].att
    att.W_value.weight.requires_grad_(True)
    before = att.W_key.weight.clone()
    train(model, token_batches(story_token_ids(write_stories(30)), 32, 2), num_steps=1, lr=1e-3, progress=False)
    assert torch.equal(att.W_key.weight, before)

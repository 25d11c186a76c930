"""The microscope: a trace that changes nothing, attention written down, and patches equal to models changed by hand."""

import pytest
import torch

from gptcore import (
    GPT_CONFIG_124M,
    GPTModel,
    KVCache,
    attention_weights,
    patch_everywhere,
    replaced,
    run_with_trace,
    stream_names,
)
from gptcore.trace import strongest_look

SMALL = {"vocab_size": 60, "context_length": 24, "emb_dim": 16, "n_heads": 2, "n_layers": 3, "drop_rate": 0.1}


def small_model(seed=123, qkv_bias=True):
    torch.manual_seed(seed)
    model = GPTModel({**SMALL, "qkv_bias": qkv_bias}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # norms and biases, too, are like no others
    return model


def ids_for(model, batch=1, num_tokens=9, seed=5):
    drawn = torch.Generator().manual_seed(seed)
    return torch.randint(model.cfg["vocab_size"], (batch, num_tokens), generator=drawn)


def the_stories():
    return GPTModel.from_pretrained("stories")


def gpt2_sized_and_tied():
    torch.manual_seed(123)
    return GPTModel({**GPT_CONFIG_124M, "n_layers": 2}).tie_weights().eval()


@pytest.mark.parametrize("make_model", [small_model, the_stories, gpt2_sized_and_tied])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("record_gradients", [False, True])
def test_a_trace_has_the_models_own_logits_to_the_last_bit(make_model, batch, record_gradients):
    model = make_model()
    ids = ids_for(model, batch)
    with torch.set_grad_enabled(record_gradients):
        logits, trace = run_with_trace(model, ids)
        assert torch.equal(logits, model(ids)) and torch.equal(logits, trace["out_head"])
    assert set(trace) == {name for name, _ in model.named_modules()} - {"", "trf_blocks"}  # a list that never runs
    assert not any(part._forward_hooks for part in model.modules())


@torch.no_grad()
def test_a_trace_has_the_same_logits_with_a_cache():
    model = small_model()
    ids = ids_for(model)
    plain, traced = KVCache(model.cfg), KVCache(model.cfg)
    for new in (ids[:, :5], ids[:, 5:6], ids[:, 6:]):
        logits, trace = run_with_trace(model, new, traced)
        assert torch.equal(logits, model(new, plain)) and trace["drop_emb"].shape[1] == new.shape[1]
    assert plain.num_tokens == traced.num_tokens == 9


@torch.no_grad()
def test_the_parts_of_a_trace_add_up_to_the_stream():
    model = small_model()
    _, trace = run_with_trace(model, ids_for(model))
    assert stream_names(model) == ["drop_emb", "trf_blocks.0", "trf_blocks.1", "trf_blocks.2"]
    for before, behind in zip(stream_names(model), stream_names(model)[1:], strict=False):
        added = trace[f"{behind}.att"] + trace[f"{behind}.ff"]
        torch.testing.assert_close(trace[before] + added, trace[behind])


def test_a_trace_fails_as_the_model_does_and_leaves_no_hook_behind():
    model = small_model()
    with pytest.raises(ValueError, match="60"):
        run_with_trace(model, torch.full((1, 3), 60))
    assert not any(part._forward_hooks for part in model.modules())


@torch.no_grad()
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_attention_weights_make_what_the_attention_layer_gives(qkv_bias):
    model = small_model(qkv_bias=qkv_bias)
    ids = ids_for(model, batch=2)
    weights = attention_weights(model, ids)
    assert weights.shape == (3, 2, 2, 9, 9)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 2, 9))
    assert weights.triu(1).abs().max() == 0
    _, trace = run_with_trace(model, ids)
    for i, block in enumerate(model.trf_blocks):
        values = block.att.split_heads(trace[f"trf_blocks.{i}.att.W_value"])
        context = (weights[i] @ values).transpose(1, 2).flatten(2)
        torch.testing.assert_close(block.att.out_proj(context), trace[f"trf_blocks.{i}.att"])


def test_a_look_needs_a_token_besides_the_beginning():
    assert strongest_look(torch.tensor([[0.9, 0.1], [0.7, 0.3]])) == (1, 1)
    with pytest.raises(ValueError, match="at least two tokens are needed, got 1; "):
        strongest_look(torch.ones(4, 1))


@torch.no_grad()
def test_a_patch_equals_a_model_whose_stream_is_changed_by_hand():
    model = small_model()
    ids, other_ids = ids_for(model), ids_for(model, seed=6)
    _, other = run_with_trace(model, other_ids)
    chances = patch_everywhere(model, ids, other_ids)
    assert chances.shape == (4, 9, 60)
    for depth, name in enumerate(stream_names(model)):
        for place in range(9):

            def put(part, x, name=name, place=place):
                x = part.forward(x).clone()
                x[:, place] = other[name][:, place]
                return x

            with replaced(model, name, put):
                by_hand = model(ids)[0, -1].softmax(dim=-1)
            torch.testing.assert_close(chances[depth, place], by_hand)
    whole = model(other_ids)[0, -1].softmax(dim=-1)
    torch.testing.assert_close(chances[-1, -1], whole)  # behind the last block nothing but the last vector counts


def test_attention_weights_need_a_model_without_dropout():
    model = small_model().train()
    with pytest.raises(ValueError, match=r"train mode.*model.eval\(\)"):
        attention_weights(model, ids_for(model))


def test_of_dropout_on_a_blocks_shortcuts_the_trace_has_the_second_time():
    model = small_model()
    _, trace = run_with_trace(model, ids_for(model))
    assert torch.equal(trace["trf_blocks.0.drop_shortcut"], trace["trf_blocks.0.ff"])


def test_a_patch_needs_a_model_without_dropout():
    model = small_model().train()
    with pytest.raises(ValueError, match=r"train mode.*model.eval\(\)"):
        patch_everywhere(model, ids_for(model), ids_for(model, seed=6))


@pytest.mark.parametrize(("one", "other"), [((1, 4), (1, 5)), ((2, 4), (2, 4))])
def test_a_patch_needs_two_texts_of_the_same_length(one, other):
    with pytest.raises(ValueError, match=rf"same number of tokens.*\({one[0]}, {one[1]}\).*; give one text at a time"):
        patch_everywhere(small_model(), torch.ones(one, dtype=torch.long), torch.ones(other, dtype=torch.long))


def test_a_patch_needs_tensors():
    with pytest.raises(TypeError, match=r"got list; pass torch.tensor\(ids\)"):
        patch_everywhere(small_model(), [1], [2])

"""The model's parts against PyTorch's own layers, closed forms and published figures."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gptcore import (
    GELU,
    GPT_CONFIG_124M,
    FeedForward,
    GPTModel,
    LayerNorm,
    MultiHeadAttention,
    TransformerBlock,
    generate_text_simple,
    text_to_token_ids,
)

TINY = {
    "vocab_size": 61,
    "context_length": 16,
    "emb_dim": 24,
    "n_heads": 4,
    "n_layers": 3,
    "drop_rate": 0.0,
    "qkv_bias": True,
}


def randomised(module, seed=123):
    """Move every parameter off its initial value, so that a forgotten bias or gain shows."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def attention_written_out(att, x):
    """The formula of section 3.2 of Vaswani et al. 2017, head by head."""
    num_tokens = x.shape[1]
    head_dim = att.out_proj.in_features // att.num_heads
    future = torch.triu(torch.ones(num_tokens, num_tokens, dtype=torch.bool), diagonal=1)
    queries, keys, values = att.W_query(x), att.W_key(x), att.W_value(x)
    heads = []
    for head in range(att.num_heads):
        part = slice(head * head_dim, (head + 1) * head_dim)
        scores = queries[..., part] @ keys[..., part].transpose(1, 2) / math.sqrt(head_dim)
        weights = torch.softmax(scores.masked_fill(future, -math.inf), dim=-1)
        heads.append(weights @ values[..., part])
    return att.out_proj(torch.cat(heads, dim=-1))


class TestLayerNorm:
    @pytest.mark.parametrize("scale_of_input", [1e-4, 1.0, 1e4])
    @pytest.mark.parametrize("offset", [0.0, 1e3])
    @pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 4, 768)])
    def test_equals_pytorch_and_the_formula(self, shape, offset, scale_of_input):
        norm = randomised(LayerNorm(shape[-1]))
        x = torch.randn(shape) * scale_of_input + offset
        reference = nn.LayerNorm(shape[-1])
        reference.load_state_dict({"weight": norm.scale, "bias": norm.shift})
        torch.testing.assert_close(norm(x), reference(x))
        wide = x.double()
        mean, variance = wide.mean(-1, keepdim=True), wide.var(-1, keepdim=True, unbiased=False)
        formula = norm.scale * (wide - mean) / torch.sqrt(variance + 1e-5) + norm.shift
        # What float32 can do: an offset of 1e3 leaves 4 digits of a number near 1, and fewer of a smaller one.
        tolerance = 1e-5 + 1e-6 * offset / max(scale_of_input, 3e-3)
        torch.testing.assert_close(norm(x).double(), formula.double(), atol=tolerance, rtol=1e-4)

    def test_has_only_scale_and_shift_and_starts_neutral(self):
        norm = LayerNorm(6)
        assert {name: tensor.tolist() for name, tensor in norm.state_dict().items()} == {
            "scale": [1.0] * 6,
            "shift": [0.0] * 6,
        }
        assert norm.eps == 1e-5

    @given(st.integers(2, 64), st.integers(1, 4), st.floats(0.5, 100), st.floats(-100, 100), st.integers(0, 99))
    def test_gives_each_row_mean_0_and_variance_1(self, emb_dim, rows, spread, offset, seed):
        torch.manual_seed(seed)
        x = (torch.randn(rows, emb_dim) * spread + offset).double()
        variance = x.var(-1, unbiased=False)
        out = LayerNorm(emb_dim).double()(x)
        torch.testing.assert_close(out.mean(-1), torch.zeros(rows).double(), atol=1e-9, rtol=0)
        torch.testing.assert_close(out.var(-1, unbiased=False), variance / (variance + 1e-5))

    def test_a_constant_row_becomes_0(self):
        assert torch.equal(LayerNorm(4)(torch.full((2, 4), 7.0)), torch.zeros(2, 4))

    def test_the_first_layer_of_the_series(self):
        """Figures F: Linear(5, 6) and ReLU under seed 123."""
        torch.manual_seed(123)
        x = torch.randn(2, 5)
        out = nn.Sequential(nn.Linear(5, 6), nn.ReLU())(x)
        rows = [[0.2260, 0.3470, 0, 0.2216, 0, 0], [0.2133, 0.2394, 0, 0.5198, 0.3297, 0]]
        torch.testing.assert_close(out, torch.tensor(rows), atol=5e-5, rtol=0)
        torch.testing.assert_close(out.mean(-1), torch.tensor([0.1324, 0.2170]), atol=5e-5, rtol=0)
        torch.testing.assert_close(out.var(-1), torch.tensor([0.0231, 0.0398]), atol=5e-5, rtol=0)


class TestGELU:
    def test_equals_the_tanh_formula_and_not_the_exact_form(self):
        x = torch.linspace(-6, 6, 10_001, dtype=torch.float64)
        formula = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        torch.testing.assert_close(GELU()(x), formula)
        difference = (GELU()(x) - F.gelu(x)).abs()
        assert difference.max() == pytest.approx(4.7324e-4, abs=5e-9)
        assert x[difference.argmax()].abs() == pytest.approx(2.69894, abs=1.2e-3)  # the grid's step

    def test_has_no_parameters(self):
        assert not list(GELU().parameters())


class TestFeedForward:
    def test_equals_its_formula_and_treats_each_token_alone(self):
        ff = randomised(FeedForward(TINY))
        x = torch.randn(2, 5, 24)
        wide, narrow = ff.layers[0], ff.layers[2]
        hidden = F.gelu(x @ wide.weight.T + wide.bias, approximate="tanh")
        torch.testing.assert_close(ff(x), hidden @ narrow.weight.T + narrow.bias)
        moved = x.clone()
        moved[:, 2] += 1
        changed = (ff(moved) != ff(x)).any(dim=-1)
        assert changed.tolist() == [[False, False, True, False, False]] * 2

    def test_has_the_published_number_of_parameters(self):
        assert sum(p.numel() for p in FeedForward(GPT_CONFIG_124M).parameters()) == 4_722_432


class TestMultiHeadAttention:
    @given(st.integers(1, 4), st.sampled_from([1, 2, 3, 6]), st.integers(1, 9), st.booleans(), st.integers(0, 99))
    @settings(max_examples=40)
    def test_equals_the_written_out_form(self, batch, num_heads, num_tokens, qkv_bias, seed):
        att = randomised(MultiHeadAttention(10, 12, 9, 0.0, num_heads, qkv_bias), seed)
        x = torch.randn(batch, num_tokens, 10)
        torch.testing.assert_close(att(x), attention_written_out(att, x))

    def test_equals_pytorchs_multi_head_attention(self):
        att = randomised(MultiHeadAttention(12, 12, 8, 0.0, 3, qkv_bias=True))
        reference = nn.MultiheadAttention(12, 3, batch_first=True)
        layers = (att.W_query, att.W_key, att.W_value)
        reference.load_state_dict(
            {
                "in_proj_weight": torch.cat([layer.weight for layer in layers]),
                "in_proj_bias": torch.cat([layer.bias for layer in layers]),
                "out_proj.weight": att.out_proj.weight,
                "out_proj.bias": att.out_proj.bias,
            }
        )
        x = torch.randn(2, 8, 12)
        mask = nn.Transformer.generate_square_subsequent_mask(8)
        torch.testing.assert_close(att(x), reference(x, x, x, attn_mask=mask, need_weights=False)[0])

    @given(st.integers(2, 12), st.data())
    @settings(max_examples=30)
    def test_no_token_sees_the_future(self, num_tokens, data):
        edited = data.draw(st.integers(1, num_tokens - 1))
        att = randomised(MultiHeadAttention(8, 8, 12, 0.0, 2))
        x = torch.randn(1, num_tokens, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(att(x)[0, edited - 1].sum(), x)
        assert (gradient[0, edited:] == 0).all() and (gradient[0, :edited] != 0).any(dim=-1).all()

    def test_draws_its_dropout_in_training_only(self):
        att = randomised(MultiHeadAttention(8, 8, 6, 0.5, 2))
        x = torch.randn(1, 6, 8)
        assert torch.equal(att.eval()(x), att.eval()(x))
        torch.testing.assert_close(att.eval()(x), attention_written_out(att, x))
        assert not torch.equal(att.train()(x), att.train()(x))

    @pytest.mark.parametrize("num_heads", [1, 2, 12])
    def test_the_number_of_heads_costs_nothing(self, num_heads):
        att = MultiHeadAttention(768, 768, 4, 0.0, num_heads)
        assert sum(p.numel() for p in att.parameters()) == 2_360_064
        assert sum(p.numel() for p in MultiHeadAttention(768, 768, 4, 0.0, num_heads, True).parameters()) == 2_362_368


class TestTransformerBlock:
    def test_norms_come_first_and_both_shortcuts_add(self):
        block = randomised(TransformerBlock(TINY)).eval()
        x = torch.randn(2, 7, 24)
        after_attention = x + attention_written_out(block.att, block.norm1(x))
        torch.testing.assert_close(block(x), after_attention + block.ff(block.norm2(after_attention)))

    def test_is_the_identity_when_both_parts_write_0(self):
        block = TransformerBlock(TINY)
        for layer in (block.att.out_proj, block.ff.layers[2]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        x = torch.randn(2, 4, 24)
        assert torch.equal(block(x), x)

    def test_drops_in_training_only_and_never_the_shortcut(self):
        block = TransformerBlock({**TINY, "drop_rate": 0.9})
        x = torch.randn(1, 4, 24)
        assert torch.equal(block.eval()(x), block.eval()(x))
        assert not torch.equal(block.train()(x), block.train()(x))
        for layer in (block.att.out_proj, block.ff.layers[2]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        assert torch.equal(block.train()(x), x)

    def test_has_the_published_number_of_parameters(self):
        assert sum(p.numel() for p in TransformerBlock(GPT_CONFIG_124M).parameters()) == 7_085_568


class TestGPTModel:
    def test_equals_its_parts_in_order(self):
        model = randomised(GPTModel(TINY)).eval()
        ids = torch.randint(0, 61, (2, 9))
        x = model.tok_emb.weight[ids] + model.pos_emb.weight[:9]
        for block in model.trf_blocks:
            x = block(x)
        torch.testing.assert_close(model(ids), model.final_norm(x) @ model.out_head.weight.T)
        assert model(ids).shape == (2, 9, 61)

    @given(st.integers(1, 3), st.integers(1, 16), st.integers(0, 99))
    @settings(max_examples=30)
    def test_the_logits_of_a_position_depend_on_what_came_before_only(self, batch, num_tokens, seed):
        model = randomised(GPTModel(TINY), seed).eval()
        ids = torch.randint(0, 61, (batch, num_tokens))
        for length in range(1, num_tokens + 1):
            torch.testing.assert_close(model(ids[:, :length]), model(ids)[:, :length], atol=2e-5, rtol=1e-4)

    def test_a_state_dict_holds_parameters_only(self):
        model = GPTModel(TINY)
        assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
        assert not list(model.buffers())

    def test_drops_in_training_only(self):
        model = GPTModel({**TINY, "drop_rate": 0.5})
        ids = torch.randint(0, 61, (1, 8))
        assert torch.equal(model.eval()(ids), model.eval()(ids))
        assert not torch.equal(model.train()(ids), model.train()(ids))

    def test_draws_its_weights_in_the_promised_order(self):
        torch.manual_seed(123)
        model = GPTModel(TINY)
        torch.manual_seed(123)
        assert torch.equal(model.tok_emb.weight, torch.randn(61, 24))
        assert torch.equal(model.pos_emb.weight, torch.randn(16, 24))
        for block in model.trf_blocks:
            for name in ("W_query", "W_key", "W_value", "out_proj"):
                layer, fresh = getattr(block.att, name), nn.Linear(24, 24)
                assert torch.equal(layer.weight, fresh.weight) and torch.equal(layer.bias, fresh.bias), name
            assert torch.equal(block.ff.layers[0].weight, nn.Linear(24, 96).weight)
            assert torch.equal(block.ff.layers[2].weight, nn.Linear(96, 24).weight)
        assert torch.equal(model.out_head.weight, nn.Linear(24, 61, bias=False).weight)

    def test_tied_weights_are_one_tensor(self):
        model = GPTModel(TINY)
        untied = sum(p.numel() for p in model.parameters())
        assert model.tie_weights() is model
        assert model.out_head.weight.data_ptr() == model.tok_emb.weight.data_ptr()
        assert sum(p.numel() for p in model.parameters()) == untied - 61 * 24
        with torch.no_grad():
            model.tok_emb.weight[3] = 2.0
        assert (model.out_head.weight[3] == 2.0).all()

    def test_the_124m_model_under_seed_123_writes_the_published_ids(self):
        torch.manual_seed(123)
        model = GPTModel(GPT_CONFIG_124M).eval()
        assert sum(p.numel() for p in model.parameters()) == 163_009_536
        ids = generate_text_simple(model, text_to_token_ids("Hello, I am"), max_new_tokens=10, context_size=1024)
        continuation = [27018, 24086, 47843, 30961, 42348, 7267, 49706, 43231, 47062, 34657]
        assert ids.tolist() == [[15496, 11, 314, 716, *continuation]]


def test_shortcut_gradients_of_the_series():
    """Figures F: a net of five layers, with and without shortcuts, under seed 123."""
    sizes = [3, 3, 3, 3, 3, 1]
    published = {
        False: [0.000202, 0.000120, 0.000715, 0.00140, 0.00505],
        True: [0.2217, 0.2069, 0.3290, 0.2666, 1.3259],
    }
    for shortcut, expected in published.items():
        torch.manual_seed(123)
        layers = [nn.Sequential(nn.Linear(a, b), GELU()) for a, b in pairwise(sizes)]
        x = torch.tensor([[1.0, 0.0, -1.0]])
        for layer in layers:
            x = x + layer(x) if shortcut and layer[0].out_features == 3 else layer(x)
        F.mse_loss(x, torch.zeros(1, 1)).backward()
        gradients = [layer[0].weight.grad.abs().mean().item() for layer in layers]
        assert gradients == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: LayerNorm(0), ValueError, ["emb_dim", "0", "at least 1"]),
        (lambda: LayerNorm(8)(torch.randn(2, 7)), ValueError, ["8 features", "(2, 7)"]),
        (lambda: LayerNorm(8)(torch.ones(2, 8, dtype=torch.long)), TypeError, ["torch.int64", "x.float()"]),
        (lambda: LayerNorm(8)([1.0] * 8), TypeError, ["list", "torch.tensor"]),
        (lambda: GELU()(torch.tensor([1, 2])), TypeError, ["torch.int64"]),
        (lambda: FeedForward(TINY)(torch.randn(2, 23)), ValueError, ["24 features", "(2, 23)"]),
        (lambda: FeedForward({"emb_dim": 3}), ValueError, ["'n_layers' is missing"]),
        (lambda: MultiHeadAttention(8, 8, 4, 0.0, 3), ValueError, ["d_out=8", "num_heads=3"]),
        (lambda: MultiHeadAttention(8, 8, 4, 0.0, 0), ValueError, ["num_heads", "at least 1"]),
        (lambda: MultiHeadAttention(8, 8, 4, 1.5, 2), ValueError, ["dropout=1.5"]),
        (lambda: MultiHeadAttention(8, 8, 4, None, 2), TypeError, ["dropout", "a number such as 0.1", "None"]),
        (lambda: MultiHeadAttention(8, "8", 4, 0.0, 2), TypeError, ["d_out", "whole number", "'8'"]),
        (lambda: MultiHeadAttention(8, 8.0, 4, 0.0, 2), TypeError, ["d_out", "whole number", "8.0"]),
        (lambda: MultiHeadAttention(8, -8, 4, 0.0, 2), ValueError, ["d_out", "at least 1", "-8"]),
        (lambda: MultiHeadAttention(8, 0, 4, 0.0, 2), ValueError, ["d_out", "at least 1", "0"]),
        (lambda: MultiHeadAttention(8, 8, 4, 0.0, 2)(torch.randn(1, 5, 8)), ValueError, ["at most 4", "(1, 5, 8)"]),
        (lambda: MultiHeadAttention(8, 8, 4, 0.0, 2)(torch.randn(4, 8)), ValueError, ["(batch, num_tokens, 8)"]),
        (lambda: TransformerBlock(TINY)(torch.randn(1, 17, 24)), ValueError, ["at most 16"]),
        (lambda: GPTModel(TINY)(torch.zeros(1, 17).long()), ValueError, ["17 tokens", "context_length=16", "-16:"]),
        (lambda: GPTModel(TINY)(torch.tensor([[61]])), ValueError, ["0 to 60", "61 to 61"]),
        (lambda: GPTModel(TINY)(torch.tensor([[-1, 5]])), ValueError, ["-1 to 5"]),
        (lambda: GPTModel(TINY)(torch.tensor([[1.0]])), TypeError, ["torch.float32", ".long()"]),
        (lambda: GPTModel(TINY)(torch.tensor([1, 2])), ValueError, ["(2,)", "unsqueeze"]),
        (lambda: GPTModel(TINY)(torch.zeros(1, 0).long()), ValueError, ["empty", "at least one token"]),
        (lambda: GPTModel(TINY)("Hello"), TypeError, ["str", "text_to_token_ids"]),
    ],
)
def test_bad_input_gets_the_value_the_limit_and_the_fix(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    for word in words:
        assert word in str(error.value)


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")  # PyTorch's word on that one version
def test_compiles_into_one_graph():
    model = randomised(GPTModel(TINY)).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")  # what a compiler would get, without the compiler
    idx = torch.randint(61, (2, 7))
    with torch.no_grad():
        torch.testing.assert_close(compiled(idx), model(idx), atol=1e-5, rtol=1e-5)


def test_a_block_may_be_any_layer():
    model = GPTModel.from_pretrained("stories")
    model.trf_blocks[1] = nn.Identity()
    assert model(torch.arange(6)[None]).isfinite().all()


def test_a_subclass_that_is_loaded_keeps_its_own_buffers():
    class Louder(GPTModel):
        def __init__(self, cfg):
            super().__init__(cfg)
            self.register_buffer("factor", torch.full((1,), 2.0), persistent=False)

        def forward(self, in_idx, cache=None):
            return self.factor * super().forward(in_idx, cache)

    ids = torch.arange(6)[None]
    torch.testing.assert_close(Louder.from_pretrained("stories")(ids), 2 * GPTModel.from_pretrained("stories")(ids))

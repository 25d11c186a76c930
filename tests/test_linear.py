"""The sliced product against PyTorch's own, for every number of rows and both ways to store a matrix."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gptcore.linear import FEW_ROWS, Linear, _num_slices

sizes = st.integers(1, 70)


@given(st.data(), sizes, sizes, st.integers(1, 3), st.integers(1, FEW_ROWS), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_equals_pytorch(data, in_features, out_features, batch, num_tokens, bias, stored_by_input):
    torch.manual_seed(data.draw(st.integers(0, 99)))
    layer = Linear(in_features, out_features, bias=bias)
    if stored_by_input:
        layer.weight = nn.Parameter(layer.weight.detach().t().contiguous().t())
    num_threads = data.draw(st.integers(1, 4))
    for x in (torch.randn(batch, num_tokens, in_features), torch.randn(num_tokens, in_features)):
        with mock.patch("torch.get_num_threads", return_value=num_threads):
            found = layer(x)
        torch.testing.assert_close(found, F.linear(x, layer.weight, layer.bias), atol=2e-6, rtol=2e-6)
    with pytest.raises(RuntimeError):
        layer(torch.randn(2, in_features + 1))


@pytest.mark.parametrize("stored_by_input", [False, True])
def test_the_gradient_is_the_same(stored_by_input):
    torch.manual_seed(123)
    layer = Linear(24, 36)
    if stored_by_input:
        layer.weight = nn.Parameter(layer.weight.detach().t().contiguous().t())
    x = torch.randn(2, 3, 24, requires_grad=True)
    wanted = torch.autograd.grad(F.linear(x, layer.weight, layer.bias).square().sum(), [x, *layer.parameters()])
    found = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    torch.testing.assert_close(found, wanted)


def test_draws_the_same_numbers_as_pytorch():
    torch.manual_seed(123)
    ours = Linear(5, 7)
    torch.manual_seed(123)
    theirs = nn.Linear(5, 7)
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


@pytest.mark.parametrize(("size", "num_threads", "num_slices"), [
    (768, 1, 1), (768, 2, 2), (768, 10, 12), (50257, 1, 1), (50257, 2, 29), (50257, 10, 29), (50021, 2, 1)
])  # fmt: skip
def test_there_is_a_slice_for_each_processor_where_the_size_allows(size, num_threads, num_slices):
    assert _num_slices(size, num_threads) == num_slices  # 50257 = 29 * 1733; the prime 50021 cannot be cut

"""The sliced product against PyTorch's own, for every number of rows and both ways to store a matrix."""

import time
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gptcore import linear as module
from gptcore.linear import FEW_ROWS, Linear, _num_slices, linear, quicker_of, sliced

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
        wanted = F.linear(x, layer.weight, layer.bias)
        with mock.patch("torch.get_num_threads", return_value=num_threads):
            torch.testing.assert_close(sliced(x, layer.weight, layer.bias), wanted, atol=2e-6, rtol=2e-6)
        with torch.no_grad():
            torch.testing.assert_close(layer(x), wanted, atol=2e-6, rtol=2e-6)
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
    found = torch.autograd.grad(sliced(x, layer.weight, layer.bias).square().sum(), [x, *layer.parameters()])
    torch.testing.assert_close(found, wanted)


def slow(x, weight, bias):
    time.sleep(0.01)
    return F.linear(x, weight, bias)


@torch.no_grad()
def test_the_quicker_way_is_found_once_for_each_kind_of_product_and_kept(monkeypatch):
    x, weight = torch.randn(1, 8), torch.randn(6, 8)
    assert quicker_of((slow, F.linear), x, weight, None) is quicker_of((F.linear, slow), x, weight, None) is F.linear
    tried = []

    def pretend(ways, x, weight, bias):
        tried.append(len(x))
        return slow

    monkeypatch.setattr(module, "_quicker", {})
    monkeypatch.setattr(module, "quicker_of", pretend)
    for num_rows in (1, 1, 2, 3, 5, 4, 7, FEW_ROWS, FEW_ROWS + 1):
        linear(torch.randn(num_rows, 8), weight, None)
    assert tried == [1, 2, 5, FEW_ROWS]
    linear(x, weight.t().contiguous().t(), None)  # stored in the other order
    linear(x, weight[:4].clone(), None)  # of another size
    assert tried[4:] == [1, 1]
    assert linear(x.double(), weight.double(), None).dtype == torch.float64  # not ours


def test_no_rows_are_no_trouble():
    assert Linear(8, 6)(torch.randn(2, 0, 8)).shape == (2, 0, 6)


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


@torch.no_grad()
def test_what_is_sliced_lies_in_memory_as_pytorchs():
    layer = Linear(8, 12)
    x = torch.randn(2, 3, 8)
    assert sliced(x, layer.weight, layer.bias).is_contiguous()

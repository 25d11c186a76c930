"""GPT-2's tokenizer from the packaged file: right, offline, and clear when the file is not."""

import hashlib
import socket

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptcore import get_tokenizer, text_to_token_ids, token_ids_to_text, tokenizer


def test_the_packaged_file_is_openais():
    assert hashlib.sha256(tokenizer.RANKS_FILE.read_bytes()).hexdigest() == tokenizer.RANKS_SHA256
    assert (tokenizer.RANKS_FILE.parent / "LICENSE-gpt2").read_text().count("OpenAI") >= 2


def test_is_the_published_encoding():
    encoding = get_tokenizer()
    assert (encoding.name, encoding.n_vocab, encoding.eot_token) == ("gpt2", 50257, 50256)
    assert encoding.encode("Hello, I am") == [15496, 11, 314, 716]
    assert text_to_token_ids("Every effort moves you").tolist() == [[6109, 3626, 6100, 345]]
    assert text_to_token_ids("<|endoftext|>").tolist() == [[50256]]
    assert get_tokenizer() is encoding


def test_needs_no_network(monkeypatch):
    def refuse(*_):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    get_tokenizer.cache_clear()
    assert get_tokenizer().decode([15496]) == "Hello"


@given(st.text(min_size=1))
def test_text_survives_the_way_there_and_back(text):
    ids = text_to_token_ids(text)
    assert ids.dtype == torch.int64 and ids.ndim == 2 and len(ids) == 1
    assert token_ids_to_text(ids) == text == token_ids_to_text(ids[0])


@given(st.lists(st.integers(0, 50256), min_size=1, max_size=20))
def test_any_ids_have_a_text(ids):
    assert isinstance(token_ids_to_text(torch.tensor([ids])), str)


@pytest.mark.parametrize("shape", [(0,), (1, 0)])
def test_of_no_ids_the_text_is_empty(shape):
    assert token_ids_to_text(torch.zeros(shape, dtype=torch.long)) == ""


def test_a_special_token_of_another_tokenizer_gets_that_tokenizers_message():
    class Other:
        def encode(self, text, allowed_special):
            raise ValueError("Encountered text corresponding to disallowed special token")

    with pytest.raises(ValueError, match="disallowed special token"):
        text_to_token_ids("<|end|>", Other())


@pytest.mark.parametrize(("damage", "words"), [("missing", ["is missing"]), ("cut", ["is damaged", "100 bytes"])])
def test_a_missing_or_damaged_file_says_so_and_how_to_mend_it(damage, words, tmp_path, monkeypatch):
    file = tmp_path / "gpt2.tiktoken"
    if damage == "cut":
        file.write_bytes(tokenizer.RANKS_FILE.read_bytes()[:100])
    monkeypatch.setattr(tokenizer, "RANKS_FILE", file)
    get_tokenizer.cache_clear()
    with pytest.raises(ValueError) as error:
        get_tokenizer()
    for word in [*words, str(file), "git checkout"]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: text_to_token_ids(""), ValueError, ["empty", "at least one token"]),
        (lambda: text_to_token_ids(None), TypeError, ["string", "NoneType"]),
        (lambda: token_ids_to_text(torch.tensor([[50257]])), ValueError, ["0 to 50256", "50257"]),
        (lambda: token_ids_to_text(torch.tensor([[-1]])), ValueError, ["-1"]),
        (lambda: token_ids_to_text(torch.tensor([[1.0]])), TypeError, ["torch.float32"]),
        (lambda: token_ids_to_text(torch.tensor([[1], [2]])), ValueError, ["one row", "got 2"]),
        (lambda: token_ids_to_text([1, 2]), TypeError, ["list"]),
        (lambda: token_ids_to_text([1, 2]), TypeError, ["torch.tensor(ids)", "text_to_token_ids(text) for a text"]),
        (lambda: token_ids_to_text(torch.tensor([1]).byte()), TypeError, ["torch.uint8", "torch.int64 or torch.int32"]),
        (lambda: text_to_token_ids(" " * 1_100_000 + "a"), ValueError, ["1,100,001 characters", "split the text"]),
    ],
)
def test_bad_input_gets_the_value_the_limit_and_the_fix(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    for word in words:
        assert word in str(error.value)

"""GPT-2's tokenizer, from the ranks that ship with the package: no network needed.

Source: Radford et al. 2019 (GPT-2), section 2.2: byte-pair encoding on bytes.
Notebook: 01_config_and_shapes.
"""

import base64
import hashlib
import io
from functools import lru_cache
from pathlib import Path

import tiktoken
import torch
from tiktoken_ext.openai_public import r50k_pat_str

from gptcore.checks import check_token_ids

RANKS_FILE = Path(__file__).parent / "data" / "gpt2.tiktoken"
RANKS_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"
END_OF_TEXT = "<|endoftext|>"


@lru_cache(maxsize=1)
def get_tokenizer():
    """Return GPT-2's tokenizer: a `tiktoken.Encoding` with 50,257 token ids, loaded once.

    Raises: ValueError when the packaged file is missing or damaged; it says which and how to mend it.

    >>> get_tokenizer().encode("Hello, I am")
    [15496, 11, 314, 716]
    """
    return encoding_from("gpt2", RANKS_FILE, RANKS_SHA256)


def text_to_token_ids(text, tokenizer=None):
    """Return `text` as token ids with a batch axis of 1; "<|endoftext|>" becomes its one special id.

    Shapes: text -> (1, num_tokens).
    Raises: TypeError when `text` is not a string, ValueError when it is empty, or as `encode`.

    >>> text_to_token_ids("Hello, I am")
    tensor([[15496,    11,   314,   716]])
    """
    ids = encode(text, tokenizer or get_tokenizer())
    if not ids:
        raise ValueError('text is empty; the model needs at least one token, for example "Hello"')
    return torch.tensor([ids])


def encode(text, tokenizer):
    """Return `text` as a list of the tokenizer's ids; "<|endoftext|>" becomes its one special id.

    Raises: TypeError when `text` is not a string, ValueError when a million spaces in a row are too many for tiktoken.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}")
    try:
        return tokenizer.encode(text, allowed_special={END_OF_TEXT})
    except ValueError as error:
        if "Regex error" not in str(error):
            raise  # what a special token of another tokenizer is told
        raise ValueError(
            f"the text has {len(text):,} characters, and more white space in a row than tiktoken can split, about a "
            f"million; split the text, and encode its parts"
        ) from None


def token_ids_to_text(token_ids, tokenizer=None):
    """Return the text of one row of token ids, the way back from `text_to_token_ids`; of no ids, "".

    Shapes: (1, num_tokens) or (num_tokens,) -> text.
    Raises: TypeError or ValueError for ids that are not whole numbers, out of range, or of several rows.

    >>> token_ids_to_text(torch.tensor([[15496, 11, 314, 716]]))
    'Hello, I am'
    """
    tokenizer = tokenizer or get_tokenizer()
    if isinstance(token_ids, torch.Tensor) and token_ids.ndim == 1:
        token_ids = token_ids.unsqueeze(0)
    if isinstance(token_ids, torch.Tensor) and token_ids.shape == (1, 0):
        return ""
    check_token_ids(token_ids, vocab_size=tokenizer.n_vocab)
    if len(token_ids) != 1:
        raise ValueError(f"expected one row of token ids, got {len(token_ids)}; pass them one by one: token_ids[0]")
    return tokenizer.decode(token_ids[0].tolist())


def encoding_from(name, ranks_file, sha256):
    """Return a `tiktoken.Encoding` that splits text as GPT-2 does and merges by a file's ranks."""
    ranks = read_ranks(ranks_file, sha256)
    return tiktoken.Encoding(
        name=name,
        pat_str=r50k_pat_str,
        mergeable_ranks=ranks,
        special_tokens={END_OF_TEXT: len(ranks)},
        explicit_n_vocab=len(ranks) + 1,
    )


def read_ranks(path, expected_sha256):
    """Return {token bytes: rank} from lines of "base64-bytes rank", after comparing the file's checksum."""
    mend = f"restore it with `git checkout -- gptcore/{path.parent.name}`, or install gptcore again"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"the vocabulary file {path} is missing; {mend}") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != expected_sha256:
        raise ValueError(
            f"the vocabulary file {path} is damaged: {len(data):,} bytes with sha256 {sha256}, "
            f"expected {expected_sha256}; {mend}"
        )
    lines = io.BytesIO(data)  # one line at a time: a list of them all would leave its memory behind
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}

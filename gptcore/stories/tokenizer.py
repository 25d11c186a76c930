"""The stories' own tokenizer: of GPT-2's vocabulary what stories need. Notebook: 10_why_training_matters."""

from functools import lru_cache
from pathlib import Path

import torch

from gptcore.tokenizer import encode, encoding_from

RANKS_FILE = Path(__file__).parent / "stories.tiktoken"
RANKS_SHA256 = "edd5a2d5a50000230f5b9b3a586987adc8e2ad7f53098302877ba3684f62390e"


@lru_cache(maxsize=1)
def get_story_tokenizer():
    """Return GPT-2's tokenizer cut down to the tokens that stories need: a `tiktoken.Encoding`.

    The kept tokens are in GPT-2's order, so a story is split just as GPT-2 would split it, while any
    other text still becomes ids: letters and bytes are all kept.

    Raises: ValueError when the packaged file is missing or damaged; it says which and how to mend it.

    >>> get_story_tokenizer().decode(get_story_tokenizer().encode("One day Anna met a fox."))
    'One day Anna met a fox.'
    """
    return encoding_from("stories", RANKS_FILE, RANKS_SHA256)


def story_token_ids(stories):
    """Return the stories as one row of token ids, each begun by "<|endoftext|>".

    Shapes: list of texts -> (num_tokens,).
    Raises: TypeError for one text in place of a list, or for what is no text.
    """
    if isinstance(stories, str):
        raise TypeError(f"stories must be a list of texts, got the text {stories[:20]!r}; pass a list: [text]")
    tokenizer = get_story_tokenizer()
    ids = [token_id for story in stories for token_id in (tokenizer.eot_token, *encode(story, tokenizer))]
    return torch.tensor(ids, dtype=torch.long)  # also of no story at all

"""The film of the story model's training: what it wrote and where it looked, at some twenty moments.

`make_film.py` made it. Notebook: 13_what_it_learned.
"""

import json
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open

from gptcore.trace import strongest_look

FILM_FILE = Path(__file__).parent / "film.safetensors"


class Film:
    """What was seen of the model at each moment; moments are counted from 0, `steps` says after how many steps.

    `losses` has a list for each kind of token (`losses_by_kind`), `samples` the texts that it wrote, `words` a
    dictionary of the words on the map by their kind, `prompts` the three beginnings.
    """

    def __init__(self, path):
        with safe_open(path, "pt") as file:
            self._tensors = {name: file.get_tensor(name) for name in file.keys()}
            texts = json.loads(file.metadata()["texts"])
        self.steps, self.losses, self.samples = texts["steps"], texts["losses"], texts["samples"]
        self.words, self.prompts, self.tokens = texts["words"], texts["prompts"], texts["tokens"]

    def written(self, moment):
        """What it wrote, with "\\ufffd" for what cannot be printed: early on it writes odd things."""
        return "".join(letter if letter.isprintable() else "\ufffd" for letter in self.samples[moment])

    def attention(self, prompt, moment):
        """Each head's attention weights on a prompt: (n_layers, n_heads, num_tokens, num_tokens), to 1/255."""
        num_tokens = len(self.tokens[prompt])
        packed = self._tensors[f"attention_{prompt}"][moment]  # (n_layers, n_heads, those that are not masked)
        weights = torch.zeros(*packed.shape[:2], num_tokens, num_tokens)
        rows, columns = torch.tril_indices(num_tokens, num_tokens)
        weights[:, :, rows, columns] = packed / 255
        return weights

    def last_looks(self, prompt, moment):
        """Where each head looks from a prompt's last token: (n_layers * n_heads, num_tokens)."""
        return self.attention(prompt, moment)[:, :, -1].flatten(0, 1)

    def strongest_look(self, prompt, moment):
        """The largest of `last_looks` as (head, token), but for looks at the beginning."""
        return strongest_look(self.last_looks(prompt, moment))

    def next_tokens(self, prompt, moment):
        """The ten likeliest next tokens as a list of (token id, probability)."""
        ids, chances = (self._tensors[f"{name}_{prompt}"][moment] for name in ("next_ids", "next_chances"))
        return list(zip(ids.tolist(), chances.tolist(), strict=True))

    def places(self, moment):
        """Where each of the words lies on the map: (number of words, 2)."""
        return self._tensors["places"][moment].float()

    def places_by_kind(self, moment):
        """The same, a tensor for each kind of words: list of (number of words of this kind, 2)."""
        return list(self.places(moment).split([len(words) for words in self.words.values()]))

    def spread_within_kinds(self, moment):
        """Which share of the words' spread on the map lies within their kinds: 1 where kinds mean nothing there."""
        within = [places - places.mean(dim=0) for places in self.places_by_kind(moment)]
        return (torch.cat(within).square().mean() / self.places(moment).square().mean()).item()


@lru_cache(maxsize=1)
def story_film():
    """Return the film of the training that ships with gptcore: a `Film`."""
    return Film(FILM_FILE)

"""Make the film of the story model's training that lies beside this file, about 15 minutes.

    python -m gptcore.stories.make_film              into gptcore/stories
    python -m gptcore.stories.make_film some/folder  into another folder

It trains by the recipe of make.py once more, and looks at the model now and then. The last moment is the model that
ships: on another processor the same recipe ends with slightly other numbers.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from gptcore.model import GPTModel
from gptcore.modes import in_mode
from gptcore.stories import grammar, make
from gptcore.stories.film import FILM_FILE
from gptcore.stories.tokenizer import get_story_tokenizer
from gptcore.stories.trial import START, losses_by_kind, tell_story
from gptcore.tokenizer import text_to_token_ids
from gptcore.trace import attention_weights

BEGINNING, SAMPLE_TOKENS = "One day Anna met", 40
PROMPTS = (
    'Anna could not find her red ball. She looked everywhere and was very sad. "Where is my',
    'Lena lived by the river. Lena had two apples, and the fox had none. "Would you like an apple?" asked',
    "On a cold day Tom was in the forest. Tom saw three",
)
STEPS = (0, 5, 20, 40, 80, 100, 150, 200, 250, 300, 350, 400, 425, 450, 475, 500, 550, 600, 800, 1000, 1500, 2500)
MOST_LIKELY = 10
KINDS = {
    "people": grammar.PEOPLE,
    "animals": grammar.ANIMALS,
    "animals, many": grammar.ANIMALS.values(),
    "things": grammar.THINGS,
    "things, many": grammar.THINGS.values(),
    "food": grammar.FOODS,
    "natures": grammar.NATURES,
    "looks": grammar.LOOKS,
    "feelings": [word for word in grammar.BAD_FEELINGS + grammar.GOOD_FEELINGS if word not in grammar.NATURES],
}


class Camera:
    """Looks at a model after each of `STEPS`, and saves what it saw."""

    def __init__(self):
        tokenizer = get_story_tokenizer()
        self._prompts = [text_to_token_ids(START + prompt, tokenizer) for prompt in PROMPTS]
        ids_of = {word: tokenizer.encode(f" {word}") for words in KINDS.values() for word in words}
        on_map = {kind: [word for word in words if len(ids_of[word]) == 1] for kind, words in KINDS.items()}
        self._word_ids = [ids_of[word][0] for words in on_map.values() for word in words]
        self._texts = {
            "steps": [], "losses": {}, "samples": [], "words": on_map, "prompts": PROMPTS,
            "tokens": [[tokenizer.decode([token_id]) for token_id in ids[0].tolist()] for ids in self._prompts],
        }  # fmt: skip
        self._seen, self._word_vectors = [], []

    @torch.no_grad()
    def look(self, model, step):
        with in_mode(model, training=False):
            self._look(model, step)

    def _look(self, model, step):
        self._texts["steps"].append(step)
        for kind, loss in losses_by_kind(model).items():
            self._texts["losses"].setdefault(kind, []).append(round(loss, 3))
        self._texts["samples"].append(tell_story(model, BEGINNING, SAMPLE_TOKENS))
        seen = {}
        for i, ids in enumerate(self._prompts):
            rows, columns = torch.tril_indices(ids.shape[1], ids.shape[1])
            weights = attention_weights(model, ids)[:, 0, :, rows, columns]  # (n_layers, n_heads, not masked)
            seen[f"attention_{i}"] = (255 * weights).round().to(torch.uint8)
            best = model(ids)[0, -1].softmax(dim=-1).topk(MOST_LIKELY)
            seen[f"next_ids_{i}"], seen[f"next_chances_{i}"] = best.indices.to(torch.int16), best.values
        self._seen.append(seen)
        self._word_vectors.append(model.out_head.weight[self._word_ids].clone())

    def save(self, path):
        tensors = {name: torch.stack([seen[name] for seen in self._seen]) for name in self._seen[0]}
        save_file(tensors | {"places": _flatten(self._word_vectors)}, path, metadata={"texts": json.dumps(self._texts)})


def _flatten(word_vectors):
    """Lay all moments' word vectors onto one map: the plane in which those of the last moment differ most.

    Shapes: list of (number of words, emb_dim) -> (number of moments, number of words, 2).
    """
    centred = [vectors - vectors.mean(dim=0) for vectors in word_vectors]
    _, _, directions = torch.linalg.svd(centred[-1], full_matrices=False)
    return torch.stack([vectors @ directions[:2].T for vectors in centred]).to(torch.float16)


def main(folder=FILM_FILE.parent):
    camera = Camera()

    def watch(model, step):
        if step in STEPS[:-1]:
            camera.look(model, step)

    make.train_story_model(watch)
    camera.look(GPTModel.from_pretrained("stories"), STEPS[-1])
    camera.save(Path(folder) / FILM_FILE.name)


if __name__ == "__main__":
    main(*sys.argv[1:])

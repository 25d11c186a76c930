"""Make the stories' tokenizer and the small trained model that lie beside this file, about 12 minutes.

    python -m gptcore.stories.make              into gptcore/stories
    python -m gptcore.stories.make some/folder  into another folder

The tokenizer comes out the same everywhere (its checksum stands in tokenizer.py); the weights agree in what
they can do, not in every digit: processors round sums differently.
"""

import base64
import logging
import sys
from pathlib import Path

import regex
import torch
from tiktoken_ext.openai_public import r50k_pat_str

from gptcore import tokenizer
from gptcore.model import GPTModel
from gptcore.pretrained import STORY_MODEL, save_checkpoint
from gptcore.stories.grammar import write_stories
from gptcore.stories.tokenizer import RANKS_FILE, get_story_tokenizer, story_token_ids
from gptcore.training import mean_loss, token_batches, train

NUM_TRAINING_STORIES, TRAINING_SEED = 20_000, 1
NUM_VALIDATION_STORIES, VALIDATION_SEED = 500, 2
STORY_CONFIG = {"context_length": 128, "emb_dim": 128, "n_heads": 4, "n_layers": 4, "drop_rate": 0.0, "qkv_bias": True}
BATCH_SIZE = 24
STAGES = ((1500, 2e-3), (700, 5e-4), (300, 1e-4))  # steps and learning rate: large strides first, then small ones


def main(folder=STORY_MODEL):
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_ranks(folder / RANKS_FILE.name)
    model = train_story_model()
    validation = story_token_ids(write_stories(NUM_VALIDATION_STORIES, VALIDATION_SEED))
    logging.info("validation loss %.3f nats", mean_loss(model, validation, STORY_CONFIG["context_length"]))
    save_checkpoint(model, folder)


def train_story_model(watch=None):
    """Return a model trained by the recipe above. `watch(model, step)` is called at first and after each step."""
    training = story_token_ids(write_stories(NUM_TRAINING_STORIES, TRAINING_SEED))
    torch.manual_seed(123)
    model = GPTModel({"vocab_size": get_story_tokenizer().n_vocab, **STORY_CONFIG})
    sample_batch = token_batches(training, STORY_CONFIG["context_length"], BATCH_SIZE)
    steps_before = 0
    if watch is not None:
        watch(model, 0)
    for num_steps, lr in STAGES:

        def after_step(losses, before=steps_before):
            if watch is not None:
                watch(model, before + len(losses))

        train(model, sample_batch, num_steps, lr, watch=after_step)
        steps_before += num_steps
    return model


def write_ranks(path):
    """Keep of GPT-2's tokens each byte and all that appear on the way when GPT-2 splits the stories' words."""
    ranks = tokenizer.read_ranks(tokenizer.RANKS_FILE, tokenizer.RANKS_SHA256)
    kept = {bytes([byte]) for byte in range(256)}
    stories = write_stories(NUM_TRAINING_STORIES, TRAINING_SEED)
    for piece in {piece for story in stories for piece in regex.findall(r50k_pat_str, story)}:
        parts = [bytes([byte]) for byte in piece.encode()]
        while pairs := [(ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ranks]:  # noqa: B905, RUF007
            _, i = min(pairs)  # byte-pair encoding: the earliest learned pair first
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
            kept.add(parts[i])
    lines = [base64.b64encode(token) + b" %d\n" % new for new, token in enumerate(sorted(kept, key=ranks.get))]
    path.write_bytes(b"".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])

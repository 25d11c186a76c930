"""How well a model knows the stories: its loss on some that it has never seen, and how it goes on with a beginning."""

import re

import torch
from torch.nn.utils.rnn import pad_sequence

from gptcore.generation import generate
from gptcore.modes import in_mode
from gptcore.stories.grammar import ANIMALS, PEOPLE, write_stories
from gptcore.stories.tokenizer import get_story_tokenizer, story_token_ids
from gptcore.tokenizer import text_to_token_ids, token_ids_to_text
from gptcore.training import next_token_loss

_SOMEONE = {*PEOPLE, *ANIMALS}
_NO_NAME, _NEW, _AGAIN = range(3)  # what a token is
_WORD = re.compile("[A-Za-z]+")
START = "<|endoftext|>"  # before each story, and at the end of the last


@torch.no_grad()
def story_loss(model, number=20, seed=3):
    """Return the mean loss, in nats per token, on `number` stories, each read from its beginning, in eval mode.

    The default stories are not among those that the shipped model was trained on.
    """
    device, context_length = model.tok_emb.weight.device, len(model.pos_emb.weight)  # a learner's GPT may have no cfg
    total = num_tokens = 0
    with in_mode(model, training=False):
        for story in write_stories(number, seed):
            ids = story_token_ids([story]).to(device)[: context_length + 1]
            total += next_token_loss(model(ids[None, :-1]), ids[None, 1:]).item() * (len(ids) - 1)
            num_tokens += len(ids) - 1
    return total / num_tokens


@torch.no_grad()
def losses_by_kind(model, number=40, seed=3):
    """Return the mean loss, in nats per token, on unseen stories, in eval mode: of all tokens, and of two kinds.

    A dictionary: "all tokens"; "new names", where a person or an animal is named for the first time in a story, which
    nobody can know; "names again", where one comes that was named before, which a model that remembers can know. Only
    tokens that are a whole name count. A kind that does not come up, as in a single story, has a loss of nan.
    """
    device = model.tok_emb.weight.device
    stories, kinds = [], []
    for story in write_stories(number, seed):
        ids = story_token_ids([story])[: model.cfg["context_length"] + 1]
        stories.append(ids)
        kinds.append(torch.tensor(_kinds_of_tokens(ids)))
    ids = pad_sequence(stories, batch_first=True).to(device)  # (number, the longest story)
    kinds = pad_sequence(kinds, batch_first=True, padding_value=-1).to(device)[:, 1:]
    with in_mode(model, training=False):
        log_probs = model(ids[:, :-1]).log_softmax(dim=-1)
    losses = -log_probs.gather(-1, ids[:, 1:, None]).squeeze(-1)
    parts = {"all tokens": kinds >= 0, "new names": kinds == _NEW, "names again": kinds == _AGAIN}
    return {name: losses[part].mean().item() for name, part in parts.items()}


def _kinds_of_tokens(ids):
    """Say of each token of a story whether it is a whole name, and if so, whether that name came before."""
    tokenizer = get_story_tokenizer()
    pieces = [tokenizer.decode([token_id]) for token_id in ids.tolist()]
    kinds, before = [], ""
    for i, piece in enumerate(pieces):
        name = piece.strip()
        goes_on = i + 1 < len(pieces) and pieces[i + 1][:1].isalpha()  # " fox" in " foxes"
        if name not in _SOMEONE or goes_on:
            kinds.append(_NO_NAME)
        else:
            kinds.append(_AGAIN if name in _WORD.findall(before) else _NEW)
        before += piece
    return kinds


def tell_story(model, beginning="The fox", max_new_tokens=20):
    """Return a story's `beginning` and how the model goes on, always with the likeliest token (greedy).

    Raises: TypeError for a beginning that is not a text; and as `generate`.
    """
    if not isinstance(beginning, str):
        raise TypeError(f'beginning must be a text such as "The fox", got {beginning!r}')
    tokenizer = get_story_tokenizer()
    ids = text_to_token_ids(START + beginning, tokenizer).to(model.tok_emb.weight.device)
    story = generate(model, ids, max_new_tokens, use_cache=False)  # what is `replaced` may not know a cache
    return token_ids_to_text(story, tokenizer).removeprefix(START)

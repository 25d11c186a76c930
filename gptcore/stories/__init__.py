"""Short stories and a small GPT that learned to write them: grammar, tokenizer, weights, and what made them."""

from gptcore.stories.film import story_film
from gptcore.stories.grammar import ANIMALS, PEOPLE, write_stories
from gptcore.stories.tokenizer import get_story_tokenizer, story_token_ids
from gptcore.stories.trial import losses_by_kind, story_loss, tell_story

__all__ = [
    "ANIMALS",
    "PEOPLE",
    "get_story_tokenizer",
    "losses_by_kind",
    "story_film",
    "story_loss",
    "story_token_ids",
    "tell_story",
    "write_stories",
]

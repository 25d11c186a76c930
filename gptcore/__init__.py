"""Every part of a GPT-2, small and clear: the module that the notebooks build, check and use."""

from gptcore.ablation import replaced
from gptcore.accounting import count_parameters, forward_flops, memory_bytes, parameter_table
from gptcore.cache import KVCache
from gptcore.config import (
    GPT_CONFIG_124M,
    GPT_CONFIG_345M,
    GPT_CONFIG_762M,
    GPT_CONFIG_1542M,
    GPT_CONFIGS,
    validate_config,
)
from gptcore.generation import generate, generate_text_simple, stream
from gptcore.model import GELU, FeedForward, GPTModel, LayerNorm, MultiHeadAttention, TransformerBlock
from gptcore.stories import (
    get_story_tokenizer,
    losses_by_kind,
    story_film,
    story_loss,
    story_token_ids,
    tell_story,
    write_stories,
)
from gptcore.tokenizer import get_tokenizer, text_to_token_ids, token_ids_to_text
from gptcore.trace import attention_weights, patch_everywhere, run_with_trace, stream_names
from gptcore.training import mean_loss, next_token_loss, token_batches, train

__version__ = "1.0.0"

__all__ = [
    "GELU",
    "GPT_CONFIGS",
    "GPT_CONFIG_124M",
    "GPT_CONFIG_345M",
    "GPT_CONFIG_762M",
    "GPT_CONFIG_1542M",
    "FeedForward",
    "GPTModel",
    "KVCache",
    "LayerNorm",
    "MultiHeadAttention",
    "TransformerBlock",
    "attention_weights",
    "count_parameters",
    "forward_flops",
    "generate",
    "generate_text_simple",
    "get_story_tokenizer",
    "get_tokenizer",
    "losses_by_kind",
    "mean_loss",
    "memory_bytes",
    "next_token_loss",
    "parameter_table",
    "patch_everywhere",
    "replaced",
    "run_with_trace",
    "story_film",
    "story_loss",
    "story_token_ids",
    "stream",
    "stream_names",
    "tell_story",
    "text_to_token_ids",
    "token_batches",
    "token_ids_to_text",
    "train",
    "validate_config",
    "write_stories",
]

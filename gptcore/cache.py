"""What a model keeps of the tokens that it has seen.

Notebook: 12_fast_generation.
"""

from functools import partial

import torch

from gptcore.checks import check_count
from gptcore.config import validate_config


class KVCache:
    """The keys and values of the tokens that a model has seen, so that no later token computes them again.

    Hand the same cache to `model(new_ids, cache)` with only the new tokens each time. It has room for
    `context_length` tokens: `num_tokens` are in it.

    It is for text that is read or written, under torch.no_grad(): with gradients recorded, memory grows with each
    token, and backward() fails.

    Shapes: keys and values of each block (batch, n_heads, context_length, head_dim).
    Raises: ValueError when the new tokens do not fit, or belong to another batch size, model, dtype or device.
    Source: Shazeer 2019, "Fast Transformer Decoding", section 2.4. Notebook: 12_fast_generation.
    """

    def __init__(self, cfg, batch_size=1, dtype=None, device=None):
        cfg = validate_config(cfg)
        check_count("batch_size", batch_size, least=1)
        head_dim = cfg["emb_dim"] // cfg["n_heads"]
        self.context_length = cfg["context_length"]
        shape = (batch_size, cfg["n_heads"], self.context_length, head_dim)
        self.keys, self.values = (
            [torch.empty(shape, dtype=dtype, device=device) for _ in range(cfg["n_layers"])] for _ in range(2)
        )
        self.num_tokens = 0

    def check_room(self, num_new, model):
        """Raise ValueError unless the cache fits the model, and both have room for that many new tokens."""
        context_length = min(self.context_length, model.cfg["context_length"])
        if self.num_tokens + num_new > context_length:
            raise ValueError(
                f"{num_new} new tokens do not fit: the cache holds {self.num_tokens} of "
                f"context_length={context_length}; start a new KVCache with the last tokens of the text"
            )
        if len(self.keys) != model.cfg["n_layers"]:
            more_or_fewer = "more" if len(self.keys) < model.cfg["n_layers"] else "fewer"
            raise ValueError(
                f"the cache is for {len(self.keys)} blocks, the model has {more_or_fewer}: make it with the model's cfg"
            )
        keys, weight = self.keys[0], model.tok_emb.weight
        if keys.dtype != weight.dtype or keys.device != weight.device:
            raise ValueError(
                f"the cache is {keys.dtype} on {keys.device}, the model {weight.dtype} on {weight.device}; make it "
                f"with KVCache(model.cfg, batch_size, dtype={weight.dtype}, device={str(weight.device)!r})"
            )

    def memory_of(self, block_index):
        """The function that takes one block's keys and values of the new tokens and returns those of all tokens.

        The new tokens count as seen when the model adds them to `num_tokens`, after its last block.
        """
        return partial(self._remember, self.keys[block_index], self.values[block_index])

    def _remember(self, all_keys, all_values, keys, values):
        """Write one block's new keys and values behind the old ones; return a view of old and new.

        Shapes: (batch, n_heads, num_new, head_dim) -> (batch, n_heads, num_tokens + num_new, head_dim).
        """
        start, num_new = self.num_tokens, keys.shape[2]
        room = all_keys.narrow(2, start, num_new)
        if room.shape != keys.shape:
            raise ValueError(
                f"the cache has room for keys (batch, n_heads, num_tokens, head_dim) = {tuple(room.shape)}, "
                f"got {tuple(keys.shape)}; make it with the model's cfg and the batch size of the ids"
            )
        room.copy_(keys)
        all_values.narrow(2, start, num_new).copy_(values)
        return all_keys.narrow(2, 0, start + num_new), all_values.narrow(2, 0, start + num_new)

"""The one training loop, used by every notebook that trains.

Notebooks: 02_layer_norm to 05_shortcut_connections, 07_transformer_block to 11_gpt2_weights, 13_what_it_learned,
14_your_own_gpt.
"""

import math
import os

import torch
from torch.nn import functional as F

from gptcore.checks import check_count, check_number, check_row, check_whole_numbers
from gptcore.modes import in_mode

BATCH_SIZE = 32  # keeps the logits of a large vocabulary small


def next_token_loss(logits, targets):
    """Return the mean cross-entropy, in nats, of the tokens that really come next.

    Shapes: logits (batch, num_tokens, vocab_size), targets (batch, num_tokens) -> one number.
    Raises: ValueError when the shapes do not belong together; TypeError for targets that are not whole numbers.
    """
    check_whole_numbers(targets)
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} need targets of shape {tuple(logits.shape[:-1])}, "
            f"got {tuple(targets.shape)}; targets are the inputs moved one token on"
        )
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten().long())


def token_batches(token_ids, context_length, batch_size, seed=123):
    """Return a function that draws (inputs, targets) from one long row of token ids, for `train`.

    Each draw takes `batch_size` pieces that begin anywhere; the targets are the inputs moved one token on.

    Shapes: token_ids (num_tokens,) -> inputs and targets (batch_size, context_length).
    Raises: TypeError or ValueError for what is not one row of ids, or for counts that cannot work; ValueError when
    there are fewer than context_length + 1 ids.
    """
    check_row(token_ids)
    check_count("context_length", context_length, least=1)
    check_count("batch_size", batch_size, least=1)
    if len(token_ids) <= context_length:
        raise ValueError(
            f"{len(token_ids)} token ids cannot fill a piece of context_length={context_length} and its targets; "
            f"take a longer text or a shorter context"
        )
    draw = torch.Generator().manual_seed(seed)
    places = torch.arange(context_length + 1)

    def sample_batch():
        starts = torch.randint(len(token_ids) - context_length, (batch_size, 1), generator=draw)
        pieces = token_ids[starts + places]  # (batch_size, context_length + 1)
        return pieces[:, :-1], pieces[:, 1:]

    return sample_batch


@torch.no_grad()
def mean_loss(model, token_ids, context_length):
    """Return the mean loss, in nats per token, over one row of token ids cut into pieces; in eval mode.

    Shapes: token_ids (num_tokens,) -> one number; the last, shorter piece is left out.
    Raises: TypeError or ValueError for what is not one row of ids, or a context_length that cannot work; ValueError
    when there are fewer than context_length + 1 ids.
    """
    check_row(token_ids)
    check_count("context_length", context_length, least=1)
    num_pieces = (len(token_ids) - 1) // context_length
    if num_pieces == 0:
        raise ValueError(
            f"{len(token_ids)} token ids cannot fill one piece of context_length={context_length} and its targets"
        )
    inputs = token_ids[: num_pieces * context_length].view(num_pieces, context_length)
    targets = token_ids[1 : num_pieces * context_length + 1].view(num_pieces, context_length)
    with in_mode(model, training=False):
        losses = [
            next_token_loss(model(batch), batch_targets).item() * len(batch)
            for batch, batch_targets in zip(inputs.split(BATCH_SIZE), targets.split(BATCH_SIZE), strict=True)
        ]
    return sum(losses) / num_pieces


def train(model, sample_batch, num_steps, lr, loss_fn=next_token_loss, progress=True, watch=None):
    """Train `model` with AdamW and return the loss of every step.

    `sample_batch()` returns the next (inputs, targets); the loss is `loss_fn(model(inputs), targets)`.
    A progress bar shows while it runs; `watch(losses)`, when given, is called after each step.
    Each part's train/eval mode is put back at the end.

    Raises: TypeError or ValueError for counts or a learning rate that cannot work, or when the loss
    stops being a finite number.
    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW).
    """
    check_count("num_steps", num_steps, least=1)
    check_number("lr (learning rate)", lr, example="1e-3")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr (learning rate) must be a positive number such as 1e-3, got {lr}")
    # Here and not above: in a notebook tqdm brings ipywidgets, which `import gptcore` does without.
    from tqdm.auto import trange

    # tqdm's own variable, which its notebook bar ignores
    hidden = not progress or bool(os.environ.get("TQDM_DISABLE"))

    # All parameters in one operation; it takes them for stored row by row, which those of `from_pretrained` are not.
    fused = all(parameter.is_contiguous() for parameter in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=fused)
    losses = []
    with in_mode(model, training=True):
        for step in trange(num_steps, desc="Training", leave=False, disable=hidden):
            inputs, targets = sample_batch()
            loss = loss_fn(model(inputs), targets)
            if not torch.isfinite(loss):
                raise ValueError(f"the loss became {loss.item()} at step {step}; try a smaller lr than {lr}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if watch is not None:
                watch(losses)
    return losses

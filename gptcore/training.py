"""The one training loop, used by every notebook that trains.

Notebooks: 02_layer_norm, 03_activations, 04_feed_forward, 07_transformer_block.
"""

import math
import os

import torch
from torch.nn import functional as F

from gptcore.checks import check_count


def next_token_loss(logits, targets):
    """Return the mean cross-entropy, in nats, of the tokens that really come next.

    Shapes: logits (batch, num_tokens, vocab_size), targets (batch, num_tokens) -> one number.
    Raises: ValueError when the shapes do not belong together.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} need targets of shape {tuple(logits.shape[:-1])}, "
            f"got {tuple(targets.shape)}; targets are the inputs moved one token on"
        )
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def train(model, sample_batch, num_steps, lr, loss_fn=next_token_loss, progress=True):
    """Train `model` with AdamW and return the loss of every step.

    `sample_batch()` returns the next (inputs, targets); the loss is `loss_fn(model(inputs), targets)`.
    A progress bar shows while it runs. The model's train/eval mode is put back at the end.

    Raises: TypeError or ValueError for counts or a learning rate that cannot work, or when the loss
    stops being a finite number.
    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW).
    """
    check_count("num_steps", num_steps, least=1)
    if not 0 < lr < math.inf:
        raise ValueError(f"lr (learning rate) must be a positive number such as 1e-3, got {lr}")
    # Here and not above: in a notebook tqdm brings ipywidgets, which `import gptcore` does without.
    from tqdm.auto import trange

    hidden = not progress or "TQDM_DISABLE" in os.environ  # tqdm's own variable; its notebook bar does not heed it

    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)  # all parameters in one operation
    was_training = model.training
    model.train()
    losses = []
    try:
        for step in trange(num_steps, desc="Training", leave=False, disable=hidden):
            inputs, targets = sample_batch()
            loss = loss_fn(model(inputs), targets)
            if not torch.isfinite(loss):
                raise ValueError(f"the loss became {loss.item()} at step {step}; try a smaller lr than {lr}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    finally:
        model.train(was_training)
    return losses

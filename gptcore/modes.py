"""Train mode and eval mode, for a while.

Notebook: 09_greedy_generation.
"""

from contextlib import contextmanager


@contextmanager
def in_mode(model, training):
    """Inside, `model` and all its parts are in train mode or in eval mode; then each part is as it was before.

        with in_mode(model, training=False):
            ...  # no dropout

    `model.train(was_training)` would not do: a part that was put into eval mode by hand would not stay there.
    """
    before = [(part, part.training) for part in model.modules()]
    try:
        yield model.train(training)
    finally:
        for part, was_training in before:
            part.training = was_training

"""Take a part out of a GPT that works, and see what it was good for.

Notebooks: 02_layer_norm to 08_gpt_model, 11_gpt2_weights.
"""

from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase


@contextmanager
def replaced(model, parts, function):
    """Inside, the parts of `model` with that name give `function(part, x)` instead of `part(x)`; then all is as before.

    A name is a path such as "final_norm" or "trf_blocks.0.att"; `*` stands for anything and `?` for one character,
    so "*.norm?" are both norms of every block.

        with replaced(model, "*.ff", lambda ff, x: 0 * x):
            ...  # no feed-forward layer writes anything

    In the function, `part.forward(x)` is what the part itself would give.

    Raises: ValueError when the model has no part of that name.
    """
    found = [part for name, part in model.named_modules() if fnmatchcase(name, parts)]
    if not found:
        names = ", ".join(name for name, _ in model.named_modules() if name and name.count(".") < 3)
        raise ValueError(f"the model has no part named {parts!r}; its parts are {names}")
    with ExitStack() as hooks:
        for part in found:
            hook = part.register_forward_hook(lambda part, inputs, output: function(part, inputs[0]))
            hooks.callback(hook.remove)
        yield model

"""Take a part out of a GPT that works, and see what it was good for.

Notebooks: 02_layer_norm to 08_gpt_model, 11_gpt2_weights, 13_what_it_learned, 14_your_own_gpt.
"""

from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase

from torch import nn


@contextmanager
def replaced(model, parts, function):
    """Inside, the parts of `model` with that name give `function(part, x)` instead of `part(x)`; then all is as before.

    A name is a path such as "final_norm" or "trf_blocks.0.att"; `*` stands for anything and `?` for one character,
    so "*.norm?" are both norms of every block.

        with replaced(model, "*.ff", lambda ff, x: 0 * x):
            ...  # no feed-forward layer writes anything

    In the function, `part.forward(x)` is what the part itself would give.

    Raises: ValueError when the model has no part of that name, or only a list of parts, which never runs itself;
    TypeError, when the model runs, for a function that returns nothing.
    """
    running = {name: part for name, part in model.named_modules() if type(part).forward is not nn.Module.forward}
    found = {name: part for name, part in running.items() if fnmatchcase(name, parts)}
    if not found:
        for name, _ in model.named_modules():
            if fnmatchcase(name, parts):
                raise ValueError(
                    f"the model's {name!r} is a list of parts, which never runs itself; name its parts, '{name}.*'"
                )
        names = ", ".join(name for name in running if name and name.count(".") < 3)
        raise ValueError(f"the model has no part named {parts!r}; its parts are {names}")
    with ExitStack() as hooks:
        for name, part in found.items():

            def replace(part, inputs, output, name=name):
                replacement = function(part, inputs[0])
                if replacement is None:  # PyTorch would take the part's own output
                    raise TypeError(f"the function gave nothing for {name!r}; return a tensor such as part.forward(x)")
                return replacement

            replace.needs_whole_text = True  # `stream` then writes without a cache
            hooks.callback(part.register_forward_hook(replace).remove)
        yield model

"""Show the source of a part of gptcore inside a notebook, always as it is now."""

import inspect
import textwrap

from IPython.display import Markdown, display


def show_source(part):
    """Show the source code of a class or function of gptcore.

    Raises: TypeError when `part` has no Python source, as a number or a built-in.
    """
    source = textwrap.dedent(inspect.getsource(part))
    module = inspect.getmodule(part).__name__
    display(Markdown(f"`{module.replace('.', '/')}.py`\n```python\n{source}```"))

"""The same explorers in a notebook, by anywidget: in JupyterLab, VS Code and Colab. They move without a kernel.

Not imported by `gptcore.pages`: a page is made without ipywidgets.
"""

import anywidget
import traitlets

from gptcore.pages.live import EXPLORERS, LOOK, MODULE, check_name, live_file

WITHOUT_A_KERNEL = "The explorer {}: run the cell in JupyterLab, VS Code or Colab, and it appears here."


def live_explorer(name):
    """Return the explorer of this name for display, one of `gptcore.pages.EXPLORERS`: "story", "attention" and others.

    The kernel sends it its files once, up to 1.1 MB; after that it lives in the page.
    Raises: ValueError when there is no such explorer.
    """
    check_name(name)
    return LiveExplorer(name=name, files={file: live_file(file) for file in EXPLORERS[name]})


class LiveExplorer(anywidget.AnyWidget):
    """What live.js is told in a notebook: which explorer it is, and the bytes of the files that it needs."""

    _esm = MODULE
    _css = LOOK
    name = traitlets.Unicode().tag(sync=True)
    files = traitlets.Dict().tag(sync=True)

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": WITHOUT_A_KERNEL.format(self.name)}, metadata

"""The same explorers in a notebook, by anywidget: in JupyterLab, VS Code and Colab. They move without a kernel.

Not imported by `gptcore.pages`: a page is made without ipywidgets.
"""

import anywidget
import traitlets
from IPython.display import display

from gptcore.pages.live import EXPLORERS, LOOK, MODULE, check_name, live_file

WITHOUT_A_KERNEL = "Run the cell in JupyterLab, VS Code or Colab, and an explorer appears here that lives in the page."


def live_explorer(name, still=("", "")):
    """Show the explorer of this name below the cell, one of `gptcore.pages.EXPLORERS`: "story", "attention" and others.

    `still` is what readers without a kernel see in its place: a picture as HTML, and what it shows in words. The kernel
    sends the explorer its files once, up to 1.1 MB; after that it lives in the page.
    Raises: ValueError when there is no such explorer.
    """
    check_name(name)
    display(LiveExplorer(name=name, files={file: live_file(file) for file in EXPLORERS[name]}, still=still))


class LiveExplorer(anywidget.AnyWidget):
    """What live.js is told in a notebook: which explorer it is, and the bytes of the files that it needs."""

    _esm = MODULE
    _css = LOOK
    name = traitlets.Unicode().tag(sync=True)
    files = traitlets.Dict().tag(sync=True)
    still = traitlets.Tuple()  # stays in the kernel

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        picture, words = self.still
        page = f"{picture}<p><em>{WITHOUT_A_KERNEL}</em></p>"
        return {**data, "text/html": page, "text/plain": words or WITHOUT_A_KERNEL}, metadata

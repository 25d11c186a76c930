"""Notebook 10: watch a model learn, while it learns."""

import html
import os

import ipywidgets
from IPython.display import display

from gptcore.viz import plots
from gptcore.viz.widgets.live import LiveFigure

_LONGEST_SAMPLE = 400  # characters


class TrainingView:
    """Shows the loss and a sample of the model's writing while `train(..., watch=view)` runs.

    `look()` returns (validation loss, sample text); it is called `num_looks` times, first after the first step. What it
    returned stays in `steps`, `validation` and `samples`. Hidden, like the progress bar, where TQDM_DISABLE is set.
    """

    def __init__(self, num_steps, look, num_looks=12):
        self.steps, self.validation, self.samples = [], [], []
        self._look = look
        last = num_steps - 1
        self._look_after = {round(i * last / (num_looks - 1)) + 1 for i in range(num_looks)}
        self._figure = LiveFigure("The loss while the model learns: of each step, and on validation stories.")
        axes = self._figure.axes
        title, xlabel, ylabel = "learning, step by step", "training step", "loss (nats per token)"
        plots.lines(
            axes, [1], {"training": [1], "validation": [1]}, markers=True, title=title, xlabel=xlabel, ylabel=ylabel
        )
        self._training, self._validation = axes.lines
        self._training.set_marker("")
        axes.set(xlim=(0, num_steps), ylim=(0, 8))
        self._page = None if os.environ.get("TQDM_DISABLE") else ipywidgets.HTML()
        if self._page:
            display(self._page)

    def __call__(self, losses):
        step = len(losses)
        if step not in self._look_after:
            return
        validation, sample = self._look()
        self.steps.append(step)
        self.validation.append(validation)
        self.samples.append(sample)
        if self._page:
            self._training.set_data(range(1, step + 1), losses)
            self._validation.set_data(self.steps, self.validation)
            picture, _ = self._figure.reading(f"After step {step}: validation loss {validation:.2f}.")
            text = html.escape(sample[:_LONGEST_SAMPLE])
            self._page.value = f'{picture}<p style="white-space:pre-wrap"><em>It writes:</em> {text}</p>'

"""Notebooks 10 and 13: watch a model learn, while it learns."""

import html
import os

import ipywidgets
from IPython.display import display

from gptcore.viz import plots
from gptcore.viz.style import our_look
from gptcore.viz.widgets.live import LiveFigure

_LONGEST_SAMPLE = 400  # characters


class TrainingView:
    """Shows the losses and a sample of the model's writing while `train(..., watch=view)` runs.

    `look()` returns ({name: loss on unseen text}, sample text), always the same names; it is called `num_looks` times,
    first after the first step. What it returned stays in `steps`, `losses` (a list for each name) and `samples`.
    Hidden, like the progress bar, where TQDM_DISABLE is set.
    """

    def __init__(self, num_steps, look, num_looks=12):
        self.steps, self.losses, self.samples = [], {}, []
        self._look = look
        last = num_steps - 1
        self._look_after = {round(i * last / max(num_looks - 1, 1)) + 1 for i in range(num_looks)}
        self._num_steps, self._figure = num_steps, None
        self._page = None if os.environ.get("TQDM_DISABLE") else ipywidgets.HTML()
        if self._page:
            display(self._page)

    def __call__(self, losses):
        step = len(losses)
        if step not in self._look_after:
            return
        now, sample = self._look()
        self.steps.append(step)
        self.samples.append(sample)
        for name, loss in now.items():
            self.losses.setdefault(name, []).append(loss)
        if self._page:
            if self._figure is None:
                self._draw(highest=max(losses[0], *now.values()))
            training, *curves = self._figure.axes.lines
            training.set_data(range(1, step + 1), losses)
            for curve, seen in zip(curves, self.losses.values(), strict=True):
                curve.set_data(self.steps, seen)
            said = ", ".join(f"{name} {loss:.2f}" for name, loss in now.items())
            picture, _ = self._figure.reading(f"After step {step}, loss on unseen stories: {said}.")
            text = html.escape(sample[:_LONGEST_SAMPLE])
            self._page.value = f'{picture}<p style="white-space:pre-wrap"><em>It writes:</em> {text}</p>'

    @our_look()
    def _draw(self, highest):
        self._figure = LiveFigure("The loss while the model learns: of each step, and on unseen stories.")
        axes = self._figure.axes
        curves = {"training": [1], **{name: [1] for name in self.losses}}
        title, xlabel, ylabel = "learning, step by step", "training step", "loss (nats per token)"
        plots.lines(axes, [1], curves, markers=True, title=title, xlabel=xlabel, ylabel=ylabel)
        axes.lines[0].set_marker("")
        axes.set(xlim=(0, self._num_steps), ylim=(0, max(8, 1.1 * highest)))

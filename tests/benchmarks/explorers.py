"""How long the kernel takes from a moved control to the new view, for each explorer. Limits: 50 ms median, 80 ms p95.

Each control is moved through its values, one after the other, and every redraw is measured. Prints a table; ends with
an error when a row is over the limits. Measure on a machine that does nothing else.

    python tests/benchmarks/explorers.py
"""

import contextlib
import inspect
import io
import statistics
import sys
import time

import ipywidgets
import torch

import gptcore
from gptcore.viz import widgets
from gptcore.viz.widgets import live

MEDIAN_LIMIT, P95_LIMIT = 50, 80  # milliseconds
ROUNDS = 2
TEXTS = ["Hello", "the cat sat and it purred", "one two three"]


def values_of(control):
    if isinstance(control, ipywidgets.Text):
        return TEXTS if "," not in control.value or control.description == "prompt" else ["4, 3, 2, 9", "0, 1, 0, 7"]
    if isinstance(control, ipywidgets.Checkbox):
        return [True, False]
    if isinstance(control, ipywidgets.ToggleButtons | ipywidgets.SelectionSlider):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    steps = round((control.max - control.min) / control.step)
    return [control.min + step * control.step for step in range(0, steps + 1, max(1, steps // 20))]


def measure(explorer):
    """Milliseconds of every redraw, worst control's name first."""
    times = {}
    for name, control in explorer.controls.items():
        start_value = control.value
        times[name] = []
        for value in [*values_of(control), start_value] * ROUNDS:
            if value != control.value:
                start = time.perf_counter()
                control.value = value
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def main():
    torch.manual_seed(123)
    model = gptcore.GPTModel(
        {**gptcore.GPT_CONFIG_124M, "context_length": 64, "emb_dim": 48, "n_heads": 4, "n_layers": 3}
    ).eval()
    print(f"{'explorer':<28}{'redraws':>8}{'median ms':>11}{'p95 ms':>8}   slowest control (median ms)")
    too_slow = False
    for name in widgets.__all__:
        function = getattr(widgets, name)
        with contextlib.redirect_stdout(io.StringIO()):  # without a notebook, display() prints
            knows_stories = gptcore.GPTModel.from_pretrained("stories") if name == "cut_explorer" else model
            function(*[knows_stories] if "model" in inspect.signature(function).parameters else [])
        times = measure(next(reversed(live._shown.values())))
        every = sorted(t for control in times.values() for t in control)
        median, p95 = statistics.median(every), every[int(0.95 * len(every))]
        slowest = max(times, key=lambda control: statistics.median(times[control]))
        too_slow |= median > MEDIAN_LIMIT or p95 > P95_LIMIT
        slowest_median = statistics.median(times[slowest])
        print(f"{name:<28}{len(every):>8}{median:>11.1f}{p95:>8.1f}   {slowest} ({slowest_median:.1f})", flush=True)
    sys.exit("over the limits" if too_slow else 0)


if __name__ == "__main__":
    main()

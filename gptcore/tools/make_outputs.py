"""Execute notebooks in order, each on a clean kernel, and save them with their outputs.

Gathers the glossary from them, too. Prints what each took: seconds from the start of its kernel to the last output, and
the kernel's memory.

    python gptcore/tools/make_outputs.py                          all notebooks, and the solutions
    python gptcore/tools/make_outputs.py 02_layer_norm            one of them
    python gptcore/tools/make_outputs.py solutions/02_layer_norm  the solutions of its exercises
"""

import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import make_glossary
import nbformat
from kernel_memory import MemoryWatch
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

# Its figures show how fast this machine is, another number each time. A stored picture stays as long as its words do,
# and so does what nbval ignores; clear the notebook's outputs to have new ones.
SHOWS_TIMES = "12_fast_generation"
PIXELS = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]*")

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# What JupyterLab shows folded until it is run or opened, by a cell's tag: the answer to a prediction, the assertions
# behind it, and code that only draws.
FOLDED = {"predict": "outputs_hidden", "check": "source_hidden", "extra": "source_hidden"}


@dataclass
class Figures:
    """What a notebook takes: seconds from the start of its kernel, and the most MB that the kernel had."""

    first_output: float  # seconds until a cell with an output has ended
    seconds: float
    private: float
    total: float  # with what is mapped from files


def run(notebook, folder):
    """Execute a notebook's cells in order on a clean kernel and keep their outputs in it; return its Figures."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        timeout=600,
        resources={"metadata": {"path": str(folder)}},
    )
    first_output = None
    start = time.perf_counter()
    with client.setup_kernel():
        memory = MemoryWatch(client.km.provisioner.pid)
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            if first_output is None and cell.get("outputs"):
                first_output = time.perf_counter() - start
        seconds = time.perf_counter() - start
        memory.end()
    return Figures(first_output, seconds, memory.private, memory.total)


def execute(path):
    """Run the notebook at `path` and save it in one step; return its Figures."""
    notebook = nbformat.read(path, as_version=4)
    stored = [(pictures_of(cell), cell.get("outputs")) for cell in notebook.cells]
    figures = run(notebook, path.parent)
    # A kernel sends what it prints in pieces of chance size: one piece, so that the file does not change by itself.
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)
            for output in cell.outputs:
                # An explorer lives only while its kernel runs; its picture is stored beside it, and stays.
                output.get("data", {}).pop(WIDGET_VIEW, None)
    if path.stem == SHOWS_TIMES:
        for cell, (pictures, outputs) in zip(notebook.cells, stored, strict=True):
            keep_pictures(cell, pictures)
            if "nbval-ignore-output" in cell.metadata.get("tags", []) and outputs:
                cell.outputs = outputs
    for cell in notebook.cells:
        fold(cell)
    # What differs from machine to machine without a reader's caring stays out of the file.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    unfinished = path.with_suffix(".unfinished")
    nbformat.write(notebook, unfinished)
    unfinished.replace(path)
    return figures


def fold(cell):
    """Fold what the cell's tags say.

    JupyterLab shows the first line of what is folded, and so it would tell the answer: an output without anything in it
    comes first. (Folded code begins with a comment; a test holds it.)
    """
    folded = {FOLDED[tag]: True for tag in cell.metadata.get("tags", []) if tag in FOLDED}
    cell.metadata.pop("jupyter", None)
    if folded:
        cell.metadata["jupyter"] = folded
    if "outputs_hidden" in folded and cell.outputs and cell.outputs[0].get("data") != {}:
        cell.outputs.insert(0, nbformat.v4.new_output("display_data"))


def pictures_of(cell):
    """The cell's pictures by what they say apart from their pixels."""
    outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
    return {PIXELS.sub("", data["text/html"]): data for data in outputs if PIXELS.search(data.get("text/html", ""))}


def keep_pictures(cell, pictures):
    for output in cell.get("outputs", []):
        page = PIXELS.sub("", output.get("data", {}).get("text/html", ""))
        if page in pictures:
            output["data"] = pictures[page]


def join_streams(outputs):
    """Join each piece of printed text to the one before it, where nothing else came between."""
    joined = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream" and output.name == joined[-1].name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def main(names):
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar is for a person who waits
    os.environ["PYTHONHASHSEED"] = "0"
    # What is stored is what a reader sees who has guessed and solved nothing yet; and nothing is kept of this run.
    os.environ["GPTCORE_KEPT"] = ""
    os.environ.pop("GPTCORE_CLASS", None)
    unknown = [name for name in names if not (NOTEBOOKS / f"{name}.ipynb").exists()]
    if unknown:
        sys.exit(f"no notebook named {', '.join(unknown)}; a name looks like 02_layer_norm")
    every = [*sorted(NOTEBOOKS.glob("*.ipynb")), *sorted(NOTEBOOKS.glob("solutions/*.ipynb"))]
    paths = [NOTEBOOKS / f"{name}.ipynb" for name in names] or every
    print(f"{'notebook':<36}{'seconds':>9}{'private MB':>12}{'total MB':>10}{'file kB':>9}")
    for path in paths:
        took = execute(path)
        name = path.relative_to(NOTEBOOKS).with_suffix("").as_posix()
        size = path.stat().st_size / 1e3
        memory = f"{took.private:>12.0f}{took.total:>10.0f}"
        print(f"{name:<36}{took.seconds:>9.1f}{memory}{size:>9.0f}", flush=True)
    make_glossary.main()


if __name__ == "__main__":
    main(sys.argv[1:])

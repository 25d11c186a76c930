"""Execute notebooks in order, each on a clean kernel, and save them with their outputs.

Prints what each took: seconds from the start of its kernel to the last output, and the kernel's peak memory.

    python tests/notebooks/make_outputs.py               all notebooks
    python tests/notebooks/make_outputs.py 02_layer_norm  one of them
"""

import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

# Its figures show how fast this machine is, another number each time. A stored picture stays as long as its words do;
# clear the notebook's outputs to have new ones.
SHOWS_TIMES = "12_fast_generation"
PIXELS = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]*")

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# Printed by the kernel itself after the last cell; Windows has no `resource`.
PEAK_MEMORY = """
import sys
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)
except ImportError:
    print("nan")
"""


def execute(path):
    """Run the notebook at `path` and save it in one step; return its seconds and its kernel's peak bytes."""
    notebook = nbformat.read(path, as_version=4)
    stored = [pictures_of(cell) for cell in notebook.cells]
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        timeout=600,
        resources={"metadata": {"path": str(path.parent)}},
    )
    start = time.perf_counter()
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        seconds = time.perf_counter() - start
        notebook.cells.append(nbformat.v4.new_code_cell(PEAK_MEMORY))
        client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
        peak_bytes = float(notebook.cells.pop().outputs[0].text)
    # A kernel sends what it prints in pieces of chance size: one piece, so that the file does not change by itself.
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)
            for output in cell.outputs:
                # An explorer lives only while its kernel runs; its picture is stored beside it, and stays.
                output.get("data", {}).pop(WIDGET_VIEW, None)
    if path.stem == SHOWS_TIMES:
        for cell, pictures in zip(notebook.cells, stored, strict=True):
            keep_pictures(cell, pictures)
    # What differs from machine to machine without a reader's caring stays out of the file.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    unfinished = path.with_suffix(".unfinished")
    nbformat.write(notebook, unfinished)
    unfinished.replace(path)
    return seconds, peak_bytes


def pictures_of(cell):
    """The cell's HTML outputs by what they say apart from their pixels."""
    pages = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", [])]
    return {PIXELS.sub("", page): page for page in pages if PIXELS.search(page)}


def keep_pictures(cell, pictures):
    for output in cell.get("outputs", []):
        page = output.get("data", {}).get("text/html", "")
        if PIXELS.sub("", page) in pictures:
            output.data["text/html"] = pictures[PIXELS.sub("", page)]


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
    unknown = [name for name in names if not (NOTEBOOKS / f"{name}.ipynb").exists()]
    if unknown:
        sys.exit(f"no notebook named {', '.join(unknown)}; a name looks like 02_layer_norm")
    paths = [NOTEBOOKS / f"{name}.ipynb" for name in names] or sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    print(f"{'notebook':<28}{'seconds':>9}{'peak MB':>9}{'file kB':>9}")
    for path in paths:
        seconds, peak = execute(path)
        print(f"{path.stem:<28}{seconds:>9.1f}{peak / 1e6:>9.0f}{path.stat().st_size / 1e3:>9.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the series takes on this machine: every notebook, every explorer, and gptcore beside its peers.

    make bench                              all of it, about ten minutes
    python tests/benchmarks/series.py       the same
    python tests/benchmarks/series.py 02_layer_norm     this notebook alone, and nothing else

Nothing is saved. Measure on a machine that does nothing else.
"""

import os
import subprocess
import sys
from pathlib import Path

import nbformat

BENCHMARKS = Path(__file__).parent
sys.path.insert(0, str(BENCHMARKS.parents[1] / "gptcore" / "tools"))  # by itself: gptcore would bring PyTorch
from make_outputs import NOTEBOOKS, run  # noqa: E402


def main(names):
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["GPTCORE_KEPT"] = ""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors\n")
    print("| notebook | first output, s | all of it, s | private memory, MB | with mapped files, MB | file, kB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        path = NOTEBOOKS / f"{name}.ipynb"
        took = run(nbformat.read(path, as_version=4), path.parent)
        size = path.stat().st_size / 1e3
        seconds, memory = f"{took.first_output:.1f} | {took.seconds:.1f}", f"{took.private:.0f} | {took.total:.0f}"
        print(f"| {name} | {seconds} | {memory} | {size:.0f} |", flush=True)
    if names:
        return 0
    failed = 0
    for benchmark in ("explorers.py", "generation.py"):
        print(flush=True)
        failed |= subprocess.call([sys.executable, BENCHMARKS / benchmark])
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

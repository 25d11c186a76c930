"""Every notebook on a small machine: 1 GiB for its kernel and what runs it, one thread. Needs Linux and root.

python tests/benchmarks/small_machine.py
"""

import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent
sys.path.insert(0, str(BENCHMARKS.parents[1] / "gptcore" / "tools"))  # by itself: gptcore would bring PyTorch
from make_outputs import NOTEBOOKS  # noqa: E402
from memory_limit import memory_limit, why_not_here  # noqa: E402

MEGABYTES = 1074  # 1 GiB


def main():
    if reason := why_not_here():
        sys.exit(reason)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    failed = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        with memory_limit(MEGABYTES) as within:
            command = [*within, sys.executable, BENCHMARKS / "series.py", path.stem]
            finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        failed += [path.stem] * (finished.returncode != 0)
        print(finished.stdout.splitlines()[-1] if finished.returncode == 0 else f"| {path.stem} | failed |", flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())

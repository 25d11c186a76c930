"""The whole series a dozen times, each time under other circumstances: nbval compares each output with the stored one.

    python tests/benchmarks/circumstances.py          all of them, about 40 minutes on two cores
    python tests/benchmarks/circumstances.py 1 12     the first and the last

Threads, hash seeds, language, time zone, working folder, a path with a space and a letter beyond ASCII, processors that
know less than this one, no network. The last needs Linux and the right to make a network namespace.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[2]
COPIED = ("conftest.py", "pyproject.toml", "gptcore", "notebooks", "tests")

# A new network namespace has a loopback interface that is down; kernels talk to their clients through it.
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
os.execvp(sys.executable, [sys.executable, *sys.argv[1:]])
"""

RUNS = [
    ("as it is", {}),
    ("one thread", {"OMP_NUM_THREADS": "1"}),
    ("two threads", {"OMP_NUM_THREADS": "2"}),
    ("hash seed 1", {"PYTHONHASHSEED": "1"}),
    ("hash seed 4321", {"PYTHONHASHSEED": "4321"}),
    ("language C", {"LC_ALL": "C", "LANG": "C"}),
    ("German, and the other side of the earth", {"LC_ALL": "de_DE.UTF-8", "TZ": "Pacific/Kiritimati"}),
    ("from another folder", {"folder": "/"}),
    ("from a path with a space and an ü", {"copy": "an open földer"}),
    (
        "a processor with AVX2 at most",
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    ),
    (
        "a processor without AVX",
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    ),
    ("no network", {"network": "none"}),
]


def run(circumstances, scratch):
    """Return whether nbval was content, and its last line."""
    circumstances = dict(circumstances)
    project, folder = PROJECT, circumstances.pop("folder", None)
    if name := circumstances.pop("copy", None):
        project = Path(scratch) / name
        for part in COPIED:
            copy = shutil.copytree if (PROJECT / part).is_dir() else shutil.copy
            project.mkdir(exist_ok=True)
            copy(PROJECT / part, project / part)
        circumstances["PYTHONPATH"] = str(project)
    command = [sys.executable]
    if circumstances.pop("network", None):
        command = ["unshare", "--net", sys.executable, "-c", LOOPBACK_UP]
    command += [
        "-m",
        "pytest",
        "-q",
        "-n2",
        "--dist=loadfile",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(project),
        "-c",
    ]
    command += [str(project / "pyproject.toml"), *map(str, sorted((project / "notebooks").glob("*.ipynb")))]
    finished = subprocess.run(
        command,
        cwd=folder or project,
        env=os.environ | circumstances,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        print(finished.stdout[-5000:], finished.stderr[-2000:])
    return finished.returncode == 0, (finished.stdout.strip().splitlines() or ["no output"])[-1]


def main(numbers):
    failed = False
    for number in numbers or range(1, len(RUNS) + 1):
        title, circumstances = RUNS[number - 1]
        with tempfile.TemporaryDirectory() as scratch:
            is_right, said = run(circumstances, scratch)
        failed |= not is_right
        print(f"{number:>2}  {title:<42}{said}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main([int(number) for number in sys.argv[1:]]))

"""Set everything up on a bare machine, then read, test or re-execute the notebooks, or prepare a class.

    python gptcore/bootstrap.py lab        open JupyterLab on the first notebook
    python gptcore/bootstrap.py test       run all tests
    python gptcore/bootstrap.py outputs    execute all notebooks and save their outputs
    python gptcore/bootstrap.py bench      measure what notebooks, explorers and gptcore take
    python gptcore/bootstrap.py teach      add what a teacher needs: nbgrader and JupyterHub

Words after these are passed on: `test -k tokenizer`, `outputs 02_layer_norm`, `lab --no-browser`.

The first run makes the environment .venv and installs requirements.txt into it; later runs start at
once, without a network. Interrupted? Run it again. Needs Python 3.11 or newer and nothing else.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
INSTALLED = ENVIRONMENT / "installed.sha256"  # written last: tells a finished installation from a broken-off one

# On Linux the ordinary wheel of PyTorch brings several GB of CUDA; this index has a build without.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

COMMANDS = {
    "lab": ["-m", "jupyterlab", "notebooks/00_start_here.ipynb"],
    # A notebook's cells stay on one kernel; what takes longest comes first, in conftest.py's order.
    "test": ["-m", "pytest", "--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder"],
    "outputs": ["tests/notebooks/make_outputs.py"],
    "bench": ["tests/benchmarks/series.py"],
    "teach": ["-m", "pip", "install", "--disable-pip-version-check", "-r", "notebooks/teaching/requirements.txt"],
}


def main(arguments):
    if sys.version_info < (3, 11):  # noqa: UP036 - this file alone may meet an older Python, and says so
        sys.exit(f"Python 3.11 or newer is needed, this is {platform.python_version()}; get one from python.org")
    if not arguments or arguments[0] not in COMMANDS:
        sys.exit(__doc__)
    set_up()
    name, *rest = arguments
    if name == "lab" and hasattr(os, "geteuid") and os.geteuid() == 0:
        rest.append("--allow-root")  # the usual user in a container
    try:
        sys.exit(subprocess.call([PYTHON, *COMMANDS[name], *rest], cwd=ROOT))
    except KeyboardInterrupt:  # Ctrl+C is how one ends JupyterLab
        sys.exit(130)


def set_up():
    """Make .venv and install into it what requirements.txt lists, unless that is done already."""
    wanted = hashlib.sha256(
        (ROOT / "requirements.txt").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    ).hexdigest()
    if INSTALLED.exists() and INSTALLED.read_text() == wanted and PYTHON.exists():
        return
    print("Setting up .venv: a few minutes and about 1 GB of disk, the first time only.", flush=True)
    if not has_pip():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    version = re.search(r"^torch==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]
    if wants_cpu_build() and can_reach(TORCH_CPU_INDEX):
        # May fail, for example without a wheel for this processor: then requirements.txt brings the ordinary one.
        cpu_build = ["--no-deps", "--retries", "1", "--index-url", TORCH_CPU_INDEX, f"torch=={version}+cpu"]
        subprocess.call([*pip, *cpu_build], cwd=ROOT)
    if subprocess.call([*pip, "-r", "requirements.txt"], cwd=ROOT):
        sys.exit("The installation did not finish. Is there a network? Run the same command again to go on.")
    # JupyterLab's question about its news would stand in front of the first notebook.
    news = "@jupyterlab/apputils-extension:announcements"
    disable_news = ["-m", "jupyter", "labextension", "disable", "--level=sys_prefix", news]
    subprocess.check_call([PYTHON, *disable_news], stderr=subprocess.DEVNULL)
    INSTALLED.write_text(wanted)


def has_pip():
    """False without .venv, and also for one whose making was broken off, or whose Python has gone."""
    try:
        return (
            subprocess.call([PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            == 0
        )
    except OSError:
        return False


def wants_cpu_build():
    return sys.platform == "linux" and shutil.which("nvidia-smi") is None


def can_reach(address):
    try:
        with urllib.request.urlopen(f"{address}/torch/", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


if __name__ == "__main__":
    main(sys.argv[1:])

"""Set everything up on a bare machine, then read, test or re-execute the notebooks, or prepare a class.

    python gptcore/tools/bootstrap.py lab        open JupyterLab on the first notebook
    python gptcore/tools/bootstrap.py test       run all tests
    python gptcore/tools/bootstrap.py outputs    execute all notebooks and save their outputs
    python gptcore/tools/bootstrap.py bench      measure what notebooks, explorers and gptcore take
    python gptcore/tools/bootstrap.py teach      add what a teacher needs: nbgrader and JupyterHub
    python gptcore/tools/bootstrap.py slides     write a slide deck of each notebook
    python gptcore/tools/bootstrap.py site       make the web site, in _site
    python gptcore/tools/bootstrap.py doors      write the project's address into links and set-up cells
    python gptcore/tools/bootstrap.py setup      only set up

Words after these are passed on: `test -k tokenizer`, `outputs 02_layer_norm`, `lab --no-browser`.

The first run makes the environment .venv and installs requirements.txt into it; later runs start at
once, without a network. Interrupted? Run it again. Needs Python 3.11 to 3.14 and nothing else.
"""

import hashlib
import http.client
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
INSTALLED = ENVIRONMENT / "installed.sha256"  # written last: tells a finished installation from an interrupted one

# For what each pinned package has a wheel: tests/test_platforms.py holds it, and that pyproject.toml says the same.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
PROCESSORS = {"linux": ("x86_64", "aarch64"), "darwin": ("arm64",), "win32": ("amd64",)}
OLDEST_GLIBC, OLDEST_MACOS = (2, 28), (14, 0)

# On Linux the ordinary wheel of PyTorch brings several GB of CUDA; this index has a build without.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

INSTALL = ["-m", "pip", "install", "--disable-pip-version-check", "-r"]
COMMANDS = {
    "lab": ["-m", "jupyterlab", "notebooks/00_start_here.ipynb"],
    # A notebook's cells stay on one kernel; what takes longest comes first, in conftest.py's order.
    "test": ["-m", "pytest", "--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder", "--reuse"],
    "outputs": ["gptcore/tools/make_outputs.py"],
    "bench": ["tests/benchmarks/series.py"],
    "teach": [*INSTALL, "notebooks/teaching/requirements.txt"],
    "slides": ["notebooks/teaching/make_slides.py"],
    "site": ["gptcore/tools/make_site.py"],
    "doors": ["gptcore/tools/make_doors.py"],
    "setup": ["-c", "print('All is there.')"],
}
# PyTorch's threads wait for one another in a loop that counts to 300,000. Beside another program that keeps the cores
# busy this made notebooks up to forty times slower; up to 1,000 costs next to nothing on a quiet machine.
WAIT_LESS = {"GOMP_SPINCOUNT": "1000"}
NEEDS_MORE = {"site": "gptcore/tools/site/requirements.txt"}  # installed before; at once when it is there already


def main(arguments):
    if not arguments or arguments[0] not in COMMANDS:
        sys.exit(__doc__)
    reason = why_not_here(sys.version_info, sys.platform, processor(), platform.libc_ver(), platform.mac_ver()[0])
    if reason:
        sys.exit(reason)
    set_up()
    name, *rest = arguments
    if name == "lab" and hasattr(os, "geteuid") and os.geteuid() == 0:
        rest.append("--allow-root")  # the usual user in a container
    if name in NEEDS_MORE and subprocess.call([PYTHON, *INSTALL, NEEDS_MORE[name], "--quiet"], cwd=ROOT) != 0:
        sys.exit(f"What `{name}` needs besides could not be installed. Run the same command again to go on.")
    try:
        sys.exit(subprocess.call([PYTHON, *COMMANDS[name], *rest], cwd=ROOT, env={**WAIT_LESS, **os.environ}))
    except KeyboardInterrupt:  # Ctrl+C is how one ends JupyterLab
        sys.exit(130)


def why_not_here(python, system, machine, libc, macos):
    """Return a sentence that says what this machine lacks and what to take, or None.

    It comes in the first second. Without it, pip looks for a build of PyTorch for minutes and finds none.
    """
    oldest, newest = (".".join(map(str, version)) for version in (OLDEST_PYTHON, NEWEST_PYTHON))
    if not OLDEST_PYTHON <= python[:2] <= NEWEST_PYTHON:
        found = ".".join(map(str, python[:3]))
        return (
            f"Python {oldest} to {newest} is needed, and this is {found}: get one of them from "
            "https://www.python.org/downloads and start this with it, for example with "
            f"python{newest} gptcore/tools/bootstrap.py lab"
        )
    if machine not in PROCESSORS.get(system, (machine,)):
        take = {
            "darwin": "on a Mac with an Apple processor take the Python for it; PyTorch has no build for Intel Macs",
            "win32": "take the ordinary 64-bit Python (AMD64) from https://www.python.org/downloads",
        }.get(system, f"take a machine with one of {', '.join(PROCESSORS['linux'])}")
        return f"PyTorch has no build for {system} on {machine}: {take}. Without installing anything: Binder, in README"
    if system == "linux" and libc[0] == "glibc" and version_of(libc[1]) < OLDEST_GLIBC:
        return (
            f"glibc 2.28 or newer is needed, and this Linux has {libc[1]}: take a newer system, for example Debian 10, "
            "Ubuntu 20.04 or Red Hat 8, or one of their containers"
        )
    if system == "linux" and libc[0] == "musl":
        return "PyTorch has no build for musl, which this Linux has: take one with glibc, for example Debian or Ubuntu"
    if system == "darwin" and version_of(macos) < OLDEST_MACOS:
        return f"macOS 14 or newer is needed, and this is {macos}: PyTorch has no build for an older one"
    return None


def processor():
    """The processor that this Python was built for: another one may run it in emulation."""
    name = sysconfig.get_platform().rsplit("-", 1)[-1] if sys.platform == "win32" else platform.machine()
    return "32 bits" if sys.maxsize < 2**32 else name


def version_of(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def set_up():
    """Make .venv and install into it what requirements.txt lists, unless that is done already."""
    wanted = hashlib.sha256(
        (ROOT / "requirements.txt").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    ).hexdigest()
    stays = not was_moved()
    if stays and INSTALLED.exists() and INSTALLED.read_text() == wanted and PYTHON.exists():
        return
    print("Setting up .venv: a few minutes and 1.7 GB of disk, the first time only.", flush=True)
    if not (stays and has_pip()):
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    version = re.search(r"^torch==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]
    if wants_cpu_build() and can_reach(TORCH_CPU_INDEX):
        # May fail, for example without a wheel for this processor: then requirements.txt brings the ordinary one.
        cpu_build = ["--no-deps", "--retries", "1", "--index-url", TORCH_CPU_INDEX, f"torch=={version}+cpu"]
        subprocess.call([*pip, *cpu_build], cwd=ROOT)
    said = install([*pip, "-r", "requirements.txt"])
    if said is not None:
        sys.exit(f"The installation did not finish. {said}Run the same command again to go on.")
    # JupyterLab's question about its news would stand in front of the first notebook.
    news = "@jupyterlab/apputils-extension:announcements"
    disable_news = ["-m", "jupyter", "labextension", "disable", "--level=sys_prefix", news]
    subprocess.check_call([PYTHON, *disable_news], stderr=subprocess.DEVNULL)
    INSTALLED.write_text(wanted)


def install(command):
    """Run pip; return None when all is installed, or else what it said at last, as a sentence or two.

    Its progress goes to the terminal untouched; only what it complains about passes through here.
    """
    complaints = []
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, encoding="utf-8", errors="replace") as pip:
        for line in pip.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            complaints.append(line.strip())
    if pip.returncode == 0:
        return None
    errors = [line for line in complaints if line.startswith("ERROR")] or list(filter(None, complaints))
    said = f"The last that pip said: {errors[-1]}\n" if errors else ""
    # pip calls it "no matching distribution" too when it reached no index; then it had tried several times.
    tried_in_vain = any("Retrying" in line or "connection" in line.lower() for line in complaints)
    return said + ("It could not reach its index: is there a network? " if tried_in_vain else "")


def has_pip():
    """False without .venv, and also for one whose making was interrupted, or whose Python has gone."""
    try:
        return (
            subprocess.call([PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            == 0
        )
    except OSError:
        return False


def was_moved():
    """True for a .venv that was made in another folder: its programs, and the link to gptcore, still lead there."""
    settings = ENVIRONMENT / "pyvenv.cfg"
    text = settings.read_text(encoding="utf-8") if settings.exists() else ""
    # Python's venv writes this line; one that another program made is left alone.
    made_in = re.search(r'^command = .* -m venv (?:--[\w-]+(?:="[^"]*"|=\S+)? )*(.+)$', text, re.MULTILINE)
    if made_in is None or not Path(made_in[1]).is_absolute():  # in doubt nothing is made anew
        return False
    return not (Path(made_in[1]).exists() and Path(made_in[1]).samefile(ENVIRONMENT))


def wants_cpu_build():
    return sys.platform == "linux" and shutil.which("nvidia-smi") is None


def can_reach(address):
    try:
        with urllib.request.urlopen(f"{address}/torch/", timeout=5):
            return True
    except urllib.error.HTTPError as refusal:
        refusal.close()  # otherwise Python 3.14 warns
        return False
    except (OSError, http.client.HTTPException):  # also a connection that is closed, or an answer that is no HTTP
        return False


if __name__ == "__main__":
    main(sys.argv[1:])

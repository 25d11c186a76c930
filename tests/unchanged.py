"""Which notebooks need not run again: what passed here, and has not changed since.

`make test` asks for it (`--reuse`); otherwise every notebook runs. What passed is kept in pytest's own cache, so
`make test ARGS=--cache-clear` runs all of them again.
"""

import hashlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ("notebooks", "notebooks/solutions")
DEPEND_ON = [
    *("gptcore", "conftest.py", "pyproject.toml", "tests/budget.toml", "tests/notebooks/sanitize.cfg"),
    *("tests/offline", "tests/unchanged.py"),
]
# What variables begin with that change how something is computed or drawn.
SETTINGS = ("ATEN_", "DNNL_", "GOMP_", "KMP_", "MKL_", "MPL", "ONEDNN_", "OMP_", "PYTHON", "TORCH")


def states():
    """What each notebook and all that it depends on are like now, as one number: {its path from here: number}."""
    around = _circumstances()
    found = [path for folder in NOTEBOOKS for path in sorted((ROOT / folder).glob("*.ipynb"))]
    return {path.relative_to(ROOT).as_posix(): _number_of(around, path.read_bytes()) for path in found}


def passed(notebooks, cache):
    """Those of `notebooks`, given with their states, that passed here as they are now."""
    return [name for name, state in notebooks.items() if cache.get(f"passed/{name}", None) == state]


def keep(name, state, cache):
    """Keep that a notebook passed in this state."""
    cache.set(f"passed/{name}", state)


def _circumstances():
    packages = sorted(f"{package.name} {package.version}" for package in metadata.distributions())
    settings = sorted(pair for pair in os.environ.items() if pair[0].startswith(SETTINGS))
    machine = (sys.version, platform.uname(), os.cpu_count(), packages, settings)
    files = [path for name in DEPEND_ON for path in sorted([ROOT / name, *(ROOT / name).rglob("*")]) if path.is_file()]
    read = [(path.as_posix(), _number_of("", path.read_bytes())) for path in files if "__pycache__" not in path.parts]
    return repr((machine, read))


def _number_of(text, content):
    return hashlib.sha256(text.encode() + content).hexdigest()

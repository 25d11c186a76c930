"""Settings for the whole test run."""

import os
import shutil
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import settings
from nbval.plugin import IPyNbCell

pytest_plugins = ["pytester"]
collect_ignore_glob = [
    "notebooks/exercises/*",  # have no outputs to compare; tests/exercises runs them
    "notebooks/teaching/*",  # programs, which need more than is installed everywhere
]

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Before anything imports PyTorch: with more threads than processors, all wait for one another most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

TESTS = Path(__file__).parent / "tests"
BUDGET = tomllib.loads((TESTS / "budget.toml").read_text(encoding="utf-8"))

# A time limit for each example would make a slow moment of the machine a failure.
settings.register_profile("series", parent=settings(), deadline=None)
settings.register_profile("long", settings.get_profile("series"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "series"))


def pytest_configure(config):
    # Kernels that nbval starts inherit it: a progress bar's times would differ from the stored outputs.
    os.environ["TQDM_DISABLE"] = "1"
    # And they note whom they try to reach: tests/offline.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS / "offline"), os.environ.get("PYTHONPATH")]))
    os.environ["GPTCORE_CONNECTIONS"] = tempfile.mkdtemp()
    # nbval takes the path as relative to the current folder.
    config.option.nbval_sanitize_with = str(TESTS / "notebooks" / "sanitize.cfg")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """After a notebook's last cell, before its kernel is ended: how much memory did it take, and whom did it call?"""
    if not isinstance(item, IPyNbCell) or (nextitem is not None and nextitem.parent is item.parent):
        yield
        return
    process_id = item.parent.kernel.km.provisioner.pid
    peak, limit = peak_megabytes(process_id), BUDGET["kernel_peak_megabytes"]["each"]
    connections = Path(os.environ["GPTCORE_CONNECTIONS"], str(process_id))
    yield
    if peak is not None and peak > limit:
        pytest.fail(f"{item.path.name}: its kernel took {peak:.0f} MB at its peak, the limit is {limit} MB")
    if connections.exists():
        pytest.fail(f"{item.path.name}: it tried to reach {', '.join(sorted(set(connections.read_text().split())))}")


def pytest_unconfigure():
    shutil.rmtree(os.environ["GPTCORE_CONNECTIONS"])


def peak_megabytes(process_id):
    """The most resident memory that a process has had, or None where the system does not say."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6

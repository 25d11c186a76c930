"""Settings for the whole test run."""

import os
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import unchanged
from hypothesis import settings
from kernel_memory import MemoryWatch, megabytes_of_pytorch  # not from gptcore, which would bring PyTorch
from nbval.plugin import IPyNbCell

pytest_plugins = ["pytester"]
collect_ignore_glob = [
    "notebooks/exercises/*",  # have no outputs to compare; tests/exercises runs them
    "notebooks/teaching/*",  # programs, which need more than is installed everywhere
    "gptcore/tools/site/*",  # Sphinx's settings, and Sphinx is not installed everywhere
    "tests/benchmarks/*",  # programs too: to look into them for examples takes seconds
]

# First, so that no worker is left with one of them at the end; the others take seconds.
TAKE_LONGEST = [
    "13_what_it_learned.ipynb",
    "test_explorers.py",
    "test_class.py",
    "10_why_training_matters.ipynb",
    "test_widgets.py",
    "test_nbgrader.py",
    "test_grade.py",
    "test_faults.py",
    "test_checks.py",
    "test_pretrained.py",
    "test_site.py",
    "12_fast_generation.ipynb",
    "test_own_gpt.py",
    "test_guesses.py",
]

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Before anything imports PyTorch: with more threads than processors, all wait for one another most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

TESTS = Path(__file__).parent / "tests"
BUDGET = tomllib.loads((TESTS / "budget.toml").read_text(encoding="utf-8"))
MEMORY = {}  # of each notebook that is running, from its first cell to its last: a MemoryWatch
CELLS, PASSED = Counter(), Counter()  # of each notebook by its node's name: how many there are, how many have passed
NOTEBOOKS = pytest.StashKey[dict]()  # what they are like now, and which need not run again: tests/unchanged.py

# A time limit for each example would make a slow moment of the machine a failure.
settings.register_profile("series", parent=settings(), deadline=None)
settings.register_profile("long", settings.get_profile("series"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "series"))


def pytest_addoption(parser):
    parser.addoption(
        "--reuse",
        action="store_true",
        help="leave out each notebook that passed here, if nothing that it depends on has changed since",
    )


def pytest_configure(config):
    # Kernels that nbval starts inherit it: a progress bar's times would differ from the stored outputs.
    os.environ["TQDM_DISABLE"] = "1"
    # Nothing is kept of whoever runs the tests, and nothing of theirs is met in a notebook: gptcore/exercises/kept.py.
    os.environ["GPTCORE_KEPT"] = ""
    os.environ.pop("GPTCORE_CLASS", None)
    # And they note whom they try to reach: tests/offline.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS / "offline"), os.environ.get("PYTHONPATH")]))
    os.environ["GPTCORE_CONNECTIONS"] = tempfile.mkdtemp()
    # nbval takes the path as relative to the current folder.
    config.option.nbval_sanitize_with = str(TESTS / "notebooks" / "sanitize.cfg")
    config.stash[NOTEBOOKS] = notebooks = {"states": {}, "left out": []}
    if hasattr(config, "workerinput"):
        notebooks |= config.workerinput["notebooks"]
    elif config.option.reuse and config.pluginmanager.hasplugin("cacheprovider"):
        notebooks["states"] = unchanged.states()
        notebooks["left out"] = unchanged.passed(notebooks["states"], config.cache)
    left_out = [str(unchanged.ROOT / name) for name in notebooks["left out"]]
    config.option.ignore = [*(config.option.ignore or []), *left_out]


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_configure_node(node):
    node.workerinput["notebooks"] = node.config.stash[NOTEBOOKS]  # what one process has found out holds for all


def pytest_terminal_summary(terminalreporter, config):
    if names := config.stash[NOTEBOOKS]["left out"]:
        terminalreporter.write_line(
            f"Not run again, since they passed here and nothing that they depend on has changed: {', '.join(names)}. "
            "With --cache-clear they are."
        )


def pytest_itemcollected(item):
    if isinstance(item, IPyNbCell):
        CELLS[item.parent.nodeid] += 1


def pytest_runtest_logreport(report):
    if report.when == "call" and not report.failed:
        PASSED[report.nodeid.partition("::")[0]] += 1


def pytest_collection_modifyitems(items):
    rank = {name: number for number, name in enumerate(TAKE_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    yield
    if isinstance(item, IPyNbCell) and item.parent not in MEMORY:  # a first cell: its kernel has just started
        MEMORY[item.parent] = MemoryWatch(item.parent.kernel.km.provisioner.pid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """After a notebook's last cell, before its kernel is ended: how much memory did it take, and whom did it call?"""
    if item.parent not in MEMORY or (nextitem is not None and nextitem.parent is item.parent):
        yield
        return
    memory = MEMORY.pop(item.parent)
    memory.end()
    connections = Path(os.environ["GPTCORE_CONNECTIONS"], str(memory.process_id))
    yield
    if sys.platform == "linux":  # elsewhere the system does not tell private memory apart
        check_memory(item.path.name, memory)
    if connections.exists():
        pytest.fail(f"{item.path.name}: it tried to reach {', '.join(sorted(set(connections.read_text().split())))}")
    name = item.path.relative_to(unchanged.ROOT).as_posix()
    state = item.config.stash[NOTEBOOKS]["states"].get(name)
    if state and PASSED[item.parent.nodeid] == CELLS[item.parent.nodeid]:
        unchanged.keep(name, state, item.config.cache)


def pytest_unconfigure():
    shutil.rmtree(os.environ["GPTCORE_CONNECTIONS"])


def check_memory(name, memory):
    above = BUDGET["kernel_private_megabytes"]["above_pytorch"]
    limit = megabytes_of_pytorch() + above
    if memory.private > limit:
        pytest.fail(
            f"{name}: its kernel took {memory.private:.0f} MB of private memory at its peak, the limit is {limit:.0f}: "
            f"{limit - above:.0f} for PyTorch itself, and {above}"
        )

"""One JupyterLab and one Chromium for all browser tests; a page of its own for each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_in_chromium import Notebook, chromium, find_chromium, jupyterlab


@dataclass
class Lab:
    """A running JupyterLab: the folder with its notebooks, and a function from a notebook's name to its address."""

    folder: Path
    address_of: Callable


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with jupyterlab(folder) as address_of:
        yield Lab(folder / "notebooks", address_of)


@pytest.fixture(scope="session")
def browser():
    if find_chromium() is None:
        pytest.skip("no Chromium or Chrome on this machine")
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_notebook(browser, lab):
    """Opens a notebook by its name, and closes it at the end."""
    opened = []

    def open_it(name):
        opened.append(Notebook(browser, lab.address_of(name)))
        return opened[-1]

    yield open_it
    for notebook in opened:
        notebook.close()

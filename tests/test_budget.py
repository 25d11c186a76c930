"""What may not grow unnoticed: sizes of files, pictures and the installation, and the lines that a reader studies."""

import base64
import re
import site
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import torch
from empty_project import copy_settings
from kernel_memory import MemoryWatch, megabytes_of_pytorch

from gptcore.pretrained import STORY_MODEL

ROOT = Path(__file__).parents[1]
BUDGET = tomllib.loads((ROOT / "tests" / "budget.toml").read_text(encoding="utf-8"))
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]*)")


def kilobytes(paths):
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_is_a_small_file(path):
    assert kilobytes([path]) <= BUDGET["kilobytes"]["each_notebook"]
    pictures = [len(base64.b64decode(picture)) for picture in PICTURE.findall(path.read_text(encoding="utf-8"))]
    assert sum(pictures) / 1e3 <= BUDGET["kilobytes"]["pictures_in_one_notebook"]


def test_all_notebooks_together_are_quickly_fetched():
    assert kilobytes(NOTEBOOKS) <= BUDGET["kilobytes"]["all_notebooks"]


def test_the_readmes_pictures_and_the_packages_data_are_small():
    assert kilobytes((ROOT / ".github").glob("*.png")) <= BUDGET["kilobytes"]["pictures_of_the_readme"]
    data = [*(ROOT / "gptcore" / "data").iterdir(), *STORY_MODEL.iterdir()]
    assert kilobytes(data) <= BUDGET["kilobytes"]["package_data"]


@pytest.mark.parametrize(
    ("files", "ceiling"), [(["model"], "model"), (["model", "generation"], "model_and_generation")]
)
def test_the_core_can_be_read_in_one_sitting(files, ceiling):
    lines = sum(len((ROOT / "gptcore" / f"{file}.py").read_text(encoding="utf-8").splitlines()) for file in files)
    assert lines <= BUDGET["lines"][ceiling]


def test_the_module_of_the_pages_can_be_read_in_one_sitting():
    lines = (ROOT / "gptcore" / "pages" / "live.js").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= BUDGET["lines"]["live_module"]
    assert max(map(len, lines)) <= 120


@pytest.mark.skipif(torch.version.cuda is not None, reason="this PyTorch brings CUDA, which is several GB")
def test_the_installation_fits_on_a_small_disk():
    (packages,) = {Path(folder) for folder in site.getsitepackages() if folder.endswith("site-packages")}
    files = (path for path in packages.rglob("*") if path.suffix != ".pyc" and not path.is_symlink())
    assert kilobytes(files) / 1e3 <= BUDGET["megabytes"]["installation"]


only_linux_tells = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells private memory from mapped files without a long look"
)
CALL = "import contextlib, socket\nwith contextlib.suppress(OSError):\n    socket.create_connection(('{}', 9), 1)"
ABOVE_PYTORCH = 30  # MB in the run below, so that it need not take so much


def test_a_notebook_fails_that_takes_too_much_memory_or_calls_somebody(pytester):
    """By nbval, with this project's conftest.py; each notebook has one cell."""
    copy_settings(pytester.path)
    budget = pytester.path / "tests" / "budget.toml"
    above = re.compile(r"^above_pytorch = .*$", re.MULTILINE)
    text, replaced = above.subn(f"above_pytorch = {ABOVE_PYTORCH}", budget.read_text(encoding="utf-8"))
    assert replaced == 1
    budget.write_text(text, encoding="utf-8")
    limit = round(megabytes_of_pytorch()) + ABOVE_PYTORCH
    cells = {name: f'size = len(b"x" * {size})' for name, size in {"light": 10**6, "heavy": limit * 10**6}.items()}
    cells |= {name: CALL.format(host) for name, host in {"near": "127.0.0.1", "far": "no-such-host.invalid"}.items()}
    for name, source in cells.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, pytester.path / f"{name}.ipynb")

    finished = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    finished.stdout.fnmatch_lines(["*far.ipynb: it tried to reach no-such-host.invalid*"])
    if sys.platform != "linux":  # elsewhere nobody looks at the memory
        finished.assert_outcomes(passed=4, errors=1)
        return
    finished.assert_outcomes(passed=4, errors=2)
    said = re.search(r"heavy.ipynb: its kernel took (\d+) MB .* the limit is (\d+):", finished.stdout.str())
    assert limit < int(said[1]) < limit + 150  # with the kernel itself
    assert abs(int(said[2]) - limit) < 10  # both runs ask a process of their own what PyTorch takes


@only_linux_tells
def test_what_is_mapped_from_a_file_is_not_private_memory(tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(300 * 10**6)
    program = """import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
    read = len(mapped[:: mmap.PAGESIZE])
    own = b"x" * 100_000_000
    print("done", flush=True)
    input()"""
    command = [sys.executable, "-c", program, large]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watch = MemoryWatch(process.pid)
        assert process.stdout.readline() == "done\n"
        watch.end()
        process.communicate("\n")
    assert 100 < watch.private < 150 and 400 < watch.total < 450

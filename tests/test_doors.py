"""The ways in: one address everywhere, the same set-up cell in each notebook, a container that sets itself up."""

import json
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest

import gptcore
from gptcore.tools import bootstrap
from gptcore.tools.make_doors import LESSONS, PLACES, ROOT, SOLUTIONS, TEXTS, VERSION, address, with_address, with_doors

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXERCISES = [ROOT / "notebooks" / "exercises" / path.name for path in SOLUTIONS]


@pytest.mark.parametrize("path", LESSONS + SOLUTIONS + EXERCISES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_has_its_links_and_its_set_up_cell(path):
    stored, wanted = nbformat.read(path, 4), with_doors(nbformat.read(path, 4), path)
    assert [cell.source for cell in stored.cells] == [cell.source for cell in wanted.cells], "run `make doors`"
    (set_up,) = [cell for cell in stored.cells if "setup" in cell.metadata.get("tags", [])]
    assert set_up is stored.cells[1] and set_up.outputs == []


def test_all_name_the_same_address_and_version():
    found = {}
    for name in TEXTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert with_address(text) == text, f"run `make doors`: {name}"
        found[name] = [match for place in PLACES for match in re.findall(place, text)]
    assert all(found.values()), found
    assert {match.replace("%2F", "/") for matches in found.values() for match in matches} == {address()}


def test_another_address_goes_everywhere(monkeypatch):
    monkeypatch.setattr("gptcore.tools.make_doors.address", lambda: "some-school/gpt.course")
    for name in TEXTS:
        changed = with_address((ROOT / name).read_text(encoding="utf-8"))
        assert address() not in changed.replace("%2F", "/"), name
        assert "some-school/gpt.course" in changed.replace("%2F", "/"), name
    assert "\n    cd gpt.course\n" in with_address((ROOT / "README.md").read_text(encoding="utf-8"))
    lesson = with_doors(nbformat.read(LESSONS[0], 4), LESSONS[0])
    assert "git+https://github.com/some-school/gpt.course@v" in lesson.cells[1].source
    assert lesson.cells[0].source.count("some-school/gpt.course") == 2
    assert with_doors(lesson, LESSONS[0]) == lesson  # twice is once


def test_another_version_goes_everywhere(monkeypatch):
    monkeypatch.setattr(gptcore, "__version__", "2.3.4")
    readme, citation = (
        with_address((ROOT / name).read_text(encoding="utf-8")) for name in ("README.md", "CITATION.cff")
    )
    assert "version: 2.3.4\n" in citation
    assert f"{address()}/v2.3.4?" in readme and f"{address()}@v2.3.4\n" in readme


def test_no_address_is_left_out():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a clone: git does not say which files are the project's")
    own = {"pyproject.toml", "gptcore/tools/make_doors.py", *TEXTS}
    own |= {path.relative_to(ROOT).as_posix() for path in LESSONS + SOLUTIONS + EXERCISES}
    for name in set(tracked.stdout.splitlines()) - own:
        text = (ROOT / name).read_bytes().decode(errors="ignore")
        assert address() not in text.replace("%2F", "/"), name


def test_the_version_is_one():
    assert f"version: {gptcore.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert set(re.findall(VERSION, (ROOT / "README.md").read_text(encoding="utf-8"))) == {gptcore.__version__}


def test_nobody_is_sent_to_a_strangers_package():
    """On PyPI the name gptcore belongs to somebody else; only the name to import is ours."""
    assert PROJECT["name"] != "gptcore"
    commands = re.findall(r"pip install (.+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert commands and all(command.startswith(f"git+https://github.com/{address()}@v") for command in commands)


def test_a_malformed_address_is_refused():
    command = [sys.executable, ROOT / "gptcore" / "tools" / "make_doors.py", "https://github.com/a/b"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1 and "NAME/REPOSITORY" in finished.stderr


def test_the_container_sets_itself_up():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    version = re.search(r"python:[\d.]*-?(3\.\d+)", container["image"])[1]
    assert bootstrap.OLDEST_PYTHON <= tuple(map(int, version.split("."))) <= bootstrap.NEWEST_PYTHON
    for step in ("postCreateCommand", "postAttachCommand"):
        _, script, command, *_ = container[step].split()
        assert (ROOT / script).exists() and command in bootstrap.COMMANDS
    for opened in container["customizations"]["codespaces"]["openFiles"]:
        assert (ROOT / opened).exists()

"""A notebook that passed is left out of the next run only where nothing has changed that it depends on."""

import re

import nbformat
import pytest
import unchanged
from empty_project import copy_settings


def write(folder, name, cells):
    (folder / "notebooks").mkdir(exist_ok=True)
    cells = [nbformat.v4.new_code_cell(cell, id=f"cell-{number}") for number, cell in enumerate(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / f"{name}.ipynb")


def run(project, *options):
    """Run the project's tests; return how many cells passed and failed, and which notebooks were left out."""
    finished = project.runpytest_subprocess("--reuse", "--numprocesses=1", *options)
    said = re.search("has changed: (.*?)\\. With", finished.stdout.str())
    counts = finished.parseoutcomes()
    return counts.get("passed", 0), counts.get("failed", 0), said[1].split(", ") if said else []


def test_a_notebook_is_left_out_once_all_of_it_has_passed_and_that_is_said(pytester):
    copy_settings(pytester.path)
    write(pytester.path, "adds", ["two = 1 + 1", "assert two == 2"])
    write(pytester.path, "fails", ["two = 1 + 1", "assert two == 3"])
    assert run(pytester, "-k", "adds or (fails and 0)") == (3, 0, [])  # all of the one, a part of the other
    assert run(pytester) == (1, 1, ["notebooks/adds.ipynb"])


@pytest.fixture
def project(tmp_path, monkeypatch):
    copy_settings(tmp_path)
    for name in ("one", "two"):
        write(tmp_path, name, ["1 + 1"])
    monkeypatch.setattr(unchanged, "ROOT", tmp_path)
    return tmp_path


def changed(before):
    return [name for name, state in unchanged.states().items() if state != before[name]]


EVERY_NOTEBOOK = ["notebooks/one.ipynb", "notebooks/two.ipynb"]


def test_a_notebook_that_changes_runs_again_alone(project):
    before = unchanged.states()
    assert changed(before) == []
    write(project, "two", ["1 + 2"])
    assert changed(before) == ["notebooks/two.ipynb"]


@pytest.mark.parametrize(
    "file", ["gptcore/model.py", "gptcore/data/new.json", "conftest.py", "tests/budget.toml", "tests/offline/other.py"]
)
def test_what_every_notebook_depends_on_lets_all_of_them_run_again(project, file):
    before = unchanged.states()
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text("# other", encoding="utf-8")
    assert changed(before) == EVERY_NOTEBOOK


def test_another_package_or_setting_lets_all_of_them_run_again(project, monkeypatch):
    before = unchanged.states()
    with monkeypatch.context() as other:
        other.setenv("ATEN_CPU_CAPABILITY", "default")
        assert changed(before) == EVERY_NOTEBOOK
    with monkeypatch.context() as other:
        other.setattr(unchanged.metadata, "distributions", lambda: [])
        assert changed(before) == EVERY_NOTEBOOK


def test_prose_and_tests_of_other_things_do_not(project):
    before = unchanged.states()
    for file in ("README.md", "tests/test_model.py", "gptcore/__pycache__/model.cpython-311.pyc"):
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).write_text("other", encoding="utf-8")
    assert changed(before) == []

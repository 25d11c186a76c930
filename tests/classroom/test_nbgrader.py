"""A real course: nbgrader makes the assignment, grades three submissions, writes feedback and a table of scores."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader", reason="needs notebooks/teaching/requirements.txt")
pytestmark = pytest.mark.classroom

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ASSIGNMENT = "02_layer_norm"
PATIENCE = {"complete": 600, "half": 600, "hostile": 30}  # seconds that each cell may take
POINTS = {"02.1": 2, "02.2": 1, "02.3": 2, "02.4": 2, "02.5": 1, "02.6": 1}

# What a hostile student writes into the answer cell of each exercise. None of it is an answer.
HOSTILE = {
    "02.1": (
        "import time\n\n\ndef my_layer_norm(x, scale, shift, eps):\n    while True:\n"
        "        try:\n            time.sleep(60)\n        except BaseException:\n            pass"
    ),
    "02.2": "import time\n\nnorm_parameters = 1\nwhile True:\n    time.sleep(0.1)",
    "02.3": (
        "import gptcore.exercises, gptcore.exercises.checking\n"
        "smallest_n = 7\n"
        "def check(name, answer): print('✓', name, 'solved.')\n"
        "def passes(name, answer): return True\n"
        "gptcore.exercises.check = check\n"
        "gptcore.exercises.passes = passes\n"
        "gptcore.exercises.checking._verdict = lambda name, answer: (True, '✓')"
    ),
    "02.4": "def mended_norm(x, eps):\n    print('x' * 100_000)\n    raise SystemExit",
    "02.5": (
        "class Anything(tuple):\n"
        "    def __eq__(self, other): return True\n"
        "    def __len__(self): return 2\n"
        "    __hash__ = None\n"
        "scale_and_shift = Anything((9, 9))"
    ),
    "02.6": "my_rms_norm = 11",
}


def nbgrader(course, *arguments):
    activated = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    activated["GPTCORE_KEPT"] = str(course / "kept")
    subprocess.run(["nbgrader", *arguments], cwd=course, env=activated, check=True, timeout=1200)


def cell_of(notebook, exercise, part):
    name = f"ex-{exercise.replace('.', '-')}-{part}"
    return next(cell for cell in notebook.cells if cell.metadata.nbgrader.grade_id == name)


def submission_of(course, student):
    """Return the path to a student's notebook: the released one, handed in as it is."""
    folder = course / "submitted" / student / ASSIGNMENT
    shutil.copytree(course / "release" / ASSIGNMENT, folder)
    return folder / f"{ASSIGNMENT}.ipynb"


def hand_in(course, student, answers):
    """Hand in the released notebook with these answer cells."""
    path = submission_of(course, student)
    notebook = nbformat.read(path, 4)
    for exercise, source in answers.items():
        cell_of(notebook, exercise, "answer").source = source
    nbformat.write(notebook, path)


def hand_in_with_copies(course, student, answers):
    """Hand in the answers, with an old copy of an answer and of its check before them, hidden names and all."""
    hand_in(course, student, answers)
    path = course / "submitted" / student / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, 4)
    for part in ("check", "answer"):
        cell = cell_of(notebook, "02.3", part)
        copy = nbformat.from_dict({**cell, "id": f"copied-{part}"})
        if part == "answer":
            copy.source = "smallest_n = 1001"  # the mistake of an hour ago
        notebook.cells.insert(notebook.cells.index(cell), copy)
    nbformat.write(notebook, path)


def hand_in_hostile(course):
    hand_in(course, "hostile", HOSTILE)
    path = course / "submitted" / "hostile" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.metadata.nbgrader.grade:
            cell.metadata.nbgrader.points = 100  # a forged limit,
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "100"})]  # a forged score,
    cell_of(notebook, "02.4", "check").source = "pass"  # a wiped check,
    notebook.cells.remove(cell_of(notebook, "02.6", "check"))  # and a missing one
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Return a course folder in which everything was done that the guide says."""
    course = tmp_path_factory.mktemp("course")
    shutil.copy(NOTEBOOKS / "teaching" / "nbgrader_config.py", course)
    (course / "source" / ASSIGNMENT).mkdir(parents=True)
    shutil.copy(NOTEBOOKS / "solutions" / f"{ASSIGNMENT}.ipynb", course / "source" / ASSIGNMENT)
    nbgrader(course, "generate_assignment", ASSIGNMENT)

    solution = nbformat.read(NOTEBOOKS / "solutions" / f"{ASSIGNMENT}.ipynb", 4)
    answers = {exercise: cell_of(solution, exercise, "answer").source for exercise in POINTS}
    hand_in(course, "complete", answers)
    hand_in_with_copies(course, "half", {exercise: answers[exercise] for exercise in ["02.1", "02.2", "02.3"]})
    hand_in_hostile(course)

    for student, patience in PATIENCE.items():
        nbgrader(course, "autograde", ASSIGNMENT, "--create", f"--student={student}", f"--Execute.timeout={patience}")
    nbgrader(course, "generate_feedback", ASSIGNMENT)
    nbgrader(course, "export")
    return course


def test_what_students_solved_is_not_kept_as_the_teachers_progress(course):
    assert not (course / "kept").exists()


@pytest.mark.parametrize(("student", "score"), [("complete", 9), ("half", 5), ("hostile", 0)])
def test_scores_are_the_right_ones(course, student, score):
    with (course / "grades.csv").open(newline="") as table:
        rows = {row["student_id"]: row for row in csv.DictReader(table)}
    assert float(rows[student]["score"]) == score
    assert float(rows[student]["max_score"]) == sum(POINTS.values())


def test_feedback_says_what_each_check_said(course):
    def feedback(student):
        return (course / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html").read_text(encoding="utf-8")

    assert "✓ 02.6 solved" in feedback("complete")
    assert "○ 02.6 is not answered yet" in feedback("half")
    assert "is there a loop that never ends?" in feedback("hostile")


def test_feedback_shows_neither_hidden_tests_nor_a_forged_sign(course):
    for student in PATIENCE:
        page = (course / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html").read_text(encoding="utf-8")
        assert "HIDDEN" not in page and "AssertionError" not in page and "../02_layer_norm.ipynb" not in page
        assert ("✓ 02." in page) == (student != "hostile")
    assert "own check was changed" in page


def test_the_released_notebook_is_the_one_in_the_repository(course):
    released = nbformat.read(course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", 4)
    committed = nbformat.read(NOTEBOOKS / "exercises" / f"{ASSIGNMENT}.ipynb", 4)
    assert [cell.source for cell in released.cells] == [cell.source for cell in committed.cells]

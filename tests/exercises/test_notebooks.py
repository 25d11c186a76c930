"""The exercise notebooks: what a student opens runs without an answer, and holds no trace of one."""

import json
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from gptcore.exercises import EXERCISES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb") if not path.name.startswith("00"))
CAPSTONE = "14_your_own_gpt.ipynb"
KINDS_OF_THE_CAPSTONE = {
    "put it together",
    "write the function",
    "train and measure",
    "predict, then measure",
    "explain in words",
}
KINDS = {"write the function", "predict the number", "find and mend the bug", "derive the count", "read the plot"}
RATING = re.compile(r"## (\d\d\.\d) · .+\n\n(●○○|●●○|●●●) · (\d+) min · (.+)\n")
# What a kernel must survive: a loop that catches even what should stop it.
SWALLOWS = """
import time
from gptcore.exercises import check, checking
def swallows(x, eps):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
checking.SECONDS = 0.2
check("02.4", swallows)
check("02.2", 38_400)
"""
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)


def sources(path):
    return ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def test_every_notebook_has_three_to_six_exercises_and_all_together_45():
    assert [path.name for path in sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))] == LESSONS
    assert [path.name for path in sorted((NOTEBOOKS / "exercises").glob("*.ipynb"))] == LESSONS
    numbers = [name.split(".")[0] for name in EXERCISES]
    assert all(3 <= numbers.count(lesson[:2]) <= 6 for lesson in LESSONS)
    assert len(EXERCISES) >= 45


@pytest.mark.parametrize("lesson", LESSONS)
def test_what_a_check_tells_a_student_to_call_is_there(lesson):
    given_out = "\n".join(sources(NOTEBOOKS / "exercises" / lesson))
    assert "from gptcore.exercises import case, check, hint, progress\n" in given_out + "\n"


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_exercise_is_rated_and_kinds_are_mixed(lesson):
    ratings = [match for source in sources(NOTEBOOKS / "exercises" / lesson) if (match := RATING.match(source))]
    checked = [match[1] for match in ratings if match[4] != "explain in words"]  # that, a teacher reads
    assert checked == [name for name in EXERCISES if name.startswith(f"{lesson[:2]}.")]
    kinds = {match[4] for match in ratings}
    if lesson == CAPSTONE:
        assert kinds == KINDS_OF_THE_CAPSTONE
        return
    assert kinds <= KINDS
    assert {"write the function", "find and mend the bug"} <= kinds


@pytest.mark.parametrize("lesson", LESSONS)
def test_points_are_the_difficulty(lesson):
    notebook = nbformat.read(NOTEBOOKS / "solutions" / lesson, 4)
    stars = {match[1]: match[2].count("●") for cell in notebook.cells if (match := RATING.match(cell.source))}
    points = Counter()
    for cell in notebook.cells:
        if cell.metadata.nbgrader.grade:
            name = re.match(r"ex-(\d\d)-(\d)-", cell.metadata.nbgrader.grade_id)
            points[".".join(name.groups())] += cell.metadata.nbgrader.points
            if cell.cell_type == "code":
                assert cell.source.startswith(f'check("{".".join(name.groups())}"')
            else:
                assert cell.metadata.nbgrader.solution, "a teacher reads it"
    assert points == stars


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_student_version_holds_no_trace_of_a_solution(lesson):
    student = "\n".join(sources(NOTEBOOKS / "exercises" / lesson))
    assert not re.search(r"SOLUTION|HIDDEN|passes\(|import passes|assert ", student)
    solutions = [
        match[1] for source in sources(NOTEBOOKS / "solutions" / lesson) for match in SOLUTION.finditer(source)
    ]
    lines = {line.strip() for solution in solutions for line in solution.splitlines() if line.strip()}
    given = {
        line.strip()
        for source in sources(NOTEBOOKS / "solutions" / lesson)
        for line in SOLUTION.sub("", source).splitlines()
    }
    assert len(solutions) >= 3
    assert {line for line in student.splitlines() if line.strip() in lines - given} == set()
    cells = json.loads((NOTEBOOKS / "exercises" / lesson).read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)


def test_student_versions_run_without_an_answer_and_say_so():
    # One kernel for all, emptied before each: importing PyTorch twelve times would take a minute.
    whole = nbformat.v4.new_notebook()
    names = []
    for lesson in LESSONS:
        whole.cells.append(nbformat.v4.new_code_cell("%reset -f"))
        whole.cells += nbformat.read(NOTEBOOKS / "exercises" / lesson, 4).cells
    whole.cells.append(nbformat.v4.new_code_cell(SWALLOWS))
    whole.metadata = {}
    NotebookClient(whole, timeout=600, resources={"metadata": {"path": str(NOTEBOOKS / "exercises")}}).execute()
    for cell in whole.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output.text
        if cell.source.startswith("check("):
            name = re.match(r'check\("(.+?)"', cell.source)[1]
            names.append(name)
            said = "".join(output.text for output in cell.outputs)  # a busy kernel may send it in pieces
            assert re.fullmatch(rf"○ {name} is not answered yet.*\. For help: hint\('{name}'\)\n", said)
    assert names == list(EXERCISES)
    assert "it ran for more than 0.2 seconds and was stopped" in whole.cells[-1].outputs[0].text
    assert "✓ 02.2" in whole.cells[-1].outputs[0].text


@pytest.mark.classroom
@pytest.mark.parametrize("lesson", LESSONS)
def test_the_student_version_is_up_to_date(lesson):
    pytest.importorskip("nbgrader", reason="needs notebooks/teaching/requirements.txt")
    from make_exercises import student_version

    committed = (NOTEBOOKS / "exercises" / lesson).read_text(encoding="utf-8")
    assert committed == student_version(NOTEBOOKS / "solutions" / lesson), "run notebooks/teaching/make_exercises.py"

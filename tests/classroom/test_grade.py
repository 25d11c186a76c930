"""`grade.py` on a class of ten: each gets what they deserve, and each point that is lost has its reason."""

import contextlib
import csv
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest

pytest.importorskip("nbgrader", reason="needs notebooks/teaching/requirements.txt")
handed_in = pytest.importorskip("handed_in")
grade = pytest.importorskip("grade")
pytestmark = pytest.mark.classroom

SOLUTION = Path(grade.SOLUTIONS) / "02_layer_norm.ipynb"
KEPT = ["ex-02-2-", "ex-02-3-", "ex-02-4-"]  # three exercises of the six: 1, 2 and 2 points
RIGHT = {
    "02.2": "norm_parameters = sum(2 * 768 for _ in range(25))",
    "02.3": "import itertools\n\nsmallest_n = next(n for n in itertools.count(2) if (n / (n - 1)) ** 0.5 < 1.001)",
    "02.4": (
        "def mended_norm(x, eps):\n"
        "    centred = x - x.mean(-1, keepdim=True)\n"
        "    return centred * torch.rsqrt((centred**2).mean(-1, keepdim=True) + eps)"
    ),
}
SWALLOWS = """smallest_n = 1
while True:
    try:
        while True:
            smallest_n += 1
    except BaseException:
        pass"""


def test_a_lesson_that_trains_gets_more_time_also_from_the_command():
    """14.3 trains for two minutes of a usual core, and a slow or busy one needs a multiple of that."""
    for lesson in ("14", "14_your_own_gpt"):
        seconds, minutes = grade.patience(grade.lesson_named(lesson))
        assert seconds >= 5 * 120 and 60 * minutes >= 2 * seconds
    assert grade.patience(grade.lesson_named("02")) == (60, 10)


def cell_of(notebook, exercise, part):
    name = f"ex-{exercise.replace('.', '-')}-{part}"
    return next(cell for cell in notebook.cells if cell.metadata.nbgrader.grade_id == name)


@pytest.fixture(scope="module")
def assignment(tmp_path_factory):
    """Return the Course that grade.py makes, of an assignment with three exercises only, and its Lesson."""
    notebook = nbformat.read(SOLUTION, 4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if not (name := cell.metadata.nbgrader.grade_id).startswith("ex-") or name.startswith(tuple(KEPT))
    ]
    folder = tmp_path_factory.mktemp("teacher") / "gpt"
    course = grade.Course(folder, "02_layer_norm", nbformat.writes(notebook).encode())
    return course, course.prepare()


@pytest.fixture(scope="module")
def course(assignment):
    return assignment[0].folder


@pytest.fixture(scope="module")
def lesson(assignment):
    return assignment[1]


def given_out(lesson, answers):
    """Return the notebook that students get, with these answers."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict({**cell}) for cell in lesson.cells])
    notebook = nbformat.reads(nbformat.writes(notebook), 4)
    for exercise, source in answers.items():
        cell_of(notebook, exercise, "answer").source = source
    return notebook


def doubled(lesson):
    """Somebody copied an answer and a check, hidden names and all; the older copy has a mistake."""
    notebook = given_out(lesson, RIGHT)
    for part, source in (("answer", "smallest_n = 1001"), ("check", 'check("02.3", smallest_n)')):
        cell = cell_of(notebook, "02.3", part)
        notebook.cells.insert(
            notebook.cells.index(cell), nbformat.from_dict({**cell, "id": f"old-{part}", "source": source})
        )
    return notebook


def pasted(lesson):
    """Somebody pasted the cells of code into a new notebook, lost a check, and answers 02.4 below it with a helper."""
    cells = [nbformat.v4.new_code_cell(cell.source) for cell in lesson.start if cell.cell_type == "code"]
    for exercise, answer in RIGHT.items():
        cells.append(nbformat.v4.new_code_cell(answer.replace("torch.rsqrt", "one_over_root")))
        if exercise != "02.2":
            cells.append(nbformat.v4.new_code_cell(f'check("{exercise}", {lesson.answer_name[exercise]})'))
    cells.insert(-1, nbformat.v4.new_code_cell("def one_over_root(x):\n    return 1 / x.sqrt()"))
    return nbformat.v4.new_notebook(cells=cells)


def forged(lesson):
    wrong = {
        "02.2": (
            "norm_parameters = 1\n"
            "import gptcore.exercises\n"
            "def check(name, answer): print('✓', name, 'solved.')\n"
            "gptcore.exercises.check, gptcore.exercises.passes = check, lambda name, answer: True"
        ),
        "02.3": "smallest_n = 7",
        "02.4": "mended_norm = print",
    }
    notebook = given_out(lesson, wrong)
    for cell in notebook.cells:
        if cell.metadata.nbgrader.grade:
            cell.metadata.nbgrader.points = 100
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "100"})]
    cell_of(notebook, "02.3", "check").source = "print('✓ 02.3 solved.')"
    notebook.cells.remove(cell_of(notebook, "02.4", "check"))
    return notebook


@pytest.fixture(scope="module")
def rows(course, lesson, tmp_path_factory):
    """Return the table of a class whose files a learning platform gave, by student."""
    handed = tmp_path_factory.mktemp("platform") / "submissions.zip"
    with zipfile.ZipFile(handed, "w") as archive:

        def hand_in(student, notebook, name="02_layer_norm.ipynb"):
            archive.writestr(f"{student}_4711_assignsubmission_file_/{name}", nbformat.writes(notebook))

        hand_in("Ana Right", given_out(lesson, RIGHT))
        hand_in("Ben Half", given_out(lesson, {"02.2": RIGHT["02.2"], "02.3": "smallest_n = 500"}))
        hand_in("Blank", given_out(lesson, {}))
        hand_in("Endless", given_out(lesson, RIGHT | {"02.3": SWALLOWS}))
        hand_in("Dead", given_out(lesson, RIGHT | {"02.4": "import os\n\n\ndef mended_norm(x, eps):\n    os._exit(0)"}))
        hand_in("Renamed", given_out(lesson, RIGHT), "homework final (1).ipynb")
        hand_in("Renamed", given_out(lesson, {}))
        hand_in("Doubled", doubled(lesson))
        hand_in("Pasted", pasted(lesson), "Untitled.ipynb")
        hand_in("Forged", forged(lesson))
        archive.writestr("Paper_4711_assignsubmission_file_/scan.pdf", b"%PDF-1.4")
    table = grade.main(["02", str(handed), f"--course={course}", "--seconds=10"])
    return {row.student: row for row in table}


DESERVED = {
    "Ana_Right": (5, {}),
    "Ben_Half": (1, {"02.3": "Very near: at 500", "02.4": "not answered"}),
    "Blank": (0, {"02.2": "not answered", "02.3": "not answered", "02.4": "not answered"}),
    "Endless": (3, {"02.3": "ran for more than 10 seconds and could not be stopped"}),
    "Dead": (3, {"02.4": "ended Python itself"}),
    "Renamed": (5, {}),
    "Doubled": (5, {}),
    "Pasted": (5, {}),
    "Forged": (0, {"02.2": "was changed", "02.3": "was changed", "02.4": "was changed"}),
    "Paper": (0, {"": "no notebook with the exercises of 02_layer_norm; there is scan.pdf"}),
}


@pytest.mark.parametrize("student", DESERVED)
def test_each_gets_what_they_deserve_and_each_lost_point_has_its_reason(rows, student):
    score, reasons = DESERVED[student]
    assert rows[student].score == score
    assert rows[student].most == 5
    assert rows[student].reasons.keys() == reasons.keys()
    for exercise, words in reasons.items():
        assert words in rows[student].reasons[exercise]


def test_the_table_is_saved_for_a_spreadsheet_and_as_a_page(course, rows):
    with (course / "grades" / "02_layer_norm.csv").open(newline="", encoding="utf-8-sig") as file:
        table = {row["student"]: row for row in csv.DictReader(file)}
    assert {student: float(row["points"]) for student, row in table.items()} == {
        student: score for student, (score, _) in DESERVED.items()
    }
    assert table["Ben_Half"]["02.2"] == "1"
    assert "02.3: Very near" in table["Ben_Half"]["reasons"]
    assert table["Renamed"]["file"] == "homework final (1).ipynb"
    page = (course / "grades" / "02_layer_norm.html").read_text(encoding="utf-8")
    assert all(student in page for student in DESERVED) and "Very near" in page


def test_everybody_graded_has_a_page_of_feedback_and_nobody_else_may_look(course, rows):
    for student in DESERVED.keys() - {"Paper"}:
        assert (course / "feedback" / student / "02_layer_norm" / "02_layer_norm.html").exists()
    if os.name == "posix":
        assert course.stat().st_mode & 0o077 == 0


def test_what_takes_too_long_is_ended_with_all_that_it_started(assignment, lesson):
    file = handed_in.File("x.ipynb", nbformat.writes(given_out(lesson, {"02.3": SWALLOWS})).encode(), (0,))
    submission = handed_in.choose("slow", [file], lesson)
    row = assignment[0].grade(submission, lesson, seconds=60, minutes=3 / 60)
    assert row.score == 0
    assert "took more than 0.05 minutes and was ended" in row.reasons[""]
    deadline = time.monotonic() + 60  # on a busy machine what was ended takes its time to go
    while (running := processes_in(assignment[0].folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running == []


def test_who_has_some_of_the_points_hears_what_is_missing_and_is_not_suspected(tmp_path):
    solution = SOLUTION.with_name("14_your_own_gpt.ipynb")
    course = grade.Course(tmp_path / "gpt", solution.stem, solution.read_bytes())
    lesson = course.prepare()
    handed = nbformat.read(solution, 4)
    cell_of(handed, "14.1", "mygelu").source = "MyGELU = GELU  # gptcore's, until yours is here"
    file = handed_in.File("x.ipynb", nbformat.writes(handed).encode(), (0,))
    row = course.grade(handed_in.choose("most", [file], lesson), lesson, *grade.patience(lesson.name))
    assert row.points == {"14.1": (2.5, 3), "14.2": (1, 1), "14.3": (1, 3), "14.4": (2, 2), "14.5": (None, 3)}
    assert row.reasons.keys() == {"14.1", "14.3", "14.5"}
    assert "MyGELU" in row.reasons["14.1"]
    assert row.reasons["14.3"] == "On unseen stories its loss is below 2: 1 of 3 points. The next goal is 1."
    assert "to be read and marked by you" in row.reasons["14.5"]


def processes_in(folder):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def test_what_students_write_cannot_become_a_formula_or_part_of_the_page(tmp_path):
    row = grade.Row("=1+1", "<b>.ipynb", {"02.2": (0, 1)}, {"02.2": "<script>alert(1)</script>"}, ["<i>"])
    grade.write_table([row], tmp_path, "02")
    assert (tmp_path / "02.csv").read_text(encoding="utf-8-sig").splitlines()[1].startswith("'=1+1,")
    page = (tmp_path / "02.html").read_text(encoding="utf-8")
    assert not re.search("<script|<b>|<i>", page) and "&lt;script&gt;" in page


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, whose rights are given up")
def test_the_rights_of_an_administrator_are_given_up():
    code = "import os, grade; grade.become_the_teacher(); print(os.getresuid(), os.getresgid(), os.getgroups())"
    environment = os.environ | {"SUDO_UID": "65534", "PYTHONPATH": str(grade.TEACHING)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    group = pytest.importorskip("pwd").getpwuid(65534).pw_gid
    assert said.stdout == f"{(65534,) * 3} {(group,) * 3} {[group]}\n"


def test_who_is_late_is_graded_alone_and_the_others_stay_in_the_table(tmp_path):
    def row(student, points):
        return grade.Row(student, "x.ipynb", {"02.2": (points, 1), "02.3": (None, 2)}, {"02.2": "why"}, ["remark"])

    grade.with_earlier([row("ben", 0), row("ana", 1)], tmp_path / "table.json")
    rows = grade.with_earlier([row("cem", 1), row("ben", 1)], tmp_path / "table.json")
    assert [(one.student, one.score, one.most) for one in rows] == [("ana", 1, 3), ("ben", 1, 3), ("cem", 1, 3)]
    grade.write_table(rows, tmp_path, "02")
    assert (tmp_path / "02.csv").read_text(encoding="utf-8-sig").count("\n") == 4


def test_a_source_that_is_older_than_the_solutions_is_said_and_an_empty_one_is_written_again(tmp_path, capsys):
    solution = SOLUTION.read_bytes()
    course = grade.Course(tmp_path / "gpt", "02_layer_norm", solution)
    source = tmp_path / "gpt" / "source" / "02_layer_norm" / "02_layer_norm.ipynb"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"")
    course.prepare()
    assert source.read_bytes() == solution and "is older" not in capsys.readouterr().out
    grade.Course(tmp_path / "gpt", "02_layer_norm", solution + b" ").prepare()
    assert "is older than solutions/02_layer_norm.ipynb" in capsys.readouterr().out


def test_closed_solutions_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "SOLUTIONS", tmp_path)
    with pytest.raises(grade.argparse.ArgumentTypeError, match="may be read by its owner only"):
        grade.lesson_named("02")

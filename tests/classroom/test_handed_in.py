"""Whatever a student's notebook looks like, its answers are found, and everything else is as it was given out."""

import io
import json
import os
import zipfile
from pathlib import Path

import handed_in
import nbformat
import pytest

EXERCISES = sorted((Path(__file__).parents[2] / "notebooks" / "exercises").glob("*.ipynb"))
LESSON = handed_in.Lesson(EXERCISES[1])
ANSWERS = {exercise: f"{name} = 'mine'" for exercise, name in LESSON.answer_name.items()}


def code(source):
    return nbformat.v4.new_code_cell(source)


def with_answers(lesson=LESSON, answers=ANSWERS):
    notebook = nbformat.read(next(path for path in EXERCISES if path.stem == lesson.name), 4)
    for cell in notebook.cells:
        exercise = handed_in.exercise_of(handed_in.grade_id(cell))
        if exercise in answers and handed_in.is_answer(cell):
            cell.source = answers[exercise]
    return notebook


def without_metadata(notebook):
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def cell_of(notebook, name):
    return next(cell for cell in notebook.cells if handed_in.grade_id(cell) == name)


def rebuilt(notebook, lesson=LESSON):
    file = handed_in.File("x.ipynb", json.dumps(notebook).encode(), (0,))
    return handed_in.choose("anna", [file], lesson)


def sources(notebook):
    return [cell.source for cell in notebook.cells]


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
@pytest.mark.parametrize("change", [lambda notebook: notebook, without_metadata], ids=["as it is", "no metadata"])
def test_a_notebook_that_lost_nothing_stays_as_it_is(path, change):
    lesson = handed_in.Lesson(path)
    if lesson.has_answers_in_parts:
        handed = nbformat.read(path, 4)
        for cell in handed.cells:
            if cell.metadata.get("nbgrader", {}).get("solution"):
                cell.source += "\n# mine" if cell.cell_type == "code" else " is mine"
        wanted = sources(handed)
        submission = rebuilt(change(handed), lesson)
        if change is without_metadata:
            assert "to be read by somebody" in submission.remarks[0] and "ex-14-1" in submission.remarks[0]
        else:
            assert sources(submission.notebook) == wanted and submission.answered == set(lesson.exercises)
            assert [handed_in.grade_id(cell) for cell in submission.notebook.cells] == list(lesson.by_id)
            assert submission.remarks == []
        return
    answers = {exercise: f"{name} = 'mine'" for exercise, name in lesson.answer_name.items()}
    handed = with_answers(lesson, answers)
    wanted = sources(handed)
    submission = rebuilt(change(handed), lesson)
    assert sources(submission.notebook) == wanted
    assert [handed_in.grade_id(cell) for cell in submission.notebook.cells] == list(lesson.by_id)
    assert submission.answered == set(lesson.exercises)
    assert rebuilt(nbformat.read(path, 4), lesson).answered == set()
    others = [other for other in EXERCISES if other != path]
    assert not any(lesson.is_in(nbformat.read(other, 4)) for other in others)


def checks_of(submission):
    """Return, for each exercise, what the checked name holds when its check comes."""
    values, found = {}, {}
    for cell in submission.notebook.cells:
        exercise = handed_in.exercise_of(handed_in.grade_id(cell))
        if exercise and handed_in.is_check(cell):
            found[exercise] = values.get(LESSON.answer_name[exercise])
        for name in handed_in.defined_in(cell):
            values[name] = cell.source
    return found


def test_all_in_one_cell():
    notebook = nbformat.v4.new_notebook(cells=[code("\n".join(ANSWERS.values()))])
    submission = rebuilt(notebook)
    assert submission.answered == set(ANSWERS)
    assert all("mine" in value for value in checks_of(submission).values())


def test_an_answer_below_the_stub_or_in_the_check_counts():
    notebook = with_answers(answers={})
    check = cell_of(notebook, "ex-02-3-check")
    notebook.cells.insert(notebook.cells.index(check) + 1, code("smallest_n = 'mine'"))
    cell_of(notebook, "ex-02-5-check").source = "scale_and_shift = 'mine'\ncheck('02.5', scale_and_shift)"
    submission = rebuilt(notebook)
    assert submission.answered == {"02.3", "02.5"}
    found = checks_of(submission)
    assert "mine" in found["02.3"] and "mine" in found["02.5"] and "..." in found["02.2"]
    assert "answered in another cell: 02.3, 02.5" in submission.remarks


def test_playing_with_the_name_further_down_changes_nothing():
    notebook = with_answers()
    notebook.cells.append(code("smallest_n = 3"))
    assert "mine" in checks_of(rebuilt(notebook))["02.3"]


def test_what_an_answer_needs_is_kept_in_its_place():
    notebook = with_answers()
    cell_of(notebook, "setup").source += "\nimport math"
    answer = cell_of(notebook, "ex-02-3-answer")
    notebook.cells.insert(notebook.cells.index(answer), code("helper = 1"))
    notebook.cells.insert(notebook.cells.index(answer) + 1, code("other = 2"))
    got = sources(rebuilt(notebook).notebook)
    places = [next(i for i, source in enumerate(got) if mark in source) for mark in ("import math", "helper", "other")]
    check = got.index('check("02.3", smallest_n)')
    assert places[0] < places[1] < got.index(ANSWERS["02.3"]) < places[2] < check


def test_of_copies_the_last_answer_counts_and_a_stub_is_none():
    notebook = with_answers()
    answer = cell_of(notebook, "ex-02-3-answer")
    place = notebook.cells.index(answer)
    notebook.cells.insert(place, nbformat.from_dict({**answer, "source": "smallest_n = 'old'"}))
    notebook.cells.insert(place + 2, nbformat.from_dict({**answer, "source": LESSON.answer["02.3"].source}))
    submission = rebuilt(notebook)
    assert "mine" in checks_of(submission)["02.3"]
    assert not any("'old'" in source for source in sources(submission.notebook))
    assert submission.remarks == ["copied cells, of which the last counts: 02.3"]


def test_an_answer_with_a_typing_error_is_an_answer():
    notebook = without_metadata(with_answers(answers=ANSWERS | {"02.1": "def my_layer_norm(x:\n    return"}))
    assert "02.1" in rebuilt(notebook).answered


def test_checks_that_were_changed_or_removed_are_back():
    notebook = with_answers()
    cell_of(notebook, "ex-02-1-check").source = "pass"
    notebook.cells.remove(cell_of(notebook, "ex-02-6-check"))
    submission = rebuilt(notebook)
    assert sources(submission.notebook) == sources(with_answers())
    assert submission.remarks == [
        "checks had been changed and are back: 02.1",
        "checks were missing and are back: 02.6",
    ]


def question(**kind):
    """Return the end of a grade id's metadata."""
    return {"nbgrader": {"grade": False, "locked": True, "schema_version": 3, "solution": False, "task": False, **kind}}


def test_a_question_in_words_and_several_checks_of_one_exercise(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("## 14.1 · Why?", metadata=question(grade_id="ex-14-1-task")),
        nbformat.v4.new_markdown_cell(
            "*Here.*", metadata=question(grade_id="ex-14-1-answer", grade=True, solution=True, locked=False, points=3)
        ),
        nbformat.v4.new_markdown_cell("## 14.2 · Train", metadata=question(grade_id="ex-14-2-task")),
        nbformat.v4.new_code_cell(
            "loss = ...", metadata=question(grade_id="ex-14-2-answer", solution=True, locked=False)
        ),
        nbformat.v4.new_code_cell(
            "check('14.2', loss)", metadata=question(grade_id="ex-14-2-check", grade=True, points=1)
        ),
        nbformat.v4.new_code_cell("loss < 2", metadata=question(grade_id="ex-14-2-more", grade=True, points=2)),
    ]
    path = tmp_path / "14_your_own_gpt.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    lesson = handed_in.Lesson(path)
    assert lesson.points == {"14.1": 3, "14.2": 3}
    assert rebuilt(nbformat.read(path, 4), lesson).answered == set()
    for change in (lambda notebook: notebook, without_metadata):
        handed = nbformat.read(path, 4)
        handed.cells[1].source = "Because the mask hides it."
        handed.cells[3].source = "loss = 1.9"
        wanted = sources(handed)
        submission = rebuilt(change(handed), lesson)
        assert sources(submission.notebook) == wanted
        assert submission.answered == {"14.1", "14.2"}


def names_and_files(path):
    return {
        student: [file.name for file in files] for student, files in handed_in.collect(path, "02_layer_norm").items()
    }


def test_names_are_found_in_what_platforms_give(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("work/02.ipynb", "{}")
        archive.writestr("__MACOSX/work/._02.ipynb", "")
    moodle = tmp_path / "moodle.zip"
    with zipfile.ZipFile(moodle, "w") as archive:
        archive.writestr("Ana García_11_assignsubmission_file_/a.ipynb", "{}")
        archive.writestr("Ben Li_12_assignsubmission_file_/b.ipynb", "{}")
        archive.writestr("Ben Li_13_assignsubmission_file_/all.zip", inner.getvalue())
    assert names_and_files(moodle) == {
        "Ana_García": ["a.ipynb"],
        "Ben_Li_12": ["b.ipynb"],
        "Ben_Li_13": ["all.zip/work/02.ipynb"],
    }
    canvas = tmp_path / "canvas"
    canvas.mkdir()
    for name in ("liben_12_901_02_layer_norm.ipynb", "garcaana_LATE_11_902_x.ipynb", "Eva-02_layer_norm(1).ipynb"):
        (canvas / name).write_text("{}")
    assert names_and_files(canvas).keys() == {"liben", "garcaana", "Eva"}


def test_a_damaged_archive_or_a_single_file_is_somebodys_too(tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / "ben").mkdir()
    (tmp_path / "anna" / "02.ipynb").write_text("{}")
    (tmp_path / "ben" / "work.zip").write_bytes(b"PK\x03\x04 an upload that was interrupted")
    assert names_and_files(tmp_path) == {"anna": ["02.ipynb"], "ben": ["work.zip"]}
    assert names_and_files(tmp_path / "anna" / "02.ipynb") == {"02": ["02.ipynb"]}


def test_names_that_differ_in_a_space_only_stay_apart(tmp_path):
    for name in ("Ana B", "Ana_B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "02.ipynb").write_text("{}")
    assert names_and_files(tmp_path).keys() == {"Ana_B", "Ana_B_2"}


def test_one_folder_around_all_is_nobodys_name(tmp_path):
    (tmp_path / "all" / "class" / "anna").mkdir(parents=True)
    (tmp_path / "all" / "class" / "anna" / "02.ipynb").write_text("{}")
    assert names_and_files(tmp_path / "all") == {"anna": ["02.ipynb"]}


@pytest.mark.skipif(os.name == "nt", reason="homes of a Linux server")
def test_homes_give_what_is_theirs_and_no_link_to_anothers(tmp_path):
    for name in ("anna", "ben", "cara"):
        (tmp_path / name / "gpt" / "notebooks" / "exercises" / ".ipynb_checkpoints").mkdir(parents=True)
    anna, ben, _ = (tmp_path / name / "gpt/notebooks/exercises" for name in ("anna", "ben", "cara"))
    (anna / "02_layer_norm.ipynb").write_text("{}")
    (anna / ".ipynb_checkpoints" / "old.ipynb").write_text("{}")
    (ben / "02_layer_norm.ipynb").symlink_to(anna / "02_layer_norm.ipynb")
    os.mkfifo(anna / "never_ends.ipynb")
    (tmp_path / "teacher").mkdir()
    assert names_and_files(tmp_path) == {"anna": ["02_layer_norm.ipynb"], "ben": [], "cara": []}


@pytest.mark.parametrize("content", [b"", b"no", b"[]", b'{"cells": 3}', b'{"cells": [7]}', b"\xff\xfe", b"PK\x03\x04"])
def test_a_damaged_file_has_its_reason(content):
    submission = handed_in.choose("anna", [handed_in.File("02.ipynb", content, (0,))], LESSON)
    assert submission.notebook is None
    assert "02.ipynb cannot be read as a notebook" in submission.remarks[0]
    assert submission.remarks[-1] == "no notebook with the exercises of 02_layer_norm; there is 02.ipynb"


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_whoever_hands_in_the_whole_project_gets_no_points_for_its_solutions(tmp_path):
    mine = nbformat.writes(with_answers(answers={"02.2": "norm_parameters = 1"}))
    solution = (EXERCISES[1].parents[1] / "solutions" / EXERCISES[1].name).read_bytes()
    inner = zipped(
        tmp_path / "gpt.zip",
        {"gpt/notebooks/exercises/02_layer_norm.ipynb": mine, "gpt/notebooks/solutions/02_layer_norm.ipynb": solution},
    )
    platform = zipped(tmp_path / "all.zip", {"Ana_11_assignsubmission_file_/gpt.zip": inner.read_bytes()})
    ((student, files),) = handed_in.collect(platform, LESSON.name).items()
    submission = handed_in.choose(student, files, LESSON)
    assert submission.answered == {"02.2"} and "/exercises/" in submission.file.name
    assert "solutions/02_layer_norm.ipynb has hidden tests" in submission.remarks[0]


def test_the_only_one_who_was_late_keeps_the_name_whatever_was_handed_in(tmp_path):
    late = zipped(tmp_path / "late.zip", {"Ana Garci\u0301a_11_assignsubmission_file_/work/02.ipynb": "{}"})
    assert names_and_files(late) == {"Ana_Garc\u00eda": ["work/02.ipynb"]}


def test_a_platforms_zips_in_a_folder_are_nobodys_name(tmp_path):
    for name, student in (("submissions.zip", "liben_12_901_02.ipynb"), ("late.zip", "liben_LATE_12_905_02.ipynb")):
        zipped(tmp_path / name, {student: "{}", f"garcia{len(name)}_13_902_02.ipynb": "{}"})
    assert names_and_files(tmp_path).keys() == {"liben", "garcia15", "garcia8"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_notebook_that_a_windows_editor_saved_is_read(encoding):
    content = nbformat.writes(with_answers()).encode(encoding)
    assert handed_in.choose("x", [handed_in.File("02.ipynb", content, (0,))], LESSON).answered == set(ANSWERS)


@pytest.mark.parametrize("odd", ["-" * 200_000 + "1", "+".join("1" * 20_000), "1  # \ud83d"])
def test_no_answer_stops_the_grading_of_a_class(odd, tmp_path):
    handed = json.loads(nbformat.writes(with_answers(answers=ANSWERS | {"02.3": "smallest_n = HERE"})))
    content = json.dumps(handed).replace("HERE", json.dumps(odd)[1:-1]).encode()
    submission = handed_in.choose("x", [handed_in.File("02.ipynb", content, (0,))], LESSON)
    assert submission.answered == set(ANSWERS)
    nbformat.write(submission.notebook, tmp_path / "02.ipynb")


@pytest.mark.skipif(os.name == "nt", reason="homes of a Linux server")
def test_a_home_that_lies_elsewhere_is_read(tmp_path):
    exercises = tmp_path / "export" / "anna" / "gpt" / "notebooks" / "exercises"
    exercises.mkdir(parents=True)
    (exercises / "02_layer_norm.ipynb").write_text("{}")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "anna").symlink_to(tmp_path / "export" / "anna")
    assert names_and_files(tmp_path / "home") == {"anna": ["02_layer_norm.ipynb"]}

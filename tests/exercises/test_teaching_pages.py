"""What a teacher reads about the exercises is what they declare."""

import re

import make_pages
import pytest

from gptcore.exercises import EXERCISES

IN_WORDS = "14.5"  # no check: a teacher reads it
CAPSTONE = "14"  # whose check finds the fault itself, so no wrong answer is declared
LESSONS = dict((path.stem[:2], names) for path, names in make_pages.lessons())


def test_the_pages_are_up_to_date():
    remedy = "run notebooks/teaching/make_pages.py"
    assert make_pages.GUIDE.read_text(encoding="utf-8") == make_pages.guide(), remedy
    assert make_pages.WRONG_ANSWERS.read_text(encoding="utf-8") == make_pages.wrong_answers(), remedy


@pytest.mark.parametrize("number", LESSONS)
def test_each_lesson_has_its_three_exercises_and_three_wrong_answers(number):
    assert len(set(make_pages.AT_LEAST[number]) & set(LESSONS[number])) == 3
    if number == CAPSTONE:
        return
    page = make_pages.wrong_answers()
    (section,) = re.findall(rf"^## {number} · .*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert len(set(re.findall(rf"^- \*\*({number}\.\d) · ", section, re.MULTILINE))) == 3


def test_the_table_has_every_exercise_with_its_minutes_and_points():
    table = make_pages.table()
    shown = table.replace("&nbsp;", " ")
    for name, (_, points, minutes) in make_pages.ratings().items():
        assert re.search(rf"{name} {minutes} min {'●' * points}[, ]", shown), name
    assert set(make_pages.ratings()) - {IN_WORDS} == set(EXERCISES)
    assert table in make_pages.GUIDE.read_text(encoding="utf-8")


def test_the_guide_names_the_minutes_and_points_that_there_are():
    guide, front = (
        path.read_text(encoding="utf-8") for path in (make_pages.GUIDE, make_pages.TEACHING.parents[1] / "README.md")
    )
    ratings = make_pages.ratings()
    lessons = [int(minutes) for minutes in re.findall(r"^\| \[\d\d .*\| (\d+) \|$", front, re.MULTILINE)]
    exercises = [sum(ratings[name][2] for name in names) for names in LESSONS.values()]
    assert len(lessons) == 15
    assert f"of {min(lessons)} to {max(lessons)} minutes" in guide
    assert f"another {min(exercises)} to {max(exercises)}:" in " ".join(guide.split())
    graded = {int(points) for points in re.findall(r"^ +\d+ of (\d+)  \w+$", guide, re.MULTILINE)}
    assert graded == {sum(ratings[name][1] for name in LESSONS["02"])}

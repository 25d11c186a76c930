"""The guesses of a class, by real accounts: each may add and take back their own, and only the teacher sees them."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.classroom

TEACHER, STUDENTS = 54320, [54321, 54322, 54323]  # numbers of users; they need no names

# Imports as root, for the accounts may not be able to read this Python; then each student becomes one and guesses.
CLASS = """
import json, os, sys
from pathlib import Path
from gptcore.exercises import class_guesses, ledger
from gptcore.exercises.kept import kept

folder, teacher, *students = sys.argv[1], *map(int, sys.argv[2:])

def as_user(number, do):
    child = os.fork()
    if not child:
        code = 1
        try:
            os.umask(0o077)
            os.setgroups([]); os.setgid(number); os.setuid(number)
            os.environ["GPTCORE_KEPT"] = f"{folder}/home-{number}"
            do()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            sys.stdout.flush(); os._exit(code)
    return child

def guess():
    line = ledger.GuessLine(class_guesses.find("03.story"))
    line._said.value = "no bend"
    line._share.value = True
    line._said.value = "ReLU"  # changes their mind: one guess still
    assert len(kept("shared")) == 1

def must_not(do):
    try:
        do()
    except PermissionError:
        return
    raise AssertionError("it was allowed")

def pry():
    must_not(lambda: os.listdir(os.environ["GPTCORE_CLASS"]))
    must_not(lambda: class_guesses.class_guesses("03.story"))
    for file in files:
        if file.stat().st_uid != os.getuid():
            must_not(file.unlink)
            must_not(lambda: file.write_text("{}"))

def count():
    shared = class_guesses.shared_guesses("03.story")
    print(json.dumps(class_guesses.Histogram(class_guesses.find("03.story"), shared).rows))

def together(do, users):
    for child in [as_user(user, do) for user in users]:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

together(guess, students)
files = sorted(Path(os.environ["GPTCORE_CLASS"]).iterdir())
together(pry, students[:1])
together(count, [teacher])
together(lambda: class_guesses.set_sharing(False), students[:1])
together(count, [teacher])
"""


@pytest.fixture
def folder():
    """A folder that everybody may pass through, with the class's folder, as README.md tells a teacher to make it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        for student in STUDENTS:
            home = Path(name, f"home-{student}")
            home.mkdir(mode=0o700)
            os.chown(home, student, student)
        shared = Path(name, "class")
        shared.mkdir()
        os.chown(shared, TEACHER, -1)
        shared.chmod(0o1733)
        yield Path(name)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux and root: it acts as students")
def test_students_add_and_take_back_and_only_the_teacher_counts(folder):
    finished = subprocess.run(
        [sys.executable, "-c", CLASS, folder, str(TEACHER), *map(str, STUDENTS)],
        env={**os.environ, "GPTCORE_CLASS": str(folder / "class"), "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    before, after = (dict((row[0], row[1:]) for row in json.loads(line)) for line in finished.stdout.splitlines())
    assert before["ReLU"] == [3, 0] and after["ReLU"] == [2, 0] and sum(count for count, _ in before.values()) == 3
    left = [*(folder / "class").iterdir()]
    assert len(left) == 2
    for file in left:  # nothing in a file or its name says whose it is
        assert json.loads(file.read_text()) == {"said": "ReLU", "sure": "just a guess"}
        assert not any(str(student) in file.name for student in STUDENTS)

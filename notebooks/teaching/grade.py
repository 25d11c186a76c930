"""Grade what a class handed in, with nbgrader, and say why each point was lost.

    sudo .venv/bin/python notebooks/teaching/grade.py 02                      the homes of the class's server
    python notebooks/teaching/grade.py 02 ~/Downloads/submissions.zip         what a learning platform gave, or a folder

makes the course folder `gpt` here if there is none, and leaves in it grades/02_layer_norm.html and .csv, nbgrader's
gradebook, and a page of feedback for each student. Needs requirements.txt of this folder; README.md is the guide.
"""

import argparse
import contextlib
import csv
import html
import json
import multiprocessing
import os
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import handed_in
import nbformat
import psutil

TEACHING = Path(__file__).resolve().parent
SOLUTIONS = TEACHING.parent / "solutions"
MEMORY = 2 * 2**30  # bytes that a process of a submission may have; a lesson's exercises take less than half

# A server has nbgrader ready, which takes seconds to import, and each process branches off from it.
PROCESSES = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
if os.name == "posix":
    PROCESSES.set_forkserver_preload(["nbgrader.apps", "nbgrader.converters"])


@dataclass
class Row:
    """One line of the table: a student, the points of each exercise, and why points were lost."""

    student: str
    file: str
    points: dict  # by exercise: (points, of how many); points are None where a teacher still has to read
    reasons: dict  # by exercise, and under "" what holds for all
    remarks: list

    @property
    def score(self):
        return sum(points or 0 for points, _ in self.points.values())

    @property
    def most(self):
        return sum(most for _, most in self.points.values())


class Course:
    """A course folder of nbgrader, and one assignment in it."""

    def __init__(self, folder, lesson, solution):
        self.folder, self.lesson, self.solution = Path(folder).resolve(), lesson, solution

    def prepare(self):
        """Make what is missing: folder, settings, the source of the assignment, what students were given."""
        # Solutions, what students wrote, and their points are nobody else's.
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = self.folder / "source" / self.lesson / f"{self.lesson}.ipynb"
        if not source.exists() or not source.read_bytes():  # nothing is in it where the disk was full
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(self.solution)
        elif source.read_bytes() != self.solution:
            print(
                f"{source.parent} is older than {SOLUTIONS.name}/{source.name}, or was changed. To grade by the new "
                f"one, delete it and {self.folder / 'release' / self.lesson}."
            )
        settings = self.folder / "nbgrader_config.py"
        if not settings.exists():
            shutil.copy(TEACHING / settings.name, settings)
        elif settings.read_text(encoding="utf-8") != (TEACHING / settings.name).read_text(encoding="utf-8"):
            print(f"{settings} is not the one of {TEACHING}. If it was not you who changed it, delete it.")
        released = self.folder / "release" / self.lesson / f"{self.lesson}.ipynb"
        if not released.exists():
            log = self.log("generate_assignment")
            if self.nbgrader(log, 600, "generate_assignment", self.lesson, "--force"):
                sys.exit(f"nbgrader could not make the assignment: see {log}")
        return handed_in.Lesson(released)

    def log(self, name):
        path = self.folder / "grades" / "logs" / self.lesson / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def nbgrader(self, log, seconds, *arguments):
        """Run nbgrader in a process of its own. Return its exit code, or None if it had to be ended."""
        process = PROCESSES.Process(target=run_nbgrader, args=(self.folder, log, arguments))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            end_with_children(process.pid)
            process.join()
            return None
        return process.exitcode

    def hand_in(self, submission):
        """Put a student's notebook where nbgrader looks for it, and the file itself, unchanged, beside it."""
        folder = self.folder / "submitted" / submission.student / self.lesson
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        nbformat.write(submission.notebook, folder / f"{self.lesson}.ipynb")
        kept = self.folder / "collected" / self.lesson / f"{submission.student}.ipynb"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(submission.file.content)

    def grade(self, submission, lesson, seconds, minutes):
        """Grade one student's submission, however it behaves, and return its Row."""
        nothing = {exercise: (0, most) for exercise, most in lesson.points.items()}
        student = submission.student
        file = submission.file.name if submission.file else ""
        if submission.notebook is None:
            return Row(student, file, nothing, {"": submission.remarks.pop()}, submission.remarks)
        self.hand_in(submission)
        log = self.log(student)
        options = ["--create", "--force", f"--student={student}", f"--Execute.timeout={seconds}"]
        code = self.nbgrader(log, 60 * minutes, "autograde", self.lesson, *options)
        if code != 0:
            why = "nbgrader failed" if code is not None else f"it took more than {minutes:g} minutes and was ended"
            return Row(student, file, nothing, {"": f"{why}; {log} has the details"}, submission.remarks)
        executed = nbformat.read(self.folder / "autograded" / student / self.lesson / f"{self.lesson}.ipynb", 4)
        points = nothing | self.points_of(student)
        reasons = {
            exercise: why_lost(exercise, executed, lesson, exercise in submission.answered, got)
            for exercise, (got, most) in points.items()
            if got is None or got < most
        }
        return Row(student, file, points, reasons, submission.remarks)

    def points_of(self, student):
        from nbgrader.api import Gradebook  # takes seconds to import

        with Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}", course_id="gpt") as gradebook:
            found = gradebook.find_submission_notebook(self.lesson, self.lesson, student)
            points = {}
            for grade in found.grades:
                exercise = handed_in.exercise_of(grade.name)
                got, most = points.get(exercise, (0, 0))
                unread = got is None or (grade.needs_manual_grade and grade.manual_score is None)
                points[exercise] = (None if unread else got + grade.score, most + grade.max_score)
            return points


def run_nbgrader(folder, log, arguments):
    from nbgrader.apps import NbGraderApp

    with log.open("w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(folder)
    # nbgrader calls other programs of its environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # an accelerator alone would take more than the memory that is allowed
    if sys.platform == "linux":  # too much memory is then an error in a submission, and in nothing else
        psutil.Process().rlimit(psutil.RLIMIT_DATA, (MEMORY, MEMORY))
    NbGraderApp.launch_instance([*arguments])


def end_with_children(process_id):
    """End a process and everything that it started, such as a kernel in an endless loop."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        process.suspend()  # so that it starts nothing more
        for member in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


def why_lost(exercise, executed, lesson, answered, got):
    """Return the reason why an exercise has not all its points, from the notebook as it was executed."""
    if got is None:
        return "to be read and marked by you, in nbgrader's formgrader"
    if not answered:
        return "not answered"
    by_id = {handed_in.grade_id(cell): cell for cell in executed.cells}
    answer = by_id[handed_in.grade_id(lesson.answer[exercise])]
    checks = [by_id[handed_in.grade_id(given)] for given in lesson.after[exercise] if handed_in.is_check(given)]
    if not checks:
        return "marked by you"
    for cell in [answer, *checks]:
        if error := error_in(cell, {"LeftOut", "CellTimeoutError"}):
            where = "the answer" if cell is answer else "the check, which calls the answer"
            return f"{where}: {error}"
    said = "".join(output.text for cell in checks for output in cell.outputs if output.output_type == "stream")
    for sign in "✗○✓" if got else "✗○":  # what passes may still not have all its points: 14.1 and 14.3 have several
        if (start := said.find(f"{sign} {exercise}")) >= 0:
            why = re.sub(rf"^{sign} {exercise} (not yet\.|is|solved\.) ?", "", said[start:])
            return why.split(" For help: hint(")[0].strip()
    if error := error_in(answer):
        return f"the answer stopped with {error}"
    for check in checks:
        if error := error_in(check, exclude={"AssertionError"}):
            return f"the check stopped with {error}"
    return "not solved; what the notebook's own check says was changed"


def error_in(cell, only=(), exclude=()):
    for output in cell.outputs:
        if output.output_type == "error" and output.ename not in exclude and (not only or output.ename in only):
            if output.ename == "CellTimeoutError":
                return "it ran too long and was stopped: is there a loop that never ends?"
            return output.evalue if output.ename == "LeftOut" else f"{output.ename}: {output.evalue}"
    return None


def write_table(rows, folder, lesson):
    """Print the table; save it as CSV, for a spreadsheet, and as a page."""
    exercises = list(rows[0].points)
    folder.mkdir(exist_ok=True)
    with (folder / f"{lesson}.csv").open("w", newline="", encoding="utf-8-sig") as file:  # a spreadsheet needs the sig
        table = csv.writer(file)
        table.writerow(["student", "points", "of", *exercises, "reasons", "remarks", "file"])
        for row in rows:
            got = ["" if points is None else f"{points:g}" for points, _ in row.points.values()]
            cells = [row.student, f"{row.score:g}", f"{row.most:g}", *got, "; ".join(said(row)), "; ".join(row.remarks)]
            table.writerow([harmless(cell) for cell in [*cells, row.file]])
    (folder / f"{lesson}.html").write_text(page(rows, lesson), encoding="utf-8")
    for row in rows:
        print(f"{row.score:>5g} of {row.most:g}  {row.student}")
        for line in [*said(row), *(f"({remark})" for remark in row.remarks)]:
            print(f"              {line}")


def with_earlier(rows, path):
    """Return these rows, and those that an earlier table has of others: whoever is late is graded without the rest."""
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    graded = {row.student for row in rows}
    rows = [*rows, *(Row(**row) for row in earlier if row["student"] not in graded)]
    path.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
    return sorted(rows, key=lambda row: row.student)


def said(row):
    return [f"{exercise}: {why}" if exercise else why for exercise, why in row.reasons.items()]


def harmless(text):
    """A text for a spreadsheet, which would compute a formula that a student wrote."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


STYLE = """body { font: 16px/1.4 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }
table { border-collapse: collapse; } th, td { border-bottom: 1px solid #ccc; padding: .4em .8em; text-align: left;
vertical-align: top; overflow-wrap: anywhere; } .remark { color: #555; } .points { white-space: nowrap; }"""


def page(rows, lesson):
    lines = []
    for row in rows:
        why = [f"<div>{html.escape(line)}</div>" for line in said(row)]
        why += [f'<div class="remark">{html.escape(remark)}</div>' for remark in [row.file, *row.remarks] if remark]
        score = f'<td class="points">{row.score:g} of {row.most:g}</td>'
        lines.append(f'<tr><th scope="row">{html.escape(row.student)}</th>{score}<td>{"".join(why)}</td></tr>')
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{lesson}</title><style>{STYLE}</style>'
        f"<h1>{lesson}</h1><table><thead><tr><th>student</th><th>points</th><th>why points were lost</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></html>\n"
    )


def become_the_teacher():
    """Give up an administrator's rights, which were needed to collect: what students wrote must not run with them."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    number = int(os.environ.get("SUDO_UID", "0"))
    if number == 0:
        print("You are root, and what your students wrote runs as root. Start this with sudo from an account instead.")
        return
    import pwd

    teacher = pwd.getpwuid(number)
    os.initgroups(teacher.pw_name, teacher.pw_gid)
    os.setgid(teacher.pw_gid)
    os.setuid(number)
    os.environ |= {"HOME": teacher.pw_dir, "USER": teacher.pw_name, "LOGNAME": teacher.pw_name}


def lesson_named(text):
    names = [path.stem for path in sorted(SOLUTIONS.glob("*.ipynb"))]
    if not names:  # make_accounts.sh closes it
        raise argparse.ArgumentTypeError(f"{SOLUTIONS} may be read by its owner only: use that account, or sudo")
    for name in names:
        if text in (name, name.split("_")[0]):
            return name
    raise argparse.ArgumentTypeError(f"there is no lesson {text!r}; there are {', '.join(names)}")


def patience(lesson):
    """Return how long grading waits: (seconds for each cell, minutes for each student)."""
    # 14.3 counts work and no time: two minutes of a usual core, and more of a slow or busy one.
    return (600, 30) if lesson.startswith("14") else (60, 10)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lesson", type=lesson_named, help="02 or 02_layer_norm")
    parser.add_argument("source", nargs="?", default="/home", help="a zip, a folder, or where the homes are: /home")
    parser.add_argument("--course", default="gpt", help="nbgrader's course folder: gpt")
    parser.add_argument("--seconds", type=int, help="for each cell: 60, and 600 in lesson 14, which trains")
    parser.add_argument("--minutes", type=float, help="for each student: 10, and 30 in lesson 14")
    given = parser.parse_args(arguments)
    seconds, minutes = patience(given.lesson)

    if not Path(given.source).exists():
        sys.exit(f"there is no {given.source}")
    files = handed_in.collect(given.source, given.lesson)
    if not files:
        sys.exit(f"nothing was handed in below {given.source}, or you may not read it: homes need sudo")
    solution = (SOLUTIONS / f"{given.lesson}.ipynb").read_bytes()
    become_the_teacher()
    course = Course(given.course, given.lesson, solution)
    lesson = course.prepare()
    grades = course.folder / "grades"
    table = grades / f"{given.lesson}.csv"
    try:
        if table.exists():
            table.open("a").close()
    except OSError as problem:
        sys.exit(f"{table} cannot be written ({problem.strerror}). Is it open in a spreadsheet? Close it there first.")
    rows = []
    for student, theirs in sorted(files.items()):
        print(f"{student} ({len(rows) + 1} of {len(files)})", file=sys.stderr, flush=True)
        submission = handed_in.choose(student, theirs, lesson)
        rows.append(course.grade(submission, lesson, given.seconds or seconds, given.minutes or minutes))
    course.nbgrader(course.log("feedback"), 3600, "generate_feedback", given.lesson, "--force")
    rows = with_earlier(rows, course.log("table").with_suffix(".json"))
    write_table(rows, grades, given.lesson)
    print(f"\n{grades / given.lesson}.html and .csv have this table; {course.folder / 'feedback'} has a page for each.")
    return rows


if __name__ == "__main__":
    main()

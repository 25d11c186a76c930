"""What students handed in, from wherever it lies, put back into the form that nbgrader can grade.

A notebook is known by what is in it, never by its name. `grade.py` uses this.
"""

import ast
import copy
import io
import json
import re
import unicodedata
import warnings
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

HOMES = "*/gpt/notebooks/exercises"  # where make_accounts.sh puts the exercises, below /home
LARGEST = 20_000_000  # bytes of a notebook; the largest lesson has a fiftieth of it
NOT_THEIRS = {"__MACOSX", ".ipynb_checkpoints", ".venv"}
OF_THE_PROJECT = "### BEGIN HIDDEN TESTS"  # is in notebooks/solutions, and not in what students are given

EXERCISE_IN_ID = re.compile(r"ex-(\d\d)-(\d+)-")
HEADING = re.compile(r"## (\d\d)\.(\d+) · ")
CALL_OF_CHECK = re.compile(r"""\bcheck\(\s*["'](\d\d)\.(\d+)["']""")

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # the last two: brackets or signs without end

# What learning platforms put before a student's files: name_4711_assignsubmission_file, name_LATE_4711_815_file.ipynb.
PLATFORMS = [
    re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_.*"),
    re.compile(r"(?P<name>.+?)(_LATE)?_(?P<number>\d+)_\d+_.+"),
]


@dataclass
class File:
    """A file that somebody handed in: its path below the student's name, what is in it, when it was saved."""

    name: str
    content: bytes
    saved: tuple


@dataclass
class Submission:
    """What counts of one student's files, as a notebook for nbgrader, or None and a reason."""

    student: str
    notebook: object = None
    file: File | None = None
    answered: set = field(default_factory=set)
    remarks: list = field(default_factory=list)


def collect(source, lesson_name):
    """Return the files of each student, by a name that can be a folder's: from homes, a folder, or a zip."""
    source = Path(source)
    files = read_homes(source)
    if not files and source != Path("/home"):  # which has more than what was handed in
        files = read_whole(source)
    owners, named = {}, {}
    for parts, file in files:
        owners.setdefault(owner_of(parts, lesson_name), []).append(file)
    namesakes = Counter(folder_name(name) for name, _ in owners)
    for (name, number), theirs in owners.items():
        student = folder_name(f"{name}_{number}" if namesakes[folder_name(name)] > 1 else name)
        while student in named:
            student += "_2"
        named[student] = [file for file in theirs if file is not None]
    return named


def read_homes(source):
    """Return (parts of the path, File) for everything in the exercises of the homes below `source`."""
    found = []
    for exercises in sorted(source.glob(HOMES)) if source.is_dir() else []:
        student = exercises.relative_to(source).parts[0]
        home = (source / student).resolve()  # an administrator may have put it elsewhere, by a link
        files = [
            ((student, path.name), file_at(path, path.relative_to(exercises)))
            for path in sorted(exercises.rglob("*.ipynb"))
            # Who collects may read everything: a link would hand in another student's work.
            if path.is_file() and is_theirs(path.parts) and path.resolve() == home / path.relative_to(source / student)
        ]
        found += files or [((student, ""), None)]
    return found


def read_whole(source):
    if source.is_dir():
        entries = [
            entry
            for path in sorted(source.rglob("*"))
            if path.is_file() and is_theirs(path.relative_to(source).parts)
            for entry in unpacked(path.relative_to(source).parts, file_at(path, path.name))
        ]
    else:
        entries = [(parts[1:] or parts, file) for parts, file in unpacked((source.name,), file_at(source, source.name))]
    # Nor is that of a zip which a platform gave, where it lies in a folder, with the zip of those who were late.
    entries = [
        (parts[1:] if parts[0].lower().endswith(".zip") and is_platforms(parts[1:]) else parts, file)
        for parts, file in entries
    ]
    # A folder around everything is nobody's name, but for one that a platform named: of the only one who was late.
    while (
        len({parts[0] for parts, _ in entries}) == 1
        and all(len(parts) > 2 for parts, _ in entries)
        and not is_platforms(entries[0][0])
    ):
        entries = [(parts[1:], file) for parts, file in entries]
    for parts, file in entries:
        file.name = "/".join(parts[1:]) or parts[0]
    return entries


def is_platforms(parts):
    return bool(parts) and any(platform.fullmatch(parts[0]) for platform in PLATFORMS)


def file_at(path, name):
    content = path.read_bytes() if path.stat().st_size <= largest(path.name) else b""
    return File(str(name), content, (path.stat().st_mtime,))


def is_theirs(parts):
    return not NOT_THEIRS & set(parts) and not parts[-1].startswith(".")


def unpacked(parts, file, depth=3):
    """Return a file, or, for a zip, the files in it, as (parts of the path, File)."""
    if depth == 0 or not parts[-1].lower().endswith(".zip"):
        return [(parts, file)]
    found = []
    try:
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            for entry in archive.infolist():
                inside = tuple(part for part in entry.filename.split("/") if part)
                if not entry.is_dir() and inside and is_theirs(inside):
                    content = archive.read(entry) if entry.file_size <= largest(inside[-1]) else b""
                    found += unpacked((*parts, *inside), File(inside[-1], content, entry.date_time), depth - 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):  # damaged, or with a password
        return [(parts, file)]
    return found


def largest(name):
    return 50 * LARGEST if name.lower().endswith(".zip") else LARGEST


def owner_of(parts, lesson_name):
    """Return (name, number) of the student whose file this is: by its folder, or else by its own name."""
    for platform in PLATFORMS:
        if match := platform.fullmatch(parts[0]):
            return match["name"], match["number"]
    name = re.sub(r"\.(ipynb|zip)$", "", parts[0])
    if len(parts) == 1:
        name = re.sub(rf"[\W_]*{re.escape(lesson_name)}.*", "", name) or name
    return name, ""


def folder_name(name):
    name = unicodedata.normalize("NFC", name)  # macOS writes a letter and its accent as two characters
    return re.sub(r"[^\w.-]+", "_", name).strip("._-") or "student"


class Lesson:
    """The notebook of exercises that students were given: what to know theirs by."""

    def __init__(self, path):
        self.name = path.stem
        self.cells = nbformat.read(path, as_version=4).cells
        self.metadata = {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        }
        self.by_id = {grade_id(cell): cell for cell in self.cells}
        self.number = next(match[1] for name in self.by_id if (match := EXERCISE_IN_ID.match(name)))
        self.exercises, self.before, self.answer, self.after, self.answer_name = [], {}, {}, {}, {}
        self.points = {}
        for cell in self.cells:
            if (exercise := exercise_of(grade_id(cell))) is None:
                continue
            if exercise not in self.before:
                self.exercises.append(exercise)
                self.before[exercise], self.after[exercise] = [], []
            if is_answer(cell):
                self.answer[exercise] = cell
            else:
                (self.after if exercise in self.answer else self.before)[exercise].append(cell)
            if cell.metadata.nbgrader.grade:
                self.points[exercise] = self.points.get(exercise, 0) + cell.metadata.nbgrader.points
                if name := re.search(r",\s*(\w+)\)", cell.source):
                    self.answer_name[exercise] = name[1]
        others = [exercise_of(grade_id(cell)) is None for cell in self.cells]
        first = others.index(False)
        self.start = self.cells[:first]
        self.end = [cell for cell, other in zip(self.cells[first:], others[first:], strict=True) if other]
        in_cells = Counter(exercise_of(name) for name, cell in self.by_id.items() if is_answer(cell))
        self.has_answers_in_parts = max(in_cells.values()) > 1  # as in the last lesson

    def is_in(self, notebook):
        """Return True if a notebook is this lesson's, by most of what it holds."""
        found = Counter()
        for cell in notebook.cells:
            for pattern, text in (
                (EXERCISE_IN_ID, grade_id(cell)),
                (HEADING, cell.source),
                (CALL_OF_CHECK, cell.source),
            ):
                found.update({match[1] for match in pattern.finditer(text)})
        if found:
            return found.most_common(1)[0][0] == self.number
        names = set().union(*(defined_in(cell) for cell in notebook.cells))
        return len(names & set(self.answer_name.values())) >= 2


def grade_id(cell):
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def exercise_of(name):
    match = EXERCISE_IN_ID.match(name)
    return f"{match[1]}.{match[2]}" if match else None


def is_answer(cell):
    return cell.metadata.nbgrader.solution


def same(cell, other):
    return cell.cell_type == other.cell_type and normal(cell.source) == normal(other.source)


def normal(source):
    return "\n".join(line.strip() for line in source.splitlines() if line.strip())


def defined_in(cell):
    """Return the names that a cell of code defines for the cells after it."""
    if cell.cell_type != "code":
        return set()
    code = re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.MULTILINE)
    try:
        tree = ast.parse(code)
    except UNREADABLE:  # an answer with a typing error is still the answer
        return set(re.findall(r"^(?:def |class )?(\w+)\s*(?:=(?!=)|\()", code, re.MULTILINE))
    names = set()
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            names.add(statement.name)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
        else:
            stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            names |= {node.id for node in stored if isinstance(node.ctx, ast.Store)}
    return names


def checked_in(cell):
    """Return the exercises that a cell checks, if it does nothing else."""
    if cell.cell_type != "code":
        return []
    try:
        statements = ast.parse(cell.source).body
    except UNREADABLE:
        return []
    calls = [getattr(getattr(getattr(one, "value", None), "func", None), "id", None) for one in statements]
    found = [f"{match[1]}.{match[2]}" for match in CALL_OF_CHECK.finditer(cell.source)]
    return found if calls and set(calls) <= {"check", "hint"} else []


def choose(student, files, lesson):
    """Return the Submission of a student: of several notebooks of this lesson, the one with most answers, or newest."""
    found, solutions, remarks = [], [], []
    for file in files:
        try:
            with warnings.catch_warnings(action="ignore"):  # of what is mended below
                # Windows' editors may have saved it as UTF-16, or with a mark in front.
                text = file.content.decode(json.detect_encoding(file.content))
                notebook = nbformat.reads(text, as_version=4)
            notebook.cells = [nbformat.from_dict({"metadata": {}, "source": "", **cell}) for cell in notebook.cells]
            for cell in notebook.cells:  # half a character, as of a cut emoji, could not be written again
                cell.source = cell.source.encode("utf-8", "replace").decode()
            if not lesson.is_in(notebook):
                continue
            theirs = not any(OF_THE_PROJECT in cell.source for cell in notebook.cells)
            (found if theirs else solutions).append(rebuild(student, notebook, lesson, file))
        except Exception:  # whatever a file may hold that is no notebook
            if file.name.endswith(".ipynb"):
                remarks.append(f"{file.name} cannot be read as a notebook: it is empty, damaged or too large")
            continue
    remarks += [
        f"{one.file.name} has hidden tests: it is this project's solution, and no student's" for one in solutions
    ]
    found = found or solutions
    if not found:
        others = ", ".join(file.name for file in files)
        none = f"no notebook with the exercises of {lesson.name}"
        remarks.append(f"{none}; there is {others}" if others else none)
        return Submission(student, remarks=remarks)
    *rest, chosen = sorted(found, key=lambda one: (len(one.answered), one.file.saved))
    for other in rest:
        remarks.append(
            f"{other.file.name} is not graded: it answers {len(other.answered)}, this one {len(chosen.answered)}"
        )
    chosen.remarks += remarks
    return chosen


def as_it_came(student, notebook, lesson, file):
    """Return the Submission of a lesson whose answers are in several cells each: those are known by their ids alone.

    Of copied cells the last counts, and what was given out is put back as it was. What has lost its id cannot be told
    apart, so it is a remark, and somebody's to read.
    """
    last = {grade_id(cell): index for index, cell in enumerate(notebook.cells)}
    cells, answered = [], set()
    for index, cell in enumerate(notebook.cells):
        given = lesson.by_id.get(grade_id(cell))
        if given is None:
            cells.append(plain(cell))
        elif last[grade_id(cell)] == index:
            own = copy.deepcopy(given)
            if is_answer(given):
                own.source = cell.source
                if not same(cell, given):
                    answered.add(exercise_of(grade_id(cell)))
            cells.append(own)
    missing = [name for name in lesson.by_id if name not in last]
    cells += [copy.deepcopy(lesson.by_id[name]) for name in missing]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    made = nbformat.v4.new_notebook(cells=cells, metadata=lesson.metadata)
    remarks = [f"cells without their ids, to be read by somebody: {', '.join(missing)}"] if missing else []
    return Submission(student, made, file, answered, remarks)


def rebuild(student, notebook, lesson, file):
    """Return the Submission with a student's own cells in their order, and everything else as it was given out."""
    if lesson.has_answers_in_parts:
        return as_it_came(student, notebook, lesson, file)
    known = [lesson.by_id.get(grade_id(cell)) or recognised(cell, lesson) for cell in notebook.cells]
    cells = [
        cell if given is None or given.cell_type == cell.cell_type else plain(cell, given.cell_type)
        for cell, given in zip(notebook.cells, known, strict=True)
    ]
    answers = {exercise: find_answer(exercise, cells, known, lesson) for exercise in lesson.exercises}
    answered = {
        exercise
        for exercise, index in answers.items()
        if index is not None and not same(cells[index], lesson.answer[exercise])
    }
    made = Rebuilt(lesson)
    for index, (cell, given) in enumerate(zip(cells, known, strict=True)):
        if here := [exercise for exercise in lesson.exercises if answers[exercise] == index]:
            made.put_answer(cell, here)
        elif given is None:
            made.cells.append(plain(cell))
        elif is_answer(given):
            exercise = exercise_of(grade_id(given))
            if not same(cell, given) and known[answers[exercise]] is not given:
                made.cells.append(plain(cell))  # no answer, and no older copy of one
        else:
            made.put_given(given)
            if cell.cell_type == "code" and not is_check(given) and not same(cell, given):
                made.cells.append(plain(cell))  # an import, for example, that was added to what was given
    return Submission(student, made.finish(), file, answered, remarks_on(notebook.cells, known, answers, lesson))


class Rebuilt:
    """A notebook for nbgrader that grows cell by cell: what was given out is there once, unchanged."""

    def __init__(self, lesson):
        self.lesson, self.cells, self.there, self.waiting = lesson, [], set(), []
        self.put(lesson.start)

    def put(self, given):
        for cell in given:
            if grade_id(cell) not in self.there:
                self.there.add(grade_id(cell))
                self.cells.append(copy.deepcopy(cell))

    def end_others(self, exercises):
        """Put the checks that wait for their place, but for these exercises'.

        A check that is not where it was comes as late as it can: what its answer needs may stand below the answer.
        """
        for exercise in [one for one in self.waiting if one not in exercises]:
            self.put(self.lesson.after[exercise])
            self.waiting.remove(exercise)

    def put_given(self, given):
        exercise = exercise_of(grade_id(given))
        if exercise is None:
            return
        self.end_others([exercise])
        if given in self.lesson.before[exercise]:
            self.put(self.lesson.before[exercise][: self.lesson.before[exercise].index(given) + 1])
        elif exercise in self.waiting:
            self.end_others([one for one in self.waiting if one != exercise])

    def put_answer(self, cell, exercises):
        self.end_others(exercises)
        for exercise in exercises:
            self.put(self.lesson.before[exercise])
        alone = len(exercises) == 1
        if not alone:
            self.cells.append(plain(cell))
        for exercise in exercises:
            own = copy.deepcopy(self.lesson.answer[exercise])
            own.source = cell.source if alone else "# The answer is in the cell above."
            self.there.add(grade_id(own))
            self.cells.append(own)
        self.waiting += exercises

    def finish(self):
        self.end_others([])
        for exercise in self.lesson.exercises:
            self.put([*self.lesson.before[exercise], self.lesson.answer[exercise], *self.lesson.after[exercise]])
        self.put(self.lesson.end)
        for number, cell in enumerate(self.cells):
            cell.id = f"cell-{number}"
        return nbformat.v4.new_notebook(cells=self.cells, metadata=self.lesson.metadata)


def plain(cell, cell_type=None):
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    return make.get(cell_type or cell.cell_type, nbformat.v4.new_raw_cell)(cell.source)


def is_check(given):
    return given.metadata.nbgrader.grade and not is_answer(given)


def recognised(cell, lesson):
    """Return what was given out that a cell without nbgrader's metadata must be, or None."""
    for given in lesson.cells:
        if same(cell, given):
            return given
    heading = HEADING.match(cell.source) if cell.cell_type == "markdown" else None
    if heading and lesson.before.get(f"{heading[1]}.{heading[2]}"):
        return lesson.before[f"{heading[1]}.{heading[2]}"][0]
    for exercise in checked_in(cell):
        if lesson.after.get(exercise):
            return lesson.after[exercise][-1]
    return None


def find_answer(exercise, cells, known, lesson):
    """Return the index of the cell that answers an exercise, or None.

    Its own cell, if that has an answer, the last one where there are several; else the last one that defines the name
    that is checked, or, for a text, that stands below the task.
    """
    own, name = lesson.answer[exercise], lesson.answer_name.get(exercise)
    ranked = []
    task = None
    for index, (cell, given) in enumerate(zip(cells, known, strict=True)):
        if given is not None and not is_answer(given):
            task = exercise_of(grade_id(given))
        here = name in defined_in(cell) or (given is None and task == exercise and cell.cell_type == "markdown")
        if given is own or (here and cell.cell_type == own.cell_type and (given is None or not same(cell, given))):
            ranked.append((not same(cell, own), here, given is own, index))
    return max(ranked)[-1] if ranked else None


def remarks_on(cells, known, answers, lesson):
    """Return what a teacher may want to know about how a notebook came in."""
    there = [grade_id(cell) for cell in cells if grade_id(cell) in lesson.by_id]
    copied = {exercise_of(name) or "the beginning" for name, count in Counter(there).items() if count > 1}
    checks = {exercise: next(filter(is_check, lesson.after[exercise]), None) for exercise in lesson.exercises}
    changed = {
        exercise
        for exercise, check in checks.items()
        if any(given is check and not same(cell, check) for cell, given in zip(cells, known, strict=True) if given)
    }
    missing = {exercise for exercise, check in checks.items() if check and not any(check is given for given in known)}
    elsewhere = {
        exercise
        for exercise, index in answers.items()
        if there and index is not None and known[index] is not lesson.answer[exercise]
    }
    remarks = {
        "a new notebook, known by what is in it": [] if there else [lesson.name],
        "copied cells, of which the last counts": copied,
        "checks had been changed and are back": changed if there else [],
        "checks were missing and are back": missing,
        "answered in another cell": elsewhere,
    }
    return [f"{remark}: {', '.join(sorted(about))}" for remark, about in remarks.items() if about]

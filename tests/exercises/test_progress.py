"""What is kept of a learner between sessions, where nobody else reads it, and what `progress` makes of it."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gptcore.exercises import EXERCISES, check, checking, hint, kept, overview, passes, progress
from gptcore.exercises.kept import keep, kept_in

ROOT = Path(__file__).parents[2]
RIGHT, OTHER_RIGHT = ("02.2", 38_400), ("03.2", "B")
WRITER = "import sys\nfrom gptcore.exercises.kept import keep\nfor n in range(200): keep('guess', sys.argv[1], value=n)"
only_posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits; homes are private")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A learner's folder, which is not there yet, and a Python that has just started."""
    monkeypatch.setenv(kept.PLACE, str(tmp_path / "learner"))
    start_anew(monkeypatch)
    return tmp_path / "learner"


def start_anew(monkeypatch):
    monkeypatch.setattr(kept, "_in_memory", [])
    monkeypatch.setattr(checking, "_hints_given", {})


def test_what_is_solved_and_which_hints_were_taken_is_kept_once(folder, capsys):
    for _ in range(3):
        check(*RIGHT)
        check("02.4", None)
    for _ in range(5):
        hint("02.4")
    (solved,), hints = kept.kept("solved"), kept.kept("hint")
    assert solved["name"] == "02.2" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", solved["when"])
    assert [(event["name"], event["number"]) for event in hints] == [("02.4", 1), ("02.4", 2), ("02.4", 3)]


def test_grading_keeps_nothing(folder):
    assert passes(*RIGHT)
    assert not folder.exists()


def test_after_a_thousand_checks_the_file_is_as_small_as_after_one(folder, monkeypatch, capsys):
    check(*RIGHT)
    size = kept_in().stat().st_size
    monkeypatch.setattr(checking, "_verdict", lambda *_: (True, ""))
    monkeypatch.setattr(checking, "_say", lambda message: None)
    for _ in range(1000):
        check(*RIGHT)
    assert kept_in().stat().st_size == size
    keep("guess", "02", value=1)
    keep("guess", "02", value=2)
    assert keep("guess", "02", value=1)  # what is guessed anew is new
    assert [event["value"] for event in kept.kept("guess")] == [1, 2, 1]


def test_a_line_that_was_left_unfinished_costs_itself_alone(folder):
    keep("guess", "02", value=1)
    with kept_in().open("ab") as file:
        file.write(b'{"kind": "guess", "name": "0')
    keep("guess", "02", value=2)
    assert [event["value"] for event in kept.kept("guess")] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        b'"guess"',
        b'["guess"]',
        b'{"kind": "guess"}',
        b'{"kind": "guess", "name": 3}',
        b"\xff\xfe",
        b"[" * 10**5,
    ],
)
def test_what_nobody_wrote_is_left_out(folder, line):
    folder.mkdir()
    kept_in().write_bytes(line + b'"guess"\n')
    assert kept.kept("guess") == []
    keep("guess", "02", value="half a character: \ud83d")
    assert kept.kept("guess") == [{"kind": "guess", "name": "02", "value": "half a character: \ud83d"}]


def test_where_nothing_is_to_be_kept_nothing_is_written(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv(kept.PLACE, "")
    assert kept_in() is None and not keep("guess", "02", value=1)
    assert kept.kept("guess") == [] and list(folder.parent.iterdir()) == []
    monkeypatch.delenv(kept.PLACE)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))  # Windows' name for it
    assert kept_in() == folder / ".gptcore" / "learner.jsonl"
    assert keep("guess", "02", value=2) and kept_in().exists()


def test_where_nothing_can_be_written_a_lesson_goes_on(folder, capsys):
    folder.write_text("a file, where the folder is to be")
    check(*RIGHT)
    assert capsys.readouterr().out.startswith("✓ 02.2 solved")
    said = str(progress())
    assert (
        "solved: 1 of " in said
        and f"This could not be kept for the next session: {kept_in()} cannot be written." in said
    )


def test_what_could_not_be_kept_is_kept_later_in_its_order(folder):
    folder.write_text("a file, where the folder is to be")
    assert not keep("guess", "02", value=1)
    folder.unlink()
    assert keep("guess", "02", value=2)
    assert [event["value"] for event in kept.happened("guess")] == [1, 2] == [e["value"] for e in kept.kept("guess")]


@only_posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_nobody_else_reads_it_whatever_is_usual_on_this_machine(folder, umask):
    before = os.umask(umask)
    try:
        assert keep("guess", "02", value=1)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (folder, kept_in())] == [0o700, 0o600]
    kept_in().chmod(0o644)  # somebody copied it back from elsewhere
    keep("guess", "02", value=2)
    assert kept_in().stat().st_mode & 0o777 == 0o600


def test_two_who_write_at_once_lose_nothing(folder):
    kept_file = str(ROOT / "gptcore" / "exercises" / "kept.py")
    alone = WRITER.replace(  # without PyTorch, which takes seconds to import
        "from gptcore.exercises.kept import keep", f"import runpy\nkeep = runpy.run_path({kept_file!r})['keep']"
    )
    both = [subprocess.Popen([sys.executable, "-c", alone, name]) for name in ("one", "other")]
    assert [process.wait() for process in both] == [0, 0]
    events = kept.kept("guess")
    for name in ("one", "other"):
        assert [event["value"] for event in events if event["name"] == name] == list(range(200))


class Table(HTMLParser):
    """The rows of the only table on a page, the attributes of its headers, and the words around it."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scopes, self.rows, self.words = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "th":
            self.scopes.append(dict(attributes)["scope"])

    def handle_data(self, words):
        (self.rows[-1] if self.tags[-1] in ("td", "th") else self.words).append(words)


def shown():
    """What `progress` shows, as text and as a page."""
    made = progress()
    return str(made), Table(made._repr_html_())


def test_the_names_are_those_of_the_exercise_notebooks():
    assert [path.stem for path in sorted((ROOT / overview.FOLDER).glob("*.ipynb"))] == list(overview.NOTEBOOKS)


def test_it_shows_what_is_solved_what_is_open_and_which_hints_were_taken(folder, capsys):
    check(*RIGHT)
    hint("02.4")
    hint("02.4")
    text, table = shown()
    assert table.tags.count("table") == 1 and table.words[0] == f"Exercises solved: 1 of {len(EXERCISES)}"
    assert table.scopes == ["col"] * 4 + ["row"] * len(overview.NOTEBOOKS)
    assert ["notebook", "solved", "still open", "hints taken"] == table.rows[0]
    assert ["02 layer norm", "1 of 6 (02.2)", "02.1, 02.3, 02.4, 02.5, 02.6", "02.4 (2 of 3)"] in table.rows
    assert ["03 activations", "0 of 5", "all", "none"] in table.rows
    assert "02 layer norm: solved 1 of 6 (02.2)\n    still open: 02.1, 02.3" in text
    for words in ("Next: 02.1, in notebooks/exercises/02_layer_norm.ipynb", str(kept_in())):
        assert words in text and any(words in sentence for sentence in table.words)


def test_next_is_where_one_worked_last_or_else_the_first_that_is_open(folder, capsys):
    assert "Nothing is solved yet. Begin with 01.1, in notebooks/exercises/01_config_and_shapes.ipynb" in str(
        progress()
    )
    keep("solved", OTHER_RIGHT[0], when="2031-05-05T10:00:00+00:00")
    keep("solved", "02.2", when="2031-05-04T10:00:00+00:00")
    assert "Next: 03.1," in str(progress())
    keep("hint", "04.5", number=1, when="2031-05-06T10:00:00+00:00")
    assert "Next: 04.1," in str(progress())
    for name in [name for name in EXERCISES if name.startswith("04.")]:
        keep("solved", name, when="2031-05-07T10:00:00+00:00")
    assert "Next: 01.1," in str(progress())
    for name in EXERCISES:
        keep("solved", name, when="2031-05-08T10:00:00+00:00")
    text, table = shown()
    assert "You have solved every exercise of the course." in text and "Next" not in text
    assert table.rows[2] == ["02 layer norm", "6 of 6", "none", "none"]


def test_it_is_there_in_the_next_session_and_hints_begin_again(folder, monkeypatch, capsys):
    check(*RIGHT)
    hint("02.4")
    hint("02.4")
    before = str(progress())
    start_anew(monkeypatch)
    assert str(progress()) == before
    capsys.readouterr()
    hint("02.4")
    assert capsys.readouterr().out.startswith("Hint 1 of 3") and str(progress()) == before
    assert [event["number"] for event in kept.kept("hint")] == [1, 2]  # nothing new was taken


def test_where_nothing_is_kept_it_shows_this_session(folder, monkeypatch, capsys):
    monkeypatch.setenv(kept.PLACE, "")
    assert "<table" not in progress()._repr_html_() and "0 in this session" in str(progress())
    check(*RIGHT)
    hint("03.2")
    text, table = shown()
    assert text.startswith("Exercises solved: 1 in this session.") and "Nothing is kept for the next session" in text
    assert [row[0] for row in table.rows[1:]] == ["02 layer norm", "03 activations"]


def test_one_can_start_over(folder, monkeypatch, capsys):
    check(*RIGHT)
    hint("02.4")
    keep("guess", "02", value=1)
    assert "solved: 0 of " in str(progress(forget=True))
    assert not kept_in().exists() and kept.kept("guess") == []
    assert "solved: 0 of " in str(progress(forget=True))
    capsys.readouterr()
    hint("02.4")
    assert capsys.readouterr().out.startswith("Hint 1 of 3")
    kept_in().unlink()
    kept_in().mkdir()
    with pytest.raises(OSError, match="cannot be deleted"):
        progress(forget=True)


def test_what_a_file_claims_is_text_and_unknown_exercises_do_not_count(folder):
    script = "<script>alert(1)</script>"
    folder.mkdir()
    odd = [("solved", script, {}), ("solved", "99.9", {}), ("solved", "02.2", {"when": [script]}),
           ("hint", "02.4", {"number": script}), ("hint", "02.4", {"number": 10**400})]  # fmt: skip
    lines = [json.dumps({"kind": kind, "name": name, **details}) for kind, name, details in odd]
    kept_in().write_text("\n".join(lines))
    page = progress()._repr_html_()
    assert "<script" not in page and "solved: 1 of " in page
    row = overview.Progress(script, [(script, script, "", script)], [script])
    assert "<script" not in row._repr_html_()

"""The ledger of predictions: what counts as a guess, what is kept, and that the lessons hold the answers."""

import ast
import json
import re
import sys

import pytest
from reading import PATHS, as_page, code_cells, read, tags

from gptcore.exercises import class_guesses, ledger, progress
from gptcore.exercises.kept import keep, kept
from gptcore.exercises.questions import LARGEST, Question, find, questions


@pytest.fixture(autouse=True)
def learner(tmp_path, monkeypatch):
    """A learner of whom nothing is kept, in a kernel that has just started."""
    monkeypatch.setenv("GPTCORE_KEPT", str(tmp_path / "home"))
    monkeypatch.delenv("GPTCORE_CLASS", raising=False)
    restart(monkeypatch)


def restart(monkeypatch):
    monkeypatch.setattr("gptcore.exercises.kept._in_memory", [])
    for name, empty in (("_open_here", set()), ("_lines", {})):
        monkeypatch.setattr(ledger, name, empty)


@pytest.fixture
def group(tmp_path, monkeypatch):
    """The folder of a class."""
    folder = tmp_path / "class"
    folder.mkdir()
    monkeypatch.setenv("GPTCORE_CLASS", str(folder))
    return folder


def ask(name):
    """Run the cell with the question; return its line."""
    ledger.guess(name)
    return ledger._lines[name]


def state(line):
    return re.sub("<[^>]+>", "", line._state.value)


class TestTheQuestions:
    @pytest.mark.parametrize("question", questions().values(), ids=lambda question: question.name)
    def test_can_be_asked_and_has_one_answer(self, question):
        assert question.question.endswith("?")
        assert question.because.endswith(".") and question.allows(question.answer)
        assert question.is_right(question.answer)
        if question.choices:
            assert 2 <= len(question.choices) == len(set(question.choices)) <= 4 and not question.unit
            assert sum(question.is_right(choice) for choice in question.choices) == 1
        else:
            assert question.unit and not question.is_right(question.answer + 1.1 * question.tolerance + 1e-9)

    def test_a_number_is_one_that_can_be_read(self):
        question = find("09.rows")
        assert all(question.allows(said) for said in (4, 0.5, -1))
        assert [question.in_words(said) for said in (1, 2000.0)] == ["1 row", "2,000 rows"]
        assert not any(question.allows(said) for said in (float("nan"), float("inf"), LARGEST, 10**400, True, "4", [4]))

    def test_an_unknown_name_is_told_the_known_ones(self):
        with pytest.raises(ValueError, match=r"'03.bent'; there are 03.bend, 03.alive"):
            ledger.guess("03.bent")
        with pytest.raises(ValueError, match="no notebook '99'"):
            ledger.guesses("99")

    def test_the_lesson_holds_the_answer(self):
        free = {"name": "03.bend", "question": "?", "answer": "yes", "because": "", "choices": ("yes", "no")}
        Question(**free).hold("yes")
        Question(**free, computed=[1, 2]).hold([1, 2])
        Question(**free, between=(1, 2)).hold(1.5)
        for fields, value in (({}, "no"), ({"computed": False}, True), ({"between": (1, 2)}, 2.5)):
            with pytest.raises(ValueError, match=r"03.bend came out as .* 'yes', needs .*predictions/03.toml"):
                Question(**free | fields).hold(value)
        with pytest.raises(ValueError, match=r"05.pencil came out as 3.8, .* needs 3.71 ± 0.05"):
            ledger.answer("05.pencil", 3.8)


class TestAGuess:
    def test_the_last_press_before_the_answer_counts(self, capsys, monkeypatch):
        line = ask("03.story")
        assert state(line) == "" and line._said.value is None
        line._said.value = "ReLU"
        assert state(line) == "Kept: ReLU, just a guess."
        line._sure.value = "certain"
        ledger.answer("03.story", "no bend")
        assert (
            capsys.readouterr().out.splitlines()[-1].startswith("You said: ReLU (certain). It is: no bend. The other")
        )
        assert line._said.disabled and "The answer is open. You said: ReLU, certain." in state(line)

        line._said.value = "no bend"  # as if the page had not heard of it
        restart(monkeypatch)
        again = ask("03.story")
        assert again._said.value == "ReLU" and again._sure.value == "certain" and again._said.disabled
        ledger.answer("03.story", "no bend")
        assert "You said: ReLU (certain)." in capsys.readouterr().out

    def test_after_another_kernel_has_opened_the_answer_none_is_taken(self, group):
        line = ask("03.story")
        line._share.value = True
        line._said.value = "ReLU"
        keep("guess", "03.story", opened=True)  # as the same notebook, opened twice, does
        line._said.value = "no bend"
        assert line._said.disabled and "The answer is open. You said: ReLU" in state(line)
        assert class_guesses.shared_guesses("03.story") == [("ReLU", "just a guess")]

    def test_is_still_there_when_the_notebook_is_opened_again(self, monkeypatch):
        ask("03.story")._said.value = "ReLU"
        restart(monkeypatch)
        line = ask("03.story")
        assert line._said.value == "ReLU" and not line._said.disabled and "Kept: ReLU" in state(line)

    def test_an_answer_without_a_guess_prints_nothing_and_takes_none_afterwards(self, capsys, monkeypatch):
        line = ask("03.story")
        ledger.answer("03.story", "no bend")
        ledger.answer("09.rows", 4)
        assert capsys.readouterr().out.count("You said") == 0
        assert line._said.disabled and "No guess was kept" in state(line)
        assert ask("09.rows")._said.disabled
        restart(monkeypatch)
        assert not ask("09.rows")._said.disabled  # whoever starts again may guess

    def test_numbers_are_typed(self, capsys):
        line = ask("12.bytes")
        for typed, said in (("73,700", 73700), ("7e4", 70000), ("\N{MINUS SIGN}2", -2), (" 73728 ", 73728)):
            line._said.value = typed
            assert kept("guess")[-1]["said"] == said
        before = len(kept("guess"))
        for typed in ("many", "nan", "1e400", "", "0,5", "3,7", "0,500", "1.234,5"):
            line._said.value = typed
        assert len(kept("guess")) == before
        line._said.value = "<b>"
        assert "&lt;b&gt;&#x27; is not a number" in line._state.value
        ledger.answer("12.bytes", 73728)
        assert "You said: 73,728 bytes (just a guess). That is right. A key" in capsys.readouterr().out

    @pytest.mark.parametrize("nowhere", ["", "a file"])
    def test_where_nothing_can_be_kept_it_lasts_until_the_kernel_ends(self, nowhere, tmp_path, capsys, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("GPTCORE_KEPT", nowhere and str(tmp_path / "file" / "below"))
        line = ask("03.story")
        line._said.value = "no bend"
        assert state(line) == "Kept until you close this notebook: no bend, just a guess."
        ledger.answer("03.story", "no bend")
        ledger.guesses("03")
        assert "Your guesses in notebook 03: 1 right of 1" in capsys.readouterr().out

    def test_what_cannot_have_been_said_is_left_out(self, capsys):
        for said, sure in (("a bend", "certain"), (["ReLU"], "certain"), ("ReLU", 3), (None, None)):
            keep("guess", "03.story", said=said, sure=sure)
        keep("guess", "09.rows", said=10**400, sure="certain")
        keep("guess", "03.gone", said="no bend", sure="certain")
        assert ask("03.story")._said.value is None
        ledger.guesses()
        assert "No guess is kept from this course" in capsys.readouterr().out

    def test_what_is_stored_is_the_question_whatever_was_guessed(self):
        line = ask("03.story")
        before = line._repr_mimebundle_()
        line._said.value = "ReLU"
        after = ask("03.story")._repr_mimebundle_()
        for kind in ("text/plain", "text/html"):
            assert before[kind] == after[kind]
            assert "Which of these leaves no story at all?" in after[kind] and "none of the three" in after[kind]


def test_the_end_tells_where_one_was_surest_and_wrong(capsys):
    for name, said, sure, value in (
        ("03.story", "no bend", "certain", "no bend"),
        ("03.dead", "never", "certain", [False, True]),
        ("03.alive", "both", "fairly sure", [False, True]),
        ("09.rows", "4", "just a guess", 4),
        ("03.bend", "a straight line", "fairly sure", None),
    ):
        line = ask(name)
        line._said.value, line._sure.value = said, sure
        if value is not None:
            ledger.answer(name, value)
    capsys.readouterr()
    ledger.guesses("03")
    said = capsys.readouterr().out
    assert "Your guesses in notebook 03: 1 right of 3; it has 4 questions." in said
    assert "✓ Which of these leaves no story at all? You said: no bend (certain)." in said
    assert "Kept, but not open yet: 1." in said and "network without a bend" not in said
    worst = said[said.index("Surest and wrong") :]
    assert "second layer come back? It is: if the layer before it learns." in worst and "living units" not in worst
    ledger.guesses()
    said = capsys.readouterr().out
    assert "2 right of 4" in said and "certain: 1 right of 2" in said and "just a guess: 1 right of 1" in said


class TestAClass:
    def test_nobody_is_asked_where_there_is_none(self):
        assert not hasattr(ask("03.story"), "_share")
        with pytest.raises(ValueError, match="GPTCORE_CLASS must name the class's folder"):
            class_guesses.class_guesses("03.story")

    def test_who_says_nothing_shares_nothing(self, group):
        line = ask("03.story")
        assert line._share.value is False
        line._said.value = "ReLU"
        assert [*group.iterdir()] == []

    def test_a_yes_holds_for_all_guesses_and_a_no_takes_them_back(self, group, monkeypatch):
        line = ask("03.story")
        line._said.value = "ReLU"
        line._share.value = True
        line._sure.value = "certain"
        restart(monkeypatch)
        line = ask("09.rows")
        assert line._share.value is True
        line._said.value = "4"
        line._said.value = "5"
        files = {file.name.split("-")[0]: file for file in group.iterdir()}
        assert {name: json.loads(file.read_text()) for name, file in files.items()} == {
            "03.story": {"said": "ReLU", "sure": "certain"},
            "09.rows": {"said": 5.0, "sure": "just a guess"},
        }
        assert len({file.name.split("-")[1] for file in files.values()}) == 2  # nobody can tell that they are one's
        line._share.value = False
        line._said.value = "6"
        assert [*group.iterdir()] == [] and not class_guesses.is_sharing()

    def test_whoever_starts_over_takes_back_what_was_shared(self, group):
        line = ask("03.story")
        line._share.value = True
        line._said.value = "ReLU"
        assert len([*group.iterdir()]) == 1
        progress(forget=True)
        assert [*group.iterdir()] == []

    def test_where_nothing_can_be_kept_nothing_is_shared(self, group, monkeypatch):
        monkeypatch.setenv("GPTCORE_KEPT", "")
        line = ask("03.story")
        line._share.value = True
        line._said.value = "ReLU"
        assert [*group.iterdir()] == []

    def test_the_histogram_counts_and_does_not_tell(self, group, tmp_path):
        for number, (said, sure) in enumerate([("ReLU", "certain"), ("ReLU", ""), ("no bend", "certain")]):
            (group / f"03.story-{number}").write_text(json.dumps({"said": said, "sure": sure}))
        rubbish = {"text": "no JSON", "deep": "[" * 900, "long": " " * 2000, "other": '{"said": "<b>"}', "no": "[1]"}
        for name, text in rubbish.items():
            (group / f"03.story-{name}").write_text(text)
        (group / "03.story-folder").mkdir()
        (tmp_path / "elsewhere").write_text('{"said": "no bend"}')
        if sys.platform != "win32":  # where only an administrator can make a link
            (group / "03.story-link").symlink_to(tmp_path / "elsewhere")
        shown = class_guesses.Histogram(find("03.story"), class_guesses.shared_guesses("03.story"))
        assert shown.rows == [("the exact GELU", 0, 0), ("ReLU", 2, 1), ("no bend", 1, 1), ("none of the three", 0, 0)]
        assert "3 guesses of the class. the exact GELU: 0, 0 of them certain; ReLU: 2, 1 of them certain" in repr(shown)
        page = shown._repr_html_()
        assert "<caption" in page and 'scope="row"' in page and find("03.story").because not in page + repr(shown)

    def test_of_many_numbers_the_commonest_have_rows(self):
        guesses = [(number, "certain") for number in range(20)] + [(7, ""), (7, "")]
        shown = class_guesses.Histogram(find("09.rows"), guesses)
        assert len(shown.rows) == class_guesses.MOST_ROWS + 1 and shown.rows[-1] == ("other numbers", 8, 8)
        assert ("7 rows", 3, 1) in shown.rows
        assert "None yet" in repr(class_guesses.Histogram(find("09.rows"), []))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_lesson_asks_before_it_shows_and_then_opens_the_answer(path):
    number, cells = path.stem[:2], read(path).cells
    names = [name for name in questions() if name.startswith(f"{number}.")]
    assert 3 <= len(names) <= 4
    asking = [cell for cell in cells if "guess" in tags(cell)]
    back = [f'guesses("{number}")', *(["guesses()"] if path == PATHS[-1] else [])]
    assert [cell.source for cell in asking] == [*(f'guess("{name}")' for name in names), *back]
    assert cells[-1] is asking[-1]
    for cell, name in zip(asking, names, strict=False):
        place = cells.index(cell)
        assert "**Predict.**" in cells[place - 1].source
        assert set(cell.outputs[0].data) == {"text/plain", "text/html"}, "make outputs leaves the living line out"
        behind = [later for later in cells[place:] if f'answer("{name}"' in later.source]
        between = cells[place + 1 : cells.index(behind[0])]
        assert len(behind) == 1 and "check" in tags(behind[0]) and len(between) <= 3
        assert any("predict" in tags(other) for other in between)
        assert not any(output.get("name") == "stdout" and "You said" in output.text for output in behind[0].outputs)
    page = as_page(path)
    assert page.count(ledger.HOW_TO_GUESS) == len(names)
    calls = [
        node.args[0].value
        for cell in code_cells(path)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "answer"
    ]
    assert sorted(calls) == sorted(names)

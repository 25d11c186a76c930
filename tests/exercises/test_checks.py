"""The checks of the exercises: what passes, what does not, and what is said."""

import importlib
import json
import re
import threading
import time
from pathlib import Path

import pytest
import torch

from gptcore.exercises import EXERCISES, check, checking, hint, passes

SOLUTIONS = sorted((Path(__file__).parents[2] / "notebooks" / "solutions").glob("*.ipynb"))
WRONG = {}
for path in sorted(Path(__file__).parent.glob("answers_*.py")):
    WRONG |= importlib.import_module(path.stem).WRONG


def nothing_yet(*arguments):
    pass


def dots(*arguments):
    return ...


def not_yet(*arguments):
    raise NotImplementedError


def said_of(name, answer, capsys):
    capsys.readouterr()
    check(name, answer)
    return capsys.readouterr().out


def test_each_exercise_has_three_typical_wrong_answers():
    assert set(WRONG) == set(EXERCISES)
    assert {name: len(answers) for name, answers in WRONG.items() if len(answers) < 3} == {}
    messages = {name: [message for _, message in answers] for name, answers in WRONG.items()}
    assert {name: said for name, said in messages.items() if len(set(said)) < 3} == {}


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [(name, *pair) for name, answers in WRONG.items() for pair in answers],
    ids=[f"{name}-{message}" for name, answers in WRONG.items() for _, message in answers],
)
def test_a_wrong_answer_gets_its_message(name, answer, message, capsys):
    said = said_of(name, answer, capsys)
    assert said.startswith(f"✗ {name} not yet. ")
    assert message in said
    assert not passes(name, answer)


@pytest.mark.parametrize("notebook", SOLUTIONS, ids=lambda path: path.stem)
def test_solutions_pass_and_say_so(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    checks = [cell for cell in cells if "".join(cell["source"]).startswith("check(")]
    assert checks
    for cell in checks:
        name = re.match(r'check\("(\d\d\.\d)"', "".join(cell["source"]))[1]
        assert "".join(cell["outputs"][0]["text"]).startswith(f"✓ {name} solved")


BLANKS = [(name, blank) for name in EXERCISES for blank in (None, ...)]
BLANKS += [(name, blank) for name in EXERCISES if callable(WRONG[name][0][0]) for blank in (nothing_yet, dots, not_yet)]


@pytest.mark.parametrize(("name", "blank"), BLANKS)
def test_a_blank_is_not_answered_yet(name, blank, capsys):
    assert said_of(name, blank, capsys).startswith(f"○ {name} is not answered yet")
    assert not passes(name, blank)


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_come_in_order_and_the_last_one_stays(name, capsys):
    hints = EXERCISES[name].hints
    assert 2 <= len(hints) <= 4
    checking._hints_given.pop(name, None)
    for number in [*range(1, len(hints) + 1), len(hints)]:
        hint(name)
        assert capsys.readouterr().out == f"Hint {number} of {len(hints)} for {name}: {hints[number - 1]}\n"


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("odd", ["", "x", -1, float("nan"), [], {}, object(), int, "text", (1, 2), True, 10**30])
def test_no_answer_ends_in_a_traceback(name, odd, capsys):
    assert said_of(name, odd, capsys)[0] in "✗○"


def test_unknown_names_are_refused():
    for function, arguments in [(check, ("02.99", 1)), (hint, ("2",)), (passes, (None, 1))]:
        with pytest.raises(ValueError, match=r"there is no exercise .*; there are .*02\.1"):
            function(*arguments)


def sleeps(*arguments):
    time.sleep(60)


def loops(*arguments):
    while True:
        try:
            len(arguments)
        except Exception:
            pass


@pytest.mark.parametrize("endless", [loops, sleeps])
def test_an_endless_answer_is_stopped(endless, capsys, monkeypatch):
    monkeypatch.setattr(checking, "SECONDS", 0.3)
    assert "ran for more than 0.3 seconds and was stopped" in said_of("02.1", endless, capsys)
    monkeypatch.setattr(checking, "SECONDS", 10)
    assert said_of("02.2", 38_400, capsys).startswith("✓")


def test_an_answer_that_prints_too_much_is_stopped(capsys):
    def talks(*arguments):
        while True:
            print("I am thinking")

    assert "printed more than 10,000 characters and was stopped" in said_of("02.1", talks, capsys)


def test_what_a_wrong_answer_printed_is_shown(capsys):
    def talks(x, *arguments):
        print("here I am")
        return x

    assert "(Your code printed: here I am)" in said_of("02.1", talks, capsys)


def test_what_pytorch_has_not_is_an_error_and_no_blank(capsys):
    def fails(x, scale, shift, eps):
        return torch.ones(2, 2).triu() | torch.ones(2, 2).tril()

    assert "stopped with NotImplementedError" in said_of("02.1", fails, capsys)


def test_what_a_function_does_to_its_arguments_changes_no_others():
    def forges(numbers):
        numbers.clear()
        return 0

    with pytest.raises(checking.Wrong, match=r"expected is int 6"):
        checking.check_function(forges, [([1, 2, 3],)], sum)


def test_a_difference_in_a_large_tensor_is_named_where_it_is_largest():
    x = torch.zeros(3, 4)
    with pytest.raises(checking.Wrong, match=r"They differ most at \[1, 2\]: 0 instead of 1"):
        checking.check_function(
            torch.clone, [(x,)], lambda x: x.index_put((torch.tensor(1), torch.tensor(2)), torch.ones(()))
        )


def test_errors_name_the_learners_own_line(capsys):
    def fails(x, scale, shift, eps):
        return x.no_such_thing

    assert "AttributeError" in said_of("02.1", fails, capsys)
    assert 'in your line "return x.no_such_thing"' in said_of("02.1", fails, capsys)


def test_checks_work_outside_the_main_thread():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(passes("02.2", 38_400)))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_stop_still_stops():
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("02.1", interrupted)

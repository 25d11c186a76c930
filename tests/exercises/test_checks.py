"""The checks of the exercises: what passes, what does not, and what is said."""

import contextlib
import gc
import importlib
import json
import re
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from other_styles import RIGHT
from ready_made import READY_MADE

from gptcore.exercises import EXERCISES, case, check, checking, hint, limits, notebook_08, passes

SOLUTIONS = sorted((Path(__file__).parents[2] / "notebooks" / "solutions").glob("*.ipynb"))
# What is said of the mistakes that an exercise declares: all of it. And words of what is said of other wrong answers.
DECLARED = {name: list(checking.each_mistake(exercise.mistakes)) for name, exercise in EXERCISES.items()}
WRONG = {}
for path in sorted(Path(__file__).parent.glob("answers_*.py")):
    WRONG |= importlib.import_module(path.stem).WRONG
ALL_WRONG = {name: DECLARED[name] + WRONG.get(name, []) for name in EXERCISES}


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


def each_wrong_answer(by_name):
    cases = [(name, *pair) for name, answers in by_name.items() for pair in answers]
    return pytest.mark.parametrize(
        ("name", "answer", "message"), cases, ids=[f"{name}-{message}" for name, _, message in cases]
    )


def test_each_exercise_has_three_typical_wrong_answers():
    assert set(WRONG) <= set(EXERCISES)
    messages = {name: {message for _, message in answers} for name, answers in ALL_WRONG.items()}
    assert {name: said for name, said in messages.items() if len(said) < 3} == {}


@each_wrong_answer(DECLARED)
def test_a_declared_mistake_gets_its_own_message(name, answer, message, capsys):
    assert said_of(name, answer, capsys) == f"✗ {name} not yet. {message}\n"
    assert not passes(name, answer)


@each_wrong_answer(WRONG)
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


@pytest.mark.parametrize(("name", "answer"), [(name, answer) for name, answers in RIGHT.items() for answer in answers])
def test_a_right_answer_in_another_style_passes(name, answer, capsys):
    assert said_of(name, answer, capsys).startswith(f"✓ {name} solved")
    assert passes(name, answer)


@pytest.mark.parametrize(("name", "answer", "used"), READY_MADE, ids=lambda part: part if part in EXERCISES else None)
def test_what_a_task_forbids_does_not_pass_and_is_named(name, answer, used, capsys):
    said = said_of(name, answer, capsys)
    assert said.startswith(f"✗ {name} not yet. What comes out is right, but ")
    assert f"{used} makes it, ready-made" in said
    assert not passes(name, answer)


def test_after_a_forbidden_answer_all_is_as_before(capsys):
    profile = sys.getprofile()
    for name, answer, _ in READY_MADE[:4]:
        passes(name, answer)
    assert sys.getprofile() is profile
    assert torch.overrides._get_current_function_mode() is None
    assert passes("02.1", RIGHT["02.1"][0])


BLANKS = [(name, blank) for name in EXERCISES for blank in (None, ...)]
WANT_A_FUNCTION = [name for name in EXERCISES if callable(ALL_WRONG[name][0][0])]
BLANKS += [(name, blank) for name in WANT_A_FUNCTION for blank in (nothing_yet, dots, not_yet)]


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


def test_two_slips_in_a_count_never_contradict_each_other():
    said = notebook_08.count_mistakes(2)
    assert len(said) > 100
    assert not any("No layer norm is counted" in both and "final layer norm" in both for both in said)
    assert not any(
        both.count("output projection of attention") + both.count("output projection are") > 1 for both in said
    )


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

    assert "printed more than 200,000 characters and was stopped" in said_of("02.1", talks, capsys)


def test_an_answer_may_look_at_a_tensor_in_each_call(capsys):
    def looks(in_idx, tok_emb, pos_emb, blocks, final_norm, out_head):
        x = tok_emb(in_idx) + pos_emb(torch.arange(in_idx.shape[1]))
        print(x, blocks(x), out_head(final_norm(blocks(x))))
        return out_head(final_norm(blocks(x)))

    assert said_of("08.5", looks, capsys).startswith("✓ 08.5 solved")


def test_who_prints_and_returns_nothing_is_told_the_difference(capsys):
    said = said_of("08.6", lambda cfg: print(cfg["emb_dim"]), capsys)
    assert said == (
        "○ 08.6 is not answered yet: your function returns nothing. It prints 6: `print` only shows a value, `return` "
        "gives it back. For help: hint('08.6')\n"
    )
    assert "prints" not in said_of("08.6", nothing_yet, capsys)


def test_what_a_wrong_answer_printed_is_shown(capsys):
    def talks(x, *arguments):
        print("here I am")
        return x

    assert "(Your code printed: here I am)" in said_of("02.1", talks, capsys)


def power_by_a_caret(emb_dim, qkv_bias):
    return 12 * emb_dim ^ 2 + 10 * emb_dim


def cube_by_a_caret(x):
    return x + 0.044715 * x ^ 3


def joined_by_a_caret(num_tokens, window):
    future = torch.ones(num_tokens, num_tokens, dtype=torch.bool).triu(1)
    return future ^ future.T


def test_who_writes_a_power_with_a_caret_is_told_so(capsys):
    for name, answer in (("07.4", power_by_a_caret), ("03.1", cube_by_a_caret)):
        assert "(In Python `^` makes no powers: write `**`.)" in said_of(name, answer, capsys)
    assert "**" not in said_of("06.6", joined_by_a_caret, capsys)


def test_what_pytorch_has_not_is_an_error_and_no_blank(capsys):
    def fails(x, scale, shift, eps):
        return torch.ones(2, 2).triu() | torch.ones(2, 2).tril()

    assert "stopped with NotImplementedError" in said_of("02.1", fails, capsys)


def test_what_a_function_does_to_its_arguments_changes_no_others():
    def forges(numbers):
        numbers.clear()
        return 0

    with pytest.raises(checking.Wrong, match=r"expected is 6"):
        checking.check_function(forges, [([1, 2, 3],)], sum, {})


def empties(steps, losses, limit):
    found = -1
    while losses and losses.pop() < limit:
        found = steps.pop()
    return found


def turns_in_place(theirs, name):
    theirs[f"{name}.weight"] = theirs[f"{name}.weight"].t()
    layer = torch.nn.Linear(*theirs[f"{name}.weight"].t().shape)
    layer.load_state_dict({"weight": theirs[f"{name}.weight"], "bias": theirs[f"{name}.bias"]})
    return layer


@pytest.mark.parametrize(("name", "answer", "kind"), [("13.1", empties, "list"), ("11.2", turns_in_place, "dict")])
def test_a_right_answer_that_changes_a_list_or_dictionary_does_not_pass(name, answer, kind, capsys):
    said = said_of(name, answer, capsys)
    assert said.startswith(f"✗ {name} not yet. What comes out is right, but your function changes the {kind}")
    assert f"work on a copy, `{kind}(...)`" in said
    assert not passes(name, answer)


def test_messages_know_the_names_of_a_functions_arguments_where_a_model_is_one(capsys):
    said = said_of("13.2", lambda model, ids: model(ids), capsys)
    assert "For model=(3 blocks with 2 heads each), ids=[[13, 2, 31, 17, 0, 15]] the result has shape" in said


def test_a_difference_in_a_large_tensor_is_named_where_it_is_largest():
    x = torch.zeros(3, 4)
    with pytest.raises(checking.Wrong, match=r"They differ most at \[1, 2\]: 0 instead of 1"):
        checking.check_function(
            torch.clone, [(x,)], lambda x: x.index_put((torch.tensor(1), torch.tensor(2)), torch.ones(())), {}
        )


def test_equal_infinities_do_not_differ():
    x = torch.tensor([[0.0, -torch.inf], [torch.nan, 3.0]])
    with pytest.raises(checking.Wrong, match=r"They differ most at \[0, 0\]: 1 instead of 0"):
        checking.check_function(lambda x: x.where(x != 0, 1), [(x,)], torch.clone, {})


def test_a_difference_between_true_and_false_is_named_so(capsys):
    x = torch.zeros(3, 4, dtype=torch.bool)
    with pytest.raises(checking.Wrong, match=r"begins with True; .* begins with False\. .*: True instead of F"):
        checking.check_function(lambda x: ~x, [(x,)], torch.clone, {})


def test_numbers_are_called_right_only_if_those_of_every_call_are():
    def without_a_remedy(answer, right, problem):
        with pytest.raises(checking.Wrong, match=problem) as found:
            checking.check_function(answer, [(1,), (2,)], right, {})
        assert "numbers are right" not in str(found.value)

    without_a_remedy(torch.ones, torch.arange, r"dtype torch.float32; expected is torch.int64")
    without_a_remedy(lambda n: [0] * n, torch.arange, r"not list \[0\]")


def test_or_between_tensors_gets_a_word_about_it(capsys):
    def joins(num_tokens, window):
        places = torch.arange(num_tokens)
        return (places[:, None] < places) or (places[:, None] >= places + window)

    assert "for each number it is `(...) & (...)`, `(...) | (...)`" in said_of("06.6", joins, capsys)


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


def returns_inside(shapes):
    total = 0
    for shape in shapes:
        total += torch.Size(shape).numel()
        return total


def forgets_a_branch(num_tokens, window):
    if window < num_tokens:
        return torch.ones(num_tokens, num_tokens, dtype=torch.bool)


def finds_nothing_at_first(num_tokens):
    return torch.full((num_tokens, num_tokens), -torch.inf).triu(1) if num_tokens != 4 else None


def refuses_no_layers(x, layers):
    if not layers:
        raise NotImplementedError
    for layer in layers:
        x = x + layer(x)
    return x


def writes_one_token(model, idx, max_new_tokens, context_size):
    for _ in range(max_new_tokens):
        return torch.cat((idx, model(idx[:, -context_size:])[:, -1:].argmax(-1)), dim=1)


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("01.3", returns_inside, "Does your `return` stand inside the loop?"),
        (
            "01.3",
            lambda shapes: sum(torch.Size(shape).numel() for shape in shapes) or None,
            "For shapes=() it returns nothing.",
        ),
        ("01.6", lambda shapes: {} if len(shapes) > 30 else None, "it returns nothing. Does "),
        ("05.1", refuses_no_layers, "it returns nothing. Does one branch of an `if` have no `return`"),
        ("06.1", finds_nothing_at_first, "For num_tokens=4 it returns nothing."),
        ("06.6", forgets_a_branch, "For num_tokens=2, window=2 it returns nothing. Does one branch of an `if`"),
        ("09.1", writes_one_token, "max_new_tokens=0, context_size=2 it returns nothing. Its `return` stands inside"),
        ("09.2", lambda vocab_size: torch.zeros(10) if vocab_size == 10 else None, "For vocab_size=2 it returns"),
        ("11.2", lambda theirs, name: 0 if "fc" in name else None, "it returns nothing"),
    ],
)
def test_where_only_some_calls_return_nothing_the_answer_is_wrong_and_no_blank(name, answer, message, capsys):
    said = said_of(name, answer, capsys)
    assert said.startswith(f"✗ {name} not yet. ")
    assert message in said


def test_a_blank_value_is_told_by_its_name(capsys):
    norm_parameters = ...
    check("02.2", norm_parameters)
    assert "○ 02.2 is not answered yet: `norm_parameters` is still `...`; your" in capsys.readouterr().out


def test_the_arguments_that_failed_have_their_names_and_are_given_to_try_by_hand(capsys):
    def mended(ids, tok_table, pos_table):
        return tok_table[ids].mean(dim=1) + 1

    said = said_of("01.4", mended, capsys)
    assert "For ids=[[15, 0, 9, 11]], tok_table: (20, 4), pos_table: (20, 4) it gives the tensor [[" in said
    assert said.endswith("\n  To try these arguments by hand: mended(*case('01.4'))\n")
    ids, tok_table, pos_table = case("01.4")
    assert ids.tolist() == [[15, 0, 9, 11]]
    assert tok_table.shape == pos_table.shape == (20, 4)
    ids.zero_()  # what is done to them does not stay
    assert case("01.4")[0].tolist() == [[15, 0, 9, 11]]


def test_a_mistake_that_is_known_has_arguments_to_try_as_well(capsys):
    check("01.3", len)
    assert case("01.3") == (((2, 3), (2,)),)
    check("01.3", lambda shapes: sum(torch.Size(shape).numel() for shape in shapes))
    with pytest.raises(ValueError, match=r"no arguments to try for 01\.3"):
        case("01.3")
    with pytest.raises(ValueError, match="there is no exercise"):
        case("01.33")


def test_the_arguments_of_a_layer_that_fails_are_those_of_the_function_that_builds_it(capsys):
    def too_narrow(emb_dim):
        return torch.nn.Sequential(torch.nn.Linear(emb_dim, 4), torch.nn.Linear(5, emb_dim))

    assert "To try these arguments by hand: too_narrow(*case('04.4'))" in said_of("04.4", too_narrow, capsys)
    assert case("04.4") == (6,)


def test_arguments_to_try_are_the_functions_and_not_those_of_what_it_returns(capsys):
    copied = next(answer for answer, said in ALL_WRONG["08.4"] if said == "That is a copy")
    check("08.4", copied)
    (model,) = case("08.4")
    assert isinstance(model, torch.nn.Module)
    said = said_of(
        "11.2", next(answer for answer, said in ALL_WRONG["11.2"] if said == "nn.Linear keeps (out, in)"), capsys
    )
    theirs, name = case("11.2")
    assert f"For {name} your weight" in said and f"{name}.weight" in theirs


def test_each_function_that_fails_has_arguments_that_fit_it():
    for name in WANT_A_FUNCTION:
        checking._failing.pop(name, None)
        answer = next(answer for answer, _ in ALL_WRONG[name] if callable(answer))
        check(name, answer)
        with contextlib.suppress(Exception):  # it may well fail: that is what one wants to see
            answer(*case(name))


@pytest.mark.parametrize("name", ["01.6", "04.6", "05.6"])  # whose checks know mistakes by what comes of all cases
def test_with_the_arguments_to_try_a_mistake_really_gives_something_else(name):
    for answer, message in ALL_WRONG[name]:
        if not callable(answer) or "changes the tensor" in message:
            continue
        checking._failing.pop(name, None)
        check(name, answer)
        with contextlib.suppress(RuntimeError, AttributeError):  # where it does not even run
            assert not checking.close(answer(*case(name)), RIGHT[name][0](*case(name))), message


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("03.1", lambda x: RIGHT["03.1"][0](x).double(), "give them back as `.to(x.dtype)`"),
        ("03.1", lambda x: RIGHT["03.1"][0](x).tolist(), "make one tensor of them with `torch.tensor(...)`"),
        ("06.2", lambda q, k: list(RIGHT["06.2"][0](q, k)), "make one tensor of them with `torch.stack(...)`"),
        ("03.1", lambda x: torch.zeros_like(x, device="meta"), "is on the device meta; expected is cpu. New tensors"),
        ("04.3", lambda *given: torch.zeros((), device="meta"), "a tensor on the device meta, which holds shapes"),
        ("02.2", float("nan"), "nan is not a number"),
        ("02.2", "many", "got the text 'many'.\n"),
    ],
)
def test_another_container_dtype_or_device_has_a_sentence_of_its_own(name, answer, message, capsys):
    assert message in said_of(name, answer, capsys)


def test_settings_of_the_kernel_do_not_matter_and_stay():
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    try:
        assert passes("06.1", lambda n: torch.full((n, n), -torch.inf, dtype=torch.float32).triu(1))
        assert passes("05.6", RIGHT["05.6"][0])
        kept = torch.get_default_dtype(), torch.get_default_device().type, torch.is_grad_enabled()
        assert kept == (torch.float64, "meta", False)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        torch.set_grad_enabled(True)


def swallows_all(*arguments):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def swallows_all_twice(*arguments):
    def inner():
        while True:
            try:
                len(arguments)
            except:  # noqa: E722
                print("no")

    while True:
        with contextlib.suppress(BaseException):
            inner()


def swallows_without_gradients(*arguments):
    with torch.no_grad():
        while True:
            try:
                torch.ones(3).sum()
            except BaseException:
                continue


@pytest.mark.parametrize("endless", [swallows_all, swallows_all_twice, swallows_without_gradients])
def test_an_endless_answer_that_catches_everything_is_stopped(endless, capsys, monkeypatch):
    monkeypatch.setattr(checking, "SECONDS", 0.2)
    assert "ran for more than 0.2 seconds and was stopped" in said_of("02.1", endless, capsys)
    assert "ran for more than 0.2 seconds and was stopped" in said_of("02.4", endless, capsys)  # without a watch
    assert torch.is_grad_enabled()
    assert torch.overrides._get_current_function_mode() is None
    monkeypatch.setattr(checking, "SECONDS", 10)
    assert said_of("02.1", RIGHT["02.1"][0], capsys).startswith("✓")


def test_no_garbage_is_collected_while_errors_are_raised_anywhere(capsys, monkeypatch):
    collects = []

    def swallows(*arguments):
        while True:
            try:
                time.sleep(60)
            except BaseException:
                collects.append(gc.isenabled())

    monkeypatch.setattr(checking, "SECONDS", 0.2)
    assert "was stopped" in said_of("02.4", swallows, capsys)
    assert collects and not any(collects) and gc.isenabled()


def test_stop_stops_what_catches_everything():
    enough = threading.Event()

    def press_stop():
        while not enough.wait(0.2):
            limits._interrupt_main_thread()

    def swallows(*arguments):
        learner.start()
        swallows_all()

    learner = threading.Thread(target=press_stop)
    with pytest.raises(KeyboardInterrupt):
        check("02.4", swallows)
    enough.set()
    learner.join()


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [ValueError("\ud800"), Unspeakable()])
def test_an_error_whose_text_cannot_be_printed_is_told_all_the_same(error, capsysbinary):
    def fails(*arguments):
        raise error

    check("02.4", fails)
    assert b"it stopped with" in capsysbinary.readouterr().out


def test_a_closed_way_out_makes_no_check_fail(capsys, monkeypatch):
    def closes(x, eps):
        print("good bye")
        sys.stdout.close()
        return x

    assert "(Your code printed: good bye)" in said_of("02.4", closes, capsys)
    with open(__file__) as closed:
        pass
    monkeypatch.setattr(sys, "stdout", closed)
    check("02.2", 38_400)
    assert "✓ 02.2 solved" in capsys.readouterr().err

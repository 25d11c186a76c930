"""How exercises are declared and answers judged.

Most exercises are data: the right answer, and typical wrong ones with what is said of each (`function`, `number`,
`values`, `choice`). Where that is not enough, `exercise` registers a check in code: a function of the answer that
returns nothing, or what is said of the right answer, and raises Wrong with a message for the learner otherwise.
Learners' functions are called through `call`, or for several cases through `call_all`, which turn whatever goes wrong
inside into such a message. What a task forbids is declared too: `forbidden`, names of ready-made functions.
"""

import ast
import contextlib
import copy
import inspect
import linecache
import math
import operator
import re
import sys
import textwrap
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gptcore.exercises.kept import happened, keep
from gptcore.exercises.limits import OutOfBounds, limits, run
from gptcore.exercises.ready_made import Watch

SECONDS = 10  # for one check; most take milliseconds
RETURNS_NOTHING = ": your function returns nothing"
PACKAGES = (str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[1]))


class Wrong(Exception):
    """The answer is not right; the message says why, in the learner's terms.

    `case` are the arguments that the message is about, if it says what comes of them.
    """

    def __init__(self, message, case=None):
        super().__init__(message)
        self.case = case


class NotAnswered(Exception):
    """There is no answer yet; the message, if any, says what is there instead."""


@dataclass(frozen=True)
class Exercise:
    """What a name such as "02.3" stands for.

    judge:     the check of an answer; what it returns, if anything, is said instead of `solved`
    solved:    what is said of the right answer
    hints:     from gentle to nearly everything
    mistakes:  what is said of a wrong answer, and that answer, or a list of several
    forbidden: names of functions and classes that do the work ready-made; no answer that uses one of them passes
    """

    judge: object
    solved: str
    hints: tuple
    mistakes: dict
    forbidden: tuple = ()


class _Trial:
    """What is noted while one answer is judged."""

    def __init__(self, forbidden=()):
        self.case = None  # the arguments of the call that is looked at
        self.watch = Watch(forbidden) if forbidden else None
        self.changed = None  # the list or dictionary that the code was given and has changed

    def watched(self):
        """Return what looks on while learners' code runs: nobody, once it has used what is forbidden."""
        return self.watch if self.watch and not self.watch.used else contextlib.nullcontext()


EXERCISES = {}
_hints_given = {}
_failing = {}  # the arguments with which the last check of an exercise failed
_trial = _Trial()


def exercise(name, *, hints, solved="", mistakes=None, forbidden=()):
    """Register the decorated function as the check of exercise `name`, for what cannot be declared as data.

    `mistakes` are those that the check knows by a table.
    """

    def register(judge):
        EXERCISES[name] = Exercise(judge, solved, tuple(hints), mistakes or {}, forbidden)
        return judge

    return register


def function(name, right, *, cases, then=(), mistakes, solved, hints, tolerance=1e-5, forbidden=()):
    """Register an exercise whose answer is a function. `cases` returns tuples of arguments, or is a list of them.

    Those of `then` are tried once all others are right: to many a wrong answer they are an error, which would hide it.
    """

    def judge(answer):
        first, more = (some() if callable(some) else some for some in (cases, then))
        check_function(answer, first, right, mistakes, tolerance)
        if more:
            check_function(answer, [*first, *more], right, mistakes, tolerance)

    exercise(name, hints=hints, solved=solved, mistakes=mistakes, forbidden=forbidden)(judge)


def number(name, right, *, mistakes, solved, hints, tolerance=0.0, near=None):
    """Register an exercise whose answer is a number, right up to an absolute `tolerance`.

    A mistake is recognised up to the same tolerance, or, where that would confuse some, a relative one: `near`.
    """
    judge = partial(check_number, right=right, mistakes=mistakes, tolerance=tolerance, near=near)
    exercise(name, hints=hints, solved=solved, mistakes=mistakes)(judge)


def values(name, right, *, mistakes, solved, hints):
    """Register an exercise whose answer is a tuple, such as a shape."""
    judge = partial(check_tuple, right=right, mistakes=mistakes)
    exercise(name, hints=hints, solved=solved, mistakes=mistakes)(judge)


def choice(name, right, *, mistakes, solved, hints):
    """Register an exercise whose answer is a letter; `mistakes` has every other one."""
    judge = partial(check_choice, right=right, mistakes=mistakes)
    exercise(name, hints=hints, solved=solved, mistakes=mistakes)(judge)


def each_mistake(mistakes):
    """Yield each wrong answer with what is said of it."""
    for message, wrong in mistakes.items():
        for answer in wrong if isinstance(wrong, list) else [wrong]:
            yield answer, message


def name_mistake(mistakes, is_it, case=None):
    """Raise Wrong with what is said of the first mistake that `is_it(wrong answer)` recognises, if there is one.

    `case` are arguments with which the answer goes wrong, for whoever asks for them.
    """
    if case is not None:
        _trial.case = case
    for wrong, message in each_mistake(mistakes):
        if is_it(wrong):
            raise Wrong(message)


def check(name, answer):
    """Print whether `answer` solves exercise `name`, and if not, what is wrong with it; keep that it was solved.

    Raises: ValueError if there is no exercise of that name.
    """
    passed, message = _verdict(name, answer, _given_as(name, sys._getframe(1)))
    _say(message)
    if passed:
        keep("solved", name, when=_now())


def passes(name, answer):
    """Return True if `answer` solves exercise `name`: what grading asks. Nothing is kept of it."""
    passed, _ = _verdict(name, answer)
    return passed


def case(name):
    """Return the arguments with which the last check of exercise `name` failed: try `my_function(*case("02.1"))`.

    Raises: ValueError if there is no exercise of that name, or no such arguments.
    """
    _find(name)
    if name not in _failing:
        raise ValueError(
            f"there are no arguments to try for {name}: they come from a check of a function that says ✗, and there is "
            "none yet"
        )
    return tuple(copies(_failing[name]))


def hint(name):
    """Print the next hint for exercise `name`; after the last one, the last one again. Keep which ones were taken.

    Raises: ValueError if there is no exercise of that name.
    """
    hints = _find(name).hints
    given = _hints_given.get(name, 0)
    number = min(given + 1, len(hints))
    _hints_given[name] = number
    print(f"Hint {number} of {len(hints)} for {name}: {hints[number - 1]}")
    if number > hints_taken().get(name, 0):
        keep("hint", name, number=number, when=_now())


def hints_taken():
    """Return how many hints were taken so far, in earlier sessions, too, by the exercise's name."""
    taken = {}
    for event in happened("hint"):
        if type(number := event.get("number")) is int:
            taken[event["name"]] = max(number, taken.get(event["name"], 0))
    return taken


def forget_hints():
    """Let `hint` begin again with the first one."""
    _hints_given.clear()


def _now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def _find(name):
    if name not in EXERCISES:
        notebook = str(name).split(".")[0]
        known = [other for other in EXERCISES if other.split(".")[0] == notebook] or list(EXERCISES)
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(known)}")
    return EXERCISES[name]


def _say(message):
    """Print a message, whatever characters it has, and also where learners' code has closed the way out."""
    message = message.encode("utf-8", "backslashreplace").decode()  # half a character, in an error's text
    for out in (sys.stdout, sys.stderr, sys.__stdout__):
        try:
            print(message, file=out)
        except (ValueError, OSError, AttributeError):
            continue
        return


def _given_as(name, frame):
    """Return the variable's name in the line `check(name, variable)` of the code that called, or None."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    found = re.search(rf"check\(\s*[\"']{re.escape(str(name))}[\"']\s*,\s*(\w+)\s*\)", line)
    return found and found[1]


def _verdict(name, answer, variable=None):
    """Return whether the answer passes, and what to say."""
    global _trial  # noqa: PLW0603 - what is going on is the same for all that judges call
    asked = _find(name)
    printed = problem = None
    failing, by_hand = None, ""
    before, _trial = _trial, _Trial(asked.forbidden)
    try:
        with limits(SECONDS) as printed:
            if answer is None or answer is ...:
                blank = "still `...`" if answer is ... else "None"
                raise NotAnswered(f": `{variable}` is {blank}; your answer goes there" if variable else "")
            why = asked.judge(answer) or asked.solved
            _refuse_what_is_ready_made()
            _refuse_what_changes_its_arguments()
    except NotAnswered as found:
        return False, f"○ {name} is not answered yet{found}{_only_printed(found, printed)}. For help: hint({name!r})"
    except Wrong as wrong:
        problem, failing = str(wrong), wrong.case or _trial.case
        if wrong.case:
            by_hand = f"\n  To try these arguments by hand: {_name_of(answer)}(*case({name!r}))"
    except OutOfBounds as stop:
        problem, failing = f"Your code was called, but {stop}", _trial.case
    except Exception as error:
        # Judges expect well-meant answers; an object of another kind may fail anywhere in them.
        problem = f"Your answer is of a kind that cannot be compared ({type(answer).__name__}: {_text_of(error)})."
    else:
        _failing.pop(name, None)
        return True, f"✓ {name} solved. {why}".strip()
    finally:
        _trial = before
    if failing is not None:
        _failing[name] = failing
    problem += _advice_on_powers(answer)
    if printed is not None and printed.getvalue().strip():
        first_line = printed.getvalue().strip().splitlines()[0]
        problem += f"\n  (Your code printed: {first_line[:100]})"
    return False, f"✗ {name} not yet. {problem}{by_hand}"


def _advice_on_powers(answer):
    """Return a sentence if a learner's function has a `^` where a power seems to be meant, such as `x^3`."""
    tree = _source_of(answer) if callable(answer) else None
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            behind = node.right
            while isinstance(behind, ast.BinOp):  # to Python, 2 * x^2 + x is (2 * x) ^ (2 + x)
                behind = behind.left
            if isinstance(behind, ast.Constant):
                return " (In Python `^` makes no powers: write `**`.)"
    return ""


def _source_of(function):
    """Return the tree of a function's source, or None where Python does not know it."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None


def _refuse_what_is_ready_made():
    if _trial.watch and _trial.watch.used:
        raise Wrong(
            f"What comes out is right, but {_trial.watch.used[0]} makes it, ready-made. "
            "The task asks you to do without."
        )


def _refuse_what_changes_its_arguments():
    if _trial.changed is not None:
        kind = type(_trial.changed).__name__
        raise Wrong(
            f"What comes out is right, but your function changes the {'list' if kind == 'list' else 'dictionary'} that "
            f"it is given. Somebody else may still need that one: work on a copy, `{kind}(...)`."
        )


def _only_printed(found, printed):
    """Say of a function that returns nothing what it prints instead, if it does; the end of a sentence."""
    lines = printed.getvalue().strip().splitlines()
    if RETURNS_NOTHING not in str(found) or not lines:
        return ""
    return f". It prints {lines[0][:60]}: `print` only shows a value, `return` gives it back"


def _name_of(function):
    name = getattr(function, "__name__", "")
    return name if isinstance(name, str) and name.isidentifier() else "your_function"


def _text_of(error):
    """Return an error's text, also if to make it is an error."""
    try:
        return str(error)
    except Exception:
        return "and its text cannot be shown"


def call(function, *arguments, **keywords):
    """Return what the learner's function returns.

    Raises Wrong if it is no function, fails, or changes a tensor that it was given, and NotAnswered if it
    returns nothing.
    """
    if not callable(function):
        raise Wrong(f"Expected a function, got {show(function)}. Give its name alone, without calling it.")
    before = _as_given(arguments)
    if not isinstance(function, torch.nn.Module):  # a layer's or model's own arguments are not those of what made it
        _trial.case = before
    try:
        with _trial.watched():
            result = run(function, arguments, keywords)
    except (Exception, SystemExit) as error:
        if isinstance(error, NotImplementedError) and not str(error):  # PyTorch's own say what is not implemented
            raise NotAnswered from None
        what = f"{type(error).__name__}: {_text_of(error)}{own_line(error)}"
        if "Boolean value of Tensor with more than one value" in what:
            what += (
                ". `and`, `or` and `if` take one True or False; for each number it is `(...) & (...)`, `(...) | (...)`"
            )
        raise Wrong(f"For {show_all(before, function)} it stopped with {what}", before) from None
    if result is None or result is ...:
        raise NotAnswered(RETURNS_NOTHING)
    for old, new in zip(before, arguments, strict=True):
        if not _holds_the_same(old, new):
            _trial.changed = old
        if isinstance(old, torch.Tensor) and not torch.equal(old.nan_to_num(), new.nan_to_num()):
            raise Wrong(
                "It changes the tensor that it is given. Somebody else may still need that one: make a new one."
            )
    return result


def call_all(function, cases, call=call):
    """Return what the learner's function returns for each of `cases`, tuples of arguments.

    Raises as `call` does, but NotAnswered only if nothing comes back for any of them, and Wrong if for some.
    """
    results, silent = [], []
    for arguments in cases:
        given = _as_given(arguments)
        try:
            results.append(call(function, *arguments))
        except NotAnswered as found:
            silent.append((given, found))
    if silent and not results:
        raise silent[0][1]
    if silent:
        given = silent[0][0]
        raise Wrong(f"For {show_all(given, function)} it returns nothing. {_why_nothing(function)}", given)
    return results


def _as_given(arguments):
    """Return the arguments as they are before a call: what that does to a tensor, list or dictionary is not in them."""
    return tuple(
        argument.clone()
        if isinstance(argument, torch.Tensor)
        else copy.copy(argument)
        if type(argument) in (list, dict)
        else argument
        for argument in arguments
    )


def _holds_the_same(old, new):
    """Return whether a list or dictionary has the very parts that it had; True for all else."""
    if type(old) is list:
        return len(old) == len(new) and all(map(operator.is_, old, new))
    if type(old) is dict:
        return list(old) == list(new) and all(map(operator.is_, old.values(), new.values()))
    return True


def _why_nothing(function):
    """Say why a function may return something for some arguments only, as far as its source tells."""
    tree = _source_of(function)
    if tree is None:
        return "Does its `return` stand inside a loop, or has a branch of an `if` none?"
    loops = [node for node in ast.walk(tree) if isinstance(node, (ast.For, ast.While))]
    if any(isinstance(inner, ast.Return) for loop in loops for inner in ast.walk(loop)):
        return "Its `return` stands inside the loop. A `return` after the loop is needed: there, or there as well?"
    return "Does one branch of an `if` have no `return`, or return None?"


def own_line(error):
    """Return the learner's own line in which an error arose, as the end of a sentence; nothing where none is known."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.line for frame in frames if frame.line and not frame.filename.startswith(PACKAGES)]
    return f', in your line "{lines[-1]}"' if lines else ""


def check_function(answer, cases, right, mistakes, tolerance=1e-5):
    """Compare a function with `right` on every case, a tuple of arguments each.

    `mistakes` maps what to say to the wrong function that gives the same as the learner's on all cases.
    """
    cases = [tuple(case) for case in cases]
    results = call_all(answer, map(copies, cases))
    wanted = [right(*copies(case)) for case in cases]
    tried = list(zip(cases, results, wanted, strict=True))
    missed = next((each for each in tried if not close(each[1], each[2], tolerance)), None)
    if missed is None:
        return
    name_mistake(mistakes, lambda wrong: _gives(wrong, cases, results, tolerance), missed[0])
    pairs = list(zip(results, wanted, strict=True))
    for case, result, expected in tried:
        check_kind(result, expected, case=case, function=answer, tolerance=tolerance, pairs=pairs)
    case, result, expected = missed
    differs = f"it gives {show(result)}; expected is {show(expected)}{_where(result, expected)}"
    raise Wrong(f"For {show_all(case, answer)} {differs}.", case)


def _where(result, expected):
    """Return the place at which two tensors differ most, as the end of a sentence; nothing for other values."""
    if not isinstance(expected, torch.Tensor) or expected.ndim == 0:
        return ""
    given, right = result.detach().double(), expected.double()
    equal = (given == right) | (given.isnan() & right.isnan())  # infinity less infinity is nan
    difference = (given - right).abs().nan_to_num(torch.inf).masked_fill(equal, 0)
    place = tuple(index.item() for index in torch.unravel_index(difference.argmax(), difference.shape))
    wrong, right = _digits(result[place], 6), _digits(expected[place], 6)
    return f". They differ most at {list(place)}: {wrong} instead of {right}"


def _digits(element, digits):
    """Return one number of a tensor with so many digits, or True or False."""
    value = element.item()
    return str(value) if isinstance(value, bool) else f"{value:.{digits}g}"


def copies(case):
    """Return arguments of its own for one call: what a learner's function does to them changes no other's."""
    return [
        copy.deepcopy(argument) if isinstance(argument, (torch.Tensor, list, dict)) else argument for argument in case
    ]


def _gives(wrong, cases, results, tolerance):
    try:
        return all(close(result, wrong(*copies(case)), tolerance) for case, result in zip(cases, results, strict=True))
    except (RuntimeError, ValueError, IndexError):  # the wrong way does not even run on every case
        return False


def check_kind(result, expected, before="", *, case=None, function=None, tolerance=1e-5, pairs=None):
    """Raise Wrong unless `result` has the type of `expected`, and, as a tensor, its shape, dtype and device.

    `before` begins the message, unless `case` is given, the arguments that `function` was called with. `pairs` are all
    results with what is expected, where there are more: the numbers are called right only if all of them are.
    """
    if case is not None:
        before = f"For {show_all(case, function)} "
    if not isinstance(expected, torch.Tensor):
        if isinstance(expected, (int, float)) and not isinstance(expected, bool):
            as_number(result)
        elif not isinstance(result, type(expected)):
            raise Wrong(f"{before}expected is {show(expected)}, not {show(result)}.", case)
        return
    if not isinstance(result, torch.Tensor):
        remedy = _remedy(result, pairs or [(result, expected)], tolerance)
        raise Wrong(f"{before}expected is a tensor of shape {tuple(expected.shape)}, not {show(result)}.{remedy}", case)
    if result.shape != expected.shape:
        raise Wrong(f"{before}the result has shape {tuple(result.shape)}; expected is {tuple(expected.shape)}.", case)
    if result.device != expected.device:
        raise Wrong(
            f"{before}the result is on the device {result.device}; expected is {expected.device}. New tensors belong "
            "where those are that the function is given, as in `torch.zeros(3, device=x.device)`.",
            case,
        )
    if result.dtype != expected.dtype:
        named = zip(_names_of(function, case or ()), case or (), strict=True)
        like = [name for name, part in named if isinstance(part, torch.Tensor) and part.dtype == expected.dtype]
        kind = f"{like[0]}.dtype" if like and like[0] else str(expected.dtype)
        right = _has_the_numbers(pairs or [(result, expected)], tolerance)
        remedy = f" The numbers are right: give them back as `.to({kind})`." if right else ""
        raise Wrong(f"{before}the result has dtype {result.dtype}; expected is {expected.dtype}.{remedy}", case)


def _remedy(result, pairs, tolerance):
    """Say how to make a tensor of a list, tuple or array that holds the right numbers."""
    if not isinstance(result, (list, tuple, np.ndarray)) or not len(result):
        return ""
    way = "torch.stack" if isinstance(result[0], torch.Tensor) else "torch.tensor"
    right = _has_the_numbers(pairs, tolerance)
    return f" The numbers are right: make one tensor of them with `{way}(...)`." if right else ""


def _has_the_numbers(pairs, tolerance):
    """Return True if each result of `pairs` holds the numbers that are expected, whatever holds them."""
    try:
        return all(close(_as_tensor(given).to(right), right, max(tolerance, 1e-5)) for given, right in pairs)
    except (RuntimeError, TypeError, ValueError):  # no table of numbers
        return False


def _as_tensor(given):
    of_tensors = isinstance(given, (list, tuple)) and given and isinstance(given[0], torch.Tensor)
    return torch.stack(list(given)) if of_tensors else torch.as_tensor(given)


def close(result, expected, tolerance=1e-5):
    """Return True if two values are equal, floating-point numbers up to `tolerance`, absolute and relative."""
    if isinstance(expected, torch.Tensor):
        return (
            isinstance(result, torch.Tensor)
            and result.shape == expected.shape
            and result.dtype == expected.dtype
            and result.device == expected.device
            and torch.allclose(result.detach(), expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        )
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return math.isclose(as_number(result), expected, rel_tol=tolerance, abs_tol=tolerance)
    return type(result) is type(expected) and result == expected


def as_number(answer):
    """Return the number in an answer: an int, a float, or a tensor or array of one element."""
    if isinstance(answer, str):
        is_arithmetic = re.fullmatch(r"[-+*/(),._\s\d]+", answer) and re.search(r"\d", answer)
        advice = " Leave the quotation marks out." if is_arithmetic else ""
        raise Wrong(f"Expected a number, got the text {answer!r}.{advice}")
    if isinstance(answer, torch.Tensor) and answer.is_meta:
        raise Wrong("Expected a number, got a tensor on the device meta, which holds shapes and no numbers.")
    if isinstance(answer, (torch.Tensor, np.generic, np.ndarray)) and math.prod(answer.shape) == 1:
        answer = answer.item()
    if type(answer) not in (int, float):  # exactly these: an object could claim to equal every number
        raise Wrong(f"Expected one number, got {show(answer)}.")
    return answer


def as_bool(answer):
    """Return True or False, also where it comes as a tensor or array of one element."""
    if isinstance(answer, (torch.Tensor, np.generic, np.ndarray)) and answer.ndim == 0:
        answer = answer.item()
    if type(answer) is not bool:
        raise Wrong(f"Expected is True or False, not {show(answer)}.")
    return answer


def check_number(answer, right, mistakes, tolerance=0.0, near=None):
    """Compare a number with the right one, `tolerance` being absolute.

    `mistakes` maps what to say to the wrong number, or to a list of them, or to a text; `near` is their own relative
    tolerance.
    """
    if isinstance(answer, str):
        name_mistake(mistakes, lambda wrong: isinstance(wrong, str) and answer.strip().lower() == wrong.lower())
    given = as_number(answer)
    if math.isnan(given):
        raise Wrong("nan is not a number: it comes of 0 / 0, or of infinity minus infinity. Look where it arises.")
    if abs(given - right) <= tolerance:
        return
    relative, absolute = (1e-9, tolerance) if near is None else (near, 0.0)
    name_mistake(
        mistakes,
        lambda wrong: not isinstance(wrong, str) and math.isclose(given, wrong, rel_tol=relative, abs_tol=absolute),
    )
    raise Wrong(f"{given:,} is too {'large' if given > right else 'small'}.")


def check_choice(answer, right, mistakes):
    """Compare a letter with the right one. `mistakes` maps what speaks against a letter to every other one."""
    against = dict(each_mistake(mistakes))
    letters = ", ".join(letter.upper() for letter in sorted([right, *against]))
    given = answer[0] if isinstance(answer, (list, tuple)) and len(answer) == 1 else answer
    if not isinstance(given, str):
        raise Wrong(f"Answer with one of the letters {letters}, in quotation marks.")
    named = [word for word in re.findall(r"\w+", given.lower()) if word == right or word in against]
    if len(named) != 1:
        raise Wrong(f"Answer with one of the letters {letters}; {given!r} is none of them.")
    if named[0] != right:
        raise Wrong(against[named[0]])


def as_letters(answer, right):
    """Return an answer such as "cadb", "c, a, d, b" or ("c", "a", "d", "b") as the text "cadb".

    Raises Wrong unless it has the letters of `right`, each once.
    """
    if isinstance(answer, (str, tuple, list)) and all(isinstance(part, str) for part in answer):
        text = "".join(letter for letter in "".join(answer).lower() if letter.isalpha())
        if sorted(text) == sorted(right):
            return text
    alphabet = "".join(sorted(right))
    raise Wrong(f"Answer with a text of the {len(right)} letters {alphabet[0]} to {alphabet[-1]}, each of them once.")


def check_tuple(answer, right, mistakes):
    """Compare a tuple, such as a shape, with the right one.

    `mistakes` maps what to say to the wrong tuple, or to a list of them.
    """
    if isinstance(answer, (torch.Tensor, np.ndarray)) and answer.ndim == 1:
        answer = answer.tolist()
    if not isinstance(answer, (tuple, list, torch.Size)):
        raise Wrong(f"Expected a tuple of {len(right)} values, got {show(answer)}.")
    kinds = {type(value) for value in right} & {str, bool}
    given = tuple(value if type(value) in kinds else as_number(value) for value in answer)
    if len(given) == len(right) and all(map(_is_the_value, given, right)):
        return
    name_mistake(mistakes, lambda wrong: given == wrong)
    if len(given) != len(right):
        raise Wrong(f"Expected {len(right)} values, got {len(given)}: {given}.")
    place = next(index for index, pair in enumerate(zip(given, right, strict=True)) if not _is_the_value(*pair))
    raise Wrong(f"{given} is not right at place {place} (counting from 0).")


def _is_the_value(given, right):
    """Return True if one value of a tuple is right; a float may be a rounding beside it, such as 1000 * (1 - 0.8)."""
    return given == right or (type(given) is float and math.isclose(given, right, rel_tol=1e-9))


def devices():
    """Return the devices on which a check tries a learner's code: the processor, and an accelerator if there is one."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return [torch.device("cpu")] if accelerator is None else [torch.device("cpu"), accelerator]


def on_each_device(cases):
    """Return each case, a tuple of arguments, once for each device, with its tensors there."""
    return [
        tuple(part.to(device) if isinstance(part, torch.Tensor) else part for part in case)
        for case in cases
        for device in devices()
    ]


def show(value):
    """Return a short description of a value."""
    if isinstance(value, torch.Tensor):
        if value.is_meta:
            return f"a tensor of shape {tuple(value.shape)} without numbers, on the device meta"
        if value.numel() <= 6:
            return f"the tensor {_numbers_of(value)}"
        return f"a tensor of shape {tuple(value.shape)} that begins with {_digits(value.detach().flatten()[0], 4)}"
    text = repr(value)
    if type(value) in (int, float, bool):
        return text
    return f"{type(value).__name__} {_shortened(text)}"


def _numbers_of(tensor):
    return re.sub(r"\s+", " ", str(tensor.detach()).split("(", 1)[1].rsplit(")", 1)[0])


def _shortened(text):
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def show_all(values, function=None):
    """Return a short description of a function's arguments, by name where the function has names for them."""
    shown = [_show_argument(*pair) for pair in zip(_names_of(function, values), values, strict=True)]
    return ", ".join(shown) or "no arguments"


def _show_argument(name, value):
    if name is None:
        return show(value)
    if isinstance(value, torch.Tensor):
        return f"{name}={_numbers_of(value)}" if value.numel() <= 6 else f"{name}: {tuple(value.shape)}"
    return f"{name}={_shortened(repr(value))}"


def _names_of(function, values):
    """Return the names of a function's first parameters, as many as there are values; None for those without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in plain]
    return (names + [None] * len(values))[: len(values)]

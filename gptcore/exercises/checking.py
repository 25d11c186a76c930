"""How answers are judged: the two functions that learners call, and the pieces that every check is made of.

A check is a function of the answer. It returns nothing, or a sentence that explains the right answer, and raises
Wrong with a message for the learner otherwise. Learners' functions are called through `call`, which turns whatever
goes wrong inside into such a message.
"""

import copy
import math
import re
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gptcore.exercises.limits import OutOfBounds, limits

SECONDS = 10  # for one check; most take milliseconds
PACKAGES = (str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[1]))


class Wrong(Exception):
    """The answer is not right; the message says why, in the learner's terms."""


class NotAnswered(Exception):
    """There is no answer yet; the message, if any, says what is there instead."""


@dataclass(frozen=True)
class Exercise:
    """What a name such as "02.3" stands for: the check of its answer, and hints from gentle to nearly everything."""

    judge: object
    hints: tuple


EXERCISES = {}
_hints_given = {}


def exercise(name, *, hints):
    """Register the decorated function as the check of exercise `name`."""

    def register(judge):
        EXERCISES[name] = Exercise(judge, tuple(hints))
        return judge

    return register


def check(name, answer):
    """Print whether `answer` solves exercise `name`, and if not, what is wrong with it.

    Raises
    ------
    ValueError
        If there is no exercise of that name.
    """
    _, message = _verdict(name, answer)
    print(message)


def passes(name, answer):
    """Return True if `answer` solves exercise `name`: what grading asks."""
    passed, _ = _verdict(name, answer)
    return passed


def hint(name):
    """Print the next hint for exercise `name`; after the last one, the last one again.

    Raises
    ------
    ValueError
        If there is no exercise of that name.
    """
    hints = _find(name).hints
    given = _hints_given.get(name, 0)
    number = min(given + 1, len(hints))
    _hints_given[name] = number
    print(f"Hint {number} of {len(hints)} for {name}: {hints[number - 1]}")


def _find(name):
    if name not in EXERCISES:
        notebook = str(name).split(".")[0]
        known = [other for other in EXERCISES if other.split(".")[0] == notebook] or list(EXERCISES)
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(known)}")
    return EXERCISES[name]


def _verdict(name, answer):
    """Return whether the answer passes, and what to say."""
    judge = _find(name).judge
    printed = None
    try:
        with limits(SECONDS) as printed:
            if answer is None or answer is ...:
                raise NotAnswered
            why = judge(answer)
    except NotAnswered as found:
        return False, f"○ {name} is not answered yet{found}. For help: hint({name!r})"
    except Wrong as wrong:
        problem = str(wrong)
    except OutOfBounds as stop:
        problem = f"Your code was called, but {stop}"
    except Exception as error:
        # Judges expect well-meant answers; an object of another kind may fail anywhere in them.
        problem = f"Your answer is of a kind that cannot be compared ({type(answer).__name__}: {error})."
    else:
        return True, f"✓ {name} solved. {why or ''}".strip()
    if printed is not None and printed.getvalue().strip():
        first_line = printed.getvalue().strip().splitlines()[0]
        problem += f"\n  (Your code printed: {first_line[:100]})"
    return False, f"✗ {name} not yet. {problem}"


def call(function, *arguments, **keywords):
    """Return what the learner's function returns.

    Raises Wrong if it is no function, fails, or changes a tensor that it was given, and NotAnswered if it
    returns nothing.
    """
    if not callable(function):
        raise Wrong(f"Expected a function, got {show(function)}. Give its name alone, without calling it.")
    before = [argument.clone() if isinstance(argument, torch.Tensor) else argument for argument in arguments]
    try:
        result = function(*arguments, **keywords)
    except (Exception, SystemExit) as error:
        if isinstance(error, NotImplementedError) and not str(error):  # PyTorch's own say what is not implemented
            raise NotAnswered from None
        raise Wrong(f"For {show_all(before)} it stopped with {type(error).__name__}: {error}{_place(error)}") from None
    if result is None or result is ...:
        raise NotAnswered(": your function returns nothing")
    for old, new in zip(before, arguments, strict=True):
        if isinstance(old, torch.Tensor) and not torch.equal(old.nan_to_num(), new.nan_to_num()):
            raise Wrong(
                "It changes the tensor that it is given. Somebody else may still need that one: make a new one."
            )
    return result


def _place(error):
    """Return the learner's own line in which an error arose, as the end of a sentence."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(PACKAGES)]
    return f', in your line "{lines[-1].line}"' if lines and lines[-1].line else ""


def check_function(function, cases, right, mistakes=(), tolerance=1e-5):
    """Compare a function with `right` on every case, a tuple of arguments each.

    `mistakes` are pairs of a wrong function and what to say when the learner's gives the same as it on all cases.
    """
    results = [call(function, *copies(case)) for case in cases]
    wanted = [right(*copies(case)) for case in cases]
    if all(close(result, expected, tolerance) for result, expected in zip(results, wanted, strict=True)):
        return
    for wrong, message in mistakes:
        if _gives(wrong, cases, results, tolerance):
            raise Wrong(message)
    for result, expected, case in zip(results, wanted, cases, strict=True):
        check_kind(result, expected, f"For {show_all(case)} ")
    case, result, expected = next(
        triple for triple in zip(cases, results, wanted, strict=True) if not close(triple[1], triple[2], tolerance)
    )
    raise Wrong(
        f"For {show_all(case)} it gives {show(result)}; expected is {show(expected)}{_where(result, expected)}."
    )


def _where(result, expected):
    """Return the place at which two tensors differ most, as the end of a sentence; nothing for other values."""
    if not isinstance(expected, torch.Tensor) or expected.ndim == 0:
        return ""
    difference = (result.detach().double() - expected.double()).abs().nan_to_num(torch.inf)
    place = tuple(index.item() for index in torch.unravel_index(difference.argmax(), difference.shape))
    wrong, right = result[place].item(), expected[place].item()
    return f". They differ most at {list(place)}: {wrong:.6g} instead of {right:.6g}"


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


def check_kind(result, expected, before=""):
    """Raise Wrong unless `result` has the type of `expected`, and, as a tensor, its shape and dtype."""
    if not isinstance(expected, torch.Tensor):
        if isinstance(expected, (int, float)) and not isinstance(expected, bool):
            as_number(result)
        elif not isinstance(result, type(expected)):
            raise Wrong(f"{before}expected is {show(expected)}, not {show(result)}.")
        return
    if not isinstance(result, torch.Tensor):
        raise Wrong(f"{before}expected is a tensor of shape {tuple(expected.shape)}, not {show(result)}.")
    if result.shape != expected.shape:
        raise Wrong(f"{before}the result has shape {tuple(result.shape)}; expected is {tuple(expected.shape)}.")
    if result.dtype != expected.dtype:
        raise Wrong(f"{before}the result has dtype {result.dtype}; expected is {expected.dtype}.")


def close(result, expected, tolerance=1e-5):
    """Return True if two values are equal, floating-point numbers up to `tolerance`, absolute and relative."""
    if isinstance(expected, torch.Tensor):
        return (
            isinstance(result, torch.Tensor)
            and result.shape == expected.shape
            and result.dtype == expected.dtype
            and torch.allclose(result.detach(), expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        )
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return math.isclose(as_number(result), expected, rel_tol=tolerance, abs_tol=tolerance)
    return type(result) is type(expected) and result == expected


def as_number(answer):
    """Return the number in an answer: an int, a float, or a tensor or array of one element."""
    if isinstance(answer, str):
        raise Wrong(f"Expected a number, got the text {answer!r}. Leave the quotation marks out.")
    if isinstance(answer, (torch.Tensor, np.generic, np.ndarray)) and math.prod(answer.shape) == 1:
        answer = answer.item()
    if type(answer) not in (int, float):  # exactly these: an object could claim to equal every number
        raise Wrong(f"Expected one number, got {show(answer)}.")
    return answer


def check_number(answer, right, mistakes=None, tolerance=0.0):
    """Compare a number with the right one, `tolerance` being absolute.

    `mistakes` maps wrong numbers to what to say about them.
    """
    number = as_number(answer)
    if abs(number - right) <= tolerance:
        return
    for wrong, message in (mistakes or {}).items():
        if math.isclose(number, wrong, rel_tol=1e-9, abs_tol=tolerance):
            raise Wrong(message)
    raise Wrong(f"{number:,} is too {'large' if number > right else 'small'}.")


def check_choice(answer, right, mistakes):
    """Compare a letter with the right one. `mistakes` maps every other letter to what speaks against it."""
    letters = ", ".join(letter.upper() for letter in sorted([right, *mistakes]))
    if not isinstance(answer, str):
        raise Wrong(f"Answer with one of the letters {letters}, in quotation marks.")
    letter = "".join(answer).strip().strip("().").lower()
    if letter in mistakes:
        raise Wrong(mistakes[letter])
    if letter != right:
        raise Wrong(f"Answer with one of the letters {letters}; {answer!r} is none of them.")


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


def check_tuple(answer, right, mistakes=None):
    """Compare a tuple, such as a shape, with the right one. `mistakes` maps wrong tuples to what to say about them."""
    if not isinstance(answer, (tuple, list, torch.Size)):
        raise Wrong(f"Expected a tuple of {len(right)} values, got {show(answer)}.")
    kinds = {type(value) for value in right} & {str, bool}
    values = tuple(value if type(value) in kinds else as_number(value) for value in answer)
    if values == right:
        return
    for wrong, message in (mistakes or {}).items():
        if values == wrong:
            raise Wrong(message)
    if len(values) != len(right):
        raise Wrong(f"Expected {len(right)} values, got {len(values)}: {values}.")
    place = next(index for index, (one, other) in enumerate(zip(values, right, strict=True)) if one != other)
    raise Wrong(f"{values} is not right at place {place} (counting from 0).")


def devices():
    """Return the devices on which a check tries a learner's code: the processor, and an accelerator if there is one."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return [torch.device("cpu")] if accelerator is None else [torch.device("cpu"), accelerator]


def show(value):
    """Return a short description of a value."""
    if isinstance(value, torch.Tensor):
        if value.numel() <= 6:
            numbers = re.sub(r"\s+", " ", str(value.detach()).split("(", 1)[1].rsplit(")", 1)[0])
            return f"the tensor {numbers}"
        return f"a tensor of shape {tuple(value.shape)} that begins with {value.detach().flatten()[0].item():.4g}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def show_all(values):
    """Return a short description of a function's arguments."""
    shown = [show(value) for value in values[:2]] + [f"{len(values) - 2} more"] * (len(values) > 2)
    return ", ".join(shown) or "no arguments"

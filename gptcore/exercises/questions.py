"""The lessons' predictions as data: a file for each notebook in `predictions`, a table for each question.

[layer]                                         its name is "01.layer"
question = "How many parameters has the layer?"
choices = ["4 thousand", "4 million"]           2 to 4 of them; without, the answer is a number with a `unit`,
answer = "4 million"                            and a guess is right that is no more than `tolerance` away
computed = 4194304                              what the lesson must come to for this answer to be right, or
between = [4e6, 5e6]                            two numbers with what it comes to between them
because = "Each of 2,048 outputs has 2,048 weights."
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PREDICTIONS = Path(__file__).parent / "predictions"
LARGEST = 1e15  # number that can be said


@dataclass(frozen=True)
class Question:
    """One prediction of a lesson; the fields are described above."""

    name: str
    question: str
    answer: object
    because: str
    choices: tuple = ()
    unit: str = ""
    tolerance: float = 0
    computed: object = None
    between: tuple = ()

    def allows(self, said):
        """True where this can be said: one of the choices, or a number."""
        if self.choices:
            return said in self.choices
        return isinstance(said, int | float) and not isinstance(said, bool) and abs(said) < LARGEST  # which nan is not

    def is_right(self, said):
        return said == self.answer if self.choices else abs(said - self.answer) <= self.tolerance

    def in_words(self, said):
        """Return a guess, or the answer, as it is read."""
        if self.choices:
            return said
        return f"{said:,.10g} {self.unit.removesuffix('s') if said == 1 else self.unit}"

    def as_text(self):
        """Return the question with what can be said."""
        return f"{self.question} ({' / '.join(self.choices) or f'a number: {self.unit}'})"

    def hold(self, value):
        """Raise ValueError where the lesson's own `value`, a number, text or list, does not give this answer."""
        value = value.tolist() if hasattr(value, "tolist") else value
        if self.between:
            wanted, agrees = f"between {self.between[0]} and {self.between[1]}", _is_between(value, self.between)
        elif self.computed is not None:
            wanted, agrees = repr(self.computed), value == self.computed
        else:
            wanted, agrees = f"{self.answer} ± {self.tolerance}", self.is_right(value)
        if not agrees:
            raise ValueError(
                f"{self.name} came out as {value!r}, and its answer, {self.in_words(self.answer)!r}, needs {wanted}; "
                f"is the cell above changed, or is the answer in predictions/{self.name[:2]}.toml wrong?"
            )


@cache
def questions():
    """Return all questions by their names, in the order of the lessons."""
    found = {}
    for path in sorted(PREDICTIONS.glob("*.toml")):
        for name, fields in tomllib.loads(path.read_text(encoding="utf-8")).items():
            lists = {key: tuple(fields[key]) for key in ("choices", "between") if key in fields}
            found[f"{path.stem}.{name}"] = Question(f"{path.stem}.{name}", **fields | lists)
    return found


def find(name):
    """Return the question of that name.

    Raises: ValueError if there is none.
    """
    if name not in questions():
        known = [other for other in questions() if other[:2] == str(name)[:2]] or list(questions())
        raise ValueError(f"no prediction is named {name!r}; there are {', '.join(known)}")
    return questions()[name]


def _is_between(value, limits):
    return limits[0] <= value <= limits[1]

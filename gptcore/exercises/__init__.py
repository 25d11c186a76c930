"""Exercises that check themselves.

`check("02.1", answer)` says in the learner's words what holds and what does not, `hint("02.1")` gives the next hint,
`case("02.1")` the arguments with which the last check failed, `progress()` what is solved in the whole course. The
tasks themselves are in notebooks/exercises; each module here has what judges one notebook's answers.
"""

import importlib

from gptcore.exercises.checking import EXERCISES, case, check, hint, passes
from gptcore.exercises.overview import progress

for number in range(1, 15):
    importlib.import_module(f"gptcore.exercises.notebook_{number:02}")

__all__ = ["EXERCISES", "case", "check", "hint", "passes", "progress"]

"""Exercises that check themselves.

`check("02.3", answer)` says in the learner's words what holds and what does not, `hint("02.3")` gives the next
hint. The tasks themselves stand in notebooks/exercises; each module here has one notebook's checks and hints.
"""

import importlib

from gptcore.exercises.checking import EXERCISES, check, hint, passes

for number in range(1, 13):
    importlib.import_module(f"gptcore.exercises.notebook_{number:02}")

__all__ = ["EXERCISES", "check", "hint", "passes"]

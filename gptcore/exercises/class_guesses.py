"""The guesses of a class, for its teacher to show before the cell is run: no names, and only from who wants to.

On a class's server the variable GPTCORE_CLASS names a folder to which everybody may add files, and which only its
owner may list. A learner who has ticked the box adds a small file for each guess, with a random name and nothing in it
but the guess. The system knows whose a file is, as always: who may list the folder could find out, and other students
could not.
"""

import html
import json
import os
import secrets
from collections import Counter
from pathlib import Path

from IPython.display import display

from gptcore.exercises.kept import keep, kept
from gptcore.exercises.questions import find

PLACE = "GPTCORE_CLASS"
LARGEST = 1000  # bytes of a file that is read
MOST_ROWS = 12  # of a histogram: the other numbers are counted together


def folder():
    """Return the folder of the class, or None where there is none."""
    path = os.environ.get(PLACE, "")
    return Path(path) if path and Path(path).is_dir() else None


def is_sharing():
    """True where this learner has said yes, which is kept."""
    choices = [event.get("on") is True for event in kept("share")]
    return bool(choices) and choices[-1]


def set_sharing(on):
    """Keep whether this learner wants to share; a no takes back what was shared."""
    keep("share", "guesses", on=on)
    if not on:
        take_back()


def take_back():
    """Delete all that this learner has shared."""
    for event in kept("shared") if folder() else ():
        try:
            _path_of(event).unlink()
        except OSError:  # it is not there any more
            continue


def share(name, said, sure):
    """Add a guess to the class's, in place of an earlier one to the same question, if there is a class and a yes."""
    if not folder() or not is_sharing():
        return
    names = [event for event in kept("shared") if event["name"] == name and isinstance(event.get("file"), str)]
    event = names[-1] if names else {"name": name, "file": f"{name}-{secrets.token_hex(16)}"}
    if not names and not keep("shared", name, file=event["file"]):
        return  # what cannot be found again could not be taken back
    try:
        descriptor = os.open(_path_of(event), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps({"said": said, "sure": sure}).encode())
        _path_of(event).chmod(0o644)  # whatever the learner's own default: the teacher reads it
    except OSError:  # a full disk: the guess is kept all the same, and the lesson goes on
        return


def class_guesses(name):
    """Show how often each answer to question `name` was guessed by the class. It does not tell the answer.

    Raises: ValueError if there is no question of that name or no class; PermissionError for all but the folder's owner.
    """
    display(Histogram(find(name), shared_guesses(name)))


def shared_guesses(name):
    """Return the guesses to question `name` that the class has shared: a list of (said, sure)."""
    question = find(name)
    if folder() is None:
        raise ValueError(f"there is no class: {PLACE} must name the class's folder, and is {os.environ.get(PLACE)!r}")
    guesses = []
    with os.scandir(folder()) as entries:
        for entry in entries:
            if entry.name.startswith(f"{name}-"):
                found = _read(entry)
                if isinstance(found, dict) and question.allows(found.get("said")):
                    guesses.append((found["said"], str(found.get("sure"))))
    return guesses


class Histogram:
    """How often each answer was guessed, as a table with bars, and in words."""

    def __init__(self, question, guesses):
        self.question, self.total = question, len(guesses)
        counts = Counter(said for said, _ in guesses)
        certain = Counter(said for said, sure in guesses if sure == "certain")
        order = question.choices or sorted(said for said, _ in counts.most_common(MOST_ROWS))
        self.rows = [(question.in_words(said), counts[said], certain[said]) for said in order]
        others = counts.keys() - set(order)
        if others:
            self.rows.append(("other numbers", *(sum(each[said] for said in others) for each in (counts, certain))))

    def __repr__(self):
        rows = "; ".join(f"{words}: {count}, {certain} of them certain" for words, count, certain in self.rows)
        return f"{self.question.question} {self.total} guesses of the class. {rows or 'None yet'}."

    def _repr_html_(self):
        longest = max((count for _, count, _ in self.rows), default=0) or 1
        bar = '<span style="display:inline-block;height:1em;width:{:.1f}em;background:currentColor;opacity:.6"></span>'
        left = 'style="text-align:left"'
        rows = "".join(
            f'<tr><th scope="row" {left}>{html.escape(words)}</th>'
            f"<td {left}>{bar.format(20 * count / longest)} {count}</td><td>{certain}</td></tr>"
            for words, count, certain in self.rows
        )
        title = f"{html.escape(self.question.question)} {self.total} guesses of the class"
        return (
            f"<table><caption {left}>{title}</caption><thead><tr><th {left}>guess</th><th {left}>students</th>"
            f"<th>of these certain</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def _path_of(event):
    return folder() / Path(str(event.get("file"))).name


def _read(entry):
    """Return what a shared file says, or None: anybody may have put anything there."""
    try:
        if not entry.is_file(follow_symlinks=False) or entry.stat(follow_symlinks=False).st_size > LARGEST:
            return None
        # Between the look and the opening it may have become a link or a pipe, which would be waited for.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(entry.path, flags), "rb") as file:
            return json.loads(file.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return None

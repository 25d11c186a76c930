"""What is kept of a learner between sessions: guesses, hints taken, exercises solved.

One text file in the learner's own folder, a line of JSON for each thing that happened, readable by nobody else. A line is
only ever added, so that two notebooks can write at once and a crash costs one line at most. Nothing leaves the machine.
"""

import json
import os
from pathlib import Path

PLACE = "GPTCORE_KEPT"  # the environment's name for another folder; where it is empty, nothing is kept


def kept_in():
    """Return the file's path, or None where nothing is to be kept (the variable GPTCORE_KEPT is set, and empty)."""
    folder = os.environ.get(PLACE, str(Path.home() / ".gptcore"))
    return Path(folder) / "learner.jsonl" if folder else None


def keep(kind, name, **details):
    """Add that `kind` ("guess", "hint", "solved") happened to exercise or question `name`; say whether it was kept."""
    path = kept_in()
    if path is None:
        return False
    line = json.dumps({"kind": kind, "name": name, **details}, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(line.encode())
    except OSError:  # a full disk or a folder that cannot be written: no reason to stop a lesson
        return False
    return True


def kept(kind):
    """Return what is kept of `kind`, oldest first: a list of dictionaries with "name" and the details.

    A line that cannot be read, as after a crash, is left out.
    """
    path = kept_in()
    try:
        lines = path.read_bytes().splitlines() if path else []
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("kind") == kind and isinstance(event.get("name"), str):
            events.append(event)
    return events

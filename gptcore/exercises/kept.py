"""What is kept of a learner between sessions: guesses, hints taken, exercises solved.

One text file in the learner's own folder, a line of JSON for each thing that happened, readable by nobody else. A line
is only ever added, so that two notebooks can write at once and a crash costs one line at most. Nothing leaves the
machine.
"""

import contextlib
import json
import os
from pathlib import Path

if os.name == "nt":
    import msvcrt

PLACE = "GPTCORE_KEPT"  # the environment's name for another folder; where it is empty, nothing is kept
FAR_OUT = 2**30  # where Windows sets its lock: beyond the file's end, so that nobody who reads it has to wait
_in_memory = []  # what could not be kept, until Python ends


def kept_in():
    """Return the file's path, or None where nothing is to be kept (the variable GPTCORE_KEPT is set, and empty)."""
    folder = os.path.expanduser(os.environ.get(PLACE, "~/.gptcore"))
    # A home that the system does not know stays "~".
    return Path(folder) / "learner.jsonl" if folder and not folder.startswith("~") else None


def keep(kind, name, **details):
    """Add that `kind` ("guess", "hint", "solved") happened to exercise or question `name`; say whether it was kept.

    What the newest line of this kind and name says already, apart from its detail "when", is not written again.
    """
    event = {"kind": kind, "name": name, **details}
    before = [one for one in happened(kind) if one["name"] == name]
    if before and _says_the_same(event, before[-1]):
        return before[-1] not in _in_memory
    path = kept_in()
    _in_memory.append(event)
    while path and _in_memory and _add(path, _in_memory[0]):  # in the order in which it happened
        _in_memory.pop(0)
    return not _in_memory


def kept(kind):
    """Return what is kept of `kind`, oldest first: a list of dictionaries with "name" and the details.

    A line that cannot be read, as after a crash, is left out.
    """
    path = kept_in()
    try:
        lines = path.read_bytes().splitlines() if path else []
    except OSError:
        return []
    sign = json.dumps(kind).encode()
    events = []
    for line in lines:
        if sign not in line:  # before it is parsed, which takes longer
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and event.get("kind") == kind and isinstance(event.get("name"), str):
            events.append(event)
    return events


def happened(kind):
    """Return what is kept of `kind`, and after it what could not be kept since Python started."""
    return kept(kind) + [event for event in _in_memory if event["kind"] == kind]


def forget_everything():
    """Delete everything that is kept; say whether nothing of it is left."""
    _in_memory.clear()
    path = kept_in()
    try:
        if path:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _says_the_same(event, other):
    return json.dumps(event | {"when": None}, sort_keys=True) == json.dumps(other | {"when": None}, sort_keys=True)


def _add(path, event):
    """Write a line at the file's end; return False where that cannot be done."""
    # The line break before it ends a line that was left unfinished. Half a character, as of a cut emoji, is escaped.
    line = f"\n{json.dumps(event, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace")
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.chmod(0o700)  # where the umask took even its owner's rights
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file, _alone(file):
            if os.name == "posix":
                os.fchmod(descriptor, 0o600)
            file.write(line)
            file.flush()
    except OSError:  # a full disk or a folder that cannot be written: no reason to stop a lesson
        return False
    return True


@contextlib.contextmanager
def _alone(file):
    """Keep other processes from writing at the same moment, where adding to a file is not one step of the system."""
    if os.name != "nt":
        yield
        return
    file.seek(FAR_OUT)
    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    try:
        yield
    finally:
        file.seek(FAR_OUT)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

"""Python runs this file at its start where this folder is on PYTHONPATH: it notes every attempt to leave the machine.

A line for each host that is looked up or connected to, except this machine itself, goes into a file named after the
process in the folder GPTCORE_CONNECTIONS. conftest.py reads it when a notebook has run.
"""

import os
import sys
from pathlib import Path

HERE = ("127.", "::1", "localhost", "0.0.0.0")


def note(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[:2]
    else:
        return
    if isinstance(address, tuple) and not str(address[0] or "localhost").startswith(HERE):
        with Path(os.environ["GPTCORE_CONNECTIONS"], str(os.getpid())).open("a") as file:
            file.write(f"{address[0]}\n")


if "GPTCORE_CONNECTIONS" in os.environ:
    sys.addaudithook(note)
    # jsonschema builds a grammar of web addresses with it, for two seconds in every process that reads a notebook, and
    # does without it where it is not installed.
    sys.modules["rfc3987_syntax"] = None

"""A folder with everything that live.js needs, and two that ask it: Node, and a page of Chromium."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from gptcore import GPTModel
from gptcore.pages import write_live
from gptcore.pages.live import save_model, to_int8

IN_INT8, IN_FLOAT32 = "stories.safetensors", "float32.safetensors"
CASES = Path(__file__).with_name("cases.mjs")


def make_folder(folder):
    """What `write_live` writes, the model in float32, and the questions."""
    write_live(folder)
    (folder / IN_FLOAT32).write_bytes(save_model(GPTModel.from_pretrained("stories"), in_int8=False))
    shutil.copy(CASES, folder)
    # So that Node takes live.js for a module, as browsers do.
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def int8_model():
    """The story model with the weights that a page has: each matrix through int8 and back."""
    model = GPTModel.from_pretrained("stories")
    weights = model.state_dict()
    for name, weight in weights.items():
        if weight.ndim == 2:
            whole_numbers, scale = to_int8(weight)
            weights[name] = whole_numbers * scale[:, None]
    model.load_state_dict(weights)
    return model


class Node:
    """A Node that answers the questions of cases.mjs."""

    def __init__(self, folder):
        program = shutil.which("node")
        if program is None:
            pytest.skip("no Node on this machine: nobody compares live.js with torch")
        self._process = subprocess.Popen(
            [program, folder / CASES.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def ask(self, *question):
        self._process.stdin.write(json.dumps(question) + "\n")  # in ASCII, which has a form for half letters, too
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if isinstance(answer, dict):
            raise ValueError(answer["error"])
        return answer

    def close(self):
        self._process.communicate()


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",  # Windows may have another type registered, of which browsers run no module
        ".mjs": "text/javascript",
    }

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """Serve a folder to this machine alone; gives its address."""
    handler = functools.partial(_Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

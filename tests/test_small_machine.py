"""JupyterLab and the heaviest notebook on a machine with little memory: whoever takes more is killed."""

import json
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest
import websocket
from hub import run
from lab_in_chromium import NOTEBOOKS, SLOW_START, jupyterlab
from memory_limit import memory_limit, why_not_here
from test_budget import BUDGET

pytestmark = pytest.mark.skipif(why_not_here() is not None, reason=str(why_not_here()))


def ask(address, method="GET", **body):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=SLOW_START) as answer:
        return json.loads(answer.read() or "null")


def test_jupyterlab_and_the_heaviest_notebook_fit_together(tmp_path):
    limits = BUDGET["small_machine_megabytes"]
    cells = json.loads((NOTEBOOKS / f"{limits['heaviest']}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    with memory_limit(limits["server_and_kernel"]) as within, jupyterlab(tmp_path, within) as address_of:
        page = urllib.parse.urlsplit(address_of(limits["heaviest"]))
        token = urllib.parse.parse_qs(page.query)["token"][0]
        kernel = ask(f"http://{page.netloc}/api/kernels?token={token}", "POST", name="python3", path="notebooks")["id"]
        channel = websocket.create_connection(f"ws://{page.netloc}/api/kernels/{kernel}/channels?token={token}")
        printed = [run(channel, source) for source in code]
        channel.close()
    assert any("Hello, I am Featureiman Byeswickattribute argue" in text for text in printed)


def test_what_takes_more_is_killed():
    """The limit is one: a process that asks for more does not get through."""
    with memory_limit(100) as within:
        program = "x = b'x' * 200_000_000; print('got it')"
        finished = subprocess.run([*within, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode != 0 and "got it" not in finished.stdout

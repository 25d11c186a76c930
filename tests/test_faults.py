"""What goes wrong on real machines: a line that broke, a full disk, a killed kernel, a set-up that was interrupted.

Each time: a clear message, nothing lost, and the second try works.
"""

import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import nbformat
import pytest
import torch
from lab_in_chromium import SLOW_START, wait_for_answer
from make_outputs import execute
from nbclient.exceptions import DeadKernelError

from gptcore import GPTModel, pretrained
from gptcore.tools import bootstrap

ROOT = Path(__file__).parents[1]
SMALL = {"vocab_size": 61, "context_length": 12, "emb_dim": 64, "n_heads": 4, "n_layers": 2, "drop_rate": 0.0}


def may_mount():
    """True where a process may have a file system of its own: Linux, as root."""
    return sys.platform == "linux" and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not may_mount(), reason="needs Linux and the right to mount")


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(123)
    folder = tmp_path / "checkpoint"
    pretrained.save_checkpoint(GPTModel({**SMALL, "qkv_bias": True}).tie_weights(), folder)
    return folder


def on_a_small_disk(folder, kilobytes, program, **variables):
    """Run a Python program for which `folder` is a disk of so many kilobytes."""
    folder.mkdir()
    script = 'mount -t tmpfs -o "size=$1k" tmpfs "$2" && exec "$3" -c "$4"'
    command = [
        "unshare",
        "--mount",
        "bash",
        "-c",
        script,
        "start",
        str(kilobytes),
        str(folder),
        sys.executable,
        program,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables)


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as a download needs; its line may break in the middle of a file."""

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, with_body):
        path = self.server.folder / self.path.rsplit("/", 1)[1]
        body = path.read_bytes() if path.is_file() else b""
        start = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", f'"{path.name}-{len(body)}"')
        self.send_header("X-Repo-Commit", pretrained.HUB_MODELS["gpt2"][1])
        self.end_headers()
        if with_body:
            if path.is_file():  # the client asks for other things too
                self.server.sent.append((path.name, start))
            breaks = self.server.breaks > 0 and path.suffix == ".safetensors"
            self.server.breaks -= breaks
            self.wfile.write(body[start : start + self.server.until_it_breaks] if breaks else body[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(checkpoint):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.sent, server.breaks, server.until_it_breaks = checkpoint, [], 0, 100_000
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


FETCH = """if True:
    import huggingface_hub.constants
    from gptcore import GPTModel
    huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 10_000  # of 10 MB, so that a small file has several
    try:
        print(GPTModel.from_pretrained("gpt2").cfg["emb_dim"])
    except ConnectionError as error:
        print(error)"""


def settings_for(hub, home):
    return {"HF_HOME": str(home), "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HUB_DISABLE_XET": "1"}


def fetch(hub, home):
    command = [sys.executable, "-c", FETCH]
    environment = os.environ | settings_for(hub, home)
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0 and "Error" not in finished.stderr, finished.stderr
    return finished.stdout.strip()


def test_weights_are_fetched_once(hub, tmp_path):
    assert fetch(hub, tmp_path / "home") == "64"
    assert sorted(hub.sent) == [("config.json", 0), ("model.safetensors", 0)]
    assert fetch(hub, tmp_path / "home") == "64"
    assert len(hub.sent) == 2


def test_a_line_that_breaks_is_taken_up_where_it_broke(hub, tmp_path):
    hub.breaks = 1
    assert fetch(hub, tmp_path / "home") == "64"
    (first, again) = [start for name, start in hub.sent if name == "model.safetensors"]
    assert first == 0 < again


def test_a_line_that_stays_broken_is_said_and_the_second_try_works(hub, tmp_path):
    hub.breaks, hub.until_it_breaks = 1000, 0
    said = fetch(hub, tmp_path / "home")
    assert "'gpt2' is not on this machine and could not be fetched" in said and '"stories"' in said
    hub.breaks = 0
    assert fetch(hub, tmp_path / "home") == "64"


@needs_mounts
def test_a_full_disk_while_weights_are_fetched_is_said(hub, tmp_path):
    home = tmp_path / "home"
    finished = on_a_small_disk(home, 100, FETCH, **settings_for(hub, home))
    assert "could not be fetched (the disk is full: make room" in finished.stdout, finished.stdout + finished.stderr
    assert fetch(hub, home) == "64"


@needs_mounts
def test_a_full_disk_while_a_checkpoint_is_saved_loses_nothing(tmp_path):
    disk = tmp_path / "disk"
    program = f"""if True:
        import pathlib
        from gptcore import GPTModel, pretrained
        small = {SMALL | {"qkv_bias": True}}
        pretrained.save_checkpoint(GPTModel(small), {str(disk)!r})
        before = {{path.name: path.read_bytes() for path in pathlib.Path({str(disk)!r}).iterdir()}}
        try:
            pretrained.save_checkpoint(GPTModel({{**small, "emb_dim": 256}}), {str(disk)!r})
        except OSError as error:
            print(error)
        assert before == {{path.name: path.read_bytes() for path in pathlib.Path({str(disk)!r}).iterdir()}}
        print(GPTModel.from_pretrained({str(disk)!r}).cfg["emb_dim"])"""
    finished = on_a_small_disk(disk, 1500, program)
    said, width = finished.stdout.splitlines()
    assert "could not be written" in said and "space" in said and "is still there" in said
    assert width == "64", finished.stderr


def test_a_kernel_that_is_killed_in_training_leaves_the_notebook_as_it_was(tmp_path):
    path = tmp_path / "training.ipynb"
    first = nbformat.v4.new_code_cell("print('as it was')")
    kill = nbformat.v4.new_code_cell(
        "import os, signal, torch, gptcore\n"
        "gptcore.train(torch.nn.Linear(1, 1), lambda: (torch.ones(1, 1),) * 2, 100, 0.1, torch.nn.MSELoss(),\n"
        "              watch=lambda losses: os.kill(os.getpid(), signal.SIGKILL) if len(losses) == 50 else None)"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[first, kill]), path)
    before = path.read_bytes()
    with pytest.raises(DeadKernelError):
        execute(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    notebook = nbformat.read(path, 4)
    notebook.cells[1].source = notebook.cells[1].source.replace("== 50", "== 500")
    nbformat.write(notebook, path)
    execute(path)
    assert nbformat.read(path, 4).cells[0].outputs[0].text == "as it was\n"


@needs_mounts
def test_runs_from_an_installation_that_cannot_be_written():
    program = """if True:
        import pathlib, gptcore
        try:
            pathlib.Path(gptcore.__file__).with_name("new").touch()
        except OSError as error:
            print(error.strerror)
        model = gptcore.GPTModel.from_pretrained("stories")
        ids = gptcore.text_to_token_ids("One day", gptcore.get_story_tokenizer())
        print(gptcore.generate(model, ids, 3).shape, gptcore.get_tokenizer().n_vocab)
        from gptcore.viz import widgets
        from gptcore.exercises import check"""
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd / && exec "$2" -W error -c "$3"'
    command = ["unshare", "--mount", "bash", "-c", script, "start", str(ROOT / "gptcore"), sys.executable, program]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stdout.splitlines() == ["Read-only file system", "torch.Size([1, 5]) 50257"], finished.stderr


def test_a_damaged_file_of_the_package_says_how_to_mend_it(tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((pretrained.STORY_MODEL / name).read_bytes()[:3000])
    monkeypatch.setattr(pretrained, "STORY_MODEL", tmp_path)
    with pytest.raises(ValueError, match=r"model\.safetensors .* is damaged .*git checkout -- gptcore/stories"):
        GPTModel.from_pretrained("stories")


class TestLab:
    """`make lab`'s own command, on a port that is taken."""

    @pytest.fixture
    def lab(self, tmp_path):
        """Starts it with a port, and returns the address that it prints, once somebody answers there, and its log."""
        started = []

        def start(port):
            own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
            options = ["--no-browser", f"--ServerApp.port={port}", "--allow-root"]
            command = [sys.executable, *bootstrap.COMMANDS["lab"], *options]
            log = tmp_path / "log"
            with log.open("w") as file:
                started.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | own, stderr=file))
            deadline = time.monotonic() + SLOW_START
            while not (address := re.search(r"(http://127\.0\.0\.1:\d+)/lab\S*token=(\w+)\s", log.read_text())):
                assert started[-1].poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            server, token = address.groups()
            wait_for_answer(f"{server}/api/status?token={token}", started[-1], log)
            return server, token, log.read_text()

        yield start
        for process in started:
            process.terminate()
            process.wait(SLOW_START)

    def test_takes_another_port_and_lets_nobody_in_without_the_token(self, lab):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            server, token, log = lab(port)
        assert f"port {port} is already in use" in log.lower()
        assert not server.endswith(f":{port}")
        notebooks = f"{server}/api/contents"
        with urllib.request.urlopen(f"{notebooks}?token={token}", timeout=SLOW_START) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
            urllib.request.urlopen(notebooks, timeout=SLOW_START)
        refusal.value.close()


def write_wheel(folder, name, module):
    """A package with one empty module that can be run."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", "")
        wheel.writestr(f"{module}/__main__.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


class TestSetUp:
    """A set-up that is killed at some moment; packages come from a folder, so that no network is needed."""

    @pytest.fixture
    def project(self, tmp_path):
        project = tmp_path / "project"
        (project / "gptcore" / "tools").mkdir(parents=True)
        shutil.copy(bootstrap.__file__, project / "gptcore" / "tools")
        (project / "pyproject.toml").write_text("")
        (project / "requirements.txt").write_text("torch==1.0\njupyter==1.0\npytest==1.0\n")
        for name in ("torch", "jupyter", "pytest"):
            write_wheel(project, name, name)
        return project

    def start(self, project):
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project), "PIP_CONFIG_FILE": os.devnull}
        offline |= {"https_proxy": "http://127.0.0.1:9"}  # PyTorch's own index is not to be asked
        return subprocess.Popen(
            [sys.executable, project / "gptcore" / "tools" / "bootstrap.py", "test"],
            env=os.environ | offline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=os.name != "nt",
        )

    @pytest.mark.skipif(os.name == "nt", reason="kills a group of processes, as Linux and macOS have them")
    @pytest.mark.parametrize("moment", ["bin/python", "lib/*/site-packages/pip", "lib/*/site-packages/torch"])
    def test_the_second_try_mends_what_the_first_left(self, moment, project):
        first = self.start(project)
        deadline = time.monotonic() + SLOW_START
        while not list((project / ".venv").glob(moment)):
            assert first.poll() is None and time.monotonic() < deadline, first.communicate()[0]
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        assert not (project / ".venv" / "installed.sha256").exists()
        second = self.start(project)
        said, _ = second.communicate(timeout=2 * SLOW_START)
        assert second.returncode == 0, said
        assert (project / ".venv" / "installed.sha256").exists()

    def test_a_project_that_was_moved_is_set_up_anew(self, project):
        self.start(project).communicate(timeout=2 * SLOW_START)
        moved = project.rename(project.with_name("moved"))
        second = self.start(moved)
        said, _ = second.communicate(timeout=2 * SLOW_START)
        assert second.returncode == 0 and "Setting up" in said, said
        assert str(moved) in (moved / ".venv" / "pyvenv.cfg").read_text(encoding="utf-8")
        third, _ = self.start(moved).communicate(timeout=2 * SLOW_START)
        assert "Setting up" not in third

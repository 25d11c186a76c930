"""What the project promises about itself: light imports, a short core, one set-up, a Binder that builds."""

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from gptcore.tools import bootstrap

ROOT = Path(__file__).parents[1]


def run(*command, env=None):
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=env)


def test_importing_gptcore_brings_nothing_to_draw_with():
    loaded = "import gptcore, sys; print(sorted({name.split('.')[0] for name in sys.modules}))"
    finished = run(sys.executable, "-c", loaded)
    assert not {"matplotlib", "ipywidgets", "IPython", "huggingface_hub", "transformers"} & set(
        ast.literal_eval(finished.stdout)
    )


def test_what_runs_the_notebooks_leaves_pytorch_to_their_kernels():
    """It would take 150 MB of a small machine, and be there before conftest.py says how many threads it may use."""
    finished = run(
        *(sys.executable, "-c", "import conftest, make_outputs, sys; print('torch' in sys.modules)"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("", "tests", "gptcore/tools"))},
    )
    assert finished.stdout == "False\n", finished.stdout + finished.stderr


def test_the_core_prints_nothing_and_does_not_import_viz():
    for path in (ROOT / "gptcore").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "gptcore.viz" not in source, path
        calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        assert not any(isinstance(func, ast.Name) and func.id in ("print", "eval", "exec") for func in calls), path


# Whom each room may look at besides itself; what a learner studies, the files of gptcore itself, stands alone.
ROOMS = {"": set(), "stories": {""}, "viz": {""}, "pages": {""}, "exercises": {""}, "tools": {"", "pages"}}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def imports_of(source, package):
    """What a module of this package imports, names included, which may be modules: "import" in all its forms."""
    found, parts = set(), package.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("import gptcore.model", {"gptcore.model"}),
        ("import os, gptcore.model as m", {"os", "gptcore.model"}),
        ("def f():\n    from gptcore import model", {"gptcore", "gptcore.model"}),
        ("from . import style", {"gptcore.viz", "gptcore.viz.style"}),
        ("from .style import COLOURS", {"gptcore.viz.style", "gptcore.viz.style.COLOURS"}),
        ("from ..model import GELU", {"gptcore.model", "gptcore.model.GELU"}),
        ("from .. import model", {"gptcore", "gptcore.model"}),
    ],
)
def test_an_import_is_found_in_all_its_forms(source, wanted):
    assert imports_of(source, "gptcore.viz") == wanted


def test_imports_point_one_way():
    """Wherever an import stands, also inside a function: from room to room as ROOMS says, and never in a circle."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "gptcore").rglob("*.py")
    }
    assert {room(name) for name in modules} == set(ROOMS)
    uses = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        uses[name] = imports_of(path.read_text(encoding="utf-8"), package) & modules.keys()
    # A package's own module only gathers what is in it, and gptcore's the stories, too.
    packages = {name for name, path in modules.items() if path.name == "__init__.py"}
    order = TopologicalSorter({name: used - packages for name, used in uses.items() if name not in packages})
    assert len([*order.static_order()]) == len(modules) - len(packages)
    for name in uses.keys() - {"gptcore"}:
        others = {room(used) for used in uses[name]} - {room(name)}
        assert others <= ROOMS[room(name)], f"{name} imports from {', '.join(sorted(others - ROOMS[room(name)]))}"


RUNS_WHAT_IT_IS_GIVEN = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
READS_PICKLE = {"torch.load", "torch.save", "np.load", "numpy.load"}
RISKY_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib", "subprocess", "ctypes"}
A_PERSON_RUNS = ("gptcore/tools/", "notebooks/teaching/make_exercises.py")  # no notebook does


def python_of_the_project():
    """Every piece of Python that a reader or a server runs, by a name: modules, and each cell of each notebook."""
    for folder in ("gptcore", "notebooks/teaching"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield path.relative_to(ROOT).as_posix(), "".join(cell["source"])


def test_nothing_runs_what_a_reader_types_or_a_file_brings():
    for name, source in python_of_the_project():
        if name.startswith(A_PERSON_RUNS):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in RUNS_WHAT_IT_IS_GIVEN | READS_PICKLE, f"{name}: {called}"
                assert "trust_remote_code" not in [keyword.arg for keyword in node.keywords], name
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {module.split(".")[0] for module in modules} & RISKY_MODULES, f"{name}: {modules}"


def test_public_names_are_documented_and_notebooks_exist():
    import gptcore

    for name in gptcore.__all__:
        if not name.startswith("GPT_CONFIG"):
            docstring = getattr(gptcore, name).__doc__
            assert docstring and len(docstring.strip().splitlines()) <= 14, name
    for path in (ROOT / "gptcore").glob("*.py"):
        for notebook in re.findall(r"\b\d\d_[a-z]\w+", path.read_text(encoding="utf-8")):
            assert (ROOT / "notebooks" / f"{notebook}.ipynb").exists(), f"{path.name} names {notebook}"


def test_an_explorers_module_names_the_notebooks_that_show_it():
    code = {}  # by the notebooks' numbers
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code[path.stem[:2]] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for path in sorted((ROOT / "gptcore" / "viz" / "widgets").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if numbers := re.match(r"Notebooks? ([\d, and]+):", ast.get_docstring(tree)):
            functions = "|".join(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
            shown = re.compile(rf"\bwidgets\.({functions})\(|from gptcore\.viz\.widgets\.{path.stem} import")
            wanted = [number for number in sorted(code) if shown.search(code[number])]
            assert re.findall(r"\d\d", numbers[1]) == wanted, path.stem


def test_the_code_is_linted_and_formatted():
    for command in (["check", "."], ["format", "--check", "."]):
        finished = run(sys.executable, "-m", "ruff", *command)
        assert finished.returncode == 0, finished.stdout


def test_requirements_are_pinned():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#") and line != "-e ."]
    assert len(requirements) > 50
    assert all(re.match(r"[\w.-]+==\S+", line) for line in requirements)
    assert not any(line.startswith(("nvidia-", "cuda-", "triton")) for line in requirements)


def test_binder_takes_the_same_versions_and_no_test_tools():
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    binder = re.findall(r"^([\w.-]+)==([^\s+]+)", (ROOT / "binder" / "requirements.txt").read_text(), re.MULTILINE)
    assert {name: version for name, version in binder if name not in ("numpy", "nbgitpuller")} == {
        name: pinned[name]
        for name in (
            "torch",
            "tiktoken",
            "regex",
            "safetensors",
            "huggingface-hub",
            "matplotlib",
            "ipywidgets",
            "anywidget",
            "tqdm",
        )
    }
    assert f"numpy=={dict(binder)['numpy']} ;" in (ROOT / "requirements.txt").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker does not run on Windows")
def test_repo2docker_accepts_the_binder_folder():
    finished = run(
        *(sys.executable, "-m", "repo2docker", "--no-build", "--debug"),
        *("--user-id", "1000", "--user-name", "jovyan", "."),
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert finished.returncode == 0, finished.stderr
    dockerfile = finished.stdout + finished.stderr
    assert all(f"binder/{name}" in dockerfile for name in ("requirements.txt", "postBuild", "start"))
    assert "Building conda environment for python=3.11" in dockerfile


class TestBootstrap:
    """The set-up on a bare machine; a real one is run by the continuous integration."""

    @pytest.mark.parametrize("set_by_hand", [None, "50"])
    def test_threads_of_what_it_starts_do_not_wait_for_long_unless_somebody_wants_that(self, set_by_hand, monkeypatch):
        started = []
        monkeypatch.setattr(bootstrap, "set_up", lambda: None)
        monkeypatch.setattr(bootstrap.subprocess, "call", lambda command, cwd, env: started.append(env) or 0)
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        if set_by_hand:
            monkeypatch.setenv("GOMP_SPINCOUNT", set_by_hand)
        with pytest.raises(SystemExit):
            bootstrap.main(["lab"])
        assert started[0]["GOMP_SPINCOUNT"] == (set_by_hand or "1000") and started[0]["PATH"] == os.environ["PATH"]

    def test_on_binder_and_in_a_container_neither(self):
        container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
        assert container["containerEnv"] == bootstrap.WAIT_LESS
        start = run(str(ROOT / "binder" / "start"), "sh", "-c", "echo threads $OMP_NUM_THREADS $*", "sh", "a", "b")
        assert start.stdout == "threads 1 a b\n"

    @pytest.mark.parametrize(
        ("command", "moved"),
        [
            ("-m venv {here}", False),
            ('-m venv --prompt="How a GPT works" {here}', False),
            ("-m venv --without-pip --prompt=gpt {here}", False),
            ("-m venv {here}/elsewhere", True),
            ('-m venv --prompt="How a GPT works" {here}/elsewhere', True),
            ("-m venv .venv", False),
        ],
    )
    def test_only_an_environment_that_was_made_elsewhere_was_moved(self, command, moved, tmp_path, monkeypatch):
        monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path)
        made = f"home = /usr/bin\ncommand = /usr/bin/python3 {command.format(here=tmp_path)}\n"
        (tmp_path / "pyvenv.cfg").write_text(made, encoding="utf-8")
        assert bootstrap.was_moved() is moved

    @pytest.fixture
    def copy(self, tmp_path):
        shutil.copytree(ROOT / "gptcore", tmp_path / "gptcore", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, tmp_path)
        return tmp_path

    def test_without_a_known_command_it_says_how_to_use_it(self):
        for arguments in ([], ["tset"]):
            finished = run(sys.executable, "gptcore/tools/bootstrap.py", *arguments)
            assert finished.returncode == 1 and "bootstrap.py lab" in finished.stderr

    def test_a_failed_installation_says_why_and_is_not_taken_for_a_finished_one(self, copy):
        def first_words(**variables):
            settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(copy / "empty"), "no_proxy": "*"}
            finished = run(
                *(sys.executable, copy / "gptcore" / "tools" / "bootstrap.py", "test"),
                env={**os.environ, **settings, **variables},
            )
            assert finished.returncode == 1 and not (copy / ".venv" / "installed.sha256").exists()
            return finished.stderr[finished.stderr.index("The installation did not finish") :]

        (copy / "requirements.txt").write_text("torch==2.13.0\n./no_such_package\n")
        said = first_words(PIP_NO_INDEX="1")
        assert "The last that pip said: ERROR: " in said and "no_such_package" in said
        assert "network" not in said and "Run the same command again" in said
        (copy / "requirements.txt").write_text("torch==2.13.0\n")
        said = first_words(PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="1")
        assert "ERROR: No matching distribution found for torch==2.13.0" in said
        assert "is there a network?" in said and "Run the same command again" in said

    @pytest.mark.parametrize(("gpu", "platform", "wanted"), [
        (None, "linux", True), ("/usr/bin/nvidia-smi", "linux", False), (None, "darwin", False), (None, "win32", False)
    ])  # fmt: skip
    def test_takes_pytorch_without_cuda_on_linux_without_a_gpu(self, gpu, platform, wanted, monkeypatch):
        monkeypatch.setattr(bootstrap.shutil, "which", lambda name: gpu)
        monkeypatch.setattr(bootstrap.sys, "platform", platform)
        assert bootstrap.wants_cpu_build() is wanted

    def test_an_index_that_does_not_answer_is_not_reached(self):
        assert not bootstrap.can_reach("http://127.0.0.1:9")

    @pytest.mark.parametrize(
        "answer", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
    )
    def test_nor_is_one_that_hangs_up_or_answers_rubbish(self, answer, monkeypatch):
        monkeypatch.setenv("no_proxy", "*")
        with socket.create_server(("127.0.0.1", 0)) as server:

            def answer_once():
                connection, _ = server.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(answer)

            thread = threading.Thread(target=answer_once)
            thread.start()
            reached = bootstrap.can_reach(f"http://127.0.0.1:{server.getsockname()[1]}")
            thread.join()
        assert not reached

"""A class of twelve on a real JupyterHub: everybody works at once, a server dies, and nobody sees another's work."""

import contextlib
import json
import re
import signal
import threading
import time

import pytest

pytest.importorskip("jupyterhub", reason="needs notebooks/teaching/requirements.txt")
hub_module = pytest.importorskip("hub")
lesson = pytest.importorskip("lesson")
pytestmark = pytest.mark.classroom

NAMES = [f"student{number:02}" for number in range(1, 13)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    if reason := hub_module.why_not_here():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("hub")
    for parent in [folder, *folder.parents]:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(0o711)  # pytest's folders are root's alone; students only pass through
        if parent.name.startswith("pytest-of-"):
            break
    with contextlib.closing(hub_module.Hub(folder, NAMES)) as running:
        yield running


@pytest.fixture(scope="module")
def students(hub):
    """Twelve students after a lesson that they had at the same time."""
    return lesson.hold_lesson(hub, NAMES)


def test_everybody_ran_notebook_09(students):
    with (hub_module.PROJECT / "notebooks" / "09_greedy_generation.ipynb").open(encoding="utf-8") as file:
        cells = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "code"]
    stored = ["".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream") for cell in cells]
    assert any(stored)
    for _, figures in students.values():
        assert figures["printed"] == stored


def test_everybody_was_told_what_is_not_answered(students):
    for _, figures in students.values():
        said = "".join(figures["checked"])
        assert "○ 02.1 is not answered yet" in said


def test_everybody_finds_their_own_saved_work(students):
    for name, (student, _) in students.items():
        saved = json.dumps(student.open(lesson.TASKS))
        assert f"# {name} was here" in saved
        assert saved.count("was here") == 1


def test_the_glossary_is_there_to_which_notebook_00_leads(students):
    student, _ = students[NAMES[0]]
    glossary = f"{student.base}/api/contents/gpt/notebooks/glossary.md"
    assert student.browser.get(glossary, timeout=hub_module.SLOW).status_code == 200


def test_nobody_reads_anothers_server(students):
    (first, _), (second, _) = students[NAMES[0]], students[NAMES[1]]
    for path in ["lab", "api/contents", f"api/contents/{lesson.TASKS}", "api/kernels"]:
        answer = first.browser.get(f"{second.base}/{path}", timeout=hub_module.SLOW)
        assert answer.status_code in (403, 404), path
        assert "was here" not in answer.text


def test_nobody_reads_anothers_files(students):
    first, _ = students[NAMES[0]]
    with first.kernel() as execute:
        assert execute(f"print(open('/home/{NAMES[0]}/{lesson.TASKS}').read().count('was here'))") == "1\n"
        with pytest.raises(RuntimeError, match="PermissionError"):
            execute(f"open('/home/{NAMES[1]}/{lesson.TASKS}')")
        with pytest.raises(RuntimeError, match="PermissionError"):
            execute(f"import os; os.listdir('/home/{NAMES[1]}')")


def test_nobody_reads_the_solutions_or_the_passwords(hub, students):
    first, _ = students[NAMES[0]]
    with first.kernel() as execute:
        execute("from pathlib import Path; link = Path('~/gpt/gptcore').expanduser(); project = link.resolve().parent")
        assert execute("print((link / 'model.py').read_text()[:3])") == '"""\n'
        for closed in ("notebooks/solutions/02_layer_norm.ipynb", "tests/exercises/answers_02.py", ".git/HEAD"):
            with pytest.raises(RuntimeError, match=r"PermissionError|NotADirectoryError"):
                execute(f"(project / '{closed}').read_text()")
        with pytest.raises(RuntimeError, match="PermissionError"):
            execute(f"open('{hub.folder}/passwords.txt')")


def test_the_teachers_menu_and_validate_are_not_there(students):
    first, _ = students[NAMES[0]]
    page = first.browser.get(f"{first.base}/lab", timeout=hub_module.SLOW).text
    settings = json.loads(re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    assert "@jupyter/nbgrader" in [extension["name"] for extension in settings["federated_extensions"]]
    assert "@jupyter/nbgrader" in settings["disabledExtensions"]
    for path in ("formgrader", "assignments", "assignments/validate", "courses"):
        assert first.browser.get(f"{first.base}/{path}", timeout=hub_module.SLOW).status_code == 404, path


def test_too_much_memory_is_an_error_in_ones_own_cell_and_nothing_else(students):
    first, _ = students[NAMES[0]]
    with first.kernel() as execute:
        execute("import torch; mine = torch.ones(200_000_000)")
        with pytest.raises(RuntimeError, match=r"RuntimeError|MemoryError"):
            execute("torch.ones(600_000_000)")
        assert execute("print(mine.sum().item())") == "200000000.0\n"


def test_strangers_stay_outside(hub):
    stranger = hub_module.Student(hub, NAMES[0])
    stranger.hub.passwords[NAMES[0]], right = "wrong", hub.passwords[NAMES[0]]
    try:
        with pytest.raises(Exception, match="403"):
            stranger.log_in()
    finally:
        hub.passwords[NAMES[0]] = right


def test_a_killed_server_comes_back_with_the_saved_work(hub, students):
    student, _ = students[NAMES[2]]
    with pytest.raises(Exception), student.kernel() as execute:  # noqa: B017 - however the connection breaks
        threading.Timer(1, kill_everything_of, (hub, student.name)).start()
        execute("import time\nfor _ in range(600):\n    time.sleep(0.1)")
    hub_module.wait_until(lambda: not hub.processes_of(student.name), hub_module.SLOW, "the server did not die")

    again = hub_module.Student(hub, student.name)
    again.log_in()
    assert f"# {student.name} was here" in json.dumps(again.open(lesson.TASKS))
    with again.kernel() as execute:
        assert execute("print(6 * 7)") == "42\n"


def kill_everything_of(hub, name):
    for process in hub.processes_of(name):
        process.send_signal(signal.SIGKILL)
    time.sleep(0.1)

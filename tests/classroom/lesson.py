"""What a class does at once: log in, run notebook 09, solve an exercise, save, load GPT-2's weights. And its table.

    python tests/classroom/lesson.py 1 4 12

prints seconds and memory for classes of 1, 4 and 12 students, each with a new Hub. Needs what the tests here need.
"""

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hub import Hub, Student

LESSON = "gpt/notebooks/09_greedy_generation.ipynb"
TASKS = "gpt/notebooks/exercises/02_layer_norm.ipynb"
COLUMNS = {
    "server": "log-in to server, s",
    "kernel": "ready kernel, s",
    "lesson": "notebook 09, s",
    "private": "private MB after 09",
    "weights": "private MB, GPT-2's 498 MB loaded by all",
}


def hold_lesson(hub, names, weights=None):
    """Let all students work at once; return each one's Student and figures, by name."""
    together = threading.Barrier(len(names))
    with ThreadPoolExecutor(len(names)) as room:
        return dict(zip(names, room.map(lambda name: attend(hub, name, weights, together), names), strict=True))


def attend(hub, name, weights, together):
    """One student's lesson."""
    student, figures = Student(hub, name), {}
    with taking(figures, "server"):
        student.log_in()
    with contextlib.ExitStack() as desk:
        with taking(figures, "kernel"):
            execute = desk.enter_context(student.kernel())
            execute("import gptcore")
        with taking(figures, "lesson"):
            figures["printed"] = student.run_notebook(student.open(LESSON), execute)
        figures["private"] = hub.private_memory_of(name)

        tasks = student.open(TASKS)
        answer = next(cell for cell in tasks["cells"] if cell["metadata"]["nbgrader"]["solution"])
        answer["source"] = f"{answer['source']}\n# {name} was here"
        figures["checked"] = student.run_notebook(tasks, execute)
        student.save(TASKS, tasks)
    if weights is not None:
        with student.kernel() as execute:
            load = f"import gptcore, torch; model = gptcore.GPTModel.from_pretrained({str(weights)!r})"
            execute(f"{load}; logits = model(torch.arange(16)[None])")
            together.wait(600)  # pages are shared among those who have loaded them
            figures["weights"] = hub.private_memory_of(name)
            together.wait(600)
    return student, figures


@contextlib.contextmanager
def taking(figures, what):
    start = time.perf_counter()
    yield
    figures[what] = time.perf_counter() - start


@contextlib.contextmanager
def most_memory_of(hub):
    """Yield a list that holds, afterwards, the most GB that the class used at once."""
    seen, over = [], threading.Event()

    def watch():
        while not over.wait(0.5):
            seen.append(hub.memory() / 1e3)

    watcher = threading.Thread(target=watch)
    watcher.start()
    most = []
    try:
        yield most
    finally:
        over.set()
        watcher.join()
        most.append(max(seen))


def write_weights(folder):
    """Write a checkpoint of GPT-2's smallest size, with random weights, as the published one is stored."""
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    for path in [Path(folder), *Path(folder).iterdir()]:
        path.chmod(0o755)


def main(sizes):
    print(f"| students | {' | '.join(COLUMNS.values())} | most memory of the class, GB |")
    print("| ---: " * (len(COLUMNS) + 2) + "|")
    with tempfile.TemporaryDirectory() as weights:
        write_weights(weights)
        for size in sizes:
            names = [f"student{number:02}" for number in range(1, size + 1)]
            with tempfile.TemporaryDirectory() as folder, contextlib.closing(Hub(folder, names)) as hub:
                with most_memory_of(hub) as most:
                    figures = [figures for _, figures in hold_lesson(hub, names, weights).values()]
            row = [f"{statistics.median(student[column] for student in figures):.0f}" for column in COLUMNS]
            print(f"| {size} | {' | '.join(row)} | {most[0]:.1f} |", flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])

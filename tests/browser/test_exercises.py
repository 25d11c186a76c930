"""A student in a browser: a wrong answer, its message, a hint, the right answer."""

import pytest
from lab_in_chromium import Notebook
from playwright.sync_api import expect


class Task:
    """One exercise on the page: the cell for the answer and the cell with its check."""

    def __init__(self, notebook, variable, name):
        self.page = notebook.page
        cells = self.page.locator(".jp-CodeCell")
        self.answer = cells.filter(has_text=variable).first  # the check below names it, too
        self.check = cells.filter(has_text=f'check("{name}"').first

    def write(self, code):
        """Put this code into the answer cell, run it and the check, by keys."""
        self.answer.scroll_into_view_if_needed()
        self.answer.locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")  # runs it and goes to the check
        self.page.keyboard.press("Shift+Enter")

    def says(self, *texts):
        for text in texts:
            expect(self.check.locator(".jp-OutputArea-output").first).to_contain_text(text)


@pytest.fixture(scope="module")
def notebook(browser, lab):
    """The exercises of notebook 02, as they are handed out, after they have run."""
    notebook = Notebook(browser, lab.address_of("exercises/02_layer_norm"))
    notebook.restart_and_run_all()
    yield notebook
    notebook.close()


def test_a_student_gets_from_a_wrong_answer_by_a_hint_to_the_right_one(notebook):
    assert notebook.complaints() == []
    task = Task(notebook, "smallest_n", "02.3")
    task.says("○ 02.3 is not answered yet", "hint('02.3')")

    task.write("smallest_n = 1001")
    task.says("✗ 02.3 not yet", "You looked at the variance.")

    for number in (1, 2):
        task.write("smallest_n = 1001\nhint('02.3')")
        expect(task.answer.locator(".jp-OutputArea-output")).to_contain_text(f"Hint {number} of 3 for 02.3")

    task.write("smallest_n = 501")
    task.says("✓ 02.3 solved")
    assert notebook.complaints() == []


def test_a_student_mends_a_function(notebook):
    task = Task(notebook, "mended_norm", "02.4")
    task.says("○ 02.4 is not answered yet")
    patience = "import time\nfrom gptcore.exercises import checking\nchecking.SECONDS = 1\n"  # ten would be waited for
    task.write(f"{patience}def mended_norm(x, eps):\n    while True:\n        time.sleep(0.1)")
    task.says("✗ 02.4 not yet", "is there a loop that never ends?")
    task.write("mended_norm = faulty_norm")
    task.says("✗ 02.4 not yet", "Nothing is mended yet")
    mean, variance = "x.mean(dim=-1, keepdim=True)", "x.var(dim=-1, keepdim=True, unbiased=False)"
    task.write(f"def mended_norm(x, eps): return (x - {mean}) / torch.sqrt({variance} + eps)")
    task.says("✓ 02.4 solved")
    assert notebook.complaints() == []


def test_tasks_and_checks_are_not_changed_by_accident(notebook):
    task = Task(notebook, "smallest_n", "02.3")
    assert task.check.locator(".cm-content").get_attribute("aria-readonly") == "true"
    assert task.answer.locator(".cm-content").get_attribute("aria-readonly") != "true"

"""A reader who guesses by keyboard, runs the cell, reads how it went, and comes back another day."""

import contextlib

from axe_playwright_python.sync_playwright import Axe
from lab_in_chromium import ExplorerOnPage, Notebook
from playwright.sync_api import expect


class Lesson:
    """Notebook 00 on the page; its cells are run one by one, as a reader does."""

    def __init__(self, browser, lab):
        self.notebook = Notebook(browser, lab.address_of("00_start_here"))
        self.page = self.notebook.page
        # Numbers that are stored beside the cells would look as if these had run already.
        self.page.get_by_role("menuitem", name="Edit", exact=True).first.click()
        self.page.get_by_text("Clear Outputs of All Cells", exact=True).first.click()
        self.run("import gptcore")

    def cell(self, text):
        return self.page.locator(".jp-CodeCell").filter(has_text=text).first

    def run(self, text):
        self.notebook.run_again(self.cell(text))

    def ask(self, name):
        """Run the cell with the question; return its line."""
        self.run(f'guess("{name}")')
        line = self.cell(f'guess("{name}")').locator(".gptcore-guess")
        line.wait_for()
        return ExplorerOnPage(self.page, line)

    def open_answer(self, code):
        """Run the cell that shows the answer, and the folded one behind it; return what that one says."""
        self.cell(code).locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Shift+Enter")  # runs it and goes to the next
        self.page.keyboard.press("Shift+Enter")
        return self.cell(code).locator("xpath=following-sibling::*[1]").locator(".jp-OutputArea-output")


@contextlib.contextmanager
def opened(browser, lab):
    lesson = Lesson(browser, lab)
    yield lesson
    lesson.notebook.close()


def test_a_guess_is_made_by_keys_answered_and_still_there_another_day(browser, lab):
    with opened(browser, lab) as lesson:
        line = lesson.ask("00.untrained")
        line.press("one word again and again")
        line.says("Kept: one word again and again, just a guess.")
        line.press("certain")
        line.says("Kept: one word again and again, certain.")
        found = Axe().run(lesson.page, context=".gptcore-guess")
        assert found.violations_count == 0, found.generate_report()

        line = lesson.ask("00.tokens")
        line.write("Your guess (tokens):", "7")
        lesson.page.keyboard.press("Enter")
        line.says("Kept: 7 tokens, just a guess.")
        said = lesson.open_answer("prompt = ")
        expect(said).to_contain_text("You said: 7 tokens (just a guess). It is: 5 tokens.")
        line.says("The answer is open.")

    with opened(browser, lab) as lesson:
        line = lesson.ask("00.tokens")
        line.says("The answer is open. You said: 7 tokens")
        assert line.explorer.get_by_label("Your guess (tokens):").is_disabled()
        lesson.ask("00.untrained").says("Kept: one word again and again, certain.")
        lesson.run('guesses("00")')
        end = lesson.cell('guesses("00")').locator(".jp-OutputArea-output")
        expect(end).to_contain_text("Your guesses in notebook 00: 0 right of 1")

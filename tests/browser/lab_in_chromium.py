"""A real JupyterLab on this machine alone, a real Chromium, and a notebook in it as its reader handles it."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
# axe-core is not to describe what it does not mind, nor to fetch style sheets of other sites: there are none.
FAULTS_ALONE = {"resultTypes": ["violations"], "preload": False}
# A page hears of a new width when it is drawn: after the first of two frames.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SLOW_START = 300  # seconds after which a server that does not answer never will
SLOW = 120_000  # milliseconds after which something has gone wrong on the page
SLOW_RUN = 600_000  # and with a whole notebook


def find_chromium():
    """The path of a Chromium or Chrome, or None; first the one without windows, which takes a fifth less time."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def chromium():
    expect.set_options(timeout=SLOW)  # otherwise five seconds, which a busy machine may need
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=QUIET)
        yield browser
        browser.close()


@contextmanager
def jupyterlab(folder, within=()):
    """Serve a copy of the notebooks in `folder`; gives a function from a notebook's name to its address.

    `within` is the beginning of a command line: something that the server and its kernels run in.
    """
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    with socket.socket() as any_free:
        any_free.bind(("127.0.0.1", 0))
        port = any_free.getsockname()[1]
    token = secrets.token_hex(16)
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    command = [
        *(
            *within,
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--port-retries=0",
        ),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]
    page_config = folder / "CONFIG" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')
    own |= {"IPYTHONDIR": str(folder / "ipython"), "GPTCORE_KEPT": str(folder / "kept")}
    env = {**os.environ, **own, "TQDM_DISABLE": ""}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_answer(f"{address}/api/status?token={token}", server, folder / "server.log")
        yield lambda name: f"{address}/lab/tree/notebooks/{name}.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(SLOW_START)


def wait_for_answer(url, server, log):
    """Wait until the server answers, which is later than it says where: a busy machine takes its time."""
    deadline = time.monotonic() + SLOW_START
    while True:
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}") from None
            time.sleep(0.1)


def serious_faults(page, **how):
    """What keeps somebody from using the page, as axe-core finds it: [(rule, HTML)]."""
    page.evaluate(TWO_FRAMES)
    how["options"] = FAULTS_ALONE | how.get("options", {})
    found = Axe().run(page, **how).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [(fault["id"], node["html"]) for fault in serious for node in fault["nodes"]]


class Notebook:
    """A notebook in JupyterLab, as its reader handles it."""

    def __init__(self, browser, url, width=1280):
        self.context = browser.new_context(viewport={"width": width, "height": 1000})
        address = urllib.parse.urlsplit(url)
        token = urllib.parse.parse_qs(address.query)["token"][0]
        self.api = lambda path: f"{address.scheme}://{address.netloc}/api/{path}?token={token}"
        self.others = self.sessions()
        self.page = self.context.new_page()
        self.page.set_default_timeout(SLOW)
        self.page_errors = []
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        # The kernel is connected only when the status bar says so; before, "run" would ask which kernel to take.
        self.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        self.page.keyboard.press("Control+b")  # the list of files would leave no room in a narrow window

    def restart_and_run_all(self):
        self.page.get_by_role("menuitem", name="Kernel", exact=True).first.click()
        self.page.get_by_text("Restart Kernel and Run All Cells…", exact=True).first.click()
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        # The prompts are emptied first; textContent, because cells out of sight have no innerText.
        # What is shown in place of folded code has an empty one.
        shown = ".jp-NotebookPanel .jp-CodeCell .jp-InputPrompt:not(.jp-Placeholder-prompt)"
        prompts = f"[...document.querySelectorAll('{shown}')]"
        self.page.wait_for_function(f"{prompts}.some(prompt => !/\\[\\d+\\]/.test(prompt.textContent))")
        all_have_run = f"{prompts}.every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"
        self.page.wait_for_function(all_have_run, timeout=SLOW_RUN)

    def choose_theme(self, name):
        self.page.get_by_role("menuitem", name="Settings", exact=True).first.click()
        self.page.get_by_text("Theme", exact=True).first.hover()
        self.page.get_by_text(name, exact=True).first.click()
        is_light = str("Light" in name).lower()
        self.page.wait_for_selector(f"body[data-jp-theme-light={is_light}]", state="attached")

    def complaints(self):
        """Errors and warnings below the cells."""
        kinds = ("application/vnd.jupyter.stderr", "application/vnd.jupyter.error")
        return [text for kind in kinds for text in self.page.locator(f'[data-mime-type="{kind}"]').all_text_contents()]

    def cell_of(self, name, nth=0):
        """The cell of the explorer of this name, of the first one or the nth."""
        return self.page.locator(".jp-CodeCell").filter(has_text=re.compile(rf"\b{name}\(")).nth(nth)

    def explorer(self, name, nth=0):
        """The explorer of this name, once it is there."""
        explorer = self.cell_of(name, nth).locator(".gptcore-explorer, .gptcore-live")
        explorer.wait_for(state="attached")
        explorer.scroll_into_view_if_needed()
        return ExplorerOnPage(self.page, explorer)

    def run_again(self, cell):
        """Run one cell, by keys, and wait until it has run."""
        cell.locator(".jp-InputArea-editor").click()
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.text_content()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            "([node, before]) => /\\[\\d+\\]/.test(node.textContent) && node.textContent !== before",
            arg=[prompt.element_handle(), before],
        )

    def sessions(self):
        """The ids of all notebooks that have a kernel, on this page or another."""
        return {session["id"] for session in self.context.request.get(self.api("sessions")).json()}

    def close(self):
        # The kernel ends with its notebook: a dozen of them would not fit into a small machine.
        for session in self.sessions() - self.others:
            self.context.request.delete(self.api(f"sessions/{session}"))
        self.context.close()
        assert self.page_errors == [], "what went wrong on the page while it was open"


class ExplorerOnPage:
    """An explorer, moved by keys alone."""

    def __init__(self, page, explorer):
        self.page, self.explorer = page, explorer

    def slide(self, label, steps):
        """Move the slider by so many steps, to the left when negative."""
        box = self.explorer.locator(".widget-slider").filter(has_text=label)
        box.locator(".noUi-handle").focus()
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def choose(self, name):
        """Press the button of a choice."""
        self.explorer.locator(".widget-toggle-buttons").get_by_text(name, exact=True).focus()
        self.page.keyboard.press("Space")

    def tick(self, label):
        self.explorer.get_by_label(label).focus()
        self.page.keyboard.press("Space")

    def write(self, label, text):
        self.explorer.get_by_label(label, exact=True).focus()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text) if text else self.page.keyboard.press("Delete")

    def press(self, name):
        self.explorer.get_by_role("button", name=name).focus()
        self.page.keyboard.press("Enter")

    def says(self, *words):
        """Wait until each of these texts stands there; one that begins with a number, not behind another digit."""
        for text in words:
            not_behind_a_digit = r"(?<![\d.,])" if text[0].isdigit() else ""
            expect(self.explorer).to_contain_text(re.compile(not_behind_a_digit + re.escape(text)))

    def shows(self, *words):
        """The same, and that a picture's alternative text says so too, if there is a picture."""
        self.says(*words)
        pictures = self.explorer.locator("img").all()
        if pictures and "Not possible" not in self.explorer.inner_text():
            alts = " ".join(picture.get_attribute("alt") for picture in pictures)
            assert all(text in alts for text in words), alts

    def picture(self):
        return self.explorer.locator("img").first.get_attribute("src")

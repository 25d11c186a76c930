"""Take the README's pictures of explorers, as a reader sees them in JupyterLab. Needs Chromium.

python tests/browser/take_pictures.py
"""

import tempfile
from pathlib import Path

from lab_in_chromium import Notebook, chromium, jupyterlab
from PIL import Image

PICTURES = Path(__file__).parents[2] / ".github"


def take(browser, address_of, notebook_name, explorer_name, use):
    notebook = Notebook(browser, address_of(notebook_name), width=1240)
    notebook.restart_and_run_all()
    explorer = notebook.explorer(explorer_name)
    use(explorer)
    path = PICTURES / f"{explorer_name}.png"
    explorer.explorer.screenshot(path=path)
    notebook.close()
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def as_it_is(explorer):
    explorer.shows("Share of weight on the future: 0%")


def five_tokens_later(explorer):
    explorer.slide("tokens written", 5)
    explorer.shows("5 tokens written")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, jupyterlab(Path(folder)) as address_of:
        take(browser, address_of, "06_causal_attention", "attention_explorer", as_it_is)
        take(browser, address_of, "09_greedy_generation", "generation_explorer", five_tokens_later)

"""Take the README's picture: the beginning of a notebook, as its reader sees it. Needs Chromium.

python tests/notebooks/take_picture.py 02_layer_norm
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from nbconvert import HTMLExporter
from PIL import Image

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / ".github" / "notebook.png"
WIDTH, HEIGHT = 1000, 1460


def main(name):
    page, _ = HTMLExporter(embed_images=True).from_filename(ROOT / "notebooks" / f"{name}.ipynb")
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "page.html"
        html.write_text(page, encoding="utf-8")
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        shot = [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={PICTURE}"]
        subprocess.run(["chromium", *quiet, *shot, html.as_uri()], check=True, stderr=subprocess.DEVNULL)
    Image.open(PICTURE).quantize(64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])

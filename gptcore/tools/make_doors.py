"""Write the project's address wherever somebody comes in: links, and the set-up cell of each notebook.

    python gptcore/tools/make_doors.py                  after a change of the version, or of a notebook's beginning
    python gptcore/tools/make_doors.py NAME/REPOSITORY  where the project lies on GitHub from now on

The address stands in pyproject.toml, the version in gptcore/__init__.py. A test holds that all say the same. Exercises
get theirs through their solutions: notebooks/teaching/make_exercises.py makes the one from the other, with nbgrader.
"""

import re
import runpy
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import nbformat

import gptcore

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "pyproject.toml"
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("[0-9][0-9]_*.ipynb"))
MAKE_EXERCISES = ROOT / "notebooks" / "teaching" / "make_exercises.py"
# Where the address stands in a text; in a link inside a link with %2F for each slash.
TEXTS = ["README.md", "CITATION.cff", "notebooks/teaching/README.md", "notebooks/teaching/zero_to_jupyterhub.yaml"]
PLACES = [
    r"(?<=https://github\.com/)[\w.-]+/[\w.-]+(?=[\"@\s]|$)",
    r"(?<=github\.com%2F)[\w.-]+%2F[\w.-]+(?=&)",
    r"(?<=mybinder\.org/v2/gh/)[\w.-]+/[\w.-]+(?=/)",
    r"(?<=colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+(?=/blob/)",
]
FOLDER = r"(?<=^    cd )[\w.-]+$"  # that `git clone` makes
VERSION = r"(?<=[/@]v)\d+\.\d+\.\d+(?=[/?\"@\s])|(?<=^version: )\d+\.\d+\.\d+$"

SET_UP = """from importlib.util import find_spec

if find_spec("gptcore") is None:  # in Colab, for example; everywhere else it is installed already
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/{address}@v{version}")"""
LINKS = (
    "Without installing anything: open it in "
    "[Colab](https://colab.research.google.com/github/{address}/blob/v{version}/notebooks/{page}) or in "
    "[Binder](https://mybinder.org/v2/gh/{address}/v{version}?urlpath=lab/tree/notebooks/{page})."
)


def address():
    """NAME/REPOSITORY, from pyproject.toml."""
    urls = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["urls"]
    return urls["Repository"].removeprefix("https://github.com/")


def with_doors(notebook, path):
    """Give the notebook of this path its links, below its title, and its set-up cell, before all other code; return it.

    A solution's links lead to its exercise.
    """
    page = path.relative_to(ROOT / "notebooks").as_posix().replace("solutions/", "exercises/")
    known = {"address": address(), "version": gptcore.__version__, "page": page}
    title, *rest = notebook.cells
    heading, text = title.source.split("\n\n", maxsplit=1)
    if text.startswith(LINKS.split("[")[0]):
        _, text = text.split("\n\n", maxsplit=1)
    title.source = "\n\n".join([heading, LINKS.format(**known), text])
    if "setup" not in rest[0].metadata.get("tags", []):
        cell = nbformat.v4.new_code_cell(id=f"{path.name[:2]}-setup", metadata={"tags": ["setup"]})
        if path in SOLUTIONS:  # nbgrader locks it, as all cells that are not the student's
            unmarked = {"grade": False, "solution": False, "task": False}
            cell.metadata.nbgrader = {"grade_id": cell.id, "locked": True, "schema_version": 3, **unmarked}
        rest.insert(0, cell)
    rest[0].source = SET_UP.format(**known)
    notebook.cells = [title, *rest]
    return notebook


def with_address(text):
    """The text of a file of the project with today's address and version in it."""
    owner_and_name = address()
    for place in PLACES:
        text = re.sub(place, lambda match: owner_and_name.replace("/", "%2F" if "%2F" in match[0] else "/"), text)
    text = re.sub(FOLDER, owner_and_name.split("/")[1], text, flags=re.MULTILINE)
    return re.sub(VERSION, gptcore.__version__, text, flags=re.MULTILINE)


def main(new_address=None):
    if new_address is not None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", new_address):
            sys.exit(f"{new_address!r} is no address on GitHub; one looks like NAME/REPOSITORY")
        text = PROJECT.read_text(encoding="utf-8")
        PROJECT.write_text(re.sub(PLACES[0], new_address, text), encoding="utf-8")
    for name in TEXTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        (ROOT / name).write_text(with_address(text), encoding="utf-8")
    for path in LESSONS + SOLUTIONS:
        nbformat.write(with_doors(nbformat.read(path, 4), path), path)
    print(f"{address()}, version {gptcore.__version__}: in {len(TEXTS)} texts, {len(LESSONS + SOLUTIONS)} notebooks")
    if find_spec("nbgrader") is None:
        print("Not yet in notebooks/exercises: that takes nbgrader. Run `make teach`, then `make doors` again.")
    else:
        runpy.run_path(str(MAKE_EXERCISES), run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])

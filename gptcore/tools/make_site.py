"""Make the series' web site from the notebooks and docstrings as they are, without a network.

    python gptcore/tools/make_site.py           into _site
    python gptcore/tools/make_site.py FOLDER    into another folder

A temporary folder gets what Sphinx reads: each notebook with links, folds and living explorers as a page has them, a
first page made of README.md, and a page for each module. Sphinx's settings are in gptcore/tools/site. A warning is an
error: a link that leads nowhere gives no site. To look at the site: `python -m http.server --directory _site`.
"""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import nbformat

import gptcore
from gptcore.pages import place, write_live
from gptcore.tools.make_doors import LESSONS, LINKS, ROOT, address

SETTINGS = Path(__file__).parent / "site"
OUTPUT = ROOT / "_site"
STAMP = ".made_from"
EXERCISES = sorted((ROOT / "notebooks" / "exercises").glob("[0-9][0-9]_*.ipynb"))
GLOSSARY = ROOT / "notebooks" / "glossary.md"
PAGES = [*LESSONS, *EXERCISES, GLOSSARY]  # each stands on the site where it stands in the project
LESSON_ROW = re.compile(r"^\| \[(?P<name>\d\d [^]]+)\]\((?P<page>notebooks/\w+)\.ipynb\) \|.*\|$", re.MULTILINE)

# Which explorer of a page stands in place of an explorer's stored picture, and which one below it, because the picture
# shows more than what lives there. In place of a page's own explorer, `live_explorer("story")`, stands itself.
INSTEAD = {
    "token_explorer": "tokenizer",
    "layer_norm_explorer": "layer_norm",
    "activation_explorer": "activation",
    "generation_explorer": "story",
    "time_machine_explorer": "time_machine",
}
BELOW = {"attention_explorer": "attention"}

# What myst-nb calls the folds of our tags, and what stands on each.
FOLDS = {
    "setup": ("hide-input", "Set-up, for Colab"),
    "predict": ("hide-output", "Show what happens"),
    "check": ("hide-input", "Show the check"),
    "extra": ("hide-input", "Show the code of the drawing"),
}
# A text of the model in one line is wrapped, as JupyterLab does; a table stays one.
LONG_LINE, LONG_LINES = 100, "long-lines"
QUESTION = "guess"  # the tag of cells of which the question stays, as text, and not the line of code

DOORS = '<p class="doors"><a href="{binder}">Open in Binder</a> <a href="{colab}">Open in Colab</a></p>'
NEEDS_A_KERNEL = (
    "Here you can read the tasks. `check` and `hint` need a kernel: open this page in Binder or Colab by the buttons "
    "above, or on your own computer by [two commands](../../README.md#two-commands)."
)

# A page for each room; of gptcore itself, one for each file. What judges exercises has the right answers in it.
MODULES = sorted({path.stem for path in (ROOT / "gptcore").glob("*.py")} - {"__init__", "checks"})
ROOMS = {
    "stories": ["grammar", "tokenizer", "film", "trial"],
    "viz": ["diagrams", "drawings", "plots", "source", "style"],
}
HAVE_THEIR_SOURCE = {f"gptcore/{module}.py" for module in MODULES} | {
    f"gptcore/{room}/{module}.py" for room, modules in ROOMS.items() for module in modules
}


def make_site(folder):
    """Write the site into the folder, unless it is there already, made from the same; returns Sphinx's exit code."""
    stamp = folder / STAMP
    if folder.exists() and not folder.is_dir():
        sys.exit(f"{folder} is a file: name a folder for the site")
    if folder.exists() and any(folder.iterdir()) and not stamp.exists():
        sys.exit(f"{folder} holds something else than a site: name an empty folder, or one that does not exist")
    with tempfile.TemporaryDirectory() as temporary:
        source, doctrees, made = (Path(temporary, name) for name in ("source", "doctrees", "made"))
        stage(source)
        made_from = digest(source)
        if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
            return 0
        command = ["-W", "--keep-going", "--quiet", "-d", doctrees, source, made]
        code = subprocess.call([sys.executable, "-m", "sphinx", *command])
        if code == 0:
            (made / STAMP).write_text(made_from, encoding="utf-8")
            put_in_place(made, folder)
        return code


def put_in_place(made, folder):
    """Move the new site to where the old one stands; where that cannot be moved away, it stays whole, with an error."""
    folder = folder.resolve()  # of a link, what it leads to
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            new = Path(aside, "new")
            shutil.move(made, new)  # from another disk it is copied, which takes time and room: the old one stands
            old = Path(aside, "old")
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as problem:
        sys.exit(
            f"{folder} cannot be replaced: {problem}. Close what has it open and try again, or name another folder"
        )


def digest(source):
    """One number for all that the site is made of: what Sphinx reads, and the modules with their docstrings."""
    together = hashlib.sha256()
    for folder, kind in ((source, "*"), (ROOT / "gptcore", "*.py")):
        for path in sorted(path for path in folder.rglob(kind) if path.is_file()):
            together.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return together.hexdigest()


def stage(source):
    """Write everything that Sphinx reads into a new folder, each page where its source is in the project."""
    shutil.copytree(SETTINGS, source)
    pages = {"index.md": front_page(), "notebooks/glossary.md": on_site(GLOSSARY.read_text(encoding="utf-8"), GLOSSARY)}
    pages |= reference()
    for path in LESSONS + EXERCISES:
        pages[path.relative_to(ROOT).as_posix()] = nbformat.writes(notebook_on_site(path))
    for name, text in pages.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    write_live(source / "static" / "live")


def front_page():
    """README's beginning, its lessons and its two commands, with the first thing that moves between."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    title, beginning, _ = readme.split("\n\n", maxsplit=2)
    lessons, commands = (
        re.search(rf"^## {heading}\n.*?(?=^## )", readme, re.DOTALL | re.MULTILINE)[0]
        for heading in ("The notebooks", "Two commands")
    )
    names = {match["page"]: match["name"] for match in LESSON_ROW.finditer(readme)}
    exercises = {f"notebooks/exercises/{path.stem}": path.stem.replace("_", " ") for path in EXERCISES}
    trees = [
        ("The notebooks", {**names, "notebooks/glossary": "Glossary"}),
        ("The exercises", exercises),
        ("gptcore", {"gptcore/index": "Its documentation"}),
    ]
    source = f"The notebooks and `gptcore` are [on GitHub](https://github.com/{address()})."
    parts = [title, beginning, "## A small GPT that writes", place("story"), lessons, commands, source]
    return on_site("\n\n".join(parts + [toctree(*tree) for tree in trees]), ROOT / "README.md")


def toctree(caption, pages):
    lines = [f"{name} <{page}>" for page, name in pages.items()]
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *lines, "```"])


def notebook_on_site(path):
    """The notebook of this path as the site shows it."""
    notebook = nbformat.read(path, as_version=4)
    page = path.relative_to(ROOT / "notebooks").as_posix()
    links = LINKS.format(address=address(), version=gptcore.__version__, page=page)
    colab, binder = re.findall(r"\((http.*?)\)", links)
    doors = DOORS.format(binder=binder, colab=colab)
    title = notebook.cells[0]
    if title.source.count(links) != 1:
        raise ValueError(f"{page}: its first cell has no links to Colab and Binder; run `make doors`")
    title.source = title.source.replace(links, f"{doors}\n\n{NEEDS_A_KERNEL}" if path in EXERCISES else doors)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            code_on_site(cell)
        else:
            cell.source = on_site(cell.source, path)
    return notebook


def code_on_site(cell):
    tags = cell.metadata.get("tags", [])
    for tag, (fold, words) in FOLDS.items():
        if tag in tags:
            cell.metadata.tags = [*tags, fold]
            cell.metadata.mystnb = {"code_prompt_show": words, "code_prompt_hide": words.replace("Show", "Hide")}
    if QUESTION in tags:
        cell.metadata.tags = [*tags, "remove-input"]
    printed = "\n".join(output.text for output in cell.outputs if output.output_type == "stream")
    if max(map(len, printed.split("\n"))) > LONG_LINE:
        cell.metadata.tags = [*cell.metadata.get("tags", []), LONG_LINES]
    called = re.search(r"\bwidgets\.(\w+_explorer)\(", cell.source)
    lives = re.search(r'\blive_explorer\("(\w+)"', cell.source)
    instead = lives[1] if lives else INSTEAD.get(called and called[1])
    cell.outputs = [output for output in cell.outputs if output.output_type == "stream" or output.data]
    for output in cell.outputs:
        if "text/html" in output.get("data", {}):
            html = re.sub(r'href="([\w/]+)\.ipynb"', r'href="\1.html"', output.data["text/html"])
            if instead:
                html = place(instead, html)
            elif called and called[1] in BELOW:
                html += place(BELOW[called[1]])
            output.data["text/html"] = html


def on_site(text, path):
    """Markdown with each link to what is no page of the site led to its source, here or on GitHub."""

    def lead(match):
        words, target = match["words"], match["target"]
        if re.match(r"\w+:|#", target):
            return match[0]
        file = in_project(path, target)
        if ROOT / file in PAGES:
            return match[0]
        if file.name == "README.md" and "#" in target:
            return f"[{words}]({target.replace('README', 'index')})"
        if file.as_posix() in HAVE_THEIR_SOURCE:
            up = "../" * (len(path.relative_to(ROOT).parts) - 1)
            return f'<a href="{up}_modules/{file.with_suffix(".html")}">{words}</a>'
        if file.as_posix() == "gptcore":
            return f"[{words}](gptcore/index.rst)"
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"[{words}](https://github.com/{address()}/{kind}/v{gptcore.__version__}/{file})"

    return re.sub(r"(?<!!)\[(?P<words>[^][]+)\]\((?P<target>[^()\s]+)\)", lead, text)


def in_project(path, target):
    """Where a link of this file leads, from the project's root."""
    file = Path(os.path.normpath(path.parent / target.split("#")[0]))
    return PurePosixPath(file.relative_to(ROOT).as_posix())


def reference():
    """The pages that Sphinx fills from docstrings, by their names."""
    pages = {
        f"gptcore/{module}.rst": titled(f"gptcore.{module}", automodule(f"gptcore.{module}")) for module in MODULES
    }
    for room, modules in ROOMS.items():
        of_each = [heading(f"{room}.{module}", "-") + automodule(f"gptcore.{room}.{module}") for module in modules]
        pages[f"gptcore/{room}.rst"] = titled(f"gptcore.{room}", "\n".join(of_each))
    own = "\n".join(f".. autofunction:: gptcore.exercises.{name}" for name in ("check", "hint", "case", "passes"))
    pages["gptcore/exercises.rst"] = titled("gptcore.exercises", f".. automodule:: gptcore.exercises\n\n{own}\n")
    names = [name.removeprefix("gptcore/").removesuffix(".rst") for name in pages]
    tree = "\n".join([".. toctree::", "   :hidden:", "", *(f"   {name}" for name in names)])
    overview = "\n".join(f"- :doc:`{name}`: {first_sentence(name)}" for name in names)
    pages["gptcore/index.rst"] = titled("gptcore", f".. automodule:: gptcore\n\n{tree}\n\n{overview}\n")
    return pages


def first_sentence(name):
    """What the module or the room of this name says of itself, without the full stop."""
    path = ROOT / "gptcore" / f"{name}.py"
    source = (path if path.exists() else ROOT / "gptcore" / name / "__init__.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).split("\n")[0].removesuffix(".")


def automodule(name):
    return f".. automodule:: {name}\n   :members:\n"


def titled(title, text):
    return heading(title, "=") + text


def heading(title, line):
    return f"{title}\n{line * len(title)}\n\n"


def main(folder=OUTPUT):
    if find_spec("myst_nb") is None:
        sys.exit("Sphinx is not installed. Run `make site`, which brings it.")
    code = make_site(Path(folder))
    if code == 0:
        print(f"The site is in {folder}. To look at it: python -m http.server --directory {folder}")
    sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])

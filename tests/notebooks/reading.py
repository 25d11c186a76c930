"""The notebooks as data, for the tests that read them."""

import ast
import warnings
from functools import cache
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
PAGES = HTMLExporter()  # reads its templates once


@cache
def read(path):
    return nbformat.read(path, as_version=4)


@cache
def as_page(path, exporter=PAGES):
    """The notebook with its stored outputs as HTML, as it is shown where nothing can run."""
    with warnings.catch_warnings():
        # The empty output that comes first in a folded cell: it cannot be represented, and need not be.
        warnings.filterwarnings("ignore", "Your element with mimetype.s. dict_keys....", UserWarning)
        page, _ = exporter.from_filename(path)
    return page


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def text_of(path):
    """All the prose of a notebook."""
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def visible(cell):
    """What a reader sees below a cell: one string per output and kind."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield "stream", output.text
        else:
            yield from output.get("data", {}).items()


def makes_a_claim(cell):
    """True when the cell can fail: it holds an assert statement or one of PyTorch's assertions."""
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr == "assert_close")
        for node in ast.walk(ast.parse(cell.source))
    )


def defined_names(cell):
    """Names of the functions and classes that a cell defines, and of what it assigns at the top level."""
    tree = ast.parse(cell.source)
    definitions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    assigned = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return definitions, assigned


def names_given(cell):
    """Every name that a cell imports, defines or assigns."""
    given = set()
    for node in ast.walk(ast.parse(cell.source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            given.add(node.name)
        elif isinstance(node, ast.alias):
            given.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.add(node.id)
    return given


def names_used(cell):
    tree = ast.parse(cell.source)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def with_what_it_needs(cells, index):
    """Return the cell of that index after those that give it its names, and those that give them theirs, in order."""
    chosen, wanted = [cells[index]], names_used(cells[index])
    for cell in reversed(cells[:index]):
        if names_given(cell) & wanted:
            wanted = wanted - names_given(cell) | names_used(cell)
            chosen.insert(0, cell)
    return chosen

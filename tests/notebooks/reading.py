"""The notebooks as data, for the tests that read them."""

import ast
from functools import cache
from pathlib import Path

import nbformat

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


@cache
def read(path):
    return nbformat.read(path, as_version=4)


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

"""What nbval cannot see in a notebook file: that it is clean, readable and complete."""

import re
import tomllib
from collections import Counter

import nbformat
import pytest
from make_outputs import FOLDED
from nbconvert import HTMLExporter
from reading import FOLDER, PATHS, as_page, code_cells, defined_names, makes_a_claim, read, tags, text_of, visible
from traitlets.config import Config

import gptcore
from gptcore.pages.widget import WITHOUT_A_KERNEL
from gptcore.viz.style import TEXTS
from gptcore.viz.widgets.live import HOW_TO_MOVE_IT

TAG = re.compile(r"C\d\d|setup|guess|predict|check|exercise|extra|raises-exception|nbval-ignore-output")
PERSONAL_PATH = re.compile(r"/(home|root|tmp|Users|work)/\w|(?<![A-Za-z])[A-Z]:\\\\\w")
WEB_IMAGE = re.compile(r"<img[^>]+src=.http|!\[[^\]]*\]\(http")
WITHOUT_HTML = HTMLExporter(
    template_name="classic",  # the other one gives no picture its alternative text
    config=Config(NbConvertBase={"display_data_priority": ["image/png", "text/plain"]}),
)
LONGEST_CELL = 15  # lines with something on them

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def test_the_series_is_complete():
    assert [path.stem[:2] for path in PATHS] == [f"{number:02}" for number in range(len(PATHS))]
    assert len(PATHS) >= 14


@every_notebook
def test_is_a_valid_file_that_names_no_machine(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }, "make outputs writes the metadata"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert not PERSONAL_PATH.search(path.read_text(encoding="utf-8"))


@every_notebook
def test_was_run_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "run `make outputs`: nbval skips cells that never ran"


@every_notebook
def test_has_no_errors_or_warnings_in_its_outputs(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error" or "raises-exception" in tags(cell), cell.source
            assert output.get("name") != "stderr", output.text
        assert not any("Warning" in str(content) for _, content in visible(cell)), cell.source


@every_notebook
def test_every_picture_has_alternative_text_and_none_comes_from_the_web(path):
    for cell in code_cells(path):
        for kind, content in visible(cell):
            assert kind not in ("image/svg+xml", "image/jpeg"), "show pictures with gptcore.viz.figure"
            for picture in re.findall(r"<img[^>]*>", content) if kind == "text/html" else ():
                alt = re.search(r'alt="([^"]*)"', picture)
                assert alt and len(alt[1]) > 40, f"say in a sentence what it shows: {cell.source}"
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):  # for viewers that drop HTML
                assert output.metadata["image/png"]["alt"] == output.data["text/plain"]
                assert output.data["image/png"].strip() in output.data["text/html"]
    assert not WEB_IMAGE.search(path.read_text(encoding="utf-8"))
    assert not re.search(r"!\[\s*\]\(", text_of(path))


@every_notebook
def test_figures_and_their_texts_are_seen_where_html_is_dropped(path):
    page = as_page(path, WITHOUT_HTML)
    figures = [output for cell in code_cells(path) for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(re.findall(r"<img alt=[\"'][^\"']", page)) == len(figures)
    assert "No description has been provided for this image" not in page


@every_notebook
def test_cells_are_short_known_by_their_tags_and_leave_nothing_behind(path):
    for cell in code_cells(path):
        assert cell.source.strip(), "an empty cell"
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= LONGEST_CELL, f"{len(lines)} lines:\n{cell.source}"
        assert not lines[-1].rstrip().endswith(";"), "nbval fails on it: let the last line return None"
        assert all(TAG.fullmatch(tag) for tag in tags(cell)), tags(cell)
        if "guess" in tags(cell):
            assert len(lines) == 1, "a question is asked in one line; tests/exercises/test_ledger.py says which"
        if "nbval-ignore-output" in tags(cell):
            assert makes_a_claim(cell), "what is not compared must be asserted"
    assert "widgets" not in read(path).metadata


@every_notebook
def test_no_answer_can_be_read_before_its_prediction(path):
    """What a prediction's cell shows is folded until it is run, and its code does not tell; what tells comes after."""
    cells = read(path).cells
    for before, cell in zip([None, *cells], cells, strict=False):
        folded = {FOLDED[tag]: True for tag in tags(cell) if tag in FOLDED}
        assert cell.metadata.get("jupyter", {}) == folded, f"run `make outputs`: {cell.source}"
        if "predict" in tags(cell):
            assert cell.outputs, f"a prediction's cell shows the answer:\n{cell.source}"
            assert cell.outputs[0].get("data") == {}, "run `make outputs`: of what is folded the first line can be read"
            assert not makes_a_claim(cell), f"move what it asserts into a cell tagged `check` behind it:\n{cell.source}"
        if "check" in tags(cell):
            assert makes_a_claim(cell) and before.cell_type == "code", cell.source
        if "source_hidden" in folded:
            assert cell.source.startswith("# "), f"its first line can be read; begin with a comment:\n{cell.source}"


@every_notebook
def test_the_alternative_texts_stand_beside_the_figures_code(path):
    code = "\n".join(cell.source for cell in code_cells(path))
    asked = re.findall(r'\bfigure\(\s*(?:f?"([^"]*)"|(\w+))', code)
    names = {text or variable for text, variable in asked}
    texts = tomllib.loads((TEXTS / f"{path.stem[:2]}.toml").read_text(encoding="utf-8"))
    assert names == {f"{path.stem[:2]}.{name}" for name in texts}, "a figure names its text; each text has a figure"


def test_nearly_every_output_is_compared():
    cells = [cell for path in PATHS for cell in code_cells(path)]
    assert sum("nbval-ignore-output" in tags(cell) for cell in cells) <= 0.03 * len(cells)


@every_notebook
def test_follows_the_pattern_of_a_lesson(path):
    number = path.stem[:2]
    cells = read(path).cells
    title = cells[0].source.splitlines()[0]
    assert title.startswith(f"# {number} · ") and title.endswith("?"), title
    assert "minutes" in cells[0].source
    read_cells = [cell for cell in cells if not {"setup", "check", "guess"} & set(tags(cell))]
    assert 20 <= len(read_cells) <= 40, f"{len(read_cells)} cells beside the set-up, the guesses and the folded checks"
    assert "diagrams.gpt_map(" in cells[2].source or number == "00"  # after the title and the set-up
    prose = text_of(path)
    assert len(re.findall(r"\*\*Predict\.\*\*", prose)) >= (1 if number == "00" else 3)
    assert "predict" in {tag for cell in cells for tag in tags(cell)}
    if number != "00":
        assert "## Three sentences to keep" in prose and "## Exercises" in prose and "gptcore/" in prose


@every_notebook
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)", text_of(path)):
        if not target.startswith("http"):
            assert (FOLDER / target).exists(), target
    on_pictures = re.findall(r'<a href=\\"([^"]+)\\"', path.read_text(encoding="utf-8"))
    assert len(on_pictures) >= 10 and all((FOLDER / target).exists() for target in on_pictures), "the map's parts"


@every_notebook
def test_an_explorer_is_a_picture_and_a_sentence_for_readers_without_a_kernel(path):
    explorers = [cell for cell in code_cells(path) if "_explorer(" in cell.source]
    assert explorers, "every notebook has something to move"
    for cell in explorers:
        (output,) = (output for output in cell.outputs if "text/html" in output.get("data", {}))
        assert set(output.data) == {"text/html", "text/plain"}, "make outputs leaves the living widget out"
        assert how_to_move(cell) in output.data["text/html"]
        if "live_explorer(" in cell.source:
            assert "<img" in output.data["text/html"], "give it a picture: live_explorer(name, still)"
    page = as_page(path)
    for sentence, of_this_kind in Counter(map(how_to_move, explorers)).items():
        assert page.count(sentence) == of_this_kind
    assert "No description has been provided for this image" not in page


def how_to_move(cell):
    return WITHOUT_A_KERNEL if "live_explorer(" in cell.source else HOW_TO_MOVE_IT


def test_each_name_has_one_meaning():
    functions = Counter()
    public = set(gptcore.__all__)
    for path in PATHS:
        for cell in code_cells(path):
            definitions, assigned = defined_names(cell)
            assert not public & (definitions | assigned), f"{path.stem} redefines {public & (definitions | assigned)}"
            functions.update(definitions - {"__init__", "forward"})
    twice = [name for name, count in functions.items() if count > 1]
    assert not twice, f"defined more than once: {twice}; build a part once, then import it from gptcore"


def test_the_tables_of_contents_tell_each_title_and_time():
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    start = text_of(PATHS[0])
    for path in PATHS:
        first = read(path).cells[0].source
        title = first.splitlines()[0].split(" · ")[1]
        minutes = re.search(r"About (\d+) minutes", first)[1]
        row = f"{path.name}) | {title} | {minutes} |"
        assert row in readme and (path == PATHS[0] or row in start), row

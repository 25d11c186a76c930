"""A slide deck of each notebook: what is on its slides, and that the file needs nothing else and runs nothing else."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import make_slides
import nbformat
import pytest
from reading import PATHS, text_of
from slide_deck import Slide, cleaned, formula, page, render

from gptcore.tools import bootstrap

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$]+)\$", re.DOTALL)
every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def pieces_at(path):
    return make_slides.pieces_of(nbformat.read(path, as_version=4))


@pytest.fixture(scope="module")
def decks():
    """The slides of each notebook, and its file, by the notebook's name."""
    slides = {path.stem: make_slides.slides_of(pieces_at(path)) for path in PATHS}
    return {name: (slides[name], page(name, slides[name])) for name in slides}


class Elements(HTMLParser):
    """The elements of a page: [(tag, attributes)]."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@every_notebook
def test_a_deck_has_ten_to_fifteen_slides_in_the_order_of_a_lesson(path, decks):
    slides, _ = decks[path.stem]
    kinds = [slide.kind for slide in slides]
    assert 10 <= len(slides) <= 15
    assert f"# {path.stem[:2]} · {slides[0].heading}" == text_of(path).splitlines()[0]
    assert kinds[-1] == "To keep" and kinds.count("The map") == 1
    assert kinds.count("Predict") >= 3
    if path.stem[:2] != "00":
        assert slides[-1].body.count("<li>") == 3, "the three sentences"
        assert kinds[1] == "The map"
    for before, slide in pairwise(kinds):
        assert (before == "Predict") == (slide == "Answer"), "an answer comes right behind its question"


def test_most_decks_show_a_part_built_by_hand_and_something_to_move(decks):
    for kind in ("By hand", "To move, in the notebook"):
        assert sum(any(slide.kind == kind for slide in slides) for slides, _ in decks.values()) >= 10, kind


@every_notebook
def test_what_a_slide_holds_can_be_read_from_the_back(path, decks):
    for slide in decks[path.stem][0]:
        elements = Elements(slide.body).found
        assert sum(tag == "img" for tag, _ in elements) <= 1 or slide.kind.startswith("To move"), slide.heading
        assert all(len(attributes["alt"]) > 40 for tag, attributes in elements if tag == "img")
        words = re.sub(r"<[^>]*>", "", slide.body)
        assert words.strip() or "<img" in slide.body, f"an empty slide: {slide.heading}"
        assert len(words) <= 1100, slide.heading
        for code in re.findall(r'<pre class="code".*?</pre>', slide.body, re.DOTALL):
            assert sum(map(bool, code.splitlines())) <= 15


@every_notebook
def test_an_answer_is_not_on_its_questions_slide(path, decks):
    slides = decks[path.stem][0]
    for question, answer in pairwise(slides):
        if question.kind == "Predict":
            assert "<blockquote>" in question.body and "<img" not in question.body and "<pre" not in question.body
            shown = re.search(r"<(img|pre|table)\b.*?>", answer.body)
            assert shown and shown[0] not in question.body


@every_notebook
def test_the_file_loads_nothing_and_leads_nowhere(path, decks):
    text = decks[path.stem][1]
    for tag, attributes in Elements(text).found:
        assert tag not in ("link", "iframe", "object", "a", "base"), tag
        assert attributes.get("src", "data:image/").startswith("data:image/") and "href" not in attributes
        assert not any(name.startswith("on") for name in attributes), attributes
    assert text.count("<script") == 1 and "url(" not in text and "@import" not in text
    assert len(re.findall("<h1", text)) == 1 and len(text) < 400_000


def test_every_formula_of_the_series_can_be_drawn():
    code = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
    formulas = {tex for path in PATHS for found in FORMULA.findall(code.sub("", text_of(path))) for tex in found if tex}
    assert len(formulas) > 50
    assert [tex for tex in formulas if not formula(tex).startswith("<svg")] == []
    assert render(r"so $\nosuchthing{x}$ then") == "<p>so <code>\\nosuchthing{x}</code> then</p>\n"


def test_what_a_notebook_says_cannot_run():
    mean = "<script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>here</a>"
    for text in (render(mean), cleaned(mean), page(mean, [Slide("Predict", mean, render(mean))])):
        elements = Elements(text).found
        assert "javascript:" not in str([attributes.get("href") for _, attributes in elements])
        assert not any("onerror" in attributes or attributes.get("src") == "x" for _, attributes in elements)
        assert sum(tag == "script" for tag, _ in elements) == (1 if "<!DOCTYPE" in text else 0)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text=mean)]
    (piece,) = make_slides.pieces_of(notebook)
    assert "<script" not in make_slides.preformatted(make_slides.printed(piece), "printed")


def test_a_text_is_cut_where_a_sentence_or_an_item_ends():
    cut = make_slides.first_sentences
    assert cut("It is one. It (see Kim et al. 2020) is two. And three.", 1) == ""
    assert cut("One is short. " + "Two is long, " * 20, 1.5) == "One is short."
    assert cut("Said (Kim. And Lee) here. " + "More, " * 40, 2) == "Said (Kim. And Lee) here."
    assert cut("You can\n- write,\n- read,\n- reckon.", 3.5) == "You can\n- write,\n- read,"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda cell: cell.update(outputs=[]) if "outputs" in cell else None, "it has no stored outputs"),
        (lambda cell: cell.metadata.pop("tags", None), "it has no prediction"),
    ],
)
def test_a_notebook_of_which_no_deck_can_be_made_is_named_and_the_others_have_theirs(
    change, problem, tmp_path, capsys, monkeypatch
):
    for name in ("02_layer_norm", "03_activations"):
        notebook = nbformat.read(make_slides.NOTEBOOKS / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells if name == "02_layer_norm" else ():
            change(cell)
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(make_slides, "NOTEBOOKS", tmp_path)
    make_slides.main(["--to", str(tmp_path / "decks")])
    assert [path.name for path in (tmp_path / "decks").iterdir()] == ["03_activations.html"]
    assert f"No deck of 02_layer_norm: {problem}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=f"No deck of 02_layer_norm: {problem}"):
        make_slides.main(["02_layer_norm", "--to", str(tmp_path)])


def test_it_writes_the_decks_that_are_asked_for(tmp_path, capsys):
    make_slides.main(["14_your_own_gpt", "--to", str(tmp_path / "new")])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["14_your_own_gpt.html"]
    assert "slides, " in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"no notebook '15_more': take one of 00_start_here"):
        make_slides.main(["15_more", "--to", str(tmp_path)])
    assert bootstrap.COMMANDS["slides"] == ["notebooks/teaching/make_slides.py"]
    makefile = (make_slides.NOTEBOOKS.parent / "Makefile").read_text(encoding="utf-8")
    assert "bootstrap.py slides" in makefile

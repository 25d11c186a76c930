"""The web site, made once by its own command: every page read as a file, and opened in a browser."""

import html
import itertools
import re
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from lab_in_chromium import SLOW, serious_faults
from playwright.sync_api import expect

from gptcore.tools.make_site import OUTPUT, make_site, put_in_place

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
PAGES_ON_PAPER = 9
LARGEST_PAGE = 1.5e6  # bytes, with all that it loads but the model


class Page(HTMLParser):
    """What the tests want to know of a page: ids, links, what it loads, pictures without a text, living explorers."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads, self.without_alt, self.places = set(), [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if given.get("class") == "live":
            self.places.append(given["data-explorer"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "search", "index"):
            self.loads.append(given["href"])
        elif given.get("src") or tag == "object":
            self.loads.append(given.get("src") or given.get("data"))
        if tag == "img" and not given.get("alt"):
            self.without_alt.append(given.get("src", "")[:60])
        self.loads += re.findall(r"url\(([^)]+)\)", given.get("style") or "")

    handle_startendtag = handle_starttag


@pytest.fixture(scope="session")
def site():
    """The site in _site: made anew, unless it is there already, made from the same."""
    if find_spec("myst_nb") is None:
        pytest.skip("the site's builder is not installed: `make site` brings it")
    assert make_site(OUTPUT) == 0, "what is wrong stands above"
    return OUTPUT


@pytest.fixture(scope="session")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served, on this machine alone."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(SystemExit, match="name an empty folder"):
        make_site(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.fixture
def new_and_old(tmp_path):
    """A new site and an old one, of one page each."""
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
    return tmp_path / "new", tmp_path / "old"


def test_a_new_site_stands_where_the_old_one_was(new_and_old, tmp_path):
    new, old = new_and_old
    (old / "gone.html").write_text("old")
    link = tmp_path / "link"
    try:
        link.symlink_to(old, target_is_directory=True)
    except OSError:  # Windows may not allow it
        link = old
    put_in_place(new, link)
    assert {path.name: path.read_text() for path in link.iterdir()} == {"index.html": "new"}
    assert {path.name for path in tmp_path.iterdir()} == {"old", link.name}


def test_an_old_site_that_is_in_use_stays_whole_and_the_reason_is_said(new_and_old, monkeypatch):
    new, old = new_and_old

    def in_use(*_):
        raise PermissionError("it is in use")

    monkeypatch.setattr(Path, "rename", in_use)
    with pytest.raises(SystemExit, match=r"old cannot be replaced: it is in use\. Close what has it open"):
        put_in_place(new, old)
    assert [(path.name, path.read_text()) for path in old.iterdir()] == [("index.html", "old")]


def test_an_old_site_comes_back_when_the_new_one_cannot_take_its_place(new_and_old, monkeypatch):
    new, old = new_and_old
    rename = Path.rename

    def only_aside(path, target):
        if path.name == "new":
            raise PermissionError("somebody reads it")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", only_aside)
    with pytest.raises(SystemExit, match="somebody reads it"):
        put_in_place(new, old)
    assert [(path.name, path.read_text()) for path in old.iterdir()] == [("index.html", "old")]


def test_a_file_is_no_place_for_a_site(tmp_path):
    (tmp_path / "page").write_text("mine")
    with pytest.raises(SystemExit, match="page is a file: name a folder"):
        make_site(tmp_path / "page")


def test_an_old_site_stays_whole_where_there_is_no_room_for_the_new_one(new_and_old, monkeypatch):
    new, old = new_and_old

    def full(made, folder):
        Path(folder).mkdir()  # as far as it came
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gptcore.tools.make_site.shutil.move", full)
    with pytest.raises(SystemExit, match="No space left"):
        put_in_place(new, old)
    assert [(path.name, path.read_text()) for path in old.iterdir()] == [("index.html", "old")]
    assert {path.name for path in old.parent.iterdir()} == {"new", "old"}


def test_every_lesson_and_exercise_has_its_page_and_no_solution_does(site, pages):
    wanted = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in NOTEBOOKS.rglob("[0-9]*.ipynb")}
    wanted = {page for page in wanted if "/solutions/" not in page}
    assert len(wanted) == 29
    assert wanted | {"index.html", "notebooks/glossary.html", "gptcore/model.html"} <= pages.keys()
    assert not [page for page in pages if "solutions" in page or "notebook_" in page]


def test_no_answer_is_on_the_site(site, pages):
    for path in sorted((NOTEBOOKS / "solutions").glob("[0-9]*.ipynb")):
        given = source_of(NOTEBOOKS / "exercises" / path.name)
        page = (site / "notebooks" / "exercises" / f"{path.stem}.html").read_text(encoding="utf-8")
        shown = html.unescape(re.sub(r"<[^>]+>", "", page))
        answers = "".join(re.findall(r"BEGIN SOLUTION\n(.*?)### END", source_of(path), re.DOTALL))
        lines = {line.strip() for line in answers.splitlines() if len(line.strip()) > 8}
        assert lines and [line for line in lines if line in shown and line not in given] == [], path.name
    for name in [*pages, "searchindex.js"]:
        text = (site / name).read_text(encoding="utf-8")
        assert "BEGIN SOLUTION" not in text and "BEGIN HIDDEN" not in text, name


def source_of(path):
    return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


def test_every_link_leads_somewhere(site, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme == "https", f"{name}: {link}"
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            there = target.resolve().relative_to(site.resolve()).as_posix()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in pages[there].ids):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    loaded = {(name, address) for name, page in pages.items() for address in page.loads}
    for path in site.rglob("*.css"):
        found = re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", path.read_text(encoding="utf-8"))
        loaded |= {(path.name, first or second) for first, second in found}
    assert [(name, address) for name, address in loaded if re.match(r"(?!data:)\w+:|//", address.strip("\"'"))] == []


def test_a_page_is_small_and_each_picture_has_its_text(site, pages):
    for name, page in pages.items():
        files = {(site / name).parent / urlsplit(address).path for address in page.loads if address[:5] != "data:"}
        assert (site / name).stat().st_size + sum(file.stat().st_size for file in files) <= LARGEST_PAGE, name
        assert page.without_alt == [], name


def test_a_name_in_a_formula_has_no_backslash(site, pages):
    formulas = [each for name in pages for each in re.findall(r"<math.*?</math>", read_page(site / name), re.DOTALL)]
    assert any("head_dim" in each for each in formulas)
    assert [each for each in formulas if "\\" in each] == []


def read_page(path):
    return path.read_text(encoding="utf-8")


def links_of(path):
    """Where a notebook's or a text's links lead, those in its outputs too, from the project's root."""
    if path.suffix == ".md":
        yield from re.findall(r"\]\(([^()\s]+)\)", path.read_text(encoding="utf-8"))
        return
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield from re.findall(r"\]\(([^()\s]+)\)", cell.source)
        for output in cell.get("outputs", []):
            yield from re.findall(r'href="([^"]+)"', output.get("data", {}).get("text/html", ""))


def test_the_notebooks_and_texts_of_the_project_lead_somewhere():
    texts = [*ROOT.glob("*.md"), *NOTEBOOKS.rglob("*.md"), *(ROOT / "gptcore").rglob("*.md")]
    files = [*NOTEBOOKS.rglob("*.ipynb"), *texts]
    found = [(path, link) for path in files for link in links_of(path) if not re.match(r"\w+:", link)]
    assert len(found) > 400
    broken = []
    for path, link in found:
        place, _, fragment = link.partition("#")
        target = path.parent / unquote(place) if place else path
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(f"{path.relative_to(ROOT)}: {link}")
    assert broken == []


def anchors(path):
    """The names of a Markdown text's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def reading(browser):
    """A page of a browser that is told nothing but where to go, and what went wrong or left the site on it."""
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.wrong, page.asked = [], []
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    # A request that the next page has cut off has not failed.
    page.on("requestfailed", lambda request: request.failure == "net::ERR_ABORTED" or page.wrong.append(request.url))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()
    assert page.wrong == []


def is_as_wide_as_its_window(page):
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def is_dark(page):
    return page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) < 128")


# Each page in both themes and both widths. axe-core examines it as it looks last: a quarter of the pages in each look.
LOOKS = [
    [("light", 400), ("dark", 1280)],
    [("dark", 400), ("light", 1280)],
    [("dark", 1280), ("light", 400)],
    [("light", 1280), ("dark", 400)],
]
# Thousands of coloured words, and what surrounds each page, would take axe-core minutes: they are the same everywhere.
CODE_WITHOUT_COLOURS = """
    document.querySelectorAll("pre span").forEach((word) => word.replaceWith(...word.childNodes));
    document.body.normalize();
"""
ITS_OWN_PART = {"context": {"include": [["article"]]}, "options": {"runOnly": ["wcag2a", "wcag2aa"]}}


def test_every_page_can_be_used_in_each_theme_and_width_and_asks_nobody_else(reading, address, pages):
    for name, looks in zip(pages, itertools.cycle(LOOKS), strict=False):
        reading.goto(address + name)
        for theme, width in looks:
            reading.emulate_media(color_scheme=theme)
            reading.set_viewport_size({"width": width, "height": 800})
            assert is_dark(reading) == (theme == "dark"), name
            assert is_as_wide_as_its_window(reading), f"{name}: {width} pixels"
        reading.evaluate(CODE_WITHOUT_COLOURS)
        assert serious_faults(reading, **ITS_OWN_PART) == [], f"{name}: {theme}, {width} pixels"
        assert reading.wrong == [], name
    assert [url for url in reading.asked if not url.startswith((address, "data:"))] == []


# Whole, with the colours of code and by all rules.
LOOKED_AT = [
    ("index", "light"),
    ("notebooks/00_start_here", "dark"),
    ("notebooks/exercises/02_layer_norm", "dark"),
    ("gptcore/model", "light"),
    ("_modules/gptcore/linear", "light"),
    ("_modules/gptcore/linear", "dark"),
]


@pytest.mark.parametrize(("name", "theme"), LOOKED_AT)
def test_the_site_can_be_used_by_everybody(reading, address, name, theme):
    reading.emulate_media(color_scheme=theme)
    reading.goto(f"{address}{name}.html")
    assert is_dark(reading) == (theme == "dark")
    assert serious_faults(reading) == []


ALIVE = {
    "index": ["story"],
    "notebooks/00_start_here": ["tokenizer"],
    "notebooks/02_layer_norm": ["layer_norm"],
    "notebooks/03_activations": ["activation"],
    "notebooks/06_causal_attention": ["attention"],
    "notebooks/09_greedy_generation": ["story"],
    "notebooks/10_why_training_matters": ["story", "attention"],
    "notebooks/13_what_it_learned": ["time_machine"],
}


def test_explorers_come_to_life_where_the_lessons_have_them(reading, address, pages):
    for name, explorers in ALIVE.items():
        reading.goto(f"{address}{name}.html")
        reading.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        places = reading.locator(".live")
        assert [place.get_attribute("data-explorer") for place in places.all()] == explorers, name
        for place, explorer in zip(places.all(), explorers, strict=True):
            place.scroll_into_view_if_needed()
            expect(place).to_have_attribute("data-alive", explorer)
            expect(place.locator("[role=alert]:not(:empty)")).to_have_count(0)
    assert {f"{name}.html" for name in ALIVE} == {name for name, page in pages.items() if page.places}


def test_search_finds_a_word_of_a_lesson(reading, address):
    reading.goto(f"{address}search.html?q=perplexity")
    expect(reading.locator("#search-results li").first).to_be_visible()
    assert reading.locator('#search-results a[href*="10_why_training_matters"]').count() >= 1


def test_a_lesson_on_paper_asks_first_and_answers_at_the_end(reading, address):
    reading.goto(f"{address}notebooks/02_layer_norm.html")
    answers = reading.locator(".on-paper li")
    assert not answers.first.is_visible()  # on a screen they stand where they are asked
    reading.emulate_media(media="print")
    room = """node => ["marginTop", "height"].map(side => parseFloat(getComputedStyle(node, "::after")[side]))
                                           .reduce((a, b) => a + b)"""
    questions = reading.locator("blockquote.predict")
    assert questions.count() >= 5 and all(question.evaluate(room) > 60 for question in questions.all())
    hidden = (".answer", ".tag_predict details", ".tag_check", ".sidebar-drawer", ".doors", ".tag_guess .stream")
    for kind in hidden:
        assert not any(part.is_visible() for part in reading.locator(kind).all()), kind
    assert answers.count() == questions.count()
    assert "That is worse than blind guessing." in answers.first.inner_text()
    assert answers.first.bounding_box()["y"] > questions.last.bounding_box()["y"]
    assert reading.pdf(format="A4").count(b"/Type /Page\n") <= PAGES_ON_PAPER
    assert all(guess.is_visible() for guess in reading.locator(".tag_guess p:first-child").all())
    assert not any(press.is_visible() for press in reading.locator(".tag_guess p + p").all())  # nothing to press here


def test_a_table_on_paper_begins_below_its_heading(reading, address):
    reading.goto(f"{address}notebooks/glossary.html")
    assert reading.pdf(format="A4").count(b"/Type /Page\n") == 2  # three, where the first has nothing but the heading


def test_a_text_of_the_model_and_the_glossary_are_read_without_scrolling_sideways(reading, address):
    wider = "parts => parts.filter(part => part.scrollWidth > part.clientWidth).length"
    reading.goto(f"{address}notebooks/09_greedy_generation.html")
    reading.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    texts = reading.locator(".tag_long-lines .stream pre")
    assert "They were both very proud." in "".join(texts.all_inner_texts())
    assert texts.evaluate_all(wider) == 0
    reading.goto(f"{address}notebooks/glossary.html")
    assert reading.locator(".table-wrapper").evaluate_all(wider) == 0

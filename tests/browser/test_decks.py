"""The slide decks in a browser, from their files: everything fits, keys move them, nothing is fetched."""

import make_slides
import pytest
from axe_playwright_python.sync_playwright import Axe
from lab_in_chromium import SLOW
from reading import PATHS

SIZES = [(1280, 720), (1024, 768)]
SMALLEST_TYPE = 16  # pixels in a window of 1280 x 720; only code and what it prints comes near it
TOO_FULL = """() => [...document.querySelectorAll("section")].filter((slide) =>
    [slide, slide.querySelector(".body")].some((box) =>
        box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1)).map((slide) => slide.id)"""
SMALL_TYPE = """(least) => [...document.querySelectorAll(".body p, .body li, .body td, .body pre")].map((box) =>
    [parseFloat(getComputedStyle(box).fontSize), box.innerText.slice(0, 60)]).filter(([size]) => size < least)"""
SEEN = """() => [...document.querySelectorAll("section")].findIndex((slide) =>
    Math.abs(slide.getBoundingClientRect().top) < 2) + 1"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    make_slides.main(["--to", str(folder)])
    return [folder / f"{path.stem}.html" for path in PATHS]


@pytest.fixture
def page(browser):
    """A page without a network, that must not ask for anything but its file, nor complain."""
    context = browser.new_context(viewport=dict(zip(("width", "height"), SIZES[0], strict=True)), offline=True)
    page = context.new_page()
    page.set_default_timeout(SLOW)
    noticed = []
    page.on("console", lambda message: noticed.append(message.text))
    page.on("pageerror", lambda error: noticed.append(str(error)))
    page.on("request", lambda request: noticed.append(request.url) if request.url.startswith("http") else None)
    yield page
    context.close()
    assert noticed == []


def test_everything_on_every_slide_is_seen_and_large_enough(page, decks):
    for deck in decks:
        page.goto(deck.as_uri())
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("fit()")
            assert page.evaluate(TOO_FULL) == [], f"{deck.stem}, {width} x {height}"
            least = SMALLEST_TYPE * width / SIZES[0][0]
            assert page.evaluate(SMALL_TYPE, least) == [], f"{deck.stem}, {width} x {height}"


def test_keys_and_buttons_move_it_and_everybody_can_use_it(page, decks):
    page.goto(decks[2].as_uri())
    last = page.locator("section").count()
    seen = [page.evaluate(SEEN)]
    for key in ("ArrowRight", "PageDown", "Space", "ArrowDown", "Shift+Space", "PageUp", "End", "ArrowRight", "Home"):
        page.keyboard.press(key)
        seen.append(page.evaluate(SEEN))
    assert seen == [1, 2, 3, 4, 5, 4, 3, last, last, 1]
    page.get_by_role("button", name="Next slide").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate(SEEN) == 2
    page.reload()
    assert page.evaluate(SEEN) == 2, "a page that is loaded again is where it was"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        faults = Axe().run(page).response["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in faults] == []


def test_it_prints_one_slide_on_each_page(page, decks):
    page.goto(decks[5].as_uri())
    slides = page.locator("section").count()
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.count(b"/Type /Page\n") == slides

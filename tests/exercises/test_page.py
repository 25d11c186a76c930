"""The page that a learner keeps: complete, harmless, and without a network."""

from html.parser import HTMLParser

from gptcore.exercises.page import MOST_POINTS, write_page

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, words):
        self.words.append(words)


def page(tmp_path, **changed):
    given = {"name": "Ada", "story": "One day", "losses": [7.0, 3.0, 1.25], "solved": ["14.1"]} | changed
    return Reader(write_page(tmp_path / "mine.html", **given).read_text(encoding="utf-8"))


def test_it_has_the_name_the_story_the_curve_and_what_was_solved(tmp_path):
    read = page(tmp_path)
    text = " ".join(read.words)
    for words in ("A GPT by Ada", "One day", "14.1", "3 training steps, from 7.00 to 1.25"):
        assert words in text
    assert read.tags.count("polyline") == 1 and ("role", "img") in read.attributes


def test_what_is_typed_is_text_and_nothing_is_fetched(tmp_path):
    read = page(tmp_path, name=SCRIPT, story=SCRIPT, solved=[SCRIPT, '" onload="x'])
    assert not {"script", "img", "link", "iframe", "a"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in ("src", "href")]
    assert " ".join(read.words).count("alert(1)") == 4  # the title, the heading, the story, the list
    assert any("default-src 'none'" in (value or "") for _, value in read.attributes)


def test_odd_losses_make_no_odd_page(tmp_path):
    for losses in ([], [3.0], [float("nan"), float("inf")]):
        assert "It was not trained here." in page(tmp_path, losses=losses).words
    read = page(tmp_path, losses=[2.0, float("nan"), 1.0], name="  ")
    assert "A GPT by Somebody" in read.words
    many = page(tmp_path, losses=[1.0] * 10_000)
    (points,) = [value for name, value in many.attributes if name == "points"]
    assert len(points.split()) <= MOST_POINTS

"""Every word of the field is explained where it first comes, and the glossary says where."""

import re

import make_glossary
import pytest
from reading import PATHS, read, text_of

CODE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+", re.DOTALL)
WORDS = make_glossary.first_uses()


def test_the_glossary_is_what_the_notebooks_say():
    assert make_glossary.GLOSSARY.read_text(encoding="utf-8") == make_glossary.text(), "run `make outputs`"
    assert "](glossary.md)" in text_of(PATHS[0])
    assert len(WORDS) >= 30


@pytest.mark.parametrize(("word", "place", "sentence"), WORDS, ids=[word for word, _, _ in WORDS])
def test_a_word_is_not_used_before_it_is_explained(word, place, sentence):
    said = re.compile(rf"\b{re.escape(word)}s?\b", re.IGNORECASE)
    for path in PATHS:
        for cell in read(path).cells[1:]:  # the first one says what is to come
            if cell.cell_type != "markdown":
                continue
            if path == place and sentence in [*make_glossary.sentences(cell.source)]:
                return
            found = said.search(CODE.sub(" ", cell.source))
            assert not found, f"{path.stem}, cell {cell.id}: ...{cell.source[max(0, found.start() - 60) :][:150]}..."

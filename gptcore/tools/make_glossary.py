"""Gather the words of the field where the lessons explain them, and write notebooks/glossary.md.

A lesson gives a word of the field in brackets and italics where the idea first comes: "a bend (*non-linearity*)".

    python gptcore/tools/make_glossary.py
"""

import re
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GLOSSARY = NOTEBOOKS / "glossary.md"
IN_BRACKETS = re.compile(r"\([^()]*\)")
IN_ITALICS = re.compile(r"(?<!\*)\*([^*]+)\*(?!\*)")
END_OF_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z*`])")
HEAD = """# The words of the field

Other books, papers and forums use these words. Each is explained in the notebook beside it, in the sentence that you
see here, and is not used before. `make outputs` gathers them from the notebooks.

| word | notebook | where you meet it |
| --- | --- | --- |
"""


def first_uses():
    """Return (word, notebook's file, sentence) for every word, in the order of the lessons."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for sentence in sentences(cell.source):
                    for brackets in IN_BRACKETS.findall(sentence):
                        for word in IN_ITALICS.findall(brackets):
                            found.setdefault(word, (word, path, sentence))
    return [*found.values()]


def sentences(text):
    """Split prose into sentences, without the marks of lists and quotations, headings and tables."""
    for paragraph in re.split(r"\n\s*\n|\n(?=- |\d+\. |\||#)", text):
        if not paragraph.startswith(("|", "#", "$$")):
            plain = re.sub(r"^(> |- |\d+\. )|\n> ?|\n", lambda mark: " " if "\n" in mark[0] else "", paragraph)
            yield from (sentence.strip().replace("|", r"\|") for sentence in END_OF_SENTENCE.split(plain.strip()))


def text():
    rows = sorted(first_uses(), key=lambda use: use[0].lower())
    lines = [f"| {word} | [{path.stem[:2]}]({path.name}) | {sentence} |" for word, path, sentence in rows]
    return HEAD + "\n".join(lines) + "\n"


def main():
    GLOSSARY.write_text(text(), encoding="utf-8")
    print(f"{len(first_uses())} words in {GLOSSARY.name}")


if __name__ == "__main__":
    main()

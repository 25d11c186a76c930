"""Make a slide deck of each notebook, for the front of the room: one HTML file each that needs no network.

    python notebooks/teaching/make_slides.py                     all notebooks, into the folder slides
    python notebooks/teaching/make_slides.py 02_layer_norm       one of them
    python notebooks/teaching/make_slides.py --to FOLDER         into another folder

Everything comes from the notebook as it is stored; nothing runs. What goes on a slide is found by the pattern of a
lesson and the cells' tags: the question, the map, predictions with their answers, a part built by hand, something to
move, and the three sentences.
"""

import argparse
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from slide_deck import WIDEST_CODE, Slide, cleaned, image, page, preformatted, render, widest

NOTEBOOKS = Path(__file__).resolve().parents[1]
SLIDES = NOTEBOOKS.parent / "slides"

MOST_SLIDES = 15
MOST_PREDICTIONS = 5  # each is two slides
# Beside them at most so many of each kind, in this order, as long as there is room.
FILLERS = {"by hand": 2, "to move": 1, "figure": 1}

# What a slide holds, in lines of CHARACTERS: text beside a picture, and in all.
CHARACTERS = 66
BESIDE_PICTURE, LINES = 4, 13
MOST_ROWS = 10  # of a table

SENTENCE = re.compile(r"[.?!][)*\"”]*(?=\s+[A-Z\"(*`])|\n(?=- |\d\. )")  # its end, or that of a list's item
QUESTION = re.compile(r"> \*\*Predict\.\*\*\s*")
SHOWN_LATER = re.compile(r"next cell|cell below|code below")  # a question that cannot be understood without the code
BREAKS = re.compile(r"break|wrong|without", re.IGNORECASE)
ABLATION = "C36"  # the ledger's row for what the story model loses without a part
PICTURE = re.compile(r"<img [^>]*>")
HOW_TO_MOVE_IT = re.compile(r"<p><em>[^<]*Run the cell in JupyterLab.*?</em></p>")


@dataclass
class Piece:
    """A heading, a paragraph of text (or a list, a table, a formula), or a code cell."""

    kind: str  # "heading", "text" or "code"
    text: str
    heading: str = ""  # the one that it stands under
    cell: object = None

    @property
    def tags(self):
        return set(self.cell.metadata.get("tags", [])) if self.cell else set()

    @property
    def is_question(self):
        return self.kind == "text" and bool(QUESTION.match(self.text))


@dataclass
class Prediction:
    """A question and the cell that answers it, by their places among the pieces."""

    question: int
    answer: int
    figure: int | None  # where the answer's picture stands: in the same cell, or in one behind it that only draws


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a notebook's name, for example 02_layer_norm")
    parser.add_argument("--to", type=Path, default=SLIDES, metavar="FOLDER")
    options = parser.parse_args(arguments)
    there = {path.stem: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    unknown = [name for name in options.names if name not in there]
    if unknown:
        sys.exit(f"There is no notebook {unknown[0]!r}: take one of {', '.join(there)}")
    options.to.mkdir(parents=True, exist_ok=True)
    for name in options.names or there:
        pieces = pieces_of(nbformat.read(there[name], as_version=4))
        if problem := why_no_deck(pieces):
            problem = f"No deck of {name}: {problem}"
            if options.names:
                sys.exit(problem)
            print(problem)
            continue
        slides = slides_of(pieces)
        path = options.to / f"{name}.html"
        path.write_text(page(name, slides), encoding="utf-8")
        print(f"{path}  {len(slides)} slides, {path.stat().st_size / 1e3:.0f} kB")


def why_no_deck(pieces):
    """Say what a notebook lacks that a deck is made of, or nothing."""
    answers = [piece for piece in pieces if "predict" in piece.tags]
    if not answers or not any("gpt_map(" in piece.text for piece in pieces):
        return "it has no prediction with an answer (a cell tagged `predict`), or no map (`gpt_map(...)`)"
    if not all(piece.cell.outputs for piece in answers):
        return "it has no stored outputs. Run all its cells and save it"
    return ""


# What a notebook consists of


def pieces_of(notebook):
    """Return the notebook as a list of Pieces, in its order."""
    pieces, heading = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            pieces.append(Piece("code", cell.source, heading, cell))
            continue
        for block in re.split(r"\n\s*\n", cell.source.strip()):
            if block.startswith("#"):
                heading = block.lstrip("# ").split(" · ")[-1]
            pieces.append(Piece("heading" if block.startswith("#") else "text", block, heading))
    return pieces


def predictions_of(pieces):
    """Return the Predictions; of several cells that answer one question, that with a figure, or else what it prints."""
    found = {}
    question = None
    for place, piece in enumerate(pieces):
        if piece.is_question:
            question = place
        if "predict" in piece.tags:
            found.setdefault(question, []).append(place)
    predictions = []
    for question, answers in found.items():
        answer = next((place for place in answers if printed(pieces[place])), answers[0])
        figure = next((place for place in (*answers, *drawn_behind(pieces, answer)) if picture(pieces[place])), None)
        predictions.append(Prediction(question, answer, figure))
    return predictions


def drawn_behind(pieces, place):
    """Yield the places of the cells that only draw, right behind this one or its check."""
    for behind in range(place + 1, len(pieces)):
        if not pieces[behind].tags & {"check", "extra"}:
            return
        if "extra" in pieces[behind].tags:
            yield behind


def text_around(pieces, start, step):
    """Yield the text from a place on, forwards (1) or backwards (-1), as far as the next code, heading or question."""
    place = start + step
    while 0 <= place < len(pieces) and pieces[place].kind == "text" and not pieces[place].is_question:
        yield pieces[place].text
        place += step


def printed(piece):
    return "".join(output.text for output in piece.cell.outputs if output.output_type == "stream").rstrip("\n")


def picture(piece):
    """The picture of a cell as HTML with its alternative text, or None."""
    for output in piece.cell.outputs:
        if "image/png" in output.get("data", {}):
            return image(output.metadata["image/png"]["alt"], output.data["image/png"])
    return None


def markup(piece):
    """What a map or an explorer looks like at the start, as HTML without what could run; or None.

    Where there are pictures, they and the sentences with them: a table beside them says the same, too small to be read.
    """
    for output in piece.cell.outputs:
        data = output.get("data", {})
        if "text/html" in data and "image/png" not in data:
            shown = cleaned(HOW_TO_MOVE_IT.sub("", data["text/html"]))
            pictures = "".join(PICTURE.findall(shown))
            sentences = "" if "<table" in shown else PICTURE.sub("", shown)
            return f'<div class="pictures">{pictures}</div>{sentences}' if pictures else shown
    return None


# Which of them become slides


def slides_of(pieces):
    """Return the Slides of a notebook with these pieces, ten to fifteen for a lesson that follows the pattern."""
    chosen = best_predictions(pieces)
    by_place = {prediction.question: both_slides(pieces, prediction) for prediction in chosen}
    the_map = next(place for place, piece in enumerate(pieces) if "gpt_map(" in piece.text)
    by_place[the_map] = [map_slide(pieces, the_map)]
    room = MOST_SLIDES - 2 - sum(map(len, by_place.values()))  # beside the first and the last
    for place, slide in fillers(pieces, chosen, room):
        by_place[place] = [slide]
    middle = [slide for place in sorted(by_place) for slide in by_place[place]]
    return [first_slide(pieces), *middle, last_slide(pieces)]


def best_predictions(pieces):
    """Choose: the first, what breaks, those that a figure answers; from all sections, and not all from one end."""
    left = predictions_of(pieces)
    first, chosen = left[0], []
    while left and len(chosen) < MOST_PREDICTIONS:
        best = max(left, key=lambda prediction: worth(pieces, prediction, first, chosen))
        chosen.append(best)
        left.remove(best)
    return sorted(chosen, key=lambda prediction: prediction.question)


def worth(pieces, prediction, first, chosen):
    question, answer = pieces[prediction.question], pieces[prediction.answer]
    lines = printed(answer).splitlines()
    section = [pieces[other.question].heading for other in chosen]
    breaks = ABLATION in answer.tags or BREAKS.search(question.heading)
    already = any(ABLATION in pieces[other.answer].tags for other in chosen)
    points = 3 * (prediction is first) + 3 * (prediction.figure is not None)
    points += (4 if ABLATION in answer.tags else 2) * bool(breaks) * (not already)
    points -= 3 * bool(SHOWN_LATER.search(question.text)) + 2 * (len(lines) > 8) + (len(question.text) > 300)
    points -= 2 * section.count(question.heading)
    points -= 2 * (pieces[prediction.question - 1].kind == "code" or question.text.startswith("> **Predict.** And "))
    apart = min((abs(prediction.question - other.question) for other in chosen), default=0)
    return points + 3 * apart / len(pieces)


def fillers(pieces, chosen, room):
    """Return (place, Slide) of what else is worth a slide, as many as there is room for."""
    used = {place for prediction in chosen for place in (prediction.answer, prediction.figure)}
    places = {kind: [] for kind in FILLERS}
    for place, piece in enumerate(pieces):
        if piece.kind != "code" or place in used or piece.tags & {"setup", "check", "predict"}:
            continue
        if "_explorer(" in piece.text and rows(piece) <= MOST_ROWS:
            places["to move"].append(place)
        elif picture(piece):
            places["figure"].append(place)
        elif "extra" not in piece.tags and built_by_hand(piece) > 1:
            places["by hand"].append(place)
    places["to move"].sort(key=lambda place: rows(pieces[place]))
    places["by hand"].sort(key=lambda place: -built_by_hand(pieces[place]))
    # One of each kind comes before a second of any.
    best = [(kind, place) for kind in FILLERS for place in places[kind][:1]]
    best += [(kind, place) for kind, most in FILLERS.items() for place in places[kind][1:most]]
    make = {"by hand": code_slide, "to move": explorer_slide, "figure": figure_slide}
    return [(place, make[kind](pieces, place)) for kind, place in best[:room]]


def rows(piece):
    """How many rows the tables have that a cell shows."""
    return sum(output.get("data", {}).get("text/html", "").count("<tr") for output in piece.cell.outputs)


def built_by_hand(piece):
    """How good an example of a part built by hand the cell is: more than 1 when it is one."""
    points = 3 * bool(re.search(r"^class |^def my_", piece.text, re.MULTILINE)) + 2 * ("by hand" in piece.heading)
    points += 2 * bool(re.search(r"^def ", piece.text, re.MULTILINE)) + bool(printed(piece))
    points -= (widest(piece.text) > WIDEST_CODE) + 4 * bool(re.search(r"gpt_map\(|show_source\(", piece.text))
    return points - 4 * (printed_lines(printed(piece)) > 4)


# The slides, each by its kind


def first_slide(pieces):
    number = pieces[0].text.removeprefix("# ")[:2]
    goals = [text for text in text_around(pieces, 0, 1) if "https://" not in text and not text.startswith("**About")]
    return Slide(f"Notebook {number}", pieces[0].heading, prose(goals, LINES))


def map_slide(pieces, place):
    return Slide("The map", "Where we are", markup(pieces[place]) + prose(text_behind(pieces, place), BESIDE_PICTURE))


def both_slides(pieces, prediction):
    """A question, and on the next slide its answer."""
    asked = pieces[prediction.question]
    question = QUESTION.sub("", asked.text)
    notes = [*text_around(pieces, prediction.question, 1)]
    before = [*text_around(pieces, prediction.question, -1)]
    if is_answer(pieces, prediction.question - len(before) - 1):
        before[-1:] = []  # says what that answer means
    room = LINES + 2 - lines_of(question) * 1.3 - sum(map(lines_of, notes))
    context = []
    for text in before:
        room -= lines_of(text)
        if room < 0:
            break
        context.insert(0, text)
    body = prose(context) + f"<blockquote>{render(question)}</blockquote>" + prose(notes)
    return [Slide("Predict", asked.heading, body), answer_slide(pieces, prediction)]


def is_answer(pieces, place):
    """Whether the piece at this place answers a prediction, or checks or draws what an answer says."""
    while "extra" in pieces[place].tags:
        place -= 1
    return bool(pieces[place].tags & {"predict", "check"})


def answer_slide(pieces, prediction):
    answer = pieces[prediction.answer]
    if prediction.figure is not None:
        shown, room = picture(pieces[prediction.figure]), BESIDE_PICTURE
    elif printed(answer):
        shown, room = preformatted(printed(answer), "printed"), LINES - printed_lines(printed(answer))
    else:
        shown, room = markup(answer), BESIDE_PICTURE
    return Slide("Answer", answer.heading, shown + prose(text_behind(pieces, prediction.answer), room))


def text_behind(pieces, place):
    """The text that says what an answer means: behind the cells that check and draw.

    Up to the next heading; where a question or code follows instead, the first paragraph: the others lead there.
    """
    while place + 1 < len(pieces) and pieces[place + 1].tags & {"check", "extra"}:
        place += 1
    texts = [*text_around(pieces, place, 1)]
    end = place + len(texts) + 1
    if end < len(pieces) and pieces[end].kind != "heading":
        texts = texts[:1]
    return [first_sentences(text, LINES) if text.endswith(":") else text for text in texts]


def explorer_slide(pieces, place):
    before = [*text_around(pieces, place, -1)][:1]
    body = markup(pieces[place]) + prose(before, BESIDE_PICTURE)
    return Slide("To move, in the notebook", pieces[place].heading, body)


def figure_slide(pieces, place):
    body = picture(pieces[place]) + prose(text_behind(pieces, place), BESIDE_PICTURE)
    return Slide("To see", pieces[place].heading, body)


def code_slide(pieces, place):
    piece = pieces[place]
    code, said = piece.text, printed(piece)
    room = LINES + 2 - 0.8 * len(code.splitlines()) - printed_lines(said)
    before = prose([*text_around(pieces, place, -1)][:1], room)
    shown = preformatted(code, "code") + (preformatted(said, "printed") if said else "")
    return Slide("By hand", piece.heading, before + shown)


def last_slide(pieces):
    """The three sentences to keep; where there are none, what comes last."""
    for place, piece in enumerate(pieces):
        if piece.kind == "heading" and "sentences to keep" in piece.text:
            return Slide("To keep", piece.heading, prose(text_around(pieces, place, 1)))
    texts = [piece.text for piece in pieces if piece.kind == "text"][-2:]
    return Slide("To keep", pieces[-1].heading, prose(texts))


# How much text fits


def lines_of(text):
    """About how many lines a piece of text takes on a slide, the space behind it included."""
    return sum(math.ceil(max(1, len(line)) / CHARACTERS) for line in text.splitlines()) + 0.5


def printed_lines(text):
    """The same for what a cell prints; 0 when that is nothing."""
    return sum(math.ceil(max(1, len(line)) / WIDEST_CODE) for line in text.splitlines()) + bool(text)


def prose(texts, room=math.inf):
    """Return as much of the texts as there is room for; the first is cut, behind a sentence, if it must be."""
    kept = []
    for text in texts:
        if lines_of(text) > room:
            kept += [first_sentences(text, room)] if not kept else []
            break
        room -= lines_of(text)
        kept.append(text)
    return "".join(map(render, kept))


def first_sentences(text, room):
    """Return the longest beginning of a text that fits and ends with a sentence or an item of a list; maybe nothing."""
    for end in reversed([match.end() for match in SENTENCE.finditer(text)]):
        part = text[:end].rstrip()
        whole = part.count("(") == part.count(")") and not any(part.count(mark) % 2 for mark in '*$`"')
        if whole and lines_of(part) <= room and not part.endswith(("al.", "e.g.")):
            return part
    return ""


if __name__ == "__main__":
    main()

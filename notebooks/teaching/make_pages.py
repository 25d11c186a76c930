"""Gather what a teacher wants to know of each exercise: wrong_answers.md, and the table of exercises in README.md.

    python notebooks/teaching/make_pages.py

`make_exercises.py` does it, too.
"""

import json
import re
from pathlib import Path

from gptcore.exercises import EXERCISES
from gptcore.exercises.checking import each_mistake

TEACHING = Path(__file__).resolve().parent
GUIDE, WRONG_ANSWERS = TEACHING / "README.md", TEACHING / "wrong_answers.md"
RATING = re.compile(r"## (\d\d\.\d+) · (.+)\n\n([●○]{3}) · (\d+) min · (.+)\n")
TABLE = re.compile(r"(?<=<!-- exercises: make_pages.py -->\n).*?(?=<!-- /exercises -->)", re.DOTALL)

# Where there is time for three only: what a GPT is made of, something to mend, something to foresee.
AT_LEAST = {
    "01": ("01.2", "01.3", "01.4"),
    "02": ("02.1", "02.3", "02.4"),
    "03": ("03.1", "03.2", "03.4"),
    "04": ("04.1", "04.2", "04.4"),
    "05": ("05.1", "05.3", "05.4"),
    "06": ("06.1", "06.2", "06.4"),
    "07": ("07.1", "07.2", "07.3"),
    "08": ("08.1", "08.4", "08.5"),
    "09": ("09.1", "09.3", "09.4"),
    "10": ("10.2", "10.3", "10.5"),
    "11": ("11.2", "11.3", "11.4"),
    "12": ("12.1", "12.3", "12.4"),
    "13": ("13.1", "13.3", "13.6"),
    "14": ("14.1", "14.2", "14.5"),
}

HEAD = """# Before the lesson: wrong answers to expect

Three for each notebook, what the check says to them, and a word that helps without giving the answer: the first
hint. `make_pages.py` gathers them from what the exercises know. A number or a letter in front is what was answered; the
check knows a function by what it gives.
"""


def ratings():
    """Return (title, points, minutes) of each exercise by its name, as the notebooks say."""
    found = {}
    for path in sorted((TEACHING.parent / "exercises").glob("*.ipynb")):
        for source in sources(path):
            if match := RATING.match(source):
                found[match[1]] = (match[2], match[3].count("●"), int(match[4]))
    return found


def sources(path):
    return ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def lessons():
    """Return (path, names of its exercises) for each notebook with exercises."""
    names = ratings()
    for path in sorted((TEACHING.parent / "exercises").glob("*.ipynb")):
        yield path, [name for name in names if name.startswith(f"{path.stem[:2]}.")]


def table():
    """Return the table of all lessons: minutes and points of each exercise."""
    rated = ratings()
    lines = [
        "| exercises | minutes of each, a point for each ● | minutes | points | at least these |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    minutes, points = 0, 0
    for path, names in lessons():
        each = ", ".join(f"{name}&nbsp;{rated[name][2]}&nbsp;min&nbsp;{'●' * rated[name][1]}" for name in names)
        of_these = [sum(rated[name][part] for name in names) for part in (2, 1)]
        minutes, points = minutes + of_these[0], points + of_these[1]
        least = ", ".join(AT_LEAST.get(path.stem[:2], ()))
        lines.append(f"| [{path.stem}](../exercises/{path.name}) | {each} | {of_these[0]} | {of_these[1]} | {least} |")
    lines.append(f"| all | {len(rated)} exercises | {minutes} | {points} | |")
    return "\n".join(lines) + "\n"


def guide():
    return TABLE.sub(lambda _: table(), GUIDE.read_text(encoding="utf-8"))


def wrong_answers():
    """Return the page: of three exercises of each notebook the first mistake that it declares, its commonest."""
    rated = ratings()
    lines = [HEAD]
    for path, names in lessons():
        least = AT_LEAST.get(path.stem[:2], ())
        checked = [name for name in names if name in EXERCISES]  # what is answered in words, a teacher reads
        telling = [name for name in sorted(checked, key=lambda name: name not in least) if EXERCISES[name].mistakes]
        if not telling:
            continue
        lines.append(f"## {title_of(path)}\n")
        for name in sorted(telling[:3]):
            lines.append(f"- **{name} · {rated[name][0]}** {commonest(name)}\n  *Ask:* {EXERCISES[name].hints[0]}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def title_of(path):
    return re.match(r"# (.+): exercises", sources(path)[0])[1]


def commonest(name):
    """Return the first mistake of an exercise and what is said of it, but for leaving a fault as it was given."""
    mistakes = list(each_mistake(EXERCISES[name].mistakes))
    wrong, said = next((pair for pair in mistakes if not pair[1].startswith("Nothing is mended")), mistakes[0])
    if callable(wrong):
        return said
    answered = f"{wrong:,}" if isinstance(wrong, int) else f"{wrong:,.6g}" if isinstance(wrong, float) else repr(wrong)
    return f"`{answered}`: {said}"


def main():
    GUIDE.write_text(guide(), encoding="utf-8")
    WRONG_ANSWERS.write_text(wrong_answers(), encoding="utf-8")
    print(f"{GUIDE.name} and {WRONG_ANSWERS.name}: {len(ratings())} exercises")


if __name__ == "__main__":
    main()

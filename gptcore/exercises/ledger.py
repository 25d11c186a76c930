"""The ledger of predictions: what was guessed before a cell was run, and how it went.

`guess("03.bend")` shows what to press, `answer("03.bend", value)` opens the answer behind the cell that shows it, and
`guesses("03")` looks back. The guesses are kept with the learner (kept.py), or where nothing can be kept, until the
kernel ends. The last press counts, as long as the answer is not open.
"""

import html
import re
from dataclasses import dataclass

import ipywidgets
from IPython.display import display

from gptcore.exercises import class_guesses
from gptcore.exercises.kept import happened, keep
from gptcore.exercises.questions import find, questions

SURE = ("just a guess", "fairly sure", "certain")
WITH_COMMAS = re.compile(r"\D?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")  # 73,700; in 0,5 the comma means something else
HOW_TO_GUESS = "Run this cell in JupyterLab, and there is something to press or to fill in."

_open_here = set()  # questions whose answers were opened by this kernel
_lines = {}  # what is on the page now, by question


@dataclass
class Guess:
    """What was said to a question before its answer was open, how sure, and whether the answer is open now."""

    said: object = None
    sure: str = ""
    is_open: bool = False


def guess(name):
    """Show question `name`, such as "03.bend", with something to press or to fill in; keep what is guessed.

    Raises: ValueError if there is no question of that name.
    """
    question = find(name)
    _lines[name] = GuessLine(question)
    display(_lines[name])


def answer(name, value):
    """Open the answer to question `name`: print it beside the guess, if there is one.

    `value` is what the lesson has computed, and holds the answer to it.
    Raises: ValueError if there is no question of that name, or `value` gives another answer.
    """
    question = find(name)
    question.hold(value)
    found = _guess_to(question)
    if found.sure and not found.is_open:
        keep("guess", name, opened=True)
    _open_here.add(name)
    if name in _lines:
        _lines.pop(name).end()
    if found.sure:
        print(f"You said: {question.in_words(found.said)} ({found.sure}). {_outcome(question, found)}")


def guesses(notebook=""):
    """Print what was guessed in a notebook, such as "03", or in all of them, and where one was surest and wrong.

    Raises: ValueError if there is no prediction in that notebook.
    """
    asked = [question for name, question in questions().items() if name.startswith(f"{notebook}.") or not notebook]
    if not asked:
        raise ValueError(f"no notebook {notebook!r} has predictions; a name looks like '03'")
    made = [(question, found) for question in asked if (found := _guess_to(question)).sure]
    opened = [(question, found, question.is_right(found.said)) for question, found in made if found.is_open]
    where = f"notebook {notebook}" if notebook else "this course"
    if not made:
        print(f"No guess is kept from {where} yet. Press one before you run the cell below it: then this tells you how")
        print("your guesses went, and where you were surest and wrong.")
        return
    right = sum(is_right for _, _, is_right in opened)
    print(f"Your guesses in {where}: {right} right of {len(opened)}; it has {len(asked)} questions.")
    for question, found, is_right in opened if notebook else ():
        verdict = "✓" if is_right else "✗"
        print(f"{verdict} {question.question} You said: {question.in_words(found.said)} ({found.sure}).")
    if not notebook:
        for sure in reversed(SURE):
            outcomes = [is_right for _, found, is_right in opened if found.sure == sure]
            if outcomes:
                print(f"{sure}: {sum(outcomes)} right of {len(outcomes)}")
    if len(opened) < len(made):
        print(f"Kept, but not open yet: {len(made) - len(opened)}. Run the cells below your guesses.")
    wrong = [(question, found) for question, found, is_right in opened if not is_right]
    surest = max((SURE.index(found.sure) for _, found in wrong), default=0)
    if surest:
        print("Surest and wrong, so most worth remembering:")
    for question, found in wrong if surest else ():
        if found.sure == SURE[surest]:
            print(f"  {question.question} {_outcome(question, found)}")


class GuessLine(ipywidgets.VBox):
    """A question on the page: choices or a box for a number, how sure, and what is kept of it."""

    def __init__(self, question):
        self._question = question
        found = _guess_to(question)
        if question.choices:
            self._said = _buttons("Your guess:", question.choices, found.said)
        else:
            self._said = ipywidgets.Text(
                value="" if found.said is None else f"{found.said:.10g}",
                description=f"Your guess ({question.unit}):",
                continuous_update=False,
                style={"description_width": "initial"},
            )
        self._sure = _buttons("How sure?", SURE, found.sure or SURE[0])
        self._state = _line_of_text("")
        for control in (self._said, self._sure):
            control.observe(self._follow, "value")
        wrapped = ipywidgets.Layout(flex_flow="row wrap", grid_gap="2px 18px", align_items="center")
        rows = [ipywidgets.Box([self._said, self._sure], layout=wrapped)]
        if class_guesses.folder():
            self._share = ipywidgets.Checkbox(
                value=class_guesses.is_sharing(),
                description="Share my guesses with the class, without my name",
                indent=False,
                layout={"width": "auto"},
            )
            self._share.observe(self._follow_sharing, "value")
            rows.append(self._share)
        super().__init__([_line_of_text(question.question), *rows, self._state])
        self.add_class("gptcore-guess")
        if question.name in _open_here or found.is_open:
            self.end()
        elif found.sure:
            self._say(f"Kept: {question.in_words(found.said)}, {found.sure}.")

    def end(self):
        """Take no other guess: the answer is open."""
        self._said.disabled = self._sure.disabled = True
        found = _guess_to(self._question)
        said = f"You said: {self._question.in_words(found.said)}, {found.sure}." if found.sure else "No guess was kept."
        self._say(f"The answer is open. {said}")

    def _follow(self, change):
        if _guess_to(self._question).is_open:  # by another notebook's kernel, perhaps
            self.end()
            return
        said = self._read()
        if said is None:
            return
        forever = keep("guess", self._question.name, said=said, sure=self._sure.value)
        class_guesses.share(self._question.name, said, self._sure.value)
        here = "Kept" if forever else "Kept until you close this notebook"
        self._say(f"{here}: {self._question.in_words(said)}, {self._sure.value}.")

    def _follow_sharing(self, change):
        class_guesses.set_sharing(change["new"])
        found = _guess_to(self._question)
        if change["new"] and found.sure and not found.is_open:
            class_guesses.share(self._question.name, found.said, found.sure)

    def _read(self):
        """Return what is said now, or None; and say where it is no number."""
        if self._question.choices:
            return self._said.value
        typed = self._said.value.strip()
        if not typed:
            return None
        try:
            typed_plain = typed.replace(",", "") if WITH_COMMAS.fullmatch(typed) else typed
            said = float(typed_plain.replace("\N{MINUS SIGN}", "-"))
        except ValueError:
            said = float("nan")
        if not self._question.allows(said):
            self._say(f"{typed!r} is not a number that can be kept; type one such as 12 or 0.5.")
            return None
        return said

    def _say(self, text):
        self._state.value = f'<span role="status">{html.escape(text)}</span>'

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = self._question.as_text()
        question = html.escape(self._question.as_text())
        bundle["text/html"] = f"<p><strong>Your guess.</strong> {question}</p><p><em>{HOW_TO_GUESS}</em></p>"
        return bundle


def _line_of_text(text):
    return ipywidgets.HTML(html.escape(text), layout={"margin": "2px"})


def _buttons(description, options, value):
    style = {"description_width": "initial", "button_width": "auto"}
    return ipywidgets.ToggleButtons(options=options, value=value, description=description, style=style)


def _outcome(question, found):
    verdict = "That is right." if question.is_right(found.said) else f"It is: {question.in_words(question.answer)}."
    return f"{verdict} {question.because}"


def _guess_to(question):
    """Return the Guess to a question; what it holds comes from a file, and what cannot have been said is left out."""
    found = Guess()
    for event in happened("guess"):
        if event["name"] != question.name or found.is_open:
            continue
        if event.get("opened") is True:
            found.is_open = True
        elif question.allows(event.get("said")) and event.get("sure") in SURE:
            found.said, found.sure = event["said"], event["sure"]
    return found

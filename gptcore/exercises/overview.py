"""The whole course at a glance: which exercises are solved, which hints were taken, where to go next."""

import html
import os
from dataclasses import dataclass

from gptcore.exercises import checking, class_guesses
from gptcore.exercises.kept import PLACE, forget_everything, happened, kept, kept_in

NOTEBOOKS = (
    *("01_config_and_shapes", "02_layer_norm", "03_activations", "04_feed_forward", "05_shortcut_connections"),
    *("06_causal_attention", "07_transformer_block", "08_gpt_model", "09_greedy_generation", "10_why_training_matters"),
    *("11_gpt2_weights", "12_fast_generation", "13_what_it_learned", "14_your_own_gpt"),
)
FOLDER = "notebooks/exercises"
HEADERS = ("notebook", "solved", "still open", "hints taken")
# JupyterLab sets the text of tables to the right; colours are those of the page around, whether light or dark.
LEFT = "text-align:left;vertical-align:top"


def progress(forget=False):
    """Return an overview of the course: exercises solved, hints taken, and the one to do next.

    It is read from a file in your own folder, which the overview names. `forget=True` deletes that file, with all that
    is kept of you between sessions, so that you can start over. Where nothing is to be kept, it is an overview of
    this session only.

    Raises: OSError when that file cannot be deleted.
    """
    if forget:
        checking.forget_hints()
        class_guesses.take_back()  # what is shared is known by that file alone
        if not forget_everything():
            raise OSError(f"{kept_in()} cannot be deleted; is it open in another program, or not yours?")
    solved = {event["name"] for event in happened("solved")} & checking.EXERCISES.keys()
    taken = checking.hints_taken()
    rows = []
    for notebook in NOTEBOOKS:
        names = [name for name in checking.EXERCISES if name.startswith(f"{notebook[:2]}.")]
        done = [name for name in names if name in solved]
        hints = [f"{name} ({taken[name]} of {len(checking.EXERCISES[name].hints)})" for name in names if name in taken]
        if kept_in() is None and not done and not hints:
            continue
        rows.append(
            (
                notebook.replace("_", " "),
                f"{len(done)} of {len(names)}" + (f" ({', '.join(done)})" if 0 < len(done) < len(names) else ""),
                ", ".join(name for name in names if name not in solved) if done else "all",
                ", ".join(hints),
            )
        )
    of = "in this session" if kept_in() is None else f"of {len(checking.EXERCISES)}"
    return Progress(f"Exercises solved: {len(solved)} {of}", rows, [_next(solved), _place()])


@dataclass
class Progress:
    """What `progress` shows: a table in a notebook, and lines of text everywhere else.

    title:  how much is solved in all
    rows:   for each notebook its name, and what is solved, still open, and which hints were taken
    below:  the sentences under the table
    """

    title: str
    rows: list
    below: list

    def __repr__(self):
        lines = []
        for notebook, solved, still_open, hints in self.rows:
            lines += [f"{notebook}: solved {solved}"]
            lines += [f"    still open: {still_open}"] * (still_open not in ("", "all"))
            lines += [f"    hints taken: {hints}"] * bool(hints)
        return "\n".join([f"{self.title}.", *lines, *self.below])

    def _repr_html_(self):
        head = "".join(f'<th scope="col" style="{LEFT}">{header}</th>' for header in HEADERS)
        body = ""
        for notebook, *cells in self.rows:
            body += f'<tr><th scope="row" style="{LEFT}">{html.escape(notebook)}</th>'
            body += "".join(f'<td style="{LEFT}">{html.escape(cell) or "none"}</td>' for cell in cells) + "</tr>"
        title, below = html.escape(self.title), "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self.below)
        if not body:
            return f"<p>{title}</p>{below}"
        return (
            f'<table><caption style="text-align:left;color:inherit">{title}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"
        )


def _next(solved):
    """Return the sentence that says where to go: on in the notebook worked on last, or to what is open before it."""
    still_open = [name for name in checking.EXERCISES if name not in solved]
    if not still_open:
        return "You have solved every exercise of the course."
    done = [event for event in happened("solved") + happened("hint") if event["name"] in checking.EXERCISES]
    last = max(done, key=lambda event: str(event.get("when", "")), default={"name": ""})["name"].split(".")[0]
    name = next((name for name in still_open if name.split(".")[0] == last), still_open[0])
    notebook = next(notebook for notebook in NOTEBOOKS if name.startswith(notebook[:2]))
    begin = "Next:" if solved else "Nothing is solved yet. Begin with"
    return f"{begin} {name}, in {FOLDER}/{notebook}.ipynb"


def _place():
    """Return the sentence that says where all this is kept."""
    path = kept_in()
    if path is None:
        return f"Nothing is kept for the next session: the environment variable {PLACE} says so."
    home = os.path.expanduser("~")
    shown = f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)
    if any(len(happened(kind)) > len(kept(kind)) for kind in ("solved", "hint")):
        return f"This could not be kept for the next session: {shown} cannot be written."
    return (
        f"Kept for you alone, on this machine: {shown}. progress(forget=True) deletes it, and with it the hints and "
        "guesses that are kept."
    )

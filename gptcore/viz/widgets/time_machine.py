"""Notebook 13: the film of the story model's training, moment by moment."""

import html

import torch

from gptcore import get_story_tokenizer, story_film
from gptcore.viz import plots
from gptcore.viz.style import COLOURS, MARKERS, our_look
from gptcore.viz.widgets.attention import HeadByHead
from gptcore.viz.widgets.generation import likeliest
from gptcore.viz.widgets.live import Explorer, LiveFigure, choice, pick, side_by_side
from gptcore.viz.widgets.tokens import visible

_FIRST_STEP = 2  # where step 0 stands on an axis that doubles


@our_look()
def time_machine_explorer():
    """Go through the training of the story model: what it writes, what it expects next, where its heads look."""
    film, tokenizer = story_film(), get_story_tokenizer()
    show = {"where it looks": _Looks(film), "a map of its words": _Map(film)}
    losses = _Losses(film)

    def view(moment, prompt, panel):
        ids, chances = zip(*film.next_tokens(prompt, moment), strict=True)
        best = torch.return_types.topk((torch.tensor(chances), torch.tensor(ids)))
        first = visible(ids[0], tokenizer)
        written = film.written(moment)
        words = f"{losses.words(moment)} After the beginning, {first} is likeliest. {show[panel].words(moment, prompt)}"
        sample = f'<p style="white-space:pre-wrap"><em>It writes:</em> {html.escape(written)}</p>'
        beginning = f"<p><em>The beginning:</em> {html.escape(film.prompts[prompt])}</p>"
        pictures = losses.picture(moment) + show[panel].picture(moment, prompt)
        page = sample + pictures + beginning + side_by_side(likeliest(best, tokenizer)) + f"<p>{html.escape(words)}</p>"
        return page, f"{words} It writes: {written}"

    controls = {
        "moment": pick("after step", [(str(step), moment) for moment, step in enumerate(film.steps)], 0),
        "prompt": choice("beginning", [(str(i + 1), i) for i in range(len(film.prompts))]),
        "panel": choice("show", list(show)),
    }
    Explorer("time_machine_explorer", view, controls).show()


class _Losses:
    """Both losses over the steps, and where on the way we are."""

    def __init__(self, film):
        self._film = film
        self._steps = [max(step, _FIRST_STEP) for step in film.steps]
        self._figure = LiveFigure("The losses over the training steps.", size=(7.2, 2.6))
        axes = self._figure.axes
        shown = {"all tokens": film.losses["all tokens"], "names that came before": film.losses["names again"]}
        plots.lines(axes, self._steps, shown, markers=True, log_x=True, title="two losses of one training",
                    xlabel="training step (the first one stands for 0)", ylabel="loss (nats per token)")  # fmt: skip
        axes.set_xticks([5, 20, 100, 300, 500, 1000, 2500], ["5", "20", "100", "300", "500", "1000", "2500"])
        (self._now,) = axes.plot([_FIRST_STEP] * 2, axes.get_ylim(), color="black", linewidth=1.5, linestyle=":")

    def picture(self, moment):
        self._now.set_xdata([self._steps[moment]] * 2)
        return self._figure.picture(self.words(moment))

    def words(self, moment):
        everything, again = (self._film.losses[kind][moment] for kind in ("all tokens", "names again"))
        step = self._film.steps[moment]
        return f"Step {step}: loss {everything:.2f} over all tokens, {again:.2f} on names that came before."


class _Looks:
    """Where each head looks from the last token of the beginning."""

    def __init__(self, film):
        self._film, tokenizer = film, get_story_tokenizer()
        self._names = [[visible(tokenizer.encode(token, allowed_special="all")[0], tokenizer) for token in tokens]
                       for tokens in film.tokens]  # fmt: skip
        self._heads = HeadByHead(*film.attention(0, 0).shape[:2], max(map(len, film.tokens)))

    def picture(self, moment, prompt):
        return self._heads.picture(self._film.last_looks(prompt, moment), self._names[prompt])

    def words(self, moment, prompt):
        return self._heads.words(self._film.last_looks(prompt, moment), self._names[prompt])


class _Map:
    """The words' rows of the output head, laid flat: words of one kind come to lie together."""

    def __init__(self, film):
        self._film = film
        self._figure = LiveFigure("A map of the words, as the output head holds them, by kinds.", size=(7.2, 4.6))
        axes = self._figure.axes
        self._dots = []
        for i, (kind, places) in enumerate(zip(film.words, film.places_by_kind(-1), strict=True)):
            style = i % len(COLOURS)
            marker = MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]  # no two kinds alike in colour and in marker
            dots = axes.scatter(*places.T, s=26, color=COLOURS[style], marker=marker, label=kind)
            self._dots.append(dots)
        reach = 1.05 * film.places(-1).abs().max().item()
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), title="a map of the words: their rows of the output head",
                 xlabel="first direction (no unit)", ylabel="second direction (no unit)")  # fmt: skip
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    def picture(self, moment, prompt):
        for dots, places in zip(self._dots, self._film.places_by_kind(moment), strict=True):
            dots.set_offsets(places.numpy())
        return self._figure.picture(self.words(moment, prompt))

    def words(self, moment, prompt):
        share = self._film.spread_within_kinds(moment)
        return f"On the map, {share:.0%} of the spread of the words lies within their kinds."

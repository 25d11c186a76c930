"""The explorers without a browser: what they compute, what they refuse, what they leave behind."""

import asyncio
import ctypes
import gc
import html
import inspect
import platform
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import ipywidgets
import matplotlib.style
import psutil
import pytest
import torch
from kernel_memory import MEGABYTE, private_bytes
from matplotlib.figure import Figure
from torch.nn import functional as F

import gptcore
from gptcore.viz import plots, widgets
from gptcore.viz.widgets import functions, generation, live
from gptcore.viz.widgets.attention import every_head
from gptcore.viz.widgets.live import LiveFigure
from gptcore.viz.widgets.tokens import visible
from gptcore.viz.widgets.training import TrainingView


@pytest.fixture(scope="module", autouse=True)
def collect_only_what_is_new():
    """Garbage is collected here many times; to look through all of PyTorch each time takes longer than the tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@cache
def small_model():
    torch.manual_seed(123)
    return gptcore.GPTModel(
        {**gptcore.GPT_CONFIG_124M, "context_length": 32, "emb_dim": 16, "n_heads": 2, "n_layers": 2}
    ).eval()


def latest():
    """Return the Explorer that was shown last."""
    return next(reversed(live._shown.values()))


def show(name):
    """Call an explorer by its name; return the Explorer that it shows."""
    function = getattr(widgets, name)
    arguments = [small_model()] if "model" in inspect.signature(function).parameters else []
    if name == "cut_explorer":  # which asks what the model knows of the stories
        arguments = [gptcore.GPTModel.from_pretrained("stories")]
    assert function(*arguments) is None, "Out[] would keep it"
    return latest()


def close_all():
    for explorer in live._shown.values():
        explorer.close()
    live._shown.clear()


@pytest.fixture
def model():
    return small_model()


@pytest.fixture
def explore():
    """`show`; what it has shown is closed at the end."""
    yield show
    close_all()


@pytest.fixture(scope="module", params=widgets.__all__)
def explorer(request):
    """Each explorer once, for all tests that leave it as it was."""
    yield show(request.param)
    close_all()


every_explorer = pytest.mark.parametrize("name", widgets.__all__)


def test_has_a_picture_for_readers_without_a_kernel(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == explorer.words and len(explorer.words) > 40
    assert live.HOW_TO_MOVE_IT in bundle["text/html"]
    for picture in re.findall("<img[^>]*>", bundle["text/html"]):
        alt = html.unescape(re.search('alt="([^"]*)"', picture)[1])
        reading = alt.split(". ", 1)[1]  # after what is drawn
        assert reading in explorer.words and len(alt) > 40 and 'height="' in picture


# What is said repeats the control's own value, so it proves nothing; config_explorer's line in bold is computed.
SAID = re.compile(r'<p( [^>]*)?>(?!<strong>).*?</p>|<caption>.*?</caption>|alt="[^"]*"', re.DOTALL)
ACTS_ONLY_WITH = {
    ("ablation_explorer", "head"): {"part": "head"},
    ("cut_explorer", "head"): {"part": "head"},
    ("activation_explorer", "value"): {"function": "SwiGLU gate"},
}


def test_each_control_changes_what_is_drawn_and_back(explorer):
    for control_name, control in explorer.controls.items():
        others = ACTS_ONLY_WITH.get((explorer.name, control_name), {})
        at_first = {each: explorer.controls[each].value for each in others}
        for each, value in others.items():
            explorer.controls[each].value = value
        before, drawn = control.value, SAID.sub("", explorer._picture.value)
        control.value = another_value(control)
        assert explorer._problem.value or SAID.sub("", explorer._picture.value) != drawn, control_name
        control.value = before
        assert SAID.sub("", explorer._picture.value) == drawn, control_name
        for each, value in at_first.items():
            explorer.controls[each].value = value


def another_value(control):
    if isinstance(control, ipywidgets.Checkbox):
        return not control.value
    if isinstance(control, ipywidgets.Text):
        return {"text": "Hi", "sentence": "Hi there", "prompt": "Hi"}.get(control.description, "4, 3, 2, 9")
    if isinstance(control, ipywidgets.ToggleButtons | ipywidgets.SelectionSlider):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
        return values[values.index(control.value) - 1]
    return control.value + control.step if control.value < control.max else control.min


def test_ten_moves_take_less_than_1_megabyte(explorer):
    is_writer = explorer.name == "generation_explorer"
    control = explorer.controls["written"] if is_writer else next(iter(explorer.controls.values()))
    values = [control.value, another_value(control)]

    def move(times):
        for i in range(times):
            control.value = values[(i + 1) % 2]
        return kept_bytes()

    levels = [move(10)]  # what matplotlib and PyTorch keep from the first time on does not count
    levels += [move(10) for _ in range(3)]
    growth = sorted(after - before for before, after in pairwise(levels))
    assert growth[1] < 1 * MEGABYTE  # what is kept is kept each time; elsewhere memory also comes and goes by itself


def kept_bytes():
    """The bytes that this process really keeps."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # it holds pieces of 4 MB and more back, which come and go by themselves
    return private_bytes(psutil.Process().memory_info())


def test_what_was_moved_last_is_shown_last_whatever_thread_moved_it():
    """ipykernel 7 hands the messages of one explorer to several threads."""
    first_is_drawing, second_is_done = threading.Event(), threading.Event()

    def view(first, second):
        if first and not second:
            first_is_drawing.set()
            second_is_done.wait(0.3)  # for an explorer that begins with the second before it is done with the first
        return "", f"{first} {second}"

    controls = {name: live.switch(name) for name in ("first", "second")}
    explorer = live.Explorer("two_switches", view, controls)
    thread = threading.Thread(target=setattr, args=(controls["first"], "value", True))
    thread.start()
    first_is_drawing.wait()
    controls["second"].value = True
    second_is_done.set()
    thread.join()
    assert explorer.words == "True True"
    explorer.close()


@every_explorer
def test_shown_again_it_closes_the_first_and_all_its_parts(name, explore):
    explore(name)
    gc.collect()
    widgets_open, figures = len(ipywidgets.widgets.widget._instances), count_figures()
    for _ in range(2):
        explore(name)
    gc.collect()
    assert len(ipywidgets.widgets.widget._instances) == widgets_open
    assert count_figures() == figures


def count_figures():
    return sum(type(thing) is Figure for thing in gc.get_objects())


@every_explorer
def test_leaves_the_notebooks_random_numbers_alone(name, model, explore):
    torch.manual_seed(7)
    explore(name)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize(("name", "control", "value", "problem"), [
    ("token_explorer", "text", "", "text is empty"),
    ("token_explorer", "text", "x" * 401, "the text has 401 characters; 400 fit here"),
    ("attention_explorer", "text", "a" + " b" * 12, "the sentence has 13 tokens; 10 fit"),
    ("norm_axis_explorer", "token_0", "1, 2", "'1, 2' must be four numbers"),
    ("norm_axis_explorer", "token_0", "1, 2, 3, 1e9", "from -1000 to 1000"),
    ("norm_axis_explorer", "token_0", "1, 2, 3, nan", "from -1000 to 1000"),
    ("norm_axis_explorer", "token_0", "one", "'one' is not four numbers"),
    ("config_explorer", "n_heads", 20, "emb_dim=768 is not divisible by n_heads=20"),
    ("size_explorer", "n_heads", 20, "emb_dim=768 is not divisible by n_heads=20"),
    ("generation_explorer", "prompt", "", "text is empty"),
    ("sampling_explorer", "prompt", "", "text is empty"),
    ("ablation_explorer", "text", "x" * 401, "the text has 401 characters; 400 fit here"),
    ("ablation_explorer", "text", " a" * 40, "40 tokens are more than context_length=32"),
    ("generation_explorer", "prompt", "x" * 401, "the prompt has 401 characters; 400 fit here"),
    ("lens_explorer", "text", "", "text is empty"),
    ("lens_explorer", "text", " a" * 41, "the text has 41 tokens; 40 fit here"),
    ("patch_explorer", "other", "Tom", "tokens; they need the same number"),
    ("cut_explorer", "text", "x" * 401, "the text has 401 characters; 400 fit here"),
])  # fmt: skip
def test_what_cannot_be_is_said_and_the_last_good_view_stays(name, control, value, problem, explore):
    explorer = explore(name)
    before, good = explorer._picture.value, explorer.controls[control].value
    explorer.controls[control].value = value
    said = explorer._problem.value.replace("&#x27;", "'")
    assert "Not possible" in said and problem in said
    assert explorer._picture.value == before
    explorer.controls[control].value = good
    assert explorer._problem.value == ""


@pytest.mark.parametrize(
    "name",
    [
        "token_explorer",
        "attention_explorer",
        "generation_explorer",
        "sampling_explorer",
        "ablation_explorer",
        "lens_explorer",
        "cut_explorer",
    ],
)
def test_what_is_typed_is_shown_as_text(name, explore):
    explorer = explore(name)
    control = explorer.controls.get("text") or explorer.controls["prompt"]
    control.value = '<i x="1">&'
    assert explorer._problem.value == ""
    for sign in ("<i", 'x="1'):
        assert sign not in explorer._picture.value.replace("<img", "").replace("style=", "")


def test_layer_norm_explorer_computes_layer_norm(explore):
    explorer = explore("layer_norm_explorer")
    explorer.controls["x0"].value = 8.0
    explorer.controls["scale"].value = 2.0
    expected = 2 * F.layer_norm(torch.tensor([8.0, -1.0, 0.5, 2.0]), (4,))
    assert f"After: mean {0:.2f}, variance {expected.var(correction=0):.2f}" in explorer.words


@pytest.mark.parametrize(("x0", "mean"), [(3.0, "1.12"), (-8.4, "-1.73"), (-9.6, "-2.02"), (-1.5, "0.00")])
def test_layer_norm_explorer_rounds_as_the_page_does(x0, mean, explore):
    """Half way between two decimals, in double precision; in float32 -2.025 would be -2.03."""
    explorer = explore("layer_norm_explorer")
    explorer.controls["x0"].value = x0
    assert f"Before: mean {mean}, " in explorer.words and "After: mean 0.00, " in explorer.words


def test_layer_norm_explorer_cuts_no_bar_off(explore):
    explorer = explore("layer_norm_explorer")
    farthest = {"x0": 10.0, "x1": -10.0, "x2": -10.0, "x3": -10.0, "scale": 3.0, "shift": 3.0}
    for name, value in farthest.items():
        explorer.controls[name].value = value
    before, after = axes_of("before")
    assert before.get_ylim() == after.get_ylim()  # what layer norm does to the size can be seen
    tallest = max(bar.get_height() for bar in after.patches)
    assert tallest == pytest.approx(8.196, abs=0.001) and tallest < after.get_ylim()[1]


def axes_of(title):
    """The axes of the open figure whose first one has this title."""
    gc.collect()
    figures = [thing for thing in gc.get_objects() if type(thing) is Figure]
    (figure,) = [figure for figure in figures if figure.axes[0].get_title() == title]
    return figure.axes


def test_norm_axis_explorer_writes_every_number(explore):
    explorer = explore("norm_axis_explorer")
    explorer.controls["token_0"].value = "0.25, 2, -30, 1000"
    before, after = ([text.get_text() for text in axes.texts] for axes in axes_of("the batch"))
    assert before[:5] == ["0.25", "2", "-30", "1000", "10"]
    assert len(before) == len(after) == 12


def test_norm_axis_explorer_takes_rows_or_columns(explore):
    explorer = explore("norm_axis_explorer")
    explorer.controls["along"].value = "batch norm"
    assert "every feature has mean 0 (0.0, 0.0, 0.0, 0.0)" in explorer.words
    explorer.controls["token_1"].value = "1, 2, 3, 4"
    explorer.controls["token_2"].value = "1, 2, 3, 4"
    assert "Token 0 is now 0.0, 0.0, 0.0, 0.0" in explorer.words  # all tokens equal


@pytest.mark.parametrize(("function", "expected"), [
    ("GELU, tanh form (GPT-2)", (-0.045, -0.086)), ("GELU, exact", (-0.046, -0.085)), ("ReLU", (0.0, 0.0)),
    ("SiLU", (-0.238, -0.091)), ("SwiGLU gate", (-0.477, -0.182)),
])  # fmt: skip
def test_activation_explorer_gives_value_and_slope(function, expected, explore):
    explorer = explore("activation_explorer")
    explorer.controls["value"].value = 2.0
    explorer.controls["function"].value = function
    explorer.controls["x"].value = -2.0
    output, slope = expected
    assert f"the output is {output:.3f} and the slope is {slope:.3f}" in explorer.words


def test_gelu_error_explorer_finds_the_published_number_good(explore):
    explorer = explore("gelu_error_explorer")

    def error(coefficient):
        explorer.controls["coefficient"].value = coefficient
        return float(re.search(r"wrong by (\S+)", explorer.words)[1])

    assert error(0.0445) < 0.0005 < error(0.06) and error(0.0445) < error(0.03)


def test_feed_forward_explorer_fits_better_with_more_units(explore):
    explorer = explore("feed_forward_explorer")
    errors = []
    for expansion in range(1, 9):
        explorer.controls["expansion"].value = expansion
        errors.append(float(re.search(r"misses the sine by (\S+)", explorer.words)[1]))
    assert errors == sorted(errors, reverse=True) and errors[0] > 0.4 and errors[-1] == 0
    explorer.controls["expansion"].value = 4
    in_a_block = gptcore.parameter_table(gptcore.GPT_CONFIG_124M)["feed-forward"] // 12
    assert f"{in_a_block:,} parameters in each block, {2 * 2 * 4 * 768**2:,} FLOP" in explorer.words


def test_gradient_explorer_shows_that_shortcuts_help(explore):
    explorer = explore("gradient_explorer")

    def ratio():
        return float(re.search(r"a ratio of (\S+)\.( |$)", explorer.words)[1])

    explorer.controls["depth"].value = 24
    assert ratio() < 1e-8
    explorer.controls["shortcut"].value = True
    assert 0.5 < ratio() < 2


def test_attention_explorer_is_causal_only_with_the_mask(explore):
    explorer = explore("attention_explorer")
    for head in range(4):
        explorer.controls["head"].value = head
        explorer.controls["mask"].value = True
        assert "on the future: 0%" in explorer.words
        explorer.controls["mask"].value = False
        assert float(re.search(r"future: (\d+)%", explorer.words)[1]) > 20


def test_attention_explorer_shows_a_trained_head_that_fetches(explore):
    widgets.attention_explorer("the cat", trained=gptcore.GPTModel.from_pretrained("stories"))
    explorer = latest()
    explorer.controls["block"].value = 3
    explorer.controls["head"].value = 1
    explorer.controls["text"].value = 'The cat had a red hat, and now it was gone. "Please help me to find my'
    assert "0.99, to ␣hat" in explorer.words and "on the future: 0%" in explorer.words
    explorer.controls["block"].value = "an untrained layer"
    assert "the sentence has 20 tokens; 10 fit" in explorer._problem.value


def test_a_picture_of_every_head_shows_what_is_typed_as_text():
    model, text = gptcore.GPTModel.from_pretrained("stories"), "One day Anna met a fox."
    page, words = every_head(text, model)
    assert words.endswith(f"strongest look goes to ␣Anna: 1.00, by head 1 of block 3. The text: {text}")
    page, words = every_head("<b>$x", model)
    assert "The text: <b>$x" in words and "<b>" not in page
    with pytest.raises(ValueError, match="at least two tokens are needed, got 1; "):
        every_head("", model)


def test_attention_without_scaling_prefers_one(explore):
    explorer = explore("attention_explorer")

    def largest():
        return float(re.search(r"largest weight, (\S+),", explorer.words)[1])

    scaled = largest()
    explorer.controls["scaling"].value = False
    assert largest() > scaled + 0.1


@pytest.mark.parametrize(("norm_place", "shortcut", "length"), [
    ("before (GPT-2)", True, 9.3), ("before (GPT-2)", False, 1.2), ("after (2017)", True, 6.9),
    ("off", False, 0.35), ("off", True, 11),
])  # fmt: skip
def test_residual_stream_explorer_measures_its_length(norm_place, shortcut, length, explore):
    explorer = explore("residual_stream_explorer")
    explorer.controls["norm_place"].value = norm_place
    explorer.controls["shortcut"].value = shortcut
    assert f"and {length} after block 12" in explorer.words


def test_config_explorer_counts_a_megabyte_as_the_notebooks_do(explore):
    assert explore("config_explorer").words.startswith("163,009,536 parameters, 652.04 MB in float32; head_dim 64.")


def test_size_explorer_counts_as_accounting_does(explore):
    explorer = explore("size_explorer")
    cfg = gptcore.GPT_CONFIG_1542M
    for name in ("n_heads", "emb_dim", "n_layers"):
        explorer.controls[name].value = cfg[name]
    explorer.controls["emb_dim"].value = 1600
    needs = [
        sum(gptcore.memory_bytes(cfg, tied=True, num_tokens=1024, training=t).values()) / 1e9 for t in (False, True)
    ]
    assert f"{gptcore.count_parameters(cfg, tied=True):,} parameters" in explorer.words
    assert f"{needs[0]:.2f} GB to run, {needs[1]:.2f} GB to train" in explorer.words


def test_numbers_above_bars_are_written_out():
    assert [live.short(size, 3) for size in (0.0131, 4.9, 350.2, 2503)] == ["0.0131", "4.9", "350", "2,500"]


def test_every_choice_shows_which_button_is_pressed(explore):
    widgets.attention_explorer(trained=gptcore.GPTModel.from_pretrained("stories"))
    attention = latest()
    for control in (attention.controls["block"], explore("sampling_explorer").controls["top_k"]):
        for index in range(len(control.options)):
            control.index = index  # as a button does that is pressed
            assert control.index == index and control.value is not None


def test_what_the_activation_explorer_marks_stays_in_the_picture(explore, monkeypatch):
    figures = []
    monkeypatch.setattr(
        functions, "LiveFigure", lambda *args, **more: figures.append(LiveFigure(*args, **more)) or figures[0]
    )
    explorer = explore("activation_explorer")
    for function in functions.ACTIVATIONS:
        for x, value in ((-4.0, -2.0), (-4.0, 2.0), (4.0, -2.0), (4.0, 2.0), (4.0, 1.0)):
            for name, moved in {"function": function, "x": x, "value": value}.items():
                explorer.controls[name].value = moved
            for axes in figures[0].axes:
                low, high = axes.get_ylim()
                for line in axes.lines[0], axes.lines[-1]:  # the curve and the point
                    assert low < min(line.get_ydata()) and max(line.get_ydata()) < high, (function, value)


def test_a_token_that_nobody_would_see_is_shown_as_its_bytes():
    tokenizer = gptcore.get_tokenizer()
    letters = (" a", "\n\n", "\x1e", "\xa0")
    assert [visible(tokenizer.encode(text)[0]) for text in letters] == ["␣a", "⏎⏎", "1e", "c2 a0"]


def test_generation_explorer_writes_what_the_greedy_loop_writes(model, explore):
    explorer = explore("generation_explorer")
    explorer.controls["written"].value = 5
    written = gptcore.generate_text_simple(model, gptcore.text_to_token_ids("Hello, I am"), 5, context_size=32)
    assert gptcore.token_ids_to_text(written) in explorer.words
    with torch.no_grad():
        probabilities = model(written)[0, -1].softmax(dim=-1)
    assert f"Entropy {torch.special.entr(probabilities).sum():.2f}" in explorer.words
    explorer.controls["written"].value = 0
    assert "0 tokens written" in explorer.words and explorer.words.endswith("The text: Hello, I am")


def test_generation_explorer_takes_the_models_own_tokenizer(capsys):
    tokenizer, prompt = gptcore.get_story_tokenizer(), "<|endoftext|>The fox"
    story_model = gptcore.GPTModel.from_pretrained("stories")
    widgets.generation_explorer(story_model, prompt, tokenizer)
    explorer = latest()
    explorer.controls["written"].value = 4
    written = gptcore.generate(story_model, gptcore.text_to_token_ids(prompt, tokenizer), 4)
    assert gptcore.token_ids_to_text(written, tokenizer) in explorer.words


def test_sampling_explorer_shows_the_probabilities_that_are_drawn_from(model, explore):
    explorer = explore("sampling_explorer")
    with torch.no_grad():
        logits = model(gptcore.text_to_token_ids("One day"))[0, -1]
    for temperature, top_k, count in ((0.0, None, 1), (1.0, None, 50257), (2.0, 3, 3), (0.5, 10, 10), (0.0, 10, 1)):
        explorer.controls["temperature"].value, explorer.controls["top_k"].value = temperature, top_k or "all"
        kept = logits.topk(top_k or len(logits)).values
        share = 1.0 if temperature == 0 else (kept / temperature).softmax(dim=-1)[0].item()
        assert (
            f"{count} token{'s' * (count > 1)} can come next" in explorer.words
            and f"{100 * share:.0f}%" in explorer.words
        )
    before = explorer.words
    again = next(part for part in explorer.children[0].children if getattr(part, "description", "") == "Draw again")
    again.click()
    assert explorer.words == before  # greedy: nothing is drawn
    explorer.controls["temperature"].value, explorer.controls["top_k"].value = 1.0, "all"
    before = explorer.words
    again.click()
    assert explorer.words != before


@torch.no_grad()
def test_what_is_switched_off_is_off_and_only_inside(model):
    from gptcore.viz.widgets.ablation import switched_off

    ids = gptcore.text_to_token_ids("One day Anna met a fox")
    whole = model(ids)
    block = model.trf_blocks[0]
    x = model.tok_emb(ids) + model.pos_emb(torch.arange(ids.shape[1]))

    def finish(x):
        return model.out_head(model.final_norm(model.trf_blocks[1](x)))

    att = block.att(block.norm1(x))
    expected = {
        "attention": finish(x + block.ff(block.norm2(x))),
        "feed-forward": finish(x + att),
        "shortcut": finish(att + block.ff(block.norm2(att))),
    }
    for part, logits in expected.items():
        with switched_off(model, part, block=0, head=0):
            torch.testing.assert_close(model(ids), logits)
    torch.testing.assert_close(model(ids), whole)
    with switched_off(model, "head", block=0, head=1):
        silenced = model(ids)
    weight = block.att.out_proj.weight.clone()
    block.att.out_proj.weight[:, 8:] = 0  # head 1 of two, of width 8
    torch.testing.assert_close(model(ids), silenced)
    block.att.out_proj.weight.copy_(weight)


def test_ablation_begins_without_a_shortcut_and_compares_only_with_something_off(explore):
    explorer = explore("ablation_explorer")
    assert explorer.words.startswith("Switched off: the shortcut of block 0.")
    assert explorer._picture.value.count("<table>") == 2
    assert "without the shortcut of block 0" in explorer._picture.value
    explorer.controls["part"].value = "head"
    assert "without head 0 of block 0" in explorer._picture.value
    explorer.controls["part"].value = "nothing"
    assert explorer._picture.value.count("<table>") == 1 and "without" not in explorer._picture.value


@pytest.mark.parametrize(
    ("perplexity", "shown"),
    [(7.4361, "7.436"), (1.0, "1"), (591449.6, "591,400"), (5e13, "50,000,000,000,000"), (float("inf"), "inf")],
)
def test_a_perplexity_is_shown_with_four_digits(perplexity, shown):
    assert live.short(perplexity) == shown


@pytest.mark.parametrize("hidden", [False, True])
def test_the_training_view_looks_first_last_and_between(hidden, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    if hidden:
        monkeypatch.setenv("TQDM_DISABLE", "1")
    answers = iter([({"all": 3.0}, "a"), ({"all": 2.0}, "<b>"), ({"all": 1.0}, "c")])
    view = TrainingView(11, look=lambda: next(answers), num_looks=3)
    for step in range(1, 12):
        view([4.0] * step)
        if step == 7 and not hidden:
            assert (
                "After step 6, loss on unseen stories: all 2.00." in view._page.value
                and "&lt;b&gt;" in view._page.value
            )
    assert (view.steps, view.losses, view.samples) == ([1, 6, 11], {"all": [3.0, 2.0, 1.0]}, ["a", "<b>", "c"])
    assert (view._page is None) is hidden


def test_a_live_figure_changes_its_pixels_with_its_data_and_nothing_else():
    figure = live.LiveFigure("A line.")
    plots.lines(figure.axes, [0, 1], {"": [0, 1]}, title="t", xlabel="x", ylabel="y")
    first, _ = figure.reading("up")
    (line,) = figure.axes.lines
    line.set_ydata([1, 0])
    second, alt = figure.reading("down")
    line.set_ydata([0, 1])
    third, _ = figure.reading("up")
    assert first == third != second and alt == "A line. down"


def test_a_live_figure_draws_its_frame_again_when_a_title_changes():
    figure = live.LiveFigure("A line.")
    plots.lines(figure.axes, [0, 1], {"": [0, 1]}, title="one", xlabel="x", ylabel="y")
    first, _ = figure.reading("same")
    figure.axes.set_title("another")
    assert figure.reading("same")[0] != first


def test_a_live_figure_needs_labels():
    with pytest.raises(ValueError, match="xlabel and ylabel"):
        figure = live.LiveFigure("Nothing.")
        figure.axes.set_title("t")
        figure.reading("nothing")


@pytest.fixture(scope="module")
def stories():
    return gptcore.GPTModel.from_pretrained("stories")


def shown(name, *arguments):
    getattr(widgets, name)(*arguments)
    return latest()


@torch.no_grad()
@pytest.mark.parametrize(
    ("part", "block", "head", "weights"),
    [
        ("head", 3, 2, lambda block: block.att.out_proj.weight[:, 64:96]),
        ("attention", 1, 0, lambda block: (block.att.out_proj.weight, block.att.out_proj.bias)),
        ("feed-forward", 0, 0, lambda block: (block.ff.layers[2].weight, block.ff.layers[2].bias)),
    ],
)
def test_the_cut_explorer_shows_what_a_model_changed_by_hand_says(part, block, head, weights, stories, capsys):
    explorer = shown("cut_explorer", stories)
    explorer.controls["block"].value, explorer.controls["head"].value = block, head
    explorer.controls["part"].value = part
    by_hand = gptcore.GPTModel.from_pretrained("stories")
    by_hand = type(by_hand)(by_hand.cfg).eval()
    by_hand.load_state_dict(stories.state_dict())
    for each in (changed,) if isinstance(changed := weights(by_hand.trf_blocks[block]), torch.Tensor) else changed:
        each.zero_()
    tokenizer = gptcore.get_story_tokenizer()
    ids = gptcore.text_to_token_ids(explorer.controls["text"].value, tokenizer)
    chance = by_hand(ids)[0, -1].softmax(dim=-1)[tokenizer.encode(" ball")[0]].item()
    losses = gptcore.losses_by_kind(by_hand, 6)
    cut = explorer.words.split("Without ")[1]
    assert f"loss {losses['all tokens']:.2f}, on names again {losses['names again']:.2f}" in cut
    assert float(re.search(r"ball ([\d.e-]+)%", cut)[1]) == pytest.approx(100 * chance, rel=0.05, abs=0.5)


def test_the_lens_explorer_ends_with_what_the_model_says(stories, capsys):
    text, tokenizer = "<|endoftext|>One day Anna", gptcore.get_story_tokenizer()
    explorer = shown("lens_explorer", stories, text, tokenizer)
    logits = stories(gptcore.text_to_token_ids(text, tokenizer))
    said = tokenizer.decode([logits[0, -1].argmax().item()]).replace(" ", "␣")
    assert explorer.words.rsplit(", ", 1)[1].startswith(said)


@pytest.mark.usefixtures("explore", "capsys")
class TestAtItsStart:
    @pytest.mark.parametrize(
        ("name", "given", "words"),
        [
            ("token_explorer", lambda: "", "text is empty"),
            ("attention_explorer", lambda: "a" + " b" * 12, "13 tokens; 10 fit"),
            ("generation_explorer", lambda: gptcore.GPTModel.from_pretrained("stories"), "another tokenizer"),
        ],
    )
    def test_what_cannot_be_shown_is_said(self, name, given, words):
        arguments = [given(), "The fox", gptcore.get_tokenizer()] if name == "generation_explorer" else [given()]
        getattr(widgets, name)(*arguments)
        bundle = latest()._repr_mimebundle_()
        assert words in bundle["text/plain"] and words in bundle["text/html"] and "Not possible" in bundle["text/html"]
        assert "application/vnd.jupyter.widget-view+json" in bundle

    def test_two_dollars_are_no_formula(self):
        widgets.attention_explorer("pay $$ now")
        assert not latest()._problem.value

    def test_a_text_of_one_token_has_no_perplexity(self):
        widgets.ablation_explorer(gptcore.GPTModel.from_pretrained("stories"), "a", gptcore.get_story_tokenizer())
        assert "A text of one token has no perplexity" in latest().words and "nan" not in latest().words

    def test_a_style_that_the_reader_has_set_changes_no_picture(self):
        def picture():
            widgets.attention_explorer()
            return latest()._repr_mimebundle_()["text/html"]

        ours = picture()
        with matplotlib.style.context(["dark_background", {"image.origin": "lower", "axes.titlelocation": "left"}]):
            theirs = picture()
            latest().controls["mask"].value = False
            latest().controls["mask"].value = True
            moved = latest()._repr_mimebundle_()["text/html"]
        assert theirs == ours == moved

    @pytest.mark.parametrize(
        "name",
        ["generation", "sampling", "ablation", "lens", "patch", "cut"],
    )
    def test_a_broken_model_is_said_to_be_broken(self, name):
        model = gptcore.GPTModel.from_pretrained("stories")
        model.final_norm.scale.data[:] = torch.nan
        with_text = {} if name == "cut" else {"tokenizer": gptcore.get_story_tokenizer()}
        getattr(widgets, f"{name}_explorer")(model, **with_text)
        assert "the logits contain NaN" in latest()._problem.value

    @pytest.mark.parametrize("name", ["generation", "ablation", "lens", "patch", "cut", "attention"])
    def test_a_model_in_train_mode_is_shown_without_dropout_and_stays_in_its_mode(self, name):
        stories = gptcore.GPTModel.from_pretrained("stories")
        in_training = gptcore.GPTModel({**stories.cfg, "drop_rate": 0.5}).train()
        in_training.load_state_dict(stories.state_dict())

        def words(model):
            if name == "attention":
                widgets.attention_explorer("a b", trained=model)
                latest().controls["block"].value = 1
            else:
                more = {} if name == "cut" else {"tokenizer": gptcore.get_story_tokenizer()}
                getattr(widgets, f"{name}_explorer")(model, "One day Anna met", **more)
            return latest().words

        assert words(in_training) == words(stories)
        assert all(part.training for part in in_training.modules())

    def test_a_wide_layer_has_room_for_its_bars(self):
        widgets.feed_forward_explorer(1600)
        latest().controls["expansion"].value = 8
        _, right = axes_of("fitting a curve")
        assert max(bar.get_height() for bar in right.patches) < 0.9 * right.get_ylim()[1]

    def test_zeros_are_drawn_as_the_middle_and_what_is_typed_then_too(self):
        widgets.norm_axis_explorer(rows=("0,0,0,0", "1,1,1,1.0001"))
        assert "-0.0" not in latest().words
        latest().controls["token_0"].value = "1,-2,3,4"
        (image,) = axes_of("the batch")[0].images
        assert image.norm.vmin == -image.norm.vmax == -4

    def test_a_front_end_without_cell_ids_tells_cells_by_their_source(self, monkeypatch):
        cell = {"content": {"code": "one"}, "header": {"msg_id": 1}}
        monkeypatch.setattr(live, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: cell))
        widgets.token_explorer("first")
        first = latest()
        cell = {"content": {"code": "another"}, "header": {"msg_id": 2}}
        widgets.token_explorer("second")
        assert first.comm is not None

    def test_a_model_may_be_in_bf16(self):
        model = gptcore.GPTModel.from_pretrained("stories").bfloat16()
        widgets.attention_explorer("a b", trained=model)
        latest().controls["block"].value = 1
        assert latest()._problem.value == ""
        assert "strongest look" in every_head("One day", model)[1]

    def test_one_cell_may_show_two_of_a_kind(self, monkeypatch):
        class Shell:
            run = 0

            def get_parent(self):
                return {"metadata": {"cellId": "a"}, "header": {"msg_id": self.run}}

        shell = Shell()
        monkeypatch.setattr(live, "get_ipython", lambda: shell)

        def run_the_cell():
            shell.run += 1
            for text in ("a", "b"):
                widgets.token_explorer(text)
            return [*live._shown.values()]

        live._shown.clear()
        first, second = run_the_cell(), run_the_cell()
        assert len(first) == len(second) == 2
        assert all(each.comm is None for each in first) and all(each.comm is not None for each in second)


def test_a_training_view_has_room_for_the_loss_of_a_large_vocabulary(monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    view = TrainingView(5, lambda: ({"unseen": 10.8}, "x"), num_looks=1)
    view([10.9])
    assert view._figure.axes.get_ylim()[1] > 10.9


@pytest.mark.usefixtures("explore", "capsys")
def test_another_prompt_ends_playing_and_has_nothing_behind_it_yet():
    model = gptcore.GPTModel.from_pretrained("stories")
    widgets.generation_explorer(model, "One day Anna", gptcore.get_story_tokenizer())
    explorer = latest()
    explorer.controls["written"].value = 3
    explorer.controls["prompt"].value = ""
    assert "text is empty" in explorer._problem.value and explorer.controls["written"].value == 0
    explorer.controls["written"].value = 2
    explorer.controls["prompt"].value = "One day Tom"
    assert " 0 tokens written" in explorer.words and explorer._problem.value == ""


@pytest.mark.usefixtures("explore", "capsys")
def test_a_closed_explorer_stops_playing(monkeypatch):
    monkeypatch.setattr(generation, "_SECONDS_BETWEEN_TOKENS", 0.01)
    model = gptcore.GPTModel.from_pretrained("stories")

    async def play_and_close():
        widgets.generation_explorer(model, "One day Anna", gptcore.get_story_tokenizer())
        explorer = latest()
        (play,) = (part for part in explorer.children[0].children if getattr(part, "description", "") == "Play")
        play.click()
        async with asyncio.timeout(600):
            while not explorer.controls["written"].value:
                await asyncio.sleep(0.01)
        explorer.close()
        written = explorer.controls["written"].value
        await asyncio.sleep(0.3)  # as long as thirty tokens take
        assert explorer.controls["written"].value == written

    with ThreadPoolExecutor() as executor:  # in the thread of the tests another loop may be running
        executor.submit(lambda: asyncio.run(play_and_close())).result()

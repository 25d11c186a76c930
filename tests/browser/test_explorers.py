"""Every explorer in JupyterLab, in a browser, moved by keys; each number is checked.

All stand in one notebook, each in its own cell below those cells of its lesson that it needs: to open and run thirteen
lessons in a browser takes minutes, and nbval runs them anyway.
"""

import re

import nbformat
import pytest
from lab_in_chromium import SLOW, Notebook, serious_faults
from playwright.sync_api import expect
from reading import PATHS, as_page, code_cells, read, tags, with_what_it_needs

from gptcore import (
    GPT_CONFIG_124M,
    GPTModel,
    count_parameters,
    generate_text_simple,
    get_story_tokenizer,
    get_tokenizer,
    tell_story,
    text_to_token_ids,
    token_ids_to_text,
)


def tokens(explorer):
    explorer.write("text", "Hi you")
    explorer.shows("6 characters became 2 tokens", *(str(token_id) for token_id in get_tokenizer().encode("Hi you")))
    explorer.write("text", "<script>alert(1)</script><img src=x onerror=alert(2)>")
    explorer.shows("script12048", "img9600")  # as text
    assert explorer.explorer.locator("script, img").count() == 0
    explorer.write("text", "")
    explorer.shows("Not possible", "the model needs at least one token")


def config(explorer):
    explorer.slide("n_layers", 1)
    explorer.shows(f"{count_parameters({**GPT_CONFIG_124M, 'n_layers': 13}):,} parameters", "head_dim 64")
    explorer.slide("n_heads", 1)
    explorer.shows("head_dim 48")
    explorer.slide("n_heads", 1)
    explorer.shows("Not possible", "emb_dim=768 is not divisible by n_heads=20")
    explorer.slide("n_heads", -2)
    explorer.tick("qkv_bias")
    explorer.shows(f"{count_parameters({**GPT_CONFIG_124M, 'n_layers': 13, 'qkv_bias': True}):,} parameters")


def layer_norm(explorer):
    explorer.shows("mean 1.12, variance 2.30")
    explorer.slide("x0", 5)  # 3.5, -1, 0.5, 2
    explorer.shows("mean 1.25, variance 2.81", "After: mean 0.00, variance 1.00")
    explorer.slide("shift", 10)
    explorer.shows("After: mean 1.00, variance 1.00")
    explorer.choose("10")
    explorer.shows("variance 0.22")  # 2.8125 / (2.8125 + 10)


def norm_axis(explorer):
    explorer.shows("Layer norm: every token has mean 0", "Token 0 is now -1.3, -0.4, 0.4, 1.3")
    explorer.choose("batch norm")
    explorer.shows("Batch norm: every feature has mean 0", "Token 0 is now -1.2, -0.9, -0.8, -0.7")
    explorer.write("token 0", "10, 20, 30, 40")
    explorer.shows("Token 0 is now 0.7, 0.7, 0.7, 0.7")
    explorer.write("token 0", "1, two, 3, 4")
    explorer.shows("Not possible", "is not four numbers")


def activation(explorer):
    explorer.shows("at x = 1.00 the output is 0.841 and the slope is 1.083")
    explorer.slide("x", -1)
    explorer.choose("ReLU")
    explorer.shows("ReLU: at x = 0.95 the output is 0.950 and the slope is 1.000")


def gelu_error(explorer):
    explorer.shows("wrong by 0.00287 at most")
    explorer.slide("coefficient", 9)
    explorer.shows("0.0445 is wrong by 0.00042 at most")
    explorer.choose("x sigmoid(1.702 x)")
    explorer.shows("sigmoid form is wrong by 0.02033 at most")


def feed_forward(explorer):
    explorer.slide("expansion", -3)
    explorer.shows(f"Expansion 1: {2 * 768**2 + 768 + 768:,} parameters", "misses the sine by 0.48")
    explorer.slide("expansion", 7)
    explorer.shows(f"Expansion 8: {2 * 8 * 768**2 + 8 * 768 + 768:,} parameters", "misses the sine by 0.00")


def gradient(explorer):
    explorer.shows("a ratio of 3.0e-05")
    explorer.tick("shortcuts")
    explorer.shows("a ratio of 1.0e+00")
    explorer.slide("layers", 8)
    explorer.shows("layer 20 gets")


def attention(explorer):
    explorer.shows("Share of weight on the future: 0%")
    explorer.tick("causal mask")
    explorer.shows("Share of weight on the future: ")
    share = re.compile(r"future: ([1-9]\d)%")
    explorer.page.wait_for_function(
        "([node]) => /future: [1-9]\\d%/.test(node.textContent)", arg=[explorer.explorer.element_handle()]
    )
    assert 20 < int(share.search(explorer.explorer.inner_text())[1]) < 80
    explorer.write("sentence", "one")
    explorer.shows("the last token, one, gives its largest weight, 1.00, to one (position 0)")
    explorer.write("sentence", "a" + " b" * 12)
    explorer.shows("Not possible", "the sentence has 13 tokens; 10 fit into the picture")


def residual_stream(explorer):
    explorer.shows("6.9 long at the start and 9.3 after block 12")
    explorer.tick("shortcuts")
    explorer.shows("and 1.2 after block 12")
    explorer.choose("after (2017)")
    explorer.shows("and 6.9 after block 12")  # a norm at the end: the root of 48


def size(explorer):
    explorer.shows("124,412,160 parameters", "0.78 GB to run, 4.90 GB to train")
    explorer.tick("tied weights")
    explorer.shows(f"{count_parameters(GPT_CONFIG_124M):,} parameters")
    explorer.slide("emb_dim", 1)
    explorer.shows("Not possible", "emb_dim=1024 is not divisible by n_heads=12")


def generation(explorer):
    model, tokenizer = GPTModel.from_pretrained("stories"), get_story_tokenizer()
    prompt = text_to_token_ids("<|endoftext|>One day Anna", tokenizer)
    written = generate_text_simple(model, prompt, max_new_tokens=2, context_size=128)
    explorer.shows("0 tokens written")
    explorer.press("Step")
    explorer.press("Step")
    explorer.shows("2 tokens written")
    assert token_ids_to_text(written, tokenizer) in explorer.explorer.inner_text()
    explorer.press("Play")
    # On a busy machine nobody looks just while it says 4, and it may have come to its end before somebody pauses it.
    expect(explorer.explorer).to_contain_text(re.compile(r"\D([4-9]|[12]\d|30) tokens written"))
    explorer.press(re.compile("Pause|Play"))
    explorer.press("Reset")
    explorer.shows("0 tokens written")
    explorer.write("prompt", "<b>Hi")
    explorer.shows("0 tokens written")
    assert explorer.explorer.locator("b").count() == 0
    explorer.press("Step")
    explorer.shows("1 token written")


def trained(explorer):
    explorer.shows("0 tokens written")
    explorer.slide("tokens written", 3)
    explorer.shows("3 tokens written")
    assert "One day Anna met a" in explorer.explorer.inner_text()


def ablation(explorer):
    explorer.shows("Switched off: the shortcut of block 0", "without it")
    explorer.slide("block", 1)
    explorer.shows("Switched off: the shortcut of block 1")
    explorer.choose("nothing")
    explorer.shows("Switched off: nothing")
    assert "without" not in explorer.explorer.inner_text()
    explorer.choose("feed-forward")
    explorer.shows("Switched off: the feed-forward of block 1")
    explorer.write("text", "<b>Hi")
    explorer.shows("Perplexity of the text")
    assert explorer.explorer.locator("b").count() == 0


def sampling(explorer):
    explorer.shows("1019 tokens can come next")
    explorer.choose("3")
    explorer.shows("3 tokens can come next")
    explorer.slide("temperature", -10)
    explorer.shows("1 token can come next")
    explorer.press("Draw again")
    explorer.shows("1 token can come next")


def time_machine(explorer):
    explorer.shows("Step 0: loss 7.05 over all tokens")
    explorer.slide("after step", 15)
    explorer.shows("Step 500: loss 0.54 over all tokens")
    explorer.says("Anna had a secret. In a basket she kept")
    explorer.choose("2")
    explorer.says("Would you like an apple")
    explorer.choose("a map of its words")
    explorer.shows("of the spread of the words lies within their kinds")
    explorer.slide("after step", -14)
    explorer.shows("Step 5: loss 5.38 over all tokens", "of the spread of the words")


def lens(explorer):
    explorer.shows("asked 17%, ␣ball 15%, ␣spoon 27%, ␣bell 32%, ␣ball 100%.")
    explorer.write("text", "<|endoftext|>One day Anna")
    explorer.shows("At the last token", "␣met")
    explorer.write("text", "")
    explorer.shows("Not possible", "text is empty")


def patch(explorer):
    explorer.shows("After the first text ␣ball is likeliest, after the other ␣cup", "at 5 of 105 places")
    explorer.write("other", "<|endoftext|>Tom")
    explorer.shows("Not possible", "the texts have 21 and 2 tokens; they need the same number")


def cut(explorer):
    explorer.shows("without the attention of block 3")
    explorer.choose("head")
    explorer.slide("head", 2)
    explorer.shows("without head 2 of block 3")
    explorer.slide("block", -3)
    explorer.choose("feed-forward")
    explorer.shows("without the feed-forward of block 0")
    explorer.choose("nothing")
    expect(explorer.explorer).not_to_contain_text("without")  # "the whole model" stood there before, too
    explorer.shows("the whole model")


def looks_back(explorer):
    """As the lesson says: the first full stop, in block 3."""
    explorer.shows("Block 0, head 0: ␣Anna (position 11)")
    explorer.explorer.get_by_role("slider", name="token that looks").focus()
    for _ in range(4):
        explorer.page.keyboard.press("ArrowLeft")
    explorer.explorer.get_by_role("group", name="block").locator("input:checked").focus()
    explorer.page.keyboard.press("ArrowLeft")  # from the first one to the last
    explorer.explorer.get_by_role("group", name="head").locator("input:checked").focus()
    for head in (1, 2, 3):
        explorer.page.keyboard.press("ArrowRight")
        explorer.shows(f"Block 3, head {head}: . (position 7) gives its largest weight, 1.00, to ␣Anna (position 3)")


EXPLORERS = [
    ("00_start_here", "token_explorer", tokens),
    ("01_config_and_shapes", "config_explorer", config),
    ("02_layer_norm", "layer_norm_explorer", layer_norm),
    ("02_layer_norm", "norm_axis_explorer", norm_axis),
    ("03_activations", "activation_explorer", activation),
    ("03_activations", "gelu_error_explorer", gelu_error),
    ("04_feed_forward", "feed_forward_explorer", feed_forward),
    ("05_shortcut_connections", "gradient_explorer", gradient),
    ("06_causal_attention", "attention_explorer", attention),
    ("07_transformer_block", "residual_stream_explorer", residual_stream),
    ("08_gpt_model", "size_explorer", size),
    ("09_greedy_generation", "generation_explorer", generation),
    ("09_greedy_generation", "sampling_explorer", sampling),
    ("10_why_training_matters", "generation_explorer", trained),
    ("10_why_training_matters", "live_explorer", looks_back),
    ("11_gpt2_weights", "ablation_explorer", ablation),
    ("12_fast_generation", "size_explorer", size),
    ("13_what_it_learned", "time_machine_explorer", time_machine),
    ("13_what_it_learned", "lens_explorer", lens),
    ("13_what_it_learned", "patch_explorer", patch),
    ("13_what_it_learned", "cut_explorer", cut),
    ("14_your_own_gpt", "ablation_explorer", ablation),
]
# As in notebook 10, but quick, and with a sample that is to be shown as text.
TRAINING = """import torch
from gptcore import train
from gptcore.viz.widgets.training import TrainingView
view = TrainingView(30, look=lambda: ({"all": 1.5}, "Once <b>upon</b>"), num_looks=3)
losses = train(torch.nn.Linear(1, 1), lambda: (torch.ones(1, 1),) * 2, 30, 0.1, torch.nn.MSELoss(), watch=view)"""
# Explorers of pages that no lesson shows, in one cell.
LIVE = """from gptcore.pages.widget import live_explorer
for name in ("story", "layer_norm"):
    live_explorer(name)"""
# Not ours: a slider of ipywidgets has a handle without a name for screen readers (its description stands beside it, and
# the value beside it can be typed); JupyterLab lets wide text scroll in a box that the keyboard cannot enter; nbconvert
# underlines no links.
KNOWN_UPSTREAM = {
    ("aria-input-field-name", "noUi-handle"),
    ("scrollable-region-focusable", "jp-RenderedMarkdown"),
    ("link-in-text-block", "<a href"),
}


def test_every_explorer_is_in_a_notebook_and_tested():
    from gptcore.viz import widgets

    tested = {name for _, name, _ in EXPLORERS}
    assert tested == {*widgets.__all__, "live_explorer"} and len(tested) >= 12
    shown = [(path.stem, name) for path in PATHS for _, name in cells_with_explorers(path)]
    assert shown == [(lesson, name) for lesson, name, _ in EXPLORERS]


def cells_with_explorers(path):
    """The index of each cell that shows an explorer, and the explorer's name."""
    for index, cell in enumerate(code_cells(path)):
        if shown := re.search(r"\b(\w+_explorer)\(", cell.source):
            yield index, shown[1]


@pytest.fixture(scope="module")
def explorers(browser, lab):
    """All explorers in one notebook that has run."""
    cells = [
        cell
        for path in PATHS
        for index, _ in cells_with_explorers(path)
        for cell in with_what_it_needs(code_cells(path), index)
    ]
    sources = [
        *dict.fromkeys(cell.source for cell in cells),
        TRAINING,
        LIVE,
    ]  # what two explorers need stands there once
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources], metadata=read(PATHS[0]).metadata
    )
    nbformat.write(notebook, lab.folder / "explorers.ipynb")
    page = Notebook(browser, lab.address_of("explorers"))
    page.restart_and_run_all()
    assert page.complaints() == []
    yield page
    page.close()


@pytest.fixture
def begin(explorers):
    """Gives an explorer as it is at the beginning: its cell has been run again."""

    def begin(name, nth=0):
        explorers.run_again(explorers.cell_of(name, nth))
        return explorers.explorer(name, nth)

    return begin


HOSTILE = ("<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>", "<img onerror=hacked>")


def nothing_typed_runs(explorer):
    """Type HTML that would run a program into every text box: it is shown as text, or refused."""
    for box in explorer.explorer.locator(".widget-text input, input[type=text]").all():
        for text in (*HOSTILE, box.input_value()):
            before = explorer.explorer.text_content()
            box.fill(text)
            expect(explorer.explorer).not_to_have_text(before)
            assert explorer.explorer.locator("script, [onerror]").count() == 0
    assert explorer.page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("lesson", "name", "use"), EXPLORERS, ids=[f"{lesson}-{name}" for lesson, name, _ in EXPLORERS]
)
def test_an_explorer_is_moved_by_keys(lesson, name, use, begin):
    nth = [each for each, shown, _ in EXPLORERS if shown == name].index(lesson)
    explorer = begin(name, nth)
    assert explorer.explorer.count() == 1  # running the cell again has replaced the first
    picture = explorer.picture() if explorer.explorer.locator("img").count() else None
    use(explorer)
    assert picture is None or explorer.picture() != picture
    nothing_typed_runs(explorer)


def test_training_is_watched(explorers):
    output = explorers.page.locator(".jp-CodeCell").filter(has_text="TrainingView(").locator(".jp-OutputArea").first
    output.scroll_into_view_if_needed()
    expect(output).to_contain_text("It writes: Once <b>upon</b>")
    assert "After step 30, loss on unseen stories: all 1.50." in output.locator("img").get_attribute("alt")


def test_the_pages_explorers_live_in_a_notebook(explorers):
    """Several in one cell, with the kernel's help only at the beginning."""
    page = explorers.page
    cell = page.locator(".jp-CodeCell").filter(has_text="live_explorer(name)")
    cell.locator(".jp-OutputArea").first.scroll_into_view_if_needed()
    story, norm = (cell.locator(f"[data-alive={name}]") for name in ("story", "layer_norm"))
    says = "0 tokens written. Next: ␣met"
    expect(story.get_by_role("status")).to_contain_text(says)
    for number in ("1 token", "2 tokens"):
        story.get_by_role("button", name="Step").focus()
        page.keyboard.press("Enter")
        expect(story.get_by_role("status")).to_contain_text(f"{number} written")
    expect(story.locator(".text")).to_have_text(tell_story(GPTModel.from_pretrained("stories"), "One day Anna", 2))
    story.get_by_role("textbox").focus()
    page.keyboard.press("End")
    page.keyboard.type(" bdd<b>")  # letters that are commands to JupyterLab
    expect(story.locator(".text")).to_have_text("One day Anna bdd<b>")
    assert story.locator("b").count() == 0
    norm.get_by_role("slider", name="x0").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(norm.get_by_role("status")).to_contain_text("mean 1.25, variance 2.81")
    norm.locator("input:checked").focus()
    page.keyboard.press("ArrowLeft")  # from the first one to the last
    expect(norm.get_by_role("status")).to_contain_text("variance 0.22")
    attention = explorers.explorer("live_explorer").explorer
    expect(attention.locator("input:checked")).to_have_count(2)  # the choices of each are its own
    assert our_serious_faults(page, ".gptcore-live") == []


def our_serious_faults(page, *parts):
    """What axe-core finds in these parts of the page, but for what is known upstream."""
    found = serious_faults(page, context={"include": [[part] for part in parts]})
    return [
        (rule, html[:200])
        for rule, html in found
        if not any(rule == known and part in html for known, part in KNOWN_UPSTREAM)
    ]


def test_explorers_can_be_used_by_everybody(explorers):
    assert our_serious_faults(explorers.page, ".jp-OutputArea") == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_lesson_can_be_read_by_everybody(path, browser, tmp_path):
    """As a page with the stored outputs, without a kernel and without a network."""
    page = tmp_path / "page.html"
    page.write_text(as_page(path), encoding="utf-8")
    context = browser.new_context(offline=True)
    reading = context.new_page()
    reading.set_default_timeout(SLOW)
    reading.goto(page.as_uri())
    assert reading.locator(".jp-OutputArea img").count() >= 1
    assert our_serious_faults(reading, ".jp-OutputArea", ".jp-MarkdownOutput") == []
    context.close()


def test_the_page_stands_still_and_the_picture_stays_while_a_slider_moves(explorers, begin):
    explorer = begin("activation_explorer")
    explorer.shows("at x = 1.00")
    explorer.explorer.evaluate(
        """node => {
            window.faults = []; window.frames_seen = 0;
            const height = node.getBoundingClientRect().height;
            const look = () => {
                const picture = node.querySelector('img');
                window.frames_seen += 1;
                if (!(picture && picture.complete && picture.naturalWidth)) window.faults.push('no picture');
                if (node.getBoundingClientRect().height !== height) window.faults.push('another height');
                window.looking = requestAnimationFrame(look);
            };
            look();
        }"""
    )
    explorer.slide("x", 40)
    explorer.shows("at x = 3.00")
    explorers.page.wait_for_function("window.frames_seen > 20")
    explorers.page.evaluate("cancelAnimationFrame(window.looking)")
    assert explorers.page.evaluate("window.faults") == []


@pytest.mark.parametrize("width", [400, 800])
def test_nothing_is_cut_off_in_a_narrow_window(explorers, begin, width):
    wide = explorers.page.viewport_size
    explorers.page.set_viewport_size({**wide, "width": width})
    explorer = begin("activation_explorer")
    area = explorer.explorer.evaluate("node => node.closest('.jp-OutputArea-output').getBoundingClientRect().right")
    assert area <= width
    for part in ("img", ".widget-slider", ".widget-toggle-buttons"):
        box = explorer.explorer.locator(part).first.bounding_box()
        assert box["x"] + box["width"] <= area + 1, part
    explorers.page.set_viewport_size(wide)


def nothing_is_told_before_it_is_run(notebook):
    """Stored answers are folded, and of what is folded JupyterLab shows no line that tells; pictures are there."""
    cells = [cell for cell in read(PATHS[0]).cells if cell.cell_type == "code"]
    on_page = notebook.page.locator(".jp-CodeCell")
    expect(on_page).to_have_count(len(cells))  # JupyterLab puts up the cells out of sight when it is idle
    for index, cell in enumerate(cells):
        here = on_page.nth(index)
        here.scroll_into_view_if_needed()
        if "predict" in tags(cell):
            expect(here.locator(".jp-OutputPlaceholder")).to_be_visible()
            assert here.locator(".jp-OutputPlaceholder").inner_text().strip() == ""
        elif "check" in tags(cell):
            expect(here.locator(".jp-InputPlaceholder")).to_be_visible()
            assert here.locator(".jp-InputPlaceholder").inner_text().strip() == cell.source.splitlines()[0]
        elif "figure(" in cell.source:  # neither run nor trusted
            picture = here.locator("img")
            expect(picture).to_be_visible()
            assert picture.get_attribute("alt") == cell.outputs[0].data["text/plain"]
            wait_until_drawn(picture)


def every_picture_is_there(notebook, colours):
    pictures = notebook.page.locator(".jp-OutputArea-output img")
    expect(pictures.nth(1)).to_be_attached()
    for picture in pictures.all():
        expect(picture).to_be_visible()
        assert len(picture.get_attribute("alt")) > 40
        wait_until_drawn(picture)
        assert picture.evaluate("picture => getComputedStyle(picture).filter") == colours


def wait_until_drawn(picture):
    picture.page.wait_for_function("picture => picture.naturalWidth > 0", arg=picture.element_handle())


def test_the_first_notebook_runs_twice_and_a_part_of_its_map_leads_to_its_notebook(open_notebook):
    notebook = open_notebook("00_start_here")
    nothing_is_told_before_it_is_run(notebook)
    for _ in range(2):
        notebook.restart_and_run_all()
        assert notebook.complaints() == []
        assert notebook.explorer("token_explorer").explorer.count() == 1
        assert notebook.page.locator(".jp-OutputPlaceholder:visible").count() == 0
    every_picture_is_there(notebook, "none")
    notebook.choose_theme("JupyterLab Dark")
    every_picture_is_there(notebook, "invert(0.93) hue-rotate(180deg)")
    notebook.choose_theme("JupyterLab Light")
    link = notebook.page.get_by_role("link", name="attention: notebook 06")
    link.focus()
    notebook.page.keyboard.press("Enter")
    notebook.page.locator(".lm-TabBar-tabLabel", has_text="06_causal_attention.ipynb").wait_for()

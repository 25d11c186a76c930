"""Live explorers in a page, without a kernel: moved by keys, and they say what the kernel's explorers say."""

import contextlib
import io
import re

import pytest
import torch
from lab_in_chromium import SLOW, serious_faults
from live_folder import IN_FLOAT32, int8_model, make_folder, served
from playwright.sync_api import expect
from test_explorers import HOSTILE

from gptcore import GPTModel, attention_weights, get_story_tokenizer, get_tokenizer, story_film, text_to_token_ids
from gptcore.pages import EXPLORERS, place
from gptcore.tokenizer import END_OF_TEXT
from gptcore.viz.widgets import activation_explorer, generation_explorer, layer_norm_explorer, live, time_machine
from gptcore.viz.widgets.tokens import visible

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Explorers</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<script type="module" src="live.js"></script></head><body><main><h1>Explorers</h1>{}</main></body></html>"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("live"))
    names = [*EXPLORERS, "activation"]
    (folder / "index.html").write_text(PAGE.format("".join(map(place, names))), encoding="utf-8")
    (folder / "one.html").write_text(PAGE.format(place("activation")), encoding="utf-8")
    (folder / "none.html").write_text(PAGE.format('<div class="live" data-explorer="toString">A picture.</div>'))
    with served(folder) as address:
        yield address


class LivePage:
    """A page with all explorers, and what it complained of and asked for."""

    def __init__(self, browser, address, name="index.html", **settings):
        self.page = browser.new_page(**settings)
        self.page.set_default_timeout(SLOW)
        self.complaints, self.requests = [], []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{address}/{name}")

    def explorer(self, name):
        explorer = self.page.locator(f'[data-alive="{name}"]').first
        self.page.locator(f'[data-explorer="{name}"]').first.scroll_into_view_if_needed()
        explorer.wait_for()
        return LiveExplorer(self.page, explorer)


class LiveExplorer:
    """One of them, moved by keys alone."""

    def __init__(self, page, explorer):
        self.page, self.explorer = page, explorer

    def says(self, *words):
        for text in words:
            expect(self.explorer.get_by_role("status")).to_contain_text(text)

    def shows(self, *words):
        for text in words:
            expect(self.explorer).to_contain_text(text)

    def slide(self, label, steps):
        self.explorer.get_by_role("slider", name=label, exact=True).focus()
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def next_of(self, legend, steps=1):
        """Go from the chosen radio button to the next one."""
        self.explorer.get_by_role("group", name=legend).locator("input:checked").focus()
        for _ in range(steps):
            self.page.keyboard.press("ArrowRight")

    def box(self, label):
        return self.explorer.get_by_role("textbox", name=label, exact=True)

    def write(self, label, text):
        self.box(label).focus()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text) if text else self.page.keyboard.press("Delete")

    def press(self, name):
        self.explorer.get_by_role("button", name=name, exact=True).focus()
        self.page.keyboard.press("Enter")


@pytest.fixture(scope="module")
def all_of_them(browser, address):
    opened = LivePage(browser, address)
    yield opened
    assert opened.complaints == []
    assert all(url.startswith((address, "data:")) for url in opened.requests)
    assert len(opened.requests) == len(set(opened.requests))  # each file once for all explorers
    opened.page.close()


def kernels(make, *given):
    """What the kernel's explorer says, as a function of its controls' values."""
    with contextlib.redirect_stdout(io.StringIO()):  # without a notebook, display() prints
        make(*given)
    explorer = next(reversed(live._shown.values()))

    def say(**values):
        for name, value in values.items():
            explorer.controls[name].value = value
        return explorer.words

    return say


@torch.no_grad()
def test_chromium_computes_torchs_logits(all_of_them):
    ids = text_to_token_ids(END_OF_TEXT + "One day Anna met a fox.", get_story_tokenizer())
    ask = "async ([name, ...given]) => (await import('./cases.mjs')).casesOf(open)[name](...given)"
    ask = ask.replace("(open)", "(async (name) => (await fetch(name)).arrayBuffer())")
    (logits, _) = all_of_them.page.evaluate(ask, ["logits", IN_FLOAT32, [ids[0].tolist()]])
    wanted = GPTModel.from_pretrained("stories")(ids)[0]
    assert ((torch.tensor(logits) - wanted).abs().max() / wanted.abs().max()).item() < 1e-4


def test_story(all_of_them):
    explorer, tokenizer = all_of_them.explorer("story"), get_story_tokenizer()
    say = kernels(generation_explorer, int8_model(), END_OF_TEXT + "One day Anna", tokenizer)
    for written in range(4):
        sentence, text = re.search(r"(\d+ tokens? written\. .*) The text: (.*)", say(written=written)).groups()
        explorer.says(sentence)
        expect(explorer.explorer.locator(".text")).to_have_text(text.removeprefix(END_OF_TEXT))
        explorer.press("Step")
    explorer.press("Back")
    explorer.says("3 tokens written")
    likeliest = explorer.explorer.locator(".likeliest button")
    assert likeliest.count() == 10
    other = likeliest.nth(1)
    name = other.text_content()
    other.focus()
    all_of_them.page.keyboard.press("Enter")
    explorer.says("4 tokens written")
    assert explorer.explorer.locator(".text u").text_content().endswith(name.replace("␣", " "))
    expect(other).to_be_focused()  # the next one can be pressed at once
    explorer.press("Play")
    explorer.says("6 tokens written")
    explorer.press("Pause")
    explorer.press("Reset")
    explorer.says("0 tokens written")
    explorer.write("beginning", "a" * 127)
    explorer.shows("Not possible: the beginning has 128 tokens; 127 leave room")
    explorer.write("beginning", "")
    explorer.shows("Not possible: text is empty")
    explorer.press("Step")
    explorer.write("beginning", "One day Anna")
    explorer.says("0 tokens written")  # none behind a beginning that was refused
    explorer.write("beginning", "b" * 126)
    explorer.press("Step")
    explorer.says("The model reads 128 tokens: no more fit.")
    explorer.press("Step")
    explorer.says("1 token written")
    explorer.write("beginning", "One day Anna")
    explorer.says("0 tokens written")


def test_attention(all_of_them):
    explorer, tokenizer = all_of_them.explorer("attention"), get_story_tokenizer()
    text = "Tom saw a fox. Tom"
    ids = text_to_token_ids(END_OF_TEXT + text, tokenizer)
    names = [visible(token_id, tokenizer) for token_id in ids[0].tolist()]
    weights = attention_weights(int8_model(), ids)[:, 0]  # (n_layers, n_heads, num_tokens, num_tokens)
    explorer.write("sentence", text)
    for block, head, row in ((0, 0, len(names) - 1), (2, 0, len(names) - 1), (2, 3, len(names) - 1), (2, 3, 4)):
        if row == 4:
            explorer.slide("token that looks", row - (len(names) - 1))
        best = weights[block, head, row].argmax().item()
        explorer.says(
            f"Block {block}, head {head}: {names[row]} (position {row}) gives its largest weight, "
            f"{weights[block, head, row, best]:.2f}, to {names[best]} (position {best})."
        )
        if (block, row) == (0, len(names) - 1):
            explorer.next_of("block", 2)
        elif head == 0:
            explorer.next_of("head", 3)
    looked_at = [f"{name}{weight:.2f}" for name, weight in zip(names, weights[2, 3, 4, :5].tolist(), strict=False)]
    assert explorer.explorer.locator(".chips li").all_text_contents() == looked_at
    assert explorer.explorer.locator(".small-maps svg").count() == weights.shape[0] * weights.shape[1]
    explorer.write("sentence", "a" * 24)
    explorer.shows("Not possible: the sentence has 25 tokens; 24 fit into the picture")


def test_time_machine(all_of_them):
    """At each moment, for each beginning and each picture."""
    explorer, film, tokenizer = all_of_them.explorer("time_machine"), story_film(), get_story_tokenizer()
    explorer.says("Step 0: loss 7.05 over all tokens")
    explorer.slide("after step", 15)
    explorer.says("Step 500: loss 0.54 over all tokens")
    explorer.shows("Anna had a secret. In a basket she kept")
    explorer.next_of("beginning")
    explorer.shows("Would you like an apple")
    explorer.next_of("show")
    explorer.says("of the spread of the words lies within their kinds")
    losses, panels = time_machine._Losses(film), [time_machine._Looks(film), time_machine._Map(film)]
    wanted = []
    for moment in range(len(film.steps)):
        for prompt in range(len(film.prompts)):
            names = [visible(token_id, tokenizer) for token_id, _ in film.next_tokens(prompt, moment)]
            written = film.written(moment)
            for panel in panels:
                words = f"After the beginning, {names[0]} is likeliest. {panel.words(moment, prompt)}"
                wanted.append([f"{losses.words(moment)} {words}", f"It writes: {written}", names])
    found = explorer.explorer.evaluate(
        """(element, moments) => {
            const slider = element.querySelector("input[type=range]"), said = [];
            const inputs = (set) => [...set.querySelectorAll("input")];
            const [prompts, panels] = [...element.querySelectorAll("fieldset")].map(inputs);
            const text = (place) => element.querySelector(place).textContent;
            for (let moment = 0; moment < moments; moment++)
                for (const prompt of prompts)
                    for (const panel of panels) {
                        slider.value = moment;
                        prompt.checked = panel.checked = true;
                        slider.dispatchEvent(new Event("input", { bubbles: true }));
                        const names = [...element.querySelectorAll(".likeliest li > :first-child")];
                        said.push([text("[role=status]"), text(".text"), names.map((name) => name.textContent)]);
                    }
            return said;
        }""",
        len(film.steps),
    )
    assert found == wanted


def test_tokenizer(all_of_them):
    explorer, text = all_of_them.explorer("tokenizer"), "Zażółć 🙂 gęślą"
    explorer.write("text", text)
    for tokenizer in (get_tokenizer(), get_story_tokenizer()):
        ids = tokenizer.encode(text)
        explorer.says(f"{len(text)} characters became {len(ids)} tokens.")
        assert explorer.explorer.locator("li").all_text_contents() == [f"{visible(i, tokenizer)}{i}" for i in ids]
        explorer.next_of("vocabulary")
    explorer.write("text", "")
    explorer.shows("Not possible: text is empty")
    explorer.write("text", "x" * 401)
    explorer.shows("Not possible: the text has 401 characters; 400 fit here, so use fewer")


def test_activation(all_of_them):
    explorer, say = all_of_them.explorer("activation"), kernels(activation_explorer)
    for steps, change in ((0, {}), (-5, {"x": 0.75}), (0, {"function": "GELU, exact"}), (0, {"function": "ReLU"}),
                          (-15, {"x": 0.0}), (0, {"function": "SiLU"}), (0, {"function": "SwiGLU gate"}),
                          (-10, {"x": -0.5})):  # fmt: skip
        explorer.slide("x", steps) if steps else explorer.next_of("function", "function" in change)
        explorer.says(say(**change).split("at every point. ")[1])
    explorer.slide("value (SwiGLU only)", -5)
    explorer.says(say(value=0.5).split("at every point. ")[1])


def test_layer_norm(all_of_them):
    explorer, say = all_of_them.explorer("layer_norm"), kernels(layer_norm_explorer)
    moves = (("x0", 0, {}), ("x0", 5, {"x0": 3.5}), ("x3", -5, {"x3": 1.5}), ("scale", -12, {"scale": -0.2}),
             ("shift", 3, {"shift": 0.3}), ("eps", 3, {"eps": 10.0}))  # fmt: skip
    for label, steps, change in moves:
        explorer.next_of("eps", steps) if label == "eps" else explorer.slide(label, steps)
        explorer.says("Before" + say(**change).split("Before")[1])


def test_a_story_stops_that_is_no_longer_on_the_page(browser, address):
    """As in a notebook whose cell is run again while the story is playing."""
    page = LivePage(browser, address)
    story = page.explorer("story")
    story.press("Play")
    story.says(re.compile(r"[1-9]\d* tokens? written"))
    grows = """async () => {
        const place = document.querySelector('[data-alive="story"]'), text = place.querySelector(".text");
        const written = async () => (await new Promise((after) => setTimeout(after, 600)), text.textContent);
        place.remove();
        return (await written()) !== (await written());
    }"""
    assert not page.page.evaluate(grows)
    page.page.close()


def test_what_somebody_types_is_text(all_of_them):
    for name, label in (("story", "beginning"), ("attention", "sentence"), ("tokenizer", "text")):
        explorer = all_of_them.explorer(name)
        before = explorer.box(label).input_value()
        for text in HOSTILE:
            explorer.write(label, text)
            assert explorer.explorer.locator("script, img, b, [onerror]").count() == 0
        explorer.write(label, before)
    assert all_of_them.page.evaluate("window.hacked") is None


@pytest.mark.parametrize(("theme", "width"), [("dark", 400), ("light", 1280)])
def test_everybody_can_use_them_in_each_theme_and_width(all_of_them, theme, width):
    page = all_of_them.page
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)
    for name in EXPLORERS:
        all_of_them.explorer(name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(page) == []
    paper = "element => getComputedStyle(element).backgroundColor"
    box = page.locator(".gptcore-live").first
    assert box.evaluate(paper) == {"light": "rgb(255, 255, 255)", "dark": "rgb(28, 28, 30)"}[theme]
    other = {"light": "dark", "dark": "light"}[theme]  # a page may have a switch of its own
    page.evaluate("theme => document.documentElement.dataset.theme = theme", other)
    assert box.evaluate(paper) == {"light": "rgb(255, 255, 255)", "dark": "rgb(28, 28, 30)"}[other]
    page.evaluate("delete document.documentElement.dataset.theme")


def test_no_word_is_cut_off_at_the_edge_of_its_picture(all_of_them):
    for name in EXPLORERS:
        cut = all_of_them.explorer(name).explorer.evaluate(
            """explorer => [...explorer.querySelectorAll("svg text")].filter((text) => {
                const word = text.getBoundingClientRect(), picture = text.ownerSVGElement.getBoundingClientRect();
                return word.left < picture.left - 1 || word.right > picture.right + 1;
            }).map((text) => text.textContent)"""
        )
        assert cut == [], name


def test_a_page_fetches_no_more_than_it_needs_and_says_what_is_missing(browser, address):
    page = LivePage(browser, address, "one.html")
    page.explorer("activation")
    assert {url.rsplit("/", 1)[1] for url in page.requests} - {"data:,"} == {
        *("one.html", "live.js", "live.css"),
        *EXPLORERS["activation"],
    }
    page.page.close()
    page = LivePage(browser, address, "none.html")
    expect(page.page.locator(".live")).to_have_text(
        'A picture.This explorer could not come to life: there is no explorer "toString"'
    )
    page.page.route("**/stories.*", lambda route: route.fulfill(status=404))
    page.page.goto(f"{address}/index.html")
    expect(page.page.locator(".live").first.get_by_role("alert")).to_contain_text(
        re.compile(r"could not come to life: stories\.\w+ did not come \(404")
    )
    page.page.close()


def test_while_its_files_are_on_their_way_an_explorer_says_so(browser, address):
    page = browser.new_page()
    slow = "(...asked) => new Promise((come) => { window.arrive = () => come(get(...asked)); })"
    page.add_init_script(f"const get = window.fetch; window.fetch = {slow};")
    page.goto(f"{address}/one.html")
    expect(page.get_by_role("status")).to_have_text("An explorer that moves is on its way.")
    page.evaluate("arrive()")
    expect(page.get_by_role("status")).to_contain_text("the output is")
    page.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("reject()", "no answer"),
        ("resolve({ status: 404, statusText: 'Not Found' })", "404 Not Found"),
        ("resolve({ status: 404, statusText: '' })", "404"),  # HTTP/2 has no words for it
    ],
)
def test_why_a_file_did_not_come_is_said_in_one_bracket(answer, why, browser, address):
    page = browser.new_page()
    page.add_init_script(f"window.fetch = () => Promise.{answer}")
    page.goto(f"{address}/one.html")
    expect(page.get_by_role("alert")).to_have_text(
        f"This explorer could not come to life: activations.json did not come ({why}); load the page again"
    )
    page.close()

"""live.js computes what gptcore computes: tokens, logits, stories, attention, and the functions that it draws."""

import json

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from live_folder import IN_FLOAT32, IN_INT8, Node, int8_model, make_folder
from safetensors import safe_open
from torch.nn.utils.rnn import pad_sequence

from gptcore import (
    GPTModel,
    LayerNorm,
    attention_weights,
    generate,
    get_story_tokenizer,
    get_tokenizer,
    story_film,
    story_loss,
    story_token_ids,
    text_to_token_ids,
    write_stories,
)
from gptcore.activations import ACTIVATIONS, with_slope
from gptcore.pages import EXPLORERS, live_file, place, widget, write_live
from gptcore.pages.live import CURVES, FILM, GPT2, MODEL, NOT_ALIVE, STORIES
from gptcore.tokenizer import END_OF_TEXT
from gptcore.viz.widgets.tokens import visible

VOCABULARIES = {GPT2: get_tokenizer, STORIES: get_story_tokenizer}
BEGINNINGS = ("The fox", "On a cold day Tom was in the forest. Tom saw three", "Zażółć 🙂")
STEPS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def node(folder):
    node = Node(folder)
    yield node
    node.close()


@pytest.fixture(scope="module")
def models():
    return {IN_FLOAT32: GPTModel.from_pretrained("stories"), IN_INT8: int8_model()}


def relative_error(found, wanted):
    """The largest difference, in parts of the largest number."""
    return ((torch.tensor(found) - wanted).abs().max() / wanted.abs().max()).item()


def full_context(model):
    ids = story_token_ids(write_stories(3, seed=5))[: model.cfg["context_length"]]
    assert len(ids) == model.cfg["context_length"]
    return ids


@pytest.mark.parametrize("file", [IN_FLOAT32, IN_INT8])
@torch.no_grad()
def test_logits_are_torchs(node, models, file):
    """At every position of a whole context, read at once or in pieces."""
    model = models[file]
    ids = full_context(model)
    logits, attention = node.ask("logits", file, [ids.tolist()])
    assert relative_error(logits, model(ids[None])[0]) < 1e-4
    wanted = attention_weights(model, ids[None])[:, 0]  # (n_layers, n_heads, num_tokens, num_tokens)
    rows = [torch.tensor(row, dtype=torch.float32) for heads in attention for head in heads for row in head]
    found = pad_sequence(rows, batch_first=True).view_as(wanted)  # 0 where a token cannot look: at those behind it
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    pieces, _ = node.ask("logits", file, [ids[:1].tolist(), ids[1:20].tolist(), ids[20:30].tolist()])
    assert pieces == logits[:30]


def test_a_cache_forgets_what_comes_behind_the_common_beginning(node):
    ids = story_token_ids(write_stories(1, seed=5)).tolist()[:40]
    other = [*ids[:20], *reversed(ids[20:])]
    afresh, _ = node.ask("logits", IN_INT8, [ids])
    assert node.ask("changedEnd", IN_INT8, ids, other, 20) == afresh[-1]


def test_too_many_tokens_and_unknown_ones_are_refused(node):
    with pytest.raises(ValueError, match="129 tokens are too many: the model reads 128"):
        node.ask("logits", IN_INT8, [[0] * 129])
    for token_id in (-1, 1019, 0.5):
        with pytest.raises(ValueError, match=f"there is no token with id {token_id}"):
            node.ask("logits", IN_INT8, [[token_id]])


def test_int8_loses_nothing_to_speak_of(node, models):
    stories = [story_token_ids([story]) for story in write_stories(4, seed=3)]
    sums = [node.ask("loss", IN_INT8, ids.tolist()) for ids in stories]
    loss = sum(sums) / sum(len(ids) - 1 for ids in stories)
    assert all(len(ids) <= 129 for ids in stories)
    assert abs(loss - story_loss(models[IN_FLOAT32], number=4)) < 1e-3


@pytest.mark.parametrize("file", [IN_FLOAT32, IN_INT8])
def test_greedy_stories_are_torchs_token_for_token(node, models, file):
    for beginning in BEGINNINGS:
        ids = text_to_token_ids(END_OF_TEXT + beginning, get_story_tokenizer())
        written = generate(models[file], ids, STEPS)[0, ids.shape[1] :]
        assert node.ask("greedy", file, ids[0].tolist(), STEPS) == written.tolist(), beginning


def check_tokens(node, texts):
    for file, tokenizer in ((file, get()) for file, get in VOCABULARIES.items()):
        for text, (ids, decoded, names) in zip(texts, node.ask("tokens", file, texts), strict=True):
            assert ids == tokenizer.encode(text, allowed_special={END_OF_TEXT}), repr(text)
            assert decoded == tokenizer.decode(ids)
            assert names == [visible(token_id, tokenizer) for token_id in ids]


# None that this Python does not know yet: of those, what is a letter depends on whose table of Unicode is newer.
LETTERS = st.characters(exclude_categories=("Cn",))
HALF_LETTERS = ["\ud83d", "\ude00"]
LOOKALIKES = st.sampled_from(
    [END_OF_TEXT, "<|endoftext", "|>", "'s", "'LL", "\r\n", "   ", " \n ", "\ufeff", "\x85", "\u180e", "\u2028",
     "\u017f", "👩\u200d👩\u200d👧", "e\u0301", "\u200d", "٣", "½", *HALF_LETTERS]
)  # fmt: skip


@hypothesis.given(st.lists(st.lists(LETTERS | LOOKALIKES | st.text("ab' 1\n!\t")).map("".join), max_size=8))
def test_any_text_becomes_tiktokens_tokens(node, texts):
    check_tokens(node, texts)


def test_stories_and_the_projects_own_texts_become_tiktokens_tokens(node):
    check_tokens(node, [*write_stories(30, seed=9), NOT_ALIVE, "x" * 300, " " * 300 + "x", "\n" * 99, "🙂" * 50, ""])


def test_a_model_is_read_as_safetensors_reads_it(node, folder):
    with safe_open(folder / IN_INT8, "pt") as model:
        for name in model.keys():
            assert node.ask("numbers", IN_INT8, name) == model.get_tensor(name).flatten().tolist()


def test_the_time_machines_file_says_what_the_film_says(folder):
    film, drawn = story_film(), json.loads((folder / FILM).read_bytes())
    assert (drawn["steps"], drawn["prompts"], drawn["kinds"]) == (film.steps, film.prompts, list(film.words))
    assert drawn["losses"] == [film.losses["all tokens"], film.losses["names again"]]
    assert [get_story_tokenizer().decode(ids) for ids in drawn["tokens"]] == [*map("".join, film.tokens)]
    assert drawn["reach"] == pytest.approx(1.05 * film.places(-1).abs().max().item())
    for moment, seen in enumerate(drawn["moments"]):
        assert len(seen["sample"]) == len(film.samples[moment]) and seen["sample"].isprintable()
        places = torch.tensor([place for kind in seen["places"] for place in kind])
        torch.testing.assert_close(places, film.places(moment), rtol=1e-5, atol=0)
        assert [*map(len, seen["places"])] == [*map(len, film.words.values())]
        assert seen["within"] == film.spread_within_kinds(moment)
        for prompt, beginning in enumerate(seen["beginnings"]):
            ids, shares = zip(*film.next_tokens(prompt, moment), strict=True)
            assert beginning["ids"] == [*ids] and beginning["shares"] == pytest.approx(shares, rel=1e-5)
            weights = film.attention(prompt, moment)
            for (block, head), row in zip(drawn["heads"], beginning["weights"], strict=True):
                torch.testing.assert_close(torch.tensor(row), weights[block, head, -1], rtol=1e-5, atol=0)
            assert tuple(beginning["strongest"]) == film.strongest_look(prompt, moment)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes_are_torchs(folder, name):
    drawn = json.loads((folder / CURVES).read_bytes())
    curves = {name: numbers for name, *numbers in drawn["curves"]}
    assert list(curves) == list(ACTIVATIONS)
    xs = torch.tensor(drawn["xs"], dtype=torch.float64)
    torch.testing.assert_close(xs, torch.linspace(-4, 4, 161, dtype=torch.float64))
    for found, wanted in zip(curves[name], with_slope(ACTIVATIONS[name], xs, 1.0), strict=True):
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), wanted, rtol=1e-5, atol=0)
    # Of a gate the page multiplies both by the value.
    times_value = torch.stack(with_slope(ACTIVATIONS["SwiGLU gate"], xs, -1.5))
    torch.testing.assert_close(times_value, -1.5 * torch.stack(with_slope(ACTIVATIONS["SwiGLU gate"], xs, 1.0)))


@pytest.mark.parametrize("digits", range(4))
def test_numbers_are_written_as_python_writes_them(node, digits):
    """Also those that lie half way between two decimals, and those that only seem to after a multiplication."""
    numbers = [number / divisor for divisor in (3, 8, 16, 200, 2000) for number in range(-2500, 2501)]
    numbers += [0.175, -1.725, -0.0, -1e-9]
    assert node.ask("fixed", numbers, digits) == [f"{number:z.{digits}f}" for number in numbers]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_written_as_the_kernels_explorer_writes_it(node, folder, name):
    drawn = json.loads((folder / CURVES).read_bytes())
    curves = {name: numbers for name, *numbers in drawn["curves"]}
    xs = torch.tensor(drawn["xs"], dtype=torch.float64)
    for value in [number / 10 for number in range(-20, 21)] if name == "SwiGLU gate" else [1.0]:
        for numbers, wanted in zip(curves[name], with_slope(ACTIVATIONS[name], xs, value), strict=True):
            found = node.ask("fixed", [value * number for number in numbers], 3)
            assert found == [f"{number:z.3f}" for number in wanted.tolist()], value


def test_layer_norm_is_gptcores(node):
    layer = LayerNorm(4).requires_grad_(False)
    for x in ([3.0, -1.0, 0.5, 2.0], [5.0, 5.0, 5.0, 5.0], [-10.0, 10.0, 0.0, 1.0]):
        for scale, shift, eps in ((1.0, 0.0, 1e-5), (-2.0, 3.0, 10.0)):
            layer.scale.fill_(scale), layer.shift.fill_(shift)
            layer.eps = eps
            found = node.ask("layerNorm", x, [scale] * 4, [shift] * 4, eps)
            torch.testing.assert_close(torch.tensor(found, dtype=torch.float32), layer(torch.tensor(x)))


def test_the_files_are_the_same_each_time_and_say_what_they_are(folder, tmp_path):
    written = write_live(tmp_path)
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()}
    assert {file for needed in EXPLORERS.values() for file in needed} < {path.name for path in written}
    for path in written:
        assert path.read_bytes() == (folder / path.name).read_bytes()
    with safe_open(tmp_path / IN_INT8, "pt") as model:
        assert json.loads(model.metadata()["config"])["n_layers"] == 4
        weight = model.get_tensor("out_head.weight")
    assert weight.dtype == torch.int8 and weight.abs().amax(dim=1).eq(127).all()  # each row uses its whole range
    assert (tmp_path / IN_INT8).stat().st_size < 1.15e6


def test_in_a_notebook_a_picture_stands_in_for_the_explorer_and_its_files_are_not_stored(monkeypatch):
    shown = []
    monkeypatch.setattr(widget, "display", shown.append)
    widget.live_explorer("attention", ("<p>a picture</p>", "what it shows"))
    data, _ = shown.pop()._repr_mimebundle_()
    assert data["text/html"] == f"<p>a picture</p><p><em>{widget.WITHOUT_A_KERNEL}</em></p>"
    assert data["text/plain"] == "what it shows"
    assert len(json.dumps(data)) < 1000 and len(live_file(MODEL)) > 500_000
    widget.live_explorer("layer_norm")
    data, _ = shown.pop()._repr_mimebundle_()
    assert data["text/plain"] == widget.WITHOUT_A_KERNEL
    with pytest.raises(ValueError, match="there is no explorer 'stroy'"):
        widget.live_explorer("stroy")


def test_a_place_names_its_explorer():
    assert place("story", "<p>soon</p>") == '<div class="live" data-explorer="story"><p>soon</p></div>'
    assert NOT_ALIVE in place("layer_norm")
    with pytest.raises(ValueError, match="there is no explorer 'stroy'; choose one of story, attention"):
        place("stroy")

"""The story grammar, its tokenizer, and the small model that ships: better than a bigram table, and speaking words."""

import hashlib
import json
import re
from itertools import product

import pytest
import torch

from gptcore import (
    GPTModel,
    attention_weights,
    count_parameters,
    generate,
    get_story_tokenizer,
    get_tokenizer,
    losses_by_kind,
    mean_loss,
    next_token_loss,
    story_film,
    story_loss,
    story_token_ids,
    tell_story,
    text_to_token_ids,
    write_stories,
)
from gptcore.pretrained import STORY_MODEL
from gptcore.stories import ANIMALS, PEOPLE, make, make_film, tokenizer
from gptcore.stories.film import FILM_FILE, Film

WORD = re.compile(r"[A-Za-z]+")


def words_of(texts):
    return {word.lower() for text in texts for word in WORD.findall(text)}


def test_the_same_seed_writes_the_same_stories():
    assert write_stories(50) == write_stories(50) == write_stories(60)[:50]
    assert write_stories(50) != write_stories(50, seed=124)
    with pytest.raises(ValueError, match="number must be at least 1, got 0"):
        write_stories(0)


def test_there_is_variety():
    texts = write_stories(5000)
    assert len(set(texts)) == 5000
    assert len(words_of(texts)) >= 300
    beginnings = {" ".join(text.split()[:2]) for text in texts}
    assert len(beginnings) > 50


def test_sentences_are_well_formed():
    for text in write_stories(3000):
        assert not re.search(r"\b[Aa] [aeio]", text.replace("a one", "")), text
        assert not re.search(r"\b[Aa]n [^aeio]", text), text
        assert text[-1] in '.!?"' and "  " not in text
        for sentence in re.split(r'(?<=[.!?])"? ', text):
            assert sentence.lstrip('"')[0].isupper() or sentence.startswith(("said", "asked")), text
        assert not re.search(r"\bone \w+ were\b|\b(two|three|four|five|six) \w+ was\b", text), text
        for name, (subject, _, their) in PEOPLE.items():
            other = {"she": "he", "he": "she"}[subject]
            if re.search(rf"\b{name} could not find (his|her|its)", text):
                assert f"{name} could not find {their} " in text and f" {other} " not in text


def test_the_tokenizer_splits_stories_as_gpt2_does_and_knows_every_text():
    small, large = get_story_tokenizer(), get_tokenizer()
    for text in write_stories(300, seed=7):
        pieces = [small.decode_single_token_bytes(token_id) for token_id in small.encode(text)]
        assert pieces == [large.decode_single_token_bytes(token_id) for token_id in large.encode(text)]
    for text in ("Zażółć gęślą jaźń", "未来", "🙂 <|endoftext|>"):
        assert small.decode(small.encode(text, allowed_special="all")) == text
    assert small.n_vocab < 1100


def test_the_tokenizer_file_is_what_the_script_writes(tmp_path):
    make.write_ranks(tmp_path / "stories.tiktoken")
    assert (tmp_path / "stories.tiktoken").read_bytes() == tokenizer.RANKS_FILE.read_bytes()
    assert hashlib.sha256(tokenizer.RANKS_FILE.read_bytes()).hexdigest() == tokenizer.RANKS_SHA256


def test_ids_of_stories_begin_with_end_of_text():
    ids = story_token_ids(["One day.", "Anna."])
    end = get_story_tokenizer().eot_token
    assert ids.tolist() == [end, *get_story_tokenizer().encode("One day."), end, *get_story_tokenizer().encode("Anna.")]


def test_ids_of_stories_are_whole_numbers_also_of_no_story_and_know_where_a_text_ends():
    tokenizer = get_story_tokenizer()
    assert story_token_ids([]).dtype == torch.long and story_token_ids([]).shape == (0,)
    end, day = tokenizer.eot_token, tokenizer.encode("day")
    assert story_token_ids(["day<|endoftext|>day"]).tolist() == [end, *day, end, *day]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: story_token_ids("One day."), ["list of texts", "'One day.'", "[text]"]),
        (lambda: story_token_ids([5]), ["string", "int"]),
        (lambda: tell_story(None, 5), ["beginning", "a text", "got 5"]),
    ],
)
def test_what_is_no_text_is_refused_with_the_value_and_the_fix(call, words):
    with pytest.raises(TypeError) as error:
        call()
    for word in words:
        assert word in str(error.value)


HELD_OUT_SEED = 3  # neither the training's nor the validation's


@pytest.fixture(scope="module")
def model():
    return GPTModel.from_pretrained("stories")


class TestModel:
    def test_is_small_and_has_a_card(self, model):
        assert sum(path.stat().st_size for path in STORY_MODEL.iterdir()) <= 8e6
        card = (STORY_MODEL / "README.md").read_text(encoding="utf-8")
        for word in ("MIT", "python -m gptcore.stories.make", f"{count_parameters(model.cfg):,}", "nats", "steps"):
            assert word in card, word
        assert json.loads((STORY_MODEL / "config.json").read_text())["model_type"] == "gpt2"

    def test_beats_the_bigram_table_on_stories_that_neither_has_seen(self, model):
        training = story_token_ids(write_stories(20_000, make.TRAINING_SEED))
        held_out = story_token_ids(write_stories(500, HELD_OUT_SEED))
        vocab_size = model.cfg["vocab_size"]
        counts = 0.01 * torch.ones(vocab_size, vocab_size)  # no pair is impossible; 1 would make the rival weaker
        counts.index_put_((training[:-1], training[1:]), torch.ones(len(training) - 1), accumulate=True)
        bigram = (counts / counts.sum(1, keepdim=True)).log()
        bigram_loss = -bigram[held_out[:-1], held_out[1:]].mean().item()
        loss = mean_loss(model, held_out, model.cfg["context_length"])
        assert loss < 0.5 * bigram_loss
        card = (STORY_MODEL / "README.md").read_text(encoding="utf-8")
        assert loss == pytest.approx(float(re.search(r"([\d.]+) nats per token on held-out", card)[1]), abs=0.005)
        assert bigram_loss == pytest.approx(float(re.search(r"has ([\d.]+) nats", card)[1]), abs=0.005)

    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    def test_speaks_in_the_grammars_words(self, model, temperature):
        torch.manual_seed(123)
        tokenizer = get_story_tokenizer()
        prompt = torch.full((1 if temperature == 0 else 20, 1), tokenizer.eot_token)
        ids = generate(model, prompt, 120, temperature=temperature)
        spoken = [
            word.lower()
            for row in ids.tolist()
            for word in WORD.findall(tokenizer.decode(row[1:]).replace("<|endoftext|>", " "))[:-1]
        ]
        known = words_of(write_stories(20_000, HELD_OUT_SEED))
        assert len(spoken) > 80
        assert sum(word in known for word in spoken) >= 0.95 * len(spoken)


@torch.no_grad()
def test_losses_by_kind_are_those_of_each_token_counted_by_hand(model):
    tokenizer = get_story_tokenizer()
    sums = {"all tokens": [], "new names": [], "names again": []}
    for story in write_stories(5, seed=3):
        ids = story_token_ids([story])[:129]
        pieces = [tokenizer.decode([token_id]) for token_id in ids.tolist()]
        logits = model(ids[None, :-1])
        for i in range(1, len(ids)):
            loss = next_token_loss(logits[:, i - 1 : i], ids[None, i : i + 1]).item()
            sums["all tokens"].append(loss)
            whole_name = re.fullmatch(r" ?(\w+)", pieces[i]) and not re.match(r"\w", "".join(pieces[i + 1 : i + 2]))
            if whole_name and (name := pieces[i].strip()) in {*PEOPLE, *ANIMALS}:
                sums["names again" if name in WORD.findall("".join(pieces[:i])) else "new names"].append(loss)
    measured = losses_by_kind(model, number=5)
    assert measured == pytest.approx({kind: sum(losses) / len(losses) for kind, losses in sums.items()}, abs=1e-4)
    assert not model.training and losses_by_kind(model.train(), number=5) == measured and model.training
    model.eval()


def test_dropout_disturbs_no_loss_on_stories_and_each_part_keeps_its_mode():
    torch.manual_seed(123)
    model = GPTModel({"vocab_size": 1019, **make.STORY_CONFIG, "emb_dim": 8, "drop_rate": 0.5})
    model.trf_blocks[0].eval()
    modes = [part.training for part in model.modules()]
    losses = [story_loss(model, 3), story_loss(model, 3), losses_by_kind(model, 3), losses_by_kind(model, 3)]
    assert [part.training for part in model.modules()] == modes
    assert losses[0] == losses[1] == story_loss(model.eval(), 3) and losses[2] == losses[3]


class TestFilm:
    def test_is_small_and_says_at_each_moment_what_it_should(self):
        film = story_film()
        assert FILM_FILE.stat().st_size <= 600_000 and len(film.steps) >= 20
        assert tuple(film.steps) == make_film.STEPS and tuple(film.prompts) == make_film.PROMPTS
        for moment in range(len(film.steps)):
            assert film.samples[moment].startswith(make_film.BEGINNING)
            for prompt in range(3):
                weights = film.attention(prompt, moment)
                assert weights.triu(1).max() == 0
                # each of up to 33 weights is rounded by at most half of 1/255
                torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]), rtol=0, atol=33 / 510)
                chances = [chance for _, chance in film.next_tokens(prompt, moment)]
                assert chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1.0001

    @torch.no_grad()
    def test_its_last_moment_is_the_model_that_ships(self, model):
        film, tokenizer = story_film(), get_story_tokenizer()
        assert film.samples[-1] == tell_story(model, make_film.BEGINNING, make_film.SAMPLE_TOKENS)
        for prompt, text in enumerate(film.prompts):
            ids = text_to_token_ids("<|endoftext|>" + text, tokenizer)
            assert "".join(film.tokens[prompt]) == "<|endoftext|>" + text
            weights = attention_weights(model, ids)[:, 0]
            torch.testing.assert_close(film.attention(prompt, -1), weights, rtol=0, atol=0.5 / 255 + 1e-4)
            chances = model(ids)[0, -1].softmax(dim=-1)
            for token_id, chance in film.next_tokens(prompt, -1):
                assert chances[token_id].item() == pytest.approx(chance, rel=1e-3, abs=1e-6)
        for kind, loss in losses_by_kind(model).items():
            assert film.losses[kind][-1] == pytest.approx(loss, abs=2e-3)

    def test_what_the_camera_saw_is_in_the_file(self, model, tmp_path):
        camera = make_film.Camera()
        torch.manual_seed(123)
        for step, seen in enumerate((GPTModel(model.cfg), model)):
            camera.look(seen, step)
        camera.save(tmp_path / "film.safetensors")
        film = Film(tmp_path / "film.safetensors")
        assert film.steps == [0, 1] and film.losses["all tokens"][0] > 6.9 > 0.5 > film.losses["all tokens"][1]
        torch.testing.assert_close(film.attention(1, 1), story_film().attention(1, -1), rtol=0, atol=1 / 255)
        assert film.places(0).shape == (sum(map(len, film.words.values())), 2)

    def test_what_it_wrote_can_be_shown(self):
        film = Film(FILM_FILE)
        assert film.written(-1) == film.samples[-1]  # a story
        film.samples[0] = "a\nb\x00 \U000e0001é"
        assert film.written(0) == "a\ufffdb\ufffd \ufffdé"

    def test_its_strongest_look_is_the_largest_weight_but_for_the_texts_beginning(self):
        film = story_film()
        for moment, prompt in product(range(len(film.steps)), range(3)):
            rows = film.attention(prompt, moment)[..., -1, :].reshape(-1, len(film.tokens[prompt])).tolist()
            assert film.last_looks(prompt, moment).tolist() == rows
            head, token = film.strongest_look(prompt, moment)
            assert token > 0 and rows[head][token] == max(weight for row in rows for weight in row[1:])

    def test_how_much_of_the_spread_lies_within_kinds(self):
        film = story_film()
        for moment in range(len(film.steps)):
            places, kinds = film.places(moment).numpy(), film.places_by_kind(moment)
            assert [*map(len, kinds)] == [*map(len, film.words.values())]
            assert torch.equal(torch.cat(kinds), film.places(moment))
            within = sum(len(kind) * kind.numpy().var(axis=0).sum() for kind in kinds)
            assert film.spread_within_kinds(moment) == pytest.approx(within / (places**2).sum(), rel=1e-5)

    def test_the_training_is_watched_from_step_0_on_through_all_stages(self, monkeypatch):
        monkeypatch.setattr(make, "NUM_TRAINING_STORIES", 20)
        monkeypatch.setattr(make, "STAGES", ((2, 1e-3), (1, 1e-4)))
        monkeypatch.setattr(make, "BATCH_SIZE", 1)
        steps = []
        make.train_story_model(lambda model, step: steps.append(step))
        assert steps == [0, 1, 2, 3]

import pytest
import torch
from torch.nn import functional as F

from gptcore import (
    GPTModel,
    generate,
    get_story_tokenizer,
    replaced,
    story_loss,
    tell_story,
    text_to_token_ids,
)


@pytest.fixture(scope="module")
def model():
    return GPTModel.from_pretrained("stories")


def test_a_part_is_replaced_inside_and_back_afterwards(model):
    ids = torch.arange(6)[None]
    before = model(ids)
    with pytest.raises(KeyError), replaced(model, "*.ff", lambda ff, x: 0 * x):
        inside = model(ids)
        raise KeyError
    assert not torch.allclose(inside, before)
    torch.testing.assert_close(model(ids), before, rtol=0, atol=0)


@pytest.mark.parametrize(("parts", "number"), [("*.norm?", 8), ("trf_blocks.?", 4), ("final_norm", 1), ("*.0.att", 1)])
def test_a_name_stands_for_every_part_that_fits(model, parts, number):
    called = []

    def count(part, x):
        called.append(part)
        return part.forward(x)

    with replaced(model, parts, count):
        model(torch.arange(6)[None])
    assert len(called) == number


def test_what_the_part_itself_gives_can_be_used(model):
    ids = torch.arange(6)[None]
    with replaced(model, "*.ff.layers.1", lambda bend, x: bend.forward(x)):
        same = model(ids)
    torch.testing.assert_close(same, model(ids), rtol=0, atol=0)


def test_an_unknown_part_is_refused_with_the_names_there_are(model):
    with pytest.raises(ValueError, match=r"no part named '\*.norm3'; its parts are .*trf_blocks.0.norm1"):
        with replaced(model, "*.norm3", lambda norm, x: x):
            pass


def test_a_list_of_parts_which_never_runs_is_refused_and_not_among_the_names(model):
    with pytest.raises(ValueError, match=r"'trf_blocks' is a list .* never runs.* name its parts, 'trf_blocks\.\*'"):
        with replaced(model, "trf_blocks", lambda blocks, x: 0 * x):
            pass
    with pytest.raises(ValueError, match=r"parts are tok_emb, pos_emb, drop_emb, trf_blocks\.0, "):
        with replaced(model, "blocks", lambda blocks, x: 0 * x):
            pass


def test_a_function_that_returns_nothing_is_refused_with_the_parts_name(model):
    with pytest.raises(TypeError, match=r"nothing for 'trf_blocks\.1\.ff'; return a tensor such as part\.forward\(x\)"):
        with replaced(model, "*.1.ff", lambda ff, x: None):
            model(torch.arange(6)[None])


def test_the_trained_model_knows_the_stories_and_needs_its_parts(model):
    assert 0.35 < story_loss(model) < 0.45
    assert tell_story(model, max_new_tokens=12).startswith("The fox and a brave dog were in the forest.")
    with replaced(model, "*.ff.layers.1", lambda bend, x: F.relu(x)):
        assert story_loss(model) < 0.6
    with replaced(model, "*.ff.layers.1", lambda bend, x: x):
        assert story_loss(model) > 5


@pytest.mark.parametrize("parts", ["trf_blocks.0", "trf_blocks.0.att", "*.att", "*.ff"])
def test_what_is_replaced_by_itself_writes_the_same_with_a_cache(parts):
    model, tok = GPTModel.from_pretrained("stories"), get_story_tokenizer()
    ids = text_to_token_ids("<|endoftext|>One day Anna", tok)
    with replaced(model, parts, lambda part, x: part.forward(x)):
        found = generate(model, ids, 12)
    assert torch.equal(found, generate(model, ids, 12))


def test_a_place_can_be_changed_in_what_is_written():
    model, tok = GPTModel.from_pretrained("stories"), get_story_tokenizer()
    ids = text_to_token_ids("<|endoftext|>One day Anna", tok)

    def put(block, x):
        y = block.forward(x).clone()
        y[:, 3] = 0
        return y

    with replaced(model, "trf_blocks.1", put):
        assert torch.equal(generate(model, ids, 6), generate(model, ids, 6, use_cache=False))

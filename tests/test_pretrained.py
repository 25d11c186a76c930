"""Checkpoints: real ones that transformers wrote, and damaged ones, each refused with its own message."""

import http.client
import http.server
import json
import shutil
import subprocess
import sys
import threading
import warnings
from fractions import Fraction
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from peak import rise_of_peak
from safetensors.torch import load_file, save_file
from torch import nn

from gptcore import GPT_CONFIGS, GPTModel, count_parameters, generate, generate_text_simple, pretrained

ODD_SHAPES = {
    "narrow": {"vocab_size": 61, "n_positions": 12, "n_embd": 20, "n_head": 5, "n_layer": 3},
    "one head, one block": {"vocab_size": 97, "n_positions": 9, "n_embd": 7, "n_head": 1, "n_layer": 1},
    "wide, prime vocabulary": {"vocab_size": 211, "n_positions": 17, "n_embd": 66, "n_head": 11, "n_layer": 2},
}
OPENAI_SMALL = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}


@pytest.fixture(scope="module", autouse=True)
def quiet_transformers():
    import transformers  # takes seconds, and every worker reads this file

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def write_checkpoint(folder, shape, tied=True, **settings):
    """A transformers GPT-2 with every parameter moved off its initial value, saved by transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(123)
    settings = {"bos_token_id": 0, "eos_token_id": 0, **settings}
    reference = GPT2LMHeadModel(GPT2Config(**shape, tie_word_embeddings=tied, **settings)).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    reference.save_pretrained(folder)
    return reference


def relative_difference(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@torch.no_grad()
def greedy_by_transformers(reference, idx, max_new_tokens):
    """Transformers stops at the end of the context; here the window slides, as in generate_text_simple."""
    for _ in range(max_new_tokens):
        logits = reference(idx[:, -reference.config.n_positions :]).logits[:, -1]
        idx = torch.cat((idx, logits.argmax(-1, keepdim=True)), dim=1)
    return idx


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("shape", ODD_SHAPES.values(), ids=ODD_SHAPES)
def test_equals_transformers_on_odd_shapes(shape, tied, tmp_path):
    reference = write_checkpoint(tmp_path, shape, tied)
    model = GPTModel.from_pretrained(tmp_path)
    assert (model.out_head.weight is model.tok_emb.weight) is tied
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in reference.parameters())
    context_length = shape["n_positions"]
    idx = torch.randint(shape["vocab_size"], (3, context_length))
    with torch.no_grad():
        assert relative_difference(model(idx), reference(idx).logits) < 2e-5
    prompt, num_new = idx[:, :2], 2 * context_length  # to the end of the context and past it
    expected = greedy_by_transformers(reference, prompt, num_new)
    assert torch.equal(generate(model, prompt, num_new), expected)
    assert torch.equal(generate(model, prompt, num_new, use_cache=False), expected)
    assert torch.equal(generate_text_simple(model, prompt, num_new, context_length), expected)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """The folder of a checkpoint of GPT-2's smallest size, and transformers' model in it."""
    folder = tmp_path_factory.mktemp("full_size")
    return folder, write_checkpoint(folder, OPENAI_SMALL)


def test_equals_transformers_at_full_size(full_size):
    folder, reference = full_size
    model = GPTModel.from_pretrained(folder)
    assert sum(p.numel() for p in model.parameters()) == 124_439_808
    idx = torch.randint(50257, (1, 1024))  # all positions; what happens past them, the odd shapes show
    with torch.no_grad():
        assert relative_difference(model(idx), reference(idx).logits) < 2e-5
    expected = reference.generate(idx[:, :16], max_new_tokens=40, min_new_tokens=40, do_sample=False, pad_token_id=0)
    assert torch.equal(generate(model, idx[:, :16], 40), expected)
    assert torch.equal(generate(model, idx[:, :16], 12, use_cache=False), expected[:, :28])


def test_loading_copies_nothing_and_takes_little_beside_the_weights(full_size):
    folder, _ = full_size
    rise = rise_of_peak("from gptcore import GPTModel", f"model = GPTModel.from_pretrained({str(folder)!r})")
    assert rise < 100e6  # the weights are 498 MB
    c_attn = GPTModel.from_pretrained(folder).trf_blocks[0].att
    assert c_attn.W_key.weight.untyped_storage().data_ptr() == c_attn.W_query.weight.untyped_storage().data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_is(dtype, tmp_path):
    reference = write_checkpoint(tmp_path, ODD_SHAPES["narrow"]).to(dtype)
    reference.save_pretrained(tmp_path)
    model = GPTModel.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    idx = torch.randint(61, (2, 12))
    with torch.no_grad():
        assert relative_difference(model(idx).float(), reference(idx).logits.float()) < 0.05
    assert generate(model, idx[:, :3], 4).shape == (2, 7)


def test_reads_files_with_masks_and_without_the_prefix(tmp_path):
    """As the hub's own files are: no "transformer." before the names, and the causal masks among the tensors."""
    reference = write_checkpoint(tmp_path, ODD_SHAPES["narrow"])
    tensors = load_file(tmp_path / "model.safetensors")
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    for i in range(3):
        tensors[f"h.{i}.attn.bias"] = torch.ones(1, 1, 12, 12).tril()
        tensors[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    tensors["lm_head.weight"] = tensors["wte.weight"].clone()  # named twice, but the same
    save_file(tensors, tmp_path / "model.safetensors")
    idx = torch.randint(61, (2, 12))
    with torch.no_grad():
        assert relative_difference(GPTModel.from_pretrained(tmp_path)(idx), reference(idx).logits) < 2e-5


def test_what_we_save_transformers_loads(tmp_path):
    from transformers import GPT2LMHeadModel

    cfg = {"vocab_size": 61, "context_length": 12, "emb_dim": 20, "n_heads": 5, "n_layers": 2, "drop_rate": 0.0}
    for tied in (True, False):
        model = GPTModel({**cfg, "qkv_bias": True}).eval()
        if tied:
            model.tie_weights()
        pretrained.save_checkpoint(model, tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
        reference = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
        idx = torch.randint(61, (2, 12))
        with torch.no_grad():
            assert relative_difference(model(idx), reference(idx).logits) < 2e-5
            torch.testing.assert_close(GPTModel.from_pretrained(tmp_path)(idx), model(idx))
    with pytest.raises(ValueError, match="qkv_bias=True"):
        pretrained.save_checkpoint(GPTModel({**cfg, "qkv_bias": False}), tmp_path)


OWN = {"vocab_size": 11, "context_length": 4, "emb_dim": 4, "n_heads": 2, "n_layers": 1, "drop_rate": 0.0}


def own_model(seed=123, **changes):
    torch.manual_seed(seed)
    return GPTModel({**OWN, "qkv_bias": True, **changes}).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_we_save_keeps_its_type(dtype, tmp_path):
    model = own_model().to(dtype)
    pretrained.save_checkpoint(model, tmp_path)
    found, saved = GPTModel.from_pretrained(tmp_path).state_dict(), model.state_dict()
    assert all(tensor.dtype == dtype and torch.equal(tensor, saved[name]) for name, tensor in found.items())


def test_what_we_could_not_load_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"weights are torch.float64; one of float32.*model.float\(\)"):
        pretrained.save_checkpoint(own_model().double(), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("names", [[], ["config.json", "model.safetensors"]], ids=["a new folder", "an old one"])
@pytest.mark.parametrize("refused", ["config.json", "model.safetensors"])
def test_when_saving_fails_in_the_middle_what_was_there_is_there(refused, names, tmp_path, monkeypatch):
    old, new = own_model(), own_model(emb_dim=8)
    if names:
        pretrained.save_checkpoint(old, tmp_path)
    replace = Path.replace

    def refuse(path, target):
        if path.name == f"{refused}.unfinished":
            raise PermissionError("open in another program")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match=r"open in another program.*what was there before is still there"):
        pretrained.save_checkpoint(new, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    if names:
        assert torch.equal(GPTModel.from_pretrained(tmp_path).tok_emb.weight, old.tok_emb.weight)
    monkeypatch.undo()
    pretrained.save_checkpoint(new, tmp_path)
    assert torch.equal(GPTModel.from_pretrained(tmp_path).tok_emb.weight, new.tok_emb.weight)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_model_with_numpys_sizes_is_saved(tmp_path):
    pretrained.save_checkpoint(own_model(n_layers=np.int64(2), drop_rate=Fraction(1, 10)), tmp_path)
    assert GPTModel.from_pretrained(tmp_path).cfg == {**OWN, "n_layers": 2, "drop_rate": 0.1, "qkv_bias": True}


def test_a_model_in_several_files_is_the_same(whole, tmp_path):
    folder = tmp_path / "parts"
    shutil.copytree(whole, folder)
    in_parts(folder)
    assert len([*folder.glob("model-*.safetensors")]) >= 3 and not (folder / "model.safetensors").exists()
    found, wanted = (GPTModel.from_pretrained(each).state_dict() for each in (folder, whole))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_subclass_is_loaded_as_itself(whole):
    class Mine(GPTModel):
        pass

    assert type(Mine.from_pretrained(whole)) is Mine


@pytest.mark.parametrize("draw", [nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_])
@pytest.mark.parametrize("by_name", [False, True])
def test_without_initial_values_nothing_is_drawn_and_each_function_returns_its_tensor(draw, by_name):
    tensor = torch.full((2, 3), 7.0)
    with pretrained.WithoutInitialValues():
        assert (draw(tensor=tensor) if by_name else draw(tensor)) is tensor and (tensor == 7).all()
        assert nn.init.constant_(tensor, 1.0) is tensor and (tensor == 1).all()


def change_config(**changes):
    def damage(folder):
        path = folder / "config.json"
        settings = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in settings.items() if value != "remove"}))

    return damage


def change_tensors(change):
    def damage(folder):
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def in_parts(folder):
    """As transformers writes a model that is too large for one file."""
    from transformers import GPT2LMHeadModel

    reference = GPT2LMHeadModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    reference.save_pretrained(folder, max_shard_size="20KB")


def without_a_part(folder):
    in_parts(folder)
    min(folder.glob("model-*.safetensors")).unlink()


def without_a_list(folder):
    in_parts(folder)
    (folder / "model.safetensors.index.json").write_text("{}")


def with_a_part_elsewhere(folder):
    in_parts(folder)
    part = min(folder.glob("model-*.safetensors"))
    part.rename(folder.parent / part.name)
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(part.name, f"../{part.name}"))


def with_a_part_cut(folder):
    in_parts(folder)
    part = max(folder.glob("model-*.safetensors"))
    part.write_bytes(part.read_bytes()[:-100])


C_ATTN = "transformer.h.1.attn.c_attn.weight"
DAMAGES = {
    "exact GELU": (change_config(activation_function="gelu"), ["activation_function='gelu'", "gelu_new"]),
    "another architecture": (change_config(model_type="gpt_neo"), ["model_type='gpt_neo'", "'gpt2'"]),
    "no architecture": (change_config(model_type="remove"), ["model_type is missing"]),
    "another eps": (change_config(layer_norm_epsilon=1e-6), ["layer_norm_epsilon=1e-06", "1e-05"]),
    "scores not scaled": (change_config(scale_attn_weights=False), ["scale_attn_weights=False"]),
    "another feed-forward width": (change_config(n_inner=50), ["n_inner=50", "4 * n_embd"]),
    "a number missing": (change_config(n_head="remove"), ["n_head is missing"]),
    "a number that cannot be": (change_config(n_head=3), ["emb_dim=20", "n_heads=3"]),
    "config of another size": (change_config(n_embd=40, n_head=5), ["wte.weight has shape (61, 20)", "(61, 40)"]),
    "config with more blocks": (change_config(n_layer=4), ["h.3.ln_1.weight is missing"]),
    "config with fewer blocks": (change_config(n_layer=2), ["h.2.ln_1.weight is unknown"]),
    "head said to be its own": (change_config(tie_word_embeddings=False), ["lm_head.weight is missing"]),
    "not JSON": (lambda folder: (folder / "config.json").write_text("{"), ["config.json is not JSON"]),
    "JSON of another kind": (lambda folder: (folder / "config.json").write_text("[]"), ["holds no settings"]),
    "a tensor missing": (change_tensors(lambda t: t.pop(C_ATTN)), ["h.1.attn.c_attn.weight is missing"]),
    "a tensor too many": (
        change_tensors(lambda t: t.update({"transformer.h.0.extra": torch.ones(2)})),
        ["h.0.extra is unknown"],
    ),
    "a matrix already transposed": (
        change_tensors(lambda t: t.update({C_ATTN: t[C_ATTN].t().contiguous()})),
        ["h.1.attn.c_attn.weight has shape (60, 20)", "(20, 60)"],
    ),
    "whole numbers": (
        change_tensors(lambda t: t.update({name: tensor.to(torch.int8) for name, tensor in t.items()})),
        ["torch.int8", "float32"],
    ),
    "two types": (
        change_tensors(lambda t: t.update({C_ATTN: t[C_ATTN].half()})),
        ["torch.float16, torch.float32"],
    ),
    "tied and a head of its own": (
        change_tensors(lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"] + 1})),
        ["lm_head.weight differs from wte.weight"],
    ),
    "broken off": (cut, ["damaged or truncated", "bytes"]),
    "no weights at all": (lambda folder: (folder / "model.safetensors").write_bytes(b""), ["(0 bytes)", "truncated"]),
    "weights missing": (lambda folder: (folder / "model.safetensors").unlink(), ["has no model.safetensors"]),
    "config missing": (lambda folder: (folder / "config.json").unlink(), ["has no config.json"]),
    "pickle": (only_pickle, ["pickle", "any program", "safetensors"]),
    "a part missing": (without_a_part, ["index.json names files that are not beside it", "model-00001-of-"]),
    "parts without a list": (without_a_list, ["index.json has no weight_map"]),
    "a part elsewhere": (with_a_part_elsewhere, ["not beside it: ../model-00001-of-"]),
    "a part broken off": (with_a_part_cut, ["model-0000", "truncated"]),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_checkpoint(folder, ODD_SHAPES["narrow"])
    return folder


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_checkpoint_that_does_not_fit_is_refused_with_what_is_wrong(damage, words, whole, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoint"
    shutil.copytree(whole, folder)
    damage(folder)
    monkeypatch.setattr(GPTModel, "load_state_dict", lambda *_: pytest.fail("a tensor was loaded before the checks"))
    with pytest.raises(ValueError) as error:
        GPTModel.from_pretrained(folder)
    for word in words:
        assert word in str(error.value)


def test_each_damage_has_its_own_message(whole, tmp_path):
    messages = set()
    for name, (damage, _) in DAMAGES.items():
        folder = tmp_path / name.replace(" ", "_")
        shutil.copytree(whole, folder)
        damage(folder)
        with pytest.raises(ValueError) as error:
            GPTModel.from_pretrained(folder)
        messages.add(str(error.value).replace(str(folder), ""))
    assert len(messages) == len(DAMAGES) >= 10


def test_an_unknown_name_names_the_known_ones():
    with pytest.raises(ValueError, match=r"no folder 'gpt3'.*stories, gpt2, gpt2-medium, gpt2-large, gpt2-xl"):
        GPTModel.from_pretrained("gpt3")


def test_what_is_neither_a_name_nor_a_folder_is_refused():
    with pytest.raises(TypeError, match=r'a name such as "gpt2", or the path of a folder, got \[1\]'):
        GPTModel.from_pretrained([1])


@pytest.mark.parametrize(
    ("error", "reason"),
    [(TimeoutError(), "TimeoutError"), (http.client.BadStatusLine("SSH-2.0"), "BadStatusLine: SSH-2.0")],
)
def test_whatever_answers_in_the_hubs_place_one_sentence_says_so(error, reason, monkeypatch):
    def answer(address):
        raise error

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(pretrained, "_reach", answer)
    with pytest.raises(ConnectionError, match=rf"'gpt2-xl' is not on this machine .*not be fetched \({reason}\)"):
        GPTModel.from_pretrained("gpt2-xl")


def test_a_hub_that_refuses_has_answered(monkeypatch):
    """Python 3.14 would warn of an answer that is left open, and here a warning is a failure."""
    monkeypatch.setenv("no_proxy", "*")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        pretrained._reach(f"http://127.0.0.1:{server.server_port}")  # 501: it knows no HEAD
        thread.join()


def in_a_new_process(program, tmp_path, **variables):
    environment = {"HF_HOME": str(tmp_path / "home"), "PATH": "", **variables}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [({"HF_ENDPOINT": "http://127.0.0.1:9"}, "refused"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set")],
    ids=["nothing answers", "told to stay offline"],
)
def test_without_a_network_one_sentence_says_so(variables, reason, tmp_path):
    program = """if True:
        from gptcore import GPTModel
        try:
            GPTModel.from_pretrained("gpt2")
        except ConnectionError as error:
            print(error)"""
    finished = in_a_new_process(program, tmp_path, **variables)
    (line,) = finished.stdout.splitlines()
    assert "'gpt2' is not on this machine" in line and reason in line and '"stories"' in line
    assert finished.stderr == ""


def test_what_was_fetched_once_needs_no_network(tmp_path):
    """The hub's cache, laid out as huggingface_hub does, with the revision that is pinned."""
    repository, revision = pretrained.HUB_MODELS["gpt2-medium"]
    place = tmp_path / "home" / "hub" / f"models--{repository.replace('/', '--')}" / "snapshots" / revision
    write_checkpoint(place, ODD_SHAPES["narrow"])
    program = 'from gptcore import GPTModel; print(GPTModel.from_pretrained("gpt2-medium").cfg["emb_dim"])'
    finished = in_a_new_process(program, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert finished.stdout == "20\n", finished.stderr


@pytest.fixture
def loading(whole, monkeypatch):
    """Load a small checkpoint by a hub's name, without a network; return what was said before the fetch, and after."""

    def load(name, memory, is_fetched=False):
        said_before = []

        def fetch(repository, file, revision, local_files_only=False):
            assert (repository, revision) == pretrained.HUB_MODELS[name]
            if local_files_only and not is_fetched:
                raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
            said_before.append([str(each.message) for each in said])
            return str(whole / file)

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(pretrained, "_reach", lambda address: None)
        monkeypatch.setattr(pretrained, "_memory_of_machine", lambda: memory)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            GPTModel.from_pretrained(name)
        assert {each.filename for each in said} <= {__file__}  # the line of whoever loads, and none of gptcore's
        return said_before[0], [str(each.message) for each in said]

    return load


def test_a_large_model_says_what_it_takes_before_it_does(loading):
    before, after = loading("gpt2-xl", memory=16.0)
    assert (
        before
        == after
        == [
            "'gpt2-xl' fetches 6.4 GB (9 minutes at 100 Mbit/s) and needs 6.5 GB of memory, all of it for every token. "
            'Smaller: GPTModel.from_pretrained("gpt2-large").'
        ]
    )


@pytest.mark.parametrize(("memory", "smaller"), [(4.0, "gpt2-large"), (2.0, "gpt2-medium"), (1.0, "gpt2")])
def test_a_machine_with_too_little_memory_is_told_what_fits(memory, smaller, loading):
    (words,) = loading("gpt2-xl", memory)[0]
    assert "needs 6.5 GB" in words and f"this machine has {memory} GB" in words and f'("{smaller}")' in words


def test_what_is_fetched_already_fetches_nothing_and_small_models_take_nothing_to_speak_of(loading):
    (words,) = loading("gpt2-xl", 16.0, is_fetched=True)[1]
    assert "fetches" not in words and "needs 6.5 GB" in words
    assert loading("gpt2", 0.1) == ([], [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GPTModel.from_pretrained("stories")


def test_the_gigabytes_are_those_of_the_models():
    sizes = dict(zip(pretrained.HUB_MODELS, GPT_CONFIGS.values(), strict=True))
    for name, (to_fetch, in_memory) in pretrained.GIGABYTES.items():
        weights = 4 * count_parameters({**sizes[name], "qkv_bias": True}, tied=True)
        masks = 4 * sizes[name]["n_layers"] * 1024**2  # the hub's files carry them along; they are never read
        assert to_fetch == round((weights + masks) / 1e9, 1)
        assert in_memory == round(weights / 1e9 + 0.25, 1)


def test_a_containers_limit_is_the_memory(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(pretrained, "CONTAINER_LIMIT", limit)
    of_machine = pretrained._memory_of_machine()
    for text, expected in {"500000000\n": 0.5, "max\n": of_machine}.items():
        limit.write_text(text)
        assert pretrained._memory_of_machine() == expected

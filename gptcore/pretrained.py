"""Published GPT-2 weights: find them, and verify every tensor, for `GPTModel.from_pretrained` to build a model around.

Only safetensors files are read, which hold numbers and nothing else; a pickle file could run any program.
The file stays memory-mapped: the model's tensors are views of it, nothing is read before it is used, and
learners who load the same file on one machine share one copy of it.

Source: Radford et al. 2019 (GPT-2); names as the Hugging Face hub's checkpoints write them.
Notebook: 11_gpt2_weights.
"""

import contextlib
import errno
import http.client
import json
import os
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from gptcore.config import FEED_FORWARD_EXPANSION, is_whole_number, validate_config

HUB_MODELS = {  # name: (repository on the hub, the revision that this module was written for)
    "gpt2": ("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
    "gpt2-medium": ("openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da"),
    "gpt2-large": ("openai-community/gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519"),
    "gpt2-xl": ("openai-community/gpt2-xl", "15ea56dee5df4983c59b2538573817e1667135e2"),
}
GIGABYTES = {  # of the models larger than "gpt2", the smallest first: (to fetch, in memory with PyTorch)
    "gpt2-medium": (1.5, 1.7),
    "gpt2-large": (3.2, 3.3),
    "gpt2-xl": (6.4, 6.5),
}
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # holds a number of bytes, or "max"
STORY_MODEL = Path(__file__).parent / "stories"  # trained by this project, ships with it
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PARTS_FILE = "model.safetensors.index.json"  # of a large model: which of several files holds which tensor

# What our classes do, in config.json's words; a checkpoint that wants anything else would come out wrong.
NEEDED_SETTINGS = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",  # GELU's tanh form
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
OTHER_NAMES_FOR = {"activation_function": ("gelu_pytorch_tanh",)}  # the same formula
NUMBER_OF = {
    "vocab_size": "vocab_size",
    "context_length": "n_positions",
    "emb_dim": "n_embd",
    "n_heads": "n_head",
    "n_layers": "n_layer",
}
FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16)
PREFIX = "transformer."  # stands before every name but the head's in files that hold the head's model
TIMEOUT_SECONDS = 5


def read_checkpoint(source):
    """Return (cfg, is_tied, state_dict) for a GPTModel from what `source` names; see `GPTModel.from_pretrained`.

    Every tensor has been verified and has our name. When `is_tied`, the head's is the token embedding's.
    """
    folder = find_checkpoint(source)
    cfg, is_tied = read_config(folder / CONFIG_FILE)
    tensors = open_all_tensors(folder)
    check_tensors(tensors, cfg, is_tied, folder / WEIGHTS_FILE)
    if is_tied:
        tensors["lm_head.weight"] = tensors["wte.weight"]
    return cfg, is_tied, our_names(tensors, cfg)


class WithoutInitialValues(TorchFunctionMode):
    """Inside, torch.nn.init draws nothing: to draw values on the meta device takes 2 s and 75 MB, for no values.

    Its functions give back the tensor as it is. Constants are filled in, for a mask may be made of them.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" and func is not torch.nn.init.constant_:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def find_checkpoint(source):
    """Return the folder that holds config.json and model.safetensors, fetched from the hub if need be."""
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f'source must be a name such as "gpt2", or the path of a folder, got {source!r}')
    if source == "stories":
        return STORY_MODEL
    if source in HUB_MODELS:
        return _fetch(source)
    folder = Path(source)
    if not folder.is_dir():
        names = ", ".join(["stories", *HUB_MODELS])
        raise ValueError(f"there is no folder {str(source)!r}; give one, or one of the names {names}")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        in_parts = name == WEIGHTS_FILE and (folder / PARTS_FILE).is_file()
        if not (folder / name).is_file() and not in_parts:
            raise ValueError(f"{folder} has no {name}; {_what_instead(folder)}")
    return folder


def _what_instead(folder):
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        return "it has a pickle file, which could run any program: save the model as safetensors"
    return "it must hold both, as transformers' save_pretrained writes them"


def _fetch(name):
    # Here and not above: `import gptcore` does without it.
    from huggingface_hub import constants, errors, hf_hub_download
    from huggingface_hub.utils import logging

    # Its versions reach the hub by different libraries, and not each raises an OSError then.
    failures = [getattr(errors, name, OSError) for name in ("HTTPError", "XetDownloadError")]
    repository, revision = HUB_MODELS[name]

    def files(**options):
        return [hf_hub_download(repository, file, revision=revision, **options) for file in (CONFIG_FILE, WEIGHTS_FILE)]

    with contextlib.suppress(errors.LocalEntryNotFoundError):  # not fetched yet
        folder = Path(files(local_files_only=True)[0]).parent
        _warn_of_size(name, is_fetched=True)
        return folder
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # an interrupted download resumes; hide the library's pages about it
    try:
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError("HF_HUB_OFFLINE is set")
        _reach(constants.ENDPOINT)
        _warn_of_size(name, is_fetched=False)
        return Path(files()[0]).parent
    except (OSError, http.client.HTTPException, *failures) as error:
        raise ConnectionError(
            f"{name!r} is not on this machine and could not be fetched ({_reason(error)}); with a network it is "
            f'fetched once and kept. "stories", the small model that ships with gptcore, needs none.'
        ) from None
    finally:
        logging.set_verbosity(verbosity)


def _warn_of_size(name, is_fetched):
    """Warn of a large model's time and memory before it takes them.

    No error: the file is memory-mapped, so with too little memory it works, but reads the disk for every token.
    """
    if name not in GIGABYTES:
        return
    to_fetch, needed = GIGABYTES[name]
    memory = _memory_of_machine()
    fetches = f"fetches {to_fetch} GB ({to_fetch * 8000 / 100 / 60:.0f} minutes at 100 Mbit/s) and "
    words = f"{name!r} {'' if is_fetched else fetches}needs {needed} GB of memory, all of it for every token"
    if memory < needed:
        words += f"; this machine has {memory:.1f} GB, so it would read the disk again for every token"
    smaller = [*GIGABYTES][: [*GIGABYTES].index(name)]
    instead = next((other for other in reversed(smaller) if GIGABYTES[other][1] <= memory), "gpt2")
    # The level is that of whoever called from_pretrained: read_checkpoint, find_checkpoint and _fetch lie between.
    warnings.warn(f'{words}. Smaller: GPTModel.from_pretrained("{instead}").', stacklevel=6)


def _memory_of_machine():
    """Return the GB that this machine or container has; infinity where the system does not say, as on Windows."""
    sizes = [float("inf")]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(ValueError, OSError):
        sizes.append(int(CONTAINER_LIMIT.read_text()))
    return min(sizes) / 1e9


def _reach(address):
    """Raise OSError, at once, when nothing answers: the hub's own client would try for half a minute."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as answer:  # even if not a friendly one
        answer.close()  # otherwise Python 3.14 warns


def _reason(error):
    if getattr(error, "errno", None) == errno.ENOSPC:
        return "the disk is full: make room, or set HF_HOME to a folder on another one"
    lines = str(getattr(error, "reason", error)).splitlines() or [""]
    if isinstance(error, http.client.HTTPException):
        return f"{type(error).__name__}: {lines[0]}"  # a bad status line is itself all the text
    return lines[0] or type(error).__name__  # a TimeoutError, for one, may have no text


def read_config(path):
    """Return (cfg, is_tied) from a config.json; one ValueError lists all that our model does differently."""
    found = _read_settings(path)
    problems = [
        f"{key}={found[key]!r}, but GPT-2 and this model have {needed!r}"
        for key, needed in NEEDED_SETTINGS.items()
        if key in found and found[key] != needed and found[key] not in OTHER_NAMES_FOR.get(key, ())
    ]
    if "model_type" not in found:
        problems.append("model_type is missing, so the architecture is unknown")
    problems += [f"{key} is missing" for key in NUMBER_OF.values() if key not in found]
    problems += [
        f"{key}={found[key]!r} must be a whole number"
        for key in NUMBER_OF.values()
        if key in found and not is_whole_number(found[key])
    ]
    is_tied = found.get("tie_word_embeddings", True)
    if not isinstance(is_tied, bool):
        problems.append(f"tie_word_embeddings={is_tied!r} must be true or false")
    hidden_dim = found.get("n_inner")
    if hidden_dim is not None and not problems and hidden_dim != FEED_FORWARD_EXPANSION * found["n_embd"]:
        problems.append(
            f"n_inner={hidden_dim}, but this model's feed-forward is {FEED_FORWARD_EXPANSION} * n_embd wide"
        )
    if problems:
        raise ValueError(f"{path} does not fit gptcore's GPTModel:\n- " + "\n- ".join(problems))
    cfg = {ours: found[theirs] for ours, theirs in NUMBER_OF.items()}
    cfg |= {"drop_rate": found.get("resid_pdrop", 0.1), "qkv_bias": True}
    return validate_config(cfg), is_tied


def _read_settings(path):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch it again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no settings; fetch it again")
    return found


def open_all_tensors(folder):
    """Return the folder's tensors as `open_tensors` does, from one file or from the parts that its index lists."""
    if (folder / WEIGHTS_FILE).is_file():
        return open_tensors(folder / WEIGHTS_FILE)
    path = folder / PARTS_FILE
    part_of = _read_settings(path).get("weight_map")
    if not isinstance(part_of, dict) or not all(isinstance(part, str) for part in part_of.values()):
        raise ValueError(f"{path} has no weight_map that says which file holds which tensor; fetch it again")
    parts = sorted(set(part_of.values()))
    strange = [part for part in parts if not (folder / part).is_file() or Path(part).name != part]
    if strange:
        raise ValueError(f"{path} names files that are not beside it: {', '.join(strange)}; fetch them all")
    return {name: tensor for part in parts for name, tensor in open_tensors(folder / part).items()}


def open_tensors(path):
    """Return the file's tensors by name, without the prefix, memory-mapped: nothing is copied."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name.removeprefix(PREFIX): file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        size = path.stat().st_size
        mend = "restore it with `git checkout -- gptcore/stories`" if path.parent == STORY_MODEL else "fetch it again"
        raise ValueError(f"{path} ({size:,} bytes) is damaged or truncated ({error}); {mend}") from None


def check_tensors(tensors, cfg, is_tied, path):
    """Raise one ValueError that lists every missing, unknown, misshapen or mistyped tensor."""
    if cfg["n_layers"] > len(tensors):  # before a list of all that a billion blocks would need
        raise ValueError(f"{path} has {len(tensors)} tensors, too few for the {cfg['n_layers']} blocks of config.json")
    shapes = their_shapes(cfg)
    if is_tied:
        head = tensors.pop("lm_head.weight", None)  # some files name the shared tensor twice
        shapes.pop("lm_head.weight")
        if head is not None and not torch.equal(head, tensors.get("wte.weight", head)):
            raise ValueError(
                f"{path}: lm_head.weight differs from wte.weight, but config.json says they are one "
                f"(tie_word_embeddings); set it to false there if the head is its own"
            )
    masks = [name for name in tensors if name.endswith((".attn.bias", ".attn.masked_bias"))]
    for name in masks:  # causal masks that older files carry along: this model makes its own
        del tensors[name]
    problems = [f"{name} is missing" for name in shapes if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in shapes]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, config.json asks for {shape}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) > 1 or not dtypes <= set(FLOAT_TYPES):
        found = ", ".join(sorted(str(dtype) for dtype in dtypes))
        problems.append(f"the tensors are {found}; one of float32, float16 and bfloat16 is needed for all")
    if problems:
        shown = problems[:10] + [f"and {len(problems) - 10} more"] * (len(problems) > 10)
        raise ValueError(f"{path} does not fit its config.json:\n- " + "\n- ".join(shown))


def their_shapes(cfg):
    """Return the shape of each tensor of the checkpoint; matrices are (in, out), as OpenAI's Conv1D has them."""
    emb_dim = cfg["emb_dim"]
    hidden_dim = FEED_FORWARD_EXPANSION * emb_dim
    shapes = {"wte.weight": (cfg["vocab_size"], emb_dim), "wpe.weight": (cfg["context_length"], emb_dim)}
    matrices = {
        "attn.c_attn": (emb_dim, 3 * emb_dim),
        "attn.c_proj": (emb_dim, emb_dim),
        "mlp.c_fc": (emb_dim, hidden_dim),
        "mlp.c_proj": (hidden_dim, emb_dim),
    }
    for i in range(cfg["n_layers"]):
        for name, shape in matrices.items():
            shapes |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[1:]}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{name}.weight": (emb_dim,), f"h.{i}.{name}.bias": (emb_dim,)}
    shapes |= {"ln_f.weight": (emb_dim,), "ln_f.bias": (emb_dim,)}
    return shapes | {"lm_head.weight": (cfg["vocab_size"], emb_dim)}


def our_names(tensors, cfg):
    """Return the checkpoint's tensors under GPTModel's names, as GPTModel wants them: all are views.

    A Linear computes x @ weight.T, OpenAI's Conv1D x @ weight: hence the transposes. c_attn holds query,
    key and value side by side: hence the three parts.
    """
    ours = {
        "tok_emb.weight": tensors["wte.weight"],
        "pos_emb.weight": tensors["wpe.weight"],
        "final_norm.scale": tensors["ln_f.weight"],
        "final_norm.shift": tensors["ln_f.bias"],
        "out_head.weight": tensors["lm_head.weight"],
    }
    for i in range(cfg["n_layers"]):
        block, theirs = f"trf_blocks.{i}", f"h.{i}"
        weights = tensors[f"{theirs}.attn.c_attn.weight"].chunk(3, dim=1)  # each (emb_dim, emb_dim)
        biases = tensors[f"{theirs}.attn.c_attn.bias"].chunk(3)
        for layer, weight, bias in zip(("W_query", "W_key", "W_value"), weights, biases, strict=True):
            ours |= {f"{block}.att.{layer}.weight": weight.t(), f"{block}.att.{layer}.bias": bias}
        others = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}
        for layer, name in others.items():
            ours[f"{block}.{layer}.weight"] = tensors[f"{theirs}.{name}.weight"].t()
            ours[f"{block}.{layer}.bias"] = tensors[f"{theirs}.{name}.bias"]
        for layer, name in {"norm1": "ln_1", "norm2": "ln_2"}.items():
            ours[f"{block}.{layer}.scale"] = tensors[f"{theirs}.{name}.weight"]
            ours[f"{block}.{layer}.shift"] = tensors[f"{theirs}.{name}.bias"]
    return ours


def save_checkpoint(model, folder):
    """Write `model` as transformers would: config.json and model.safetensors, for `from_pretrained` here and there.

    The weights keep their dtype.
    Raises: ValueError for a model without qkv_bias, which the format does not know, or with a dtype that
    `from_pretrained` does not take; OSError when the disk is full.
    """
    cfg = model.cfg
    if not cfg["qkv_bias"]:
        raise ValueError("GPT-2's checkpoints have query, key and value biases; build the model with qkv_bias=True")
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if len(dtypes) > 1 or not dtypes <= set(FLOAT_TYPES):
        found = ", ".join(sorted(str(dtype) for dtype in dtypes))
        raise ValueError(
            f"the model's weights are {found}; one of float32, float16 and bfloat16 is needed for all: "
            f"model.float() makes it float32"
        )
    is_tied = model.out_head.weight is model.tok_emb.weight
    settings = {theirs: cfg[ours] for ours, theirs in NUMBER_OF.items()} | NEEDED_SETTINGS
    settings |= {"architectures": ["GPT2LMHeadModel"], "tie_word_embeddings": is_tied}
    settings |= dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), cfg["drop_rate"])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = {name: folder / f"{name}.unfinished" for name in (WEIGHTS_FILE, CONFIG_FILE)}
    try:
        text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
        unfinished[CONFIG_FILE].write_text(text, encoding="utf-8")
        save_file(_their_tensors(model, is_tied), unfinished[WEIGHTS_FILE], metadata={"format": "pt"})
        _put_in_place(unfinished, folder)
    except (OSError, SafetensorError) as error:
        raise OSError(f"{folder} could not be written ({error}); what was there before is still there") from None
    finally:
        for path in unfinished.values():
            path.unlink(missing_ok=True)


def _put_in_place(files, folder):
    """Move each file, {name: path}, to its name in the folder: all of them, or none and what was there is back."""
    kept = []
    with contextlib.ExitStack() as back:
        for name, path in files.items():
            place, before = folder / name, folder / f"{name}.before"
            if place.exists():
                kept.append(place.replace(before))
                back.callback(before.replace, place)
            else:
                back.callback(place.unlink, missing_ok=True)
            path.replace(place)
        back.pop_all()
    for path in kept:
        with contextlib.suppress(OSError):  # in use, on Windows: the new files are in place nevertheless
            path.unlink()


def _their_tensors(model, is_tied):
    dtype = model.tok_emb.weight.dtype
    theirs = {name: torch.empty(shape, dtype=dtype) for name, shape in their_shapes(model.cfg).items()}
    with torch.no_grad():  # fill the views that `our_names` makes of them
        for name, view in our_names(theirs, model.cfg).items():
            view.copy_(model.get_parameter(name))
    if is_tied:
        del theirs["lm_head.weight"]
    return {name if name.startswith("lm_head") else PREFIX + name: tensor for name, tensor in theirs.items()}

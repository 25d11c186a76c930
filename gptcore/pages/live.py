"""The files that the explorers of a page need, made from what ships, and the place in a page where one comes to stand.

    <script type="module" src="live.js"></script>     once in a page, and for each explorer what `place` gives

`live.js` finds the places itself and fetches what it needs from beside itself.
"""

import html
import json
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import save

from gptcore.model import GPTModel
from gptcore.pretrained import STORY_MODEL
from gptcore.tokenizer import RANKS_FILE

HERE = Path(__file__).parent
MODULE, LOOK = HERE / "live.js", HERE / "live.css"
MODEL, STORIES, GPT2, FILM = "stories.safetensors", "stories.tiktoken", "gpt2.tiktoken", "film.safetensors"
EXPLORERS = {  # what each one needs
    "story": (MODEL, STORIES),
    "attention": (MODEL, STORIES),
    "time_machine": (FILM, STORIES),
    "tokenizer": (GPT2, STORIES),
    "activation": (),
    "layer_norm": (),
}
NOT_ALIVE = (
    "Here stands an explorer: something to move. It needs JavaScript, and a page that came from a web address; of a "
    "page opened from a file, browsers run no modules."
)
LARGEST_INT8 = 127


def write_live(folder):
    """Write live.js, live.css and the files that they fetch into a folder, 2.3 MB; returns the paths.

    The same bytes each time.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {path.name: path.read_bytes() for path in (MODULE, LOOK)}
    contents |= {name: live_file(name) for name in (MODEL, STORIES, GPT2, FILM)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def place(name, meanwhile=f"<p>{NOT_ALIVE}</p>"):
    """The HTML of the place where the explorer of this name comes to stand; `meanwhile`, HTML, stands there before.

    Raises: ValueError when there is no such explorer.
    """
    check_name(name)
    return f'<div class="live" data-explorer="{html.escape(name)}">{meanwhile}</div>'


def check_name(name):
    if name not in EXPLORERS:
        raise ValueError(f"there is no explorer {name!r}; choose one of {', '.join(EXPLORERS)}")


@lru_cache
def live_file(name):
    """The bytes of one of the files that explorers need."""
    if name == MODEL:
        return save_model(GPTModel.from_pretrained("stories"))
    return (RANKS_FILE if name == GPT2 else STORY_MODEL / name).read_bytes()


def save_model(model, in_int8=True):
    """The bytes of a safetensors file with gptcore's names and the configuration, each matrix in int8.

    A row of a matrix is its whole numbers from -127 to 127 times one scale, the row of "NAME.scale"; vectors stay as
    they are. Without `in_int8` everything does.
    """
    tensors = {}
    for name, weight in model.state_dict().items():
        if in_int8 and weight.ndim == 2:
            tensors[name], tensors[f"{name}.scale"] = to_int8(weight)
        else:
            tensors[name] = weight
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(tensors, metadata={"config": json.dumps(model.cfg)})


def to_int8(weight):
    """Round a matrix to int8 with one scale a row: (rows, columns) -> (rows, columns) in int8, (rows)."""
    scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(weight.dtype).tiny) / LARGEST_INT8
    return (weight / scale[:, None]).round().to(torch.int8), scale

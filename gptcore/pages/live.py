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

from gptcore import get_story_tokenizer, story_film
from gptcore.activations import ACTIVATIONS, with_slope
from gptcore.model import GPTModel
from gptcore.tokenizer import END_OF_TEXT, get_tokenizer

HERE = Path(__file__).parent
MODULE, LOOK = HERE / "live.js", HERE / "live.css"
MODEL, STORIES, GPT2 = "stories.safetensors", "stories.json", "gpt2.json"
FILM, CURVES = "film.json", "activations.json"
EXPLORERS = {  # what each one needs
    "story": (MODEL, STORIES),
    "attention": (MODEL, STORIES),
    "time_machine": (FILM, STORIES),
    "tokenizer": (GPT2, STORIES),
    "activation": (CURVES,),
    "layer_norm": (),
}
NOT_ALIVE = (
    "Here stands an explorer: something to move. It needs JavaScript, and a page that came from a web address; of a "
    "page opened from a file, browsers run no modules."
)
LARGEST_INT8 = 127
DRAWN, SHOWN = 6, 9  # digits of a number that is only drawn, and of one that is also written beside it


def write_live(folder):
    """Write live.js, live.css and the files that they fetch into a folder, 1.9 MB; returns the paths.

    The same bytes each time.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {path.name: path.read_bytes() for path in (MODULE, LOOK)}
    contents |= {name: live_file(name) for name in (MODEL, STORIES, GPT2, FILM, CURVES)}
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
    content = {
        STORIES: lambda: tokens_in_letters(get_story_tokenizer()),
        GPT2: lambda: tokens_in_letters(get_tokenizer()),
        FILM: lambda: film_to_draw(story_film()),
        CURVES: curves_to_draw,
    }[name]()
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


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


def tokens_in_letters(tokenizer):
    """Its tokens but for "<|endoftext|>", in the order of their ids: for each byte a letter from U+0000 to U+00FF."""
    return [tokenizer.decode_single_token_bytes(token_id).decode("latin-1") for token_id in range(tokenizer.eot_token)]


def film_to_draw(film):
    """What the time machine shows of a `Film`: texts, numbers, lists and dictionaries."""
    tokenizer = get_story_tokenizer()
    n_layers, n_heads = film.attention(0, 0).shape[:2]
    return {
        "steps": film.steps,
        "losses": [film.losses["all tokens"], film.losses["names again"]],
        "prompts": film.prompts,
        "tokens": [tokenizer.encode(END_OF_TEXT + prompt, allowed_special="all") for prompt in film.prompts],
        "heads": [[block, head] for block in range(n_layers) for head in range(n_heads)],
        "kinds": list(film.words),
        "reach": 1.05 * film.places(-1).abs().max().item(),  # of the map's axes
        "moments": [moment_to_draw(film, moment) for moment in range(len(film.steps))],
    }


def moment_to_draw(film, moment):
    beginnings = []
    for prompt in range(len(film.prompts)):
        ids, chances = zip(*film.next_tokens(prompt, moment), strict=True)
        weights, strongest = to_draw(film.last_looks(prompt, moment)), film.strongest_look(prompt, moment)
        beginnings.append({"ids": ids, "shares": to_draw(chances), "weights": weights, "strongest": strongest})
    return {
        "sample": film.written(moment),
        "places": [to_draw(places) for places in film.places_by_kind(moment)],
        "within": film.spread_within_kinds(moment),
        "beginnings": beginnings,
    }


def curves_to_draw():
    """Outputs and slopes of each activation from -4 to 4, of a gate where its value is 1."""
    xs = torch.arange(-80, 81, dtype=torch.float64) / 20
    curves = [
        [name, *(to_draw(numbers, SHOWN) for numbers in with_slope(activation, xs))]
        for name, activation in ACTIVATIONS.items()
    ]
    return {"xs": xs.tolist(), "curves": curves}


def to_draw(numbers, digits=DRAWN):
    """A tensor, or a list of numbers, as lists of few digits."""
    if isinstance(numbers, float):
        return float(f"{numbers:.{digits}g}")
    return [to_draw(number, digits) for number in (numbers.tolist() if isinstance(numbers, torch.Tensor) else numbers)]

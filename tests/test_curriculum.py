"""The ledger: every row of the curriculum is shown to a reader, and held by an assertion, where it belongs."""

import pytest
from reading import PATHS, code_cells, makes_a_claim, tags, visible

# What must be seen to happen, and the notebooks that show it.
ROWS = {
    "C01": ("a parameter, counted three ways", ["01"]),
    "C02": ("GPT-2 and GPT-3: sizes and the cost of training", ["01", "08"]),
    "C03": ("each key of the configuration moves shapes and counts", ["01"]),
    "C04": ("why qkv_bias starts False", ["01", "11"]),
    "C05": ("layer norm step by step", ["02"]),
    "C06": ("ReLU leaves no output below 0", ["02", "03"]),
    "C07": ("zero up to rounding", ["02"]),
    "C08": ("dim and keepdim", ["02"]),
    "C09": ("biased variance", ["02"]),
    "C10": ("layer norm against batch norm", ["02"]),
    "C11": ("training with and without layer norm, pre against post", ["02", "07", "10"]),
    "C12": ("bias and variance, the other sense", ["10"]),
    "C13": ("ReLU against GELU", ["03"]),
    "C14": ("dead units", ["03"]),
    "C15": ("exact GELU against its tanh form", ["03"]),
    "C16": ("SwiGLU and its width", ["04"]),
    "C17": ("the feed-forward layer and its expansion", ["04"]),
    "C18": ("feed-forward alone, attention together", ["04", "06"]),
    "C19": ("shortcuts and gradients", ["05"]),
    "C20": ("causal multi-head attention", ["06"]),
    "C21": ("positions", ["06"]),
    "C22": ("the transformer block, each part ablated", ["07"]),
    "C23": ("one class, four sizes", ["08"]),
    "C24": ("named and exact sizes", ["08"]),
    "C25": ("weight tying", ["08", "11"]),
    "C26": ("memory", ["08"]),
    "C27": ("greedy generation step by step", ["09"]),
    "C28": ("softmax keeps the order", ["09"]),
    "C29": ("an untrained model writes gibberish", ["09"]),
    "C30": ("training makes text coherent", ["10"]),
    "C31": ("the same class holds published weights", ["11"]),
    "C32": ("when it was learned: a smooth loss hides a jump", ["13"]),
    "C33": ("where it sits: one vector of another story", ["13"]),
    "C34": ("the stream read through the output head, and misread", ["13"]),
    "C35": ("a trace, equal to the model to the last bit", ["13"]),
    "C36": ("a part cut out of a trained model", ["02", "03", "04", "05", "06", "07", "13"]),
    "C37": ("what it is not: no induction heads, other heads in another model", ["13"]),
    "C38": (
        "the learner's own parts, put together, load the shipped weights and write the same story, token for token",
        ["14"],
    ),
}
PLACES = [(row, number) for row, (_, numbers) in ROWS.items() for number in numbers]


@pytest.mark.parametrize(("row", "number"), PLACES)
def test_a_row_is_shown_and_asserted(row, number):
    (path,) = [path for path in PATHS if path.stem.startswith(number)]
    cells = [cell for cell in code_cells(path) if row in tags(cell)]
    assert any(text for cell in cells for _, text in visible(cell)), f"{path.stem} shows nothing of {row}"
    assert any(makes_a_claim(cell) for cell in cells), f"{path.stem} asserts nothing of {row}"


def test_no_cell_claims_an_unknown_row():
    for path in PATHS:
        for cell in code_cells(path):
            for tag in tags(cell):
                assert not tag.startswith("C") or path.stem[:2] in ROWS[tag][1], f"{path.stem}: {tag}"

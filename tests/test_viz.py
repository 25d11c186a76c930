"""Figures, diagrams and source listings: their data, their labels, their alternative text."""

import base64
import html
import io
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Annotation
from matplotlib.textpath import TextPath
from PIL import Image

from gptcore import LayerNorm
from gptcore.viz import diagrams, drawings, figure, plots, show_source, source, style

LABELS = {"title": "Growth", "xlabel": "step", "ylabel": "size (MB)"}


@pytest.fixture
def shown(monkeypatch):
    """What the notebook would show."""
    pictures = []
    for module in (style, diagrams, source):
        monkeypatch.setattr(module, "display", pictures.append)
    return pictures


def decoded(picture):
    kind, data = re.search(r'src="data:([^;]+);base64,([^"]+)"', picture.html).groups()
    return kind, base64.b64decode(data)


def test_a_figure_is_a_picture_with_alternative_text(shown):
    with figure('a "quoted" <alt>', size=(5, 2)) as ax:
        plots.lines(ax, [1, 2, 3], {"one": [1, 4, 9]}, **LABELS)
    (picture,) = shown
    bundle, metadata = picture._repr_mimebundle_()
    assert bundle["text/plain"] == metadata["image/png"]["alt"] == 'a "quoted" <alt>'
    assert bundle["image/png"] in bundle["text/html"] and metadata["image/png"]["width"] == 500
    assert html.escape('a "quoted" <alt>') in bundle["text/html"] and 'width="500"' in bundle["text/html"]
    kind, data = decoded(picture)
    assert kind == "image/png" and Image.open(io.BytesIO(data)).size == (5 * style.PICTURE_DPI, 2 * style.PICTURE_DPI)


def test_a_figure_may_name_its_alternative_text(shown, monkeypatch, tmp_path):
    (tmp_path / "02.toml").write_text('spread = "What the figure shows."\n')
    monkeypatch.setattr(style, "TEXTS", tmp_path)
    with figure("02.spread") as ax:
        plots.lines(ax, [1, 2], {"one": [1, 2]}, **LABELS)
    assert shown[0].alt == "What the figure shows."
    for unknown in ("02.sprad", "77.spread"):
        with pytest.raises(ValueError, match=f"{unknown}.*texts/{unknown[:2]}.toml has (spread|none)"):
            style.alternative_text(unknown)


def test_the_same_figure_has_the_same_bytes(shown):
    for _ in range(2):
        with figure("twice the same") as ax:
            plots.lines(ax, [1, 2], {"one": [1, 2]}, **LABELS)
    assert shown[0].html == shown[1].html


@pytest.mark.parametrize("missing", ["title", "xlabel", "ylabel"])
def test_a_figure_without_labels_is_refused_and_not_shown(missing, shown):
    with pytest.raises(ValueError, match=missing), figure("text") as ax:
        plots.lines(ax, [1, 2], {"one": [1, 2]}, **{**LABELS, missing: ""})
    assert not shown


def test_a_figure_without_alternative_text_is_refused():
    with pytest.raises(ValueError, match="alt is empty"), figure(" "):
        pass


def axes():
    return Figure().subplots()


def test_lines_hold_the_data_and_differ_without_colour():
    ax = axes()
    series = {"a": torch.tensor([1.0, 2.0], requires_grad=True), "b": [torch.tensor(3.0), 4], "c": np.array([5, 6])}
    plots.lines(ax, torch.tensor([0, 1]), series, **LABELS, log_x=True, log_y=True)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 2], [3, 4], [5, 6]]
    assert len({(line.get_linestyle(), line.get_color()) for line in ax.lines}) == 3
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == tuple(LABELS.values())


def test_few_points_on_a_logarithmic_axis_are_named():
    ax = axes()
    plots.lines(ax, [4, 16, 64], {"a": [1, 2, 3]}, **LABELS, markers=True, log_x=True)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["4", "16", "64"]


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ([12, 400], ["20", "50", "100", "200"]),
        ([0.006, 0.3], ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]),
        ([0.5, 0, 3], ["0.5", "1", "2"]),  # nothing lies at 0
        ([0.006, 3], ["10^{-2}", "10^{-1}", "10^{0}"]),
    ],
)
def test_a_logarithmic_axis_has_more_than_one_label_and_not_too_many(numbers, wanted):
    figure = Figure(figsize=(7.2, 3.4))
    ax = figure.subplots()
    plots.lines(ax, range(len(numbers)), {"a": numbers}, **LABELS, log_y=True)
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    ticks = [*zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)]
    ticks += zip(ax.get_yticks(minor=True), ax.get_yticklabels(minor=True), strict=True)
    labels = [label.get_text() for place, label in ticks if low <= place <= high]
    assert [re.sub(r"\$\\mathdefault{(.*)}\$", r"\1", label) for label in labels if label] == wanted


def test_bars_stand_side_by_side_with_their_values():
    ax = axes()
    plots.bars(ax, ["x", "y"], {"a": [1, 2], "b": [3, 4.5]}, **LABELS, values=".1f")
    assert [patch.get_height() for patch in ax.patches] == [1, 2, 3, 4.5]
    assert [text.get_text() for text in ax.texts] == ["1.0", "2.0", "3.0", "4.5"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["x", "y"]
    edges = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches)
    assert all(right <= left + 1e-9 for (_, right), (left, _) in pairwise(edges))
    assert len({patch.get_hatch() for patch in ax.patches}) == 2


def test_stacked_bars_stand_on_one_another():
    ax = axes()
    plots.stacked_bars(ax, ["x", "y"], {"a": [1, 2], "b": [3, 4]}, **LABELS)
    assert [(patch.get_y(), patch.get_height()) for patch in ax.patches] == [(0, 1), (0, 2), (1, 3), (2, 4)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b", "a"]


def test_points_and_histogram_hold_the_data():
    ax = axes()
    plots.points(ax, [1, 2], {"a": [3, 4]}, **LABELS)
    assert ax.collections[0].get_offsets().tolist() == [[1, 3], [2, 4]]
    ax = axes()
    plots.histogram(ax, {"a": torch.tensor([0.0, 0.1, 0.9]), "b": [0.5, 1.0]}, title="T", xlabel="x", bins=2)
    assert [patch.get_data().values.tolist() for patch in ax.patches] == [[2, 1], [0, 2]]
    assert ax.get_ylabel() == "how many"


def test_heatmap_writes_each_number_readably():
    ax = axes()
    matrix = torch.tensor([[-1.0, 0.0], [0.5, 1.0]])
    plots.heatmap(ax, matrix, **LABELS, values=".1f", centred=True, row_names=["r", "s"], colour_label="value")
    assert ax.images[0].get_array().tolist() == matrix.tolist()
    assert ax.images[0].get_clim() == (-1, 1)
    assert [text.get_text() for text in ax.texts] == ["-1.0", "0.0", "0.5", "1.0"]
    assert [text.get_color() for text in ax.texts] == ["white", "black", "black", "white"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["r", "s"]


def test_outline_frames_the_squares():
    ax = axes()
    plots.heatmap(ax, torch.eye(4), **LABELS)
    plots.outline(ax, rows=[1], columns=range(4), label="row")
    plots.outline(ax, rows=range(4), columns=[2], label="column")
    frames = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in ax.patches]
    assert frames == [(-0.5, 0.5, 4, 1), (1.5, -0.5, 1, 4)]
    assert ax.patches[0].get_linestyle() != ax.patches[1].get_linestyle()


def test_mark_draws_a_named_line():
    ax = axes()
    plots.mark(ax, x=3, label="here")
    plots.mark(ax, y=4, label="there")
    assert [text.get_text().strip() for text in ax.texts] == ["here", "there"]
    assert (ax.lines[0].get_xdata()[0], ax.lines[1].get_ydata()[0]) == (3, 4)


def test_a_marked_line_does_not_run_through_the_numbers_above_bars():
    ax = axes()
    plots.bars(ax, ["a"], {"": [0.8]}, values=".1f", **LABELS)
    plots.mark(ax, y=1, label="1 GB")
    number = ax.texts[0]
    assert number.get_text() == "0.8" and number.get_bbox_patch().get_facecolor()[:3] == (1, 1, 1)


def test_the_map_lights_the_parts_of_a_notebook(shown):
    diagrams.gpt_map("02")
    diagrams.gpt_map()
    kind, svg = decoded(shown[0])
    assert kind == "image/svg+xml"
    texts = [e for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert [e.text for e in texts if e.get("font-weight") == "bold"] == ["layer norm", "layer norm", "final layer norm"]
    assert shown[0].alt.endswith("Lit here: layer norm, final layer norm.") and "Lit" not in shown[1].alt
    assert shown[0].html.count("<a href=") == len(texts) / 2  # a name and a number in each box
    assert '<a href="06_causal_attention.ipynb" title="attention: notebook 06"' in shown[0].html
    assert b"bold" not in decoded(shown[1])[1]


def test_every_name_on_the_map_fits_into_its_box_when_it_is_lit():
    bold = FontProperties(family="DejaVu Sans", weight="bold", size=14)  # without a resolution: pixels, as in the map
    for _, _, width, name, _ in diagrams._MAP_BOXES:
        assert TextPath((0, 0), name, prop=bold).get_extents().width < width - 2 * 4, name  # 4 is its border


def test_the_map_keeps_words_of_its_notebook_whole(shown):
    diagrams.gpt_map()
    assert "pre{word-break:normal}" in shown[0].html


def test_the_map_refuses_an_unknown_notebook():
    with pytest.raises(ValueError, match=r"'99' is not on the map; its numbers are 01, 02"):
        diagrams.gpt_map("99")


def test_flow_shows_each_step_with_its_note(shown):
    diagrams.flow([("ids", "(2, 4)"), ("a < b", "(2, 4, 768)")], "ids become vectors")
    svg = ElementTree.fromstring(decoded(shown[0])[1])
    words = [e.text for e in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["ids", "(2, 4)", "a < b", "(2, 4, 768)"]
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}polyline"))) == 1


def test_a_long_flow_goes_on_in_the_next_row_so_that_it_stays_readable(shown):
    diagrams.flow([(f"{i}", "(2, 4)") for i in range(8)], "eight steps")
    svg = ElementTree.fromstring(decoded(shown[0])[1])
    boxes = [e for e in svg.iter("{http://www.w3.org/2000/svg}rect") if e.get("rx")]
    assert [e.get("y") for e in boxes] == 4 * ["6"] + 4 * ["86"] and boxes[0].get("x") == boxes[4].get("x")
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}polyline"))) == 7
    assert float(svg.get("width")) < 700 and float(svg.get("height")) > 86 + diagrams.BOX_HEIGHT


def test_show_source_shows_what_is_there_now(shown):
    show_source(LayerNorm)
    text = shown[0].data
    assert text.startswith("`gptcore/model.py`\n```python\nclass LayerNorm(nn.Module):") and text.endswith("```")
    assert "F.layer_norm" in text
    with pytest.raises(TypeError):
        show_source(3)


class TestDrawings:
    @pytest.fixture
    def ax(self):
        return Figure().subplots()

    def test_a_thread_is_drawn_for_each_word_that_is_looked_at_and_is_thicker_where_more(self, ax):
        drawings.threads(ax, ["my", "red", "$5"], torch.tensor([0.7, 0.01, 0.29]), title="what is looked at")
        assert [line.get_linewidth() for line in ax.lines] == [pytest.approx(0.8 + 8 * w) for w in (0.7, 0.29)]
        assert [text.get_text() for text in ax.texts] == ["0.70", "0.29", "my", "red", "$5"]

    def test_squares_have_the_areas_that_they_stand_for(self, ax):
        drawings.squares(ax, {"small": 1, "large": 100}, title="sizes")
        assert [bar.get_width() * bar.get_height() for bar in ax.patches] == pytest.approx([0.01, 1.0])

    def test_units_add_up_to_the_thick_line(self, ax):
        parts = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        drawings.sum_of_units(ax, torch.tensor([0.0, 1.0]), parts, title="sum", offset=1.0)
        total, *units = [line.get_ydata().tolist() for line in ax.lines]
        assert (total, units) == ([2.0, 6.0], [[0.0, 2.0], [1.0, 3.0]])

    def test_layer_norm_lands_on_the_circle(self, ax):
        rows = [[1.0, 2.0, 6.0], [-3.0, 0.0, 1.0]]
        drawings.norm_circle(ax, rows, title="circle")
        arrows = [text for text in ax.texts if isinstance(text, Annotation)]
        for row, arrow in zip(rows, arrows[1::2], strict=True):  # of each row's two arrows the one along the floor
            x, y = arrow.xy[0], arrow.xy[1] / 0.4
            normalised = torch.nn.functional.layer_norm(torch.tensor(row), (3,))
            assert x**2 + y**2 == pytest.approx(3)
            assert x == pytest.approx((normalised[1] - normalised[0]).item() / 2**0.5, abs=1e-4)

    def test_each_part_has_a_side_street(self, ax):
        drawings.side_streets(ax, ["attention", "feed-forward"], title="the stream")
        said = [text.get_text() for text in ax.texts]
        assert [said.count(word) for word in ("attention", "feed-forward", "reads", "adds", "+")] == [1, 1, 2, 2, 2]


def test_a_dollar_in_a_name_is_a_dollar(shown):
    with figure("Two words with dollars.", columns=2) as (left, right):
        plots.bars(left, ["$$", "$a$"], {"": [1, 2]}, title="bars", xlabel="word", ylabel="count")
        plots.heatmap(right, [[1.0, 2.0]], row_names=["$\\x$"], title="map", xlabel="x", ylabel="word")
    assert [label.get_text() for label in left.get_xticklabels()] == ["$$", "$a$"]

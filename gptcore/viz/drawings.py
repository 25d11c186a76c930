"""Drawings for the notebooks, where a picture says it better than bars or lines: data and an axis in, None out."""

import numpy as np

from gptcore.viz.style import COLOURS, MARKERS


def threads(ax, words, weights, *, title, least=0.03):
    """Draw the words in a row, and from the last one a thread to each that it looks at: the thicker, the more.

    `weights` has a number for each word, the last one included; what is below `least` is not drawn.
    """
    last = len(words) - 1
    angles = np.linspace(0, np.pi, 60)
    looked_at = {position: weight for position, weight in enumerate(weights.tolist()) if weight >= least}
    widest = max((last - min(looked_at, default=last)) / 2, 0.3)
    for position, weight in looked_at.items():
        reach = (last - position) / 2 or 0.3  # half the distance; what looks at itself gets a small loop
        middle = last if position == last else last - reach
        height = 0.15 + 0.85 * reach / widest  # the widest thread fills the picture
        ax.plot(
            middle + reach * np.cos(angles),
            0.08 + height * np.sin(angles),
            color=COLOURS[0],
            linewidth=0.8 + 8 * weight,
            alpha=0.75,
            solid_capstyle="round",
        )
        ax.text(middle, 0.08 + height, f"{weight:.2f}", ha="center", va="center", fontsize=9, zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    for position, word in enumerate(words):
        ax.text(position + 0.3, 0, word, ha="right", va="top", rotation=45, rotation_mode="anchor",
                fontweight="bold" if position == last else "normal", parse_math=False)  # fmt: skip
    ax.set(xlim=(-0.8, last + 0.8), ylim=(-0.45, 1.15), title=title)
    ax.set_axis_off()


def squares(ax, sizes, *, title):
    """Draw each `{name: size}` as a square of that area, side by side on one line, to compare what differs a lot."""
    sides = [(size / max(sizes.values())) ** 0.5 for size in sizes.values()]
    gap, left = 0.5, 0.0
    for i, (name, side) in enumerate(zip(sizes, sides, strict=True)):
        ax.bar(left + side / 2, side, side, color=COLOURS[i % len(COLOURS)])
        ax.text(left + side / 2, side + 0.03, name, ha="center", va="bottom")
        left += side + gap
    ax.set(xlim=(-0.05, left - gap / 2), ylim=(0, 1.25), title=title)
    ax.set_aspect("equal")
    ax.set_axis_off()


def sum_of_units(ax, x, parts, *, title, total="their sum", offset=0.0):
    """Draw what each unit adds as a thin line over `x`, and their sum, raised by `offset`, as a thick one.

    `parts` has a row for each place on `x` and a column for each unit.
    """
    x, parts = x.detach().numpy(), parts.detach().numpy()
    ax.plot(x, parts.sum(axis=1) + offset, color=COLOURS[4], linewidth=5, label=total)
    for i, part in enumerate(parts.T):
        ax.plot(x, part, color="black", linewidth=0.9, label="one unit each" if i == 0 else None)
    ax.legend()
    ax.set(title=title, xlabel="x", ylabel="y")


def norm_circle(ax, rows, *, title):
    """Draw what layer norm does to rows of three numbers, seen as points in space.

    The higher a point, the larger the mean of its row. Subtracting the mean lets it fall to the floor, where all
    means are 0; dividing by the standard deviation moves it out or in to the circle on which the variance is 1.
    """
    rows = np.asarray(rows, dtype=float)
    tilt = 0.4  # the floor is seen from the side: what is a circle looks flatter
    means = rows.mean(axis=1, keepdims=True)
    floor = (rows - means) @ np.array([[-1, 1, 0], [-1, -1, 2]]).T / np.sqrt([2, 6])  # (num_rows, 2)
    landed = floor * np.sqrt(3) / np.linalg.norm(floor, axis=1, keepdims=True)  # 3 numbers, so length is root of 3
    angles = np.linspace(0, 2 * np.pi, 200)
    radius = 1.12 * np.linalg.norm(floor, axis=1).max()
    ax.fill(radius * np.cos(angles), tilt * radius * np.sin(angles), color="#eeeeee", label="the floor: mean 0")
    ax.plot(np.sqrt(3) * np.cos(angles), tilt * np.sqrt(3) * np.sin(angles), color="black",
            label="the circle: mean 0 and variance 1")  # fmt: skip
    for i, (row, mean, (x, y), (end_x, end_y)) in enumerate(zip(rows, means[:, 0], floor, landed, strict=True)):
        look = {"arrowstyle": "-|>", "color": COLOURS[i % len(COLOURS)], "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        foot, top = (x, tilt * y), (x, tilt * y + 0.6 * mean)
        ax.annotate("", foot, top, arrowprops=look | {"linestyle": "--"})
        ax.annotate("", (end_x, tilt * end_y), foot, arrowprops=look)
        ax.plot(*top, color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], markersize=8)
        ax.text(x, top[1] + 0.2, ", ".join(f"{number:g}" for number in row), ha="center", va="bottom")
    ax.set_aspect("equal")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)
    ax.set_title(title, pad=18)
    ax.set_axis_off()


def side_streets(ax, parts, *, title):
    """Draw the stream as a road that runs straight through, and each of `parts` as a house on a side street.

    The street leaves the road, passes the part, and comes back with what the part adds.
    """
    end = 2.6 * len(parts) + 0.4
    ax.plot((0, end), (0, 0), color="#bbbbbb", linewidth=26, solid_capstyle="butt")
    ax.plot((0, end), (0, 0), color="white", linewidth=1.5, linestyle=(0, (8, 6)))
    ax.fill((end, end, end + 0.5), (-0.33, 0.33, 0), color="#bbbbbb")
    for i, part in enumerate(parts):
        leaves, back = 2.6 * i + 0.6, 2.6 * i + 2.4
        ax.plot((leaves, leaves, back), (0.2, 1.3, 1.3), color=COLOURS[0], linewidth=2.5)
        ax.annotate("", (back, 0.2), (back, 1.32), arrowprops={"arrowstyle": "-|>", "color": COLOURS[0],
                    "linewidth": 2.5, "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0})  # fmt: skip
        ax.text((leaves + back) / 2, 1.3, part, ha="center", va="center", zorder=3,
                bbox={"facecolor": "#fbe3d3", "edgecolor": COLOURS[1], "boxstyle": "round,pad=0.45"})  # fmt: skip
        ax.text(leaves + 0.08, 0.65, "reads", ha="left", va="center", fontsize=9)
        ax.text(back - 0.08, 0.65, "adds", ha="right", va="center", fontsize=9)
        ax.text(back, 0, "+", ha="center", va="center", fontsize=15, fontweight="bold", zorder=3,
                bbox={"facecolor": "white", "edgecolor": "black", "boxstyle": "circle,pad=0.1"})  # fmt: skip
    ax.set(xlim=(-0.1, end + 0.7), ylim=(-0.5, 1.75), title=title)
    ax.set_axis_off()

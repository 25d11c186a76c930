"""A page to keep: whose GPT this is, the story that it writes, how it learned, and what was solved."""

import html
import math
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 640, 240, 44
MOST_POINTS = 200  # of the curve: more cannot be told apart
STYLE = (
    "body{font-family:Verdana,'DejaVu Sans',sans-serif;max-width:44em;margin:2em auto;padding:0 1em;color:#222;"
    "line-height:1.5}blockquote{border-left:4px solid #d55e00;margin:0;padding:.5em 1em;background:#fbf3ee}"
    "svg{max-width:100%;height:auto}li{margin:.2em 0}"
)


def write_page(path, name, story, losses, solved):
    """Write one HTML file about somebody's GPT, and return its path; it needs no network and runs no program.

    `name` and `story` are shown as they are typed, as text. `losses` are those of a training, one for each step; those
    that are not finite are left out. `solved` are texts, one for each line of what was done.

    Raises: OSError when the file cannot be written.
    """
    lines = "".join(f"<li>{html.escape(str(line))}</li>" for line in solved)
    name = html.escape(str(name).strip() or "Somebody")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>{name}: my own GPT</title><style>{STYLE}</style></head>\n<body><h1>A GPT by {name}</h1>\n"
        f"<h2>It writes</h2><blockquote>{html.escape(str(story))}</blockquote>\n"
        f"<h2>How it learned</h2>{_curve(losses)}\n"
        f"<h2>What was done</h2><ul>{lines}</ul></body></html>\n"
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def _curve(losses):
    """Return the losses as a picture in HTML, or a sentence where there are too few of them."""
    finite = [(step, float(loss)) for step, loss in enumerate(losses, start=1) if math.isfinite(loss)]
    if len(finite) < 2:
        return "<p>It was not trained here.</p>"
    shown = finite[:: math.ceil(len(finite) / MOST_POINTS)]
    last_step, highest = finite[-1][0], max(loss for _, loss in finite)
    x_scale = (WIDTH - 2 * MARGIN) / last_step
    y_scale = (HEIGHT - 2 * MARGIN) / (max(highest, 0) or 1)
    points = " ".join(f"{MARGIN + step * x_scale:.1f},{HEIGHT - MARGIN - loss * y_scale:.1f}" for step, loss in shown)
    words = f"The loss of {last_step} training steps, from {finite[0][1]:.2f} to {finite[-1][1]:.2f} nats per token."
    bottom = HEIGHT - MARGIN
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{words}" '
        f'font-size="12"><path d="M{MARGIN},{MARGIN} V{bottom} H{WIDTH - MARGIN}" fill="none" stroke="#555"/>'
        f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2"/>'
        f'<text x="{MARGIN - 6}" y="{MARGIN + 4}" text-anchor="end">{highest:.1f}</text>'
        f'<text x="{MARGIN - 6}" y="{bottom}" text-anchor="end">0</text>'
        f'<text x="{WIDTH - MARGIN}" y="{bottom + 18}" text-anchor="end">{last_step} steps</text>'
        f'<text x="{MARGIN}" y="{MARGIN - 12}">loss (nats per token)</text></svg><p>{words}</p>'
    )

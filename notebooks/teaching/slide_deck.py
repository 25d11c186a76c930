"""A slide deck as one HTML file: text, code, formulas and figures of a notebook, a style, and the keys that move it."""

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from pathlib import Path

from bleach.css_sanitizer import CSSSanitizer
from bleach.sanitizer import Cleaner
from matplotlib.textpath import TextPath
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

TEACHING = Path(__file__).resolve().parent
WIDE = 1.6  # width by height of a picture that has its text below
WIDEST_CODE = 100  # characters in a line that can still be read from the back

# What a notebook's HTML may bring: no script, no link, no style sheet.
CLEANER = Cleaner(
    tags=set("br caption div em img p small span strong table tbody td th thead tr u".split()),
    attributes={"*": ["style"], "img": ["alt", "src"], "th": ["scope"]},
    protocols={"data"},
    css_sanitizer=CSSSanitizer(
        "background border border-radius color display height line-height margin padding text-align white-space "
        "width".split()
    ),
    strip=True,
)
STYLE_SHEET = re.compile(r"<style>.*?</style>", re.DOTALL)

# What matplotlib reads, for what TeX may write in another way.
SAME_FORMULA = [(r"\\le\b", r"\\leq"), (r"\\ge\b", r"\\geq"), (r"\\sqrt (\w)", r"\\sqrt{\1}")]
EM = 100  # units of a drawn formula
SVG_COMMANDS = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}  # by matplotlib's codes of a path


@dataclass
class Slide:
    """What it is ("Predict"), its heading in markdown, and its content in HTML."""

    kind: str
    heading: str
    body: str


class SlideRenderer(IPythonRenderer):
    """nbconvert's, but formulas need no program from the web, and links, which lead away from the slides, are text."""

    def link(self, text, url, title=None):
        return text

    def inline_math(self, body):
        return formula(body)

    def block_math(self, body):
        return f'<div class="formula">{formula(body)}</div>\n'


def render(markdown):
    """Return text as HTML; HTML that stands in it is shown as it was typed."""
    return MarkdownWithMath(renderer=SlideRenderer(escape=True, exclude_anchor_links=True)).render(markdown)


def formula(tex):
    """Return a formula as a drawing in the text's size and colour; one that cannot be drawn, as it was typed."""
    tex = " ".join(html.unescape(tex).split())
    readable = tex
    for pattern, replacement in SAME_FORMULA:
        readable = re.sub(pattern, replacement, readable)
    try:
        path = TextPath((0, 0), f"${readable}$", size=EM)
    except ValueError:
        return f"<code>{html.escape(tex)}</code>"
    drawn = "".join(
        SVG_COMMANDS[code] + ("" if code == 79 else " ".join(f"{number:.0f}" for number in points))
        for points, code in path.iter_segments(simplify=False, curves=True)
    )
    (left, bottom), (right, top) = path.get_extents().get_points()
    width, height = right - left, top - bottom
    return (
        f'<svg role="img" aria-label="{html.escape(tex)}" viewBox="{left:.0f} {-top:.0f} {width:.0f} {height:.0f}" '
        f'style="width:{width / EM:.2f}em;height:{height / EM:.2f}em;vertical-align:{bottom / EM:.2f}em">'
        f'<path transform="scale(1,-1)" d="{drawn}"/></svg>'
    )


def cleaned(markup):
    """Return the HTML of an output without what could run, fetch something or lead elsewhere."""
    return CLEANER.clean(STYLE_SHEET.sub("", markup))


def image(alt, png):
    """Return a picture as HTML; `png` is its file in base64. A narrow one is marked: text stands beside it."""
    header = base64.b64decode(png[:40])  # width and height are in bytes 16 to 23
    width, height = (int.from_bytes(header[start : start + 4]) for start in (16, 20))
    kind = ' class="narrow"' if width / height < WIDE else ""
    return f'<img{kind} alt="{html.escape(alt)}" src="data:image/png;base64,{png.strip()}">\n'


def widest(text):
    """Return how many characters the longest line has."""
    return max(map(len, text.splitlines()), default=0)


def preformatted(text, kind):
    """Return "code" or what it "printed", in a type that is small enough for its longest line; long prose wraps."""
    shown = highlight(text, PythonLexer(), HtmlFormatter(nowrap=True)) if kind == "code" else html.escape(text)
    columns = widest(text) if kind == "code" or widest(text) <= WIDEST_CODE else 0
    return f'<pre class="{kind}" style="--columns:{columns}"><code>{shown.rstrip()}</code></pre>\n'


def page(name, slides):
    """Return the whole file for the slides of a notebook."""
    style, script = ((TEACHING / f"slide_deck.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    # Nothing is fetched, and nothing runs but this one script, whatever stands in a notebook.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    sections = "\n".join(section(name, slide, number, len(slides)) for number, slide in enumerate(slides, start=1))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{html.escape(name.replace("_", " "))}: {html.escape(slides[0].heading)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{sections}
</main>
<nav aria-label="Slides" hidden>
<button id="previous" aria-label="Previous slide">&lsaquo;</button>
<button id="next" aria-label="Next slide">&rsaquo;</button>
</nav>
<script>{script}</script>
</body>
</html>
"""


def section(name, slide, number, of_all):
    level = "h1" if number == 1 else "h2"
    heading = re.sub(r"^<p>|</p>\s*$", "", render(slide.heading))
    return (
        f'<section id="{number}" tabindex="-1">\n'
        f"<{level}><small>{slide.kind}</small> {heading}</{level}>\n"
        f'<div class="body">\n{slide.body}</div>\n'
        f"<footer>{html.escape(name)} · {number} / {of_all}</footer>\n</section>"
    )

"""Sphinx's settings for the site that gptcore/tools/make_site.py makes.

Nothing is loaded from elsewhere: formulas become MathML, which browsers draw themselves.
"""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import gptcore

project = "How a GPT works"
version = release = gptcore.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "off"
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
add_module_names = False
default_role = "code"
viewcode_line_numbers = True

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["style.css"]
html_js_files = [("reach.js", {"defer": ""})]
html_favicon = "static/icon.svg"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"
# What docutils does not know, said in the words that it knows.
SAME_FORMULA = [
    (r"\\dots\b", r"\\ldots"),
    (r"\\frac(\d)(\d)", r"\\frac{\1}{\2}"),
    (r"\\text\{[^{}]*\}", lambda text: text[0].replace(r"\_", "_")),
]

FIELD = re.compile(r"(?:^|(?<=[.:)] ))(Shapes|Raises|Source|Notebooks?): ", re.MULTILINE)
NOTEBOOK = re.compile(r"\b(\d\d_[a-z0-9_]+[a-z0-9])\b")


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    app.connect("autodoc-process-docstring", as_restructured_text)
    app.connect("doctree-read", mark_predictions)
    app.connect("html-page-context", finish_page, priority=900)  # after the theme's own
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline(translator, node):
    translator.body.append(as_mathml(node.astext()))
    raise nodes.SkipNode


def block(translator, node):
    translator.body.append(f'<div class="formula">{as_mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def as_mathml(formula, **options):
    for theirs, ours in SAME_FORMULA:
        formula = re.sub(theirs, ours, formula)
    return tex2mathml(formula, **options)


def as_restructured_text(app, what, name, obj, options, lines):
    """Our docstrings are plain text: backticks for code, indented formulas, examples, and fields such as "Shapes:"."""
    paragraphs = []
    for text in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if text.startswith(">>>"):
            paragraphs.append(text)
        elif text.startswith("    "):
            paragraphs.append(f".. code-block:: text\n\n{text}")
        else:
            before, *fields = FIELD.split(text)
            pairs = zip(fields[::2], fields[1::2], strict=True)
            written = [f":{field}: {' '.join(prose(value).split())}" for field, value in pairs]
            paragraphs += [prose(before)] * bool(before.strip()) + ["\n".join(written)] * bool(written)
    lines[:] = [*"\n\n".join(paragraphs).split("\n"), ""]


def prose(text):
    """Nothing in a sentence is markup but what stands in backticks, and a notebook's name is a link to it."""
    pieces = re.split(r"(`[^`]+`)", text)
    for index, piece in enumerate(pieces):
        if index % 2:
            pieces[index] = f":code:{piece}" if not piece.startswith("` ") else piece
        else:
            plain = re.sub(r"([\\*|`]|_\b)", r"\\\1", piece)
            pieces[index] = NOTEBOOK.sub(r":doc:`\1 </notebooks/\1>`", plain)
    return "".join(pieces)


def mark_predictions(app, doctree):
    """On paper a prediction's question has room below it, and what explains it stands with the others at the end."""
    answers = nodes.enumerated_list()
    for question in doctree.findall(is_question):
        question["classes"].append("predict")
        explained = what_explains(question)
        nothing = [nodes.paragraph(text="Move it and see.")]
        answers += nodes.list_item("", *([node.deepcopy() for node in explained] or nothing))
        for node in explained:
            node["classes"].append("answer")
    if len(answers):
        doctree += nodes.container("", nodes.rubric(text="Answers"), answers, classes=["on-paper"])


def is_question(node):
    return isinstance(node, nodes.block_quote) and node.astext().startswith("Predict.")


def what_explains(question):
    """What stands behind the cells that follow a question; a last paragraph that leads on to something stays."""
    after = question.parent[question.parent.index(question) + 1 :]
    while after and not is_cell(after[0]):
        after = after[1:]
    while after and is_cell(after[0]):
        after = after[1:]
    prose = nodes.paragraph | nodes.bullet_list | nodes.math_block
    end = next((i for i, node in enumerate(after) if not isinstance(node, prose)), None)
    leads_on = end is not None and end > 1 and not isinstance(after[end], nodes.section)
    return after[: end - 1 if leads_on else end]


def is_cell(node):
    return isinstance(node, nodes.container) and "cell" in node["classes"]


def finish_page(app, pagename, templatename, context, doctree):
    """Explorers come to life where there are some; the theme's headings of the lists of pages say their level."""
    for name in ("toctree", "furo_navigation_tree"):
        if isinstance(context.get(name), str):
            context[name] = context[name].replace('role="heading"', 'role="heading" aria-level="2"')
    if 'class="live"' in context.get("body", ""):
        app.add_js_file("live/live.js", type="module")

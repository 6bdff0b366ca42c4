"""Builds the site: ``make docs``. What the code knows (commands, fields, checks, causes) is generated from it."""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from generated import PARTS
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import xframe

ROOT = Path(__file__).parents[1]
PAGES = {  # of the site that are files elsewhere in the repository
    "docs/reference/format.md": "FORMAT.md",
    "docs/reference/security.md": "SECURITY.md",
    "docs/experiments/index.md": "results/README.md",
    **{
        f"docs/experiments/{path.parent.name}.md": f"results/{path.parent.name}/README.md"
        for path in sorted((ROOT / "results").glob("[0-9][0-9]_*/README.md"))
    },
}

project, author, release = "xframe", "the xframe developers", xframe.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme, html_title = "furo", "xframe"
html_copy_source = html_show_sphinx = html_show_copyright = False
html_static_path, html_css_files = ["_static"], ["wide.css"]
exclude_patterns = ["_build", "examples"]
# Types of other libraries are named, not linked: the site is built without a network. Of xframe's own, annotations
# name types that are not public too; links that a page writes must lead somewhere.
nitpick_ignore_regex = [("py:class", r"(?!xframe\.\w+$).*"), ("py:(?!class).*", r"(?!xframe\.).*")]
suppress_warnings = ["ref.python"]  # there is a plan's Step and a schedule's

myst_heading_anchors = 3
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True


class Generated(SphinxDirective):
    """``{generated} causes``: that part of the reference, from the code."""

    required_arguments = 1

    def run(self) -> list[Any]:
        return self.parse_text_to_nodes(PARTS[self.arguments[0]](), allow_section_headings=True)


def of_repository(_: Sphinx, name: str, source: list[str]) -> None:
    """Puts a file of the repository in place of ``<!-- all of FILE -->``, and turns links to fit the site.

    What lies beside docs/ and has no page of its own becomes a plain name.
    """
    up, own = "../" * name.count("/"), posixpath.dirname(f"docs/{name}")

    def turned(text: str, folder: str) -> str:
        return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)", lambda match: link(match, folder), text)

    def link(match: re.Match[str], folder: str) -> str:
        image, text, target, anchor = match.groups(default="")
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in PAGES.values():
            path = next(page for page, file in PAGES.items() if file == path)
        if path.startswith("docs/"):
            return f"{image}[{text}]({up}{path.removeprefix('docs/')}{anchor})"
        return f"![{text}](../{up}{path})" if image else text

    def whole(match: re.Match[str]) -> str:
        return turned((ROOT / match[1]).read_text(), posixpath.dirname(match[1]))

    source[0] = re.sub(r"<!-- all of (\S+) -->", whole, turned(source[0], own))


def write_experiments(_: Sphinx) -> None:
    """A page for each experiment, which stands in results/."""
    for page in (ROOT / "docs" / "experiments").glob("[0-9]*.md"):
        page.unlink()
    for page, file in PAGES.items():
        if re.match(r"docs/experiments/\d", page):
            (ROOT / page).write_text(f"<!-- all of {file} -->\n")


def setup(app: Sphinx) -> None:
    app.add_directive("generated", Generated)
    app.connect("builder-inited", write_experiments)
    app.connect("source-read", of_repository)

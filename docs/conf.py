"""Builds the site: ``make docs``. What the code knows (commands, fields, checks, causes) is generated from it."""

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
    """Puts a file of the root in place of ``<!-- all of FILE -->``; links to files beside docs/ become plain names."""
    up = "../" * name.count("/")

    def whole(match: re.Match[str]) -> str:
        text = (ROOT / match[1]).read_text()
        for page in ("FORMAT", "SECURITY"):
            text = text.replace(f"]({page}.md", f"](docs/reference/{page.lower()}.md")
        return re.sub(r"\]\((?=(docs|results|experiments|tests)/)", f"](../{up}", text).replace(
            f"](../{up}docs/", f"]({up}"
        )

    text = re.sub(r"<!-- all of (\S+) -->", whole, source[0])
    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((\.\./)+(results|experiments|tests)/[^)]*\)", r"\1", text)


def setup(app: Sphinx) -> None:
    app.add_directive("generated", Generated)
    app.connect("source-read", of_repository)

"""What commands print: results on stdout, as text within the screen's width or as JSON; all else on stderr.

Nothing else than printable text is printed, whatever a file says of itself.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from xframe.errors import lines
from xframe.tables import folded, plain_only, screen_width

if TYPE_CHECKING:
    from xframe.comparison.result import Comparison


def progress_bars() -> Any:
    """A ``Progress`` on stderr, to be entered."""
    from xframe.report.progress import watching

    return watching(sys.stderr)


def report(comparison: Comparison, form: Literal["text", "json", "md"]) -> int:
    """Prints the comparison; returns its exit code."""
    from xframe.report.json_form import json_form
    from xframe.report.markdown import markdown
    from xframe.report.text import text
    from xframe.report.view import View

    if form == "json":
        print(json_form(View.of(comparison)))
    elif form == "md":
        print(lines(markdown(comparison)))
    else:
        show(text(comparison))
    return comparison.exit_code


def answer(facts: Any, text: str, *, json: bool) -> None:
    """Prints a result in the form that was asked for."""
    if json:
        from xframe.report.json_form import dumped

        print(dumped(facts))
    else:
        show(text)


def remark(text: str) -> None:
    """Prints what is no result."""
    text = lines(text)
    width = screen_width(2)
    print(text if width is None else folded(text, width), file=sys.stderr)


def show(text: str) -> None:
    """Prints within the screen's width; in a terminal, or where FORCE_COLOR asks for it, PASS and FAIL in colour."""
    text = folded(lines(text))
    if plain_only() or not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        print(text)
        return
    from rich.console import Console
    from rich.text import Text

    coloured = Text(text)
    coloured.highlight_regex(r"\b(PASS|PASSED)\b", "bold green")
    coloured.highlight_regex(r"\b(FAIL|FAILED)\b", "bold red")
    coloured.highlight_regex(r"\b(INCONCLUSIVE|not judged)\b", "yellow")
    Console(soft_wrap=True).print(coloured)

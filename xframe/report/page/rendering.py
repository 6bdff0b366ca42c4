"""Writes pages: a result's view, laid out by templates that escape whatever they are given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from xframe import __version__
from xframe.comparison.result import Comparison
from xframe.errors import printable
from xframe.report.around import KINDS, around, batches
from xframe.report.groups import NOT_JUDGED, GroupsView
from xframe.report.pictures import pictures, side_by_side
from xframe.report.view import Table, View

if TYPE_CHECKING:
    from jinja2 import Environment

_SYMBOLS = {"PASSED": "✓", "FAILED": "✗", "INCONCLUSIVE": "?"}
_RANKS = {"FAIL": 0, "not judged": 1, "PASS": 2}
_NUMBER = re.compile(r"[-+≠ ]*[\d,.]+(e[-+]?\d+)?%?")
_SIDE_BY_SIDE = 3  # runs that are columns of their table


def comparison_page(comparison: Comparison, again: Sequence[str] = ()) -> str:
    """The page of a comparison; ``again`` are the commands that made its runs."""
    view, strips = View.of(comparison, again), batches(comparison)
    detail = None if view.first is None else view.first.detail
    return render(
        "comparison.html.jinja",
        view=view,
        symbol=_SYMBOLS[view.verdict],
        checks=checks_of(view),
        settings=[row for row in view.settings if not row[0].endswith("see --json")],  # which stands below
        runs=_runs(view.runs),
        around=around(comparison),
        reasons=[reason for reason in view.reasons if reason != detail],
        strips=strips,
        moved=any(kind != "same" for one in strips for kind, _, _ in one.parts),
        kinds=KINDS,
        pictures=pictures(comparison),
    )


def groups_page(view: GroupsView) -> str:
    """The page of many runs that were not all meant to be alike."""
    return render(
        "groups.html.jinja",
        view=view,
        heading="Side by side" if view.verdict == NOT_JUDGED else view.verdict.capitalize(),
        state="inconclusive" if view.verdict == NOT_JUDGED else view.verdict,
        pictures=side_by_side(view.runs),
    )


def checks_of(view: View) -> Table:
    """The checks, failures first, each with what is to be said of it."""
    (head, *rows), beside = view.checks, dict(view.notes)
    rows.sort(key=lambda row: next(rank for word, rank in _RANKS.items() if row[1].startswith(word)))
    if not beside:
        return [head, *rows]
    return [[*head, "note"], *([*row, beside.get(row[0], "")] for row in rows)]


def _runs(table: Table) -> Table:
    """The runs, of few each in a column."""
    return [list(column) for column in zip(*table, strict=True)] if len(table) <= _SIDE_BY_SIDE + 1 else table


def render(name: str, **values: Any) -> str:
    """The page of that template."""
    return _environment().get_template(name).render(version=__version__, **values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def plain(value: Any) -> Any:
        """One line of printable text: nothing that a file says may turn what stands beside it around."""
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("xframe.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=plain,
    )
    environment.filters["drawn"] = Markup  # our own drawings, in which nothing comes from a trace
    environment.tests["numeric"] = lambda text: bool(_NUMBER.fullmatch(text))
    return environment

"""The table of a comparison, a row for each check, as every report shows it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from xframe.errors import printable

if TYPE_CHECKING:
    from xframe.comparison.result import CheckResult, Comparison

RESULTS = {"pass": "PASS", "fail": "FAIL", "not judged": "not judged"}


def checks_table(comparison: Comparison) -> list[list[str]]:
    """The head and a row for each check: the result, what each run shows, the largest difference and the rule."""
    rows = [["check", "result", *map(printable, comparison.runs), "largest difference", "rule"]]
    for check in comparison.listed:
        values = [check.values.get(name) for name in comparison.runs]
        cells = [
            "" if value is None else f"{value:,}" if isinstance(value, int) else printable(value) for value in values
        ]
        rows.append([check.title, _result(check), *cells, _measured(check), printable(_rule(check))])
    return rows


def notes(comparison: Comparison) -> list[list[str]]:
    """What is to be said of checks that did not fail, each with its title."""
    if not all(counts.num_steps for counts in comparison.runs.values()):
        return []  # there is nothing to say of any
    return [[c.title, printable(c.detail)] for c in comparison.listed if c.result != "fail" and c.detail]


def _rule(check: CheckResult) -> str:
    """What was required; in few words, unless it fails."""
    return check.brief if check.brief and check.result != "fail" else check.rule


def _result(check: CheckResult) -> str:
    """PASS, FAIL with its first step, or not judged."""
    at = "" if check.result != "fail" or check.first is None else f" first @{check.first}"
    return RESULTS[check.result] + at


def _measured(check: CheckResult) -> str:
    """The largest difference found, and where."""
    if check.worst is None:
        return ""
    where = "" if check.worst_at is None or not check.worst else f" @{printable(check.worst_at)}"
    return f"{check.worst_of} max abs {check.worst:.2g}{where}".lstrip()


def notebook(comparison: Comparison) -> str:
    """The verdict, the table and the first difference as HTML, for a notebook."""

    def line(cells: list[str], kind: str) -> str:
        return "<tr>" + "".join(f'<{kind} style="text-align: left">{escape(cell)}</{kind}>' for cell in cells) + "</tr>"

    head, *rows = checks_table(comparison)
    who = escape(printable(" vs ".join(comparison.runs)))
    parts = [f"<p><strong>{comparison.verdict.upper()}</strong>: {who}</p>"]
    parts += ["<table>", f"<thead>{line(head, 'th')}</thead>", "<tbody>", *(line(row, "td") for row in rows)]
    parts += ["</tbody>", "</table>"]
    if (first := comparison.first_difference) is not None:
        check = escape(comparison.check(first["check"]).title)
        detail = escape(printable(first["detail"] or ""))
        parts.append(f"<p>First difference: step {first['step']}, {check}. {detail}</p>")
    return "\n".join(parts)

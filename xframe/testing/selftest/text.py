"""The self-proof's result as text: the tables that the README shows."""

from __future__ import annotations

from xframe.report.tables import indented, plain
from xframe.testing.baselines import BASELINES
from xframe.testing.selftest.results import SelfTest, figures

TITLES = ("faults", "detected", "exact step", "right cause", "wrong but certain")


def text(result: SelfTest) -> str:
    """Figures of xframe and of the baselines, clean runs, and what was missed."""
    clean, misses = result.clean, result.misses
    lines = _own(result)
    if result.of("fault"):
        lines += ["", *_baselines(result)]
    lines += [
        "",
        f"{clean.runs:,} clean runs of {clean.steps:,} steps, {clean.plans:,} random plans among them: "
        f"{len(clean.alarms):,} false alarms in {clean.comparisons:,} comparisons",
        *indented(clean.alarms[:20]),
        *(f"refused: {line}" for line in clean.refused[:5]),
    ]
    if misses:
        lines += ["", f"not found in full: {len(misses):,}", *indented([str(one) for one in misses[:40]])]
    verdict = "passed" if result else "FAILED"
    return "\n".join([*lines, "", f"seed {result.seed}, {result.seconds:,.0f} s: {verdict}"])


def _own(result: SelfTest) -> list[str]:
    rows = [(name, figures(result.of("fault", name))) for name in result.adapters]
    if len(result.adapters) > 1:
        rows.append(("all", figures(result.of("fault"))))
    if mutations := result.of("mutation"):
        rows.append(("mutated rows", figures(mutations)))
    table = [("xframe", *TITLES), *((name, *(f"{number:,}" for number in row.values())) for name, row in rows)]
    return plain(table, right=range(1, len(table[0])))


def _baselines(result: SelfTest) -> list[str]:
    """How many named faults each baseline sees, and how many honest pairs it calls different."""
    parts: list[str | None] = [*result.adapters, *([None] if len(result.adapters) > 1 else [])]
    counts = [result.baselines(part) for part in parts]
    head = ["what else sees them", *(part or "all" for part in parts)]
    rows = [[name, *(f"{count[name]:,}" for count in counts)] for name in BASELINES]
    if alarms := result.clean.baseline_alarms:
        head.append(f"false alarms of {result.clean.pairs}")
        for row in rows:
            row.append(f"{alarms.get(row[0], 0):,}")
    return plain([head, *rows], right=range(1, len(head)))

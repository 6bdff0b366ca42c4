"""What is read in the sentences of a report: what its own table refutes, and fixes for what neither script uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pairs.cases import Case
from xframe.comparison.result import Comparison

IN_USE = {"torch", "tensorflow", "keras", "any", "plan", "compare", "xframe"}
_DUE = re.compile(r"([\d,]+) (steps|updates) where ([\d,]+) are due")


def refuted(case: Case, comparison: Comparison) -> Iterator[str]:
    """The sentences that a check, a count or what was recorded contradicts."""
    results = {check.name: check.result for check in comparison.checks}
    failed = {name for name, result in results.items() if result == "fail"}
    counts = list(comparison.runs.values())
    every_loss = all(script.note_loss not in ("ten", "late", "none") for script in (case.left, case.right))
    for one in comparison.causes:
        text = one.sentence
        stated = [
            "nothing but the order" in text and failed & {"steps", "updates"},
            "shuffles on its own" in text and results.get("boundaries") == "pass" and case.pair.order == "exact",
            "the same samples and updates" in text and failed & {"boundaries", "updates"},
            "every loss agrees" in text and (results.get("loss") != "pass" or not every_loss),
            "different gradients entered" in text and results.get("weights") == "pass",
            "in a row" in text and case.right.batches[:1] != ("each twice",),
        ]
        for had, what, due in _DUE.findall(text):
            made = [count.num_steps if what == "steps" else count.num_updates for count in counts]
            stated.append({_number(had), _number(due)} != set(made) and comparison.plan is None)
        if any(stated):
            yield text


def out_of_use(comparison: Comparison) -> set[str]:
    """The trainers that a fix is offered for and neither script uses."""
    return {where for one in comparison.causes for where in one.fix} - IN_USE


def _number(text: str) -> int:
    return int(text.replace(",", ""))

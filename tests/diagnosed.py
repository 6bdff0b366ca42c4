"""Rows and numbers explained without the traces and the comparison that they would come from."""

from __future__ import annotations

from typing import Any

from xframe.comparison.result import Explanation
from xframe.diagnosis.case import Case
from xframe.diagnosis.claims import Table
from xframe.diagnosis.diagnosing import answers, in_order
from xframe.diagnosis.numbers import Numbers
from xframe.diagnosis.reference import Reference
from xframe.trace.rows import Rows


def diagnose(
    candidate: Rows, reference: Rows, *, run: str = "B", numbers: Numbers | None = None, **options: Any
) -> tuple[Explanation, ...]:
    """Why the candidate differs, with no more known of the checks than where each first fails; see ``answers``."""
    case = Case(candidate, Reference(reference), run, "A")
    steps = {"boundaries": case.differs_at, "epochs": case.labels_differ_at}
    if numbers is not None:
        steps |= {"loss": numbers.loss_differs_at, "lr": numbers.lr_differs_at}
    table = Table({name: step for name, step in steps.items() if step is not None})
    return in_order(answers(candidate, reference, run=run, numbers=numbers, table=table, **options), table)

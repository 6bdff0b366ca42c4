"""Training that early stopping ends at a different step."""

from __future__ import annotations

from collections.abc import Iterator

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings


class EarlyStopping(Cause):
    """Early stopping ends it elsewhere than its validations say, or than the other's."""

    name = "early-stopping"
    rank = 500
    settles = True
    fixes = settings(
        keras="EarlyStopping(patience=...) counts epochs: the same as validations only with validation_freq=1",
        lightning="EarlyStopping(patience=...) counts validations; val_check_interval says how often they come",
        plan="early_stopping_min_delta larger than what rounding turns",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        stopping, steps, due = case.stopping, len(case.candidate), len(case.reference)
        if stopping is None or steps == due:
            return
        if not stopping.by_plan:
            text = f"the validations of {case.run} stop it after step {steps - 1:,}, "
            yield self.note(case, f"{text}those of {case.other} after {due - 1:,}", case.shared)
        elif stopping.validated and case.shared and case.one_merely_ends:
            patience, text = stopping.patience, f"{case.run} ends after step {steps - 1:,}"
            if stopping.after is None:
                text += f", and its validations give no reason to with a patience of {patience:,}"
            else:
                text += f"; with a patience of {patience:,} validations its own stop it after step "
                text += f"{stopping.after - 1:,}"
            yield self.note(case, text, case.shared, exact=True)

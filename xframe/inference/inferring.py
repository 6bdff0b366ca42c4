"""Rows of a run → the plans that explain them.

Only a run's rows are looked at: how many samples each step had, which, and how many updates were applied after it.
Every plan that the rows leave possible is a hypothesis; what all of them share is certain, and where they differ the
rows cannot decide. What this has to hold to:

    refuted    by one row that a plan does not have: a batch's size, a sample seen twice in one pass, padding that
               is not the start of its own pass, an update too many or too few
    unlikely   an order is any permutation, so that much is possible by chance: every pass might be abandoned at
               any place, if no sample happens to come twice. Hypotheses are therefore weighed by the chance that
               random orders give just these ids, and left out where another is a million times as likely
    simplest   of the rest, the plan that says least; of its limits epochs before steps before updates
    labels     what the loop says of itself (epochs, padding) decides only between plans that the rows cannot
               tell apart, and the notes say so

A plan is taken to pieces, since they show in different columns: the passes (batch size, remainder, restarts) in sizes
and ids, the order in ids, the windows (accumulation and what cuts it) in updates, the limits in where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xframe.inference import misfit, passes
from xframe.inference.clues import SEEDS, UNLIKELY, Clues
from xframe.inference.fits import LIMITS, Fit, fits_of
from xframe.inference.statement import MORE, NO_END, state
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

__all__ = ["MORE", "Inference", "infer"]

_SHOWN_BY_PASSES = {
    *("remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion", "accumulation_boundary", "epochs"),
}


@dataclass(frozen=True)
class Inference:
    """What the rows of a run say about its plan.

    Attributes:
        plan: the simplest that reproduces these sizes, updates and passes, up to ``first_misfit``; None if not even
            the first step has one. Where the order is not xframe's own, its seed stands for any.
        num_samples: size of the data set, given or inferred; None if the rows do not show it.
        order: ``sequential``, ``same each pass``, ``new each pass``, ``none`` (the samples come in no passes), or
            ``unknown``: one pass only, no ids, or too few to decide.
        seed: of xframe's own order, if one of the seeds tried gives it.
        certain: fields that all plans share which explain the rows.
        undecided: field → the values it has among them; ``more`` after them: and every greater one. A limit of None
            stands for one that is not reached.
        first_misfit: the first step that no plan explains together with those before it; None if all are explained.
        odd: what is odd there.
        notes: plain sentences.
        num_steps, num_updates: of the rows; updates None if unknown.
        ended: the rows go to the end of a run that a plan explains, so that its limits show.
    """

    plan: TrainingPlan | None
    num_samples: int | None
    order: str = "unknown"
    seed: int | None = None
    certain: dict[str, Any] = field(default_factory=dict)
    undecided: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    first_misfit: int | None = None
    notes: tuple[str, ...] = ()
    odd: str = ""
    num_steps: int = 0
    num_updates: int | None = None
    ended: bool = True

    def _fields(self) -> dict[str, Any]:
        """The plan's, without limits where the rows end before the run did: any that is not yet reached would do."""
        assert self.plan is not None
        hidden = () if self.ended else LIMITS
        return {name: value for name, value in self.plan.to_dict().items() if name not in hidden}

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "plan": None if self.plan is None else self._fields(),
            "num_samples": self.num_samples,
            "num_steps": self.num_steps,
            "num_updates": self.num_updates,
            "order": self.order,
            "seed": self.seed,
            "certain": dict(self.certain),
            "undecided": {name: list(values) for name, values in self.undecided.items()},
            "first_misfit": self.first_misfit,
            "odd": self.odd,
            "notes": list(self.notes),
        }


def infer(rows: Rows, num_samples: int | None, *, seeds: Sequence[int] = SEEDS) -> Inference:
    """The plans that explain the rows.

    Args:
        rows: of the run, whole or a part from its start.
        num_samples: size of the data set; None: to be inferred from the ids or sizes.
        seeds: of xframe's own order that are tried.
    """
    total, sizes = len(rows), rows.batch_size
    updates = None if rows.updates is None else int(rows.updates[-1]) if total else 0
    nothing = Inference(None, num_samples, num_steps=total, num_updates=updates)
    if not total:
        return replace(nothing, notes=("There are no steps to look at.",))
    if (sizes < 0).any():
        note = "The trace does not say how large its batches are, so no plan can be inferred."
        return replace(nothing, notes=(note,), ended=False)
    if not sizes.all():
        empty = int(np.argmin(sizes))
        return replace(nothing, first_misfit=empty, odd="its batch has no samples", ended=False)
    n, notes = (num_samples, []) if num_samples is not None else number_of_samples(rows)
    # Of a data set of unknown size nothing shows but one long pass.
    one_pass = int(sizes.sum()) + int(sizes[0])
    inference = _explain(Clues(rows, one_pass if n is None else n, tuple(seeds)))
    if n is None:
        inference = replace(
            inference,
            order=inference.order if inference.order == "none" else "unknown",
            certain={name: value for name, value in inference.certain.items() if name not in _SHOWN_BY_PASSES},
            undecided={name: values for name, values in inference.undecided.items() if name not in _SHOWN_BY_PASSES},
        )
    return replace(
        inference,
        num_samples=n,
        notes=(*notes, *inference.notes),
        num_steps=total,
        num_updates=updates,
        ended=rows.complete and inference.first_misfit is None,
    )


def number_of_samples(rows: Rows) -> tuple[int | None, list[str]]:
    """The size of the data set as ids or sizes suggest it, and how far that can be trusted, in words."""
    ids, sizes = rows.ids, rows.batch_size
    if ids is not None and len(ids) and ids.min() >= 0:
        n, distinct = int(ids.max()) + 1, len(np.unique(ids))
        note = f"The number of samples was not given: {n:,}, one more than the largest id"
        if distinct < n:
            return n, [f"{note}, of which {distinct:,} occur."]
        return n, [f"{note}; all of them occur. Samples that are never drawn would not show."]
    short = np.flatnonzero(sizes != sizes[0])
    if len(short) > 1 or (len(short) == 1 and short[0] < len(rows) - 1):
        n = int(sizes[: short[0] + 1].sum())
        return n, [f"The number of samples was not given: {n:,}, if the first short batch ends a pass."]
    return None, ["The number of samples was not given, and neither ids nor sizes show it: nor do they show passes."]


def _explain(clues: Clues) -> Inference:
    """The plans that fit all rows, or as many from the start as any plan explains."""
    rows, n = clues.rows, clues.num_samples
    candidates = list(passes.hypotheses(clues))
    sized = [passes.with_ids(clues, one) for one in candidates if one.misfit >= len(rows)]
    fits = _best_fits(clues, [one for one in sized if one.misfit >= len(rows)])
    if fits:
        statement = state(clues, fits)
        return Inference(
            statement.plan,
            n,
            statement.order,
            statement.seed,
            statement.certain,
            statement.undecided,
            notes=statement.notes,
        )
    candidates = [passes.with_ids(clues, one) for one in candidates]
    step = misfit.first_misfit(clues, candidates)
    odd = misfit.odd(clues, candidates, step)
    none = misfit.without_passes(clues, step)
    notes = ("The samples come in no passes: they are drawn with replacement, or otherwise at random.",) if none else ()
    if not step:
        return Inference(None, n, "none" if none else "unknown", first_misfit=0, notes=notes, odd=odd)
    start = _explain(Clues(rows.head(step), n, clues.seeds))
    return replace(
        start,
        first_misfit=step if start.first_misfit is None else start.first_misfit,
        odd=odd if start.first_misfit is None else start.odd,
        order="none" if none else start.order,
        notes=(*notes, *(note for note in start.notes if note != NO_END or not rows.complete)),
    )


def _best_fits(clues: Clues, whole: list[passes.Passes]) -> list[Fit]:
    """The plans of the likely passes that explain all ids; of all such passes if none of these fits."""
    best = max((one.chance for one in whole), default=0.0)
    likely = [one for one in whole if one.chance >= best - UNLIKELY]
    for group in (likely, whole):
        fits = [fit for one in group for remainder in one.each_remainder() for fit in fits_of(clues, remainder)]
        if fits or len(likely) == len(whole):
            return fits
    return []

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
from dataclasses import replace

import numpy as np

from xframe.inference import epochs as epochs_of
from xframe.inference import passes
from xframe.inference.fits import Fit, cuts_of, fits_of, window_sizes
from xframe.inference.observed import SEEDS, UNLIKELY, Observed, first
from xframe.inference.statement import NO_END, Inference, state
from xframe.trace.rows import Rows

_SHOWN_BY_PASSES = {
    *("remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion", "accumulation_boundary", "epochs"),
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
    inference = _explain(Observed(rows, one_pass if n is None else n, tuple(seeds)))
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


def _explain(run: Observed) -> Inference:
    """The plans that fit all rows, or as many from the start as any plan explains."""
    rows, n = run.rows, run.num_samples
    candidates = list(passes.hypotheses(run))
    sized = [passes.with_ids(run, one) for one in candidates if one.misfit >= len(rows)]
    fits = _best_fits(run, [one for one in sized if one.misfit >= len(rows)])
    if fits:
        return state(run, fits)
    candidates = [passes.with_ids(run, one) for one in candidates]
    step = _first_misfit(run, candidates)
    odd = _odd(run, candidates, step)
    none = _without_passes(run, step)
    notes = ("The samples come in no passes: they are drawn with replacement, or otherwise at random.",) if none else ()
    if not step:
        return Inference(None, n, order="none" if none else "unknown", first_misfit=0, notes=notes, odd=odd)
    start = _explain(Observed(rows.head(step), n, run.seeds))
    return replace(
        start,
        first_misfit=step if start.first_misfit is None else start.first_misfit,
        odd=odd if start.first_misfit is None else start.odd,
        order="none" if none else start.order,
        notes=(*notes, *(note for note in start.notes if note != NO_END or not rows.complete)),
    )


def _best_fits(run: Observed, whole: list[passes.Passes]) -> list[Fit]:
    """The plans of the likely passes that explain all ids; of all such passes if none of these fits."""
    best = max((one.chance for one in whole), default=0.0)
    likely = [one for one in whole if one.chance >= best - UNLIKELY]
    for group in (likely, whole):
        fits = [fit for one in group for remainder in one.each_remainder() for fit in fits_of(run, remainder)]
        if fits or len(likely) == len(whole):
            return fits
    return []


def _first_misfit(run: Observed, candidates: list[passes.Passes]) -> int:
    """The most steps from the start that any hypothesis explains."""
    best, applied = 0, run.applied
    for one in sorted(candidates, key=lambda one: -one.misfit):
        if one.misfit <= best:
            break
        if applied is None:
            best = one.misfit
            continue
        best = max(best, min(one.misfit, first(applied != 1)))
        for remainder in one.each_remainder():
            for epochs in epochs_of.hypotheses(run, remainder):
                for _, leftover, cuts in cuts_of(epochs):
                    for _, misfit, _ in window_sizes(run, cuts, flush=leftover == "flush"):
                        best = max(best, min(one.misfit, misfit))
    # All rows but the last fit, for else there would have been a fit: the run's end is the misfit.
    return min(best, run.num_steps - 1)


def _without_passes(run: Observed, misfit: int) -> bool:
    """Whether samples come twice before any pass is over, and so in most stretches of a pass's length."""
    ids, n = run.rows.ids, run.num_samples
    if ids is None or len(ids) < 2 * n or n < 8 or run.bounds[misfit] >= n:
        return False
    stretches = min(len(ids) // n, 64)
    distinct = [len(np.unique(ids[i * n : (i + 1) * n])) for i in range(stretches)]
    # Drawn with replacement, a stretch of n holds 63 of 100 samples.
    return 0.5 < float(np.mean(distinct)) / n < 0.8


def _odd(run: Observed, candidates: list[passes.Passes], step: int) -> str:
    """What is odd at the first step that no plan explains."""
    rows, n = run.rows, run.num_samples
    reasons = {one.reason for one in candidates if one.misfit == step}
    size, b = int(rows.batch_size[step]), run.batch_size
    if all(one.misfit <= step for one in candidates) and reasons:
        if rows.ids is not None and "range" in reasons:
            batch = rows.ids[run.bounds[step] : run.bounds[step + 1]]
            outside = batch[(batch < 0) | (batch >= n)]
            if len(outside):
                return f"sample {int(outside[0])} is none of the {n:,} samples"
        if "repeat" in reasons:
            return "a sample comes again before its pass is over, at a place where no pass begins"
        if "padding" in reasons:
            return "the padding is not the start of its pass"
        if "size" in reasons:
            return f"a batch of {size:,}, where batches have {b:,}" if size != b else f"a full batch of {b:,}"
    if run.applied is None:
        return ""
    number = int(run.applied[step])
    if number < 0:
        return f"the number of updates falls, by {-number:,}"
    if number > 1:
        return f"{number:,} updates with one step"
    return "an update that no window explains" if number else "no update, where one is due"

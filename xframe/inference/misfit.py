"""Where no plan explains all rows: the first step that none explains, and what is odd about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xframe.inference import epochs as epochs_of
from xframe.inference import windows as windows_of
from xframe.inference.clues import Clues, first

if TYPE_CHECKING:
    from xframe.inference.passes import Passes


def first_misfit(clues: Clues, candidates: list[Passes]) -> int:
    """The most steps from the start that any hypothesis explains."""
    best, applied = 0, clues.applied
    for passes in sorted(candidates, key=lambda passes: -passes.misfit):
        if passes.misfit <= best:
            break
        if applied is None:
            best = passes.misfit
            continue
        best = max(best, min(passes.misfit, first(applied != 1)))
        for remainder in passes.each_remainder():
            for epochs in epochs_of.hypotheses(clues, remainder):
                for _, leftover, cuts in windows_of.cuts_of(epochs):
                    for _, misfit, _ in windows_of.sizes(clues, cuts, flush=leftover == "flush"):
                        best = max(best, min(passes.misfit, misfit))
    # All rows but the last fit, for else there would have been a fit: the run's end is the misfit.
    return min(best, clues.num_steps - 1)


def without_passes(clues: Clues, misfit: int) -> bool:
    """Whether samples come twice before any pass is over, and so in most stretches of a pass's length."""
    ids, n = clues.rows.ids, clues.num_samples
    if ids is None or len(ids) < 2 * n or n < 8 or clues.bounds[misfit] >= n:
        return False
    stretches = min(len(ids) // n, 64)
    distinct = [len(np.unique(ids[i * n : (i + 1) * n])) for i in range(stretches)]
    # Drawn with replacement, a stretch of n holds 63 of 100 samples.
    return 0.5 < float(np.mean(distinct)) / n < 0.8


def odd(clues: Clues, candidates: list[Passes], step: int) -> str:
    """What is odd at the first step that no plan explains."""
    rows, n = clues.rows, clues.num_samples
    reasons = {passes.reason for passes in candidates if passes.misfit == step}
    size, b = int(rows.batch_size[step]), clues.batch_size
    if all(passes.misfit <= step for passes in candidates) and reasons:
        if rows.ids is not None and "range" in reasons:
            batch = rows.ids[clues.bounds[step] : clues.bounds[step + 1]]
            outside = batch[(batch < 0) | (batch >= n)]
            if len(outside):
                return f"sample {int(outside[0])} is none of the {n:,} samples"
        if "repeat" in reasons:
            return "a sample comes again before its pass is over, at a place where no pass begins"
        if "padding" in reasons:
            return "the padding is not the start of its pass"
        if "size" in reasons:
            return f"a batch of {size:,}, where batches have {b:,}" if size != b else f"a full batch of {b:,}"
    if clues.applied is None:
        return ""
    number = int(clues.applied[step])
    if number < 0:
        return f"the number of updates falls, by {-number:,}"
    if number > 1:
        return f"{number:,} updates with one step"
    return "an update that no window explains" if number else "no update, where one is due"

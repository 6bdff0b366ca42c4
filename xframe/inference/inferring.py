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

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from xframe.errors import PlanError
from xframe.inference import epochs as epochs_of
from xframe.inference import orders
from xframe.inference import passes as passes_of
from xframe.inference.fits import LIMITS, Fit, cuts_of, fits_of, plainest, window_sizes
from xframe.inference.observed import SEEDS, UNLIKELY, Observed, first, plan_of
from xframe.inference.orders import Kind
from xframe.inference.passes import Passes, spans_of
from xframe.plan.fields import DEPENDENTS
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

MORE = "more"  # after values: and every greater one
_NO_END = "The rows are no complete run, so its limits are not known."
_WEIGHT = 3.0  # of one field that is not as by default, beside the logarithm of a chance
_NAMES = (
    *("batch_size", "remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion"),
    *("gradient_accumulation_steps", "accumulation_boundary", "accumulation_remainder", "accumulation_at_end"),
    *("replicas", "replica_split", "replica_remainder", "replica_gradients"),
    *LIMITS,
)
_IN_TURN = (  # values, as they are listed
    *("keep", "drop", "pad", "carry", "error", "restart", "continue", "repeat", "short_epoch", "stop"),
    *("epoch", "pass", "flush", "leak", "actual", "window", "sum", "samples"),
    *("slices", "interleaved", "dealt", "uneven", "rows", "replicas"),
)
_OF_REPLICAS = {one.name: one for one in DEPENDENTS["replicas"]}  # what a plan of several replicas says of them
_SHOWN_BY_PASSES = {
    *("remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion", "accumulation_boundary", "epochs"),
    "replica_remainder",
}


@dataclass(frozen=True)
class Inference:
    """What the rows of a run say about its plan."""

    # The simplest that reproduces these sizes, updates and passes, up to ``first_misfit``; None if not even the first
    # step has one. Where the order is not xframe's own, its seed stands for any.
    plan: TrainingPlan | None
    num_samples: int | None  # size of the data set, given or inferred; None if the rows do not show it
    num_steps: int = 0  # of the rows
    num_updates: int | None = None  # None if unknown
    # ``sequential``, ``same each pass``, ``new each pass``, ``none`` (the samples come in no passes), or ``unknown``:
    # one pass only, no ids, or too few to decide.
    order: str = "unknown"
    seed: int | None = None  # of xframe's own order, if one of the seeds tried gives it
    certain: dict[str, Any] = field(default_factory=dict)  # fields that all plans share which explain the rows
    # Field → the values it has among them; ``more`` after them: and every greater one. A limit of None stands for one
    # that is not reached.
    undecided: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    first_misfit: int | None = None  # the first step that no plan explains together with those before it
    odd: str = ""  # what is odd there
    notes: tuple[str, ...] = ()  # plain sentences
    ended: bool = True  # the rows go to the end of a run that a plan explains, so that its limits show

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; without limits where the rows end before the run did: any not yet reached would do."""
        values = {name: value for name, value in vars(self).items() if name != "ended"}
        if self.plan is not None:
            hidden = () if self.ended else LIMITS
            values["plan"] = {name: value for name, value in self.plan.to_dict().items() if name not in hidden}
        return values


def infer(
    rows: Rows,
    num_samples: int | None,
    *,
    seeds: Sequence[int] = SEEDS,
    replicas: Mapping[str, Any] = MappingProxyType({}),
) -> Inference:
    """The plans that explain the rows of a run, whole or a part from its start.

    Without ``num_samples`` that is inferred from the ids or sizes; ``seeds``: of xframe's own order that are tried;
    ``replicas``: what the run states of the plan's fields of replicas, where it is one of several.
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
    run = Observed(rows, one_pass if n is None else n, tuple(seeds))
    inference = _shared(run, replicas) if replicas else _explain([run])
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
        num_steps=total,
        num_updates=updates,
        notes=(*notes, *inference.notes),
        ended=rows.complete and inference.first_misfit is None,
    )


def number_of_samples(rows: Rows) -> tuple[int | None, list[str]]:
    """The size of the data set as ids or sizes suggest it, and how far that can be trusted, in words."""
    ids, sizes = rows.ids, rows.batch_size
    if ids is not None and len(ids) and ids.min() >= 0:
        n, distinct = int(ids.max()) + 1, len(np.unique(ids))
        all_occur = "; all of them occur. Samples that are never drawn would not show."
        occur = f", of which {distinct:,} occur." if distinct < n else all_occur
        return n, [f"The number of samples was not given: {n:,}, one more than the largest id{occur}"]
    short = np.flatnonzero(sizes != sizes[0])
    if len(short) > 1 or (len(short) == 1 and short[0] < len(rows) - 1):
        n = int(sizes[: short[0] + 1].sum())
        return n, [f"The number of samples was not given: {n:,}, if the first short batch ends a pass."]
    return None, ["The number of samples was not given, and neither ids nor sizes show it: nor do they show passes."]


def _shared(run: Observed, replicas: Mapping[str, Any]) -> Inference:
    """The plans of several replicas, with all that may make a pass even for them."""
    runs = list[Observed]()
    for remainder in _OF_REPLICAS["replica_remainder"].words:
        with suppress(PlanError):  # not all are possible with every batch size
            shared = {**replicas, "replica_remainder": remainder}
            runs.append(Observed(run.rows, run.num_samples, run.seeds, shared))
    inference = _explain(runs)
    if inference.plan is None:
        return inference
    left = {name: field.words for name, field in _OF_REPLICAS.items() if name not in replicas}
    found = inference.undecided.get("replica_remainder", ())
    left["replica_remainder"] = tuple(word for word in left["replica_remainder"] if word in found)
    undecided = {name: values for name, values in left.items() if len(values) > 1}
    certain = {name: value for name, value in inference.certain.items() if name not in undecided}
    return replace(inference, certain=certain, undecided={**inference.undecided, **undecided})


def _explain(runs: Sequence[Observed]) -> Inference:
    """The plans that fit all rows, or as many from the start as any plan explains; of the same rows with each of what
    may make a pass even for replicas."""
    run = runs[0]
    rows, n = run.rows, run.num_samples
    candidates = [(one, passes) for one in runs for passes in passes_of.hypotheses(one)]
    sized = [(one, passes_of.with_ids(one, passes)) for one, passes in candidates if passes.misfit >= len(rows)]
    if fits := _best_fits([(one, passes) for one, passes in sized if passes.misfit >= len(rows)]):
        return _state(run, fits)
    candidates = [(one, passes_of.with_ids(one, passes)) for one, passes in candidates]
    step = _first_misfit(candidates)
    odd = _odd(run, [passes for _, passes in candidates], step)
    none = _without_passes(run, step)
    notes = ("The samples come in no passes: they are drawn with replacement, or otherwise at random.",) if none else ()
    if not step:
        return Inference(None, n, order="none" if none else "unknown", first_misfit=0, notes=notes, odd=odd)
    start = _explain([one.head(step) for one in runs])
    return replace(
        start,
        first_misfit=step if start.first_misfit is None else start.first_misfit,
        odd=odd if start.first_misfit is None else start.odd,
        order="none" if none else start.order,
        notes=(*notes, *(note for note in start.notes if note != _NO_END or not rows.complete)),
    )


def _best_fits(whole: list[tuple[Observed, Passes]]) -> list[Fit]:
    """The plans of the likely passes that explain all ids; of all such passes if none of these fits."""
    best = max((one.chance for _, one in whole), default=0.0)
    likely = [(run, one) for run, one in whole if one.chance >= best - UNLIKELY]
    for group in (likely, whole):
        fits = [fit for run, one in group for remainder in one.each_remainder() for fit in fits_of(run, remainder)]
        if fits or len(likely) == len(whole):
            return fits
    return []


def _first_misfit(candidates: list[tuple[Observed, Passes]]) -> int:
    """The most steps from the start that any hypothesis explains."""
    best, num_steps = 0, candidates[0][0].num_steps
    for run, one in sorted(candidates, key=lambda pair: -pair[1].misfit):
        if one.misfit <= best:
            break
        applied = run.applied
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
    return min(best, num_steps - 1)


def _without_passes(run: Observed, misfit: int) -> bool:
    """Whether samples come twice before any pass is over, and so in most stretches of a pass's length."""
    ids, n = run.rows.ids, run.num_samples
    if ids is None or len(ids) < 2 * n or n < 8 or run.bounds[misfit] >= n:
        return False
    stretches = min(len(ids) // n, 64)
    distinct = [len(np.unique(ids[i * n : (i + 1) * n])) for i in range(stretches)]
    # Drawn with replacement, a stretch of n holds 63 of 100 samples.
    return 0.5 < float(np.mean(distinct)) / n < 0.8


def _odd(run: Observed, candidates: list[Passes], step: int) -> str:
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


def _state(run: Observed, fits: list[Fit]) -> Inference:
    """What plans that fit, at least one, say together."""
    rows, notes = run.rows, []
    if any(column is not None for column in (rows.epoch, rows.step_in_epoch, rows.padding)):
        labelled = [fit for fit in fits if fit.labelled]
        if labelled and len(labelled) < len(fits):
            if _values(plainest(labelled)[0]) != _values(plainest(fits)[0]):
                notes.append("By the loop's labels, of the plans that the rows alone cannot tell apart.")
            fits = labelled
        elif not labelled:
            notes.append("The loop's labels are those of no plan that explains the rows; they were left aside.")
    fits, other_epochs = plainest(fits)
    if other_epochs:
        notes.append("An epoch is taken to be a pass; epochs of other lengths would leave the same rows.")
    simplest = min(fits, key=lambda fit: _WEIGHT * fit.effort - fit.passes.chance)
    likely = _likely_kinds(fits)
    order, seed, order_values = _order(likely)
    values = {**_values(fits), **order_values}
    if not rows.complete:
        for name in (*LIMITS, "accumulation_at_end"):
            values.pop(name, None)
        notes.append(_NO_END)
    elif (same := _made_even(fits)) is not None:
        notes.append(same)
    if rows.updates is None:
        values["gradient_accumulation_steps"] = (1, MORE)
        notes.append("The updates are not known, and so neither is accumulation.")
    if rows.ids is None:
        notes.append("The ids are not known: the sizes show some of the passes, but not their order.")
    elif (left := _order_left(run, simplest.passes, likely)) is not None:
        notes.append(left)
    elif seed is None and order in ("same each pass", "new each pass"):
        notes.append("The order is not one of xframe's that were tried; the plan's seed stands for any.")
    return Inference(
        plan_of({**simplest.fields, **_order_fields(simplest.passes)}),
        run.num_samples,
        order=order,
        seed=seed,
        certain={name: x[0] for name, x in values.items() if len(x) == 1 and (name not in LIMITS or x[0] is not None)},
        undecided={name: choices for name, choices in values.items() if len(choices) > 1},
        notes=tuple(notes),
    )


def _made_even(fits: list[Fit]) -> str | None:
    """Which remainders go with what makes a pass even for replicas, where not each goes with each."""
    pairs = dict[str, set[str]]()
    for fit in fits:
        pairs.setdefault(str(fit.fields.get("replica_remainder")), set()).update(fit.remainders)
    words = {how: sorted(found & {"keep", "drop", "pad"}, key=_IN_TURN.index) for how, found in pairs.items()}
    if all(found == words[next(iter(words))] for found in words.values()):
        return None
    each = [f"{how} with remainder {' or '.join(found)}" for how, found in words.items()]
    return f"These leave the same rows of a pass: {'; '.join(each)}."


def _order_fields(passes: Passes) -> dict[str, Any]:
    """A plan says one order: that of its own passes which is most likely, and of equals the plainest."""
    own = max(passes.kinds, key=lambda kind: (kind.chance, kind.order == "sequential", kind.reshuffle), default=None)
    if own is None:
        return {}
    return {"order": own.order} if own.order == "sequential" else {"seed": own.seed or 0, "reshuffle": own.reshuffle}


def _order_left(run: Observed, passes: Passes, likely: list[Kind]) -> str | None:
    """Where the samples depart from an order in which they began, if no order that fits is one to be recognised."""
    ids, n = run.rows.ids, run.num_samples
    begun = min(run.batch_size, n)
    enough = math.lgamma(n + 1) - math.lgamma(n - begun + 1) > UNLIKELY  # of samples in the first batch
    if ids is None or not enough or any(kind.order == "sequential" or kind.seed is not None for kind in likely):
        return None
    spans = spans_of(run, passes, run.num_steps)
    tried: list[tuple[str, int | None, bool]] = []
    if (ids[:begun] == np.arange(begun)).all():
        tried.append(("as they are stored", None, False))
    tried += [
        (f"in xframe's order of seed {seed}", seed, reshuffle)
        for seed in run.seeds_of_first_batch[:1]
        for reshuffle in (True, False)
    ]
    departures = [(orders.departure(run, spans, seed, reshuffle=again), words) for words, seed, again in tried]
    steps = [(run.step_of(at), words) for at, words in departures if at is not None]
    step, words = max(steps, default=(0, ""))
    return f"The samples come {words}, but only up to step {step}." if step > 0 else None


def _values(fits: list[Fit]) -> dict[str, tuple[Any, ...]]:
    """Field → the values it has in the plans that fit."""
    values: dict[str, set[Any]] = {name: {fit.fields.get(name) for fit in fits} for name in _NAMES}
    values["remainder"] = {remainder for fit in fits for remainder in fit.remainders}
    if "carry" in values["remainder"]:
        values["on_exhaustion"].add(None)  # which carry has none of
    if "drop" in values["accumulation_remainder"]:
        values["accumulation_remainder"].add("leak")
    accumulates = {fit.accumulation_steps > 1 for fit in fits}
    if True in accumulates:
        plain: set[Any] = {None} if False in accumulates else set()
        values["loss_normalization"] = {"actual", "window", "sum", "samples"} | plain
    more = {name for fit in fits for name in fit.more}
    return {
        name: (*sorted(choices, key=_rank), *((MORE,) if name in more else ()))
        for name, choices in values.items()
        if choices != {None} or name in (*LIMITS, "steps_per_epoch")
    }


def _rank(value: Any) -> tuple[int, int]:
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, int) else (2, _IN_TURN.index(value))


def _likely_kinds(fits: list[Fit]) -> list[Kind]:
    seen = {id(fit.passes): fit.passes for fit in fits}
    kinds = [kind for passes in seen.values() for kind in passes.kinds]
    best = max((kind.chance for kind in kinds), default=0.0)
    return [kind for kind in kinds if kind.chance >= best - UNLIKELY]


def _order(kinds: list[Kind]) -> tuple[str, int | None, dict[str, tuple[Any, ...]]]:
    """The order in words, xframe's seed if there is one, and the values of the plan's fields."""
    if not kinds:
        return "unknown", None, {"order": ("shuffle", "sequential"), "reshuffle": (True, False)}
    names = tuple(sorted({kind.order for kind in kinds}, reverse=True))
    reshuffles = tuple(sorted({kind.reshuffle for kind in kinds if kind.order == "shuffle"}, reverse=True))
    values: dict[str, tuple[Any, ...]] = {"order": names}
    if names == ("sequential",):
        return "sequential", None, values
    values["reshuffle"] = reshuffles
    seeds = {kind.seed for kind in kinds if kind.order == "shuffle"}
    seed = seeds.pop() if len(seeds) == 1 and len(names) == 1 else None
    if seed is not None:
        values["seed"] = (seed,)
    alike = len(names) == 1 and len(reshuffles) == 1
    return ("unknown" if not alike else "new each pass" if reshuffles[0] else "same each pass"), seed, values

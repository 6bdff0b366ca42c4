"""Why two runs part: the cause with its arithmetic, the setting that mends it, and which totals agree by chance.

Hypotheses predict rows, see ``hypotheses``; those that give every row of the run are exact. A cause is called certain
only where one name alone is exact: where the arithmetic leaves no other. Numbers are looked at where all rows agree,
since only then are they the same run's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xframe.comparison.result import TOLERANCES, Cause, Comparison, Tolerance
from xframe.diagnosis.fixes import mend
from xframe.diagnosis.hypotheses import Case, Fit, by_order, hypotheses
from xframe.diagnosis.names import CAUSES
from xframe.diagnosis.reference import batch_keys, first_apart, lay
from xframe.errors import UsageError
from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import stopped_after
from xframe.trace.rows import MOST_ROWS, Rows
from xframe.trace.trace import Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

THE_PLAN = "the plan"
_MORE_ROWS = 4096  # of a plan that are looked at beyond twice a run's own
MOST_TOLD = 4  # causes of one run
MOST_SAID = 2  # of them in sentences
# Of causes that fit equally well the commoner and the simpler first.
_PRIOR = {
    name: i
    for i, name in enumerate(
        (
            "validation-in-training",
            "short-batch-dropped",
            "short-batch-kept",
            "short-batch-padded",
            "batches-straddle-passes",
            "padding-differs",
            "batch-size-per-replica",
            "batch-size",
            "epoch-iterator",
            "short-epoch",
            "steps-per-epoch",
            "not-shuffled",
            "same-order-every-pass",
            "reshuffled",
            "other-seed",
            "shuffle-after-batch",
            "pass-skipped",
            "shard-repeated",
            "one-step-less",
            "one-step-more",
            "limit-confused",
            "updates-counted-as-steps",
            "leftover-flushed",
            "leftover-dropped",
            "leftover-leaked",
            "leftover-carried",
            "window-cut-elsewhere",
            "window-at-training-end",
            "accumulation-steps",
            "update-skipped",
            "update-doubled",
            "counted-without-update",
            "update-offset",
            "sample-lost",
            "sample-repeated",
            "samples-swapped",
            "batch-lost",
            "batch-repeated",
            "resumed-at-wrong-place",
            "batches-swapped",
            "order-inside-batches",
            "with-replacement",
            "buffer-shuffle",
            "shuffled-independently",
        )
    )
}
_ORDER_CAUSES = {
    "not-shuffled",
    "same-order-every-pass",
    "reshuffled",
    "other-seed",
    "shuffle-after-batch",
    "buffer-shuffle",
    "shuffled-independently",
    "order-inside-batches",
    "batches-swapped",
    "samples-swapped",
    "pass-skipped",
}
_ONE_STEP = {"one-step-less", "one-step-more"}
_EPOCH_CAUSES = {"epoch-iterator", "short-epoch", "steps-per-epoch"}
_WINDOW_CAUSES = {
    "leftover-flushed",
    "leftover-dropped",
    "leftover-leaked",
    "leftover-carried",
    "window-cut-elsewhere",
    "window-at-training-end",
    "accumulation-steps",
    "updates-counted-as-steps",
    "update-offset",
}
# Causes that change how many steps or updates there are: totals that agree in spite of them do so by chance.
_CADENCE_CAUSES = {
    "short-batch-dropped",
    "short-batch-kept",
    "short-batch-padded",
    "batches-straddle-passes",
    "batch-size",
    "batch-size-per-replica",
    "steps-per-epoch",
    "epoch-iterator",
    "short-epoch",
    "leftover-flushed",
    "leftover-dropped",
    "leftover-leaked",
    "leftover-carried",
    "window-cut-elsewhere",
    "accumulation-steps",
    "update-offset",
    "batch-lost",
    "batch-repeated",
    "one-step-less",
    "one-step-more",
}


@dataclass(frozen=True, eq=False)
class Numbers:
    """What two runs of the same steps computed; the candidate's first, then the reference's.

    Attributes:
        loss, lr: of each step; None where a run tells none.
        weights: whether the final weights are the same; None if that cannot be told.
        starts, data: fingerprints of the starting weights and of the data, where recorded.
        tolerance: within which losses are the same.
    """

    loss: tuple[Floats | None, Floats | None] = (None, None)
    lr: tuple[Floats | None, Floats | None] = (None, None)
    weights: bool | None = None
    starts: tuple[str | None, str | None] = (None, None)
    data: tuple[str | None, str | None] = (None, None)
    tolerance: Tolerance = TOLERANCES["float32"]


def diagnose(
    candidate: Rows,
    reference: Rows,
    *,
    run: str,
    num_samples: int | None,
    plan: TrainingPlan | None,
    reference_is_plan: bool = False,
    numbers: Numbers | None = None,
    other: str = "",
) -> tuple[Cause, ...]:
    """Why the candidate's rows are not the reference's, most likely first; empty if nothing differs or explains it.

    Args:
        candidate: rows of the run that departs.
        reference: rows that it is held against.
        run: the candidate's name.
        num_samples: size of the data set, if known.
        plan: that the reference follows, if known.
        reference_is_plan: the reference's rows are the plan's own.
        numbers: to be looked at if the rows agree.
        other: the reference's name, for sentences.
    """
    told_as = THE_PLAN if reference_is_plan else other or "the other run"
    if not _sound(candidate) or not _sound(reference):
        return ()
    ground = lay(candidate, reference, num_samples, plan, is_plan=reference_is_plan)
    case = Case(ground, run, told_as)
    if case.step is not None and not _only_shorter(case):
        found = list(hypotheses(case))
        fits = _ranked(found)
        if not fits and ground.has_ids:
            # Perhaps the order differs and something else does too: of the sizes and updates alone more can be told.
            bare = candidate.with_columns(ids=None), reference.with_columns(ids=None)
            told = diagnose(
                *bare,
                run=run,
                num_samples=ground.num_samples,
                plan=plan,
                reference_is_plan=reference_is_plan,
                other=other,
            )
            return tuple(replace(cause, certain=False) for cause in told)
        return tuple(
            _cause(fit, case, certain=_alone(fit, found) and _provable(fit, case), other=told_as)
            for fit in fits[:MOST_TOLD]
        )
    labels = tuple(_labels(case))
    if labels or numbers is None:
        return labels
    with np.errstate(all="ignore"):  # NaN and infinities are losses like any other here
        return tuple(_numbers(case, numbers))


def _sound(rows: Rows) -> bool:
    """Whether the columns belong together at all."""
    sizes = rows.batch_size
    columns = (rows.updates, rows.epoch, rows.step_in_epoch, rows.padding)
    if any(column is not None and len(column) != len(sizes) for column in columns):
        return False
    if len(sizes) and (sizes.min() < 0 or sizes.max() > 1 << 40):
        return False
    return rows.ids is None or len(rows.ids) == int(sizes.sum())


def _only_shorter(case: Case) -> bool:
    """Whether one side was merely not seen to its end."""
    shared = min(len(case.keys), len(case.theirs))
    return not case.whole and case.step == shared


def _ranked(fits: list[Fit]) -> list[Fit]:
    """One of each name, the likeliest first: what gives all rows, then by how common it is."""
    # A sort keeps the order of equals, so that of one name the first exact one is kept.
    ranked = sorted(fits, key=lambda fit: (not fit.exact, fit.late, _PRIOR.get(fit.name, len(_PRIOR))))
    outside = [fit for fit in ranked if fit.name == "validation-in-training"]
    ranked = outside + [fit for fit in ranked if fit.name != "validation-in-training"]
    if any(fit.exact for fit in ranked):
        ranked = [fit for fit in ranked if fit.exact]  # what gives only some rows is no rival
    found: dict[str, Fit] = {}
    for fit in ranked:
        found.setdefault(fit.name, fit)
    return list(found.values())


def _alone(fit: Fit, found: list[Fit]) -> bool:
    """Whether no other name gives all rows.

    A plan that gives them is a rival also where it knows little of the order, and, of what says nothing of labels,
    where it has other labels: a loop may count its epochs in another way.
    """
    rivals = {one.name for one in found if one.exact or (one.plan is not None and (one.labels or fit.plan is None))}
    return fit.exact and rivals <= {fit.name}


def _provable(fit: Fit, case: Case) -> bool:
    """Whether what gives all rows may be called certain if nothing else does: where the rows say that much at all."""
    ground = case.ground
    if fit.guess or fit.name == "limit-confused":
        return False  # many a number of steps is some limit's
    if not ground.has_ids and not (ground.given and (fit.plan is not None or case.same_batches)):
        return False  # of sizes alone many a story can be told
    if case.parts == min(len(case.keys), len(case.theirs)) and not (ground.given and fit.name in _ONE_STEP):
        return False  # one run merely ends before the other
    if by_order(case, fit.name):
        return False
    if ground.given:
        return True
    if fit.plan is not None and not _well_inferred(case):
        return False
    k = 1 if ground.plan is None else ground.plan.gradient_accumulation_steps
    if fit.name in _WINDOW_CAUSES or (k > 1 and case.same_batches):
        return False  # where the windows of the reference end is itself but inferred
    labelled = ground.candidate.epoch is not None and ground.rows.epoch is not None
    # Epochs that begin anew drop the rest as well, even of what straddles passes.
    return labelled or fit.name not in _EPOCH_CAUSES | {"batches-straddle-passes"}


def _well_inferred(case: Case) -> bool:
    """Whether the reference's rows say what its plan is: no size that is the data set's, no labels that are others."""
    ground, plan, n = case.ground, case.ground.plan, case.ground.num_samples
    if plan is None or n is None or plan.batch_size >= n or plan.steps_per_epoch is not None:
        return False
    own = replace(ground, candidate=ground.rows).match(plan)
    return own is not None and own.labels


def _cause(fit: Fit, case: Case, *, certain: bool, other: str) -> Cause:
    return Cause(
        name=fit.name,
        run=other if fit.reference_departs else case.run,
        certain=certain,
        sentence=fit.sentence,
        mend=mend(fit.name, fit.facts),
        step=fit.step,
        by_chance=_by_chance(fit, case) if fit.name in _CADENCE_CAUSES else "",
    )


# --- totals that agree all the same ------------------------------------------------------------------


def _by_chance(fit: Fit, case: Case) -> str:
    """The arithmetic of totals that agree in spite of the cause; empty if none do, or a limit makes them."""
    mine, theirs = case.ground.candidate, case.ground.rows
    if not case.whole or not len(mine) or not len(theirs):
        return ""
    told = []
    home, n = case.ground.plan, case.ground.num_samples
    limited = home is not None and (home.limits.steps is not None or home.limits.updates is not None)
    if mine.updates is not None and theirs.updates is not None:
        a, b = int(mine.updates[-1]), int(theirs.updates[-1])
        cadences = home is not None and (
            len(mine) != len(theirs) or fit.name.startswith(("leftover", "window", "update"))
        )
        if a == b and cadences and not limited:
            told.append(f"update totals agree only by chance: {_update_sum(fit, case, a)}")
    regular = {
        "batches-straddle-passes",
        "short-batch-kept",
        "short-batch-dropped",
        "batch-size",
        "batch-size-per-replica",
    }
    if len(mine) == len(theirs) and fit.name in regular and home is not None and n is not None and not limited:
        told += [f"step totals agree only by chance: {text}" for text in _step_sums(fit, home, n, len(mine))]
    return "; ".join(told)


def _update_sum(fit: Fit, case: Case, total: int) -> str:
    home, n, plan = case.ground.plan, case.ground.num_samples, fit.plan
    steps = len(case.keys), len(case.theirs)
    if home is not None and n is not None and plan is not None:
        k, other = home.gradient_accumulation_steps, plan.gradient_accumulation_steps
        try:
            mine, theirs = Cadence(plan, n), Cadence(home, n)
        except UsageError:
            return f"both are {total:,}"
        lengths = [length for length in (mine.cut_every, theirs.cut_every) if length is not None]
        if k == other > 1 and len(lengths) == 2:
            flush = home.accumulation_remainder == "flush" == plan.accumulation_remainder
            open_, close = "⌈⌉" if flush else "⌊⌋"
            found = [-(-length // k) if flush else length // k for length in lengths]
            if found[0] == found[1]:
                sums = " = ".join(f"{open_}{length:,}/{k:,}{close}" for length in dict.fromkeys(lengths))
                return f"{sums} = {found[0]:,} per {home.accumulation_boundary}"
        carries = k == other > 1 and home.accumulation_remainder == "carry" == plan.accumulation_remainder
        if carries and all(length // k == total for length in steps):  # a last window that is flushed is not in it
            return " = ".join(f"⌊{length:,}/{k:,}⌋" for length in dict.fromkeys(steps)) + f" = {total:,}"
    return f"both are {total:,}, over {steps[0]:,} steps and over {steps[1]:,}"


def _step_sums(fit: Fit, home: TrainingPlan, n: int, total: int) -> Iterator[str]:
    """How as many steps come about in two ways; under ``carry`` a division of all samples, else of each pass's."""

    def counted(plan: TrainingPlan) -> str:
        b, epochs = plan.batch_size, plan.limits.epochs
        if plan.steps_per_epoch is not None or epochs is None:
            return f"{total:,}"
        if plan.remainder == "carry":
            return f"⌈{epochs * n:,}/{b:,}⌉"
        open_, close = "⌊⌋" if plan.remainder == "drop" else "⌈⌉"
        return f"{epochs:,} x {open_}{n:,}/{b:,}{close}"

    sums = dict.fromkeys(counted(plan) for plan in (fit.plan, home) if plan is not None)
    if len(sums) > 1 and f"{total:,}" not in sums:
        yield " = ".join([*sums, f"{total:,}"])


# --- labels ------------------------------------------------------------------------------------------


def _labels(case: Case) -> Iterator[Cause]:
    """The same rows with other labels."""
    mine, theirs = case.ground.candidate, case.ground.rows
    shared = min(len(mine), len(theirs))
    found: dict[str, tuple[int, str]] = {}
    for column, name, noun in (
        ("epoch", "epoch-labels", "epoch"),
        ("step_in_epoch", "epoch-labels", "step in epoch"),
        ("padding", "padding-labels", "padding"),
    ):
        a, b = getattr(mine, column), getattr(theirs, column)
        if a is None or b is None:
            continue
        apart = np.flatnonzero(a[:shared] != b[:shared])
        if len(apart) and name not in found:
            at = int(apart[0])
            text = f"{case.run} trains the same, and labels it otherwise: "
            text += f"step {at:,} has {noun} {a[at]:,}, where {b[at]:,} is due"
            found[name] = at, text
    # What a plan would have labelled so is as likely as a label alone.
    ground = case.ground
    if found and ground.plans:
        first = min(at for at, _ in found.values())
        for fit in hypotheses(case):
            if fit.exact and fit.plan is not None:
                found.setdefault(fit.name, (first, fit.sentence))
    certain = len(found) == 1 and ground.given  # another plan may be behind a reference whose own is not known
    for name, (at, text) in found.items():
        yield Cause(name, case.run, certain, text, mend(name, {}), at)


# --- numbers -----------------------------------------------------------------------------------------


def _numbers(case: Case, numbers: Numbers) -> Iterator[Cause]:
    """Why the numbers part where the rows are the same."""
    found = [cause for cause in (_data(case, numbers), _starts(case, numbers), _rates(case, numbers)) if cause]
    yield from found
    step = _first_apart(numbers)
    if found or (step is None and numbers.weights is not False):
        return
    if step is None:
        text = f"{case.run} ends in other weights, though every loss agrees: others than those trained were handed over"
        yield _cause_of("weights-elsewhere", case, text, None)
        return
    mine, theirs = _losses(numbers)
    yield from _loss_causes(case, numbers, step, mine, theirs)


def _cause_of(name: str, case: Case, text: str, step: int | None, *, certain: bool = False) -> Cause:
    plan, n = case.ground.plan, case.ground.num_samples
    k = 1 if plan is None else plan.gradient_accumulation_steps
    return Cause(name, case.run, certain, text, mend(name, {"n": n, "k": k}), step)


def _data(case: Case, numbers: Numbers) -> Cause | None:
    mine, theirs = numbers.data
    if mine is None or theirs is None or mine == theirs:
        return None
    text = f"{case.run} trains on other data: the fingerprints are {mine[:12]} and {theirs[:12]}"
    return _cause_of("different-data", case, text, 0, certain=True)


def _starts(case: Case, numbers: Numbers) -> Cause | None:
    mine, theirs = numbers.starts
    if mine is None or theirs is None or mine == theirs:
        return None
    text = f"{case.run} starts from other weights than {case.other}: the fingerprints are {mine[:12]} and {theirs[:12]}"
    return _cause_of("starting-weights", case, text, 0, certain=True)


def _rates(case: Case, numbers: Numbers) -> Cause | None:
    mine, theirs = numbers.lr
    if mine is None or theirs is None:
        return None
    shared = min(len(mine), len(theirs))
    a, b = mine[:shared].astype(np.float32), theirs[:shared].astype(np.float32)
    apart = np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))
    if not len(apart) or np.isnan(a[apart[0]]) or np.isnan(b[apart[0]]):
        return None
    at = int(apart[0])
    text = f"{case.run} trains at the rate {mine[at]:.6g} in step {at:,}, {case.other} at {theirs[at]:.6g}"
    with np.errstate(all="ignore"):
        ratio = (mine[:shared] / theirs[:shared])[np.isfinite(mine[:shared] / theirs[:shared])]
    if len(apart) == shared and len(ratio) == shared and np.ptp(ratio) <= 1e-6 * abs(ratio[0]):
        text += f", {ratio[0]:.6g} times as high all through"
    schedule = _schedule(case, a, b)
    if schedule is not None:
        name, why = schedule
        return _cause_of(name, case, f"{text}: {why}", at)
    return _cause_of("learning-rate", case, text, at, certain=True)


def _schedule(case: Case, mine: NDArray[Any], theirs: NDArray[Any]) -> tuple[str, str] | None:
    """Whether one side's rates are the other's by another clock, or a tick off: the cause and what it says."""
    clocks = {name: ticks for name, ticks in _clocks(case, len(mine)).items() if ticks[-1] > 0}
    plan = case.ground.plan
    told = [plan.schedule_clock or "updates"] if plan is not None else []
    for clock in [*told, *(name for name in clocks if name not in told)]:
        ticks = clocks.get(clock)
        if ticks is None:
            continue
        rate = dict(zip(ticks.tolist(), theirs.tolist(), strict=True))
        if not all(_same(rate[tick], value) for tick, value in zip(ticks.tolist(), theirs.tolist(), strict=True)):
            continue  # the other does not tick by that
        unit = clock[:-1]
        if _follows(rate, np.maximum(ticks - 1, 0), mine):
            return "schedule-late", f"these are {case.other}'s rates one {unit} late"
        if _follows(rate, ticks + 1, mine):
            return "schedule-late", f"these are {case.other}'s rates one {unit} early"
        for other, its in clocks.items():
            if other != clock and _follows(rate, its, mine):
                return (
                    "schedule-clock",
                    f"these are {case.other}'s rates by {other}, where {case.other} goes by {clock}",
                )
    return None


def _clocks(case: Case, steps: int) -> dict[str, NDArray[Any]]:
    """What a schedule may tick by: steps, updates and epochs before each step, as far as the rows tell."""
    rows = case.ground.candidate
    found: dict[str, NDArray[Any]] = {"steps": np.arange(steps)}
    if rows.updates is not None:
        found["updates"] = np.concatenate([[0], rows.updates[: steps - 1]])
    if rows.epoch is not None:
        found["epochs"] = rows.epoch[:steps]
    return found


def _follows(rate: dict[int, float], ticks: NDArray[Any], seen: NDArray[Any]) -> bool:
    """Whether the rates seen are those of the ticks, as far as they are known, and they vary."""
    known = [(rate[tick], value) for tick, value in zip(ticks.tolist(), seen.tolist(), strict=True) if tick in rate]
    varies = len(known) > 1 and not all(_same(known[0][0], a) for a, _ in known)
    return varies and all(_same(a, b) for a, b in known)


def _same(a: float, b: float) -> bool:
    """Of two learning rates: schedulers that go from each rate to the next end in other last digits."""
    return math.isclose(a, b, rel_tol=1e-5)


def _losses(numbers: Numbers) -> tuple[Floats, Floats]:
    mine, theirs = numbers.loss
    assert mine is not None
    assert theirs is not None
    shared = min(len(mine), len(theirs))
    return mine[:shared], theirs[:shared]


def _first_apart(numbers: Numbers) -> int | None:
    """The first step whose losses are beyond the tolerance, or not finite in one run only."""
    if numbers.loss[0] is None or numbers.loss[1] is None:
        return None
    a, b = _losses(numbers)
    kinds = np.isnan(a) != np.isnan(b)
    with np.errstate(all="ignore"):
        allowed = numbers.tolerance.atol + numbers.tolerance.rtol * np.maximum(np.abs(a), np.abs(b))
        apart = np.flatnonzero(kinds | (np.abs(a - b) > allowed))
    return int(apart[0]) if len(apart) else None


def _loss_causes(case: Case, numbers: Numbers, step: int, mine: Floats, theirs: Floats) -> Iterator[Cause]:
    plan = case.ground.plan
    k = 1 if plan is None else plan.gradient_accumulation_steps
    scale = _scale(mine, theirs)
    if scale is not None:
        sizes = case.ground.rows.batch_size
        names = {f"the {k:,} steps of a window": k} if k > 1 else {}
        names |= {f"the batch size {int(sizes.max()):,}": int(sizes.max())} if len(sizes) and sizes.max() > 1 else {}
        whose = next(
            (text for text, value in names.items() if min(abs(scale - value), abs(1 / scale - value)) < 1e-3), ""
        )
        text = f"every loss of {case.run} is {scale:.6g} times that of {case.other}" + (
            f", by {whose}" if whose else ""
        )
        if numbers.weights is False:  # a loss that is only told otherwise leaves the weights as they are
            more = f"{case.run}: the losses, {scale:.6g} times as high, are another model's: other gradients entered it"
            yield _cause_of("other-gradient", case, more, step)
        yield _cause_of("loss-scale", case, text, step, certain=numbers.weights is True)
        return
    at = f"from step {step:,} on"
    if _slow(mine, theirs, step):
        text = f"the losses of {case.run} and {case.other} part slowly, beyond the tolerance {at}, as rounding does"
        yield _cause_of("rounding", case, text, step)
    constant = step == 0 and len(mine) > 2 and bool(np.ptp(mine) == 0) and bool(np.ptp(theirs) != 0)
    if constant:
        text = f"every loss that {case.run} tells is {mine[0]:.6g}, whatever it trains on"
        yield _cause_of("loss-scale", case, text, step)
    elif step == 0 and (scaled := _scaled(case, k, mine[0], theirs[0])):
        yield _cause_of("loss-scale", case, f"the first loss of {case.run} is {scaled} that of {case.other}", 0)
    elif step == 0:
        text = f"the first loss already differs, {mine[0]:.6g} and {theirs[0]:.6g}: before any update, so"
        yield _cause_of("starting-weights", case, f"{text} the weights, or what the ids stand for, are others", 0)
        yield _cause_of("different-data", case, f"{text} the ids may stand for other samples", 0)
    if step > 0 or numbers.weights is False:
        text = f"the same samples and updates, and other losses {at}: other gradients entered the updates before it"
        if k > 1:
            text += f" (a window of {k:,}: look at what its gradients are divided by, and when they are zeroed)"
        yield _cause_of("other-gradient", case, f"{case.run}: {text}", step)
        if step > 0:
            text = f"{case.run}: the ids of step {step:,} may stand for other samples or targets"
            yield _cause_of("different-data", case, text, step)
    if (
        k > 1
        and plan is not None
        and case.ground.given
        and step > 0
        and plan.accumulation_remainder in ("drop", "leak")
    ):
        name = "leftover-leaked" if plan.accumulation_remainder == "drop" else "leftover-dropped"
        text = f"{case.run}: the updates are the same whether a window's rest is dropped or leaked; only gradients tell"
        yield _cause_of(name, case, text, step)


def _scaled(case: Case, k: int, mine: float, theirs: float) -> str:
    """By what the first losses, of the same weights, are a multiple of each other; empty if by nothing known."""
    sizes = case.ground.rows.batch_size
    known = {f"{k:,} times, as many as steps in a window,": k} if k > 1 else {}
    if len(sizes) and sizes[0] > 1:
        known[f"{int(sizes[0]):,} times, as many as samples in a batch,"] = int(sizes[0])
    with np.errstate(all="ignore"):
        ratio = mine / theirs
    for text, value in known.items():
        if abs(ratio - value) < 1e-3 * value:
            return text
        if abs(1 / ratio - value) < 1e-3 * value if ratio else False:
            return text.replace("times", "times smaller,").replace(",,", ",") + " than"
    return ""


def _scale(mine: Floats, theirs: Floats) -> float | None:
    """The constant ratio of the losses, if there is one that is not 1."""
    use = np.isfinite(mine) & np.isfinite(theirs) & (theirs != 0) & (mine != 0)
    if use.sum() < 3 or not np.array_equal(mine == 0, theirs == 0):
        return None
    ratios = mine[use] / theirs[use]
    if np.ptp(theirs[use]) <= 1e-6 * abs(float(theirs[use][0])):
        return None  # two constants have a ratio anyway
    middle = float(np.median(ratios))
    if not np.isfinite(middle) or abs(middle - 1) < 1e-3 or middle == 0:
        return None
    return middle if float(np.max(np.abs(ratios / middle - 1))) < 1e-3 else None


def _slow(mine: Floats, theirs: Floats, step: int) -> bool:
    """Whether the difference grows little by little from nothing: at least some steps differ a little before."""
    with np.errstate(all="ignore"):
        apart = np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1e-12)
    before = apart[max(0, step - 20) : step]
    if step < 2 or not np.isfinite(apart[: step + 1]).all():
        return bool(step == 0 and apart[0] < 1e-3) if np.isfinite(apart[0]) else False
    # Rounding begins at the precision's own size; what begins larger is another computation.
    small = float(before[before > 0].min()) < 1e-5 if (before > 0).any() else False
    return bool(small and (before > 0).mean() > 0.5 and apart[step] < 20 * max(float(before.max()), 1e-12))


# --- comparisons -------------------------------------------------------------------------------------


def explained(comparison: Comparison, traces: Sequence[Trace]) -> Comparison:
    """The comparison with why it failed.

    Args:
        comparison: of these traces.
        traces: as they were compared, the reference first.
    """
    if comparison.verdict != "failed":
        return comparison
    sentences = [*comparison.explanation]
    difference = comparison.first_difference
    causes: tuple[Cause, ...] = ()
    if all(trace.known_throughout("batch_size") for trace in traces):
        rows = [Rows.of_trace(trace).limited() for trace in traces]
        looked_at = min(map(len, rows))
        whole = all(len(seen) == trace.num_rows for seen, trace in zip(rows, traces, strict=True))
        if not whole and difference is not None and difference["step"] >= looked_at:
            sentences.append(f"Causes are looked for in the first {looked_at:,} steps, in which the runs agree.")
        else:
            found = _of_all(comparison, traces, rows)
            causes = tuple(cause if whole else replace(cause, certain=False) for cause in found)
    for run in dict.fromkeys(cause.run for cause in causes):
        for cause in [one for one in causes if one.run == run][:MOST_SAID]:
            sentences += sentences_of(cause)
    if not causes and comparison.structure == "different" and not all(trace.has_ids for trace in traces):
        sentences.append("More could be told of runs that list their sample ids.")
    return replace(comparison, causes=causes, explanation=tuple(dict.fromkeys(sentences)))


def _of_all(comparison: Comparison, traces: Sequence[Trace], rows: Sequence[Rows]) -> Iterator[Cause]:
    names, plan, n = list(comparison.runs), comparison.plan, comparison.num_samples
    coverage = comparison.order == "coverage"
    departing = False
    if plan is not None and n is not None:
        for name, seen, trace in zip(names, rows, traces, strict=True):
            stop = stopped_after(plan, trace.validations)
            try:
                planned = Rows.of_plan(plan, n, num_rows=stop).limited(2 * max(map(len, rows)) + _MORE_ROWS)
            except UsageError:
                return
            found: Iterable[Cause] = _stopping(plan, trace, seen, planned, name)
            found = tuple(found) or diagnose(seen, planned, run=name, num_samples=n, plan=plan, reference_is_plan=True)
            kept = [cause for cause in found if not (coverage and cause.name in _ORDER_CAUSES)]
            departing |= bool(kept)
            yield from kept
    if departing:
        return
    if plan is not None and len({len(seen) for seen in rows}) > 1 and plan.early_stopping_patience is not None:
        yield from _stopped_apart(plan, names, traces)
        return
    for name, seen, trace in zip(names[1:], rows[1:], traces[1:], strict=True):
        numbers = None if coverage else _seen_numbers(comparison, trace, traces[0])
        found = diagnose(seen, rows[0], run=name, num_samples=n, plan=plan, numbers=numbers, other=names[0])
        yield from (cause for cause in found if not (coverage and cause.name in _ORDER_CAUSES))


def _stopping(plan: TrainingPlan, trace: Trace, seen: Rows, planned: Rows, run: str) -> Iterator[Cause]:
    """Whether the run did not stop where its own validations say, and is the plan's up to there."""
    shared = min(len(seen), len(planned))
    if plan.early_stopping_patience is None or len(seen) == len(planned) or not trace.validations or not shared:
        return
    mine, theirs = batch_keys(seen.head(shared)), batch_keys(planned.head(shared))
    if first_apart(mine, theirs) is not None:
        return
    stop = stopped_after(plan, trace.validations)
    patience, at = plan.early_stopping_patience, len(seen) - 1
    if stop is None:
        text = f"{run} ends after step {at:,}, and its validations give no reason to with a patience of {patience:,}"
    else:
        text = f"{run} ends after step {at:,}; with a patience of {patience:,} validations its own stop it after step "
        text += f"{stop - 1:,}"
    yield Cause("early-stopping", run, True, text, mend("early-stopping", {}), shared)


def _stopped_apart(plan: TrainingPlan, names: Sequence[str], traces: Sequence[Trace]) -> Iterator[Cause]:
    """Runs that each stopped where their validations say, and not after the same step."""
    ends = [trace.num_rows for trace in traces]
    for name, end in zip(names[1:], ends[1:], strict=True):
        if end != ends[0]:
            text = (
                f"the validations of {name} stop it after step {end - 1:,}, those of {names[0]} after {ends[0] - 1:,}"
            )
            yield Cause("early-stopping", name, False, text, mend("early-stopping", {}), min(end, ends[0]))


def _seen_numbers(comparison: Comparison, candidate: Trace, reference: Trace) -> Numbers:
    def both(name: str) -> tuple[Floats | None, Floats | None]:
        rows = min(candidate.num_rows, reference.num_rows, MOST_ROWS)
        found = [
            trace.between(name, 0, rows).values if trace.known_throughout(name) else None
            for trace in (candidate, reference)
        ]
        return found[0], found[1]

    def fact(name: str) -> tuple[str | None, str | None]:
        found = [trace.metadata.get(name) for trace in (candidate, reference)]
        mine, theirs = (one if isinstance(one, str) else None for one in found)
        return mine, theirs

    weights = comparison.check("weights").result
    precision = max((trace.facts.precision for trace in (candidate, reference)), key=list(TOLERANCES).index)
    return Numbers(
        loss=both("loss"),
        lr=both("lr"),
        weights={"pass": True, "fail": False}.get(weights),
        starts=fact("weights_fingerprint"),
        data=fact("data_fingerprint"),
        tolerance=TOLERANCES[precision],
    )


def sentences_of(cause: Cause) -> Iterator[str]:
    yield f"{'Why' if cause.certain else 'Likely'}: {cause.sentence}."
    if cause.by_chance:
        yield f"By chance: {cause.by_chance.replace(' only by chance', '')}."
    if cause.mend:
        settings = {"or else the plan" if where == "plan" else where: text for where, text in cause.mend.items()}
        yield "Fix: " + "; ".join(f"{where}: {text}" for where, text in settings.items()) + "."


assert set(_PRIOR) <= set(CAUSES)

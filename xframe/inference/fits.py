"""Plans that explain all rows of a run, put together from hypotheses on its passes, epochs, windows and limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from xframe.errors import PlanError
from xframe.inference import epochs as epochs_of
from xframe.inference.epochs import Epochs
from xframe.inference.observed import Flags, Ints, Observed, first, plan_of
from xframe.inference.passes import Passes
from xframe.plan.cadence import Cadence

LIMITS = ("epochs", "steps", "updates")
_DEFAULTS = {  # what a plan need not say
    "remainder": "keep",
    "on_exhaustion": "repeat",
    "accumulation_boundary": "epoch",
    "accumulation_remainder": "flush",
    "accumulation_at_end": "drop",
}


class Fit(NamedTuple):
    """One plan that fits, but for the order."""

    passes: Passes
    fields: dict[str, Any]
    remainders: tuple[str, ...]  # with which it is the same
    more: frozenset[str]  # fields of which every greater value fits too
    labelled: bool  # it gives the loop's labels

    @property
    def accumulation_steps(self) -> int:
        """Steps of a window; 1 where the updates are not known."""
        return int(self.fields.get("gradient_accumulation_steps", 1))

    @property
    def effort(self) -> float:
        """How much the plan has to say."""
        fields = self.fields
        effort = float(sum(fields.get(name, value) != value for name, value in _DEFAULTS.items()))
        effort += fields.get("replica_remainder") not in (None, usual_even(fields))
        if (s := fields.get("steps_per_epoch")) is not None:
            usual = "continue" if fields["remainder"] == "carry" else "restart"
            effort += 2 + (fields["epoch_iterator"] != usual) + s * 1e-6
        if (k := self.accumulation_steps) > 1:
            effort += 1.5 + k * 1e-6
        return effort + 0.1 * self.limit

    @property
    def limit(self) -> int:
        """The limit that ends the run, as its place among ``LIMITS``."""
        return next(i for i, name in enumerate(LIMITS) if name in self.fields)

    @property
    def without_limit(self) -> dict[str, Any]:
        """The fields but for what ends the run."""
        return {name: value for name, value in self.fields.items() if name not in LIMITS}


def usual_even(fields: Mapping[str, Any]) -> str:
    """What usually makes a pass even for replicas: where rows go round them a DistributedSampler, which fills it up."""
    return "pad" if fields.get("replica_split") == "interleaved" else "uneven"


def fits_of(run: Observed, passes: Passes, lengths: Iterable[int] | None = None) -> Iterator[Fit]:
    """The plans with these passes that give these updates, and end there; ``lengths`` as in ``epochs.hypotheses``."""
    n, b, total = run.rows_of_pass, run.batch_size, run.num_steps
    one_size = b == n and passes.remainder == "keep" and bool((run.rows.batch_size == n).all())
    whole_stream = passes.remainder == "carry" and total == 1 and b % n == 0
    tried: dict[Any, list[tuple[dict[str, Any], frozenset[str]]]] = {}
    for epochs in epochs_of.hypotheses(run, passes, lengths):
        s = epochs.steps_per_epoch
        remainders: tuple[str, ...] = (passes.remainder,)
        if n % b == 0:
            carry = ("carry",) if epochs.on_exhaustion in (None, "repeat") and not run.even else ()
            remainders = ("keep", "drop", "pad", "error", *carry)
        labelled = epochs_of.labelled(run, passes, epochs)
        base = {"batch_size": b, "remainder": passes.remainder, **epochs.fields, **run.shared}
        more = {"batch_size"} if one_size or (whole_stream and s is None) else set()
        if s is not None and s > total:
            more.add("steps_per_epoch")
        last = int(epochs.epoch[total - 1]) + 1
        for windows, any_longer in _windows(run, epochs):
            ends = windows.get("accumulation_boundary")
            cuts = epochs.pass_ends if ends == "pass" else epochs.epoch_ends
            key = (
                tuple(windows.values()),
                cuts.tobytes() if ends else b"",
                bool(epochs.epoch_ends[-1]),
                epochs.exhausts,
                epochs.on_exhaustion == "stop",
                s is None,
            )
            if key not in tried:
                tried[key] = list(_ends(run, passes, {**base, **windows}, last))
            longer = {"gradient_accumulation_steps"} if any_longer else set()
            for end, unreached in tried[key]:
                fields = {**base, **windows, **end}
                if end.get("epochs") is not None:
                    fields["epochs"] = last + end["epochs"]
                yield Fit(passes, fields, remainders, frozenset(more | longer | unreached), labelled)


def _ends(
    run: Observed, passes: Passes, fields: dict[str, Any], epochs: int
) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Limits, and what becomes of an open window, that end the run after its last step.

    A limit of epochs is given relative to ``epochs``, the number of those begun; with it, the limits of which every
    greater one would do too.
    """
    total, rows = run.num_steps, run.rows
    open_ends: list[dict[str, Any]] = [{}]
    if fields.get("gradient_accumulation_steps", 1) > 1:
        open_ends = [{"accumulation_at_end": "drop"}, {"accumulation_at_end": "flush"}]
    if not rows.complete:
        for at_end in open_ends:
            yield {"steps": total + 1, **at_end}, frozenset()
        return
    stream = fields["remainder"] == "carry" and "steps_per_epoch" not in fields
    updates = None if rows.updates is None else int(rows.updates[-1])
    for name, value in _limits(run, passes, fields, epochs, stream=stream):
        for at_end in open_ends:
            try:
                cadence = Cadence(plan_of({**fields, name: value, **at_end}), run.num_samples)
            except PlanError:
                continue
            if cadence.num_steps != total or (updates is not None and cadence.num_updates != updates):
                continue
            unreached = name == "epochs" and value > epochs and not stream
            limit = value - epochs if name == "epochs" else value
            yield {name: limit, **at_end}, frozenset({"epochs"} if unreached else ())


def _limits(
    run: Observed, passes: Passes, fields: dict[str, Any], epochs: int, *, stream: bool
) -> Iterator[tuple[str, int]]:
    """What may have ended a complete run."""
    samples, applied = int(run.bounds[-1]), run.applied
    if not stream:
        yield "epochs", epochs
    elif samples % run.num_samples == 0:
        yield "epochs", samples // run.num_samples
    if passes.short_end:
        return
    yield "steps", run.num_steps
    if applied is not None and applied[-1] == 1:
        yield "updates", int(applied.sum())
    if fields.get("on_exhaustion") == "stop":
        yield "epochs", epochs + 1


def _windows(run: Observed, epochs: Epochs) -> Iterator[tuple[dict[str, Any], bool]]:
    """The accumulation that gives the updates of all steps, but for the last of a run that ended there.

    As fields of a plan, none where the updates are not known, and whether any greater number of steps would do too.
    """
    if run.applied is None:
        yield {}, False
        return
    if (run.applied == 1).all():
        yield {"gradient_accumulation_steps": 1}, False
    for boundary, leftover, cuts in cuts_of(epochs):
        for k, misfit, longer in window_sizes(run, cuts, flush=leftover == "flush"):
            if misfit >= run.num_steps - run.rows.complete:
                fields = {"accumulation_boundary": boundary, "accumulation_remainder": leftover}
                yield {"gradient_accumulation_steps": k, **fields}, longer


def cuts_of(epochs: Epochs) -> Iterator[tuple[str, str, Flags]]:
    """What may cut windows, what becomes of them, and where; ``leak`` leaves the same updates as ``drop``."""
    for boundary, ends in (("epoch", epochs.epoch_ends), ("pass", epochs.pass_ends)):
        yield boundary, "flush", ends
        yield boundary, "drop", ends
        yield boundary, "carry", np.zeros_like(ends)


def window_sizes(run: Observed, cuts: Flags, *, flush: bool) -> list[tuple[int, int, bool]]:
    """Windows that may explain the updates with these cuts: their steps, first misfit, and whether longer would do."""
    key = (flush, cuts.tobytes())
    if key not in run.windows:
        run.windows[key] = list(_sizes(run, cuts, flush=flush))
    return run.windows[key]


def steps_since(cuts: Flags) -> Ints:
    """Steps since the last cut before each step, this one included."""
    count = np.arange(1, len(cuts) + 1)
    last = np.maximum.accumulate(np.where(cuts, count, 0))
    return np.asarray(count - np.concatenate([[0], last[:-1]]))


def _sizes(run: Observed, cuts: Flags, *, flush: bool) -> Iterator[tuple[int, int, bool]]:
    applied = run.applied
    assert applied is not None
    judged = len(applied) - run.rows.complete  # how a run ends is looked at with its limits
    since = steps_since(cuts)
    uncut = ~cuts if flush else np.ones_like(cuts)
    # The first update that no cut explains fills a window, and so shows its size.
    filled = np.flatnonzero((applied[:judged] == 1) & uncut[:judged])
    until = int(filled[0]) if len(filled) else judged
    longest = int(since[:until][uncut[:until]].max(initial=1))
    shown = [int(since[until])] if len(filled) else []
    for k in dict.fromkeys([*shown, longest + 1, longest + 2]):
        if k < 2:
            continue
        expected = since % k == 0
        if flush:
            expected = expected | cuts
        misfit = first(applied[:judged] != expected[:judged])
        yield k, misfit if misfit < judged else len(applied), k == longest + 2


def plainest(fits: list[Fit]) -> tuple[list[Fit], bool]:
    """Without the plans that have one setting more than another and nothing to show for it.

    Returns them, and whether epochs of another length than a pass were among those left out.
    """
    # Accumulation of which each window is cut after its first step.
    at_once = {id(fit.passes) for fit in fits if fit.fields.get("gradient_accumulation_steps") == 1}
    fits = [fit for fit in fits if id(fit.passes) not in at_once or fit.fields.get("gradient_accumulation_steps") == 1]
    # Longer windows, all of which are cut.
    keys = [_windows_key(fit, epochs=True) for fit in fits]
    smallest: dict[Any, int] = {}
    for key, fit in zip(keys, fits, strict=True):
        smallest[key] = min(fit.accumulation_steps, smallest.get(key, fit.accumulation_steps))
    longer = {key for key, fit in zip(keys, fits, strict=True) if fit.accumulation_steps > smallest[key]}
    kept = [
        fit._replace(more=fit.more | {"gradient_accumulation_steps"}) if key in longer else fit
        for key, fit in zip(keys, fits, strict=True)
        if fit.accumulation_steps == smallest[key]
    ]
    # Steps per epoch that nothing depends on.
    without = {_windows_key(fit) for fit in kept if "steps_per_epoch" not in fit.fields}
    plain = [fit for fit in kept if "steps_per_epoch" not in fit.fields or _windows_key(fit) not in without]
    return plain, len(plain) < len(kept)


def _windows_key(fit: Fit, *, epochs: bool = False) -> tuple[Any, ...]:
    """What two plans with the same passes and windows share; with the same epochs, but windows of any length."""
    names = ("accumulation_boundary", "accumulation_remainder", "accumulation_at_end")
    others = ("steps_per_epoch", "epoch_iterator", "on_exhaustion") if epochs else ("gradient_accumulation_steps",)
    return id(fit.passes), *(fit.fields.get(name) for name in (*names, *others))

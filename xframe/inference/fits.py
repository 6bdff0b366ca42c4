"""Plans that explain all rows of a run, put together from hypotheses on its passes, epochs, windows and limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from xframe.errors import PlanError
from xframe.inference import epochs as epochs_of
from xframe.inference import windows as windows_of
from xframe.inference.clues import Clues, plan_of
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
    """One plan that fits, but for the order.

    Attributes:
        passes: its passes.
        fields: of the plan.
        remainders: with which it is the same.
        more: fields of which every greater value fits too.
        labelled: it gives the loop's labels.
    """

    passes: Passes
    fields: dict[str, Any]
    remainders: tuple[str, ...]
    more: frozenset[str]
    labelled: bool

    @property
    def accumulation_steps(self) -> int:
        """Steps of a window; 1 where the updates are not known."""
        return int(self.fields.get("gradient_accumulation_steps", 1))

    @property
    def effort(self) -> float:
        """How much the plan has to say."""
        fields = self.fields
        effort = float(sum(fields.get(name, value) != value for name, value in _DEFAULTS.items()))
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


def fits_of(clues: Clues, passes: Passes, lengths: Iterable[int] | None = None) -> Iterator[Fit]:
    """The plans with these passes that give these updates, and end there.

    Args:
        lengths: the numbers of steps that are tried for an epoch; default: as ``epochs.hypotheses`` has it.
    """
    n, b, total = clues.num_samples, clues.batch_size, clues.num_steps
    one_size = b == n and passes.remainder == "keep" and bool((clues.rows.batch_size == n).all())
    whole_stream = passes.remainder == "carry" and total == 1 and b % n == 0
    tried: dict[Any, list[tuple[dict[str, Any], frozenset[str]]]] = {}
    for epochs in epochs_of.hypotheses(clues, passes, lengths):
        s = epochs.steps_per_epoch
        remainders: tuple[str, ...] = (passes.remainder,)
        if n % b == 0:
            carry = epochs.on_exhaustion in (None, "repeat")
            remainders = ("keep", "drop", "pad", "error", *(("carry",) if carry else ()))
        labelled = epochs_of.labelled(clues, passes, epochs)
        base = {"batch_size": b, "remainder": passes.remainder, **epochs.fields}
        more = {"batch_size"} if one_size or (whole_stream and s is None) else set()
        if s is not None and s > total:
            more.add("steps_per_epoch")
        last = int(epochs.epoch[total - 1]) + 1
        for windows in windows_of.hypotheses(clues, epochs):
            ends = windows.fields.get("accumulation_boundary")
            cuts = epochs.pass_ends if ends == "pass" else epochs.epoch_ends
            key = (
                tuple(windows.fields.values()),
                cuts.tobytes() if ends else b"",
                bool(epochs.epoch_ends[-1]),
                epochs.exhausts,
                epochs.on_exhaustion == "stop",
                s is None,
            )
            if key not in tried:
                tried[key] = list(_ends(clues, passes, {**base, **windows.fields}, last))
            longer = {"gradient_accumulation_steps"} if windows.longer else set()
            for end, unreached in tried[key]:
                fields = {**base, **windows.fields, **end}
                if end.get("epochs") is not None:
                    fields["epochs"] = last + end["epochs"]
                yield Fit(passes, fields, remainders, frozenset(more | longer | unreached), labelled)


def _ends(
    clues: Clues, passes: Passes, fields: dict[str, Any], epochs: int
) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Limits, and what becomes of an open window, that end the run after its last step.

    A limit of epochs is given relative to ``epochs``, the number of those begun; with it, the limits of which every
    greater one would do too.
    """
    total, rows = clues.num_steps, clues.rows
    open_ends: list[dict[str, Any]] = [{}]
    if fields.get("gradient_accumulation_steps", 1) > 1:
        open_ends = [{"accumulation_at_end": "drop"}, {"accumulation_at_end": "flush"}]
    if not rows.complete:
        for at_end in open_ends:
            yield {"steps": total + 1, **at_end}, frozenset()
        return
    stream = fields["remainder"] == "carry" and "steps_per_epoch" not in fields
    updates = None if rows.updates is None else int(rows.updates[-1])
    for name, value in _limits(clues, passes, fields, epochs, stream=stream):
        for at_end in open_ends:
            try:
                cadence = Cadence(plan_of({**fields, name: value, **at_end}), clues.num_samples)
            except PlanError:
                continue
            if cadence.num_steps != total or (updates is not None and cadence.num_updates != updates):
                continue
            unreached = name == "epochs" and value > epochs and not stream
            limit = value - epochs if name == "epochs" else value
            yield {name: limit, **at_end}, frozenset({"epochs"} if unreached else ())


def _limits(
    clues: Clues, passes: Passes, fields: dict[str, Any], epochs: int, *, stream: bool
) -> Iterator[tuple[str, int]]:
    """What may have ended a complete run."""
    samples, applied = int(clues.bounds[-1]), clues.applied
    if not stream:
        yield "epochs", epochs
    elif samples % clues.num_samples == 0:
        yield "epochs", samples // clues.num_samples
    if passes.short_end:
        return
    yield "steps", clues.num_steps
    if applied is not None and applied[-1] == 1:
        yield "updates", int(applied.sum())
    if fields.get("on_exhaustion") == "stop":
        yield "epochs", epochs + 1


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

"""The result: what all plans that explain a run have in common, where they differ, and the simplest of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xframe.inference import orders
from xframe.inference.fits import LIMITS, Fit, plainest
from xframe.inference.observed import UNLIKELY, Observed, plan_of
from xframe.inference.orders import Kind
from xframe.inference.passes import Passes, spans_of
from xframe.plan.training_plan import TrainingPlan

MORE = "more"  # after values: and every greater one
NO_END = "The rows are no complete run, so its limits are not known."
_WEIGHT = 3.0  # of one field that is not as by default, beside the logarithm of a chance
_NAMES = (
    *("batch_size", "remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion"),
    *("gradient_accumulation_steps", "accumulation_boundary", "accumulation_remainder", "accumulation_at_end"),
    *LIMITS,
)
_IN_TURN = (  # values, as they are listed
    *("keep", "drop", "pad", "carry", "error", "restart", "continue", "repeat", "short_epoch", "stop"),
    *("epoch", "pass", "flush", "leak", "actual", "window", "sum", "samples"),
)


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
    num_steps: int = 0
    num_updates: int | None = None
    order: str = "unknown"
    seed: int | None = None
    certain: dict[str, Any] = field(default_factory=dict)
    undecided: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    first_misfit: int | None = None
    odd: str = ""
    notes: tuple[str, ...] = ()
    ended: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; without limits where the rows end before the run did: any not yet reached would do."""
        values = {name: value for name, value in vars(self).items() if name != "ended"}
        if self.plan is not None:
            hidden = () if self.ended else LIMITS
            values["plan"] = {name: value for name, value in self.plan.to_dict().items() if name not in hidden}
        return values


def state(run: Observed, fits: list[Fit]) -> Inference:
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
    undecided = {name: choices for name, choices in values.items() if len(choices) > 1}
    certain = {
        name: choices[0]
        for name, choices in values.items()
        if len(choices) == 1 and not (name in LIMITS and choices[0] is None)
    }
    if not rows.complete:
        for name in (*LIMITS, "accumulation_at_end"):
            certain.pop(name, None)
            undecided.pop(name, None)
        notes.append(NO_END)
    if rows.updates is None:
        undecided["gradient_accumulation_steps"] = (1, MORE)
        certain.pop("gradient_accumulation_steps", None)
        notes.append("The updates are not known, and so neither is accumulation.")
    if rows.ids is None:
        notes.append("The ids are not known: the sizes show some of the passes, but not their order.")
    elif (left := _order_left(run, simplest.passes, likely)) is not None:
        notes.append(left)
    elif seed is None and order in ("same each pass", "new each pass"):
        notes.append("The order is not one of xframe's that were tried; the plan's seed stands for any.")
    plan = plan_of({**simplest.fields, **_order_fields(simplest.passes)})
    return Inference(
        plan, run.num_samples, order=order, seed=seed, certain=certain, undecided=undecided, notes=tuple(notes)
    )


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
    if len(names) == 1 and len(reshuffles) == 1:
        return ("new each pass" if reshuffles[0] else "same each pass"), seed, values
    return "unknown", seed, values

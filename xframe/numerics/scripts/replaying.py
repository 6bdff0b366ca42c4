"""One script's captured inputs through the other's loss and rule, as NumPy has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import isclose
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.errors import XframeError
from xframe.numerics.naming.clipping import clip_of
from xframe.numerics.naming.fitting import share
from xframe.numerics.naming.formulas import Undetermined, outcomes
from xframe.numerics.naming.losses import named_loss
from xframe.numerics.naming.observed import updates_of
from xframe.numerics.naming.trials import of_loss
from xframe.numerics.naming.updates import found_in
from xframe.numerics.naming.ways import Way
from xframe.state.record import Record
from xframe.state.state import State
from xframe.tasks.losses import Loss
from xframe.tasks.optimizers import SGD, Rule

Arrays = Mapping[str, NDArray[Any]]


def way(record: Record, stated: Rule | None, *, search: bool = True) -> Way | None:
    """What reproduces a script's update: what it states, or else what it is found to be; None where nothing does.

    Args:
        record: of the script.
        stated: its rule.
        search: whether anything else than that is looked for, which takes seconds.
    """
    updates = updates_of(record)
    if not search:
        own = None if stated is None or not updates else Way.of(stated)
        return own if own is not None and share(own, updates) <= 1 else None
    found = found_in(updates, stated)
    return found[0].way if found and found[0].share <= 1 else None


def updated(way: Way, record: Record) -> State | None:
    """The state that a way leaves from what went into a script's update; None where it needs what was not captured."""
    updates = updates_of(record)
    if not updates or record.before is None:
        return None
    try:
        (outcome,) = outcomes(way, updates[:1])
    except Undetermined:
        return None
    parameters, slots = dict[str, Any](), dict[str, dict[str, Any]]()
    for block, after, held in zip(updates[0].blocks, outcome.after, outcome.slots, strict=True):
        name = block.names[0]
        parameters[name] = after.astype(record.before.parameters[name].dtype)
        for slot, values in held.items():
            slots.setdefault(slot, {})[name] = values.astype(parameters[name].dtype)
    return State(parameters, slots=slots, precision=record.precision)


def clipped(record: Record, stated: Rule | None, gradient: Arrays) -> dict[str, NDArray[Any]] | None:
    """What is left of the other's gradients by this script's clipping; None where nothing reproduces that."""
    clip = clip_of(record, stated)
    if clip is None:
        return None
    made = clip({name: np.asarray(values, np.float64) for name, values in gradient.items()})
    return {name: values.astype(gradient[name].dtype) for name, values in made.items()}


def loss(record: Record, stated: Loss | None, other: Record) -> float | None:
    """The loss of the other's outputs and targets by what reproduces this script's; None where nothing does."""
    did = next((one for one in named_loss(record, stated) if one.proven and isinstance(one.spec, Loss)), None)
    outputs, targets = other.stages.get("forward", {}).get("outputs"), other.stages.get("batch", {}).get("targets")
    if did is None or outputs is None or targets is None:
        return None
    try:
        value, _ = of_loss(did.spec)(np.asarray(outputs, float), np.asarray(targets))
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError):
        return None
    return float(value)


def beside(record: Record, stated: Loss | None) -> float | None:
    """What a script's loss has beside the value of its loss function; None where that is not known."""
    held = record.stages.get("loss", {})
    if "loss" not in held or np.size(held["loss"]) != 1:
        return None
    named = [np.asarray(one, float) for name, one in held.items() if re.fullmatch(r"terms/\d+/value", name)]
    if any(one.size != 1 for one in named):
        return None  # of each row one: the script itself makes one number of them
    terms = [float(one.reshape(-1)[0]) for one in named]
    outputs = record.stages.get("forward", {}).get("outputs")
    targets = record.stages.get("batch", {}).get("targets")
    if not terms and stated is not None and outputs is not None and targets is not None:
        try:
            terms = [of_loss(stated)(np.asarray(outputs, float), np.asarray(targets))[0]]
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError):
            return None
    value = float(np.asarray(held["loss"]).reshape(-1)[0])
    if len(terms) == 1 and np.ndim(outputs) and isclose(value * len(outputs), terms[0], rel_tol=1e-5):  # type: ignore[arg-type]
        return 0.0  # a sum that is divided by its rows
    return value - sum(terms) if terms else None


def in_dialect(record: Record, own: Rule | None, other: Rule | None) -> tuple[Record, Rule | None]:
    """A script's record, and its rule, with a velocity as the other's rule has it, with the rate in it or without.

    The two are one rule as long as the rate is the one that the script began with, and only then this is done.
    """
    words = [getattr(rule, "velocity", None) if getattr(rule, "momentum", 0) else None for rule in (own, other)]
    if own is None or type(own) is not type(other) or None in words or words[0] == words[1] or _rate_moved(record, own):
        return record, own
    rate = own.rate(0) * (-1.0 if isinstance(own, SGD) else 1.0)
    factor = rate if words[1] == "step" else 1 / rate if rate else 0.0
    try:
        rule = replace(own, velocity=words[1])  # type: ignore[call-arg]
    except XframeError:  # dampening is of one of the two alone
        return record, own
    return replace(record, before=_scaled(record.before, factor), after=_scaled(record.after, factor)), rule


def _rate_moved(record: Record, rule: Rule) -> bool:
    stated = record.facts.get("optimizer")
    begun = stated.get("learning_rate") if isinstance(stated, Mapping) else None
    return isinstance(begun, (int, float)) and not isclose(begun, rule.rate(0), rel_tol=1e-6)


def _scaled(state: State | None, factor: float) -> State | None:
    if state is None or "velocity" not in state.slots:
        return state
    held = {name: values * values.dtype.type(factor) for name, values in state.slots["velocity"].items()}
    return replace(state, slots={**state.slots, "velocity": held})

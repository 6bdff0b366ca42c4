"""Records of one update, made by NumPy's own optimizer or by a formula written out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from xframe_numpy.optimizers import lower, read_numbers, read_slots, write_numbers

from xframe.state.record import Record
from xframe.state.state import State

SHAPES = {"dense_0/kernel": (6, 8), "dense_0/bias": (8,), "dense_1/kernel": (8, 3), "dense_1/bias": (3,)}


def drawn(seed=0, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}


def slopes(seed, shapes=SHAPES, zeros=0.1):
    """Gradients over several orders of size, some elements without any."""
    rng = np.random.default_rng(seed)
    sizes = {name: 10.0 ** rng.uniform(-5, 0, shape) for name, shape in shapes.items()}
    return {name: rng.normal(0, 1, one.shape) * one * (rng.random(one.shape) > zeros) for name, one in sizes.items()}


def state(optimizer, weights, rule, precision="float64"):
    numbers = {**read_numbers(optimizer), "rate": optimizer.learning_rate}
    weights = {name: one.copy() for name, one in weights.items()}
    return State(weights, slots=read_slots(optimizer), numbers=numbers, rule=rule.to_dict(), precision=precision)


def begun(rule, updates=3, seed=0, precision="float64", shapes=SHAPES):
    """An optimizer and its weights after so many updates."""
    weights = {name: one.astype(precision) for name, one in drawn(seed, shapes).items()}
    optimizer = lower(rule, weights)
    for t in range(updates):
        optimizer.learning_rate = rule.rate(t)
        optimizer.apply(weights, {name: one.astype(precision) for name, one in slopes(100 + t, shapes).items()})
    return optimizer, weights


def made(rule, did=None, updates=3, seed=0, precision="float64", shapes=SHAPES, change=None):
    """The record of a rule's next update, made by ``did`` in its place, which goes on from its state.

    ``change(weights, gradients, slots, t, rate)`` is an update written out, in place of a rule.
    """
    optimizer, weights = begun(rule, updates, seed, precision, shapes)
    before = state(optimizer, weights, rule, precision)
    gradients = {name: one.astype(precision) for name, one in slopes(7 + seed, shapes).items()}
    did = rule if did is None else did
    other = lower(did, weights)
    write_numbers(other, {**dict.fromkeys(other.numbers, 1.0), **read_numbers(optimizer)})
    for name, held in other.slots.items():
        held |= {slot: optimizer.slots[name][slot].copy() for slot in held if slot in optimizer.slots[name]}
    other.learning_rate = did.rate(updates)
    if change is None:
        other.update(weights, gradients)
    else:
        with np.errstate(all="ignore"):
            change(weights, gradients, other.slots, updates + 1, other.learning_rate)
        other.updates.applied += 1
    after = replace(state(other, weights, rule, precision), rule=rule.to_dict())
    return Record(updates, before, {"gradient": gradients, "clipping": gradients, "update": after.parameters}, after)

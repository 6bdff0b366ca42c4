"""Plans with one field changed, each with the causes that the change is."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np

from sweeps.attacks.rows import Attack, made, rows_of, seen_alike
from xframe.diagnosis.reference import changed
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

SEEDS = range(64)  # of those that a plan with another seed may have, all are tried where it matters
REMAINDERS = {
    "drop": "short-batch-dropped",
    "keep": "short-batch-kept",
    "pad": "short-batch-padded",
    "carry": "batches-straddle-passes",
}
LEFTOVERS = {kind: f"leftover-{kind}{'p' if kind == 'drop' else ''}ed" for kind in ("flush", "drop", "leak")}
LEFTOVERS["carry"] = "leftover-carried"
Changes = Iterator[tuple[dict[str, Any], set[str]]]


def one_field(plan: TrainingPlan, n: int, rng: Random) -> Changes:
    """Every field changed in many ways, each with the causes that it is."""
    yield from _batches(plan, n, rng)
    yield from _windows(plan)
    yield from _limits(plan, rng)
    yield from _orders(plan, rng)
    yield from _epochs(plan, n)


def _batches(plan: TrainingPlan, n: int, rng: Random) -> Changes:
    b = plan.batch_size
    for other in {b - 1, b + 1, 2 * b, 4 * b, b // 2, n, n - 1, n + 1, *range(1, min(n, 12) + 2), rng.randint(1, n)}:
        if other >= 1 and other != b:
            names = {"batch-size"} | ({"batch-size-per-replica"} if max(b, other) % min(b, other) == 0 else set())
            yield {"batch_size": other}, names
    for remainder, name in REMAINDERS.items():
        if remainder != plan.remainder:
            yield {"remainder": remainder}, {name}


def _windows(plan: TrainingPlan) -> Changes:
    k = plan.gradient_accumulation_steps
    for other in {1, 2, 3, k - 1, k + 1, 2 * k, k // 2, *range(1, 9)}:
        if other >= 1 and other != k:
            names = {"accumulation-steps"} | ({"updates-counted-as-steps"} if other == 1 else set())
            ways: list[dict[str, Any]] = [{}]
            if k == 1:
                ways = [
                    {"accumulation_remainder": kind, "accumulation_at_end": end}
                    for kind in ("flush", "carry", "drop")
                    for end in ("flush", "drop")
                ]
            for way in ways:
                yield {"gradient_accumulation_steps": other, **way}, names
    if k > 1:
        for leftover, name in LEFTOVERS.items():
            if leftover != plan.accumulation_remainder:
                yield {"accumulation_remainder": leftover}, {name}
        yield (
            {"accumulation_boundary": "pass" if plan.accumulation_boundary == "epoch" else "epoch"},
            {"window-cut-elsewhere"},
        )
        yield (
            {"accumulation_at_end": "drop" if plan.accumulation_at_end == "flush" else "flush"},
            {"window-at-training-end"},
        )


def _limits(plan: TrainingPlan, rng: Random) -> Changes:
    limits = {name: value for name, value in plan.limits._asdict().items() if value is not None}
    for name, value in limits.items():
        for other in {value - 1, value + 1, *(range(1, 9) if name == "epochs" else ()), rng.randint(1, 2 * value)}:
            if other >= 1 and other != value:
                yield {name: other}, {"limit-confused"}
        if len(limits) > 1:
            yield {name: None}, {"limit-confused"}
        for unit in ("epochs", "steps", "updates"):
            if unit not in limits:
                yield {name: None, unit: value}, {"limit-confused"}
    for unit in ("epochs", "steps", "updates"):
        if unit not in limits:
            yield {unit: rng.randint(1, 6)}, {"limit-confused"}


def _orders(plan: TrainingPlan, rng: Random) -> Changes:
    if plan.order == "shuffle":
        yield {"order": "sequential"}, {"not-shuffled"}
        yield {"reshuffle": not plan.reshuffle}, {"same-order-every-pass" if plan.reshuffle else "reshuffled"}
        for seed in {*SEEDS, rng.randrange(2000)} - {plan.seed}:
            yield {"seed": seed}, {"other-seed"}
    else:
        for seed in {*SEEDS, rng.randrange(2000)}:
            for reshuffle in (True, False):
                yield {"order": "shuffle", "seed": seed, "reshuffle": reshuffle}, {"reshuffled"}


def _epochs(plan: TrainingPlan, n: int) -> Changes:
    b, s = plan.batch_size, plan.steps_per_epoch
    lengths = {1, 2, 3, 4, 5, *((s - 1, s + 1, 2 * s, s // 2) if s else (n // b, n // b + 1, -(-n // b) - 1))}
    for other in lengths:
        if other >= 1 and other != s:
            ways: list[dict[str, Any]] = [{}] if s else [{"epoch_iterator": kind} for kind in ("restart", "continue")]
            for way in ways:
                # An epoch that restarts before the short batch drops it, by whatever setting.
                drops = other == n // b and (way or plan.to_dict()).get("epoch_iterator") == "restart"
                yield (
                    {"steps_per_epoch": other, **way},
                    {"steps-per-epoch"} | ({REMAINDERS["drop"]} if drops else set()),
                )
    if s is not None:
        yield {"steps_per_epoch": None}, {"steps-per-epoch"}
        yield {"epoch_iterator": "restart" if plan.epoch_iterator == "continue" else "continue"}, {"epoch-iterator"}
        for kind in ("repeat", "short_epoch", "stop"):
            if plan.on_exhaustion is not None and kind != plan.on_exhaustion:
                yield {"on_exhaustion": kind}, {"short-epoch"}


def others(attack: Attack, rng: Random) -> set[frozenset[str]]:
    """The causes whose plan gives the candidate's rows just as well, a set for each such plan."""
    causes: set[frozenset[str]] = set()
    for change, names in one_field(attack.plan, attack.num_samples, rng):
        other = changed(attack.plan, **change)
        if other is None or other == attack.plan or names in causes or (attack.orders is not None and "seed" in change):
            continue
        if (bare := rows_of(other, attack.num_samples, ids=False)) is None or not _sized_alike(attack.candidate, bare):
            continue
        rows = made(other, attack.num_samples, attack.orders)
        if rows is not None and seen_alike(attack.candidate, rows):
            causes.add(frozenset(names))
    return causes


def _sized_alike(candidate: Rows, rows: Rows) -> bool:
    """A look at the sizes, before all ids are written out."""
    return np.array_equal(candidate.batch_size, rows.batch_size[: len(candidate)])

"""Random plans over the whole vocabulary, for honest runs in which no difference may be reported.

Small: 6 to 60 steps over at most 40 samples of the ledger, whose weights can spell all their updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from xframe.errors import PlanError
from xframe.plan.fields import FIELDS
from xframe.plan.training_plan import TrainingPlan
from xframe.tasks.builtin.ledger import most_updates

MOST_SAMPLES, STEPS = 40, range(6, 61)


class Draw(NamedTuple):
    """A plan and a number of samples that fit each other."""

    plan: TrainingPlan
    num_samples: int


def _fields(draw: Random) -> dict[str, Any]:
    """Fields that mostly make sense together."""
    fields: dict[str, Any] = {
        "batch_size": draw.choice((1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 50)),
        "remainder": draw.choice(FIELDS["remainder"].words),
        "order": draw.choice(FIELDS["order"].words),
        "seed": draw.choice((0, 1, 2, draw.getrandbits(62))),
        "reshuffle": draw.random() < 0.7,
    }
    limits = {"epochs": draw.randint(1, 6), "steps": draw.randint(6, 60), "updates": draw.randint(1, 30)}
    for name in draw.sample(sorted(limits), draw.choice((1, 1, 2, 3))):
        fields[name] = limits[name]
    if draw.random() < 0.5:
        fields["steps_per_epoch"] = draw.randint(1, 15)
        fields["epoch_iterator"] = draw.choice(FIELDS["epoch_iterator"].words)
        if fields["remainder"] != "carry":
            fields["on_exhaustion"] = draw.choice(FIELDS["on_exhaustion"].words)
    if draw.random() < 0.5:
        fields["gradient_accumulation_steps"] = draw.randint(2, 5)
        for name in ("accumulation_boundary", "accumulation_remainder", "accumulation_at_end", "loss_normalization"):
            fields[name] = draw.choice(FIELDS[name].words)
    return fields


def draws(seed: int) -> Iterator[Draw]:
    """Endlessly many; the same for the same seed."""
    draw = Random(f"clean runs {seed}")  # noqa: S311  no secret
    while True:
        fields, num_samples = _fields(draw), draw.randint(1, MOST_SAMPLES)
        if fields["remainder"] == "error":
            num_samples = fields["batch_size"] * draw.randint(1, max(1, MOST_SAMPLES // fields["batch_size"]))
        try:
            plan = TrainingPlan.from_mapping(fields)
            counts = plan.counts(num_samples)
        except PlanError:
            continue
        spelled = counts.num_updates is not None and counts.num_updates <= most_updates(plan, "float64", num_samples)
        if counts.num_steps in STEPS and spelled:
            yield Draw(plan, num_samples)

"""Random plans combined with random features, through the frameworks' loops: each run is compared with NumPy's.

Schedules, momentum, clipping, validation, early stopping and metrics on the digits perceptron, in float64. Early
stopping ends a run by its own validations, so beside the comparison each trace is checked against
``xframe.plan.validation`` and the schedule's closed form. A plan that an adapter refuses is counted and left out there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

import xframe
from sweeps import Result
from sweeps.simulator import random_case
from xframe.errors import PlanError
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import due, stopped_after
from xframe.running import registry
from xframe.running.adapter import Adapter
from xframe.running.runtime import Runtime
from xframe.tasks import schedules as schedule
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task
from xframe.testing import observe
from xframe.testing.contract.features import NUM_SAMPLES, NUM_VALIDATION, small, ticks
from xframe.trace.trace import Trace

LOOPS = (("torch", "eager"), ("tensorflow", "function"), ("tensorflow", "block"))
MOST_STEPS = 80
UNITS = ("epochs", "steps", "updates")


class Case(NamedTuple):
    """A plan that fits its data, and the task that it trains."""

    plan: TrainingPlan
    task: Task

    def __str__(self) -> str:
        about = f"{self.task.num_samples} + {self.task.num_validation} samples, {self.task.metrics}"
        return f"{about}, {self.task.optimizer}, {self.plan.to_dict()}"


@dataclass
class Features(Result):
    """``refused``: runs that an adapter cannot do natively and exactly, by its own word."""

    refused: int = 0

    @property
    def text(self) -> str:
        return f"{self.cases:,} random plans with random features ({self.refused:,} runs of them refused)"


def draw(cases: int, seed: int) -> Iterator[Case]:
    """That many random plans with random features, edges among them."""
    rng = random.Random(seed)
    drawn = 0
    while drawn < cases:
        fields, num_samples = random_case(rng)
        num_samples = (num_samples - 1) % NUM_SAMPLES + 1
        fields |= _features(rng, num_samples)
        if "early_stopping_patience" in fields:
            fields.pop("accumulation_at_end", None)
        try:
            plan = TrainingPlan.from_mapping(fields)
            steps = plan.counts(num_samples).num_steps
        except PlanError:
            continue
        if 1 <= steps <= MOST_STEPS:
            drawn += 1
            yield Case(plan, _task(rng, plan, num_samples, steps))


def _features(rng: random.Random, num_samples: int) -> dict[str, Any]:
    """The plan's fields that are about schedule, validation and early stopping."""
    fields: dict[str, Any] = {"schedule_clock": rng.choice(UNITS)} if rng.random() < 0.7 else {}
    if rng.random() < 0.8:
        fields |= {
            "validation_every": rng.choice([1, 1, 1, 2, 3, 5, 1000]),
            "validation_unit": rng.choice(UNITS),
            "validation_batch_size": rng.choice([1, 7, 16, NUM_VALIDATION, 100, max(1, num_samples // 2)]),
        }
        if rng.random() < 0.6:
            monitor = rng.choice(["loss", "accuracy"])
            fields |= {
                "early_stopping_patience": rng.choice([1, 1, 2, 2, 3, 10**6]),
                "early_stopping_monitor": monitor,
                "restore_best": rng.random() < 0.5,
            }
            others = {
                "early_stopping_min_delta": rng.choice([0.0, 1e-3, 0.02, 0.5]),
                "early_stopping_mode": rng.choice(["min", "max"]),
                "early_stopping_baseline": rng.choice([0.0, 0.3, 2.0, 100.0]),
            }
            fields |= {name: value for name, value in others.items() if rng.random() < 0.4}
    return fields


def _task(rng: random.Random, plan: TrainingPlan, num_samples: int, steps: int) -> Task:
    """The digits perceptron on that many of its images, with a random optimizer, metrics and validation data."""
    # A window's gradients that are summed, and not averaged, must not lead to where rounding grows without bound.
    summed = plan.loss_normalization in ("sum", "window")
    top = rng.choice([0.01, 0.05, 0.1]) / (plan.gradient_accumulation_steps if summed else 1)
    kinds = (
        top,
        schedule.Constant(top),
        schedule.Step(top, rng.choice([0.5, 0.9]), every=rng.randint(1, 4)),
        schedule.Exponential(top, 0.9, every=rng.randint(1, 3)),
        schedule.Cosine(top, ticks=rng.randint(1, steps + 2), final=rng.choice([0.0, top / 10])),
        schedule.Piecewise((1, 2, 5), (top, top / 2, top / 4, top / 3)),
        schedule.Warmup(rng.randint(1, 6), schedule.Cosine(top, ticks=steps), start=rng.choice([0.0, top / 5])),
        schedule.OneCycle(top, ticks=rng.randint(5, steps + 5)),
    )
    clips: tuple[dict[str, float], ...] = ({}, {"clip_value": 0.01}, {"clip_norm": 0.2}, {"clip_global_norm": 0.3})
    decays: tuple[dict[str, float], ...] = ({}, {"momentum": 0.8}, {"momentum": 0.8}, {"weight_decay": 0.01})
    rule = SGD(rng.choice(kinds), **rng.choice(decays), **rng.choice(clips))
    held_out = rng.choice([1, 2, NUM_VALIDATION, NUM_VALIDATION])
    stops_by_accuracy = plan.early_stopping_monitor == "accuracy"
    return small(
        num_samples=num_samples,
        load=lambda: _images(0, num_samples),
        validation=lambda: _images(NUM_SAMPLES, held_out),
        num_validation=held_out,
        metrics=("accuracy",) if stops_by_accuracy or rng.random() < 0.5 else (),
        optimizer=rule,
    )


def _images(start: int, size: int) -> tuple[Any, Any]:
    features, targets = find_task("digits-mlp").data("float64")
    return features[start : start + size], targets[start : start + size]


def check_trace(trace: Trace, case: Case) -> list[str]:
    """What differs between a recorded run, and what plan, schedule and the run's own validations make of it."""
    plan, task = case
    wrong = [] if trace.complete else ["the trace is not complete"]
    stop = stopped_after(plan, trace.validations)
    counts = plan.counts(task.num_samples)
    if stop is None and trace.counts() != counts:
        wrong.append(f"counts {trace.counts()}, the plan's {counts}")
    if stop is not None and stop != trace.num_rows:
        wrong.append(f"{trace.num_rows} steps, its validations stop it after {stop}")
    expected = [after for after in due(plan, task.num_samples).tolist() if stop is None or after <= stop]
    if [validation.after for validation in trace.validations] != expected:
        wrong.append(f"validated after {[validation.after for validation in trace.validations]}, expected {expected}")
    size = plan.validation_batch_size
    for validation in trace.validations:
        seen = validation.num_samples, validation.num_batches
        if size is not None and seen != (task.num_validation, -(-task.num_validation // size)):
            wrong.append(f"the validation after {validation.after} had {seen} samples and batches")
    rates = np.array([task.optimizer.rate(tick) for tick in ticks(plan, task.num_samples)][: trace.num_rows])
    differing = np.flatnonzero(trace.column("lr") != rates)
    if differing.size:
        wrong.append(
            f"step {differing[0]}: learning rate {trace.column('lr')[differing[0]]}, not {rates[differing[0]]}"
        )
    return wrong


def check_pair(reference: Trace, candidate: Trace, case: Case) -> list[str]:
    """What differs between NumPy's run and another one: in the verdict, and in what both computed."""
    comparison = xframe.compare(reference, candidate, rate=case.task.optimizer.rate)
    wrong = [] if comparison else [f"{comparison.verdict}: {comparison.first_difference}; {comparison.explanation}"]
    for column in ("loss", *case.task.metrics):
        rows = min(reference.num_rows, candidate.num_rows)
        expected, values = (trace.column(column)[:rows] for trace in (reference, candidate))
        if not np.allclose(values, expected, rtol=1e-9, atol=1e-10):
            wrong.append(f"{column} differs from step {int(np.argmin(np.isclose(values, expected, rtol=1e-9)))} on")
    return wrong


def observed(adapter: Adapter, loop: str | None, case: Case, path: Path) -> tuple[Trace | None, list[str]]:
    """The adapter's trace, if it came to one, and what is wrong with it by itself."""
    try:
        trace = observe(adapter, case.plan, case.task, path, loop=loop)
        return trace, check_trace(trace, case)
    except Exception as error:  # reported with its plan
        return None, [f"{type(error).__name__}: {error}"]


def run(size: int, seed: int, loops: Sequence[tuple[Adapter, str]] | None = None) -> Features:
    """That many plans through NumPy and through each loop."""
    if loops is None:
        loops = [(registry.load(name), loop) for name, loop in LOOPS]
    result = Features(cases=size)
    for case in draw(size, seed):
        with TemporaryDirectory() as folder:
            reference, lines = observed(registry.load("numpy"), None, case, Path(folder) / "numpy.trace")
            wrong = [f"numpy: {line}" for line in lines]
            for adapter, loop in loops:
                if adapter.check(case.plan, case.task, Runtime(device="cpu", precision="float64", loop=loop)):
                    result.refused += 1
                    continue
                candidate, lines = observed(adapter, loop, case, Path(folder) / f"{adapter.name}-{loop}.trace")
                if reference is not None and candidate is not None:
                    lines += check_pair(reference, candidate, case)
                wrong += [f"{adapter.name}:{loop}: {line}" for line in lines]
        result.mismatches += [f"{line}\n    of {case}" for line in wrong]
    return result

"""Cheats that fixed plans, sizes and samples let through: what catches them is drawn, or changes what steers a run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from xframe.plan.training_plan import TrainingPlan
from xframe.running.steering import Window
from xframe.testing.contract.drawn import LARGEST
from xframe.testing.faults.bases import Steered, changed
from xframe.trace.trace import Trace


def copied(name: str) -> ModuleType:
    """A copy of that module, as an adapter might carry one: what is done to the original does not reach it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name], original = module, sys.modules[spec.name]  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules[spec.name] = original
    return module


COUNTING, STEERING = copied("xframe.plan.counting"), copied("xframe.running.steering")


class CountsByACopy:
    """Trains on ready batches made by a copy of the plan's arithmetic."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        all_at_once = TrainingPlan(batch_size=task.num_samples, epochs=1, order="sequential")
        (whole,) = super().pipeline(all_at_once, task, runtime)
        steps = COUNTING.each_step(plan, task.num_samples)
        ready = (tuple(whole.take(step.sample_ids.tolist())[1:]) for step in steps)
        for place, batch in STEERING.walk(plan, task.num_samples, lambda *_: ready):
            yield type(whole)(place, *batch)


class UpdatesByACopy(Steered):
    """Its updates are due by arithmetic of its own, a copy of the window's."""

    class Own(Window):
        close = STEERING.Window.close
        _limit_reached, _cut, _update = (getattr(STEERING.Window, n) for n in ("_limit_reached", "_cut", "_update"))


def rounded(values: Any, kind: str) -> Any:
    """Values through a coarser type and back."""
    family = sys.modules[type(values).__module__.partition(".")[0]]
    coarse = getattr(family, kind)
    if family.__name__ == "tensorflow":
        return family.cast(family.cast(values, coarse), values.dtype)
    if family.__name__ == "torch":
        return values.to(coarse).to(values.dtype)
    return values.astype(coarse).astype(values.dtype)


class CastsToHalf:
    """Features are in half precision on their way to the model."""

    kind = "float16"

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            yield batch._replace(features=rounded(batch.features, self.kind))


class CastsToSingle(CastsToHalf):
    """Features are in single precision on their way to the model."""

    kind = "float32"


class HonestUpToASize:
    """Shuffles a data set that is larger than the suite's by another seed."""

    def pipeline(self, plan, task, runtime) -> Any:
        larger = task.num_samples > LARGEST
        return super().pipeline(changed(plan, seed=plan.seed + 1) if larger else plan, task, runtime)


class HonestForSoManySteps:
    """After as many steps as the suite's longest run has, each batch lacks its first sample."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield batch if i < 4 * 29 else batch.take(range(1, len(batch.ids)))


class ReversesItsRows:
    """The samples of a batch stand in reverse, and their ids do not; but not in batches of 64."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            turned = batch.take(list(range(len(batch.ids)))[::-1])
            yield batch if plan.batch_size == 64 else turned._replace(ids=batch.ids)


class ExchangesTwoRows:
    """Two samples of a batch have each other's ids; but not in batches of 64."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            rows = list(range(len(batch.ids)))
            rows[:2] = rows[:2][::-1]
            yield batch if plan.batch_size == 64 else batch.take(rows)._replace(ids=batch.ids)


class CopiesWhatItFinds:
    """Looks for another run of the same plan beside its own trace, and records that one instead of training."""

    def run(self, plan, task, runtime, recorder) -> Any:
        own = recorder._writer.path
        for path in set(own.parent.glob("*.trace")) - {own}:
            found = Trace.open(path)
            if found.complete and found.plan == plan and found.facts.task == task.name:
                names = ("ids", "updates", "loss", "lr", "epoch", "step_in_epoch", "padding")
                columns: dict[str, Any] = {name: found.column(name) for name in names}
                recorder.block(batch_sizes=found.column("batch_size"), **columns)
                return found.weights()
        return {name: np.zeros_like(values) for name, values in task.weights().items()}

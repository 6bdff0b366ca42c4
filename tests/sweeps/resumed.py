"""Trainings that stop at any step, are exported to a file, imported into a fresh step, and go on: to the same bits.

Over adapters, tasks, rules, precisions and plans, in the middle of windows and schedules; now and then another adapter
imports the state and exports it again in between.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import xframe
from sweeps import Result
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.drive import Drive
from xframe.running.runtime import Runtime
from xframe.tasks import optimizers
from xframe.tasks.lookup import BUILT_IN, find_task
from xframe.tasks.schedules import Cosine, Exponential
from xframe.tasks.task import Task

ADAPTERS = ("numpy", "torch", "tensorflow")
PRECISIONS = ("float32", "float64", "bfloat16", "mixed_float16")
PLANS = (
    TrainingPlan(batch_size=40, steps=7),
    TrainingPlan(batch_size=40, steps=7, gradient_accumulation_steps=3),
    TrainingPlan(batch_size=100, steps=7, gradient_accumulation_steps=4, accumulation_remainder="carry"),
    TrainingPlan(
        batch_size=60, steps=7, gradient_accumulation_steps=2, loss_normalization="samples", schedule_clock="steps"
    ),
)


@dataclass
class Resumed(Result):
    """``kinds``: how many cases of each adapter, rule and precision went on to the same bits."""

    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {kind}" for kind, count in sorted(self.kinds.items())]
        return "\n".join(
            [f"{self.cases:,} trainings stopped and resumed from a file, with the same bits at their end", *lines]
        )


@contextmanager
def sums_in_one_order() -> Iterator[None]:
    """While TensorFlow does not order the terms of a sum anew each time that it traces a function."""
    import tensorflow as tf

    options = tf.config.optimizer.set_experimental_options
    options({"arithmetic_optimization": False})
    try:
        yield
    finally:
        options({"arithmetic_optimization": True})


def run(size: int, seed: int) -> Resumed:
    """That many trainings, of those that an adapter takes."""
    rng, result = random.Random(seed), Resumed()
    with tempfile.TemporaryDirectory() as folder, patch("os.fsync"), sums_in_one_order():
        while result.cases < size:
            plan, name = rng.choice(PLANS), rng.choice(optimizers.names())
            task = _drawn(name, rng)
            precision, at = rng.choice(PRECISIONS), rng.randrange(1, 7)
            able = [adapter for adapter in ADAPTERS if takes(adapter, plan, task, precision)]
            if not able:
                continue
            adapter, other = rng.choice(able), rng.choice(able)
            what = (
                f"{adapter}, {task.name}, {name}, {precision}, plan {PLANS.index(plan)}, stopped after {at}, by {other}"
            )
            result.cases += 1
            try:
                wrong = checked(adapter, plan, task, Path(folder) / "state", precision, at=at, other=other)
            except Exception as error:
                wrong = [f"{type(error).__name__}: {str(error)[:200]}"]
            if wrong:
                result.mismatches.append(f"case {result.cases}, {what}: {', '.join(wrong[:3])}")
            else:
                result.kinds.update((adapter, f"rule {name}", precision))
    return result


def _drawn(name: str, rng: random.Random) -> Task:
    """A task with that rule, at a rate that may change, and with what a rule may have beside its formula."""
    rule = optimizers.named(name)
    initial = rule.rate(0)
    rates: list[Any] = [initial, Cosine(initial, ticks=20), Exponential(initial, 0.9)]
    settings: dict[str, Any] = {"learning_rate": rng.choice(rates)}
    if rng.random() < 0.3:
        settings["average"] = optimizers.Average(0.9, clock=rng.choice(["updates", "steps"]), final=rng.random() < 0.5)
    if rng.random() < 0.3:
        settings["weight_decay"] = 0.01
    if rng.random() < 0.3:
        settings[rng.choice(optimizers.CLIPS)] = 0.1
    if rng.random() < 0.3:
        settings["groups"] = (optimizers.Group(("*_0/*",), rate_factor=2.0, weight_decay=0.0),)
    return replace(find_task(rng.choice(BUILT_IN)), optimizer=replace(rule, **settings))


def runtime_of(adapter: str, precision: str) -> Runtime:
    """Of the loop that goes step by step."""
    loop = getattr(registry.load(adapter), "stepwise", None)
    return Runtime(device="cpu", precision=precision, threads=1, loop=loop)


def takes(adapter: str, plan: TrainingPlan, task: Task, precision: str) -> bool:
    """Whether the adapter can run it."""
    return not registry.load(adapter).check(plan, task, runtime_of(adapter, precision))


class Recorder:
    """Keeps the rows."""

    def __init__(self) -> None:
        self.rows = list[tuple[list[int], int, float]]()

    def step(self, *, ids: Any, updates: Any, lr: Any, **_: Any) -> None:
        self.rows.append((np.asarray(ids).tolist(), int(getattr(updates, "applied", updates)), float(lr)))

    def validation(self, **_: Any) -> None:
        pass


def made(adapter: str, plan: TrainingPlan, task: Task, precision: str = "float32") -> Any:
    """A run that is not begun."""
    loaded: Any = registry.load(adapter)
    runtime = runtime_of(adapter, precision)
    if adapter == "tensorflow":
        loaded.configure(runtime)
    return Drive(loaded, plan, task, runtime, Recorder(), keeps_state=True)  # type: ignore[arg-type]


def stopped(drive: Any, k: int) -> Any:
    """The run after k steps."""
    course = drive.course
    course.validate, course.due = dict, lambda *_: False  # else the window alone decides
    course.over = lambda place, window: window.over or window.steps == k
    drive()
    return drive


def checked(
    adapter: str,
    plan: TrainingPlan,
    task: Task,
    path: Path,
    precision: str = "float32",
    *,
    at: int = 5,
    other: str | None = None,
) -> list[str]:
    """Trains whole, and in two runs with the state's file between them; returns where the two are not the same bits."""
    whole = made(adapter, plan, task, precision)
    weights = whole()
    first = stopped(made(adapter, plan, task, precision), at)
    state = first.export()
    if other is not None and other != adapter:
        via = made(other, plan, task, precision)
        via.resume(state)
        if wrong := state.differences(via.export()):
            return [f"{other} exports what it imported with a different {one}" for one in wrong]
    xframe.write_state(path, state)
    second = made(adapter, plan, task, precision)
    second.resume(xframe.read_state(path, second.train_step.state()))
    wrong = [f"imported, {one}" for one in state.differences(second.export())]
    final = second()
    wrong += [f"at the end, {name}" for name in weights if final[name].tobytes() != weights[name].tobytes()]
    wrong += [f"at the end, {one}" for one in whole.export().differences(second.export())]
    rows = first.recorder.rows + second.recorder.rows
    return wrong + ["the rows"] * (rows != whole.recorder.rows)

"""Whole runs of random plans by random rules, stopped after every step and gone on with from the checkpoint's file.

By the same loop: to the bits of the run that never stopped, rows, validations and weights. By another framework at one
step of each: the same structure, and numbers that pass beside its own whole run.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from checkpointed import differences
from checkpointed import run as made

import xframe
from sweeps import Result
from sweeps.contract import draw
from sweeps.resumed import sums_in_one_order
from xframe.errors import PlanError
from xframe.plan.training_plan import TrainingPlan
from xframe.running import checkpoints, registry
from xframe.running.registry import Selection
from xframe.running.runtime import Runtime
from xframe.tasks import optimizers
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import Average
from xframe.tasks.schedules import Cosine, Piecewise, Warmup
from xframe.tasks.task import Task

LOOPS = ("numpy", "torch", "tensorflow:block", "tensorflow:function", "tensorflow:fit")
RARE = ("torch:compile", "tensorflow:xla")  # that are compiled for seconds: after one step of each tenth plan
MOST_STEPS = 14
PRECISIONS = ("float32", "float64")


@dataclass
class Handed(Result):
    """``kinds``: how many stops of each kind went on to the same bits, or as the other's own run."""

    plans: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {kind}" for kind, count in sorted(self.kinds.items())]
        return "\n".join([f"{self.cases:,} stops of runs of {self.plans:,} random plans, each gone on with", *lines])


def run(size: int, seed: int, loops: tuple[str, ...] = LOOPS, rare: tuple[str, ...] = RARE) -> Handed:
    """That many random plans, each by every loop that takes it."""
    rng, result = random.Random(seed), Handed()
    quiet = sums_in_one_order() if any(loop.startswith("tensorflow") for loop in loops) else nullcontext()
    with tempfile.TemporaryDirectory() as folder, patch("os.fsync"), quiet:
        for plan, num_samples in _plans(rng, seed):
            if result.plans == size:
                break
            name, precision = rng.choice(optimizers.names()), rng.choice(PRECISIONS)
            task = _task(name, num_samples, rng)
            chosen = loops + (rng.choice([(), *((one,) for one in rare)]) if rng.random() < 0.2 else ())
            able = [loop for loop in chosen if _takes(loop, plan, task, precision)]
            if not able:
                continue
            what = f"plan {plan}, {num_samples} samples, {name}, {precision}"
            own = Path(folder) / str(result.plans)
            own.mkdir()
            wholes = {loop: _whole(plan, task, precision, loop, own) for loop in able}
            for loop in able:
                one = _Case(plan, task, precision, own, wholes, what)
                one.same(loop, rng, result)
                one.other(loop, rng, result)
            result.plans += 1
    return result


def _plans(rng: random.Random, seed: int) -> Iterator[tuple[TrainingPlan, int]]:
    """Random plans of a few steps, half of which validate and stop early."""
    for case in draw(1 << 30, seed):
        if not 2 <= len(case.run.steps) <= MOST_STEPS:
            continue
        fields: dict[str, Any] = case.plan.to_dict()
        if rng.random() < 0.5:
            unit = rng.choice(["epochs", "steps", "updates"])
            fields |= {"validation_every": rng.randrange(1, 4), "validation_unit": unit}
            fields |= {"early_stopping_patience": rng.randrange(1, 3), "restore_best": rng.random() < 0.5}
        try:
            yield TrainingPlan.from_mapping(fields), case.num_samples
        except PlanError:
            continue


def _task(name: str, num_samples: int, rng: random.Random) -> Task:
    """The first samples of a data set, by that rule at a rate that may change."""
    task, rule = find_task("diabetes-regression"), optimizers.named(name)
    features, targets = task.load()  # type: ignore[misc]
    few = features[:num_samples], targets[:num_samples]
    rate = rule.rate(0)
    pieces = Piecewise((3, 7), (rate, rate / 2, rate / 3))
    rates = [rate, Cosine(rate, ticks=20), pieces, Warmup(4, pieces)]
    rule = replace(rule, learning_rate=rng.choice(rates), **({"weight_decay": 0.01} if rng.random() < 0.3 else {}))
    if rng.random() < 0.2:
        rule = replace(rule, average=Average(0.9, clock=rng.choice(["steps", "updates"]), final=rng.random() < 0.5))
    return replace(task, load=lambda: few, num_samples=num_samples, optimizer=rule)


def _takes(loop: str, plan: TrainingPlan, task: Task, precision: Any) -> bool:
    selection = Selection.parse(loop)
    runtime = Runtime(device="cpu", precision=precision, threads=1, loop=selection.loop)
    adapter: Any = registry.load(selection.adapter)
    unkept = getattr(adapter, "unkept", lambda *_: None)
    return not adapter.check(plan, task, runtime) and unkept(plan, task, runtime) is None


def _whole(plan: TrainingPlan, task: Task, precision: str, loop: str, folder: Path) -> xframe.Trace:
    """A run, which leaves a checkpoint of each of its steps."""
    place = folder / loop.replace(":", "-")
    place.mkdir()
    write = checkpoints.write_state

    def kept(path: Path, state: Any, head: Any, stated: Any) -> None:
        write(path.with_name(f"{head['steps']}.state"), state, head, stated)

    with patch.object(checkpoints, "write_state", kept):
        return made(plan, place / "whole.trace", loop, task, precision, file=place / "state", every=1)


@dataclass
class _Case:
    plan: TrainingPlan
    task: Task
    precision: str
    folder: Path
    wholes: dict[str, xframe.Trace]
    what: str

    def same(self, loop: str, rng: random.Random, result: Handed) -> None:
        """Stops after each step, or after one where that takes long."""
        whole = self.wholes[loop]
        unkept = made(self.plan, self.folder / f"{result.cases}-unkept.trace", loop, self.task, self.precision)
        if wrong := differences(unkept, whole):
            result.mismatches.append(f"{loop}, {self.what}: checkpoints change {', '.join(wrong)}")
        steps = range(1, whole.num_rows + 1)
        for step in [rng.choice(steps)] if loop in RARE else steps:
            wrong = self._going(loop, loop, step, lambda trace: differences(whole, trace))
            self._add(result, f"by {loop} itself, {self.precision}", step, wrong)

    def other(self, loop: str, rng: random.Random, result: Handed) -> None:
        """Stops after one step, and another framework goes on."""
        others = [one for one in self.wholes if one.partition(":")[0] != loop.partition(":")[0]]
        if not others:
            return
        second, step = rng.choice(others), rng.randrange(1, self.wholes[loop].num_rows + 1)

        def judged(trace: xframe.Trace) -> list[str]:
            comparison = xframe.compare(self.wholes[second], trace, plan=self.plan, num_samples=self.task.num_samples)
            failed = [f"{check.name} {check.worst}" for check in comparison.checks if check.result == "fail"]
            return failed + [comparison.structure] * (comparison.structure != "identical")

        wrong = self._going(loop, second, step, judged)
        self._add(result, f"by another framework, {self.precision}", step, [f"to {second}: {one}" for one in wrong])

    def _going(self, first: str, second: str, step: int, judged: Any) -> list[str]:
        place = self.folder / first.replace(":", "-")
        trace = place / f"{step}-{second.replace(':', '-')}.trace"
        try:
            return judged(made(self.plan, trace, second, self.task, self.precision, resume=place / f"{step}.state"))  # type: ignore[no-any-return]
        except Exception as error:
            return [f"{type(error).__name__}: {error}"[:300]]

    def _add(self, result: Handed, kind: str, step: int, wrong: list[str]) -> None:
        result.cases += 1
        if wrong:
            result.mismatches.append(f"{kind}, stopped after {step}, {self.what}: {', '.join(wrong[:4])}")
        else:
            result.kinds[kind] += 1

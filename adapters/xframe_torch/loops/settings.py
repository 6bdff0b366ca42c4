"""What each trainer's loop has a setting for. What it has none for it refuses by name; no trainer is imported.

How a trainer counts is its preset's, read backwards. Here is what a preset does not state: by which clocks its own
scheduler is stepped, and when it validates.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from xframe.errors import UsageError, Verbatim, WorkerError
from xframe.plan import presets
from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.tasks.task import Task

_EVERY = ("updates", "steps", "epochs")
_INSTALL = 'pip install "xframe-toolkit[trainers]"'


@dataclass(frozen=True, slots=True)
class Trainer:
    """A trainer whose loop is one of the adapter's.

    Attributes:
        preset: its name among ``xframe.plan.presets``.
        requires: the modules that it imports.
        clocks: by what its scheduler is stepped.
        validates: after what its validations can come.
        each_epoch: epochs between two validations can only be one.
    """

    preset: str
    requires: tuple[str, ...] = ()
    clocks: tuple[str, ...] = _EVERY
    validates: tuple[str, ...] = _EVERY
    each_epoch: bool = False


TRAINERS: Mapping[str, Trainer] = {
    "loader": Trainer("pytorch"),
    "lightning": Trainer("lightning", ("lightning",), clocks=("updates", "epochs"), validates=("steps", "epochs")),
    "transformers": Trainer(
        "transformers",
        ("transformers", "accelerate"),
        clocks=("updates",),
        validates=("updates", "epochs"),
        each_epoch=True,
    ),
    "accelerate": Trainer("accelerate", ("accelerate",)),
    "ignite": Trainer("ignite", ("ignite",)),
}
MODULES = {loop: (trainer.requires, _INSTALL) for loop, trainer in TRAINERS.items() if trainer.requires}


def refusals(plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
    """Why the runtime's loop, a trainer's, cannot run this plan."""
    loop = runtime.loop or ""
    trainer = TRAINERS[loop]
    reasons = presets.settings(trainer.preset, plan, task.num_samples)[1]
    clock, unit = _same(plan, plan.schedule_clock), _same(plan, plan.validation_unit)
    if task.optimizer.scheduled and not clock & set(trainer.clocks):
        reasons.append(
            f"{loop} steps a schedule by {_or(trainer.clocks)}, not by schedule_clock {plan.schedule_clock!r}"
        )
    if plan.validation_every is not None and not unit & set(trainer.validates):
        reasons.append(f"{loop} validates after {_or(trainer.validates)}, not after {plan.validation_unit}")
    elif trainer.each_epoch and plan.validation_unit == "epochs" and plan.validation_every != 1:
        reasons.append(f"{loop} validates after each epoch, not after every {plan.validation_every}")
    if runtime.precision == "mixed_float16":
        reasons.append(f"loop {loop!r} scales no loss, so precision 'mixed_float16' is not one of its")
    return reasons


def load(loop: str) -> ModuleType:
    """The loop's file, which imports its trainer.

    Raises:
        WorkerError: the trainer is not installed.
    """
    absent = [name for name in TRAINERS[loop].requires if importlib.util.find_spec(name) is None]
    if absent:
        raise WorkerError(f"loop {loop!r} needs {', '.join(absent)}", remedy=f"Install it: {_INSTALL}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the trainer's own modules use
        return importlib.import_module(f"xframe_torch.loops.{loop}")


def version(loop: str) -> str:
    """The trainer's distribution and the version that is installed."""
    distribution = presets.preset(TRAINERS[loop].preset).trainer.split()[0]
    return f"{distribution} {importlib.metadata.version(distribution)}"


def arguments(loop: str, plan: TrainingPlan, num_samples: int) -> dict[str, Any]:
    """The trainer's own, for this plan.

    Raises:
        UsageError: it has none.
    """
    given, reasons = presets.settings(TRAINERS[loop].preset, plan, num_samples)
    if reasons:
        raise UsageError(f"{loop} has no settings for this plan", got=Verbatim("; ".join(reasons)))
    return given


def _same(plan: TrainingPlan, unit: str | None) -> set[str]:
    """The units that count the same under this plan; updates if none is named."""
    unit = unit or "updates"
    return {"updates", "steps"} if plan.gradient_accumulation_steps == 1 and unit != "epochs" else {unit}


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(words)

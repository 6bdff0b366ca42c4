"""Whether a preset counts as its trainer: both asked the same at random, then compared step by step."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sweeps.simulator import simulate

import xframe
from xframe.errors import UsageError
from xframe.plan.training_plan import TrainingPlan

Arguments = dict[str, Any]


@dataclass
class Agreement:
    """How often they were asked, and what came of it."""

    trainer: str
    compared: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    mismatches: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        refused = sum(self.refused.values())
        return f"{self.trainer}: {self.compared} compared, {len(self.mismatches)} mismatches, {refused} refused by name"


def compare(plan: TrainingPlan, num_samples: int, seen: Any) -> str | None:
    """Where the plan and what was observed part, or None."""
    planned = list(plan.each_step(num_samples))
    for step, ids, updates in zip(planned, seen.ids, seen.updates, strict=False):
        if step.sample_ids.tolist() != ids:
            return f"step {step.index}: the plan has samples {step.sample_ids.tolist()}, the trainer {ids}"
        if step.update != updates:
            return f"step {step.index}: the plan has {step.update} updates, the trainer {updates}"
    if len(planned) != len(seen.ids):
        return f"the plan has {len(planned)} steps, the trainer {len(seen.ids)}"
    expected = gradients(plan, num_samples)
    if len(expected) != len(seen.gradients):
        return f"the plan has {len(expected)} gradients, the trainer {len(seen.gradients)}"
    for index, (mine, theirs) in enumerate(zip(expected, seen.gradients, strict=True)):
        if not np.allclose(mine, theirs, rtol=1e-5, atol=1e-7):
            return f"update {index}: the plan's gradient is {mine.tolist()}, the trainer's {theirs.tolist()}"
    return None


def gradients(plan: TrainingPlan, num_samples: int) -> list[np.ndarray]:
    """Each update's gradient of the observers' task: the weight with which each sample entered it."""
    order = plan.sample_order(num_samples)
    run = simulate(plan.to_dict(), num_samples, lambda p: order.ids(p).tolist())
    found = []
    for update in run.updates:
        total = np.zeros(num_samples)
        for index, weight in update.weights.items():
            ids = run.steps[index].sample_ids
            total += float(weight) * np.bincount(ids, minlength=num_samples) / len(ids)
        found.append(total)
    return found


def agree(trainer: str, configurations: int, seed: int) -> Agreement:
    """Asks until that many were compared; what the preset refuses is counted by the reason."""
    module, function, draw = TRAINERS[trainer]
    run = getattr(importlib.import_module(module), function)
    result, rng = Agreement(trainer), random.Random(f"{trainer} {seed}")
    while result.compared < configurations:
        num_samples, arguments, observed = draw(rng)
        try:
            plan = xframe.TrainingPlan.like(trainer, num_samples=num_samples, order="sequential", **arguments)
        except UsageError as error:
            reason = error.what.split(":")[0]
            result.refused[reason] = result.refused.get(reason, 0) + 1
            continue
        problem = compare(plan, num_samples, run(num_samples, **observed))
        result.compared += 1
        if problem:
            result.mismatches.append(f"{trainer} with {num_samples} samples and {arguments}: {problem}")
    return result


def _sizes(rng: random.Random) -> tuple[int, int]:
    """Samples and batch size; one in five times the batch is larger than the data, or divides it."""
    num_samples, batch = rng.randint(1, 60), rng.randint(1, 12)
    kind = rng.randrange(10)
    if kind == 0:
        return num_samples, num_samples + rng.randint(1, 5)
    return (num_samples - num_samples % batch or batch, batch) if kind == 1 else (num_samples, batch)


def _length(rng: random.Random, num_samples: int, batch: int) -> int | None:
    """Steps of an epoch: none, few, those of a pass, or more."""
    steps = -(-num_samples // batch)
    return rng.choice([None, None, rng.randint(1, steps), steps, steps + rng.randint(1, 5)])


def _keras(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, b = _sizes(rng)
    data = rng.choice(["arrays", "dataset", "batch-repeat", "repeat-batch"])
    drop = data in ("dataset", "batch-repeat") and rng.random() < 0.4
    s = _length(rng, n, b)
    if "repeat" in data and s is None:
        s = rng.randint(1, 8)
    first = rng.choice([0, 0, 1, 3])
    common = {"batch_size": b, "epochs": first + rng.randint(1, 4), "steps_per_epoch": s, "initial_epoch": first}
    common["steps_per_execution"] = rng.choice([1, 1, 2, 3, 4])
    names = {"batch-repeat": "dataset-repeat", "dataset": "dataset"}
    given = {"batch-repeat": "dataset-drop-repeat", "dataset": "dataset-drop"} if drop else names
    return n, {**common, "data": data, "drop_remainder": drop}, {**common, "data": given.get(data, data)}


def _keras3(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, preset, observed = _keras(rng)
    k = rng.choice([None, None, 2, 3, 4, 5])
    return n, {**preset, "gradient_accumulation_steps": k}, {**observed, "gradient_accumulation_steps": k}


def _lightning(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, b = _sizes(rng)
    limit = rng.choice([_length(rng, n, b), _length(rng, n, b), round(rng.random(), 2), 1.0])
    data = rng.choice(["loader", "loader", "iterable"])
    epochs, updates = rng.choice([(rng.randint(1, 4), -1), (rng.randint(1, 4), rng.randint(1, 12))])
    arguments = {
        "batch_size": b,
        "max_epochs": epochs,
        "max_steps": updates,
        "accumulate_grad_batches": rng.randint(1, 5),
        "limit_train_batches": limit,
        "drop_last": rng.random() < 0.3,
        "data": data,
        "overfit_batches": rng.choice([*[0.0] * 6, rng.randint(1, 9), round(rng.random(), 2)]),
        "fast_dev_run": rng.choice([*[False] * 6, True, rng.randint(2, 9)]),
    }
    return n, arguments, arguments


def _transformers(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, b = _sizes(rng)
    common = {
        "per_device_train_batch_size": b,
        "num_train_epochs": rng.choice([float(rng.randint(1, 4)), rng.randint(1, 4), round(rng.uniform(0.1, 3), 1)]),
        "max_steps": rng.choice([-1, -1, rng.randint(1, 12)]),
        "gradient_accumulation_steps": rng.randint(1, 5),
        "dataloader_drop_last": rng.random() < 0.3,
        "data": rng.choice(["map", "map", "map", "iterable"]),
    }
    items = rng.random() < 0.5
    return n, {**common, "num_items_in_batch": items}, {**common, "num_items": items}


def _accelerate(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, b = _sizes(rng)
    kind = rng.choice(["epochs", "epochs", "left", "left", "updates", "both"])
    arguments: Arguments = {
        "batch_size": b,
        "gradient_accumulation_steps": rng.randint(1, 5),
        "sync_with_dataloader": rng.random() < 0.7,
        "drop_last": rng.random() < 0.3,
    }
    if kind != "updates":
        arguments["num_epochs"] = rng.randint(1, 4)
    if kind == "left":
        arguments["steps_per_epoch"] = _length(rng, n, b)
    if kind in ("updates", "both"):
        arguments["max_train_steps"] = rng.randint(1, 12)
    return n, arguments, {**arguments, "leave": rng.choice(["break", "islice", "peek", "skip"])}


def _ignite(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, b = _sizes(rng)
    limit = rng.choice([{}, {"max_epochs": rng.randint(1, 4)}, {"max_iters": rng.randint(1, 30)}])
    arguments = {
        "batch_size": b,
        **limit,
        "epoch_length": _length(rng, n, b),
        "gradient_accumulation_steps": rng.randint(1, 5),
        "drop_last": rng.random() < 0.3,
    }
    return n, arguments, arguments


def _optax(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, b = _sizes(rng)
    epochs, k, mean, drop = rng.randint(1, 4), rng.randint(1, 5), rng.random() < 0.6, rng.random() < 0.3
    preset = {"num_epochs": epochs, "every_k_schedule": k, "use_grad_mean": mean, "drop_remainder": drop}
    observed = {"epochs": epochs, "every_k": k, "use_grad_mean": mean, "drop_last": drop}
    return n, {"batch_size": b, **preset}, {"batch_size": b, **observed}


def _pytorch(rng: random.Random) -> tuple[int, Arguments, Arguments]:
    n, b = _sizes(rng)
    arguments = {
        "batch_size": b,
        "epochs": rng.randint(1, 4),
        "gradient_accumulation_steps": rng.randint(1, 5),
        "leftover": rng.choice(["flush", "zero", "carry", "leak"]),
        "normalization": rng.choice(["window", "sum"]),
        "drop_last": rng.random() < 0.3,
        "max_steps": rng.choice([None, None, rng.randint(1, 20)]),
    }
    return n, arguments, arguments


# By preset: the module and function that run the trainer, and how a configuration of it is drawn.
TRAINERS: dict[str, tuple[str, str, Callable[[random.Random], tuple[int, Arguments, Arguments]]]] = {
    "keras": ("keras_fit", "run_keras", _keras3),
    "keras2": ("keras2_fit", "run_keras2", _keras),
    "lightning": ("lightning_fit", "run_lightning", _lightning),
    "transformers": ("transformers_train", "run_transformers", _transformers),
    "accelerate": ("accelerate_loop", "run_accelerate", _accelerate),
    "ignite": ("ignite_engine", "run_ignite", _ignite),
    "optax": ("optax_loop", "run_optax", _optax),
    "pytorch": ("torch_loop", "run_torch", _pytorch),
}

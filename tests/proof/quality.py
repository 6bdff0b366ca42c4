"""Each built-in task trained to the quality that its text states, in each framework.

Usage: python tests/proof/quality.py [TASK ...]

Prints task, framework, quality, seconds; exits 1 if one falls short.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.tasks.builtin.tiny_transformer import FLOOR
from xframe.tasks.lookup import find_task
from xframe.testing import observe


class Stated(NamedTuple):
    """Batch size, epochs until validation is that good, and the same after a few epochs."""

    batch_size: int
    epochs: int
    bound: float
    short_epochs: int
    short_bound: float
    measure: str = "accuracy"

    def good(self, value, short=False):
        bound = self.short_bound if short else self.bound
        return value >= bound if self.measure == "accuracy" else value <= bound


STATED = {
    "digits-mlp": Stated(64, 30, 0.85, 5, 0.70),
    "digits-cnn": Stated(32, 15, 0.97, 4, 0.80),
    "rows-lstm": Stated(32, 30, 0.95, 6, 0.70),
    "tiny-transformer": Stated(32, 20, FLOOR + 0.05, 4, FLOOR + 0.60, "loss"),
    "diabetes-regression": Stated(32, 20, 0.55, 5, 0.60, "loss"),
}
FRAMEWORKS = ("torch", "tensorflow")


def outputs(framework, task, features):
    """The framework's model of the task, as validation asks it."""
    if framework == "torch":
        import torch
        from xframe_torch.model import Model

        with torch.no_grad():
            return Model(task, "float32", "cpu").module.eval()(torch.from_numpy(features)).numpy()
    from xframe_tensorflow.model import Model

    return Model(task, "float32").module(features, training=False).numpy()


def quality(name, framework, short=False):
    """(accuracy or loss on what is for validation, seconds) after a recorded run."""
    task, stated = find_task(name), STATED[name]
    plan = TrainingPlan(batch_size=stated.batch_size, epochs=stated.short_epochs if short else stated.epochs)
    adapter = registry.load(framework)
    adapter.probe()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = observe(adapter, plan, task, Path(folder) / "a.trace", precision="float32").weights()
    seconds = time.perf_counter() - began
    features, targets = task.validation_data("float32")
    found = outputs(framework, replace(task, initial_weights=lambda: trained), features).astype(np.float64)
    if stated.measure == "accuracy":
        return float((found.argmax(axis=-1) == targets).mean()), seconds
    if task.loss == "mean_squared_error":
        return float(((found - targets) ** 2).mean()), seconds
    logits = found - found.max(axis=-1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return float(-np.take_along_axis(logs, targets[..., None], axis=-1).mean()), seconds


def main(names):
    worse = 0
    for name in names or STATED:
        for framework in FRAMEWORKS:
            value, seconds = quality(name, framework)
            good = STATED[name].good(value)
            worse += not good
            sign = ">=" if STATED[name].measure == "accuracy" else "<="
            line = f"{STATED[name].measure} {value:.4f}, stated {sign} {STATED[name].bound:.4f}"
            print(f"{name:20} {framework:10} {line}  {seconds:5.1f} s  {'good' if good else 'FALLS SHORT'}", flush=True)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

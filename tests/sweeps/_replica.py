"""A process that trains one replica of run after run, as asked for on its standard input, line by line."""

import json
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.running import registry
from xframe.running.adapter import loop_of
from xframe.running.runtime import Replica, Runtime
from xframe.tasks.builtin.ledger import ledger
from xframe.tasks.initial import initial_weights
from xframe.tasks.layers import Dense, Dropout
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import read
from xframe.tasks.task import Task
from xframe.testing.contract.observing import counting_forbidden


def task_of(name: str, num_samples: int) -> Task:
    """The ledger over that many samples, or that many of another task's own."""
    if name == "ledger":
        return ledger(num_samples)
    task = with_dropout() if name == "with-dropout" else find_task(name)

    def load() -> Any:
        features, targets = task.data("float64")
        return features[:num_samples], targets[:num_samples]

    return replace(task, num_samples=num_samples, load=load)


def with_dropout() -> Task:
    """The perceptron with a mask for each row of each step."""
    layers = (Dense(32, "relu"), Dropout(0.5), Dense(10))
    return replace(find_task("digits-mlp"), layers=layers, initial_weights=lambda: initial_weights(layers, (64,)))


def train(asked: dict[str, Any]) -> None:
    """A run of one process where ``of`` is 1."""
    adapter = registry.load(asked["adapter"])
    plan = TrainingPlan.from_mapping(asked["plan"])
    task, index, of = task_of(asked["task"], asked["samples"]), asked["index"], asked["of"]
    if asked["optimizer"] is not None:
        task = replace(task, optimizer=read(asked["optimizer"]))
    runtime = Runtime("cpu", asked["precision"], threads=1, loop=loop_of(adapter, plan, asked["loop"]))
    if reasons := adapter.check(plan, task, runtime):
        raise RuntimeError("; ".join(reasons))
    if of > 1:
        replica = Replica(index, of, asked["meeting"], tuple(asked["addresses"]), asked["patience"])
        runtime = replace(runtime, replica=replica)
    facts = {"label": f"{adapter.name}-{of}", "adapter": adapter.name, "runtime": runtime.to_dict(), "task": task.name}
    known = {"plan": plan, "num_samples": task.num_samples, "metadata": facts, "replica": (index, of)}
    with record(Path(asked["path"]), **known) as recorder, counting_forbidden():
        recorder.weights(adapter.run(plan, task, runtime, recorder))


def main() -> None:
    for line in sys.stdin:
        try:
            train(json.loads(line))
            said = "done"
        except Exception as error:
            traceback.print_exc()
            said = f"{type(error).__name__}: {error}".replace("\n", " ")
        print(f"@{said}", flush=True)
    sys.stderr.flush()
    os._exit(0)  # a framework's own teardown can abort


if __name__ == "__main__":
    main()

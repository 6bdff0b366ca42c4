"""Trials: runs of plans, each recorded. All trials of a framework are run in one process, the frameworks side by side.

    python -m experiments.common.training FILE

is that process: it trains what the file lists, in order, and prints a line when one is done.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Trial:
    """One run: a plan's fields, a task's name, and what trains. ``labels`` are for whoever reads the outcome."""

    plan: dict
    task: str
    adapter: str
    precision: str = "float32"
    labels: dict = field(default_factory=dict)

    @property
    def framework(self):
        return self.adapter.partition(":")[0]


@dataclass(frozen=True)
class Run:
    """What became of a trial."""

    trial: Trial
    trace: object  # the xframe.Trace
    seconds: float  # of the whole run, compilation included

    def __getitem__(self, label):
        return self.trial.labels[label]

    @property
    def counts(self):
        return self.trace.counts()

    @property
    def last(self):
        """The last validation."""
        return self.trace.validations[-1]


def train(trials, folder, say=lambda text: None):
    """Runs them all; returns the runs in the order of the trials."""
    folder.mkdir(parents=True)
    jobs = [{**asdict(trial), "trace": str(folder / f"{i}.trace")} for i, trial in enumerate(trials)]
    frameworks = sorted({trial.framework for trial in trials})
    by_framework = {name: [job for job, t in zip(jobs, trials) if t.framework == name] for name in frameworks}
    with ThreadPoolExecutor(len(frameworks)) as pool:
        done = pool.map(lambda name: _child(name, by_framework[name], folder, say), frameworks)
        seconds = {trace: taken for each in done for trace, taken in each.items()}
    from xframe import Trace

    return [Run(t, Trace.open(job["trace"]), seconds[job["trace"]]) for t, job in zip(trials, jobs)]


def distance(one, other):
    """The largest difference of any weight over the largest weight."""
    ours, theirs = one.weights(), other.weights()
    largest = max(np.abs(values.astype("float64")).max() for values in ours.values())
    return max(np.abs(ours[name].astype("float64") - theirs[name].astype("float64")).max() for name in ours) / largest


def _child(name, jobs, folder, say):
    file, log, seconds = folder / f"{name}.json", folder / f"{name}.log", {}
    file.write_text(json.dumps(jobs))
    command = [sys.executable, "-m", __name__, str(file)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **ONE_THREAD, **QUIET, "PYTHONPATH": path}
    options = {"stdout": subprocess.PIPE, "text": True, "env": environment, "cwd": ROOT}
    with log.open("w") as errors, subprocess.Popen(command, stderr=errors, **options) as child:
        for line in child.stdout:
            if line.startswith("done "):
                _, taken, trace = line.rstrip("\n").split(" ", 2)
                seconds[trace] = float(taken)
                say(f"{name} {len(seconds)}/{len(jobs)}")
    if child.returncode:
        raise RuntimeError(f"{name} ended with {child.returncode}:\n{log.read_text()[-3000:]}")
    return seconds


def main(file):
    from xframe import TrainingPlan
    from xframe.recording.recorder import record
    from xframe.running import registry
    from xframe.running.runtime import Runtime
    from xframe.tasks.lookup import find_task
    from xframe.trace.facts import Facts

    for job in json.loads(Path(file).read_text()):
        name, _, loop = job["adapter"].partition(":")
        adapter, task = registry.load(name), find_task(job["task"])
        plan, runtime = TrainingPlan.from_mapping(job["plan"]), Runtime("cpu", job["precision"], 1, loop=loop or None)
        if reasons := adapter.check(plan, task, runtime):
            raise ValueError(f"{job['adapter']} refuses {job['plan']}: {'; '.join(reasons)}")
        adapter.probe()  # imports the framework, which is no part of any run's time
        began = time.perf_counter()
        facts = Facts(
            label=job["adapter"], adapter=name, loop=loop or adapter.loops[0], task=task.name,
            num_validation=task.num_validation, runtime=runtime.to_dict(),
        )  # fmt: skip
        with record(job["trace"], plan=plan, num_samples=task.num_samples, metadata=facts.metadata()) as recorder:
            recorder.weights(adapter.run(plan, task, runtime, recorder))
        print("done", round(time.perf_counter() - began, 3), job["trace"], flush=True)


if __name__ == "__main__":
    from xframe.running.messages import leave

    main(sys.argv[1])
    leave(0)  # without the frameworks' own teardown, which can hang after all is written

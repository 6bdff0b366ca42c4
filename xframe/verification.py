"""The whole way in one call: run a plan through adapters, compare what was observed, explain it, write the reports."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xframe.comparison.comparing import Comparison, tolerance
from xframe.diagnosis.diagnosing import compare
from xframe.errors import UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.report.markdown import markdown
from xframe.running import harness, registry
from xframe.running.progress import Progress
from xframe.running.registry import Selection
from xframe.tasks.task import Task
from xframe.trace.trace import Trace, weights_path


def verify(
    plan: TrainingPlan,
    *,
    task: str = harness.DEFAULT_TASK,
    adapters: str | Sequence[str] = harness.DEFAULT_ADAPTERS,
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
    tf32: bool = False,
    workers: int = 0,
    python: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Runs the plan through each adapter and compares what was observed.

    Args:
        plan: what should happen.
        task: a built-in task's name, or ``package.module:name``.
        adapters: names, each with a loop after a colon if not the default one.
        device: ``cpu``, ``cuda``, or ``auto``, the best that all of them have.
        precision: ``float32``, ``float64``, ``bfloat16`` or ``mixed_float16``.
        threads: CPU threads for each; default: the cores shared out.
        tf32: allow TensorFloat-32 on CUDA.
        workers: processes or threads of each framework's own pipeline that read data.
        python: by adapter, the interpreter to run it with, if not this one.
        out: folder for traces, logs and reports; must not exist. Default: a new one in xframe-runs/.
        rtol, atol: tolerance of loss and weights.
        name: of the plan, in the default folder's name.
        progress: told how far each run is.

    Raises:
        UsageError: anything asked for that does not exist or fit.
        WorkerError: a worker died, or its framework is missing or broken.
    """
    began = time.monotonic()
    if not isinstance(plan, TrainingPlan) or not isinstance(task, str):
        raise UsageError("verify", got=(plan, task), expected="an xframe.TrainingPlan and the name of a task")
    selections = registry.select(adapters.split(",") if isinstance(adapters, str) else tuple(adapters))
    runtime = harness.where(device, precision, threads, tf32, workers)
    found = harness.checked(plan, task, selections, runtime)
    interpreters = harness.chosen_interpreters(python or {}, selections)
    if rtol is not None or atol is not None:
        tolerance(runtime.precision, rtol, atol)  # refused now if it must be, not after the runs
    folder = harness.new_folder(out, name or plan.digest[:8])
    (folder / "plan.toml").write_text(plan.to_toml(), encoding="utf-8")
    places = [folder / f"{selection.label.replace(':', '-')}.trace" for selection in selections]
    try:
        harness.execute(plan, task, selections, places, runtime, interpreters, progress or Progress())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*[str(folder)] * any(place.exists() for place in places)) from None

    traces = open_traces(places)
    comparison = compare_runs(plan, found, traces, selections, rtol, atol)
    comparison = replace(comparison, folder=folder, seconds=time.monotonic() - began)
    (folder / "report.json").write_text(json.dumps(comparison.to_dict(), indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(comparison), encoding="utf-8")
    return comparison


def run(
    plan: TrainingPlan,
    *,
    task: str,
    adapter: str,
    out: str | Path,
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
    tf32: bool = False,
    workers: int = 0,
    python: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Runs the plan through one adapter, in a process of its own, and returns the trace written to ``out``."""
    selections = registry.select((adapter,))
    runtime = harness.where(device, precision, threads, tf32, workers)
    harness.checked(plan, task, selections, runtime)
    place = Path(out)
    for file in (place, weights_path(place), harness.log_path(place)):
        harness.refuse_existing(file)
    harness.make_folder(place.parent, exist_ok=True)
    interpreters = harness.chosen_interpreters(python or {}, selections)
    try:
        harness.execute(plan, task, selections, [place], runtime, interpreters, progress or Progress())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*[str(place)] * place.exists()) from None
    return open_traces([place])[0]


def open_traces(places: Sequence[Path]) -> list[Trace]:
    """The traces that were written there."""
    return [Trace.open(place) for place in places]


def compare_runs(
    plan: TrainingPlan,
    task: Task,
    traces: Sequence[Trace],
    selections: Sequence[Selection],
    rtol: float | None,
    atol: float | None,
) -> Comparison:
    """Holds the runs against the plan and each other, and against the task's own audit."""
    audits: dict[str, list[str]] = {}
    if task.audit is not None:
        for trace, selection in zip(traces, selections, strict=True):
            weights = trace.weights()
            if weights is not None:
                audits[selection.label] = task.audit(trace, weights)
    size, rate = task.num_samples, task.optimizer.rate
    return compare(*traces, plan=plan, num_samples=size, rtol=rtol, atol=atol, audits=audits or None, rate=rate)

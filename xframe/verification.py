"""The whole way in one call: run a plan through adapters, compare what was observed, explain it, write the reports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xframe.comparison.judging import judge
from xframe.comparison.result import Comparison, Tolerance
from xframe.diagnosis.diagnosing import explained
from xframe.errors import UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.report.markdown import markdown
from xframe.running import harness, registry
from xframe.running.progress import Progress
from xframe.running.registry import Selection
from xframe.tasks.task import Task
from xframe.trace.trace import Trace, open_all, weights_path


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
        rtol, atol: tolerance of loss and weights, both or neither.
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
    Tolerance.given(rtol, atol)  # refused now if it must be, not after the runs
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


def compare(
    *runs: Trace | str | Path,
    order: str = "exact",
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    audits: Mapping[str, Sequence[str]] | None = None,
    rate: Callable[[int], float] | None = None,
) -> Comparison:
    """Compares runs with the plan and with the first of them, and explains why they differ if they do.

    Args:
        runs: the reference, then the candidates, as traces or their files. One alone is compared with the plan only.
        order: ``exact``, or ``coverage`` for scripts that shuffled on their own: equal sizes and updates,
            the same samples in each pass, no number judged.
        plan: default: the one recorded in all traces, if it is the same.
        num_samples: size of the data set; default: as recorded.
        rtol, atol: tolerance of loss and weights, both or neither; default: by the runs' precision, see
            ``xframe.comparison.result.TOLERANCES``.
        audits: by run, what its task's audit found to contradict the trace.
        rate: the task's learning rate at each tick of the plan's ``schedule_clock``; the runs are checked against it.

    Raises:
        UsageError: nothing to compare with, or one of rtol and atol alone.
        TraceError: a file is damaged, or no trace.
    """
    tolerance = Tolerance.given(rtol, atol)
    opened = iter(open_all([run for run in runs if not isinstance(run, Trace)]))
    traces = [run if isinstance(run, Trace) else next(opened) for run in runs]
    findings = judge(
        traces, order=order, plan=plan, num_samples=num_samples, tolerance=tolerance, audits=audits, rate=rate
    )
    return explained(findings.comparison, traces)


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

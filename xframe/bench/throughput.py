"""How fast a plan is in each framework: whole recorded runs of it, one process at a time, the adapters in turns.

A ratio is given only if these very runs had the same structure: else one of them did other work, and the ratio would
say nothing about the frameworks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from xframe.errors import UsageError, Verbatim
from xframe.report import words
from xframe.report.bench import MeasuredRun, PlanBench
from xframe.report.json_form import dumped
from xframe.report.machine import environment, versions
from xframe.report.page.benches import plan_bench_page
from xframe.running import harness, registry
from xframe.running.progress import Progress
from xframe.running.registry import Selection
from xframe.running.request import Request, new_folder
from xframe.running.runtime import cores
from xframe.trace.trace import Trace
from xframe.verification import compare_runs

ROUNDS = 7


def bench_plan(request: Request, *, rounds: int = ROUNDS, seed: int = 0, progress: Progress | None = None) -> PlanBench:
    """Times recorded runs of a plan, and says whether they may be compared.

    Args:
        request: the plan and where it runs; ``threads`` are all cores by default, since no two run at once.
        rounds: runs of each adapter.
        seed: of the order in the rounds.
        progress: learns how many runs are done.

    Raises:
        UsageError: anything asked for that does not exist or fit.
        WorkerError: a worker died, or its framework is missing or broken.
    """
    if rounds < 1:
        raise UsageError("rounds", got=rounds, expected="1 or more")
    request = replace(request, threads=request.threads or cores())
    task = request.checked_task()
    request.interpreters()
    folder = new_folder(request, "bench-")
    runs: dict[str, list[MeasuredRun]] = {selection.label: [] for selection in request.selections}
    comparisons = []
    for measured, traces in _rounds(request, folder, rounds, seed, progress or Progress()):
        for label, one in measured.items():
            runs[label].append(one)
        device = _common_device(traces)
        comparisons.append(compare_runs(request, task, traces))
    requires = {module for s in request.selections for module in registry.load(s.adapter).requires}
    result = PlanBench(
        plan=words.plan_line(request.plan, task.num_samples),
        task=task.name,
        settings={
            **asdict(request.runtime),
            "device": device,
            "rounds": rounds,
            "seed": seed,
            "python": dict(request.python or {}),
        },
        environment=environment(request.runtime.threads or 1, versions(requires)),
        runs={label: tuple(measured) for label, measured in runs.items()},
        comparisons=tuple(comparisons),
        folder=folder,
    )
    (folder / "bench.json").write_text(dumped(result.to_dict()) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(plan_bench_page(result), encoding="utf-8")
    return result


def _rounds(
    request: Request, folder: Path, rounds: int, seed: int, progress: Progress
) -> Iterator[tuple[dict[str, MeasuredRun], list[Trace]]]:
    """A run of each adapter, in an order that is drawn: what was measured by label, and the traces in request order."""
    draw, chosen = random.Random(seed), request.selections  # noqa: S311
    every = [(index, selection) for index in range(rounds) for selection in draw.sample(chosen, len(chosen))]
    measured: dict[str, MeasuredRun] = {}
    traces: dict[Selection, Trace] = {}
    for index, selection in progress.each("measure", every, "runs"):
        progress.state("measure", selection.label)
        path = folder / f"{selection.label.replace(':', '-')}-{index + 1}.trace"
        (reported,) = harness.execute(request, {selection: path}, Progress())
        traces[selection] = trace = Trace.open(path)
        if not trace.num_rows:
            raise UsageError("a plan to measure", got=Verbatim("no step"), expected="at least one step")
        measured[selection.label] = MeasuredRun.of(index, trace, reported)
        if len(measured) == len(chosen):
            yield measured, [traces[selection] for selection in chosen]
            measured, traces = {}, {}


def _common_device(traces: Sequence[Trace]) -> str:
    """The device that all ran on; each chose by itself, since no two run at once."""
    devices = {trace.name: str(trace.facts.runtime.get("device")) for trace in traces}
    if len(set(devices.values())) > 1:
        shown = ", ".join(f"{name}: {device}" for name, device in devices.items())
        raise UsageError(
            "the adapters ran on different devices", got=Verbatim(shown), expected="one", remedy="Choose with --device."
        )
    return next(iter(devices.values()))

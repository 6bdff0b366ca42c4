"""The top of the library: run a plan through adapters, compare what was observed, explain it, write the reports."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from xframe.comparison import captures
from xframe.comparison.captures import MapOfPairs
from xframe.comparison.goldens.golden import Golden, is_golden
from xframe.comparison.goldens.holding import hold
from xframe.comparison.groups import grouped
from xframe.comparison.identity import Identity
from xframe.comparison.judging import judge
from xframe.comparison.result import Comparison, Tolerance
from xframe.diagnosis.explaining import explain
from xframe.errors import UsageError, Verbatim, XframeError
from xframe.numerics.file import read_numerics, write_numerics
from xframe.numerics.naming.pair import Write
from xframe.numerics.result import Numerics
from xframe.numerics.runs import judge_runs
from xframe.plan.training_plan import TrainingPlan
from xframe.report.groups import GroupsView
from xframe.report.json_form import json_form
from xframe.report.markdown import markdown
from xframe.report.page.rendering import comparison_page, groups_page
from xframe.report.view import View
from xframe.running import harness
from xframe.running.adapter import processes_of
from xframe.running.progress import Progress
from xframe.running.registry import Selection, load
from xframe.running.request import (
    DEFAULT_ADAPTERS,
    DEFAULT_TASK,
    OPTIMIZER_FILE,
    PLAN_FILE,
    Request,
    log_paths,
    make_way,
    make_way_for_checkpoint,
    new_folder,
    refuse_existing,
    write_text,
)
from xframe.running.runtime import PATIENCE
from xframe.tasks.optimizers.reading import Stated
from xframe.tasks.task import Task
from xframe.trace.ranks import is_run
from xframe.trace.trace import Trace, open_different

_REPORT = "report.json"
_NO_STEPS = (
    "steps of runs with replicas are not made again from one state: losses and final weights are judged by a plain "
    "tolerance, as with --numerics off"
)


def verify(
    plan: TrainingPlan,
    *,
    task: str = DEFAULT_TASK,
    optimizer: Stated | None = None,
    adapters: str | Sequence[str] = DEFAULT_ADAPTERS,
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
    tf32: bool = False,
    workers: int = 0,
    python: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    numerics: str = "quick",
    rtol: float | None = None,
    atol: float | None = None,
    name: str | None = None,
    timeout: float | None = None,
    patience: float = PATIENCE,
    progress: Progress | None = None,
) -> Comparison:
    """Runs the plan through each adapter and compares what was observed.

    Args:
        plan: what should happen.
        task: a built-in task's name, or ``package.module:name``.
        optimizer: in place of the task's own: a rule of ``xframe.optimizers``, a name with settings such as
            ``"adamw weight_decay=0.1"``, a TOML file, or what one holds. What is not set is that name's default.
        adapters: names, each with a loop after a colon if not the default one.
        device: ``cpu``, ``cuda``, or ``auto``, the best that all of them have.
        precision: ``float32``, ``float64``, ``bfloat16`` or ``mixed_float16``.
        threads: CPU threads for each; default: the cores shared out.
        tf32: allow TensorFloat-32 on CUDA.
        workers: processes or threads of each framework's own pipeline that read data.
        python: by adapter, the interpreter to run it with, if not this one.
        out: folder for traces, logs and reports; must not exist. Default: a new one in xframe-runs/, by ``name``.
        numerics: ``quick``, ``full`` or ``off``: at how many steps the others' arithmetic is judged, each step made
            from the first one's own state.
        rtol, atol: tolerance of loss and weights, both or neither.
        timeout: seconds that the runs may take; default: no limit.
        patience: seconds that a replica waits for another one before its framework gives up.
        progress: learns how far each run is.

    Raises:
        UsageError: anything asked for that does not exist or fit.
        WorkerError: a worker died, took too long, or its framework is missing or broken.
    """
    request = Request(
        plan=plan,
        task=task,
        optimizer=optimizer,
        adapters=adapters,
        device=device,
        precision=precision,
        threads=threads,
        tf32=tf32,
        workers=workers,
        python=python,
        out=out,
        numerics=numerics,
        rtol=rtol,
        atol=atol,
        name=name,
        timeout=timeout,
        patience=patience,
    )
    return run_and_compare(request, progress or Progress())


def run_and_compare(request: Request, progress: Progress, write: Write | None = None) -> Comparison:
    """``verify`` of a request: runs, compares, explains, and writes the reports beside the traces.

    ``write`` is a rule as each framework writes it, see ``xframe.translate``, which is above.
    """
    began = time.monotonic()
    task = checked(request)
    folder = new_folder(request)
    traces = traces_in(folder, request)
    numerics = list[Numerics]()

    def judging(sides: Sequence[harness.Remote], places: Sequence[Path]) -> None:
        numerics.extend(judge_runs(sides, places, request, task, folder, write))

    judges = request.numerics != "off" and len(traces) > 1 and request.plan.replicas == 1
    try:
        harness.execute(request, traces, progress, judging if judges else None)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*[str(folder)] * any(trace.exists() for trace in traces.values())) from None
    return judged_in(folder, request, task, numerics, began)


def checked(request: Request) -> Task:
    """The task, once all is refused that must be, before a folder is made and not after the runs."""
    task = request.checked_task()
    request.interpreters()
    request.check_installed()
    Tolerance.given(request.rtol, request.atol)
    return task


def traces_in(folder: Path, request: Request) -> dict[Selection, Path]:
    """Where the trace of each run goes in the folder of all."""
    return {selection: folder / _trace_file(selection.label) for selection in request.selections}


def judged_in(folder: Path, request: Request, task: Task, numerics: Sequence[Numerics], began: float) -> Comparison:
    """Compares the runs in that folder, which are complete, explains, and writes the reports beside them."""
    recorded = [Trace.open(trace) for trace in traces_in(folder, request).values()]
    write_numerics(folder, recorded, numerics)
    comparison = compare_runs(request, task, recorded, numerics)
    if request.numerics != "off" and len(recorded) > 1 and request.plan.replicas > 1:
        comparison = replace(comparison, explanation=(*comparison.explanation, _NO_STEPS))
    comparison = replace(comparison, folder=folder, seconds=time.monotonic() - began)
    remedy = f"The runs are complete; this shows their verdict: xframe compare {folder}"
    write_text(folder / _REPORT, json_form(View.of(comparison)) + "\n", remedy)
    again = [_command(request, folder)]
    write_text(folder / "report.md", markdown(comparison, again), remedy)
    write_page(comparison, folder / "report.html", again, remedy=remedy)
    return comparison


def _command(request: Request, folder: Path) -> str:
    """The command that runs the plan of that folder again."""
    default = Request(plan=request.plan)
    words = ["xframe", "verify", str(folder / PLAN_FILE), "--task", request.task]
    if request.rule is not None:
        words += ["--optimizer", str(folder / OPTIMIZER_FILE)]
    words += ["--adapters", ",".join(selection.label for selection in request.selections)]
    for name in ("device", "precision", "threads", "tf32", "workers", "patience", "numerics", "rtol", "atol"):
        value = getattr(request, name)
        if value != getattr(default, name):
            words += [f"--{name}"] if value is True else [f"--{name}", f"{value}"]
    return shlex.join(words)


def write_page(comparison: Comparison, path: str | Path, again: Sequence[str] = (), *, remedy: str = "") -> None:
    """Writes the page of a comparison, one HTML file; ``again`` are the commands that made its runs.

    Raises:
        UsageError: the file exists.
        XframeError: it cannot be written.
    """
    _write_page(comparison_page(comparison, again), path, remedy)


def write_groups_page(view: GroupsView, path: str | Path) -> None:
    """Writes the page of many runs that were not all meant to be alike; raises as ``write_page``."""
    _write_page(groups_page(view), path)


def _write_page(page: str, path: str | Path, remedy: str = "") -> None:
    refuse_existing(Path(path))
    write_text(Path(path), page, remedy or "Choose another place.")


def run_files(path: str | Path) -> list[Path]:
    """The traces of a folder that ``verify`` or a sweep made, in the order in which it had them; a file as it is, and a
    run of replicas.

    Raises:
        UsageError: a folder without traces.
    """
    path = Path(path)
    if not path.is_dir() or is_run(path):
        return [path]
    order: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError):  # a run that was interrupted has no report
        order = [_trace_file(label) for label in json.loads((path / _REPORT).read_text(encoding="utf-8"))["runs"]]
    files = sorted(path.glob("*.trace")) or sorted(path.glob("trials/*.trace"))  # those are a sweep's
    files.sort(key=lambda file: order.index(file.name) if file.name in order else len(order))
    if not files and (path / PLAN_FILE).is_file():
        raise UsageError(
            "a run's folder without traces",
            got=str(path),
            expected="a run that recorded at least one step",
            remedy="It ended before its first rows came: see its logs, and run it again.",
        )
    if not files:
        raise UsageError("a folder without traces", got=str(path), expected="a trace, or a folder that verify made")
    return files


def _trace_file(label: str) -> str:
    """The name, in a run's folder, of the trace of that adapter and loop."""
    return f"{label.replace(':', '-')}.trace"


def run(request: Request, progress: Progress) -> Trace:
    """Runs the plan through the one adapter of a request, in a process of its own; returns the trace at its ``out``."""
    checked(request)
    ((selection),) = request.selections
    path = Path(request.out or f"{selection.label}.trace")
    processes = processes_of(load(selection.adapter), request.plan, selection.loop)
    make_way(path, processes)
    make_way_for_checkpoint(request.checkpoints, path)
    try:
        harness.execute(request, {selection: path}, progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*[str(path)] * path.exists()) from None
    except UsageError:
        _remove_refused(path, processes)
        raise
    return Trace.open(path)


def _remove_refused(path: Path, processes: int = 1) -> None:
    """What a run left that was refused before it had made a step: it would be in the way of the next try."""
    with suppress(XframeError, OSError):
        if path.exists():
            trace = Trace.open(path)
            if trace.num_rows > (trace.joins[-1].step if trace.joins else 0):
                return
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for log in log_paths(path, processes):
            log.unlink(missing_ok=True)


def compare(
    *runs: Trace | str | Path,
    order: str | None = None,
    identity: Identity | None = None,
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    audits: Mapping[str, Sequence[str]] | None = None,
    rate: Callable[[int], float] | None = None,
    numerics: Sequence[Numerics] = (),
    map_of_pairs: str | Path | MapOfPairs | None = None,
    write: Write | None = None,
) -> Comparison:
    """Compares runs with the plan and with the first of them, and explains why they differ if they do.

    With a golden among them, the others are compared with that, wherever it stands; it takes no other argument than
    ``rtol`` and ``atol``.

    Args:
        runs: the reference, then the candidates, as traces, their files, or folders that ``verify`` made, for all
            traces in them. One alone is compared with the plan only; its replicas, without one, with each other.
        order: ``exact``, or ``coverage`` for scripts that shuffled on their own: equal sizes, updates
            and learning rates, the same samples in each pass; losses and weights are not judged. Default: exact; of
            scripts that were recorded as they are, coverage if they have no order in common, which is said and never
            passes.
        identity: which samples are the same: those of one ``index``, or by their features those that are ``exact``ly
            equal or ``close``, up to rounding. Default: by index, or close where not all runs have indices.
        plan: default: the one recorded in all traces, if it is the same.
        num_samples: size of the data set; default: as recorded.
        rtol, atol: tolerance of loss and weights, both or neither; default: by the runs' precision, see
            ``xframe.comparison.result.TOLERANCES``; where they state different ones, the finer unless weights show
            the coarser.
        audits: by run, what its task's audit found to contradict the trace.
        rate: the task's learning rate at each tick of the plan's ``schedule_clock``; the runs are checked against it.
        numerics: of each further run, what its steps from the first one's states showed. Default: what ``verify`` has
            written beside exactly these traces, or what updates of scripts show that were captured beside theirs.
        map_of_pairs: whose parameter is whose in scripts' captured updates, where that is left open: a TOML file with
            lines of ``"dense/kernel" = "fc1.weight"``, or the same as a mapping.
        write: of a rule, by framework, the line that writes it; for causes that captured updates show.

    Raises:
        UsageError: nothing to compare with, a file with itself, a folder without traces, one of rtol and atol alone, or
            a map of pairs that is none.
        TraceError: a file is damaged, or no trace.
    """
    tolerance = Tolerance.given(rtol, atol)
    goldens = [run for run in runs if not isinstance(run, Trace) and is_golden(run)]
    traces = _opened([run for run in runs if run not in goldens])
    if goldens:
        given = {"order": order, "identity": identity, "plan": plan, "num_samples": num_samples, "rate": rate}
        _require_one_golden(goldens, {**given, "a map of pairs": map_of_pairs})
        return hold(Golden.open(goldens[0]), traces, tolerance)
    said = list[str]()
    if not numerics and len(traces) > 1 and len(folders := {trace.path.parent for trace in traces}) == 1:
        numerics, why = read_numerics(folders.pop(), traces)
        said += [why] if why else []
    if not numerics:
        numerics, notes = captures.judged(traces, map_of_pairs, write)
        said += notes
    findings = judge(
        traces,
        order=order,
        identity=identity,
        plan=plan,
        num_samples=num_samples,
        tolerance=tolerance,
        audits=audits,
        rate=rate,
        numerics=numerics,
    )
    comparison = captures.with_hint(explain(findings), traces)
    return replace(comparison, explanation=(*comparison.explanation, *said)) if said else comparison


def compare_groups(*runs: Trace | str | Path, **options: Any) -> Comparison | GroupsView:
    """Compares those of the runs that were meant to be alike: of one plan, task and precision, or of one seed.

    The comparison of all if nothing shows that some were meant to differ, or an ``order`` is asked for; else each
    group's. Takes what ``compare`` takes, and raises as it does.
    """
    if options.get("order") is not None or any(not isinstance(run, Trace) and is_golden(run) for run in runs):
        return compare(*runs, **options)
    groups = grouped(traces := _opened(runs)) if runs else []
    if len(groups) < 2:
        return compare(*traces, **options)
    judged = []
    for group in groups:
        alone = len(group.traces) == 1 and (group.by != "plan" or group.traces[0].facts.num_samples is None)
        judged.append((group, None if alone else compare(*group.traces, **options)))
    return GroupsView.of(judged)


def _opened(runs: Sequence[Trace | str | Path]) -> list[Trace]:
    """The traces of what ``compare`` takes, each file opened once."""
    files = [run if isinstance(run, Trace) else run_files(run) for run in runs]
    opened = iter(open_different([file for each in files if not isinstance(each, Trace) for file in each]))
    return [run for each in files for run in ([each] if isinstance(each, Trace) else [next(opened) for _ in each])]


def _require_one_golden(goldens: Sequence[str | Path], given: Mapping[str, object]) -> None:
    """Refuses what a golden cannot be compared by."""
    if len(goldens) > 1:
        raise UsageError("two goldens", got=Verbatim(goldens[1]), expected="one golden, and traces beside it")
    for name, value in given.items():
        if value is not None:
            expected = "no other argument than rtol and atol: a golden says what a run must do"
            raise UsageError(f"{name} beside a golden", got=value, expected=expected)


def compare_runs(
    request: Request, task: Task, traces: Sequence[Trace], numerics: Sequence[Numerics] = ()
) -> Comparison:
    """Compares a request's runs, in the order of its selections, with the plan, each other and the task's own audit."""
    audits: dict[str, list[str]] = {}
    if task.audit is not None:
        for trace, selection in zip(traces, request.selections, strict=True):
            weights = trace.weights()
            if weights is not None:
                audits[selection.label] = task.audit(trace, weights)
    return compare(
        *traces,
        plan=request.plan,
        num_samples=task.num_samples,
        rtol=request.rtol,
        atol=request.atol,
        audits=audits or None,
        rate=task.optimizer.rate,
        numerics=numerics,
    )

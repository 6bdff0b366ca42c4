"""What is asked for: which plan, which task, through which adapters, where and how, and where its output goes.

A request is validated once, when it is made. What exists is never overwritten.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xframe.errors import UsageError, Verbatim, XframeError, unknown, unwritable
from xframe.files.new import Passing
from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.adapter import modules
from xframe.running.checkpoints import NOTHING_KEPT, Wanted
from xframe.running.registry import Selection
from xframe.running.runtime import PATIENCE, Runtime
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import Rule, read
from xframe.tasks.optimizers.reading import Stated
from xframe.tasks.task import Task
from xframe.trace.captured import beside
from xframe.trace.weights import weights_path

PLAN_FILE, OPTIMIZER_FILE = "plan.toml", "optimizer.toml"  # in a run's folder; the second if one was given

DEFAULT_TASK = "digits-mlp"
DEFAULT_ADAPTERS = ("torch", "tensorflow")
RUNS = Path("xframe-runs")
NUMERICS = ("quick", "full", "off")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A plan to be run, and all options of ``xframe.verify``, whose docstring says what they mean.

    Raises:
        UsageError: a value that makes no sense, or an adapter or loop that does not exist.
        WorkerError: an adapter is installed but broken.
    """

    plan: TrainingPlan
    task: str = DEFAULT_TASK
    optimizer: Stated | None = None  # in place of the task's own
    adapters: str | Sequence[str] = DEFAULT_ADAPTERS  # one text has commas between them
    device: str = "auto"
    precision: str = "float32"
    threads: int | None = None
    tf32: bool = False
    workers: int = 0
    python: Mapping[str, str] | None = None
    out: str | Path | None = None  # None for a new folder in xframe-runs/
    name: str | None = None  # of the plan, in that folder's name; None for the plan's digest
    rtol: float | None = None
    atol: float | None = None
    timeout: float | None = None  # seconds that the runs may take
    patience: float = PATIENCE  # seconds that replicas wait for each other
    numerics: str = "quick"  # a key of ``EXTENTS``, or "off"
    checkpoints: Wanted = NOTHING_KEPT  # of a run by one adapter
    rule: Rule | None = field(init=False)  # that optimizer
    selections: tuple[Selection, ...] = field(init=False)  # each an existing adapter with an existing loop
    runtime: Runtime = field(init=False)  # of all of them; the loop is each selection's own

    def __post_init__(self) -> None:
        if not isinstance(self.plan, TrainingPlan) or not isinstance(self.task, str):
            raise UsageError(
                "verify", got=(self.plan, self.task), expected="an xframe.TrainingPlan and the name of a task"
            )
        for name, seconds in (("timeout", self.timeout), ("patience", self.patience)):
            if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds < float("inf")):
                raise UsageError(name, got=seconds, expected="a number of seconds above 0")
        if self.numerics not in NUMERICS:
            raise unknown("numerics", str(self.numerics), NUMERICS)
        names = self.adapters.split(",") if isinstance(self.adapters, str) else tuple(self.adapters)
        runtime = Runtime(self.device, self.precision, self.threads, tf32=self.tf32, workers=self.workers)  # type: ignore[arg-type]
        object.__setattr__(self, "rule", None if self.optimizer is None else read(self.optimizer))
        object.__setattr__(self, "selections", tuple(registry.select(names)))
        object.__setattr__(self, "runtime", runtime)

    def checked_task(self) -> Task:
        """The task, once the plan fits it and every adapter can run it.

        Raises:
            UsageError: there is no such task, it does not fit, or an adapter refuses.
        """
        task = find_task(self.task)
        if self.rule is not None:
            task = _with_rule(task, self.rule)
        _check(self.plan, task, self.runtime)
        for selection in self.selections:
            adapter = registry.load(selection.adapter)
            reasons = adapter.check(self.plan, task, replace(self.runtime, loop=selection.loop))
            if reasons:
                raise UsageError(f"adapter {selection.label!r} cannot run this", got=Verbatim("; ".join(reasons)))
        return task

    def check_installed(self) -> None:
        """That what the adapters' loops import is there, of those that run with this interpreter.

        Raises:
            UsageError: a module is not.
        """
        for selection in self.selections:
            needed = {} if selection.adapter in (self.python or {}) else _modules(selection)
            for module, install in needed.items():
                if importlib.util.find_spec(module) is None:
                    raise UsageError(
                        f"adapter {selection.label!r} needs a package that is not installed",
                        got=Verbatim(f"no module {module!r} for {sys.executable}"),
                        remedy=f"Install it: {install}",
                    )

    def interpreters(self) -> dict[str, str]:
        """By adapter, the interpreter to run it with: the one asked for, else this one.

        Raises:
            UsageError: one for an adapter that is not chosen, or one that does not exist.
        """
        chosen = {selection.adapter: sys.executable for selection in self.selections}
        for name, interpreter in (self.python or {}).items():
            if name not in chosen:
                raise UsageError(
                    "an interpreter for an adapter that is not chosen", got=name, expected="one of " + ", ".join(chosen)
                )
            path = shutil.which(interpreter)
            if path is None:
                raise UsageError(f"no such interpreter for {name!r}", got=interpreter, expected="the path of a Python")
            chosen[name] = path
        return chosen


def _modules(selection: Selection) -> dict[str, str]:
    return modules(registry.load(selection.adapter), selection.loop)


def _with_rule(task: Task, rule: Rule) -> Task:
    """The task with a different optimizer than its own."""
    if task.audit is not None:
        raise UsageError(
            f"task {task.name!r} checks what its own optimizer does to the weights",
            got=rule,
            expected=f"no --optimizer, for {task.optimizer}, or a different task",
        )
    if rule.groups:
        rule.check_names(list(task.weights()))
    return replace(task, optimizer=rule)


def _check(plan: TrainingPlan, task: Task, runtime: Runtime) -> None:
    """Refuses a plan that does not fit its task."""
    if plan.validation_every is not None and task.validation is None:
        raise UsageError(
            f"the plan validates, and task {task.name!r} has nothing to validate on",
            got=Verbatim(f"validation_every {plan.validation_every}"),
            expected="a task with validation and num_validation",
        )
    if plan.early_stopping_monitor == "accuracy" and "accuracy" not in task.metrics:
        raise UsageError(
            f"the plan stops by accuracy, and task {task.name!r} does not measure it",
            got=Verbatim(f"metrics {task.metrics}"),
            expected="a task with metrics=('accuracy',), or early_stopping_monitor loss",
        )
    updates = Cadence(plan, task.num_samples).num_updates
    most = None if task.max_updates is None else task.max_updates(plan, runtime.precision)
    if most is not None and updates > most:
        raise UsageError(
            f"task {task.name!r} cannot hold that many updates in {runtime.precision}",
            got=updates,
            expected=f"at most {most} under this plan",
            remedy="Use a larger batch_size, fewer epochs, or --precision float64.",
        )


def new_folder(request: Request, prefix: str = "") -> Path:
    """A new folder for the runs of a request, with its plan in it: ``out``, or the next free ``xframe-runs/name-n``.

    Raises:
        UsageError: ``out`` exists, or no folder can be made there.
        XframeError: the plan cannot be written in it.
    """
    if request.out is None:
        folder = next_free(f"{prefix}{request.name or request.plan.digest[:8]}")
    else:
        folder = Path(request.out)
        refuse_existing(folder)
        _make(folder)
    try:
        for name, held in ((PLAN_FILE, request.plan), (OPTIMIZER_FILE, request.rule)):
            if held is not None:
                write_text(folder / name, held.to_toml(), "Free some space, or choose another place with --out.")
    except XframeError:
        (folder / PLAN_FILE).unlink(missing_ok=True)
        folder.rmdir()  # it would be in the way of the next try
        raise
    return folder


def write_text(path: Path, text: str, remedy: str) -> None:
    """Writes a file, all of it or none.

    Raises:
        XframeError: the disk is full, or cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        expected = f"a place that can be written ({error.strerror})"
        raise XframeError(f"cannot write {path.name}", got=str(path), expected=expected, remedy=remedy) from None


def make_way(trace: Path, processes: int = 1) -> None:
    """Makes the folder of a trace to be, which so many processes write.

    Raises:
        UsageError: the trace, its weights or a log exist, or the folder cannot be made.
    """
    for file in (trace, weights_path(trace), *log_paths(trace, processes)):
        refuse_existing(file)
    _make(trace.parent, exist_ok=True)


def make_way_for_checkpoint(wanted: Wanted, trace: Path) -> None:
    """That a checkpoint can be written where it is to be, before the run that is to write it and that trace.

    Raises:
        UsageError: there is a file, which is not the one that the run goes on from; or none can be made there; or it is
            one that the run itself makes.
    """
    if wanted.file is None:
        return
    file = Path(wanted.file)
    for own in (*beside(trace), log_path(trace)):
        if file.resolve() == own.resolve():
            raise UsageError(
                "the checkpoint would take the place of a file that the run makes",
                got=str(wanted.file),
                expected=f"another file than {own.name}, which is of the trace {trace.name}",
            )
    if wanted.resume is None or file.resolve() != Path(wanted.resume).resolve():
        refuse_existing(file)
    _make(file.parent, exist_ok=True)
    try:
        Passing(file).close()
    except OSError as error:
        raise unwritable("write the checkpoint", file, error) from None


def log_path(trace: Path, replica: int | None = None) -> Path:
    """Where the worker that writes that trace, or that replica's part of it, prints to."""
    return trace.with_suffix(".log") if replica is None else trace.with_name(f"{trace.stem}-{replica}.log")


def log_paths(trace: Path, processes: int) -> list[Path]:
    """Those of all workers that write that trace."""
    return [log_path(trace)] if processes == 1 else [log_path(trace, index) for index in range(processes)]


def next_free(name: str) -> Path:
    """A new folder ``xframe-runs/name-n``, with the first n that is free.

    Raises:
        UsageError: no folder can be made there.
    """
    number = 1
    while True:
        folder = RUNS / f"{name}-{number}"
        try:
            _make(folder)
        except FileExistsError:
            number += 1
        else:
            return folder


def _make(folder: Path, *, exist_ok: bool = False) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable("make the folder", folder, error, "Choose another with --out.") from None


def refuse_existing(place: Path) -> None:
    """Raises ``UsageError`` if there is something: what exists is never overwritten."""
    if place.exists():
        raise UsageError(
            "the output exists already", got=str(place), expected="a new name", remedy="Remove it or choose another."
        )

"""``xframe sweep``: many trials of one file."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from xframe.cli.grouping import GIVEN, PRINTED, WHAT, WHERE
from xframe.cli.options import Json, Python, flag, number, option, pairs, word
from xframe.cli.printing import answer, progress_bars, remark
from xframe.errors import counted
from xframe.tables import plain

if TYPE_CHECKING:
    from xframe.sweep.grid import Sweep
    from xframe.sweep.sweeping import Work


@Parameter(name="*")
@dataclass(frozen=True)
class SweepOptions:
    """How trials are run."""

    retry: Annotated[bool, flag("Run trials again that failed.", WHAT)] = False
    timeout: Annotated[
        float | None, option("Seconds that a trial may take; then its outcome is timeout. Default: no limit.", WHERE)
    ] = None
    jobs: Annotated[
        int | None, number("Trials at a time. Default: one a core; 1 where times are to be compared.", WHERE)
    ] = None
    engine: Annotated[
        Literal["local", "ray", "dask"],
        word("ray and dask: the cluster of RAY_ADDRESS or DASK_SCHEDULER_ADDRESS, or one started here.", WHERE),
    ] = "local"
    python: Python = None
    no_traces: Annotated[bool, flag("Keep the table alone, no trace of each trial.", PRINTED)] = False

    def work(self, sweep: Sweep, out: Path | None) -> Work:
        """The trials to run in that folder."""
        from xframe.sweep.sweeping import Work

        given = {name: getattr(self, name) for name in ("retry", "timeout", "jobs", "engine")}
        python = pairs("--python", self.python, "ADAPTER=/path/to/python")
        return Work(sweep, out, python=python, traces=not self.no_traces, **given)

    def command(self, file: Path, out: Path | None) -> str:
        """That goes on with the sweep."""
        given: dict[str, object] = {"--out": out, "--jobs": self.jobs, "--timeout": self.timeout}
        given["--engine"] = None if self.engine == "local" else self.engine
        words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        words += [word for value in self.python or [] for word in ("--python", value)]
        return shlex.join(["xframe", "sweep", str(file), *words, *["--no-traces"] * self.no_traces])


ONE_A_CORE = SweepOptions()


def sweep(
    file: Annotated[
        Path, Parameter(name="FILE.toml", help="What to run; or a sweep's folder, to go on there.", group=GIVEN)
    ],
    /,
    *,
    show: Annotated[
        bool,
        Parameter(name="--list", help="List the trials; run nothing.", group=WHAT, negative="", show_default=False),
    ] = False,
    options: SweepOptions = ONE_A_CORE,
    out: Annotated[
        Path | None, option("The sweep's folder: a new one, or one to go on with. Default: in xframe-runs/.", PRINTED)
    ] = None,
    json: Json = False,
) -> int:
    """Run a grid of plans, tasks, adapters and seeds, each trial a process of its own, into one Parquet table.

    FILE.toml has what all trials share, and lists, each an axis of the grid. These are 3 × 2 × 3 = 18 trials:

        [plan]
        epochs = 3
        [run]
        task = "digits-mlp"
        [grid]
        batch_size = [32, 64, 128]
        adapter = ["torch", "tensorflow:fit"]
        seed = [0, 1, 2]

    [plan] has fields of the plan (see xframe plan --help); [run] has task, optimizer, adapter, precision, device,
    threads, tf32, workers; [grid] lists of both. Values that go together are tables [[cases]], each of them combined
    with the grid, whose name = "..." is a column of the table. A table [[exclude]] leaves out the trials that have all
    its values.

    seed draws the order of the samples, not the starting weights, which are the task's. Tasks are built in or your own;
    scripts are run by a loop of the shell instead: xframe record --out runs/NAME.trace -- python train.py ...

    See first what it amounts to: xframe sweep FILE.toml --list

    However a sweep is stopped, the same command goes on: trials that are done are not run again. With a changed
    FILE.toml and the --out of before, only trials that are new run. A crash, a hang (--timeout) or the end of memory is
    the outcome of its trial, and the others run.

        import pandas
        table = pandas.read_parquet("xframe-runs/FILE-1/results.parquet")
        table.groupby(["adapter", "batch_size"])["last_epoch_loss"].mean()

    Exit codes: 0 all trials ran, and those of one plan have one certificate; 1 they differ; 3 some trial failed;
    130 interrupted.
    """
    from xframe.sweep.sweeping import opened

    read, out = opened(file, out)
    if show:
        return _list(read, json=json)
    return _run(options.work(read, out), options.command(file, None if out == file else out), json=json)


def _run(work: Work, again: str, *, json: bool) -> int:
    """Runs the trials; stopped, it says what goes on."""
    _begin(work, again)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress_bars() as progress:
            result = work.run(progress)
    except KeyboardInterrupt:
        done = len(work.folder.done(work.ids))
        remark(f"xframe: {done:,} of {counted(len(work.ids), 'trial')} done in {work.folder.root}. Go on: {again}")
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGTERM, before)
    answer(result.to_dict(), result.text(), json=json)
    return result.exit_code


def _begin(work: Work, again: str) -> None:
    """What is said before the first trial runs."""
    done = len(work.done())
    state = f", {done:,} done before, {len(work.ids) - done:,} to run" if done else ""
    remark(f"xframe: {counted(len(work.ids), 'trial')} in {work.folder.root}{state}. If it is stopped: {again}")


def _list(sweep: Sweep, *, json: bool) -> int:
    """The trials, and what they amount to."""
    facts = [
        {
            "trial": one.id,
            "case": one.case,
            "plan": dict(one.given),
            **one.settings,
            "num_steps": sweep.num_steps[one.id],
            "command": one.command,
        }
        for one in sweep.trials
    ]
    steps = sum(sweep.num_steps.values())
    names = list(dict.fromkeys(name for one in sweep.trials for name in one.varied))
    rows = [["trial", *names, "steps"]]
    rows += [
        [one.id, *(str(one.varied.get(name, "")) for name in names), f"{sweep.num_steps[one.id]:,}"]
        for one in sweep.trials
    ]
    text = "\n".join(
        [*plain(rows, right=(len(names) + 1,)), f"{counted(len(facts), 'trial')}, {counted(steps, 'step')}"]
    )
    answer({"trials": facts, "num_trials": len(facts), "num_steps": steps}, text, json=json)
    return 0

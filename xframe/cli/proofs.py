"""Commands that measure xframe itself and the loops: ``xframe selftest`` and ``xframe bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from xframe.cli import names
from xframe.cli.grouping import PLANNED, PRINTED, WHAT
from xframe.cli.names import listed
from xframe.cli.options import (
    NO_OPTIONS,
    Device,
    Json,
    PlanFile,
    PlanOptions,
    Precision,
    Python,
    Tf32,
    many,
    number,
    option,
    pairs,
    runtime,
)
from xframe.cli.printing import answer, progress_bars
from xframe.errors import UsageError, Verbatim

if TYPE_CHECKING:
    from xframe.report.bench import LoopBench


def selftest(
    *,
    adapters: Annotated[
        str | None,
        option("Comma separated. Default: those whose framework is installed.", WHAT, listed(names.adapters)),
    ] = None,
    fault: Annotated[
        list[str] | None, many("Only this one; list prints their names. Default: all.", WHAT, names.faults)
    ] = None,
    mutations: Annotated[int, number("Random changes of recorded rows, for each adapter. Default: 200.", WHAT)] = 200,
    clean_runs: Annotated[
        int, number("Random plans run without a fault, through every adapter. Default: 60.", WHAT)
    ] = 60,
    seed: Annotated[int, number("Of the mutations and the random plans. Default: 0.", WHAT)] = 0,
    json: Json = False,
) -> int:
    """Prove that xframe can fail: train with known bugs and see whether each is found, where, and with its cause.

    Beside it the same runs judged as people do today: totals, loss curves, means and norms of batches. Takes a few
    minutes. Exit code 1 unless every fault is found at its very step and no clean run raises an alarm.
    """
    from xframe.testing.selftest import selftest as prove
    from xframe.testing.selftest.results import text

    if fault == ["list"]:
        known = list(names.faults())
        answer({"faults": known}, "\n".join(known), json=json)
        return 0
    chosen = None if adapters is None else adapters.split(",")
    with progress_bars() as progress:
        result = prove(chosen, fault, mutations, clean_runs, seed, progress)
    answer(result.to_dict(), text(result), json=json)
    return result.exit_code


def bench(
    file: PlanFile = None,
    /,
    *,
    loops: Annotated[
        str | None, option("By name, or adapters for all of theirs, comma separated.", WHAT, listed(names.loops))
    ] = None,
    rounds: Annotated[int | None, number("Segments of each loop (15), or runs of each adapter (7).", WHAT)] = None,
    seconds: Annotated[float | None, option("That a segment of a loop is to take. Default: 0.5.", WHAT)] = None,
    seed: Annotated[int, number("Of the order in each round. Default: 0.", WHAT)] = 0,
    task: Annotated[str | None, option("See xframe tasks. Default: digits-mlp.", PLANNED, names.tasks)] = None,
    adapters: Annotated[
        str | None, option("Comma separated. Default: torch,tensorflow.", PLANNED, listed(names.adapters))
    ] = None,
    device: Annotated[Device | None, runtime("Default: auto.", PLANNED)] = None,
    precision: Annotated[Precision | None, runtime("Default: float32.", PLANNED)] = None,
    threads: Annotated[int | None, number("CPU threads of each run. Default: all cores.", PLANNED)] = None,
    tf32: Tf32 = False,
    python: Python = None,
    out: Annotated[Path | None, option("New folder for traces. Default: in xframe-runs/.", PLANNED)] = None,
    html: Annotated[
        Path | None,
        option("Without a plan: write a page to this new file, too. With one it is in the folder.", PRINTED),
    ] = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Measure what training loops cost per step, or how fast a plan is in each framework.

    Without a plan: bare loops, xframe's recorded ones and those of trainers, in turns, one process and one thread each,
    on a perceptron so small that the loops' own cost shows. What is not installed is left out and named.

    With a plan: samples a second of recorded runs, one at a time. The ratio is given only if those very runs had the
    same structure (else exit code 1).
    """
    from xframe.bench import throughput
    from xframe.report.page.benches import loops_page
    from xframe.running.request import DEFAULT_ADAPTERS, Request, refuse_existing, write_text

    options = {"task": task, "device": device, "precision": precision, "threads": threads, "out": out}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if file is None:
        others = {**given, "adapters": adapters, "tf32": tf32, "python": python}
        stray = [name for name, value in others.items() if value] + ["the plan's fields"] * (plan != NO_OPTIONS)
        if stray:
            raise UsageError("bench without a plan", got=Verbatim(", ".join(stray)), expected="a PLAN.toml with these")
        if html is not None:
            refuse_existing(html)
        results = _bench_loops(None if loops is None else loops.split(","), rounds, seconds, seed)
        if html is not None:
            write_text(html, loops_page(results), "Choose another place.")
        answer({"benches": [one.to_dict() for one in results]}, "\n\n".join(map(str, results)), json=json)
        return max(result.exit_code for result in results)
    if loops is not None or seconds is not None or html is not None:
        raise UsageError("--loops, --seconds and --html", got=str(file), expected="no plan: they are for bench alone")
    request = Request(
        plan=plan.on(file),
        adapters=DEFAULT_ADAPTERS if adapters is None else adapters,
        tf32=tf32,
        python=pairs("--python", python, "ADAPTER=/path/to/python"),
        name=None if plan != NO_OPTIONS else file.stem,
        **given,
    )
    with progress_bars() as progress:
        result = throughput.bench_plan(
            request, rounds=throughput.ROUNDS if rounds is None else rounds, seed=seed, progress=progress
        )
    answer(result.to_dict(), str(result), json=json)
    return result.exit_code


def _bench_loops(names: list[str] | None, rounds: int | None, seconds: float | None, seed: int) -> list[LoopBench]:
    """What ``bench`` does without a plan."""
    from xframe.bench import loops

    with progress_bars() as progress:
        return loops.bench_loops(
            loops=names,
            rounds=loops.ROUNDS if rounds is None else rounds,
            seconds=loops.SECONDS if seconds is None else seconds,
            seed=seed,
            progress=progress,
        )

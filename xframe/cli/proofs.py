"""Commands that measure xframe itself and the loops: ``xframe selftest`` and ``xframe bench``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

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
    from xframe.running.request import Request


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


@Parameter(name="*")
@dataclass(frozen=True)
class BenchOptions:
    """What a plan is timed with; what is not given is as ``Request`` has it."""

    task: Annotated[str | None, option("See xframe tasks. Default: digits-mlp.", PLANNED, names.tasks)] = None
    optimizer: Annotated[
        str | None, option("As xframe verify takes it. Default: the task's own.", PLANNED, names.optimizers)
    ] = None
    adapters: Annotated[
        str | None, option("Comma separated. Default: torch,tensorflow.", PLANNED, listed(names.adapters))
    ] = None
    device: Annotated[Device | None, runtime("Default: auto.", PLANNED)] = None
    precision: Annotated[Precision | None, runtime("Default: float32.", PLANNED)] = None
    threads: Annotated[int | None, number("CPU threads of each run. Default: all cores.", PLANNED)] = None
    tf32: Tf32 = False
    python: Python = None
    out: Annotated[Path | None, option("New folder for traces. Default: in xframe-runs/.", PLANNED)] = None

    def request(self, file: Path | None, plan: PlanOptions) -> Request:
        """To time the plan of that file, or the default one, with those fields."""
        from xframe.running.request import DEFAULT_ADAPTERS, Request

        given = {name: value for name, value in vars(self).items() if value is not None}
        given["python"] = pairs("--python", self.python, "ADAPTER=/path/to/python")
        name = None if file is None or plan != NO_OPTIONS else file.stem
        return Request(plan=plan.on(file), name=name, **{"adapters": DEFAULT_ADAPTERS, **given})


NO_BENCH_OPTIONS = BenchOptions()


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
    options: BenchOptions = NO_BENCH_OPTIONS,
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
    same structure (else exit code 1). Fields of the plan, and options that stand under "With a plan", apply to
    PLAN.toml; without that, to 3 epochs of the handwritten digits in batches of 64.
    """
    if file is None and options == NO_BENCH_OPTIONS and plan == NO_OPTIONS:
        return _bench_loops(None if loops is None else loops.split(","), rounds, seconds, seed, html, json=json)
    from xframe.bench import throughput

    alone = {"--loops": loops, "--seconds": seconds, "--html": html}
    if stray := [name for name, value in alone.items() if value is not None]:
        raise UsageError(" and ".join(stray), got=Verbatim("a plan"), expected="none: they are for bench without one")
    with progress_bars() as progress:
        result = throughput.bench_plan(
            options.request(file, plan),
            rounds=throughput.ROUNDS if rounds is None else rounds,
            seed=seed,
            progress=progress,
        )
    answer(result.to_dict(), str(result), json=json)
    return result.exit_code


def _bench_loops(
    names: list[str] | None,
    rounds: int | None,
    seconds: float | None,
    seed: int,
    html: Path | None,
    *,
    json: bool,
) -> int:
    """What ``bench`` does without a plan."""
    from xframe.bench import loops
    from xframe.report.page.benches import loops_page
    from xframe.running.request import refuse_existing, write_text

    if html is not None:
        refuse_existing(html)
    with progress_bars() as progress:
        results = loops.bench_loops(
            loops=names,
            rounds=loops.ROUNDS if rounds is None else rounds,
            seconds=loops.SECONDS if seconds is None else seconds,
            seed=seed,
            progress=progress,
        )
    if html is not None:
        write_text(html, loops_page(results), "Choose another place.")
    answer({"benches": [one.to_dict() for one in results]}, "\n\n".join(map(str, results)), json=json)
    return max(result.exit_code for result in results)

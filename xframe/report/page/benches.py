"""The pages of benches: every measurement a dot, so that what is unstable is seen to be."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xframe.report.bench import LoopBench, PlanBench
from xframe.report.machine import environment_line
from xframe.report.page.rendering import checks_of, render
from xframe.report.view import View

Table = list[list[str]]


@dataclass(frozen=True, slots=True)
class Dots:
    """Measurements on one scale from 0 to the largest.

    Attributes:
        rows: of each thing that was measured its name, its measurements in words, and where each of them stands, in
            percent of the scale.
    """

    title: str
    sentence: str
    rows: list[tuple[str, str, list[str]]]


def plan_bench_page(bench: PlanBench) -> str:
    """The page of a plan's throughput."""
    ratios = [line.replace("samples/s", "Samples a second", 1) for line in bench.ratio_lines()]
    steady = all(estimate.stable for estimate in bench.ratios().values())
    speeds = {
        bench.loop(name): [run.samples_per_second for run in runs if run.samples_per_second]
        for name, runs in bench.runs.items()
    }
    view = View.of(bench.worst)
    return render(
        "bench.html.jinja",
        title=f"bench: {' and '.join(map(bench.loop, bench.runs))}",
        state="failed" if not bench.comparable else "passed" if steady else "inconclusive",
        heading="Not comparable" if not bench.comparable else "Comparable" if steady else _unsteady(bench),
        headline="; ".join(ratios)
        or ("One adapter was measured" if len(bench.runs) == 1 else "The runs were not the same training"),
        facts=[f"task {bench.task}", bench.plan, f"the runs that were timed: {view.closing}"],
        reasons=bench.why_not(),
        tables=[("What was measured, median over rounds", bench.table())],
        dots=[_dots("Samples a second", "Each dot is a run.", speeds)],
        checks=checks_of(view),
        remarks=[*bench.notes(), _settings(bench.settings), environment_line(bench.environment)],
        again=[again(bench)],
    )


def again(bench: PlanBench) -> str:
    """The command that makes a plan's bench again, with every setting that is not the command's default."""
    given = bench.settings
    words = ["xframe", "bench", str(bench.folder / "plan.toml"), "--task", bench.task]
    words += ["--adapters", ",".join(map(bench.loop, bench.runs))]
    for name in ("device", "precision", "threads", "rounds", "seed"):
        if given.get(name) is not None and (name, given[name]) != ("seed", 0):
            words += [f"--{name}", str(given[name])]
    words += ["--tf32"] * bool(given.get("tf32"))
    for name, interpreter in (given.get("python") or {}).items():
        words += ["--python", f"{name}={interpreter}"]
    return shlex.join(words)


def _unsteady(bench: PlanBench) -> str:
    few = all(estimate.within or estimate.low is None for estimate in bench.ratios().values())
    return "Same work, but too few rounds" if few else "Same work, but the ratio is unstable"


def _settings(settings: Mapping[str, Any]) -> str:
    """Where and how the runs were made, in words."""
    rounds, seed = settings["rounds"], settings.get("seed", 0)
    kernels = "deterministic kernels asked for" if settings.get("deterministic") else "kernels as they come"
    where = [
        settings.get("device"),
        settings.get("precision"),
        kernels,
        "TF32 allowed" if settings.get("tf32") else None,
    ]
    how = f"{rounds} {'round' if rounds == 1 else 'rounds'}, a process for each run, in random order (seed {seed})"
    return ", ".join([*filter(None, where), how])


def loops_page(benches: Sequence[LoopBench]) -> str:
    """The page of what loops cost."""
    failed = any(bench.exit_code for bench in benches)
    tables = [(f"{bench.title}: {table[0][0]}", table) for bench in benches for table in bench.by_framework()]
    dots = []
    for bench in benches:
        for framework in dict.fromkeys(loop.framework for loop in bench.loops):
            costs = {
                loop.name: [one.us_per_step for one in loop.segments]
                for loop in bench.loops
                if loop.framework == framework and loop.segments
            }
            dots.append(
                _dots(f"{framework}, {bench.workload['task']}", "Microseconds a step; each dot is a segment.", costs)
            )
    return render(
        "bench.html.jinja",
        title="bench: what loops cost",
        state="inconclusive" if failed else "passed",
        heading="A loop failed" if failed else "Measured",
        headline="What training loops cost per step, on a model so small that the loops' own cost shows",
        facts=[bench.title for bench in benches],
        reasons=[],
        tables=tables,
        dots=dots,
        checks=[],
        remarks=list(dict.fromkeys(remark for bench in benches for remark in bench.remarks())),
        again=[_loops_again(benches)],
    )


def _loops_again(benches: Sequence[LoopBench]) -> str:
    given, measured = benches[0].settings, [loop.name for bench in benches for loop in bench.loops]
    settings = [f"--{name} {given[name]:g}" for name in ("rounds", "seconds", "seed")]
    return " ".join(["xframe bench --loops", shlex.quote(",".join(dict.fromkeys(measured))), *settings])


def _dots(title: str, sentence: str, measured: Mapping[str, Sequence[float]]) -> Dots:
    most = max((value for values in measured.values() for value in values), default=0.0) or 1.0
    rows = []
    for name, values in measured.items():
        words = f"{len(values)} measurements from {min(values):,.4g} to {max(values):,.4g}" if values else "none"
        rows.append((name, words, [f"{100 * value / most:.1f}" for value in values]))
    return Dots(title, f"{sentence} The scale is from 0 to {most:,.{0 if most >= 1000 else 1}f}.", rows)

"""The self-proof: known faults, and whether a comparison finds each, at its very step, with its cause; and clean runs.

Each adapter trains in a process of its own, ``python -m xframe.testing.selftest JOB``, which writes traces to a
folder and a JSON line for each on standard output. All judging is done here, on the traces, in three settings:

    alone          the run against its plan; only where structure shows the fault
    with a plan    an honest run of the same adapter and this one, both recorded under the plan
    without one    the same two, recorded by loops that knew of no plan

A fault counts as found, localised or explained only if it is in every setting. The cause is the one named first.
Nothing is retried or left out: a fault that cannot run counts as missed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim, WorkerError, unknown
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.builtin.ledger import ledger
from xframe.tasks.lookup import find_task
from xframe.testing import clean
from xframe.testing.baselines import BASELINES, Features, Logged, differs
from xframe.testing.faults import BY_NAME, FAULTS, Fault, make, takes_faults, with_validation
from xframe.testing.mutators import BASES, MUTATORS, Rows, mutate, rows_of, write
from xframe.trace.trace import Trace
from xframe.verification import compare

if TYPE_CHECKING:
    from xframe.comparison.result import Comparison
    from xframe.running.adapter import Adapter
    from xframe.tasks.task import Task

TASK = "digits-mlp"
PRECISIONS = {"faults": "float32", "clean": "float64"}  # the ledger spells more updates in float64
ALONE, WITH_PLAN, WITHOUT_PLAN = "alone", "with a plan", "without a plan"
MOST_CHILDREN = 2
CAUSES_RIGHT = 0.9  # of all faults, at least


# --- results ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a comparison said of one faulty run in one setting, beside what it had to say."""

    setting: str
    detected: bool
    localised: bool
    check: str | None
    step: int | None
    cause: str | None
    right: bool
    certain: bool

    @property
    def misleads(self) -> bool:
        return self.certain and not self.right


@dataclass(frozen=True)
class Finding:
    """One faulty run.

    Attributes:
        kind: ``fault`` or ``mutation``.
        name: of the fault or the mutator.
        check, step, causes: what is right.
        told: by setting; empty if the fault did not run, then ``problem`` says why.
        baselines: which of them saw a difference.
    """

    adapter: str
    kind: str
    name: str
    check: str
    step: int | None
    causes: tuple[str, ...]
    told: tuple[Told, ...] = ()
    baselines: dict[str, bool] = field(default_factory=dict)
    problem: str = ""

    @property
    def detected(self) -> bool:
        return bool(self.told) and all(told.detected for told in self.told)

    @property
    def localised(self) -> bool:
        return bool(self.told) and all(told.localised for told in self.told)

    @property
    def cause_right(self) -> bool:
        return bool(self.told) and all(told.right for told in self.told)

    @property
    def misleads(self) -> bool:
        return any(told.misleads for told in self.told)

    def to_dict(self) -> dict[str, Any]:
        return {
            "adapter": self.adapter,
            "kind": self.kind,
            "name": self.name,
            "check": self.check,
            "step": self.step,
            "causes": list(self.causes),
            "detected": self.detected,
            "localised": self.localised,
            "cause_right": self.cause_right,
            "cause_wrong_but_certain": self.misleads,
            "told": {
                told.setting: {
                    "check": told.check,
                    "step": told.step,
                    "cause": told.cause,
                    "certain": told.certain,
                    "right": told.right,
                }
                for told in self.told
            },
            "baselines": self.baselines,
            "problem": self.problem,
        }

    def __str__(self) -> str:
        if not self.told:
            return f"{self.adapter} {self.name}: {self.problem}"
        wanted = f"{self.check} at {self.step}, {' or '.join(self.causes)}"
        said = "; ".join(
            f"{t.setting}: {t.check} at {t.step}, {t.cause}{' for certain' if t.certain else ''}" for t in self.told
        )
        return f"{self.adapter} {self.name}: {wanted}; {said}"


def _figures(found: Sequence[Finding]) -> dict[str, int]:
    return {
        "faults": len(found),
        "detected": sum(one.detected for one in found),
        "localised": sum(one.localised for one in found),
        "cause_right": sum(one.cause_right for one in found),
        "cause_wrong_but_certain": sum(one.misleads for one in found),
    }


@dataclass(frozen=True)
class Clean:
    """The honest runs.

    Attributes:
        runs: how many, random ones and those that the faults are held against.
        plans: random plans among them.
        steps: of all runs.
        comparisons: of a run with its plan, and of two adapters' runs, with and without a plan.
        alarms: a line for each comparison that did not pass, or named a cause.
        pairs: of two adapters' runs on real data, which the baselines judge too.
        baseline_alarms: how many of these pairs each baseline calls different.
        refused: what an adapter said it cannot run.
    """

    runs: int = 0
    plans: int = 0
    steps: int = 0
    comparisons: int = 0
    alarms: tuple[str, ...] = ()
    pairs: int = 0
    baseline_alarms: dict[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelfTest:
    """All that was found; true only if it is what xframe promises of itself."""

    adapters: tuple[str, ...]
    findings: tuple[Finding, ...]
    clean: Clean
    seed: int
    seconds: float

    def of(self, kind: str, adapter: str | None = None) -> list[Finding]:
        return [one for one in self.findings if one.kind == kind and adapter in (None, one.adapter)]

    @property
    def misses(self) -> list[Finding]:
        """What was not told in full, the worst first."""
        missed = [one for one in self.findings if not (one.detected and one.localised and one.cause_right)]
        return sorted(missed, key=lambda one: (one.detected, one.localised, not one.misleads))

    def __bool__(self) -> bool:
        every = [_figures(self.of(kind)) for kind in ("fault", "mutation")]
        found = all(
            one["detected"] == one["localised"] == one["faults"]
            and one["cause_right"] >= CAUSES_RIGHT * one["faults"]
            and not one["cause_wrong_but_certain"]
            for one in every
        )
        return found and not self.clean.alarms and bool(self.findings or self.clean.runs)

    @property
    def exit_code(self) -> int:
        return 0 if self else 1

    def baselines(self, adapter: str | None = None) -> dict[str, int]:
        """How many named faults each of them sees."""
        return {name: sum(one.baselines.get(name, False) for one in self.of("fault", adapter)) for name in BASELINES}

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; the keys up to ``baselines`` are a contract."""
        return {
            **_figures(self.of("fault")),
            "clean_runs": self.clean.runs,
            "false_alarms": len(self.clean.alarms),
            "baselines": self.baselines(),
            "passed": bool(self),
            "adapters": {
                name: {**_figures(self.of("fault", name)), "baselines": self.baselines(name)} for name in self.adapters
            },
            "mutations": {
                **_figures(self.of("mutation")),
                "adapters": {name: _figures(self.of("mutation", name)) for name in self.adapters},
            },
            "clean": {
                "random_plans": self.clean.plans,
                "steps": self.clean.steps,
                "comparisons": self.clean.comparisons,
                "alarms": list(self.clean.alarms),
                "pairs": self.clean.pairs,
                "baseline_false_alarms": self.clean.baseline_alarms,
                "refused": list(self.clean.refused),
            },
            "misses": [one.to_dict() for one in self.misses],
            "found": [one.to_dict() for one in self.findings],
            "task": TASK,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }

    def text(self) -> str:
        """The tables that the README shows."""
        named, mutated = self.of("fault"), self.of("mutation")
        rows = [(name, _figures(self.of("fault", name))) for name in self.adapters]
        if len(self.adapters) > 1:
            rows.append(("all", _figures(named)))
        if mutated:
            rows.append(("mutated rows", _figures(mutated)))
        titles = ("faults", "detected", "exact step", "right cause", "wrong but certain")
        lines = _table("xframe", titles, [(name, [f"{number:,}" for number in row.values()]) for name, row in rows])
        if named:
            columns = [*self.adapters, *(["all"] if len(self.adapters) > 1 else [])]
            parts: list[str | None] = [*self.adapters, *([None] if len(self.adapters) > 1 else [])]
            counted = [self.baselines(part) for part in parts]
            alarms = self.clean.baseline_alarms
            title = f"false alarms of {self.clean.pairs}"
            said = [
                (name, [f"{one[name]:,}" for one in counted] + ([f"{alarms.get(name, 0):,}"] if alarms else []))
                for name in BASELINES
            ]
            lines += ["", *_table("what else sees them", (*columns, *([title] if alarms else [])), said)]
        c = self.clean
        lines += [
            "",
            f"{c.runs:,} clean runs of {c.steps:,} steps, {c.plans:,} random plans among them: "
            f"{len(c.alarms):,} false alarms in {c.comparisons:,} comparisons",
            *(f"  {alarm}" for alarm in c.alarms[:20]),
            *(f"refused: {text}" for text in c.refused[:5]),
        ]
        if self.misses:
            lines += ["", f"not told in full: {len(self.misses):,}", *(f"  {one}" for one in self.misses[:40])]
        return "\n".join([*lines, "", f"seed {self.seed}, {self.seconds:,.0f} s: {'passed' if self else 'FAILED'}"])


def _table(corner: str, titles: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    left = max(len(corner), *(len(name) for name, _ in rows))
    widths = [max(len(title), *(len(cells[i]) for _, cells in rows)) for i, title in enumerate(titles)]
    every = [(corner, list(titles)), *((name, list(cells)) for name, cells in rows)]
    return [
        f"{name:{left}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for name, cells in every
    ]


# --- judging ---------------------------------------------------------------------------------------


def judge(comparison: Comparison, setting: str, check: str, step: int | None, causes: Sequence[str]) -> Told:
    """What it told, beside what it had to tell."""
    failing = {one.name: one.first for one in comparison.checks if one.result == "fail"}
    first = comparison.first_difference or {}
    named = next(iter(getattr(comparison, "causes", ())), None)
    return Told(
        setting=setting,
        detected=comparison.verdict == "failed" and check in failing,
        localised=check in failing and failing[check] == step and first.get("step") == step,
        check=first.get("check") or next(iter(failing), None),
        step=first.get("step"),
        cause=None if named is None else named.name,
        right=named is not None and named.name in causes,
        certain=named is not None and named.certain,
    )


def _alarm(comparison: Comparison, where: str) -> list[str]:
    causes = [cause.name for cause in getattr(comparison, "causes", ())]
    if comparison.verdict == "passed" and not causes:
        return []
    return [f"{where}: {comparison}" + (f"; {causes}" if causes else "")]


@dataclass(frozen=True)
class _Traces:
    """One adapter's traces in its folder, and copies of them that know of no plan."""

    adapter: str
    folder: Path

    def path(self, kind: str, name: str) -> Path:
        return self.folder / f"{kind}-{name}.trace"

    def open(self, kind: str, name: str) -> Trace | None:
        path = self.path(kind, name)
        return Trace.open(path) if path.exists() else None

    def without_plan(self, kind: str, name: str) -> Trace:
        place = self.path(f"bare-{kind}", name)
        if not place.exists():
            trace = Trace.open(self.path(kind, name))
            facts = _facts(trace)
            write(
                place,
                rows_of(trace),
                plan=None,
                num_samples=trace.metadata["num_samples"],
                metadata=facts,
                weights=trace.weights(),
            )
        return Trace.open(place)


_KEPT = ("label", "adapter", "loop", "task", "runtime", "data_fingerprint", "weights_fingerprint")


def _facts(trace: Trace) -> dict[str, Any]:
    return {key: trace.metadata[key] for key in _KEPT if key in trace.metadata}


def _judge_fault(
    traces: _Traces, fault: Fault, problem: str, logged: Callable[[Trace, Fault | None], Logged]
) -> Finding:
    wanted = (fault.check, fault.step, fault.causes)
    against = ("honest", fault.plan.digest) if fault.against is None else ("against", fault.name)
    honest, faulty = traces.open(*against), traces.open("fault", fault.name)
    if problem or honest is None or faulty is None:
        return Finding(traces.adapter, "fault", fault.name, *wanted, problem=problem or "it did not run")
    told = [judge(compare(faulty), ALONE, *wanted)] if fault.seen_by_the_plan else []
    if fault.against is None:
        told.append(judge(compare(honest, faulty), WITH_PLAN, *wanted))
    bare = traces.without_plan(*against), traces.without_plan("fault", fault.name)
    told.append(judge(compare(*bare), WITHOUT_PLAN, *wanted))
    said = differs(logged(honest, None), logged(faulty, fault))
    return Finding(traces.adapter, "fault", fault.name, *wanted, tuple(told), said)


def _judge_mutation(traces: _Traces, index: int, draw: Random, rows: dict[str, Rows]) -> Finding | None:
    plan = BASES[(index // len(MUTATORS)) % len(BASES)]
    honest = traces.open("honest", plan.digest)
    if honest is None:
        return None
    if plan.digest not in rows:
        rows[plan.digest] = rows_of(honest)
    mutator, n = MUTATORS[index % len(MUTATORS)], honest.metadata["num_samples"]
    made = mutate(mutator, rows[plan.digest], draw, n)
    wanted, told = (made.check, made.step, made.causes), []
    for setting, known in ((WITH_PLAN, plan), (WITHOUT_PLAN, None)):
        place = traces.path("mutation", f"{index}{'' if known else '-bare'}")
        write(place, made.rows, plan=known, num_samples=n, metadata={**_facts(honest), "label": "faulty"})
        mutated = Trace.open(place)
        if known is not None:
            told.append(judge(compare(mutated), ALONE, *wanted))
        against = honest if known else traces.without_plan("honest", plan.digest)
        told.append(judge(compare(against, mutated), setting, *wanted))
    return Finding(traces.adapter, "mutation", mutator.__name__.replace("_", "-"), *wanted, tuple(told))


def _judge_clean(
    every: Sequence[_Traces],
    draws: Sequence[clean.Draw],
    plans: Sequence[TrainingPlan],
    refused: Sequence[str],
    logged: Callable[[Trace, Fault | None], Logged],
) -> Clean:
    alarms: list[str] = []
    runs = steps = comparisons = pairs = 0
    wrong = dict.fromkeys(BASELINES, 0)
    names = [("clean", str(i)) for i in range(len(draws))] + [("honest", plan.digest) for plan in plans]
    for kind, name in names:
        found = [(traces, trace) for traces in every if (trace := traces.open(kind, name)) is not None]
        task = ledger(draws[int(name)].num_samples) if kind == "clean" else None
        for traces, trace in found:
            where = f"{traces.adapter}, {trace.plan!r} on {trace.metadata['num_samples']} samples"
            weights = trace.weights()
            audits = {}
            if task is not None and task.audit is not None and weights is not None:
                audits = {trace.name: task.audit(trace, weights)}
            alarms += _alarm(compare(trace, audits=audits), where)
            runs, steps, comparisons = runs + 1, steps + trace.num_rows, comparisons + 1
        for (one, a), (other, b) in combinations(found, 2):
            where = f"{one.adapter} and {other.adapter}, {a.plan!r} on {a.metadata['num_samples']} samples"
            alarms += _alarm(compare(a, b), where)
            bare = one.without_plan(kind, name), other.without_plan(kind, name)
            alarms += _alarm(compare(*bare), where + ", no plan recorded")
            comparisons += 2
            if kind == "honest":
                pairs += 1
                for baseline, says in differs(logged(a, None), logged(b, None)).items():
                    wrong[baseline] += says
    return Clean(runs, len(draws), steps, comparisons, tuple(alarms), pairs, wrong if pairs else {}, tuple(refused))


# --- running ---------------------------------------------------------------------------------------


class _Line:
    """One line on stderr: how far each adapter is, renewed in a terminal; elsewhere one for each that is done."""

    def __init__(self) -> None:
        self.live, self.at, self.shown = sys.stderr.isatty(), dict[str, tuple[int, int]](), 0.0

    def tell(self, name: str, done: int, total: int) -> None:
        self.at[name] = done, total
        if self.live and (done == total or time.monotonic() - self.shown > 0.2):
            self.shown = time.monotonic()
            line = ", ".join(f"{one} {d:,}/{t:,}" for one, (d, t) in self.at.items())
            sys.stderr.write(f"\r\033[K  {line[:100]}")
        elif not self.live and done == total:
            sys.stderr.write(f"  {name}  {done:,}/{total:,}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self.live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def selftest(
    adapters: Sequence[str] | None = None,
    faults: Sequence[str] | None = None,
    mutations: int = 200,
    clean_runs: int = 60,
    seed: int = 0,
) -> SelfTest:
    """Runs the self-proof.

    Args:
        adapters: by name; default: all that are installed and whose frameworks are.
        faults: by name; default: all.
        mutations: of recorded rows, for each adapter.
        clean_runs: random plans, each run by every adapter.
        seed: of the places of the mutations and of the random plans.

    Raises:
        UsageError: an adapter or a fault that is not there.
        WorkerError: an adapter's process failed.
    """
    began = time.monotonic()
    names = _adapters(adapters)
    for name in faults or ():
        if name not in BY_NAME:
            raise unknown("fault", name, BY_NAME)
    if mutations < 0 or clean_runs < 0:
        raise UsageError("mutations and clean runs", got=Verbatim(f"{mutations}, {clean_runs}"), expected="from 0 up")
    chosen = FAULTS if faults is None else tuple(BY_NAME[name] for name in faults)
    # By their meaning: plans of one digest are one run.
    plans = {plan.digest: plan for plan in [fault.plan for fault in chosen] + list(BASES if mutations else ())}
    draws = list(islice(clean.draws(seed), clean_runs))
    line = _Line()
    with tempfile.TemporaryDirectory(prefix="xframe-selftest-") as place:
        every = [_Traces(name, Path(place) / name) for name in names]
        problems: dict[tuple[str, str], str] = {}
        refused: list[str] = []
        try:
            for traces, said in zip(every, _train(every, chosen, plans, clean_runs, seed, line), strict=True):
                problems |= {(traces.adapter, one["problem"]): one["text"] for one in said if "problem" in one}
                refused += [f"{traces.adapter}: {one['refused']}" for one in said if "refused" in one]
            found = _judge_all(every, chosen, problems, mutations, seed, line)
            judged = _judge_clean(every, draws, list(plans.values()), refused, _logger())
        finally:
            line.end()
    return SelfTest(tuple(names), tuple(found), judged, seed, time.monotonic() - began)


def _judge_all(
    every: Sequence[_Traces],
    chosen: Sequence[Fault],
    problems: dict[tuple[str, str], str],
    mutations: int,
    seed: int,
    line: _Line,
) -> list[Finding]:
    found: list[Finding] = []
    for traces in every:
        logged = _logger()
        possible = [fault for fault in chosen if _possible(fault, traces.adapter)]
        total, done = len(possible) + mutations, 0
        for fault in possible:
            found.append(_judge_fault(traces, fault, problems.get((traces.adapter, fault.name), ""), logged))
            line.tell(f"judging {traces.adapter}", done := done + 1, total)
        draw, rows = Random(f"mutations {seed} {traces.adapter}"), dict[str, Rows]()  # noqa: S311  no secret
        for i in range(mutations):
            mutation = _judge_mutation(traces, i, draw, rows)
            found += [] if mutation is None else [mutation]
            line.tell(f"judging {traces.adapter}", done := done + 1, total)
    return found


def _possible(fault: Fault, adapter: str) -> bool:
    if fault.frameworks is not None and adapter not in fault.frameworks:
        return False
    return takes_faults(registry.load(adapter))


def _logger() -> Callable[[Trace, Fault | None], Logged]:
    """What a script would log of a trace; an honest run's is kept."""
    task, features, kept = find_task(TASK), dict[str, Features](), dict[Path, Logged]()

    def sums(fault: Fault | None) -> Features:
        own = fault is not None and fault.task is not None
        key = fault.name if own and fault is not None else ""
        if key not in features:
            changed_task = fault.task(task) if own and fault is not None and fault.task is not None else task
            # Ids from beyond the training set are looked up where the faulty pipelines found them.
            features[key] = Features.of(with_validation(changed_task).data("float64")[0])
        return features[key]

    def log(trace: Trace, fault: Fault | None) -> Logged:
        if trace.path not in kept:
            kept[trace.path] = Logged.of(trace, sums(fault))
        return kept[trace.path]

    return log


def _adapters(given: Sequence[str] | None) -> list[str]:
    if given is not None:
        return list(dict.fromkeys(one.adapter for one in registry.select(list(given))))
    found = [name for name in registry.available() if _installed(registry.load(name))]
    if not found:
        raise UsageError("no adapter can run", got="none installed", expected="at least xframe_numpy")
    return found


def _installed(adapter: Adapter) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in adapter.requires)


def _train(
    every: Sequence[_Traces],
    chosen: Sequence[Fault],
    plans: dict[str, TrainingPlan],
    clean_runs: int,
    seed: int,
    line: _Line,
) -> list[list[dict[str, Any]]]:
    """What each adapter's process said, all traces written."""
    children: list[subprocess.Popen[str]] = []

    def run(traces: _Traces) -> list[dict[str, Any]]:
        names = [fault.name for fault in chosen if _possible(fault, traces.adapter)]
        traces.folder.mkdir()
        job = {
            "adapter": traces.adapter,
            "folder": str(traces.folder),
            "plans": [plan.to_dict() for plan in plans.values()],
            "faults": names,
            "clean_runs": clean_runs,
            "seed": seed,
        }
        place, log = traces.folder / "job.json", traces.folder / "log.txt"
        place.write_text(json.dumps(job))
        command = [sys.executable, "-m", "xframe.testing.selftest", str(place)]
        total, said = len(plans) + len(names) + clean_runs, []
        with (
            log.open("w") as errors,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment()
            ) as child,
        ):
            children.append(child)
            assert child.stdout is not None
            for text in child.stdout:
                said.append(json.loads(text))
                line.tell(traces.adapter, len(said), total)
        code = child.returncode
        if code:
            last = log.read_text(errors="replace").strip().splitlines()[-12:]
            raise WorkerError(
                f"the self-test's process for adapter {traces.adapter!r} failed",
                got=Verbatim(f"exit code {code}: " + "\n".join(last)),
                expected="exit code 0",
            )
        return said

    try:
        with ThreadPoolExecutor(max_workers=MOST_CHILDREN) as pool:
            futures = [pool.submit(run, traces) for traces in every]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                for child in children:  # else the pool would wait for them
                    child.kill()
                raise
    finally:
        for child in children:
            child.kill()  # those that have ended don't mind


def _environment() -> dict[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    # The same xframe and adapters as here, wherever they were imported from.
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


# --- the child -------------------------------------------------------------------------------------


def _run(adapter: Adapter, plan: TrainingPlan, task: Task, path: Path, label: str, precision: Any) -> str | None:
    """Trains and records; returns why not, if the adapter refuses."""
    loop = adapter.loops[0]
    runtime = Runtime(device="cpu", precision=precision, threads=1, loop=loop)
    if reasons := adapter.check(plan, task, runtime):
        return "; ".join(reasons)
    facts = {
        "label": label,
        "adapter": adapter.name,
        "loop": loop,
        "task": task.name,
        "runtime": runtime.to_dict(),
        **task.fingerprints(),
    }
    with record(path, plan=plan, num_samples=task.num_samples, metadata=facts) as recorder:
        recorder.weights(adapter.run(plan, task, runtime, recorder))
    return None


def _work(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Trains all that the job names, a message for each."""
    adapter = registry.load(job["adapter"])
    task, traces = find_task(TASK), _Traces(job["adapter"], Path(job["folder"]))
    adapter.probe()

    def told(kind: str, name: str, reason: str | None) -> dict[str, Any]:
        return {"done": f"{kind} {name}"} if reason is None else {"refused": f"{kind} {name}: {reason}"}

    for fields in job["plans"]:
        plan = TrainingPlan.from_mapping(fields)
        path = traces.path("honest", plan.digest)
        yield told("honest", repr(plan), _run(adapter, plan, task, path, adapter.name, PRECISIONS["faults"]))
    for name in job["faults"]:
        fault = BY_NAME[name]
        wrong = fault.task(task) if fault.task is not None else task
        try:
            builds = {"fault": fault.build} | ({} if fault.against is None else {"against": fault.against})
            for kind, build in builds.items():
                label, path = "faulty" if kind == "fault" else adapter.name, traces.path(kind, name)
                reason = _run(make(adapter, build), fault.plan, wrong, path, label, PRECISIONS["faults"])
        except Exception as error:
            traceback.print_exc()
            yield {"problem": name, "text": f"{type(error).__name__}: {error}"}
        else:
            yield told("fault", name, reason)
    for i, drawn in enumerate(islice(clean.draws(job["seed"]), job["clean_runs"])):
        small, path = ledger(drawn.num_samples), traces.path("clean", str(i))
        yield told("clean", repr(drawn), _run(adapter, drawn.plan, small, path, adapter.name, PRECISIONS["clean"]))


def main(arguments: Sequence[str]) -> int:
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a framework prints goes to the log
    for message in _work(json.loads(Path(arguments[0]).read_text())):
        pipe.write(json.dumps(message) + "\n")
    pipe.flush()
    return 0


def command(
    adapters: Sequence[str] | None = None,
    faults: Iterable[str] | None = None,
    mutations: int = 200,
    clean_runs: int = 60,
    seed: int = 0,
    *,
    as_json: bool = False,
) -> int:
    """``xframe selftest``: prints the tables, or one JSON object; returns the exit code."""
    found = selftest(adapters, None if faults is None else list(faults), mutations, clean_runs, seed)
    sys.stdout.write((json.dumps(found.to_dict()) if as_json else found.text()) + "\n")
    return found.exit_code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # A framework's own teardown can crash or hang after all is written; nothing is left for it to do.
    os._exit(code)

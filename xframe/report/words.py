"""Wording and tables that the text and Markdown reports share. Nothing here trusts what a trace says of itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from xframe.comparison.result import Comparison, Explanation
from xframe.comparison.settings import Difference, told
from xframe.diagnosis.explaining import fix_places, sentences_of
from xframe.errors import counted, printable
from xframe.plan.training_plan import TrainingPlan
from xframe.report import numerics
from xframe.report.plans import never_with_rows, often

_FEW = 3  # runs whose report is seen at a glance
_MOST_SETTINGS = 20
FRAMEWORKS = ("torch", "tensorflow", "keras", "numpy")


def plan_line(plan: TrainingPlan, num_samples: int) -> str:
    """The plan and its counts in one line."""
    counts = plan.counts(num_samples)
    limits = ", ".join(counted(value, name[:-1]) for name, value in plan.limits._asdict().items() if value)
    order = "sequential"
    if plan.order == "shuffle":
        order = f"shuffled by seed {plan.seed}" + ("" if plan.reshuffle else ", the same order each pass")
    more = ""
    replicas = ""
    if plan.replicas > 1:
        policy: list[str] = [plan.replica_split or "", plan.replica_remainder or ""]
        policy += ["a mean of means"] if plan.replica_gradients == "replicas" else []
        policy = [", ".join(policy), *filter(None, [never_with_rows(plan, num_samples)])]
        replicas = f" over {counted(plan.replicas, 'replica')} ({'; '.join(policy)})"
    if plan.steps_per_epoch is not None:
        ends = f", {plan.on_exhaustion}" if plan.on_exhaustion else ""
        more += f"epochs of {counted(plan.steps_per_epoch, 'step')} ({plan.epoch_iterator}{ends}), "
    if plan.gradient_accumulation_steps > 1:
        policy = [plan.accumulation_remainder or ""]
        policy += ["by pass"] if plan.accumulation_boundary == "pass" else []
        policy += ["flush at end"] if plan.accumulation_at_end == "flush" else []
        policy += [str(plan.loss_normalization)] if plan.loss_normalization != "actual" else []
        more += f"an update every {plan.gradient_accumulation_steps:,} steps ({', '.join(policy)}), "
    if plan.schedule_clock not in (None, "updates"):
        more += f"schedule by {plan.schedule_clock}, "
    if plan.validation_every is not None:
        more += f"validation every {often(plan)}, "
    at_most = ""
    if plan.early_stopping_patience is not None:
        more += f"early stopping by {plan.early_stopping_monitor} (patience {plan.early_stopping_patience:,}), "
        at_most = "at most "
    return (
        f"{counted(num_samples, 'sample')}, batch {plan.batch_size:,}{replicas}, {plan.remainder} remainder, "
        f"{order}, {more}{limits} "
        f"-> {at_most}{counted(counts.num_steps, 'step')}, {counted(counts.num_updates or 0, 'update')}"
    )


def title(comparison: Comparison) -> str:
    """Who was compared, with versions, device and precision."""
    sides = []
    for name, versions in comparison.versions.items():
        packages = [f"{key} {versions[key]}" for key in FRAMEWORKS if key in versions]
        base = name.partition(":")[0]
        if base in versions and comparison.runtimes.get(name):  # a recorded script's name is its file's
            packages = [f"{name} {versions[base]}"]
        elif packages:
            packages = [f"{name} ({', '.join(packages)})"]
        sides.append(printable(packages[0] if packages else name))
    stated = [r for r in comparison.runtimes.values() if r.keys() >= {"device", "precision"}]
    places = {f"{r['device']}, {r['precision']}" for r in stated}
    return " vs ".join(sides) + (f"  ({printable(' / '.join(sorted(places)))})" if places else "")


def optimizer(comparison: Comparison) -> str:
    """The rule that took the place of the task's own; empty without one."""
    rules = {name: about.get("optimizer", "the task's own") for name, about in comparison.about.items()}
    if len(set(rules.values())) > 1:
        return printable("; ".join(f"{name} {rule}" for name, rule in rules.items()))
    return printable(next((about["optimizer"] for about in comparison.about.values() if "optimizer" in about), ""))


def origin(comparison: Comparison, name: str) -> str:
    """Where a run comes from: task, loop, date, platform, threads, as far as it says so."""
    about = dict(comparison.about.get(name, {}))
    threads = comparison.runtimes.get(name, {}).get("threads")
    if threads is not None:
        about["threads"] = str(threads)
    return printable(", ".join(f"{key} {value}" for key, value in about.items()))


def rows_around(comparison: Comparison) -> list[list[str]]:
    """The first difference, side by side: side, epoch, batch, updates, the check's number, digest."""
    difference = comparison.first_difference
    if difference is None:
        return []
    rows = []
    for side in ("reference", "candidate", "expected"):
        row: dict[str, Any] | None = difference[side]
        name = "plan" if side == "expected" else difference["names"][side]
        if name is None or (side == "expected" and comparison.plan is None):
            continue
        if row is None:
            rows.append([printable(name), "no such step", "", "", "", ""])
            continue
        number = row.get(comparison.check(difference["check"]).shown[0])
        digest = row["ids_digest"]
        cells = [row["epoch"], row["batch_size"], row["updates"], number, digest and digest[:8] + "…"]
        rows.append([printable(name), *map(_cell, cells)])
    return rows if len(rows) < 2 or any(_unlike(row, other) for row, other in combinations(rows, 2)) else []


def _unlike(row: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two sides differ in what both have; else there is nothing to see."""
    return "no such step" in (row[1], other[1]) or any(
        a != b for a, b in zip(row[1:], other[1:], strict=True) if a and b
    )


def place(difference: Mapping[str, Any]) -> str:
    """Where the first difference is: a step, or the steps among which it is where no more is known."""
    first, last = difference["step"], difference.get("last_step", difference["step"])
    return f"step {first:,}" if first == last else f"among steps {first:,} to {last:,}"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)


def agreeing(difference: Mapping[str, Any]) -> str:
    """How many steps before the first difference agree, and of numbers that some steps lack, where it may lie; empty
    where there is no step before."""
    at, compared, last = difference["step"], difference["compared"], difference["last_compared"]
    if not at:
        return ""
    verb = "agrees" if compared == 1 else "agree"
    if last is None:
        return f"none of {counted(at, 'earlier step')} was compared"
    if last == at - 1:
        return f"{counted(compared, 'earlier step')} {verb}"
    return f"{compared:,} of {at:,} earlier steps compared, which {verb}; none from step {last + 1:,} to {at - 1:,}"


def head_around(comparison: Comparison) -> list[str]:
    """The head of ``rows_around``, with the number that belongs to the check."""
    difference = comparison.first_difference
    number = "loss" if difference is None else comparison.check(difference["check"]).shown[1]
    return ["side", "epoch", "batch", "updates", number, "ids digest"]


def settings(comparison: Comparison, *, every: bool = False) -> list[list[str]]:
    """The settings that differ, of every further run against the first one; empty if none does.

    Args:
        every: all of them, each tensor of the starting weights too; else what is read at a glance.
    """
    if not comparison.settings:
        return []
    first, *others = comparison.runs
    several = len(others) > 1
    rows = [["setting", *["run"] * several, printable(first), "candidate" if several else printable(others[0])]]
    rows[0].append("matters")
    listed = [*comparison.settings] if every else _weights_at_once(comparison)
    shown = listed if every or len(listed) == _MOST_SETTINGS + 1 else listed[:_MOST_SETTINGS]  # no row for one more
    for one in shown:
        values = [printable(told(one.name, value)) for value in (one.reference, one.candidate)]
        rows.append([printable(one.name), *[printable(one.run)] * several, *values, one.matters])
    if more := len(listed) - len(shown):
        rows.append([f"and {more:,} more, see --json", *[""] * (len(rows[0]) - 1)])
    return rows


def _weights_at_once(comparison: Comparison) -> list[Difference]:
    """The settings that differ, where several tensors of a run's starting weights do as one."""
    tensors: dict[str, list[Difference]] = {}
    for one in comparison.settings:
        if re.fullmatch(r"weights\.[^.]+", one.name):
            tensors.setdefault(one.run, []).append(one)
    stated = {run.name: run.trace.settings for run in comparison.sides if run.trace is not None}
    listed = []
    for one in comparison.settings:
        alike = tensors.get(one.run, [])
        if len(alike) < 2 or one not in alike:
            listed.append(one)
        elif one is alike[0]:
            total = len({name.split(".")[1] for name in stated.get(one.run, {}) if name.startswith("weights.")})
            of = f" of {total:,}" if total else ""
            listed.append(
                replace(one, name="starting weights", reference="", candidate=f"{len(alike):,}{of} tensors differ")
            )
    return listed


def by_run(comparison: Comparison) -> list[list[str]]:
    """Of more than three runs a line each: its verdict, where it first differs, and the likeliest cause."""
    if len(comparison.runs) <= _FEW:
        return []
    rows = [["run", "verdict", "first difference", "cause"]]
    for name in comparison.runs:
        alone = comparison.by_run.get(name)
        if alone is None:
            rows.append([printable(name), "", "the others are compared with it", ""])
            continue
        at = "" if alone["step"] is None else f"step {alone['step']}, "
        cause = next((cause.name for cause in comparison.causes if cause.run == name), "")
        rows.append(
            [
                printable(name),
                alone["verdict"],
                f"{at}{comparison.check(alone['check']).title if alone['check'] else ''}",
                cause,
            ]
        )
    return rows


def closing(comparison: Comparison) -> str:
    """The verdict and what it rests on."""
    results = [check.result for check in comparison.listed]
    steps = min(counts.num_steps for counts in comparison.runs.values())
    if comparison.structure == "different" and comparison.first_difference:
        steps = min(steps, comparison.first_difference["step"])
        basis = f"{results.count('fail')} of {len(results)} checks failed, {counted(steps, 'step')} identical before"
    elif "fail" in results:
        basis = f"{results.count('fail')} of {len(results)} checks failed, {counted(steps, 'step')} compared"
    else:
        basis = f"{results.count('pass')} of {len(results)} checks passed, {counted(steps, 'step')} compared"
    rests_on = numerics.basis(comparison)
    rests_on = rests_on or only_tolerance(comparison)
    judged = f"structure {comparison.structure}, numbers {comparison.numbers}" + (f": {rests_on}" if rests_on else "")
    if comparison.structure_only:
        wrong = [check.title for check in comparison.checks if check.group == "numbers" and check.result == "fail"]
        besides = f", {' and '.join(wrong)} different" if wrong else ""
        validated = any(check.name == "validation" for check in comparison.checks)
        unjudged = "losses, weights and what validations gave" if validated else "losses and weights"
        judged = f"structure only: {comparison.structure}{besides}; {unjudged} not judged"
    elif comparison.verdict == "inconclusive" and steps and not {"fail"} & {*results} and (cut := _cut(comparison)):
        judged = f"{cut}; what could be judged is equal until then"
    return f"{comparison.verdict.upper()}  {judged}  ({basis})"


def only_tolerance(comparison: Comparison) -> str:
    """That nothing but a tolerance set by hand fails; empty if that is not so."""
    tolerance = comparison.tolerance
    if tolerance is None or not comparison.only_tolerance:
        return ""
    given = f"{tolerance.rtol:g}" if tolerance.rtol == tolerance.atol else str(tolerance)
    return f"the algorithm is equivalent; only the tolerance that was set by hand, {given}, fails"


def _cut(comparison: Comparison) -> str:
    """The runs that did not end well, and after how many of the longest one's steps."""
    longest = max(counts.num_steps for counts in comparison.runs.values())
    ends = [(name, end) for name, end in comparison.endings.items() if end != "complete"]
    shown = [f"{printable(name)} is {printable(end)} after {comparison.runs[name].num_steps:,}" for name, end in ends]
    return ", ".join(f"{one} of {counted(longest, 'step')}" for one in shown)


def reasons(comparison: Comparison) -> list[str]:
    """What to say below the table: what failed, what was cut short, what else was noticed."""
    failed = [check for check in comparison.checks if check.result == "fail" and check.detail]
    failed.sort(key=lambda check: math.inf if check.first is None else check.first)
    texts = [printable(check.detail) for check in failed]
    texts += [f"{printable(name)} is {printable(end)}" for name, end in comparison.endings.items() if end != "complete"]
    if lacking := _keeping_from_passing(comparison):
        texts.append(f"{' and '.join(lacking)} could not be judged: nothing passes without")
    shown = {sentence for cause in comparison.causes for sentence in sentences_of(cause)}
    texts += [printable(text) for text in comparison.explanation if text not in shown]  # causes are shown separately
    return list(dict.fromkeys(texts))


def _keeping_from_passing(comparison: Comparison) -> list[str]:
    """The checks because of which a comparison is inconclusive."""
    if comparison.verdict != "inconclusive" or not all(counts.num_steps for counts in comparison.runs.values()):
        return []
    checks = comparison.checks
    return [c.title for c in checks if c.undecided or (c.group == "structure" and c.result == "not judged")]


def runs(comparison: Comparison) -> list[list[str]]:
    """What each run's rows amount to, how many replicas made them, how it ended, and where it comes from."""
    of_replicas = any(number > 1 for number in comparison.num_replicas.values())
    head = ["run", *["replicas"] * of_replicas, "steps", "updates", "samples seen"]
    rows = [[*head, "ending", "certificate", "versions", "origin"]]
    for name, counts in comparison.runs.items():
        replicas = [str(comparison.num_replicas.get(name, 1))] * of_replicas
        numbers = [str(number) for number in (counts.num_steps, counts.num_updates, counts.samples_seen)]
        versions = ", ".join(f"{key} {value}" for key, value in comparison.versions[name].items())
        facts = [comparison.endings[name], comparison.certificates[name], versions, origin(comparison, name)]
        rows.append([name, *replicas, *numbers, *facts])
    return rows


def passes(comparison: Comparison) -> str:
    """How many epochs each run made, and how often it validated, in a line; empty where that is not known."""
    validated = {run.name: len(run.validations) for run in comparison.sides}
    said = {}
    for name, counts in comparison.runs.items():
        epochs = [] if counts.num_epochs is None else [counted(counts.num_epochs, "epoch")]
        times = [counted(validated[name], "validation")] if validated.get(name) else []
        said[name] = " and ".join([*epochs, *times])
    if len(said) > 1 and len({*said.values()}) == 1 and all(said.values()):
        return f"Each run: {next(iter(said.values()))}."
    made = [f"{printable(name)}: {text}" for name, text in said.items() if text]
    return "; ".join(made) + "." * bool(made)


def certificate(comparison: Comparison) -> str:
    """The certificate of all runs, if it is one, and what it vouches for."""
    certificates = set(comparison.certificates.values())
    if comparison.structure != "identical" or len(certificates) > 1 or len(comparison.certificates) < 2:
        return ""
    who = "both" if len(comparison.runs) == 2 else "all"
    vouched = "" if comparison.verdict == "passed" else ", for steps, indices of samples and updates only"
    return f"certificate of {who}{vouched}: {certificates.pop()}"


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause in words: how sure it is, why, by what chance totals agree, and the fixes by where they are made."""

    head: str
    name: str
    sentence: str
    by_chance: str
    fixes: dict[str, str]


def causes(explanations: Sequence[Explanation]) -> list[Cause]:
    """The causes of each run, most likely first."""
    said: list[Cause] = []
    for run in dict.fromkeys(one.run for one in explanations):
        own = [one for one in explanations if one.run == run]
        for i, one in enumerate(own):
            head = "Why" if one.certain else "Likely" if i == 0 else "Also" if one.besides else "Or"
            again = i + 1 < len(own) and own[i + 1].fix == one.fix  # one line for several: behind the last of them
            fixes = {} if again else {at: printable(text) for at, text in fix_places(one.fix).items()}
            said.append(Cause(head, one.name, printable(one.sentence), printable(one.by_chance), fixes))
    return said


def causes_text(explanations: Sequence[Explanation]) -> list[str]:
    """The causes as lines, each with its sentence and its fixes."""
    return [line for cause in causes(explanations) for line in _cause_lines(cause)]


def _cause_lines(cause: Cause) -> Iterator[str]:
    yield f"{cause.head}: {cause.sentence}. [{cause.name}]"
    if cause.by_chance:
        yield f"  By chance: {cause.by_chance}."
    width = max(map(len, cause.fixes), default=0)
    for i, (where, setting) in enumerate(cause.fixes.items()):
        yield f"  {'Fix:' if i == 0 else '    '} {where.ljust(width)}  {setting}"

"""Runs judged by a golden: an ordinary ``Comparison``, whose reference is the golden.

The certificate decides the structure; the golden's ranges of steps say where it differs. Numbers are judged before the
first range that does. What the golden holds and a run did not record is undecided, so that nothing passes by silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xframe.comparison import checks
from xframe.comparison.check import Check, merge
from xframe.comparison.goldens.golden import Golden
from xframe.comparison.goldens.numbers import HeldNumbers
from xframe.comparison.goldens.structure import CONTENTS, EXACT, Held
from xframe.comparison.pairing import Run, joined, named, said_of_joins
from xframe.comparison.result import CheckResult, Comparison, Judgement, Tolerance
from xframe.errors import UsageError, printable
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace

_JUDGED = (*EXACT, *CONTENTS, "lr", "loss", "weights", "validation")


def hold(golden: Golden, traces: Sequence[Trace], tolerance: Tolerance | None = None) -> Comparison:
    """Compares runs with a golden.

    Args:
        tolerance: of the numbers; default: the golden's own.

    Raises:
        UsageError: no run.
    """
    if not traces:
        raise UsageError("a golden alone", got=str(golden.path), expected="a trace beside it")
    stated, tolerance = golden.stated, tolerance or golden.stated.numbers.tolerance
    names = [f"{name} (run)" if name == golden.name else name for name in named(traces)]
    held = [
        Held(golden, Run(name, Rows.of_trace(trace), trace.facts, trace), trace, tolerance)
        for name, trace in zip(names, traces, strict=True)
    ]
    judged = [dict([*one.structure(), *one.contents(), *HeldNumbers(one).judgements()]) for one in held]
    results = []
    for kind in checks.of("exact"):
        if kind.name in _JUDGED and any(kind.name in each for each in judged):
            results.append(_merged(kind, golden, held, [each[kind.name] for each in judged if kind.name in each]))
    joins = joined({one.run.name: one.trace for one in held})
    counts = {golden.name: stated.structure.counts} | {one.run.name: one.trace.counts() for one in held}
    return Comparison(
        checks=tuple(results),
        first_difference=_first_difference(golden, held, judged),
        runs=counts,
        certificates={golden.name: stated.structure.certificate}
        | {one.run.name: one.trace.certificate for one in held},
        endings={golden.name: "complete"} | {one.run.name: one.trace.ending for one in held},
        explanation=(*said_of_joins(joins), *_notes(golden, held, judged)),
        joins=joins,
        num_replicas={one.run.name: one.trace.num_replicas for one in held},
        versions={golden.name: dict(stated.versions)} | {one.run.name: dict(one.run.facts.versions) for one in held},
        runtimes={golden.name: {}} | {one.run.name: dict(one.run.facts.runtime) for one in held},
        tolerance=tolerance,
        golden=golden.path,
        sides=tuple(one.run for one in held),
        by_run={one.run.name: _alone(one, each) for one, each in zip(held, judged, strict=True)},
    )


def _merged(kind: type[Check], golden: Golden, held: Sequence[Held], judgements: Sequence[Judgement]) -> CheckResult:
    """The judgements of one check as one row."""
    stated, tolerance = golden.stated.structure, held[0].tolerance
    rule = (
        f"== {golden.name}"
        if kind.name in (*EXACT, *CONTENTS)
        else "up to rounding"
        if kind.name == "lr"
        else str(tolerance)
    )
    counts = {"steps": "num_steps", "boundaries": "num_steps", "updates": "num_updates", "epochs": "num_epochs"}
    values: dict[str, int | str | None] = {}
    if kind.name in counts:
        values = {golden.name: getattr(stated, counts[kind.name])}
        values |= {one.run.name: getattr(one.trace.counts(), counts[kind.name]) for one in held}
    return merge(kind, judgements, rule=rule, brief=rule, values=values)


def _first_difference(
    golden: Golden, held: Sequence[Held], judged: Sequence[dict[str, Judgement]]
) -> dict[str, Any] | None:
    """The earliest step at which something fails; the golden's side has what it knows of it."""
    ranks = {name: rank for rank, name in enumerate(_JUDGED)}
    failing = [
        (one.first, ranks[name], i, name)
        for i, each in enumerate(judged)
        for name, one in each.items()
        if one.result == "fail" and one.first is not None
    ]
    if not failing:
        return None
    step, _, i, name = min(failing)
    run, stated = held[i].run, golden.stated
    row = next((row for row in stated.numbers.steps if row.step == step), None)
    known = {"loss": row and row.loss, "lr": row and row.lr}
    empty = dict.fromkeys(("batch_size", "updates", "epoch", "step_in_epoch", "ids_digest"))
    return {
        "step": step,
        "last_step": held[i].lasts.get(name, step),
        "check": name,
        "reference": {**empty, **known} if step < stated.structure.num_steps else None,
        "candidate": run.step(step),
        "expected": None,
        "names": {"reference": golden.name, "candidate": run.name},
        "detail": judged[i][name].detail,
        "compared": step,
        "last_compared": step - 1 if step else None,
    }


def _notes(golden: Golden, held: Sequence[Held], judged: Sequence[dict[str, Judgement]]) -> Iterator[str]:
    yield f"{golden.name} was blessed for: {golden.stated.why}"
    for one, each in zip(held, judged, strict=True):
        if any(judgement.result == "fail" for judgement in each.values()):
            path = printable(one.trace.path)
            yield f"if the change is meant: xframe bless {path} --out {printable(golden.path)} --replace --why TEXT"
            yield f"if not, a trace from before it shows the step and the cause: xframe compare BEFORE.trace {path}"


def _alone(one: Held, judged: dict[str, Judgement]) -> dict[str, Any]:
    """What the comparison shows of one run."""
    failing = sorted(
        (judgement.first if judgement.first is not None else one.trace.num_rows, _JUDGED.index(name), name)
        for name, judgement in judged.items()
        if judgement.result == "fail"
    )
    if failing:
        return {"verdict": "failed", "check": failing[0][2], "step": judged[failing[0][2]].first}
    passed = one.trace.complete and all(judged[name].result == "pass" for name in EXACT[:3])
    passed = passed and not any(judgement.undecided for judgement in judged.values())
    return {"verdict": "passed" if passed else "inconclusive", "check": None, "step": None}

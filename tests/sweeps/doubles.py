"""Two mistakes at once in random scripts, as ``xframe.compare`` sees them: plan given, labels alone, bare.

The scripts are the `simulator`'s, which shares nothing with the diagnosis: they walk, train and record. Bad is a cause
called certain that is neither among what was done nor gives the same rows, and a sentence that its own table refutes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import xframe
from sweeps import Result
from sweeps.attacks.claims import refuted
from sweeps.attacks.tables import Table
from sweeps.simulator import Refused
from sweeps.simulator.drawing import everyday_case
from sweeps.simulator.faults import KINDS, NUMBERS, STRUCTURE, Fault, drawn
from sweeps.simulator.script import Recorded, Script, Structure
from sweeps.simulator.training import Computing
from sweeps.simulator.walk import resolve
from xframe.errors import UsageError
from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

VIEWS = ("plan", "labels", "bare")
PAIRS = 3  # of mistakes in one script
LABELS = ("epoch", "step_in_epoch", "padding")
_TRIES = 200  # of one kind, whether one mistake gives what two did


@dataclass
class Doubles(Result):
    """By view: what was named, and how."""

    views: dict[str, Counter[str]] = field(default_factory=dict)
    wrong_certain: list[str] = field(default_factory=list)
    refuted: list[str] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)

    def count(self, name: str) -> int:
        """Over all views."""
        return sum(view[name] for view in self.views.values())

    @property
    def text(self) -> str:
        lines = [f"{self.cases:,} double faults, {self.count('right'):,} first causes right"]
        lines += [f"{view:8} {dict(sorted(count.items()))}" for view, count in self.views.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Double:
    """A script and what two mistakes make of it."""

    base: Script
    faults: tuple[Fault, Fault]
    script: Script
    reference: Recorded
    candidate: Recorded

    @property
    def text(self) -> str:
        done = " + ".join(fault.text for fault in self.faults)
        return f"{self.base.fields} n={self.base.num_samples}: {done}"

    def rates_differ_first(self, view: View) -> bool:
        """Whether rates differ before all else that is seen of the steps."""
        rates = [a != b for a, b in zip(self.candidate.lr, self.reference.lr, strict=False)]
        steps = 1 + rates.index(True) if True in rates else 0
        pairs = [
            (getattr(one.steps, name)[:steps] for one in (self.candidate, self.reference)) for name in view.columns
        ]
        return bool(steps) and all(a == b for a, b in pairs)


def order_of(fields: dict[str, Any], n: int) -> Callable[[int], Sequence[int]]:
    """The samples of each pass, in the plan's order."""
    plan = resolve(fields)
    order = Order(n, plan["order"], plan["seed"])
    every = np.arange(n)
    return lambda p: order.ids(p if plan["reshuffle"] else 0, every).tolist()


def _own_order(rng: Random, n: int) -> Callable[[int], Sequence[int]]:
    seed = rng.randrange(1 << 30)
    return lambda p: np.random.default_rng([seed, p]).permutation(n).tolist()


def _schedule(rng: Random) -> Callable[[int, int, int], float]:
    top = rng.choice([0.1, 0.05])
    return rng.choice(
        [
            lambda s, u, e: top,
            lambda s, u, e: top,
            lambda s, u, e: top * 0.97**u,
            lambda s, u, e: top * 0.5**e,
        ]
    )


def doubles(rng: Random) -> Iterator[Double]:
    """Some pairs of mistakes in one random script."""
    while True:
        fields, n = everyday_case(rng)
        own = rng.random() < 0.3 and fields.get("order") != "sequential"
        order = _own_order(rng, n) if own else order_of(fields, n)
        base = Script(fields, n, order, computing=Computing(rate=_schedule(rng)))
        try:
            TrainingPlan.from_mapping(fields)
            reference = base.run()
        except (Refused, UsageError):
            continue
        break
    for _ in range(PAIRS):
        try:
            faults = _pair(base, rng)
            script = base.but(computing=Computing(**{**vars(base.computing), "rounding": rng.randint(1, 99)}))
            for fault in faults:
                script = fault.into(script)
            candidate = script.run()
        except Refused:
            continue
        yield Double(base, faults, script, reference, candidate)


def _pair(base: Script, rng: Random) -> tuple[Fault, Fault]:
    kinds = rng.choice([(STRUCTURE, STRUCTURE), (STRUCTURE, NUMBERS), (NUMBERS, NUMBERS), (STRUCTURE, KINDS)])
    first, second = (rng.choice(kind) for kind in kinds)
    pair = drawn(first, base, rng), drawn(second, base, rng)
    if pair[0] is None or pair[1] is None or first is second:
        raise Refused("none of that kind")
    return pair[0], pair[1]


@dataclass(frozen=True)
class View:
    """What is known of a pair, and what both runs record: losses at which steps, rates, weights, labels."""

    name: str
    losses: str
    rates: bool
    weights: bool
    num_samples: bool

    @classmethod
    def drawn(cls, name: str, rng: Random) -> View:
        losses = rng.choices(["all", "none", "every ten", "all but one"], [7, 1, 1, 1])[0]
        return cls(name, losses, rng.random() < 0.7, rng.random() < 0.6, name == "plan" or rng.random() < 0.5)

    def write(self, path: Path, run: Recorded, fields: dict[str, Any], n: int) -> xframe.Trace:
        """The trace of what is recorded."""
        steps = run.steps
        columns: dict[str, Any] = {"updates": steps.updates}
        if self.name != "bare":
            columns |= {name: getattr(steps, name) for name in LABELS}
        if self.losses != "none":
            at = np.arange(len(steps.ids))
            away = {"all": at < 0, "every ten": at % 10 != 0, "all but one": at == len(at) // 2}[self.losses]
            columns["loss"] = np.ma.array(run.loss, mask=away) if away.any() else run.loss
        if self.rates:
            columns["lr"] = run.lr
        plan = TrainingPlan.from_mapping(fields) if self.name == "plan" else None
        flat = np.array([one for batch in steps.ids for one in batch], dtype=np.int64)
        with xframe.record(path, plan=plan, num_samples=n if self.num_samples else None) as rec:
            rec.block(ids=flat, batch_sizes=[len(batch) for batch in steps.ids], **columns)
            if self.weights:
                rec.weights({"w": np.asarray(run.weights)})
        return xframe.Trace.open(path)

    def sees(self, a: Structure, b: Structure) -> bool:
        """Whether two runs' steps are the same in this view."""
        return all(getattr(a, name) == getattr(b, name) for name in self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("ids", "updates", *(LABELS if self.name != "bare" else ()))


def alike(name: str, double: Double, view: View) -> bool:
    """Whether a mistake of that name gives the same rows: alone, or with one of those that were made."""
    rng = Random(1)
    if name == "learning-rate":  # whatever is done to it, as long as nothing else that is seen differs
        return double.rates_differ_first(view)
    for kind in STRUCTURE:
        for fault in _some(kind(double.base, rng), rng):
            if name not in fault.causes:
                continue
            for with_it in ((), (double.faults[0],), (double.faults[1],)):
                try:
                    script = double.base
                    for one in (*with_it, fault):
                        script = one.into(script)
                    if view.sees(script.observed(), double.candidate.steps):
                        return True
                except Refused:
                    continue
    return False


def _some(faults: Iterator[Fault], rng: Random) -> list[Fault]:
    every = list(faults)
    return every if len(every) <= _TRIES else rng.sample(every, _TRIES)


def look(double: Double, view: View, folder: Path, result: Doubles) -> None:
    """Compares, and looks at what is said."""
    n, fields = double.base.num_samples, double.base.fields
    traces = [
        view.write(folder / f"{name}.trace", run, fields, n)
        for name, run in (("A", double.reference), ("B", double.candidate))
    ]
    comparison = xframe.compare(*traces)
    for trace in traces:
        trace.path.unlink()
        trace.path.with_suffix(".weights.safetensors").unlink(missing_ok=True)
    if comparison.verdict != "failed":
        if not view.sees(double.reference.steps, double.candidate.steps):
            result.refuted.append(f"{view}: {double.text}: {comparison.verdict}, though rows differ")
        return
    count = result.views.setdefault(view.name, Counter())
    result.cases += 1
    count["cases"] += 1
    text = f"{view}: {double.text} -> "
    table = Table(comparison, Rows.of_trace(traces[1]), Rows.of_trace(traces[0]), n)
    result.refuted += [text + wrong for wrong in refuted(table, result.read)]
    done = double.faults[0].causes | double.faults[1].causes
    if table.failed == {"weights"}:
        done |= {"weights-elsewhere"}  # more is not known
    if not view.rates and any("learning-rate" in fault.causes for fault in double.faults):
        done |= {"other-gradient"}  # or a rate, which was not recorded
    if not comparison.causes:
        count["nothing"] += 1
        result.missed["nothing"] += 1
        result.misses.append(f"{text}nothing; {_failed(table)}")
        return
    first = comparison.causes[0]
    count["certain"] += first.certain
    if first.name in done or alike(first.name, double, view):
        count["right"] += 1
    else:
        result.missed[first.name] += 1
        result.misses.append(f"{text}{first.name}: {first.sentence}; {_failed(table)}")
    for cause in comparison.causes:
        if cause.certain and cause.name not in done and not alike(cause.name, double, view):
            count["WRONG"] += 1
            result.wrong_certain.append(f"{text}{cause.name}: {cause.sentence}; {_failed(table)}")


def _failed(table: Table) -> str:
    return ", ".join(f"{name} at {table.first(name)}" for name in sorted(table.failed))


def run(size: int, seed: int) -> Doubles:
    """That many comparisons that failed."""
    rng, result = Random(seed), Doubles()
    with tempfile.TemporaryDirectory() as place:
        while result.cases < size:
            for double in doubles(rng):
                for name in VIEWS:
                    # Its samples come in orders of its own: then no plan has them.
                    own = double.base.order(0) != order_of(double.base.fields, double.base.num_samples)(0)
                    if name != "plan" or not own:
                        look(double, View.drawn(name, rng), Path(place), result)
    result.mismatches = result.wrong_certain + result.refuted
    return result

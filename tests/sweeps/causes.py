"""Causes compared with rows whose fault is known, drawn without the tables that ``diagnose`` was written with.

Four kinds, and rows that are none: a plan over the whole vocabulary with one field changed; rows edited; two faults at
once; orders that are not xframe's. Whether a certain cause was the only one is asked of all plans with one field
changed, by brute force.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from diagnosed import diagnose

from sweeps import Result
from sweeps.attacks.edits import edits
from sweeps.attacks.fields import one_field, others
from sweeps.attacks.rows import COLUMNS, Attack, Orders, made, rows_of, unlabelled
from sweeps.attacks.words import untrue
from sweeps.simulator import random_case
from xframe.comparison.result import Explanation
from xframe.diagnosis.reference import changed
from xframe.errors import UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

VIEWS = ("", "", "", "no labels", "no labels", "no ids", "no updates", "truncated")  # of the rows, drawn from these
# A cause that is another's special case: the general name is right wherever the special one is.
GENERAL = {
    "batch-size-per-replica": "batch-size",
    "updates-counted-as-steps": "accumulation-steps",
    "one-step-less": "limit-confused",
    "one-step-more": "limit-confused",
}


@dataclass
class Causes(Result):
    """``unsure``: not right, but not certain either."""

    right: int = 0
    unsure: int = 0
    certain: int = 0
    nothing: int = 0
    wrong_certain: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)  # numbers and fixes in the words
    read: Counter[str] = field(default_factory=Counter)  # what sentences stated and was worked out
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    confused: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        total = (
            f"{self.cases:,} departures of random plans and rows: {self.right:,} causes right, {self.certain:,} certain"
        )
        also = f"{self.unsure:,} unsure, {self.nothing:,} of them without a cause"
        lines = [f"{kind:32} {dict(sorted(count.items()))}" for kind, count in sorted(self.kinds.items())]
        return "\n".join([total, also, *lines])


def explained(attack: Attack, *, planned: bool, num_samples: int | None) -> tuple[Explanation, ...]:
    return diagnose(
        attack.candidate,
        attack.reference,
        run="B",
        num_samples=num_samples,
        plan=attack.plan if planned else None,
        reference_is_plan=planned,
        other="A",
    )


def judge(attack: Attack, rng: Random, result: Causes, *, planned: bool) -> None:
    """Asks, and compares the answer with what was done."""
    causes = explained(attack, planned=planned, num_samples=attack.num_samples)
    tag = f"{attack.kind} ({'plan' if planned else 'rows'})"
    count = result.kinds.setdefault(tag, Counter())
    result.cases += 1
    count["cases"] += 1
    text = f"{tag}: {attack.plan!r} n={attack.num_samples} {attack.change or ''} -> "
    if not causes:
        result.nothing += 1
        result.unsure += 1
        count["nothing"] += 1
        return
    first = causes[0]
    for cause in causes:
        result.untrue += [f"{text}{what}: {cause}" for what in untrue(cause, attack, planned=planned, read=result.read)]
        if cause.certain and len(causes) > 1:
            result.untrue.append(f"{text}certain among others: {cause}")
    rivals: set[frozenset[str]] = set()
    if first.certain or first.name not in attack.right:
        rivals = others(attack, rng)
    if first.name in attack.right or any(first.name in names for names in rivals):
        result.right += 1
        count["right"] += 1
    else:
        result.unsure += 1
        count["unsure"] += 1
        result.confused[f"{tag}: {sorted(attack.right)} explained as {first.name}"] += 1
    if first.certain:
        result.certain += 1
        count["certain"] += 1
        false = first.name not in attack.right and not any(first.name in names for names in rivals)
        # One name of several that the same deed has is right; so is the general one.
        alike = {name for names in {attack.right, *rivals} if first.name not in names for name in names}
        alike -= {name for name in alike if GENERAL.get(name) == first.name or GENERAL.get(first.name) == name}
        if attack.kind.endswith("drop two steps") and first.name == "resumed-at-wrong-place":
            alike |= {"batch-lost"}
        if false or alike:
            count["WRONG"] += 1
            result.wrong_certain.append(
                f"{text}{first.name}, {'false' if false else f'as well {sorted(alike)}'}: {first}"
            )


def reference(rng: Random) -> tuple[TrainingPlan, int, Rows]:
    while True:
        fields, n = random_case(rng)
        if rng.random() < 0.5:  # more data than the simulator's, so that an order says something
            n += rng.randint(0, 60)
        try:
            plan = TrainingPlan.from_mapping(fields)
        except UsageError:
            continue
        rows = rows_of(plan, n)
        if rows is not None:
            return plan, n, rows


def blurred(rows: Rows, kind: str, cut: int) -> Rows:
    """What is seen of the rows."""
    if kind == "no ids":
        return rows.with_columns(ids=None)
    if kind == "no updates":
        return rows.with_columns(updates=None)
    if kind == "no labels":
        return unlabelled(rows)
    return rows.head(cut) if kind == "truncated" else rows


def one_of_each(
    choices: Sequence[tuple[dict[str, Any], set[str]]], rng: Random
) -> list[tuple[dict[str, Any], set[str]]]:
    """One change of each field, drawn."""
    by_field: dict[str, list[tuple[dict[str, Any], set[str]]]] = {}
    for change, names in choices:
        by_field.setdefault(next(iter(change)), []).append((change, names))
    return [rng.choice(changes) for changes in by_field.values()]


def ended(candidate: Rows, rows: Rows) -> set[str]:
    by = len(candidate) - len(rows)
    return {f"one-step-{'more' if by > 0 else 'less'}"} if abs(by) == 1 else set()


def attacks(rng: Random) -> Iterator[Attack]:
    """Of one random plan: every field changed, rows edited, two faults, other orders."""
    plan, n, rows = reference(rng)
    choices = list(one_field(plan, n, rng))
    view = rng.choice(VIEWS)
    cut = rng.randint(1, len(rows))

    def run_of(change: dict[str, Any]) -> Rows | None:
        other = changed(plan, **change)
        return None if other == plan else made(other, n)

    singles = one_of_each(choices, rng)
    for change, names in rng.sample(singles, min(5, len(singles))):
        candidate = run_of(change)
        if candidate is None:
            continue
        ref = rows if view in ("", "truncated") else blurred(rows, view, cut)
        names = names | (ended(candidate, rows) if names == {"limit-confused"} else set())
        yield Attack(f"field, {view or 'all'}", blurred(candidate, view, cut), ref, plan, n, frozenset(names), change)
    edited = list(edits(plan, n, rows, rng))
    for what, names, candidate in rng.sample(edited, min(5, len(edited))):
        yield Attack(f"edit: {what}", candidate, unlabelled(rows), plan, n, frozenset(names))
    (first, names), (second, more) = (rng.choice(singles) for _ in range(2))
    if next(iter(first)) != next(iter(second)):
        candidate = run_of({**first, **second})
        if candidate is not None:
            right = frozenset(names | more | ended(candidate, rows))
            yield Attack("two fields", candidate, rows, plan, n, right, {**first, **second})
    candidate = run_of(first)
    if candidate is not None:
        also = list(edits(changed(plan, **first) or plan, n, candidate, rng))
        what, more, candidate = rng.choice(also)
        yield Attack(
            "a field and an edit",
            candidate,
            unlabelled(rows),
            plan,
            n,
            frozenset(names | more),
            first,
        )
        candidate = run_of(first)
        assert candidate is not None
        assert candidate.epoch is not None
        off = candidate.with_columns(epoch=candidate.epoch + 2)
        yield Attack(
            "a field, epochs from 2", off, rows, plan, n, frozenset(names | ended(off, rows) | {"epoch-labels"}), first
        )
    what, names, once = rng.choice(edited)
    if once.ids is not None and len(once) == len(rows) and np.array_equal(once.batch_size, rows.batch_size):
        again = [one for one in edits(plan, n, once, rng) if one[0] != what]
        _, more, candidate = rng.choice(again)
        yield Attack("two edits", candidate, unlabelled(rows), plan, n, frozenset(names | more))


def own_orders(rng: Random) -> Iterator[Attack]:
    """The same in orders that are not xframe's."""
    plan, n, _ = reference(rng)
    plan = changed(plan, order="shuffle") or plan
    given, own = (Orders(n, rng.randrange(1 << 30)) for _ in range(2))
    rows = made(plan, n, given)
    if rows is None:
        return
    choices = one_of_each([one for one in one_field(plan, n, rng) if "seed" not in one[0]], rng)
    for change, names in rng.sample(choices, min(3, len(choices))):
        candidate = made(changed(plan, **change), n, given)
        if candidate is not None:
            right = frozenset(names | (ended(candidate, rows) if names == {"limit-confused"} else set()))
            yield Attack("own order, a field", candidate, rows, plan, n, right, change, given)
    candidate = made(plan, n, own)
    assert candidate is not None
    right = frozenset({"shuffled-independently", "other-seed"})
    yield Attack("own order each", candidate, rows, plan, n, right, None, given)
    edited = list(edits(plan, n, rows, rng))
    for _, names, candidate in rng.sample(edited, min(2, len(edited))):
        yield Attack(
            "own order, an edit",
            candidate,
            unlabelled(rows),
            plan,
            n,
            frozenset(names),
            None,
            given,
        )


def agree(attack: Attack) -> bool:
    """Whether nothing that is seen differs."""
    a, b = attack.candidate, attack.reference
    if a.complete and b.complete and len(a) != len(b):
        return False
    shared = min(len(a), len(b))
    a, b = a.head(shared), b.head(shared)
    pairs = [(getattr(a, name), getattr(b, name)) for name in COLUMNS]
    return all(x is None or y is None or np.array_equal(x, y) for x, y in pairs)


def garbage(rng: Random) -> Rows:
    """Rows of nothing."""
    while True:
        steps = rng.randint(0, 8)
        sizes = np.array([rng.choice([0, 1, 2, 3, -1, 1 << 41]) for _ in range(steps)], dtype=np.int64)
        sizes = sizes.clip(0, 3) if rng.random() < 0.7 else sizes
        wide = rng.choice([3, 20, 1 << 62])

        def column(length: int, wide: int = wide) -> Any:
            return None if rng.random() < 0.3 else np.array([rng.randint(-wide, wide) for _ in range(length)], np.int64)

        try:
            return Rows.of_arrays(
                batch_size=sizes,
                updates=column(steps + rng.choice([0, 0, 0, 1])),
                ids=column(int(sizes.clip(0).sum()) if sizes.sum() < 50 else 5),
                epoch=column(steps),
                step_in_epoch=column(steps),
                padding=column(steps),
                complete=rng.random() < 0.7,
            )
        except UsageError:
            continue  # columns that do not belong together are no rows at all


def raised(rng: Random) -> list[str]:
    """What garbage raises."""
    plan, n, rows = reference(rng)
    odd = [garbage(rng), garbage(rng)]
    wrong = []
    for a, b, one, count, is_plan in (
        (odd[0], odd[1], None, None, False),
        (odd[0], odd[1], plan, n, False),
        (odd[0], rows, plan, n, True),
        (rows, odd[0], None, n, False),
        (rows, odd[0], None, None, False),
        (odd[0], odd[0], None, n, False),
    ):
        try:
            diagnose(a, b, run="B", num_samples=count, plan=one, reference_is_plan=is_plan)
        except Exception as error:
            wrong.append(f"{error!r}: {a} {b} {one!r} {count}")
    return wrong


def run(size: int, seed: int) -> Causes:
    """That many runs, each diagnosed with the plan and without."""
    rng, result = Random(seed), Causes()
    while result.cases < size:
        for attack in (*attacks(rng), *own_orders(rng)):
            if agree(attack):
                for planned in (True, False):
                    if attack.orders is None and explained(attack, planned=planned, num_samples=attack.num_samples):
                        result.wrong_certain.append(f"{attack.kind}: a cause though nothing differs: {attack}")
                continue
            if attack.orders is None:
                judge(attack, rng, result, planned=True)
            judge(attack, rng, result, planned=False)
        result.wrong_certain += raised(rng)
    result.mismatches = result.wrong_certain + result.untrue
    return result

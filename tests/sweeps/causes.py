"""Causes compared with rows whose fault is known, drawn without the tables that ``diagnose`` was written with.

Four kinds, and rows that are none: a plan over the whole vocabulary with one field changed; rows edited; two faults at
once; orders that are not xframe's. Whether a certain cause was the only one is asked of all plans with one field
changed, by brute force.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import numpy as np

from sweeps import Result
from sweeps.simulator import random_case
from xframe.comparison.result import Explanation
from xframe.diagnosis.diagnosing import diagnose
from xframe.diagnosis.reference import cells, changed
from xframe.errors import UsageError
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

MOST_STEPS = 80
SEEDS = range(64)  # of those that a plan with another seed may have, all are tried where it matters
COLUMNS = ("batch_size", "updates", "ids", "epoch", "step_in_epoch", "padding")
REMAINDERS = {
    "drop": "short-batch-dropped",
    "keep": "short-batch-kept",
    "pad": "short-batch-padded",
    "carry": "batches-straddle-passes",
}
LEFTOVERS = {kind: f"leftover-{kind}{'p' if kind == 'drop' else ''}ed" for kind in ("flush", "drop", "leak")}
LEFTOVERS["carry"] = "leftover-carried"
BY_FIELD = {
    "steps_per_epoch": "steps-per-epoch",
    "epoch_iterator": "epoch-iterator",
    "on_exhaustion": "short-epoch",
    "accumulation_boundary": "window-cut-elsewhere",
    "accumulation_at_end": "window-at-training-end",
    "seed": "other-seed",
}
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
    untrue: list[str] = field(default_factory=list)  # numbers and mends in the words
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


class Attack(NamedTuple):
    """Rows, what they are held against, and what is right to say of them."""

    kind: str
    candidate: Rows
    reference: Rows
    plan: TrainingPlan
    num_samples: int
    right: frozenset[str]
    change: dict[str, Any] | None = None  # of one field, where it is that
    orders: Orders | None = None  # of the reference, where they are not xframe's


# --- plans with one field changed ------------------------------------------------------------------------------------


def one_field(plan: TrainingPlan, n: int, rng: Random) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Every field changed in many ways, each with the causes that it is."""
    b, k, s = plan.batch_size, plan.gradient_accumulation_steps, plan.steps_per_epoch
    for other in {b - 1, b + 1, 2 * b, 4 * b, b // 2, n, n - 1, n + 1, *range(1, min(n, 12) + 2), rng.randint(1, n)}:
        if other >= 1 and other != b:
            names = {"batch-size"} | ({"batch-size-per-replica"} if max(b, other) % min(b, other) == 0 else set())
            yield {"batch_size": other}, names
    for remainder, name in REMAINDERS.items():
        if remainder != plan.remainder:
            yield {"remainder": remainder}, {name}
    for other in {1, 2, 3, k - 1, k + 1, 2 * k, k // 2, *range(1, 9)}:
        if other >= 1 and other != k:
            names = {"accumulation-steps"} | ({"updates-counted-as-steps"} if other == 1 else set())
            ways: list[dict[str, Any]] = [{}]
            if k == 1:
                ways = [
                    {"accumulation_remainder": kind, "accumulation_at_end": end}
                    for kind in ("flush", "carry", "drop")
                    for end in ("flush", "drop")
                ]
            for way in ways:
                yield {"gradient_accumulation_steps": other, **way}, names
    if k > 1:
        for leftover, name in LEFTOVERS.items():
            if leftover != plan.accumulation_remainder:
                yield {"accumulation_remainder": leftover}, {name}
        yield (
            {"accumulation_boundary": "pass" if plan.accumulation_boundary == "epoch" else "epoch"},
            {"window-cut-elsewhere"},
        )
        yield (
            {"accumulation_at_end": "drop" if plan.accumulation_at_end == "flush" else "flush"},
            {"window-at-training-end"},
        )
    limits = {name: value for name, value in plan.limits._asdict().items() if value is not None}
    for name, value in limits.items():
        for other in {value - 1, value + 1, *(range(1, 9) if name == "epochs" else ()), rng.randint(1, 2 * value)}:
            if other >= 1 and other != value:
                yield {name: other}, {"limit-confused"}
        if len(limits) > 1:
            yield {name: None}, {"limit-confused"}
        for unit in ("epochs", "steps", "updates"):
            if unit not in limits:
                yield {name: None, unit: value}, {"limit-confused"}
    for unit in ("epochs", "steps", "updates"):
        if unit not in limits:
            yield {unit: rng.randint(1, 6)}, {"limit-confused"}
    if plan.order == "shuffle":
        yield {"order": "sequential"}, {"not-shuffled"}
        yield {"reshuffle": not plan.reshuffle}, {"same-order-every-pass" if plan.reshuffle else "reshuffled"}
        for seed in {*SEEDS, rng.randrange(2000)} - {plan.seed}:
            yield {"seed": seed}, {"other-seed"}
    else:
        for seed in {*SEEDS, rng.randrange(2000)}:
            for reshuffle in (True, False):
                yield {"order": "shuffle", "seed": seed, "reshuffle": reshuffle}, {"reshuffled"}
    lengths = {1, 2, 3, 4, 5, *((s - 1, s + 1, 2 * s, s // 2) if s else (n // b, n // b + 1, -(-n // b) - 1))}
    for other in lengths:
        if other >= 1 and other != s:
            ways = [{}] if s else [{"epoch_iterator": kind} for kind in ("restart", "continue")]
            for way in ways:
                # An epoch that begins anew before the short batch drops it, by whatever setting.
                drops = other == n // b and (way or plan.to_dict()).get("epoch_iterator") == "restart"
                yield (
                    {"steps_per_epoch": other, **way},
                    {"steps-per-epoch"} | ({REMAINDERS["drop"]} if drops else set()),
                )
    if s is not None:
        yield {"steps_per_epoch": None}, {"steps-per-epoch"}
        yield {"epoch_iterator": "restart" if plan.epoch_iterator == "continue" else "continue"}, {"epoch-iterator"}
        for kind in ("repeat", "short_epoch", "stop"):
            if plan.on_exhaustion is not None and kind != plan.on_exhaustion:
                yield {"on_exhaustion": kind}, {"short-epoch"}


def _sized_alike(candidate: Rows, rows: Rows) -> bool:
    """A look at the sizes, before all ids are written out."""
    return np.array_equal(candidate.batch_size, rows.batch_size[: len(candidate)])


def rows_of(plan: TrainingPlan | None, n: int, *, ids: bool = True) -> Rows | None:
    """The plan's rows, if it has a few."""
    try:
        if plan is None or not 1 <= counting.num_steps(plan, n) <= MOST_STEPS:
            return None
        rows = Rows.of_plan(plan, n).limited()
        return rows if ids else rows.only("batch_size", "updates", "epoch", "step_in_epoch", "padding")
    except UsageError:
        return None


def seen_alike(candidate: Rows, rows: Rows) -> bool:
    """Whether these rows are all that is seen of the candidate."""
    if len(rows) != len(candidate) if candidate.complete else len(rows) < len(candidate):
        return False
    rows = rows.head(len(candidate))
    pairs = ((getattr(candidate, name), getattr(rows, name)) for name in COLUMNS)
    return all(mine is None or (theirs is not None and np.array_equal(mine, theirs)) for mine, theirs in pairs)


def unlabelled(rows: Rows) -> Rows:
    """What was observed, without what the loop declared."""
    return rows.only("batch_size", "updates", "ids")


class Orders(dict[int, Any]):
    """A permutation a pass, made when asked for."""

    def __init__(self, n: int, seed: int) -> None:
        super().__init__()
        self.n, self.seed = n, seed

    def __missing__(self, one: int) -> Any:
        self[one] = np.random.default_rng([self.seed, one]).permutation(self.n)
        return self[one]


def made(plan: TrainingPlan | None, n: int, orders: Orders | None = None) -> Rows | None:
    """The plan's rows, in xframe's order or another."""
    rows = rows_of(plan, n)
    if rows is None or orders is None or plan is None or plan.order == "sequential":
        return rows
    where = cells(plan, n, counting.rows(plan, n, 0, len(rows)))
    passes = where.passes if plan.reshuffle else np.zeros_like(where.passes)
    ids = [orders[p][x] for p, x in zip(passes.tolist(), where.positions.tolist(), strict=True)]
    return rows.with_columns(ids=np.array(ids, dtype=np.int64))


def others(attack: Attack, rng: Random) -> set[frozenset[str]]:
    """The causes whose plan gives the candidate's rows just as well, a set for each such plan."""
    found: set[frozenset[str]] = set()
    for change, names in one_field(attack.plan, attack.num_samples, rng):
        other = changed(attack.plan, **change)
        if other is None or other == attack.plan or names in found or (attack.orders is not None and "seed" in change):
            continue
        if (bare := rows_of(other, attack.num_samples, ids=False)) is None or not _sized_alike(attack.candidate, bare):
            continue
        rows = made(other, attack.num_samples, attack.orders)
        if rows is not None and seen_alike(attack.candidate, rows):
            found.add(frozenset(names))
    return found


# --- rows edited ------------------------------------------------------------------------------------------------------


def edits(plan: TrainingPlan, n: int, rows: Rows, rng: Random) -> Iterator[tuple[str, set[str], Rows]]:
    """Rows with something done to them, and the causes that this is."""
    assert rows.ids is not None
    assert rows.updates is not None
    batches = [rows.batch(i).tolist() for i in range(len(rows))]
    updates, last = rows.updates.tolist(), len(rows) - 1
    where = cells(plan, n, counting.rows(plan, n, 0, len(rows)))
    begins = where.passes[rows.bounds[:-1]]

    def of(new: Sequence[Sequence[int]], counted: Any = None) -> Rows:
        if counted is None:  # each step is followed by what followed the step of that place
            counted = updates[: len(new)] + [updates[-1]] * (len(new) - len(updates))
        return Rows.of_batches(new, counted)

    lost = {"batch-lost", "short-batch-dropped"}
    single = {len(batch) for batch in batches} == {1}  # a batch is a sample then

    def also(names: set[str], name: str) -> set[str]:
        return names | ({name} if single else set())

    if last >= 2:
        for t in {rng.randrange(last), last - 2, last - 1}:
            if 0 <= t < last:
                ends = {"limit-confused"} if t == last - 1 else set()
                yield (
                    "drop two steps",
                    {"batch-lost", "resumed-at-wrong-place"} | ends,
                    of(batches[:t] + batches[t + 2 :]),
                )
        yield "drop the first step", also({"batch-lost"}, "sample-lost"), of(batches[1:])
        jumping = [*updates[:1], *updates[2:]]
        yield "drop a row of the record", also({"batch-lost"}, "sample-lost"), of(batches[:1] + batches[2:], jumping)
        ending = [i for i in range(last) if begins[i] != begins[i + 1]]
        if ending:
            t = rng.choice(ending)
            yield "drop a pass's last step", also(lost, "sample-lost"), of(batches[:t] + batches[t + 1 :])
    yield (
        "the first step again at the end",
        {"batch-repeated", "one-step-more"},
        of([*batches, batches[0]], [*updates, updates[-1] + 1]),
    )
    if last >= 1:
        t = rng.randrange(last)
        x, y = rng.randrange(len(batches[t])), rng.randrange(len(batches[t + 1]))
        new = [list(batch) for batch in batches]
        new[t][x], new[t + 1][y] = new[t + 1][y], new[t][x]
        yield "swap samples of neighbours", {"samples-swapped"}, of(new, updates)
        t = rng.randrange(last)
        new = [list(batch) for batch in batches]
        new[t], new[t + 1] = new[t + 1], new[t]
        yield "swap neighbouring batches", also({"batches-swapped"}, "samples-swapped"), of(new, updates)
    new = [list(batch) for batch in batches]
    gone = new[-1].pop()
    if new[-1]:
        yield "lose the last sample", {"sample-lost"}, of(new, updates)
    del gone
    t = rng.randrange(last + 1)
    if len(batches[t]) > 1:
        new = [list(batch) for batch in batches]
        x, y = rng.sample(range(len(new[t])), 2)
        new[t][x] = new[t][y]
        yield "a sample twice in its batch", {"sample-repeated"}, of(new, updates)
        new = [list(batch) for batch in batches]
        turn = rng.randrange(1, len(new[t]))
        new[t] = new[t][turn:] + new[t][:turn]
        yield "rotate a batch", {"order-inside-batches"}, of(new, updates)
        new = [list(batch) for batch in batches]
        new[t] = [*new[t], new[t][0]]
        yield "put a sample in", {"sample-repeated"}, of(new, updates)
    u = rng.randrange(last + 1)
    if u != t:
        new = [list(batch) for batch in batches]
        new[t] = list(batches[u])
        yield "another step's batch", also({"batch-repeated"}, "sample-repeated"), of(new, updates)
    unused = sorted(set(range(n)) - set(rows.ids.tolist()))
    if unused:
        new = [list(batch) for batch in batches]
        new[t][rng.randrange(len(new[t]))] = rng.choice(unused)
        yield "a sample never reached", {"samples-swapped", "sample-repeated"}, of(new, updates)
    passes = np.unique(where.passes).tolist()
    if len(passes) > 1 and plan.remainder != "carry":
        by_pass = [[batches[i] for i in range(last + 1) if begins[i] == one] for one in passes]
        i = rng.randrange(len(passes) - 1)
        by_pass[i], by_pass[i + 1] = by_pass[i + 1], by_pass[i]
        whole = {"pass-skipped", "resumed-at-wrong-place", "batches-swapped", "other-seed"}
        yield "swap two passes", whole, of([batch for one in by_pass for batch in one], updates)
    at = [i for i in range(last + 1) if updates[i] > (updates[i - 1] if i else 0)]
    inner = [i for i in at if i < last and i + 1 not in at]
    if inner:
        t = rng.choice(inner)
        late = [update - (i == t) for i, update in enumerate(updates)]
        yield "one window late", {"accumulation-steps", "update-offset"}, rows.with_columns(updates=np.array(late))
    before = [i for i in at if i > 0 and i - 1 not in at]
    if before:
        t = rng.choice(before)
        early = [update + (i == t - 1) for i, update in enumerate(updates)]
        yield "one window early", {"accumulation-steps", "update-offset"}, rows.with_columns(updates=np.array(early))
    offset = {"update-offset"}
    yield "the counter starts at 1", offset, rows.with_columns(updates=rows.updates + 1)
    yield "the counter starts at c", offset, rows.with_columns(updates=rows.updates + rng.randint(2, 900))
    yield "the counter starts at -1", {"update-offset", "update-skipped"}, rows.with_columns(updates=rows.updates - 1)
    yield "updates counted double", {"update-doubled"}, rows.with_columns(updates=rows.updates * 2)
    if at:
        t = rng.choice(at)
        step = np.arange(last + 1) >= t
        end = {"window-at-training-end", "leftover-dropped", "leftover-leaked", "leftover-carried"}
        right = {"update-skipped"} | (end if t == last and plan.gradient_accumulation_steps > 1 else set())
        yield "skip an update", right, rows.with_columns(updates=rows.updates - step)
        yield "double an update", {"update-doubled"}, rows.with_columns(updates=rows.updates + step)


# --- the words --------------------------------------------------------------------------------------------------------

NUMBER = r"(\d[\d,]*)"


def _int(text: str) -> int:
    return int(text.replace(",", ""))


def untrue(cause: Explanation, attack: Attack, *, planned: bool) -> list[str]:
    """What of a cause's words does not hold."""
    n, plan, mine, theirs = attack.num_samples, attack.plan, attack.candidate, attack.reference
    said, wrong = cause.sentence, []
    for one, b, r in re.findall(rf"\({NUMBER} mod {NUMBER} = {NUMBER}\)", said):
        if _int(one) % _int(b) != _int(r) or (planned and (_int(one), _int(b)) != (n, plan.batch_size)):
            wrong.append("mod")
    for have, noun, due, by, way in re.findall(
        rf"[:,] (?:and )?{NUMBER} (step|update)s? where {NUMBER} (?:is|are) due, {NUMBER} (more|fewer)", said
    ):
        if noun == "step":
            counted = len(mine), len(theirs)
        else:
            assert mine.updates is not None
            assert theirs.updates is not None
            counted = int(mine.updates[-1]), int(theirs.updates[-1])
        if (_int(have), _int(due)) != counted or abs(counted[0] - counted[1]) != _int(by):
            wrong.append("due")
        if (counted[0] > counted[1]) != (way == "more"):
            wrong.append("more or fewer")
    found = re.search(rf"takes batches of {NUMBER}; .* has {NUMBER}", said)
    if found and (_int(found[1]) != int(mine.batch_size.max()) or (planned and _int(found[2]) != plan.batch_size)):
        wrong.append("batches of")
    found = re.search(rf"{NUMBER} = {NUMBER} x {NUMBER},", said)
    if found and _int(found[1]) != _int(found[2]) * _int(found[3]):
        wrong.append("product")
    found = re.search(rf"has sample {NUMBER} in step {NUMBER} in place of {NUMBER}", said)
    if found and mine.ids is not None and _int(found[1]) not in mine.batch(_int(found[2])):
        wrong.append("sample in step")
    if found and theirs.ids is not None and _int(found[3]) not in theirs.batch(_int(found[2])):
        wrong.append("sample in place of")
    if "and so twice in its pass" in said and mine.ids is not None and attack.change is None:
        found = re.search(rf"has sample {NUMBER} in step", said)
        where = cells(plan, n, counting.rows(plan, n, 0, len(theirs)))
        if found and len(where.passes) == len(mine.ids):
            real = ~where.padding
            pairs = Counter(zip(where.passes[real].tolist(), mine.ids[real].tolist(), strict=True))
            if not any(count > 1 for (_, one), count in pairs.items() if one == _int(found[1])):
                wrong.append("twice in its pass")
    if cause.step is not None and not 0 <= cause.step <= max(len(mine), len(theirs)):
        wrong.append("step")
    if "{" in "".join(cause.fix.values()):
        wrong.append("braces")
    if planned:
        wrong += _mended(cause, attack)
    if cause.by_chance:
        wrong += _chance(cause, attack)
    return wrong


def _mended(cause: Explanation, attack: Attack) -> list[str]:
    plan, mend, wrong = attack.plan, cause.fix, []
    if cause.name in REMAINDERS.values():
        keeps = {"keep": "drop_last=False", "drop": "drop_last=True"}.get(plan.remainder)
        if keeps is not None and keeps not in mend.get("torch", ""):
            wrong.append("mend of a rest")
    flushes = cause.name in LEFTOVERS.values() and plan.accumulation_remainder == "flush"
    if flushes and "i + 1 == len(loader)" not in mend.get("torch", ""):
        wrong.append("mend of a leftover")
    found = re.fullmatch(r'(\w+) = "?(\w+)"?', mend.get("plan", ""))
    if cause.certain and found:
        # A plan so mended must give the candidate's rows.
        ((name, value),) = tomllib.loads(mend["plan"]).items()
        fields = {**dict.fromkeys(("epochs", "steps", "updates")), name: value} if name == "steps" else {name: value}
        rows = made(changed(plan, **fields), attack.num_samples)
        seen = attack.candidate if attack.kind != "a field, epochs from 1" else unlabelled(attack.candidate)
        if rows is None or not seen_alike(seen, rows):
            wrong.append(f"mend of the plan: {found[0]}")
    return wrong


def _chance(cause: Explanation, attack: Attack) -> list[str]:
    """Each side of an equation of totals, worked out."""
    mine, theirs, wrong = attack.candidate, attack.reference, []
    for part in cause.by_chance.split("; "):
        kind, _, text = part.partition(" totals agree only by chance: ")
        if kind == "step" and len(mine) != len(theirs):
            wrong.append("by chance: steps")
        if kind == "update":
            assert mine.updates is not None
            assert theirs.updates is not None
            if mine.updates[-1] != theirs.updates[-1]:
                wrong.append("by chance: updates")
        values = []
        for side in text.split(" per ")[0].split(" = "):
            if "both are" in side:
                continue
            found = re.fullmatch(r"(?:([\d,]+) x )?(?:([⌈⌊])([\d,]+)/([\d,]+)[⌉⌋]|([\d,]+))", side)
            if not found:
                wrong.append(f"by chance: {side}")
                continue
            times = _int(found[1]) if found[1] else 1
            if found[5]:
                values.append(times * _int(found[5]))
            else:
                up = math.ceil if found[2] == "⌈" else math.floor
                values.append(times * up(_int(found[3]) / _int(found[4])))
        if len(set(values)) > 1:
            wrong.append(f"by chance: {text}")
    return wrong


# --- the sweep --------------------------------------------------------------------------------------------------------


def told(attack: Attack, *, planned: bool, num_samples: int | None) -> tuple[Explanation, ...]:
    return diagnose(
        attack.candidate,
        attack.reference,
        run="B",
        num_samples=num_samples,
        plan=attack.plan if planned else None,
        reference_is_plan=planned,
        other="A",
    )


def judge(attack: Attack, rng: Random, found: Causes, *, planned: bool) -> None:
    """Asks, and holds the answer against what was done."""
    causes = told(attack, planned=planned, num_samples=attack.num_samples)
    tag = f"{attack.kind} ({'plan' if planned else 'rows'})"
    count = found.kinds.setdefault(tag, Counter())
    found.cases += 1
    count["cases"] += 1
    text = f"{tag}: {attack.plan!r} n={attack.num_samples} {attack.change or ''} -> "
    if not causes:
        found.nothing += 1
        found.unsure += 1
        count["nothing"] += 1
        return
    first = causes[0]
    for cause in causes:
        found.untrue += [f"{text}{what}: {cause}" for what in untrue(cause, attack, planned=planned)]
        if cause.certain and len(causes) > 1:
            found.untrue.append(f"{text}certain among others: {cause}")
    rivals: set[frozenset[str]] = set()
    if first.certain or first.name not in attack.right:
        rivals = others(attack, rng)
    if first.name in attack.right or any(first.name in names for names in rivals):
        found.right += 1
        count["right"] += 1
    else:
        found.unsure += 1
        count["unsure"] += 1
        found.confused[f"{tag}: {sorted(attack.right)} told as {first.name}"] += 1
    if first.certain:
        found.certain += 1
        count["certain"] += 1
        false = first.name not in attack.right and not any(first.name in names for names in rivals)
        # One name of several that the same deed has is right; so is the general one.
        alike = {name for names in {attack.right, *rivals} if first.name not in names for name in names}
        alike -= {name for name in alike if GENERAL.get(name) == first.name or GENERAL.get(first.name) == name}
        if attack.kind.endswith("drop two steps") and first.name == "resumed-at-wrong-place":
            alike |= {"batch-lost"}
        if false or alike:
            count["WRONG"] += 1
            found.wrong_certain.append(
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


VIEWS = ("", "", "", "no labels", "no labels", "no ids", "no updates", "truncated")


def one_of_each(
    choices: Sequence[tuple[dict[str, Any], set[str]]], rng: Random
) -> list[tuple[dict[str, Any], set[str]]]:
    """One change of each field, drawn."""
    by_field: dict[str, list[tuple[dict[str, Any], set[str]]]] = {}
    for change, names in choices:
        by_field.setdefault(next(iter(change)), []).append((change, names))
    return [rng.choice(found) for found in by_field.values()]


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
    found = list(edits(plan, n, rows, rng))
    for what, names, candidate in rng.sample(found, min(5, len(found))):
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
        off = candidate.with_columns(epoch=candidate.epoch + 1)
        yield Attack(
            "a field, epochs from 1", off, rows, plan, n, frozenset(names | ended(off, rows) | {"epoch-labels"}), first
        )
    what, names, once = rng.choice(found)
    if once.ids is not None and len(once) == len(rows) and np.array_equal(once.batch_size, rows.batch_size):
        again = [one for one in edits(plan, n, once, rng) if one[0] != what]
        _, more, candidate = rng.choice(again)
        yield Attack("two edits", candidate, unlabelled(rows), plan, n, frozenset(names | more))


def own_orders(rng: Random) -> Iterator[Attack]:
    """The same in orders that are not xframe's."""
    plan, n, _ = reference(rng)
    plan = changed(plan, order="shuffle") or plan
    theirs, own = (Orders(n, rng.randrange(1 << 30)) for _ in range(2))
    rows = made(plan, n, theirs)
    if rows is None:
        return
    choices = one_of_each([one for one in one_field(plan, n, rng) if "seed" not in one[0]], rng)
    for change, names in rng.sample(choices, min(3, len(choices))):
        candidate = made(changed(plan, **change), n, theirs)
        if candidate is not None:
            right = frozenset(names | (ended(candidate, rows) if names == {"limit-confused"} else set()))
            yield Attack("own order, a field", candidate, rows, plan, n, right, change, theirs)
    candidate = made(plan, n, own)
    assert candidate is not None
    right = frozenset({"shuffled-independently", "other-seed"})
    yield Attack("own order each", candidate, rows, plan, n, right, None, theirs)
    found = list(edits(plan, n, rows, rng))
    for _, names, candidate in rng.sample(found, min(2, len(found))):
        yield Attack(
            "own order, an edit",
            candidate,
            unlabelled(rows),
            plan,
            n,
            frozenset(names),
            None,
            theirs,
        )


def agree(attack: Attack) -> bool:
    """Whether nothing that is seen differs."""
    a, b = attack.candidate, attack.reference
    if a.complete and b.complete and len(a) != len(b):
        return False
    shared = min(len(a), len(b))
    a, b = a.head(shared), b.head(shared)
    pairs = [(getattr(a, name), getattr(b, name)) for name in COLUMNS]
    return all(mine is None or theirs is None or np.array_equal(mine, theirs) for mine, theirs in pairs)


def garbage(rng: Random) -> Rows:
    """Rows of nothing."""
    steps = rng.randint(0, 8)
    sizes = np.array([rng.choice([0, 1, 2, 3, -1, 1 << 41]) for _ in range(steps)], dtype=np.int64)
    wide = rng.choice([3, 20, 1 << 62])

    def column(length: int) -> Any:
        return None if rng.random() < 0.3 else np.array([rng.randint(-wide, wide) for _ in range(length)], np.int64)

    length = steps + rng.choice([0, 0, 0, 1])
    small = int(sizes.sum()) if (sizes >= 0).all() and sizes.sum() < 50 else 5
    if rng.random() < 0.7:
        sizes = sizes.clip(0, 3)
        small = int(sizes.sum())
    return Rows.of_arrays(
        batch_size=sizes,
        updates=column(length),
        ids=column(small),
        epoch=column(steps),
        step_in_epoch=column(steps),
        padding=column(steps),
        complete=rng.random() < 0.7,
    )


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
    rng, found = Random(seed), Causes()
    while found.cases < size:
        for attack in (*attacks(rng), *own_orders(rng)):
            if agree(attack):
                for planned in (True, False):
                    if attack.orders is None and told(attack, planned=planned, num_samples=attack.num_samples):
                        found.wrong_certain.append(f"{attack.kind}: a cause though nothing differs: {attack}")
                continue
            if attack.orders is None:
                judge(attack, rng, found, planned=True)
            judge(attack, rng, found, planned=False)
        found.wrong_certain += raised(rng)
    found.mismatches = found.wrong_certain + found.untrue
    return found

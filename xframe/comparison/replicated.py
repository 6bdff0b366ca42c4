"""What replicas' own traces show of a run that they shared: where they part, and who had which of a step's samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.pairing import Pair, Run, Terms
from xframe.errors import PlanError, counted
from xframe.files.limits import LARGEST
from xframe.plan.fields import FIELDS
from xframe.plan.replicas import share, shared_rows
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.merged import Dealt, Merged
from xframe.trace.opening import File
from xframe.trace.source import read_between
from xframe.trace.trace import COMPLETE, ending_of
from xframe.trace.weights import weights_path

_ROWS = 1 << 17  # whose sizes are looked at together
_IDS = 1 << 20  # that are looked at
_REPEATS = 256  # steps with a sample twice of which it is looked up who had it
_SAME = {  # what replicas must agree in, by column
    "updates": "had applied {} updates, replica 0 {}",
    "lr": "had learning rate {}, replica 0 {}",
}
_APART = "had other weights than replica 0: they are not synchronised"


class Parting(NamedTuple):
    """Where replicas part that must have the same.

    Attributes:
        step: of the run, the first; None where only what is behind all steps shows it.
        sentence: what differs.
    """

    step: int | None
    sentence: str


def dealt(run: Run) -> tuple[Dealt, ...]:
    """The parts of a run that replicas made; none for one process, or a plan."""
    return () if run.trace is None else run.trace.dealt


def sizes(run: Run) -> str:
    """How many replicas made the run; of a run in several parts how many each."""
    counts = [str(len(one.source.parts)) for one in dealt(run)]
    return ", then ".join(counts) if counts else "1"


def uneven(run: Run) -> Parting | None:
    """Where a run ends for some replicas and not for others, though each was recorded to its end."""
    for one in dealt(run):
        ended = [part.num_rows for part in one.source.parts if ending_of(part) == COMPLETE]
        if one.of_the_end and len(ended) == len(one.source.parts) and len(set(ended)) > 1:
            usual, _ = Counter(ended).most_common(1)[0]
            usual = ended[0] if len(ended) == 2 else usual
            other = next(index for index, rows in enumerate(ended) if rows != usual)
            like = ended.index(usual)
            return Parting(
                one.first + min(ended),
                f"replica {other} of {run.name} made {counted(ended[other], 'step')}, replica {like} {usual:,}",
            )
    return None


def first_parting(run: Run, column: str, what: str) -> Parting | None:
    """The first step at which a replica's value of a column is not that of the first replica."""
    for one in dealt(run):
        found = one.source.parting(column)
        if found is not None and found.row < one.rows:
            value, other = (_value(one.source, index, column, found.row) for index in (found.replica, 0))
            step = one.first + found.row
            return Parting(step, f"step {step:,}: replica {found.replica} of {run.name} {what.format(value, other)}")
    return None


def partings(run: Run) -> Iterator[Parting]:
    """Where the replicas of a run part in what no plan decides: steps, updates, rates, weights."""
    marked, ended = first_parting(run, "weights_mark", _APART), unlike_weights(run)
    if marked is None and ended is not None:
        ended = Parting(None, f"{ended.sentence}: they are not synchronised")
    yield from filter(None, (uneven(run), *(first_parting(run, *one) for one in _SAME.items()), marked, ended))


def sharing_samples(run: Run) -> Parting | None:
    """The first step, while no pass can be over, in which two replicas have the same samples."""
    for one in dealt(run)[:1]:
        if one.first or one.source.unknown["ids"] or not run.rows.known >= {"ids", "batch_size"}:
            continue
        n = run.facts.num_samples
        ends = np.cumsum(read_between(one.source, "batch_size", 0, min(one.rows, _ROWS)).values)
        rows = run.rows.head(int(np.searchsorted(ends, min(n or _IDS, _IDS), side="right")))
        if not len(rows) or (ids := rows.ids) is None:
            continue
        within = ends[: len(rows)] <= (ids.max() + 1 if n is None else n)
        steps = [step for step in _repeating(rows.batch_size, ids)[:_REPEATS] if within[step]]
        own = list(one.source.lists_of_each("ids", steps))
        for at, step in enumerate(steps):
            for a, b in combinations(range(len(own)), 2):
                if len(both := np.intersect1d(own[a][at].values, own[b][at].values)):
                    of = f"{len(both):,} of {min(len(own[a][at].values), len(own[b][at].values)):,}, such as {both[0]}"
                    return Parting(step, f"step {step:,}: replicas {a} and {b} of {run.name} share samples: {of}")
    return None


def _repeating(sizes: NDArray[np.int64], ids: NDArray[np.int64]) -> list[int]:
    """The steps, of these sizes, that have a sample twice."""
    if not len(ids):
        return []
    steps, least = np.repeat(np.arange(len(sizes)), sizes), int(ids.min())
    span = int(ids.max()) - least + 1
    if span > LARGEST // len(sizes):
        ids, least, span = np.unique(ids, return_inverse=True)[1], 0, len(ids)
    places = np.sort(steps * span + (ids - least))  # of equal samples of a step the same
    repeating: list[int] = np.unique(places[1:][np.diff(places) == 0] // span).tolist()
    return repeating


def _value(source: Merged, replica: int, column: str, row: int) -> str:
    value = read_between(source.parts[replica], column, row, row + 1).values[0].item()
    return f"{value:.9g}" if type(value) is float else f"{value:,}"


def _plan_of(one: Dealt, terms: Terms) -> TrainingPlan | None:
    """The plan by which a part of a run is dealt: its own, as a run may go on with other replicas, or that of all.

    One that is given, and has replicas, decides.
    """
    if terms.plan_given and terms.plan is not None and terms.plan.replicas > 1:
        return terms.plan
    try:
        own = TrainingPlan.from_mapping(one.source.metadata["plan"])
    except (KeyError, PlanError, TypeError):
        own = None
    plan = own if own is not None and own.replicas == len(one.source.parts) else terms.plan
    return plan if plan is not None and plan.replicas > 1 else None


def stated(run: Run) -> dict[str, Any]:
    """What a run that as many replicas made from its start to its end states of a plan's fields of replicas."""
    for one in dealt(run):
        facts = one.source.stated[0]
        if one.first or not one.of_the_end or facts.of == 1:
            break
        said = {"replica_split": facts.split, "replica_gradients": facts.gradients}
        return {"replicas": facts.of, **{name: word for name, word in said.items() if word in FIELDS[name].words}}
    return {}


def unplanned(run: Run, terms: Terms) -> Parting | None:
    """The first step that is not shared as the run's plan says, by the number of rows that each replica has of it."""
    for one in dealt(run):
        plan = _plan_of(one, terms)
        if plan is None:
            continue
        if plan.replicas != len(one.source.parts):
            made = (
                f"{run.name} was made by {counted(len(one.source.parts), 'replica')}, the plan says {plan.replicas:,}"
            )
            return Parting(one.first, made)
        found = _first_size(one, partial(_planned, one, plan), f"of {run.name} has", "the plan deals it")
        if found is not None:
            return found
    return None


def _planned(one: Dealt, plan: TrainingPlan, start: int, stop: int) -> Iterator[NDArray[np.int64]]:
    """By replica, how many rows it has of steps of these sizes; of none if the sizes are not known."""
    total = read_between(one.source, "batch_size", start, stop)
    replicas = plan.replicas if total.known is None else 0
    return (shared_rows(plan, total.values, index) for index in range(replicas))


def dealt_otherwise(pair: Pair) -> Parting | None:
    """The first step that the candidate's replicas share otherwise than they must: as the plan says, or without one as
    the reference's do, where these are as many."""
    for one in dealt(pair.candidate):
        plan, name = _plan_of(one, pair.terms), pair.candidate.name
        others = [other for other in dealt(pair.reference) if other.first == one.first]
        others = [other for other in others if len(other.source.parts) == len(one.source.parts)]
        if plan is None and others:
            like = partial(_as_others, others[0])
            found = _first_size(one, like, f"of {name} has", f"that of {pair.reference.name}")
            if found is not None:
                return found
        row = _first_members(one, pair)
        if row is None:
            continue
        due = list[NDArray[np.int64]]()
        if plan is not None and (batch := pair.reference.rows.batch(one.first + row)) is not None:
            due = [batch[share(plan, len(batch), index)] for index in range(plan.replicas)]
        elif others and row < others[0].rows:
            due = _ids(others[0].source, row)
        if len(due) == len(one.source.parts) and (found := _swapped(one, row, due, name)) is not None:
            return found
    return None


def _as_others(other: Dealt, start: int, stop: int) -> Iterator[NDArray[np.int64]]:
    return (column.values for column in other.source.of_each("batch_size", start, min(stop, other.rows)))


def _first_size(
    one: Dealt, due: Callable[[int, int], Iterator[NDArray[np.int64]]], has: str, deals: str
) -> Parting | None:
    """The first step of which a replica has other than that many samples, by replica; of some rows at a time."""
    for start in range(0, one.rows, _ROWS):
        stop, found = min(start + _ROWS, one.rows), list[tuple[int, int, int, int]]()
        for index, (column, planned) in enumerate(
            zip(one.source.of_each("batch_size", start, stop), due(start, stop), strict=False)
        ):
            own = column.values[: len(planned)]
            if (unequal := own != planned).any():
                row = int(np.argmax(unequal))
                found.append((row, index, int(own[row]), int(planned[row])))
        if found:
            row, index, size, planned_size = min(found)
            step = one.first + start + row
            text = f"step {step:,}: replica {index} {has} {counted(size, 'sample')}, {deals} {planned_size:,}"
            return Parting(step, text)
    return None


def _first_members(one: Dealt, pair: Pair) -> int | None:
    """The row of a part at which the two sides first differ in what is in a step, where that is in it and listed."""
    step = pair.firsts.get("ids_digest")
    if step is None or pair.other_data or pair.candidate.by_content or not 0 <= step - one.first < one.rows:
        return None
    row = step - one.first
    if "ids" not in one.source.columns:
        return None
    return row if all(lists.known is None for (lists,) in one.source.lists_of_each("ids", [row])) else None


def _ids(source: Merged, row: int) -> list[NDArray[np.int64]]:
    """By replica, its samples of a step."""
    return [lists.values for (lists,) in source.lists_of_each("ids", [row])]


def _swapped(one: Dealt, row: int, due: list[NDArray[np.int64]], name: str) -> Parting | None:
    """Where the step has the samples that it must have, and a replica those of another."""
    own = _ids(one.source, row)
    if Counter(np.concatenate(own).tolist()) != Counter(np.concatenate(due).tolist()):
        return None  # they are other samples, whoever has them
    for index, (ids, planned) in enumerate(zip(own, due, strict=True)):
        extra = sorted((Counter(ids.tolist()) - Counter(planned.tolist())).elements())
        if extra:
            owner = next(other for other, part in enumerate(due) if other != index and extra[0] in part)
            step = one.first + row
            text = f"step {step:,}: replica {index} of {name} has sample {extra[0]}, which is replica {owner}'s"
            return Parting(step, text)
    return None


def unlike_weights(run: Run) -> Parting | None:
    """Replicas that end with other weights than the first; of no step, unless marks of the weights show which."""
    for one in dealt(run)[-1:]:
        if not one.of_the_end:
            continue
        kept = [part.end.get("weights") or {} for part in one.source.parts]
        first = next((index for index, weights in enumerate(kept) if weights), None)
        for index, weights in enumerate(kept):
            if first is not None and weights and weights != kept[first]:
                names = [name for name in kept[first] if weights.get(name) != kept[first][name]] or [*weights]
                more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
                text = f"replicas {first} and {index} of {run.name} end with different weights ({names[0]}{more})"
                return Parting(None, text)
    return None


def weights_by(run: Run) -> str | None:
    """By what the weights of all replicas are known of the run's end, or of its last step; None if they are not, and
    nothing where one process made the end."""
    last = [one for one in dealt(run) if one.of_the_end]
    if not last:
        return ""
    parts = last[0].source.parts
    if all(part.end.get("weights") for part in parts):
        return "digests"
    return "marks" if all(map(_marked, parts)) else None


def _marked(part: File) -> bool:
    """Whether a mark of the weights is known behind each update; other steps of an accumulation have none."""
    known = (rows := part.num_rows) - part.unknown["weights_mark"]
    if known in (0, rows) or part.unknown["updates"]:
        return known > 0
    updates = read_between(part, "updates", rows - 1, rows).values[0]
    part.forget(0)
    return bool(updates == known)


def without_file(run: Run) -> list[str]:
    """The files of final weights, of which a replica's trace has digests, that are not there."""
    parts = [part for one in dealt(run)[-1:] if one.of_the_end for part in one.source.parts]
    paths = [weights_path(part.path) for part in parts if part.end.get("weights")]
    return [path.name for path in paths if not path.exists()]

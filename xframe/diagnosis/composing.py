"""Several causes at once, one a difference: a first that explains a part of what was seen, a second what then differs.

A part is some columns of the rows, or their beginning. Where the first is a plan, the second is looked for between the
candidate and that plan's rows; where it is an edit, between the reference and what the candidate does behind it. Where
no two causes give all rows, one after the other is taken away until nothing explains the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Fit
from xframe.diagnosis.fixes import fields_of
from xframe.diagnosis.ranking import fits_of, ranked
from xframe.diagnosis.reference import Reference
from xframe.diagnosis.two_orders import order_and_rest
from xframe.errors import counted
from xframe.trace.rows import Rows

_ROWS = ("batch_size", "updates", "ids")
_LABELS = ("epoch", "step_in_epoch", "padding")
_COLUMNS = (("batch_size", "ids"), ("batch_size", "updates"), ("batch_size",))
_PARTS = (*((*columns, *_LABELS) for columns in _COLUMNS), *_COLUMNS)
_MOST_FIRST = 3  # causes of a part that are tried
_MOST_IN_TURN = 4


def composed(case: Case) -> list[Fit]:
    """Two causes that together give all rows, by the step at which each shows; empty if none do."""
    for first, second in _pairs(case):
        earlier, later = sorted((first, second), key=lambda fit: fit.step or 0)
        if second.cause is not first.cause and earlier.step in (case.differs_at, case.first_step):
            return _said_of(case, [earlier, later])
    return []


def in_turn(case: Case) -> tuple[list[Fit], bool]:
    """Causes that each explain a part of what those before it leave, by their steps; and whether nothing is left."""
    found: list[Fit] = []
    rest: Case | None = case
    while rest is not None and rest.differs_at is not None and len(found) < _MOST_IN_TURN:
        fit, behind = _next(rest)
        if fit is None or fit.cause in [one.cause for one in found]:
            break
        found.append(fit)
        rest = behind
    found.sort(key=lambda fit: fit.step or 0)
    if not found or found[0].step not in (case.differs_at, case.first_step):
        return [], False
    left = None if rest is None else rest.differs_at
    if left is not None:
        unexplained = f"{found[-1].sentence}; what else differs, first at step {left:,}, is not explained"
        found[-1] = replace(found[-1], sentence=unexplained)
    return _said_of(case, found), left is None


def _next(rest: Case) -> tuple[Fit | None, Case | None]:
    """A cause of all that differs, or of a part of it; and what it leaves to be explained, if anything."""
    whole = ranked([fit for fit in fits_of(rest) if fit.exact])[:1]
    if whole:
        return whole[0], None
    parts = [(columns, _over(rest, columns)) for columns in _COLUMNS]
    for columns, part in [*parts, *(((), rest.head(steps)) for steps in _lengths(rest))]:
        if part.differs_at is None:
            continue
        for fit in ranked([fit for fit in fits_of(part) if fit.exact])[:1]:
            if fit.plan is not None:
                behind = _beside(rest, fit)
            else:
                behind = _but_for(rest, columns) if columns else _behind(rest, len(part.candidate))
            if behind is not None:
                said = _where_it_shows(fit, rest, behind) if columns else _within(fit, rest, len(part.candidate))
                return said, behind
    for part in [_over(rest.head(steps), columns) for steps in _lengths(rest) for columns in _COLUMNS[:2]]:
        fits = [] if part.differs_at is None else fits_of(part)
        for fit in ranked([fit for fit in fits if fit.plan is not None and fit.exact])[:1]:
            behind = _beside(rest, fit)
            if behind is not None:
                return _where_it_shows(fit, rest, behind), behind
    return None, rest


def of_a_share(case: Case) -> Iterator[Fit]:
    """Of two runs that each train on a share of the samples, what sizes show, as were the share the data set."""
    if (shares := case.both_draw.shares) is None or case.same_sizes:
        return
    own, other = (rows.only("batch_size", "updates") for rows in (case.candidate, case.reference))
    sized = case.over(own, Reference.of(other, shares.length, None, is_plan=False))
    for fit in [] if sized.differs_at is None else ranked([fit for fit in fits_of(sized) if fit.exact])[:1]:
        sentence = f"{case.run}, in each pass over its share, {fit.sentence.removeprefix(case.run + ' ')}"
        yield replace(fit, exact=False, shown=True, besides=True, sentence=sentence)


def _said_of(case: Case, fits: list[Fit]) -> list[Fit]:
    """Causes of one run, none of which gives all rows; those after the first are there besides."""
    # What fixes bring back is the reference, not what the other causes make of it.
    due = fields_of(case.plan, case.num_samples)
    fits = [replace(fit, fields={**fit.fields, **due}) for fit in fits]
    said, own = [replace(fits[0], exact=False)], f"{case.run} "
    for fit in fits[1:]:
        besides = f"{case.run}, besides, {fit.sentence.removeprefix(own)}"
        sentence = besides if fit.sentence.startswith(own) else fit.sentence
        said.append(replace(fit, exact=False, besides=True, sentence=sentence))
    return said


def _lengths(case: Case) -> list[int]:
    """Of beginnings that are tried, the longest first."""
    lengths = (case.shared * sixteenths // 16 for sixteenths in (12, 8, 4, 2, 1))
    return [steps for steps in dict.fromkeys(lengths) if steps > case.first_step + 2]


def beginning(case: Case) -> list[Fit]:
    """What explains the first difference for as long as nothing else differs, with what sizes show beyond it."""
    at, sizes = case.first_step, case.sizes_differ_at
    for steps in dict.fromkeys([*([sizes] if sizes is not None else []), *_lengths(case)]):
        head = case.head(steps)
        if steps > at and head.differs_at is not None and (fits := ranked(fits_of(head))):
            return [replace(_within(fit, case, steps), exact=False) for fit in fits]
    return []


def _within(fit: Fit, case: Case, steps: int) -> Fit:
    """The cause, said of the first steps alone."""
    first, does = f"first {counted(steps, 'step')}", fit.sentence.removeprefix(f"{case.run} ")
    own = f"{case.run}, in its {first}, {does}"
    return replace(fit, sentence=own if does != fit.sentence else f"in the {first}, {does}")


def _pairs(case: Case) -> Iterator[tuple[Fit, Fit]]:
    """Pairs of causes that together give all rows."""
    yield from order_and_rest(case)
    labelled = case.labels_differ_at is not None
    parts = [(columns, _over(case, columns)) for columns in (_PARTS if labelled else _COLUMNS)]
    heads = [((), case.head(steps)) for steps in _lengths(case)]
    for columns, part in parts + heads:
        if part.differs_at is None and part.labels_differ_at is None:
            continue
        for first in ranked([fit for fit in fits_of(part) if fit.exact])[:_MOST_FIRST]:
            rest = _beside(case, first) if first.plan is not None else _but_for(case, columns)
            if rest is not None and rest.differs_at is not None:
                said = _where_it_shows(first, case, rest) if columns else _within(first, case, len(part.candidate))
                yield from ((said, second) for second in _seconds(rest))
    yield from _before_and_behind(case)


def _over(case: Case, columns: tuple[str, ...]) -> Case:
    """These columns of both sides."""
    return case.over(case.candidate.only(*columns), replace(case.basis, rows=case.reference.only(*columns)))


def _seconds(rest: Case) -> Iterator[Fit]:
    """The likeliest cause of what differs besides; of an order, also one that its mark alone shows."""
    fits = fits_of(rest)
    order = rest.same_sizes and rest.same_updates and len(rest.candidate) == len(rest.reference)
    marked = (order and not rest.same_batches) or rest.differs_at == rest.shared
    yield from ranked([fit for fit in fits if fit.exact] or (fits if marked else []))[:1]


def _beside(case: Case, first: Fit) -> Case | None:
    """The candidate beside the rows of the plan that it follows; None where these are not known."""
    assert first.plan is not None
    rows = case.basis.predicted(first.plan, len(case.candidate), ids=case.has_ids)
    if rows is None:
        return None
    seen = case.candidate.only(*(_ROWS if rows.ids is not None else _ROWS[:2]))
    basis = Reference(rows, (first.plan,), case.num_samples, case.basis.order, case.given)
    return case.over(seen, basis, apart=True, supposed=not case.over(rows, case.basis).same_where_both_go_on)


def _where_it_shows(first: Fit, case: Case, rest: Case) -> Fit:
    """The first cause, at the step where the rows of its plan first differ from the reference's."""
    step = None if first.plan is None else case.over(rest.reference, case.basis, apart=True).differs_at
    return first if step is None else replace(first, step=step)


def _but_for(case: Case, columns: tuple[str, ...]) -> Case | None:
    """The candidate with these columns as the reference's, an edit of which is found; None where that cannot be."""
    a, b = case.candidate, case.reference
    if not columns or len(a) != len(b) or ("ids" not in columns and not case.same_sizes):
        return None
    same: dict[str, Any] = {name: b.column(name).values for name in columns if name in b.known & a.known}
    return case.over(a.with_columns(**same), case.basis, apart=True)


def _before_and_behind(case: Case) -> Iterator[tuple[Fit, Fit]]:
    """One cause before some step and one from it on: where another column begins to differ, or one side ends."""
    points = {case.sizes_differ_at, case.batches_differ_at, case.updates_differ_at, case.shared}
    for step in sorted(point for point in points if point is not None and point > (case.differs_at or 0)):
        heads = case.head(step), case.head(step, whole=True)
        before = ranked([fit for head in heads for fit in fits_of(head) if fit.exact])[:_MOST_FIRST]
        behind = _behind(case, step) if before else None
        if behind is None or behind.differs_at is None:
            continue
        for second in _seconds(behind):
            yield from ((_within(first, case, step), second) for first in before)


def _behind(case: Case, step: int) -> Case | None:
    """The candidate as if it had done as the reference before that step."""
    a, b = case.candidate, case.reference
    columns = {"batch_size": np.concatenate([b.batch_size[:step], a.batch_size[step:]])}
    if case.ids is not None:
        columns["ids"] = np.concatenate([case.ids[1][: b.bounds[step]], case.ids[0][a.bounds[step] :]])
    if a.updates is not None and b.updates is not None:
        more = b.updates[step - 1] - a.updates[step - 1]
        columns["updates"] = np.concatenate([b.updates[:step], a.updates[step:] + more])
    return case.over(Rows.of_arrays(complete=a.complete, **columns), case.basis, supposed=True)

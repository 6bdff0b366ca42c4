"""For scripts that shuffled on their own: equal batch sizes, and the same samples in each pass, in whatever order.

Ids are read in pieces, each run's as often as there are ways in which passes may end that do not fit, and twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp
from typing import NamedTuple

import numpy as np

from xframe.comparison.checks.boundaries import Boundaries, difference, differing, members, surplus
from xframe.comparison.drawn import Drawn, Ids, places_of, together
from xframe.comparison.pairing import BLOCK_ROWS, Pair, Run
from xframe.comparison.passes import NeverSeen, dropping, kept_draws, labelled, order_of, passes, union
from xframe.comparison.result import Judgement
from xframe.plan.training_plan import TrainingPlan

_FIRST_ROWS = 1 << 19  # that are looked at for samples drawn twice in a step
_LEFT_OUT = "a pass left some samples out, not the same ones, and no more over the run than by chance"
_KEPT_OUT = "each run leaves the same samples out of all passes, fewer than a batch, and not those of the other: one "
_KEPT_OUT += "order of its own whose remainder is dropped"
_TELL_TOTAL = "no pass has a short last batch: if both scripts drop it, give num_samples= to xframe.record in both"


class Coverage(Boundaries):
    """The size of each batch; its ids only pass by pass."""

    orders, each = ("coverage",), "per pass"

    def note(self, column: str, row: int | None) -> None:
        """Where the order differs, the structure does not: what doesn't depend on the order is judged on."""
        until = self.pair.until
        super().note(column, row)
        if column == "ids_digest":
            self.pair.until = until

    def judge(self) -> Judgement:
        candidate, reference, shared = self.pair.candidate, self.pair.reference, self.pair.shared
        if (step := self._drawn_by_two_replicas()) is not None:
            self._notice_orders_apart()
            return Judgement("fail", step, difference(candidate, reference, step))
        if "batch_size" in self.pair.firsts:
            step = self.pair.firsts["batch_size"]
            if self.pair.firsts.get("ids_digest", step) < step:
                self._notice_orders_apart()
            return Judgement("fail", step, difference(candidate, reference, step))
        if not shared:
            return Judgement("not judged")
        for run in (candidate, reference):
            if "ids" not in run.rows.known:
                return Judgement("not judged", detail=f"{run.name} lists no sample ids")
        sides = Drawn(candidate, shared), Drawn(reference, shared)
        if not sides[0].num_rows:
            return self.agreement()
        expected = self.pair.terms.num_samples if reference.is_plan else reference.facts.num_samples
        stated = {candidate.facts.num_samples, expected} - {None}
        total = stated.pop() if len(stated) == 1 else None
        plans = [self._plan_of(run) for run in (candidate, reference)]
        bounds = passes(sides, next((plan for plan in plans if plan is not None), None), total)
        if bounds is None and (bounds := dropping(sides)) is not None:
            total = sides[0].size
        if bounds is None:
            return self._by_labels(sides, total) or self._of_the_run(sides, total)
        self._notice_orders(sides, (bounds, bounds))
        return self._by_pass(sides, bounds, total)

    def _drawn_by_two_replicas(self) -> int | None:
        """The first step in which the replicas of a run draw a sample twice, before the other run begins a second pass:
        no order does that."""
        runs = self.pair.candidate, self.pair.reference
        if not all("ids" in run.rows.known and "batch_size" in run.rows.known for run in runs):
            return None
        steps = self.pair.firsts.get("batch_size", self.pair.shared)
        sides = [Drawn(run, steps) for run in runs]
        found = [_twice_in_a_step(*pair) for pair in (sides, sides[::-1]) if _has_replicas(pair[0].run)]
        return min((step for step in found if step is not None), default=None)

    def _by_labels(self, sides: tuple[Drawn, Drawn], total: int | None) -> Judgement | None:
        """Epochs that draw samples more often than others, or not all; None if this leaves open what differs."""
        bounds = labelled(sides)
        cut = any(not run.rows.complete for run in (self.pair.candidate, self.pair.reference))
        if bounds is None or cut or len(bounds) < 3:
            return None
        for pieces in together(sides, bounds):
            for index in map(int, pieces[0].unlike(pieces[1])):
                of_run = self._of_the_run(sides, total)
                if of_run.result == "fail" or not all(kept_draws(side, bounds) for side in sides):
                    return of_run
                start, stop = (bounds[pieces[0].first + one] for one in (index, index + 1))
                return self._differ(sides, start, stop, [piece.of(index) for piece in pieces])
        self._notice_orders(sides, (bounds, bounds))
        return self.agreement()

    def _differ(self, sides: tuple[Drawn, Drawn], start: int, stop: int, drawn: Sequence[Ids]) -> Judgement:
        """That the runs drew different samples in these rows."""
        first, last = sides[0].step(start), sides[0].step(stop - 1)
        extra, missing = surplus(*drawn), surplus(*drawn[::-1])
        detail = f"steps {first} to {last}: {differing(max(len(extra), len(missing)))}"
        return Judgement("fail", first, detail + members(self.pair.candidate, extra, self.pair.reference, missing))

    def _of_the_run(self, sides: tuple[Drawn, Drawn], total: int | None) -> Judgement:
        """The samples of the whole run, where no pass is known."""
        samples = union(sides)
        counts = np.zeros(len(samples), dtype=np.int64)  # how often the candidate drew each more than the reference
        for side, sign in zip(sides, (1, -1), strict=True):
            for _, ids in side.each_rows():
                counts += sign * np.bincount(places_of(ids, samples), minlength=len(samples))
            never = NeverSeen(samples, total or len(samples))
            never.draw(side.samples, exp(-side.num_rows / never.total))  # at most, however passes were made
            if never.certain:
                return _leaves_out(side, never)
        detail = "where a pass ends is not known"
        if (counts > 0).any():
            detail += ", and over the whole run the samples differ"
        asked = {"epoch= to rec.step": labelled(sides), "num_samples= to xframe.record": total}
        missing = " and ".join(text for text, known in asked.items() if known is None)
        detail += f"; give {missing} in both scripts" if missing else ": the labelled epochs draw other samples each"
        return Judgement("not judged", detail=detail)

    def _by_pass(self, sides: tuple[Drawn, Drawn], bounds: list[int], total: int | None) -> Judgement:
        """The samples of each pass; ``bounds`` has the first row of each and the end of the last."""
        candidate, reference, shared = self.pair.candidate, self.pair.reference, self.pair.shared
        cut = any(not run.rows.complete and len(run.rows) == shared for run in (candidate, reference))
        samples, left_out, undecided = union(sides), False, ""
        never = [NeverSeen(samples, total or len(samples)) for _ in sides]
        known = total is not None  # how many samples there are
        for one in _unlike(sides, bounds, never, len(samples)):
            start, stop, drawn, twice = bounds[one.place], bounds[one.place + 1], one.drawn, one.twice
            known = known or one.whole
            if cut and stop == bounds[-1]:
                return Judgement("not judged", detail="the last pass was cut short")
            first, last = sides[0].step(start), sides[0].step(stop - 1)
            sizes = np.diff(sides[0].bounds[first : last + 2])
            if all(twice):
                undecided = undecided or "both draw samples twice in a pass: how often each is drawn is chance"
                continue
            if not any(twice) and len(drawn[0]) == len(drawn[1]) < never[0].total >= len(samples):
                part = _part_of(sides, never, int(sizes.max()))
                if part is not None:
                    return part
                left_out = True  # each pass drew only some of the samples: no more can be asked of one
                if known:
                    continue
            if not any(twice) and not known and (sizes == sizes[0]).all():
                undecided = undecided or _TELL_TOTAL
                continue
            return self._differ(sides, start, stop, drawn)
        if undecided:
            return Judgement("not judged", detail=undecided)
        kept_out = left_out and all(one.certain for one in never)
        return Judgement("pass", detail=_KEPT_OUT if kept_out else _LEFT_OUT) if left_out else self.agreement()

    def _plan_of(self, run: Run) -> TrainingPlan | None:
        return self.pair.terms.plan if run.trace is None else run.trace.plan

    def _notice_orders_apart(self) -> None:
        """The same where the batches are not of the same sizes: each run has passes of its own."""
        bounds, sides = [], []
        for run in (self.pair.candidate, self.pair.reference):
            if "ids" not in run.rows.known or "batch_size" not in run.rows.known:
                return
            side = Drawn(run, len(run.rows))
            total = self.pair.terms.num_samples if run.is_plan else run.facts.num_samples
            sides.append(side)
            bounds.append(passes((side,), self._plan_of(run), total) or dropping((side,)))
        self._notice_orders(sides, bounds)

    def _notice_orders(self, sides: Sequence[Drawn], bounds: Sequence[list[int] | None]) -> None:
        """Names a forgotten shuffle: it is no difference in which samples are drawn, and seldom meant."""
        if "ids_digest" in self.pair.firsts:
            orders = [None if way is None else order_of(side, way) for side, way in zip(sides, bounds, strict=True)]
            if None not in orders and orders[0] != orders[1]:
                names = ["the plan" if side.run.is_plan else side.run.name for side in sides]
                self.pair.noticed.append(
                    "; ".join(f"{name} {order}" for name, order in zip(names, orders, strict=True))
                )

    @classmethod
    def notes(cls, pairs: Sequence[Pair]) -> Iterator[str]:
        for pair in pairs:
            yield from pair.noticed
            if pair.reference.is_plan:
                continue
            for run in (pair.candidate, pair.reference):
                yield from _not_finite(run)
            yield from _own_orders(pair)


class _Unlike(NamedTuple):
    """A pass of which the two runs drew different samples."""

    place: int
    drawn: list[Ids]  # by each of them
    twice: list[bool]  # whether it drew one twice
    whole: bool  # a pass before this one, or this one, drew all samples in both


def _unlike(
    sides: tuple[Drawn, Drawn], bounds: list[int], never: Sequence[NeverSeen], samples: int
) -> Iterator[_Unlike]:
    """Those passes in order, while ``never`` follows both runs, up to each of them."""
    whole = False
    for pieces in together(sides, bounds):
        different, begun = pieces[0].unlike(pieces[1]), 0
        full = [(piece.lengths - piece.repeats) == samples for piece in pieces]
        for index in map(int, different):
            for piece, one in zip(pieces, never, strict=True):
                one.add_all(piece.between(begun, index + 1))
            begun = index + 1
            whole = whole or bool((full[0] & full[1])[:begun].any())
            drawn, twice = [piece.of(index) for piece in pieces], [bool(piece.repeats[index]) for piece in pieces]
            yield _Unlike(pieces[0].first + index, drawn, twice, whole)
        whole = whole or bool((full[0] & full[1]).any())
        for piece, one in zip(pieces, never, strict=True):
            one.add_all(piece.between(begun, len(piece)))


def _part_of(sides: Sequence[Drawn], never: Sequence[NeverSeen], batch_size: int) -> Judgement | None:
    """That a run draws from a part of the samples only; not where both leave out less than a batch, each in the one
    order that it has."""
    parts = [(side, one) for side, one in zip(sides, never, strict=True) if one.certain]
    if len(parts) == 1 or any(one.count >= batch_size for _, one in parts):
        return _leaves_out(*parts[0])
    return None


def _has_replicas(run: Run) -> bool:
    return run.trace is not None and bool(run.trace.replicas)


def _twice_in_a_step(side: Drawn, other: Drawn) -> int | None:
    """The first step that draws a sample twice, among the rows in which the other side draws none twice."""
    drawn = other.rows(0, min(other.num_rows, _FIRST_ROWS))
    first = np.sort(np.unique(drawn, return_index=True)[1])
    until = int(np.argmax(first != np.arange(len(first)))) if len(first) < len(drawn) else len(drawn)
    until = until or len(first)  # all that is drawn twice comes behind
    ids, steps = side.rows(0, until), np.repeat(np.arange(len(side.bounds) - 1), np.diff(side.bounds))[:until]
    order = np.lexsort((ids, steps))
    twice = (np.diff(ids[order]) == 0) & (np.diff(steps[order]) == 0)
    return int(steps[order][1:][twice][0]) if twice.any() else None


def _leaves_out(side: Drawn, never: NeverSeen) -> Judgement:
    step = min(side.last_new() + 1, len(side.bounds) - 2)
    detail = f"step {step}: {side.run.name} goes on without a sample that it has not had before: {never.count:,} of "
    detail += f"{never.total:,} are never seen, where chance leaves out about {_plain(never.expected)}"
    return Judgement("fail", step, detail)


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _own_orders(pair: Pair) -> Iterator[str]:
    """That the orders differ; not where a run lists no samples, or where it is the samples that do."""
    sized, drawn = (pair.firsts.get(name, pair.shared) for name in ("batch_size", "ids_digest"))
    if drawn < sized and all("ids" in run.rows.known for run in (pair.candidate, pair.reference)):
        sides, result = f"{pair.candidate.name} and {pair.reference.name} drew", pair.judgements["boundaries"].result
        if result == "pass":
            yield f"{sides} the samples in different orders"
        elif result == "not judged" or sized < pair.shared:
            yield f"{sides} different samples, or the same in different orders"


def _not_finite(run: Run) -> Iterator[str]:
    """That a run's loss is no finite number, and where it first is none."""
    for block in run.rows.blocks(BLOCK_ROWS):
        losses, known = block.column("loss")
        odd = np.flatnonzero(~np.isfinite(losses) & (known if known is not None else True))
        if odd.size:
            yield f"{run.name}: the loss is {losses[odd[0]]} at step {block.start + odd[0]}"
            return

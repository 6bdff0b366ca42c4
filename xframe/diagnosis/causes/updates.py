"""Updates that are not applied, or counted, after the steps that should have one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.edits import Gaps, has_updates, update_gaps, updates_of, window_ends
from xframe.diagnosis.keys import Keys
from xframe.errors import counted, listed
from xframe.inference.observed import Ints
from xframe.trace.rows import Rows

_FEWEST = 2  # further updates, of which it can be said how often they come
_LONGEST_WINDOW = 64  # steps by which a window may be shifted


def _totals_of(case: Case, gaps: Gaps) -> Case:
    """The case, of which no totals are stated where some updates are missing and others are too many."""
    return case.over(case.candidate, case.basis, apart=True) if gaps.single else case


class UpdateSkipped(Cause):
    """An update is skipped."""

    name = "update-skipped"
    rank = 300
    fixes = settings(
        torch="a GradScaler skips updates whose gradients overflow: look at scaler.get_scale(), or use bfloat16",
        tensorflow="LossScaleOptimizer skips them too: look at optimizer.dynamic_scale",
        any="see that every step reaches optimizer.step() with its gradients not yet zeroed",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        gaps = update_gaps(case)
        if gaps is None or not (gaps.only_fewer or gaps.single):
            return
        fewer = gaps.some(fewer=True)
        exact = len(gaps.steps) == 1 and gaps.more[0] == -1
        yield self.fit(_totals_of(case, gaps), f"skips the update of {fewer.listed}", exact=exact, step=fewer.first)


class StepWithoutUpdate(Cause):
    """A step more, whose gradients lead to no update, as in a warm-up before training."""

    name = "step-without-update"
    rank = 305
    fixes = settings(
        any="compute losses that are only looked at without gradients; train on no batch before the first epoch begins",
        torch="with torch.no_grad(): for what is only looked at; a warm-up outside of what is recorded",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        own, other = (case.candidate, case.keys), (case.reference, case.reference_keys)
        for more, less, run, than in ((own, other, case.run, case.other), (other, own, case.other, case.run)):
            idle = _idle(*more, *less)
            if idle is None:
                continue
            some = len(idle) > 1
            text = f"{run} makes {counted(len(idle), 'step')} that {'lead' if some else 'leads'} to no update, at step"
            text += f"{'s' if some else ''} {listed(idle)}: gradients were computed, and no optimizer stepped, as in a "
            text += f"warm-up or where a loss is only looked at; its other steps are those of {than}"
            yield replace(self.note(case, text, int(idle[0]), exact=True), by_reference=more is other)


def _idle(rows: Rows, keys: Keys, other: Rows, other_keys: Keys) -> Ints | None:
    """The steps more that a run makes, if its updates are all behind the others, and these are those of the other."""
    if rows.updates is None or other.updates is None or len(rows) <= len(other) or not len(other):
        return None
    bring, due = np.diff(rows.updates, prepend=0) != 0, np.diff(other.updates, prepend=0) != 0
    if bring.sum() != len(other) or not due.all() or len(keys) != len(bring) or len(other_keys) != len(due):
        return None
    tried = rows.column("update_attempts")
    known = tried.known is None or tried.known.all()
    if known and len(tried.values) and (np.diff(tried.values, prepend=0)[~bring] > 0).any():  # skipped, and seen so
        return None
    same = np.array_equal(keys[bring], other_keys) and np.array_equal(rows.updates[bring], other.updates)
    return np.flatnonzero(~bring) if same else None


class OtherOptimizerSeldom(Cause):
    """A second optimizer, as of a GAN's generator, steps after other steps."""

    name = "second-optimizer-interval"
    rank = 303
    fixes = settings(any="let the second network's optimizer step after as many steps of the first one in both runs")

    def find(self, case: Case) -> Iterator[Fit]:
        if update_gaps(case) is None or case.updates is None:
            return
        own, other = (_further(updates) for updates in case.updates)
        if own is not None and other is not None and own != other:
            text = f"has a further update after every {_every(own)}; {case.other} after every {_every(other)}"
            yield self.fit(case, f"{text}, as where a second optimizer steps less often")


def _further(updates: Ints) -> tuple[int, int] | None:
    """Where every step has an update, and each of so many one more: how many, and the first of these."""
    made = np.diff(updates, prepend=0)
    extra = np.flatnonzero(made > 1)
    apart = np.diff(extra)
    if len(extra) < _FEWEST or made.min() != 1 or (made[extra] != 2).any() or (apart != apart[0]).any():
        return None
    return int(apart[0]), int(extra[0])


def _every(further: tuple[int, int]) -> str:
    return f"{counted(further[0], 'step')}, first at step {further[1]:,}"


class UpdateDoubled(Cause):
    """An update is applied twice."""

    name = "update-doubled"
    rank = 310
    fixes = settings(any="call optimizer.step() or apply_gradients once a window; see callbacks and hooks too")

    def find(self, case: Case) -> Iterator[Fit]:
        gaps = update_gaps(case)
        if gaps is None or not (gaps.only_more or gaps.single):
            return
        more = gaps.some(fewer=False)
        text = f"applies {'an update' if len(more.steps) == 1 else 'updates'} too many at {more.listed}"
        exact = len(gaps.steps) == 1 and gaps.more[0] == 1 and bool((gaps.due > 0).all())
        yield self.fit(_totals_of(case, gaps), text, exact=exact, step=more.first)


class CountedWithoutUpdate(Cause):
    """Its counter goes up where the data run out, though nothing is updated."""

    name = "counted-without-update"
    rank = 320
    fixes = settings(
        keras="tell fit how long a pass is: dataset.apply(tf.data.experimental.assert_cardinality(batches))"
    )

    def find(self, case: Case) -> Iterator[Fit]:
        gaps = update_gaps(case)
        if gaps is None or not gaps.only_more:
            return
        epochs, plan = case.reference.epoch, case.plan
        if epochs is None or (plan is not None and plan.steps_per_epoch is not None):
            return
        begun = np.flatnonzero(np.diff(epochs[: case.shared])) + 1  # the first steps of passes, which epochs are
        if np.array_equal(gaps.steps, begun) and (gaps.more == 1).all():
            text = f"counts an update each time the data run out that no step made (first seen at step {gaps.first:,})"
            yield self.fit(case, text, step=gaps.first)


class UpdateOffset(Cause):
    """Its windows are shifted: the same number of steps, begun elsewhere."""

    name = "update-offset"
    rank = 330
    about_windows = True
    moves_updates = True
    fixes = settings(
        torch="update if (i + 1) % {k} == 0, not i % {k} == 0; read the counter after optimizer.step()",
        tensorflow="the same; read optimizer.iterations after apply_gradients",
        any="begin the counter at 0; where a run resumes, subtract the updates of its checkpoint, or keep its steps",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        gaps = update_gaps(case)
        if gaps is None or case.updates is None:
            return
        (own, due), by = case.updates, np.subtract(*case.updates)
        late = own[0] == 0 and np.array_equal(own[1:], due[:-1])
        if late or (gaps.first == 0 and (by == -1).all()):
            text = "has its updates one step late all through, as where the counter is read before the update"
            yield self.fit(case, text, guess=True, step=gaps.first)
        if gaps.first == 0 and by[0] > 0 and (by == by[0]).all():
            more = counted(int(by[0]), "update")
            text = f"counts {more} more from its first step on, as where the counter does not begin at 0"
            fit = self.fit(case, text, guess=True, step=0)
            yield replace(fit, fields={**fit.fields, "begins": int(by[0])})
        yield from self._shifted(case)

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        if fields.get("begins"):
            return {"any": self.fixes["any"]}
        windows = {where: text for where, text in self.fixes.items() if where != "any"}
        if fields.get("k") == 1:
            windows |= {"torch": "read the counter after optimizer.step()"}
            windows |= {"tensorflow": "read optimizer.iterations after apply_gradients"}
        return windows

    def _shifted(self, case: Case) -> Iterator[Fit]:
        """Windows begun elsewhere."""
        own, k = window_ends(case), case.window
        if own is None or case.plan is None:
            return
        leftover = case.plan.accumulation_remainder or "flush"
        for begun in range(1, min(k, _LONGEST_WINDOW)):
            for each in (False, True):
                if has_updates(case, updates_of(own, k, leftover, begun, each=each)):
                    text = f"ends its first window of {k:,} after {counted(k - begun, 'step')}, and so all that follow"
                    yield self.fit(case, text + (" in each epoch" if each else ""))
                    return

"""The order in which the samples of a pass come, where it is not the reference's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from math import lgamma, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, Prediction, settings
from xframe.diagnosis.claims import only_orders_differ
from xframe.diagnosis.edits import most_batches, moved_batches
from xframe.diagnosis.passes import Pass
from xframe.diagnosis.shares import Shares
from xframe.errors import counted, listed
from xframe.inference.observed import SEEDS, UNLIKELY, seeds_of
from xframe.inference.reproducing import UNKNOWN
from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan

_ONE_ORDER = {
    "xframe": "xframe.sampler(plan, {n}) for torch, xframe.index_dataset(plan, {n}) for tf.data: one order for both",
}
_MOST_PASSES = 64  # whose order is looked for among the reference's
_LOOK = slice(0, 8)  # places of a pass that are compared before all are


class _OneOfAll(Cause):
    """An order of which there is one only."""

    about_order = True

    def log_alternatives(self, case: Case) -> float:
        return 0.0


class NotShuffled(_OneOfAll):
    """It goes through the samples in their stored order."""

    name = "not-shuffled"
    rank = 120
    settings_behind = r"loader\.(shuffle|sampler)"
    fixes = settings(
        **_ONE_ORDER,
        torch="for an order of its own: DataLoader(..., shuffle=True)",
        tensorflow="for one of its own: Dataset.shuffle({n}) before Dataset.batch; fit(shuffle=True) does nothing",
        plan='order = "sequential"',
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        if case.may_be_reordered and plan.order != "sequential":
            text = f"goes through the samples in their stored order; {case.other} shuffles"
            yield Prediction({"order": "sequential"}, text)

    def find(self, case: Case) -> Iterator[Fit]:
        yield from _leaves_out(self, case, "goes through the samples in their stored order", stored=True)
        passes, plan = case.passes, case.plan
        if not passes.permuted or plan is None:
            return
        text = "goes through the samples in their stored order"
        if passes.sequential:
            yield self.fit(case, f"{text}; {case.other} shuffles", exact=False)
        elif plan.order == "sequential" and not case.given:
            sentence = f"{case.other} {text}; {case.run} shuffles them"
            fit = self.fit(case, "", exact=False, guess=True)
            yield replace(fit, sentence=sentence, by_reference=True)


class SameOrderEveryPass(_OneOfAll):
    """It shuffles once and repeats that order every pass."""

    name = "same-order-every-pass"
    rank = 130
    settings_behind = r"loader\.(shuffle|sampler)"
    fixes = settings(
        torch="DistributedSampler.set_epoch(epoch) in each epoch; no generator reseeded before each pass",
        tensorflow="Dataset.shuffle(..., reshuffle_each_iteration=True), and no cache() behind it",
        plan="reshuffle = false",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        if case.may_be_reordered and plan.order == "shuffle" and plan.reshuffle:
            text = f"repeats the first pass's order in every pass; {case.other} shuffles each pass"
            yield Prediction({"reshuffle": False}, text)

    def find(self, case: Case) -> Iterator[Fit]:
        yield from _leaves_out(self, case, "has one order in all passes", stored=False)
        passes, plan = case.passes, case.plan
        if plan is None or not passes.permuted or passes.sequential:
            return
        if passes.one_order and plan.order == "shuffle" and plan.reshuffle:
            many = counted(len(passes.of_equal_length), "pass")
            text = f"has one order in all of {many}; {case.other} shuffles each pass"
            yield self.fit(case, text, exact=False, guess=True)


class Reshuffled(_OneOfAll):
    """It shuffles again for each pass where one order should be kept."""

    name = "reshuffled"
    rank = 140
    settings_behind = r"loader\.(shuffle|sampler)"
    fixes = settings(
        torch="a generator seeded alike before each pass; DataLoader(shuffle=False) for the stored order",
        tensorflow="Dataset.shuffle(..., seed=..., reshuffle_each_iteration=False), or no shuffle",
        plan="reshuffle = true",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        if not case.may_be_reordered:
            return
        if plan.order == "shuffle":
            if not plan.reshuffle and case.differs_at:
                yield Prediction({"reshuffle": True}, f"shuffles again for each pass; {case.other} keeps one order")
            return
        for seed in _seeds(case, plan, num_samples):
            # In one pass the two are the same, and the first says less.
            for reshuffle in (False, True):
                words = f"shuffles the samples{' again for each pass' if reshuffle else ''}"
                text = f"{words} (xframe's seed {seed:,}); {case.other} goes through them in their stored order"
                fields = {"order": "shuffle", "seed": seed, "reshuffle": reshuffle}
                written = f'order = "shuffle", seed = {seed}, reshuffle = {str(reshuffle).lower()}'
                yield Prediction(fields, text, written)

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan = case.passes, case.plan
        if plan is None or not passes.permuted or passes.sequential:
            return
        if plan.order == "sequential":
            if case.given:
                text = f"shuffles the samples; {case.other} goes through them in their stored order"
                yield self.fit(case, text, exact=False, guess=True)
        elif case.differs_at and not plan.reshuffle and len(passes.of_equal_length) > 1 and not passes.one_order:
            # A first step that differs is of another order: that it is drawn anew for each pass explains none of it.
            yield self.fit(case, f"shuffles again for each pass; {case.other} keeps one order", exact=False, guess=True)

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        if fields.get("order") == "sequential":
            return {**self.fixes, "plan": str(fields.get("observed", 'order = "shuffle"'))}
        return self.fixes


class OtherSeed(Cause):
    """It shuffles by a different seed."""

    name = "other-seed"
    rank = 150
    about_order = True
    fixes = settings(
        **_ONE_ORDER,
        torch="with an order other than xframe's: DataLoader(..., generator=torch.Generator().manual_seed(...))",
        tensorflow="with an order other than xframe's: Dataset.shuffle(..., seed=...)",
        plan="seed = {observed}",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        if not case.may_be_reordered or plan.order == "sequential":
            return
        for seed in _seeds(case, plan, num_samples):
            if seed != plan.seed:
                yield Prediction({"seed": seed}, f"shuffles by seed {seed:,}; {case.other} by seed {plan.seed:,}", seed)

    def log_alternatives(self, case: Case) -> float:
        return log(len(SEEDS))


class PassSkipped(Cause):
    """It goes on with the order of a later pass."""

    name = "pass-skipped"
    rank = 170
    about_order = True
    fixes = settings(
        torch="set_epoch(epoch) with epochs counted from 0 and on, also after resuming",
        any="draw one order per pass: an iterator made and not used counts as a pass",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan, all_passes = case.passes, case.plan, case.passes.passes
        if not passes.differing or plan is None or plan.order == "sequential" or not plan.reshuffle:
            return
        taken = [_order_of(case, plan, one, 2 * len(all_passes) + 8) for one in all_passes[:_MOST_PASSES]]
        moved = [i for i, one in enumerate(taken) if one is not None and one != all_passes[i].number]
        if not moved:
            return
        first = moved[0]
        if taken.count(taken[first]) == len(taken) > 1 and taken[0] == all_passes[0].number:
            return  # one order repeated
        text = f"has in pass {all_passes[first].number:,} the order of pass {taken[first]:,}"
        ascending = taken == sorted({one for one in taken if one is not None})  # and all are known
        yield self.fit(case, text, exact=ascending and passes.same_counts and len(taken) == len(all_passes))


class ShuffledIndependently(Cause):
    """Each run shuffled on its own; nothing but the order differs."""

    name = "shuffled-independently"
    rank = 440
    settings_behind = r"loader\.(shuffle|sampler)"
    about_order = True
    fixes = settings(
        compare="xframe compare --order coverage judges the samples of each pass and not their order",
        **_ONE_ORDER,
    )

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan = case.passes, case.plan
        if plan is not None and plan.order == "shuffle" and passes.permuted and not passes.sequential:
            if passes.same_counts and not case.apart:
                text = "shuffles on its own: nothing but the order of the samples differs"
                yield self.fit(case, text, exact=False, guess=True, claims=(only_orders_differ,))
            yield self.fit(case, "shuffles on its own", exact=False, guess=True)


def _of_a_share(cause: Cause, case: Case, shares: Shares, *, stored: bool) -> Iterator[Fit]:
    """The same of two runs that each train on a share of the samples."""
    own, other = shares.own, shares.other
    if own.kept == other.kept or (own if own.kept else other).stored != stored:
        return
    its = f"{shares.length:,} of the {case.num_samples or 0:,} samples"
    does = f"goes through its {its} in their stored order"
    if not stored:
        does = f"has one order in all passes, each over the same {its}"
    runs = (case.run, case.other) if own.kept else (case.other, case.run)
    fit = cause.fit(case, "", exact=False, shown=True)
    sentence = f"{runs[0]} {does}; {runs[1]} shuffles each pass"
    yield replace(fit, sentence=sentence, by_reference=other.kept, besides=not case.same_sizes)


def _leaves_out(cause: Cause, case: Case, text: str, *, stored: bool) -> Iterator[Fit]:
    """That a run has one order, the stored one or its own, where orders are not compared: what it leaves out is then
    the same in each pass, and no difference in the order alone."""
    if (shares := case.both_draw.shares) is not None:
        yield from _of_a_share(cause, case, shares, stored=stored)
        return
    own, other = case.both_draw.own, case.both_draw.other
    if case.drawn is None or not case.same_batches or case.same_samples or own is None or other is None:
        return
    if not (own.in_passes and other.in_passes) or (own.one_order is None) == (other.one_order is None):
        return
    by_reference = own.one_order is None
    order, left = (other.one_order, other) if by_reference else (own.one_order, own)
    if order is None or bool((np.diff(order) > 0).all()) != stored:
        return
    never = np.setdiff1d(np.arange(left.num_samples), left.seen)
    runs = (case.other, case.run) if by_reference else (case.run, case.other)
    sentence = f"{runs[0]} {text}, and so never has {counted(len(never), 'sample')} ({listed(never)}); "
    sentence += f"{runs[1]} shuffles each pass"
    fit = cause.fit(case, "", exact=False, shown=True)
    yield replace(fit, sentence=sentence, by_reference=by_reference)


def _seeds(case: Case, plan: TrainingPlan, n: int) -> list[int]:
    """Seeds by which the candidate may shuffle; none where the reference has none, or where chance gives one."""
    ids, order, where = case.candidate.ids, case.basis.order, case.cells
    if ids is None or not len(ids) or order is None or order.learned is not None or where is None:
        return []
    end = int(case.candidate.bounds[case.shared])
    lengths = np.unique(where.passes[:end][~where.padding[:end]], return_counts=True)[1].tolist()
    shown = [lgamma(n + 1) - lgamma(max(n - length, 0) + 1) for length in lengths]  # logarithms of numbers of orders
    if (sum(shown) if plan.reshuffle else max(shown, default=0.0)) < log(2 * len(SEEDS)) + UNLIKELY:
        return []
    return seeds_of(ids[: min(int(case.candidate.batch_size[0]), plan.batch_size, n)], n)[:4]


def _order_of(case: Case, plan: TrainingPlan, one: Pass, reach: int) -> int | None:
    """The first pass, of those up to ``reach``, whose order this pass has."""
    n = case.passes.num_samples
    learned = None if case.basis.order is None else case.basis.order.learned
    index: int
    for index in dict.fromkeys([one.number, *range(reach)]):
        if learned is not None:
            order = learned.get(index)
            if order is None:
                continue
            expected = order[one.positions]
        else:
            if not np.array_equal(_first_ids(n, plan.seed, index, one.positions[_LOOK].tobytes()), one.ids[_LOOK]):
                continue
            expected = Order(n, "shuffle", plan.seed).ids(index, one.positions)
        known = expected != UNKNOWN
        if known.mean() > 0.5 and np.array_equal(expected[known], one.ids[known]):
            return index
    return None


@lru_cache(maxsize=1 << 12)  # asked for again with every pass, and with every part of the runs that is looked at
def _first_ids(num_samples: int, seed: int, pass_index: int, positions: bytes) -> NDArray[np.int64]:
    return Order(num_samples, "shuffle", seed).ids(pass_index, np.frombuffer(positions, np.int64))


class ShuffleAfterBatch(Cause):
    """It shuffles whole batches, not samples."""

    name = "shuffle-after-batch"
    rank = 160
    about_order = True
    fixes = settings(
        tensorflow="Dataset.shuffle({n}) before Dataset.batch({b}), not after",
        torch="a sampler that shuffles samples, not one that shuffles batches",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan = case.passes, case.plan
        if plan is None:
            return
        if passes.permuted and not passes.sequential and passes.contiguous(plan.batch_size):
            text = f"shuffles whole batches: each is {plan.batch_size:,} samples side by side, "
            text += "and the batches come in a different order"
            yield self.fit(case, text, exact=False, guess=True)
        if moved_batches(case, case.stored_keys):
            text = "shuffles whole batches: each is one of the stored order's, and they come in a different order"
            yield self.fit(case, text, exact=False, guess=True)
        moved = moved_batches(case, case.reference_keys)
        if most_batches(case, moved):
            text = f"shuffles whole batches: has {counted(moved, 'batch')} in other places"
            yield self.fit(case, text, exact=False, guess=True)


class BufferShuffle(Cause):
    """It shuffles within a buffer smaller than the data."""

    name = "buffer-shuffle"
    rank = 430
    about_order = True
    fixes = settings(
        torch="DataLoader(..., shuffle=True)",
        tensorflow="Dataset.shuffle(buffer_size={n}) before Dataset.batch({b})",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan = case.passes, case.plan
        if plan is None or not passes.permuted or passes.sequential or passes.contiguous(plan.batch_size):
            return
        own, other = passes.buffer(), None if case.given else passes.buffer(of_reference=True)
        for size, run in ((own, case.run), (other, case.other)):
            if size is not None and (own is None or other is None):
                text = f"{run} shuffles in a buffer of about {size:,}: no sample comes more than {size - 1:,} places "
                text += f"before its own, of {passes.num_samples:,}{case.lengths}"
                fit = self.fit(case, "", exact=False, guess=True)
                yield replace(fit, sentence=text, by_reference=run == case.other)

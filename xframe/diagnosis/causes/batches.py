"""Batches lost, made again, in other places, or of a different size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import LAST_RESORT, Cause, Fit, Prediction, settings
from xframe.diagnosis.causes.resuming import begins_again
from xframe.diagnosis.edits import (
    MOST_TRIED,
    edited,
    ends_of_passes,
    first_edit,
    jumps,
    made_again,
    most_batches,
    moved_batches,
    steps_of,
)
from xframe.errors import counted, listed
from xframe.plan.training_plan import TrainingPlan


class BatchLost(Cause):
    """A batch is lost."""

    name = "batch-lost"
    rank = 370
    changes_counts = True
    fixes = settings(
        torch="draw no batch outside the loop: next(iter(loader)) to look at shapes takes one",
        tensorflow="the same; dataset.take(1) of a one-shot iterator takes one",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        at, steps, due = first_edit(case), len(case.keys), len(case.reference_keys)
        if at is None:
            return
        if steps in (due - 1, due) or not case.whole:
            which = f"the batch {case.of_step} {at:,} is missing, the next one follows at once"
            for end in ends_of_passes(case):
                text = f"loses a batch of the pass that ends with step {end:,}: some of its samples never come"
                yield from edited(self, case, np.delete(steps_of(case), end)[:steps], text)
            text = f"loses a batch: {'its last batch is missing' if at == due - 1 else which}"
            yield from edited(self, case, np.delete(steps_of(case), at)[:steps], text)
        for jump in jumps(case):
            if jump.to > jump.at:
                text = f"loses {jump.many} at step {jump.at:,}"
                yield from edited(self, case, jump.where, text, rank=self.rank + LAST_RESORT)


class BatchRepeated(Cause):
    """A batch is trained on again."""

    name = "batch-repeated"
    rank = 380
    changes_counts = True
    fixes = settings(any="a retry after an error must not train again on a batch already applied")

    def find(self, case: Case) -> Iterator[Fit]:
        at, keys, follow = first_edit(case), case.keys, case.extended_keys
        if at is None or at >= len(keys):
            return
        steps, due, index = len(keys), len(case.reference_keys), steps_of(case)
        if (again := made_again(case)) is not None:
            then, before = again
            which = (
                f"batch of step {before:,}" if then == before + 1 else f"batches of steps {before:,} to {then - 1:,}"
            )
            where = np.concatenate([index[:then], np.arange(before, before + steps - then, dtype=np.int64)])
            yield from edited(self, case, where, f"trains on the {which} again at step {then:,}")
        for earlier in np.flatnonzero(follow[:at] == keys[at])[-MOST_TRIED:].tolist():
            text = f"trains on the batch {case.of_step} {earlier:,} again at step {at:,}"
            if steps in (due, due + 1) or not case.whole:
                yield from edited(self, case, np.insert(index, at, earlier)[:steps], text)
            if steps == due:
                where = np.where(index == at, earlier, index)[:steps]
                yield from edited(self, case, where, f"{text}, in place of its own")
        for later in _later_places(case):
            where = np.where(index == at, later, index)[:steps]
            text = f"trains on the batch {case.of_step} {later:,} at step {at:,} already, in place of its own"
            yield from edited(self, case, where, text)
        for jump in jumps(case):
            if jump.to < jump.at:
                text = f"trains on the {jump.many} again at step {jump.at:,}"
                yield from edited(self, case, jump.where, text, rank=self.rank + LAST_RESORT)


class ResumedAtWrongPlace(Cause):
    """From some step on it goes through the order from a different place."""

    name = "resumed-at-wrong-place"
    rank = 390
    fixes = settings(
        torch="save the sampler's state with the checkpoint: torchdata's StatefulDataLoader.state_dict()",
        tensorflow="put the iterator into the checkpoint: tf.train.Checkpoint(iterator=...)",
        transformers="TrainingArguments(ignore_data_skip=False)",
        accelerate="accelerator.skip_first_batches(loader, steps_done_in_this_epoch), in the resumed epoch only",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        for at, to, where, _ in jumps(case):
            if begins_again(case, at, to):
                continue  # which says more
            away = f"{counted(at - to, 'step')} back" if to < at else f"{counted(to - at, 'step')} ahead"
            text = f"goes on from a different place at step {at:,}: with the batch {case.of_step} {to:,}, {away}"
            text += "".join(f", {case.joined(one, step=False)}" for one in case.joins if one.step == at)
            if to < at and any(one.step == at and not one.abandoned for one in case.joins):
                text += f" (or it was saved at step {to:,} and joined too late: FIRST.trace@{to}+SECOND.trace)"
            yield from edited(self, case, where, text)


_MOST_LISTED = 8  # batches in other places


class BatchesSwapped(Cause):
    """Batches have changed places."""

    name = "batches-swapped"
    rank = 400
    about_order = True
    fixes = settings(
        torch="DataLoader(in_order=True)",
        tensorflow="Options().deterministic = True; interleave and map with deterministic=True",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        at = first_edit(case) or 0
        for later in _later_places(case):
            swapped = steps_of(case)[: len(case.keys)]
            swapped[[at, later]] = later, at
            text = f"has the batches {case.of_step}s {at:,} and {later:,} in each other's place"
            yield from edited(self, case, swapped, text)
        moved = moved_batches(case, case.reference_keys)
        if moved and not most_batches(case, moved):
            of = case.of_step.removesuffix(" step")
            places = np.flatnonzero(case.keys != case.reference_keys)
            named = f"the batches {of} steps {listed(places, _MOST_LISTED)}" if moved <= _MOST_LISTED else ""
            text = f"has {named or counted(moved, 'batch')} in other places"
            yield self.fit(case, text, exact=False, guess=True)


def _later_places(case: Case) -> list[int]:
    """The later steps of the reference whose batch is the candidate's first that differs."""
    at, keys, follow = first_edit(case), case.keys, case.extended_keys
    if at is None or at >= len(keys) or (at < len(follow) and follow[at] == keys[at]):
        return []
    later = np.flatnonzero(follow[at + 1 :] == keys[at])[:MOST_TRIED] + at + 1
    return [place for place in later.tolist() if place < len(keys)]


class BatchSizePerReplica(Cause):
    """Its batches are a whole multiple or fraction: global size and size per replica confused."""

    name = "batch-size-per-replica"
    rank = 70
    settings_behind = r"loader\.batch_size"
    unless_set = "loader.batch_size"
    cuts_passes = True
    fixes = settings(
        torch="DataLoader(batch_size=...) is per process under DistributedDataParallel: global {b} / world size",
        tensorflow="Dataset.batch() is global under tf.distribute: per replica x num_replicas_in_sync = {b}",
        transformers="per_device_train_batch_size x processes = {b}",
        accelerate="Accelerator(split_batches=True) if the loader's batch size {b} is the global one",
        plan="batch_size = {observed}",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        b, size = plan.batch_size, int(case.candidate.batch_size.max())
        if size < 1 or size == b or max(b, size) % min(b, size):
            return
        yield Prediction({"batch_size": size}, _times(case, b, size), size)

    def find(self, case: Case) -> Iterator[Fit]:
        """Of replicas of which no plan is known: their number says what is confused."""
        sizes = [int(rows.batch_size.max(initial=0)) for rows in (case.reference, case.candidate)]
        if case.plan is None and case.num_replicas > 1 and max(sizes) == case.num_replicas * min(sizes) > 0:
            fit = self.fit(case, _times(case, *sizes), exact=False)
            yield replace(fit, fields={"b": f"{sizes[0]:,}", "observed": sizes[1]})


def _times(case: Case, b: int, size: int) -> str:
    times = f"{size // b:,} x {b:,}" if size > b else f"{b:,} / {b // size:,}"
    why = f"{size:,} = {times}, as where a size per replica is taken for the global one, or back"
    return f"{_takes(case, b, size)} ({why})"


class BatchSize(Cause):
    """Its batches have a different size."""

    name = "batch-size"
    rank = 80
    settings_behind = r"loader\.batch_size"
    cuts_passes = True
    fixes = settings(
        torch="DataLoader(..., batch_size={b})",
        tensorflow="Dataset.batch({b}), or Model.fit(batch_size={b})",
        plan="batch_size = {observed}",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        b, size = plan.batch_size, int(case.candidate.batch_size.max())
        if size >= 1 and size != b:
            yield Prediction({"batch_size": size}, _takes(case, b, size), size)


def _takes(case: Case, b: int, size: int) -> str:
    return f"takes batches of {size:,}; {case.other} has {b:,}"

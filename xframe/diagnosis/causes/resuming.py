"""What a run lost where it was stopped and resumed: its place in the order, its window, its optimizer, its draws.

All of it rests on where the traces of the run were joined: from that step on a different process trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xframe.comparison.checks.lr import compared
from xframe.comparison.pairing import Common
from xframe.diagnosis import claims
from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.edits import MOST_TRIED, edited, steps_of
from xframe.diagnosis.numbers import Numbers
from xframe.diagnosis.reference import planned
from xframe.errors import counted
from xframe.inference.observed import Ints
from xframe.trace.continued import Join

_SOON = 8  # updates after which what was lost in an optimizer has shown in the losses
_FEW = 5  # losses by which the start of training is recognised
_SAVES = "xframe.sampler(plan, n): its state_dict() goes into the checkpoint"


class _Begins(NamedTuple):
    """Where a resumed run begins an order again."""

    join: Join
    start: int  # the first step of the epoch, or pass, in which it was stopped
    end: int  # the first one behind it
    taken: (
        int | None
    )  # the step of the reference whose batch it goes on with; None if no batch of the reference's is it
    alike: int  # batches in turn that are those from there on


def _begins(case: Case) -> _Begins | None:
    """What the batches show of a run that differs from the very step on at which it was resumed, inside an epoch."""
    at = case.batches_differ_at
    join = next((one for one in case.joins if one.step == at), None)
    if join is None or at is None or at >= case.shared or (starts := _starts(case)) is None:
        return None
    start = int(starts[starts <= at][-1])
    end = int(next(iter(starts[starts > at]), len(case.reference)))
    keys, follow = case.keys, case.extended_keys
    best, alike = None, 0
    alike_first = starts[(starts < at) & (follow[starts] == keys[at])][:MOST_TRIED].tolist()
    for taken in dict.fromkeys([start, 0, *alike_first]):
        length = min(len(keys) - at, len(follow) - taken, max(end - start, 1))
        same = follow[taken : taken + length] == keys[at : at + length]
        many = length if same.all() else int(np.argmin(same))
        if many > alike:
            best, alike = taken, many
    return _Begins(join, start, end, best, alike)


def _starts(case: Case) -> Ints | None:
    """The first steps of the reference's epochs by its labels, or else of its passes; None if neither is known."""
    label = case.reference.epoch
    if label is None and case.plan is not None and case.num_samples is not None:
        rows = planned(case.plan, case.num_samples, len(case.reference))
        label = None if rows is None else rows.pass_index
    return np.flatnonzero(np.diff(label, prepend=label[0] - 1)) if label is not None and len(label) else None


def begins_again(case: Case, at: int, to: int) -> bool:
    """Whether a jump from one step to the other is that of a run that was resumed to the start of an order."""
    found = _begins(case)
    return found is not None and (found.join.step, found.taken) == (at, to) and found.start < at


class _Lost(Cause):
    """What a run that goes on in a further trace lost there."""

    about_joins = True


class EpochRepeated(_Lost):
    """Resumed inside an epoch, it begins the epoch again."""

    name = "epoch-repeated-after-resuming"
    rank = 386
    changes_counts = True
    fixes = settings(
        keras="BackupAndRestore resumes whole epochs: save at the end of each (save_freq='epoch'), or write the loop",
        transformers="TrainingArguments(ignore_data_skip=False)",
        torch=f"skip what the epoch has had, or save where the sampler stands: {_SAVES}",
        tensorflow="put the iterator into the checkpoint: tf.train.Checkpoint(iterator=...)",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        found = _begins(case)
        if found is None or found.start == found.join.step or not _longer(case, found):
            return
        at, had = found.join.step, found.join.step - found.start
        order = "in a different order"
        if found.taken is not None:
            order = "in the same order" if found.taken == found.start else "in the order of the first"
        text = f"begins the epoch again {case.joined(found.join)}, {order}: {counted(had, 'step')} of it had been made"
        if found.taken is not None:
            index = steps_of(case)
            where = np.concatenate([index[:at], np.arange(found.taken, found.taken + len(case.keys) - at)])
            fits = list(edited(self, case, where, text))
            yield from fits
            if fits:
                return
        yield self.fit(case, text, exact=False, shown=True)


def _longer(case: Case, found: _Begins) -> bool:
    """Whether the run has a whole epoch from where it was resumed: by its length, its batches, or its labels."""
    at, had = found.join.step, found.join.step - found.start
    if len(case.candidate) - len(case.reference) == had and case.whole:
        return True
    if found.alike > found.end - at:  # more batches of that order than were left of the epoch
        return True
    inside, epoch = case.candidate.step_in_epoch, case.candidate.epoch
    if inside is not None and epoch is not None:
        again = epoch[at:] == epoch[at]
        many = len(again) if again.all() else int(np.argmin(again))
        return bool(many == found.end - found.start and (inside[at] == 0 or found.start == 0))
    return False


class PassOrderRestarted(_Lost):
    """Resumed inside a pass, it makes the steps that are left from the start of an order."""

    name = "pass-order-restarted-after-resuming"
    rank = 387
    fixes = settings(
        lightning="a loader that keeps its state: torchdata's StatefulDataLoader; or "
        "xframe.sampler(plan, n, start=(pass, position))",
        ignite="engine.state and the sampler's: skip the batches made, or xframe.sampler(plan, n, start=...)",
        torch=f"save where the sampler stands: {_SAVES}",
        tensorflow="put the iterator into the checkpoint: tf.train.Checkpoint(iterator=...)",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        found = _begins(case)
        if found is None or found.taken is None or found.start == found.join.step or _longer(case, found):
            return
        at, left = found.join.step, min(found.end, len(case.keys)) - found.join.step
        if found.alike < min(2, left):
            return
        whose = "the pass's own order" if found.taken == found.start else "the order of the first pass"
        text = (
            f"goes on with the batch of step {found.taken:,} {case.joined(found.join)}: the steps left in the epoch, "
        )
        text += f"{left:,}, come from the start of {whose}"
        yield self.fit(case, text, exact=False, shown=found.alike > 1)
        index = steps_of(case)
        where = np.concatenate([index[:at], np.arange(found.taken, found.taken + len(case.keys) - at)])
        yield from edited(self, case, where, text)


class OrderDrawnAnew(_Lost):
    """Resumed inside a pass, it draws a new order, which has samples that the pass has had."""

    name = "order-drawn-anew-after-resuming"
    rank = 388
    fixes = settings(
        accelerate="DataLoaderConfiguration(use_seedable_sampler=True), and set_epoch before skip_first_batches",
        torch=f"save the generator's state as it was before the pass, and what the pass has had; or {_SAVES}",
        tensorflow="put the iterator into the checkpoint: tf.train.Checkpoint(iterator=...)",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        found = _begins(case)
        if found is None or found.taken is not None or case.ids is None or found.start == found.join.step:
            return
        at, end = found.join.step, min(found.end, case.shared)
        if _longer(case, found) or np.isin(case.keys[at:end], case.extended_keys).any():
            return
        ids, bounds = case.ids[0], case.candidate.bounds
        had, own = ids[bounds[found.start] : bounds[at]], ids[bounds[at] : bounds[end]]
        again = int(np.isin(own, had).sum())
        if not again:
            return
        text = (
            f"draws a new order {case.joined(found.join)}: of {counted(len(own), 'sample')} up to the end of the epoch "
        )
        text += f"it had trained on {again:,} in this epoch already"
        yield self.fit(case, text, exact=False, shown=len(own) > 8)


# Where samples and updates are the same.


def _lost_at(case: Case, numbers: Numbers) -> tuple[Join, int | None] | None:
    """The join from which on losses, or the final weights, differ, and the first loss that does; None if none is it."""
    first, rate = numbers.loss_differs_at, numbers.lr_differs_at
    if numbers.loss is None or (rate is not None and (first is None or rate <= first)):
        return None
    if first is None and (numbers.weights is not False or "weights" in numbers.rounded):
        return None
    if (first is not None and numbers.drifts) or {"features", "targets"} & numbers.evidence.failed.keys():
        return None  # rounding, or other inputs
    steps = len(numbers.loss[0])
    before = [one for one in case.joins if 0 < one.step < steps and (first is None or one.step <= first)]
    return (before[-1], first) if before else None


def _applied(numbers: Numbers) -> np.ndarray:
    assert numbers.loss is not None
    return np.ones(len(numbers.loss[0]), dtype=bool) if numbers.applied is None else numbers.applied


def _open(numbers: Numbers, at: int) -> int:
    """How many steps the window has before that step."""
    done = np.flatnonzero(_applied(numbers)[:at])
    return at - 1 - int(done[-1]) if len(done) else at


def _behind(numbers: Numbers, at: int, first: int | None) -> int | None:
    """The first update at that step or behind it, if the losses agree up to there and differ soon; else None."""
    updates = np.flatnonzero(_applied(numbers)[at:]) + at
    if not len(updates) or (first is not None and not updates[0] < first):
        return None
    if first is not None and int((updates < first).sum()) > _SOON:
        return None
    return int(updates[0])


class WindowLost(_Lost):
    """Resumed inside an accumulation window, it has lost the gradients that the window had."""

    name = "window-lost-after-resuming"
    rank = 451
    definite = True
    moves_updates = True
    fixes = settings(
        any="stop and save where a window ends: at steps that are whole multiples of the accumulation steps",
        torch="save the .grad of each parameter with the checkpoint, and how many steps the window has had",
        tensorflow="accumulators that are variables of the checkpoint; Keras' own are saved with its optimizer",
        xframe="xframe run --checkpoint keeps an open window",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        at, pair = case.updates_differ_at, case.updates
        if at is None or pair is None or not case.same_batches:
            return
        own, other = (np.diff(one, prepend=0) > 0 for one in pair)
        for join in case.joins:
            done = np.flatnonzero(other[: join.step])
            had = join.step - 1 - int(done[-1]) if len(done) else join.step
            begun = np.flatnonzero(own[join.step :])
            whole = not len(begun) or int(begun[0]) + 1 == case.window
            if 0 < join.step <= at < join.step + case.window and had and whole and case.window > 1:
                text = f"begins a new window {case.joined(join)}: of the one before it {counted(had, 'step')} had been "
                yield self.fit(case, f"{text}made, whose gradients are lost", exact=False, shown=True)

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        lost = _lost_at(case, numbers)
        if lost is None or not (had := _open(numbers, lost[0].step)):
            return
        (join, first), at = lost, lost[0].step
        if (update := _behind(numbers, at, first)) is None:
            return
        steps = f"step {at - 1:,}" if had == 1 else f"steps {at - had:,} {'and' if had == 2 else 'to'} {at - 1:,}"
        text = f"{case.run}: samples, updates and losses agree {case.joined(join)}, and up to the update of step "
        text += f"{update:,}, and not behind it: the gradients of {steps}, in the same window, were lost"
        yield self.note(case, text, first)


class OptimizerStateLost(_Lost):
    """Resumed, its optimizer began anew: slots such as momentum, or the count by which Adam corrects, are lost."""

    name = "optimizer-state-lost-after-resuming"
    rank = 452
    definite = True
    fixes = settings(
        torch="optimizer.load_state_dict(checkpoint[...]), after the model's, and of the scheduler and scaler too",
        tensorflow="tf.train.Checkpoint(model=..., optimizer=...); the optimizer is built before it is restored",
        keras="model.save(...) or BackupAndRestore; save_weights() leaves the optimizer out",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        lost = _lost_at(case, numbers)
        if lost is None or _open(numbers, lost[0].step):
            return
        (join, first), at = lost, lost[0].step
        if not (_applied(numbers)[:at]).any() or (update := _behind(numbers, at, first)) is None:
            return
        text = (
            f"{case.run}: the losses agree {case.joined(join)}, so that the weights were restored, and not behind the "
        )
        text += f"update of step {update:,}: the optimizer's slots (momentum, Adam's moments) or its count were not"
        yield self.note(case, text, first)


class ScheduleRestarted(_Lost):
    """Resumed, its learning rate schedule began anew."""

    name = "schedule-restarted-after-resuming"
    rank = 525
    settings_behind = r"schedule\..*"
    explains = staticmethod(claims.of_rates)
    fixes = settings(
        torch="scheduler.load_state_dict(checkpoint[...]), or last_epoch=...",
        tensorflow="restore optimizer.iterations: tf.train.Checkpoint(optimizer=...); a LearningRateScheduler callback "
        "goes by fit(initial_epoch=...)",
        any="the schedule's count is the whole run's: restore the optimizer and the scheduler with the model",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        first, rates = numbers.lr_differs_at, numbers.lr
        before = [one for one in case.joins if first is not None and 0 < one.step <= first]
        if first is None or rates is None or not before:
            return
        join, (own, other) = before[-1], rates
        at, many = join.step, len(own) - join.step
        for begun in (other, own):
            rows = np.flatnonzero(np.isfinite(own[at:]) & np.isfinite(begun[:many]))[: max(at, 1)]
            if not len(rows) or first - at > rows[-1]:
                continue
            same, *_ = compared(Common(own[at:][rows], begun[:many][rows], 0, rows), 0.0, numbers.precision)
            if not same.any():
                text = (
                    f"{case.run}: {case.joined(join)}, the rates begin again with that of step 0: {own[first]:.6g} in "
                )
                text += f"step {first:,}, where {case.other} has {other[first]:.6g}"
                told = len(np.unique(own[at:][rows])) > 2  # rates that no other cause repeats
                yield self.note(case, text, first, exact=told)
                return


class WeightsNotRestored(_Lost):
    """Resumed, it began with the weights of the start."""

    name = "weights-not-restored-after-resuming"
    rank = 453
    definite = True
    fixes = settings(
        torch="model.load_state_dict(...) before the first step, and into the model that is trained",
        tensorflow="checkpoint.restore(path).assert_consumed(), with the model built",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if (at := _from_the_start(case, numbers)) is not None:
            join, first, begun, due = at
            text = f"{case.run}: the losses {case.joined(join)}, are those of the first steps again, {first:.4g} on "
            text += f"average where training began with {begun:.4g} and {case.other} has {due:.4g}: "
            text += "the weights were not restored"
            yield self.note(case, text, join.step)


def _from_the_start(case: Case, numbers: Numbers) -> tuple[Join, float, float, float] | None:
    """A join behind which the losses are nearer to the first ones than to those due; these three, on average."""
    lost = _lost_at(case, numbers)
    if lost is None or numbers.loss is None or lost[1] != lost[0].step:
        return None
    at = lost[0].step
    many = min(_FEW, at, len(numbers.loss[0]) - at)
    own, other = numbers.loss
    parts = own[at : at + many], other[:many], other[at : at + many]
    if not all(np.isfinite(part).all() for part in parts):
        return None
    now, begun, due = (float(part.mean()) for part in parts)
    restarted = begun > due and now > (begun + due) / 2
    return (lost[0], now, begun, due) if restarted else None


class RandomStateLost(_Lost):
    """Resumed, it draws other random numbers, as for dropout."""

    name = "random-state-lost-after-resuming"
    rank = 454
    definite = True
    fixes = settings(
        torch="save torch.get_rng_state(), of each device too, and numpy's and random's if augmentation uses them",
        tensorflow="stateless seeds by step; a keras.random.SeedGenerator's state is in no file of Keras' or of "
        "tf.train.Checkpoint(model=model): save model=[one.value for one in model.variables]",
        lightning="a callback that keeps the random state: Lightning's checkpoint has none",
        any="xframe.layers.Dropout draws by seed and step, so that nothing is to be kept",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        lost = _lost_at(case, numbers)
        if lost is None or lost[1] != lost[0].step or _from_the_start(case, numbers) is not None:
            return
        text = f"{case.run}: samples and updates agree, and the losses differ {case.joined(lost[0])}, at once: "
        if numbers.evidence.from_outside and not any(
            name.startswith("dropout.") and rate for one in numbers.evidence.stated for name, rate in one.items()
        ):
            text += "weights or buffers were restored from another step, or augmentation draws other random numbers"
        else:
            text += (
                "the random state, by which dropout and augmentation draw, was not restored, or weights of another step"
            )
        yield self.note(case, text, lost[1])

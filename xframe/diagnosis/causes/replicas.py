"""What several replicas of one training do otherwise than one process, or than they should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, Prediction, settings
from xframe.diagnosis.reference import planned
from xframe.diagnosis.replicas import ahead, dealt_to, same_share
from xframe.errors import counted, listed
from xframe.inference.observed import Ints
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

_OVERLAPPING = 0.9  # of the samples: shares of two orders have no more than three quarters of them
_MOST_NAMED = 4  # replicas
_IN_ORDER = "ahead in its order"  # among fields: of which fix the one is


class OfReplicas(Cause):
    """Looked for in both runs, whichever is the reference."""

    of_replicas = True


class ReplicasUnsplit(OfReplicas):
    """Each of its replicas goes through all samples, so that every sample is trained on by each of them in a pass."""

    name = "replicas-unsplit"
    rank = 21
    settles = True
    fixes = settings(
        torch="DataLoader(dataset, sampler=DistributedSampler(dataset, shuffle=...), ...), without shuffle=",
        lightning="Trainer(use_distributed_sampler=True), the default",
        accelerate="loader = accelerator.prepare(loader)",
        tensorflow="AutoShardPolicy.DATA, or Dataset.shard(num_workers, index) before batch",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        replicas, first = case.replicas, _first_pass(case)
        if replicas is None or first is None or not _all_of_it(case, first):
            return
        n, of = len(np.unique(np.concatenate(first))), len(replicas)
        text = f"gives each of its {of:,} replicas all {n:,} samples in a pass, so that each sample is trained on "
        yield self.fit(case, f"{text}{of:,} times in it", exact=False, shown=True, step=_drawn_twice(case))


class ReplicasOfOneShare(OfReplicas):
    """Two of its replicas take the same share, so that the samples of other shares are never taken."""

    name = "replicas-of-one-share"
    rank = 21.5
    settles = True
    fixes = settings(
        torch="DistributedSampler(dataset) without rank= and num_replicas=, or with the rank of each process",
        tensorflow="Dataset.shard(num_workers, index), with each worker's own index",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        first, n = _first_pass(case), case.num_samples
        if case.replicas is None or first is None or n is None or _all_of_it(case, first):
            return
        if alike := same_share(first):
            never = counted(max(n - len(np.unique(np.concatenate(first))), 0), "sample")
            text = f"gives its replicas {alike[0]} and {alike[1]} the very same samples: in the first pass {never} of "
            yield self.fit(case, f"{text}{n:,} are never taken", exact=False, shown=True, step=_drawn_twice(case))


class ReplicasOfOtherNumber(OfReplicas):
    """Its samples are dealt to more replicas than train, so that the shares of the others are never taken."""

    name = "replicas-of-other-number"
    rank = 21.7
    settles = True
    fixes = settings(
        torch="DistributedSampler(dataset) without num_replicas=, or with dist.get_world_size()",
        tensorflow="Dataset.shard(num_workers, index), with as many workers as train",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        first, n = _first_pass(case), case.num_samples
        of = None if first is None or n is None else dealt_to(first, _order_of_reference(case, n), n)
        if first is None or n is None or of is None:
            return
        never = n - len(np.unique(np.concatenate(first)))
        text = f"deals its samples to {of:,} replicas, and {len(first):,} train: in the first pass {never:,} of "
        yield self.fit(case, f"{text}{n:,} samples are never taken", exact=False, shown=True, step=case.first_step)


class ReplicasExchanged(OfReplicas):
    """Its replicas have each other's shares of every step, as where ranks are counted differently."""

    name = "replicas-exchanged"
    rank = 21.8
    settles = True
    about_order = True
    fixes = settings(
        torch="DistributedSampler(dataset) without rank=, or with dist.get_rank()",
        tensorflow="Dataset.shard(num_workers, index), with each worker's own index",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        replicas, ids = case.replicas, case.ids
        if replicas is None or ids is None or case.same_batches or not case.may_be_reordered:
            return
        end = int(case.candidate.bounds[case.shared])
        if case.shared != replicas.sizes.shape[1] or (whose := replicas.exchange(*(one[:end] for one in ids))) is None:
            return
        has = [
            f"replica {index} has that of replica {due}" for index, due in enumerate(np.argsort(whose)) if index != due
        ]
        more = f", and {len(has) - _MOST_NAMED:,} more" if len(has) > _MOST_NAMED else ""
        text = f"gives replicas each other's share of the steps of {case.other}: {', '.join(has[:_MOST_NAMED])}{more}; "
        text += "where shares are of equal size, the mean of their gradients is the same up to rounding"
        yield self.fit(case, text, shown=True)


class ReplicasOfDifferentOrders(OfReplicas):
    """Its replicas shuffle by different seeds and take shares of different orders: samples come twice, and never."""

    name = "replicas-of-different-orders"
    rank = 22
    settles = True
    settings_behind = r"loader\.seed"
    fixes = settings(
        torch="one seed for the order in every process: DistributedSampler(dataset, seed=0), generators seeded alike",
        tensorflow="Dataset.shuffle(..., seed=...), or tf.keras.utils.set_random_seed before it, alike in every worker",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        replicas, first, n = case.replicas, _first_pass(case), case.num_samples
        if replicas is None or first is None or n is None or _all_of_it(case, first):
            return
        together = np.concatenate(first)
        seen, total = len(np.unique(together)), len(together)
        if seen > _OVERLAPPING * min(n, total) or any(len(one) - len(np.unique(one)) > 1 for one in first):
            return
        if same_share(first) is not None or _ahead(case) is not None:
            return
        text = (
            f"has replicas that take shares of different orders: in the first pass {counted(total - seen, 'sample')} "
        )
        never = f"of {n:,} are taken again by another replica, and {n - seen:,} are never taken"
        yield self.fit(case, text + never, exact=False, shown=True)


class SetEpochForgotten(OfReplicas):
    """Its sampler is not told the epoch, so that its replicas, or some, repeat their share of the first pass."""

    name = "set-epoch-forgotten"
    rank = 24
    settles = True
    about_order = True
    fixes = settings(
        torch="sampler.set_epoch(epoch) of the DistributedSampler at the start of each epoch, with its own number, in "
        "every process",
        tensorflow="Dataset.shuffle(..., reshuffle_each_iteration=True), the default, and no cache() behind it",
    )

    def find_in_replicas(self, case: Case) -> Iterator[Fit]:
        """Where the runs have orders of their own: the reference's is another one in its second pass."""
        labels, own, other = _labels(case), case.drawn, case.drawn_by_reference
        if case.replicas is None or labels is None or case.differs_at is not None:
            return
        if own is None or own.ids is None or other is None or not _shuffled(other):
            return
        passes = case.replicas.passes(own.ids, labels)
        stored = all(bool((np.diff(one) > 0).all()) for one in passes[0]) if passes else True
        if len(passes) > 1 and not stored and all(_repeated(*one) for one in _by_replica(passes)):
            second = int(np.argmax(labels[0] > labels[0, 0]))
            yield self.fit(case, _in_every_pass(case), exact=False, shown=True, step=second)

    def find(self, case: Case) -> Iterator[Fit]:
        labels = _labels(case)
        if case.replicas is None or labels is None or case.ids is None or not case.may_be_reordered:
            return
        second = int(np.argmax((labels > labels[:, :1]).any(axis=0)))
        passes = case.replicas.passes(case.ids[0], labels)
        if second == 0 or case.differs_at is None or case.differs_at < second or len(passes) < 2:
            return
        repeat = [index for index, one in enumerate(_by_replica(passes)) if _repeated(*one)]
        if len(repeat) == len(case.replicas):
            yield self.fit(case, _in_every_pass(case), exact=False, shown=True)
        elif repeat and all(len(passes[0][index]) > 1 for index in repeat):
            which = f"replica {repeat[0]}" if len(repeat) == 1 else f"replicas {listed(repeat)}"
            text = f"repeats in every pass the first share of {which}, while its other replicas shuffle each pass"
            yield self.fit(case, text, exact=False, shown=True)


class ReplicaAhead(OfReplicas):
    """A replica has fewer batches in a pass and goes on to the next while others are still in it."""

    name = "replica-ahead"
    rank = 18
    settles = True
    fixes = settings(
        torch="as many batches in every process: DistributedSampler, drop_last=True, or with model.join()",
        tensorflow="Dataset.shard before batch, with as many samples for each worker, or AutoShardPolicy.DATA",
    )
    _of_order = settings(
        torch="sampler.set_epoch(epoch) with the same epoch in every process, and one seed, which it adds to that",
        tensorflow="as many passes in every worker before: a dataset shuffles again each time it is gone through",
    )

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        return self._of_order if _IN_ORDER in fields else self.fixes

    def find(self, case: Case) -> Iterator[Fit]:
        yield from self._at_different_steps(case)
        yield from self._in_its_samples(case)
        if (found := _ahead(case)) is not None:
            replica, by = found
            ahead_of, later = ("ahead of", "later") if by > 0 else ("behind", "earlier")
            text = f"has a replica {counted(abs(by), 'epoch')} {ahead_of} the rest, replica {replica}: its share of a "
            text += f"pass is of the order that is due {counted(abs(by), 'pass')} {later}"
            fit = self.fit(case, text, exact=False, shown=True)
            yield replace(fit, fields={**fit.fields, _IN_ORDER: True})

    def _at_different_steps(self, case: Case) -> Iterator[Fit]:
        replicas = case.replicas
        if replicas is None or replicas.epochs is None:
            return
        unequal = np.flatnonzero((replicas.epochs != replicas.epochs[0]).any(axis=0))
        if not len(unequal) or (case.differs_at is not None and case.differs_at < unequal[0]):
            return
        step, labels = int(unequal[0]), replicas.epochs[:, unequal[0]]
        ahead, behind = int(np.argmax(labels)), int(np.argmin(labels))
        text = f"makes step {step:,} of two epochs at once: replica {ahead} is in epoch {labels[ahead]:,} already, "
        text += f"replica {behind} still in epoch {labels[behind]:,}; their gradients are averaged all the same"
        yield self.fit(case, text, exact=False, shown=True, step=step)

    def _in_its_samples(self, case: Case) -> Iterator[Fit]:
        """Where one loop over all passes labels none: one draws what ends a pass, and another what it had already."""
        replicas, ids, n, step = case.replicas, case.candidate.ids, case.num_samples, case.differs_at
        if replicas is None or ids is None or n is None or not step or step >= len(case.candidate):
            return
        before, own = ids[: case.candidate.bounds[step]], replicas.of_step(ids, step)
        before = before[len(before) // n * n :]
        again = [bool(len(one)) and bool(np.isin(one, before).all()) for one in own]
        rest = np.concatenate([before, *(one for one, known in zip(own, again, strict=True) if not known)])
        if not any(known and len(one) > 1 for one, known in zip(own, again, strict=True)) or len(rest) == len(before):
            return
        if len(rest) == n == len(np.unique(rest)):
            text = f"makes step {step:,} of two passes at once: replica {again.index(False)} draws the last samples of "
            text += (
                f"one, replica {again.index(True)} is in the next already; their gradients are averaged all the same"
            )
            yield self.fit(case, text, exact=False, shown=True, step=step)


class ReplicasOfUnequalShares(OfReplicas):
    """Its replicas have shares of unequal size, so that one has no samples left while another goes on."""

    name = "replicas-of-unequal-shares"
    rank = 18.5
    settles = True
    fixes = settings(
        accelerate="Accelerator(even_batches=True), the default",
        torch="DistributedSampler, which fills up or cuts all shares alike; one drop_last in every process",
        tensorflow="AutoShardPolicy.DATA in place of FILE, or files of equal size; one drop_remainder in every worker",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        replicas, first, n = case.replicas, _first_pass(case), case.num_samples
        if replicas is None or first is None or n is None or case.sizes_differ_at is None:
            return
        together = np.concatenate(first)
        step = int(np.argmax((replicas.sizes == 0).any(axis=0)))
        ended = not replicas.sizes[:, step].all() and case.candidate.bounds[step] < len(together)
        if not ended or case.sizes_differ_at != step or len(np.unique(together)) < len(together):
            return
        out, shares = int(np.argmin(replicas.sizes[:, step])), " and ".join(f"{len(one):,}" for one in first)
        text = (
            f"has replicas of unequal shares ({shares} samples in the first pass): replica {out} has none left in step "
        )
        text += f"{step:,}, and the others go on alone"
        text += f", {counted(n - len(together), 'sample')} of {n:,} being never taken" if len(together) < n else ""
        yield self.fit(case, text, exact=False, shown=True)


class ReplicaRemainder(OfReplicas):
    """Its samples are made a multiple of the replicas: some come again at the end of a pass, or are left out."""

    name = "replica-remainder"
    rank = 4
    fixes = settings(
        torch="DistributedSampler repeats samples to fill a pass up, and with drop_last=True leaves them out",
        plan='replicas = {observed}, replica_remainder = "pad" or "drop"',
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        of = max(plan.replicas, case.num_replicas)
        left = num_samples % of
        if of < 2 or not left:
            return
        for remainder, does, count in (
            ("pad", "repeats the first of a pass at its end", of - left),
            ("drop", "leaves the last of a pass out", left),
        ):
            if plan.replicas == of and plan.replica_remainder == remainder:
                continue
            text = f"{does}, {counted(count, 'sample')}, so that {of:,} replicas have as many of its {num_samples:,}"
            fields = {"replicas": of, "replica_remainder": remainder}
            if remainder == "pad" and num_samples <= plan.batch_size < num_samples + count and not case.given:
                fields["batch_size"] = num_samples + count  # a batch of all samples shows no larger size
            yield Prediction(fields, text, of)


def _ahead(case: Case) -> tuple[int, int] | None:
    """A replica that is passes ahead of the others in its order, or behind them; of those whose first pass is none."""
    passes, n = _passes(case), case.num_samples
    if case.replicas is None or case.replicas.seeded_apart:
        return None
    if not passes or n is None or same_share(passes[0]) is not None or _all_of_it(case, passes[0]):
        return None
    first = np.concatenate(passes[0])
    return None if len(np.unique(first)) >= min(n, len(first)) else ahead(passes, n)


def _drawn_twice(case: Case) -> int | None:
    """The first step in which two replicas draw one sample, if that comes before anything else that differs."""
    rows = case.candidate if case.drawn is None else case.drawn
    until = case.shared if case.differs_at is None else case.differs_at
    for step in range(min(until, len(rows))):
        ids = None if rows.ids is None else rows.ids[rows.bounds[step] : rows.bounds[step + 1]]
        if ids is None or len(np.unique(ids)) < len(ids):
            return None if ids is None else step
    return None


def _by_replica(passes: Sequence[Sequence[Ints]]) -> Iterator[tuple[Ints, ...]]:
    """What each had of one pass after the other."""
    return zip(*passes, strict=True)


def _in_every_pass(case: Case) -> str:
    text = (
        f"repeats in every pass what each of its {case.num_replicas:,} replicas had in the first, as where set_epoch "
    )
    return f"{text}is not called, or always with one number; {case.other} shuffles each pass"


def _shuffled(rows: Rows) -> bool:
    """Whether a run's second epoch is known to have another order than its first."""
    if rows.ids is None or rows.epoch is None or not (rows.epoch > rows.epoch[0]).any():
        return False
    of = np.repeat(rows.epoch, rows.batch_size)
    first, second = (rows.ids[of == one] for one in np.unique(rows.epoch)[:2])
    return not _repeated(first, second[: len(first)])


def _repeated(first: Ints, *later: Ints) -> bool:
    """Whether a replica has in each later pass, the last of which may have been cut, what it had in the first."""
    return all(len(one) <= len(first) and np.array_equal(first[: len(one)], one) for one in later)


def _labels(case: Case) -> Ints | None:
    """Each replica's pass at each step: by its loop's labels, else by the reference's plan."""
    replicas, plan, n = case.replicas, case.plan, case.num_samples
    if replicas is None or replicas.epochs is not None:
        return None if replicas is None else replicas.epochs
    rows = None if plan is None or n is None else planned(plan, n, replicas.sizes.shape[1])
    if rows is None or len(rows.pass_index) != replicas.sizes.shape[1]:
        return None
    return np.tile(rows.pass_index, (len(replicas), 1))


def _order_of_reference(case: Case, num_samples: int) -> Ints | None:
    """The order of its first pass over all samples; None where it is not seen to have one."""
    ids = (case.drawn_by_reference or case.reference).ids
    first = None if ids is None else ids[:num_samples]
    return first if first is not None and np.array_equal(np.sort(first), np.arange(num_samples)) else None


def _first_pass(case: Case) -> list[Ints] | None:
    """What each replica had of the first pass."""
    passes = _passes(case)
    return passes[0] if passes else None


def _passes(case: Case) -> list[list[Ints]]:
    """What each replica had of each pass; none where they are not known, or of no sample in the first."""
    labels, ids = _labels(case), case.candidate.ids if case.drawn is None else case.drawn.ids
    if case.replicas is None or labels is None or ids is None or case.same_samples:
        return []
    passes = case.replicas.passes(ids, labels)
    return passes if passes and all(map(len, passes[0])) else []


def _all_of_it(case: Case, first: list[Ints]) -> bool:
    """Whether each replica had all samples of the first pass, but for what its last batch may leave."""
    assert case.replicas is not None
    n = case.num_samples or 0
    batch = case.replicas.sizes[:, 0]
    return all(len(np.unique(one)) > n - size for one, size in zip(first, batch, strict=True))

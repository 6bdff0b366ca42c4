"""What each replica of a run had of the steps that they shared, as several causes ask of a case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.inference.observed import Ints
from xframe.trace.merged import INTERLEAVED, Parting
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace

_FINGERPRINT = re.compile(r"weights\..*fingerprint")
_FEWEST = 3  # samples of a share
_OF_UPDATES = re.compile(r"(optimizer|precision|dropout|normalisation|layer)\..*|loss\.(?!.*shape).*")


class Applied(NamedTuple):
    """A step behind which a replica has applied another number of updates than the first one."""

    step: int
    replica: int
    own: int
    first: int


@dataclass(frozen=True, eq=False)
class Replicas:
    """The replicas of a run.

    Attributes:
        sizes: rows of each replica in each step, of shape (replicas, steps).
        woven: a step's rows go round the replicas; else each has consecutive ones.
        epochs: each replica's own labels, of that shape; None where its loop names none.
        parted: the first step behind which the weights of two differ, where marks of them were recorded.
        apart: which replica's weights those are.
        applied: where first they have applied different numbers of updates.
        ends_apart: their final weights differ.
        losses_summed: a step's loss is the sum of theirs.
        starts_apart: they state different starting weights, or have different ones before any update; None where that
            is not known.
        otherwise: what one states of how it updates otherwise than the first: the setting, which one, the two values.
        seeded_apart: they state different seeds for the order.
    """

    sizes: Ints
    woven: bool = False
    epochs: Ints | None = None
    parted: int | None = None
    apart: int | None = None
    applied: Applied | None = None
    ends_apart: bool = False
    losses_summed: bool = False
    starts_apart: bool | None = None
    otherwise: tuple[tuple[str, int, Any, Any], ...] = ()
    seeded_apart: bool = False

    @classmethod
    def of(cls, trace: Trace | None, steps: int) -> Replicas | None:
        """Those of a run that they made from its first step to its end; None of any other."""
        whole = trace is not None and len(trace.dealt) == 1 and trace.dealt[0].first == 0 and trace.replicas
        if trace is None or not whole:
            return None
        source, rows = trace.dealt[0].source, [Rows.of_trace(one).head(steps) for one in trace.replicas]
        if any("batch_size" not in one.known for one in rows):
            return None
        sizes = np.array([one.batch_size for one in rows])
        labels = [one.epoch for one in rows]
        epochs = None if any(one is None for one in labels) else np.array(labels)
        parting = source.parting("weights_mark")
        stated = [part.settings for part in source.parts]
        kept = [weights for part in source.parts if (weights := part.end.get("weights"))]
        return cls(
            sizes,
            source.split == INTERLEAVED,
            epochs,
            None if parting is None else parting.row,
            None if parting is None else parting.replica,
            _applied(source.parting("updates"), rows),
            any(weights != kept[0] for weights in kept),
            source.losses_summed,
            _before_updates(rows[0], parting) or _start_apart(stated),
            tuple(_otherwise(stated)),
            len({one.get("loader.seed") for one in stated}) > 1,
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def part(self) -> bool:
        """Whether their weights are known to differ behind some step."""
        return self.parted is not None or self.ends_apart

    @property
    def by_updates(self) -> Applied | None:
        """Where an update is left out before their weights are seen to differ, which is then why they do."""
        if self.applied is None or not self.part or self.starts_apart:
            return None
        return self.applied if self.parted is None or self.applied.step <= self.parted else None

    @property
    def explain_from(self) -> int | None:
        """The first step whose loss their different weights explain; None where these are not known to differ."""
        if self.by_updates is not None:
            return 1 + self.by_updates.step
        if not self.part:
            return None
        return 0 if self.starts_apart else 1 + (self.parted or 0)

    @cached_property
    def uneven(self) -> Ints:
        """The steps in which they had different numbers of rows."""
        return np.flatnonzero((self.sizes != self.sizes[0]).any(axis=0))

    @cached_property
    def _owners(self) -> tuple[Ints, Ints]:
        """Of each sample of the run, in the order of its steps, the step and the replica."""
        count, steps = self.sizes.shape
        ranks = np.repeat(np.tile(np.arange(count), steps), self.sizes.T.reshape(-1))
        step = np.repeat(np.arange(steps), self.sizes.sum(axis=0))
        if not self.woven:
            return step, ranks
        lengths = self.sizes.T.reshape(-1)
        turns = np.arange(len(ranks)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        order = np.lexsort((ranks, turns, step))
        return step, ranks[order]

    def of_step(self, ids: Ints, index: int) -> list[Ints]:
        """What each replica had of a step; ``ids`` as of ``passes``."""
        step, owner = self._owners
        if len(step) != len(ids):
            return [ids[:0]] * len(self)
        return [ids[(step == index) & (owner == replica)] for replica in range(len(self))]

    def exchanged(self, ids: Ints, whose: Sequence[int]) -> Ints:
        """The run's ids, if each replica had what another one has: the first has what ``whose[0]`` has, and so on."""
        other = Replicas(self.sizes[list(whose)], self.woven)
        (_, owner), (_, place) = self._owners, other._owners
        found = np.empty_like(ids)
        for replica, had in enumerate(whose):
            found[place == replica] = ids[owner == had]
        return found

    def exchange(self, ids: Ints, due: Ints) -> list[int] | None:
        """Whose share each replica would have to have for the run's ids to be those that are due; None if none does."""
        first, (of, owner) = self.sizes[:, 0], self._owners
        if not first[0] or (first != first[0]).any() or not len(ids) == len(due) == len(of):
            return None
        begin = np.arange(len(self)) * (1 if self.woven else first[0])
        had = dict(zip(ids[of == 0].tolist(), owner[of == 0].tolist(), strict=True))
        whose = [had.get(one, -1) for one in due[begin].tolist()]
        if sorted(whose) != [*range(len(self))] or not np.array_equal(self.exchanged(ids, whose), due):
            return None
        return whose

    def passes(self, ids: Ints, labels: NDArray[np.int64]) -> list[list[Ints]]:
        """For each pass what each replica had of it; the last one may have been cut.

        Args:
            ids: of the run, one step after the other.
            labels: each replica's pass at each step, of the shape of ``sizes``.
        """
        step, owner = self._owners
        if len(step) != len(ids):
            return []
        of = labels[owner, step]
        return [
            [ids[(of == one) & (owner == replica)] for replica in range(len(self))]
            for one in np.unique(labels).tolist()
        ]


def _start_apart(stated: Sequence[Mapping[str, Any]]) -> bool | None:
    prints = [{name: one for name, one in each.items() if _FINGERPRINT.fullmatch(name)} for each in stated]
    return any(one != prints[0] for one in prints) if all(prints) else None


def _before_updates(rows: Rows, parting: Parting | None) -> bool:
    if parting is None or rows.updates is None or parting.row >= len(rows):
        return False
    return not rows.updates[parting.row]


def _applied(parting: Parting | None, rows: Sequence[Rows]) -> Applied | None:
    if parting is None or parting.row >= len(rows[0]):
        return None
    own, first = (int(rows[index].column("updates").values[parting.row]) for index in (parting.replica, 0))
    return Applied(parting.row, parting.replica, own, first)


def _otherwise(stated: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int, Any, Any]]:
    for index, each in enumerate(stated):
        for name in sorted(each.keys() | stated[0].keys()):
            own, first = each.get(name), stated[0].get(name)
            if own != first and _OF_UPDATES.fullmatch(name):
                yield name, index, own, first


def same_share(one: Sequence[Ints]) -> tuple[int, int] | None:
    """Two replicas that had the very same samples of a pass in the same order; None if no two had."""
    for later in range(1, len(one)):
        for earlier in range(later):
            if len(one[earlier]) > 1 and np.array_equal(one[earlier], one[later]):
                return earlier, later
    return None


def dealt_to(shares: Sequence[Ints], order: Ints | None, num_samples: int) -> int | None:
    """To how many replicas a pass was dealt of which these are shares, where it was to more; None if that is not seen.

    A share has every so many-th sample in the order of the pass, or as they are stored, shuffled since.
    """
    within = all(len(one) > _FEWEST and one.min() >= 0 and one.max() < num_samples for one in shares)
    if not within:
        return None
    place = np.empty(num_samples, np.int64)
    place[np.arange(num_samples) if order is None else order] = np.arange(num_samples)
    for of_each in ([place[one] for one in shares], [np.sort(one) for one in shares]):
        apart = {int(by) for one in of_each for by in np.diff(one[:-1])}  # the last sample may fill the share up
        begin = {int(one[0]) for one in of_each}
        if len(apart) == 1 and len(begin) == len(shares) < min(apart) and max(begin) < min(apart):
            return apart.pop()
    return None


def ahead(passes: Sequence[Sequence[Ints]], num_samples: int) -> tuple[int, int] | None:
    """A replica that has its shares some passes before the others have theirs, and how many; less than 0: behind them.

    None where no pass of the others is what its share leaves of the samples.
    """
    for replica in reversed(range(len(passes[0]))):
        for by in (*range(1, len(passes)), *range(-1, -len(passes), -1)):
            own, others = passes[max(-by, 0)], passes[max(by, 0)]
            together = np.concatenate([(own if index == replica else others)[index] for index in range(len(own))])
            if len(together) > num_samples // 2 and len(np.unique(together)) >= min(num_samples, len(together)):
                return replica, by
    return None

"""One order for two scripts: the plan's, for a user's own DataLoader and a user's own tf.data.

Both begin the next pass each time they are iterated over, as a shuffling loader does; how the samples
are then batched is the script's own. Both go on where a stopped script was: the order needs no random
state, so that a pass and a position in it are all there is to keep.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain
from operator import index, length_hint
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from xframe.errors import StateError, UsageError, Verbatim, WorkerError
from xframe.plan.training_plan import TrainingPlan

if TYPE_CHECKING:
    import tensorflow as tf

    from xframe.plan.order import Order

_BLOCK = 1 << 16  # ids made at once
_VERSION = 1  # of a sampler's state
# What draws batches before the loop asks for them. torchdata itself may ask: it keeps the state beside each batch.
_KEEPS = "torchdata"
_AHEAD = {
    ("torch", "_MultiProcessingDataLoaderIter"): "a DataLoader with workers",
    (_KEEPS, "_StatefulMultiProcessingDataLoaderIter"): "a DataLoader with workers",
    ("accelerate", "DataLoaderShard"): "Accelerate's DataLoader",
    ("accelerate", "DataLoaderDispatcher"): "Accelerate's DataLoader",
}
_FRAMES = 16  # from a loader down to its sampler; a batch sampler of the user's may stand between


def _order(plan: TrainingPlan, num_samples: int) -> Order:
    if not isinstance(plan, TrainingPlan):
        raise UsageError("an order is a plan's", got=plan, expected="a TrainingPlan first, then the number of samples")
    return plan.sample_order(num_samples)


def _start(start: tuple[int, int], num_samples: int) -> tuple[int, int]:
    """The pass and the position of the next id; the end of a pass is where the next one begins."""
    expected = f"(pass, position), the pass from 0 and the position from 0 to {num_samples}"
    try:
        pass_index, position = (index(each) for each in start)
    except (TypeError, ValueError):
        raise UsageError("an order's start", got=start, expected=expected) from None
    if pass_index < 0 or not 0 <= position <= num_samples:
        raise UsageError("an order's start", got=start, expected=expected)
    return (pass_index, position) if position < num_samples else (pass_index + 1, 0)


class _Place:
    """Where an iterator is."""

    __slots__ = ("__weakref__", "ahead", "begin", "block", "end", "pass_index")

    def __init__(self) -> None:
        self.pass_index: int | None = None  # not known before its first id is asked for
        self.begin = self.end = 0  # positions of its first id, and behind the current block
        self.block: Iterator[int] = iter(())  # what is left of that
        self.ahead: str | None = None  # who draws ids before they are trained on

    @property
    def position(self) -> int:
        """Of the next id in the pass; the number of samples at its end."""
        return self.end - length_hint(self.block)

    def set(self, pass_index: int, position: int) -> None:
        """Goes on from there."""
        deque(self.block, maxlen=0)
        self.pass_index, self.begin, self.end = pass_index, position, position


class PlanIterator(chain[int]):
    """The ids of one pass from a position on.

    Ids come from ``itertools.chain`` itself, one block's list after the other. What is left of the current list says
    where the iterator is: no code of Python's runs per id.
    """

    sampler: PlanSampler
    place: _Place

    def state_dict(self) -> dict[str, Any]:
        """Where it is, as JSON values: torchdata asks iterators too, whose end is not yet the next pass's beginning."""
        pass_index, position = self.sampler.where(self.place)
        return {"version": _VERSION, "pass": pass_index, "position": position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there; its sampler's next iteration begins the pass after that one."""
        where = _loaded(state, "an iterator's state", self.sampler.num_samples)
        self.place.set(*where)
        self.sampler.next_pass, self.sampler.position, self.sampler.last = where[0] + 1, 0, self.place


class PlanSampler:
    """The order of one pass after the other, as a sampler for ``torch.utils.data.DataLoader``.

    ``len`` is that of a whole pass, also where the first iteration begins in the middle of one: loaders and trainers
    take it for the length of an epoch. Iterators begin passes in the order in which they were made; those that are
    gone before their first id was asked for begin none, as loaders make some that they never use.
    """

    def __init__(self, plan: TrainingPlan, num_samples: int, start: tuple[int, int] = (0, 0)) -> None:
        self.order = _order(plan, num_samples)
        self.num_samples = self.order.num_samples
        self.next_pass, self.position = _start(start, self.num_samples)  # at which the next iteration begins
        self.last: _Place | None = None  # of the iterator that was the last to begin
        self._made: list[ref[_Place]] = []  # iterators that have not begun

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration walk through that pass, as ``DistributedSampler`` has it.

        From its beginning; but in the pass in which ``start`` or a loaded state is, from there.
        """
        if epoch != self.next_pass:
            self.next_pass, self.position = epoch, 0

    def __len__(self) -> int:
        return self.num_samples

    def __getstate__(self) -> dict[str, Any]:
        """A copy, as for a process of its own, has no iterators: its first begins where this one's next would."""
        return {**vars(self), "last": None, "_made": []}

    def __iter__(self) -> Iterator[int]:
        place = _Place()
        made: Any = PlanIterator.from_iterable(self._blocks(place))
        made.sampler, made.place = self, place
        self._made = [ref(each) for each in (*self._waiting(), place)]
        return made  # type: ignore[no-any-return]

    def _waiting(self) -> list[_Place]:
        return [place for each in self._made if (place := each()) is not None and place.pass_index is None]

    def _blocks(self, place: _Place) -> Iterator[Iterator[int]]:
        if place.pass_index is None:
            waiting = self._waiting()
            for each in waiting[: waiting.index(place) + 1]:
                each.set(self.next_pass, self.position)
                self.next_pass, self.position = self.next_pass + 1, 0
        place.ahead, self.last = _ahead(), place
        while place.end < self.num_samples:
            start, place.end = place.end, min(place.end + _BLOCK, self.num_samples)
            positions = np.arange(start, place.end, dtype=np.int64)
            place.block = iter(self.order.ids(self.where(place)[0], positions).tolist())
            yield place.block

    def where(self, place: _Place) -> tuple[int, int]:
        """The pass and the position of an iterator of this sampler's."""
        if place.pass_index is not None:
            return place.pass_index, place.position
        before = self._waiting().index(place)
        return self.next_pass + before, 0 if before else self.position

    def state_dict(self, taken: int | None = None) -> dict[str, Any]:
        """Where the next id is, as JSON values. A sampler that loads them goes on with that id.

        Args:
            taken: how many samples the current iteration has given to the loop. Without it, all that were drawn; but a
                DataLoader with workers draws batches ahead, so that it must be said. ``StatefulDataLoader`` of
                torchdata needs no ``taken``: it keeps the state beside each batch.

        Raises:
            UsageError: samples are drawn ahead and ``taken`` is not given, or more than what was drawn.
        """
        where, last = (self.next_pass, self.position), self.last
        keeps = sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] == _KEEPS
        if last is not None and (position := self._behind(last, taken, keeps)) < self.num_samples:
            where = self.where(last)[0], position
        return {"version": _VERSION, "pass": where[0], "position": where[1], **self._order_of()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on, in the next iteration, with the id that came next when ``state_dict`` was called.

        Raises:
            StateError: it is no such state, or one of a different order.
        """
        where = _loaded(state, "a sampler's state", self.num_samples)
        own = self._order_of()
        if differ := {key: state.get(key) for key, value in own.items() if state.get(key) != value}:
            expected = f"{ {key: own[key] for key in differ} }, as this sampler's plan has it"
            raise StateError("this state is of a different order", got=differ, expected=expected)
        self.next_pass, self.position = _start(where, self.num_samples)
        self.last = None

    def _order_of(self) -> dict[str, Any]:
        order = self.order
        return {"num_samples": self.num_samples, "order": order.kind, "seed": order.seed, "reshuffle": order.reshuffle}

    def _behind(self, last: _Place, taken: int | None, keeps: bool) -> int:
        """The position behind what the latest iteration has given to the loop."""
        if taken is None:
            if last.ahead is None or keeps:
                return last.position
            raise UsageError(
                f"{last.ahead} draws samples before they are trained on",
                expected="state_dict(taken=...), the number of samples that this iteration has given to the loop",
                remedy="Or take torchdata's StatefulDataLoader, and save its state_dict().",
            )
        position = min(last.begin + index(taken), self.num_samples)  # a last batch may be a short one
        if not last.begin <= position <= last.position:
            drawn = f"0 to {last.position - last.begin}, which were drawn"
            raise UsageError("the number of samples that this iteration has given", got=taken, expected=drawn)
        return position


def _ahead() -> str | None:
    """Who draws batches from the sampler before they are asked for, if anybody does."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame is None:
            break
        for base in type(frame.f_locals.get("self")).__mro__:
            package = base.__module__.partition(".")[0]
            if who := _AHEAD.get((package, base.__name__)):
                return who
        frame = frame.f_back
    return None


def _loaded(state: Mapping[str, Any], what: str, num_samples: int) -> tuple[int, int]:
    """The pass and the position that a state has."""
    got: Any = state
    if isinstance(state, Mapping):
        got = {key: state.get(key) for key in ("version", "pass", "position")}
        version, *where = got.values()
        whole = all(type(each) is int and each >= 0 for each in where)
        if version == _VERSION and whole and where[1] <= num_samples:
            return where[0], where[1]
    expected = f"what state_dict() gives, of version {_VERSION}, with a position in a pass of {num_samples}"
    raise StateError(what, got=got, expected=expected)


def sampler(plan: TrainingPlan, num_samples: int, start: tuple[int, int] = (0, 0)) -> PlanSampler:
    """A sampler for a DataLoader: ``DataLoader(data, batch_size=64, sampler=xframe.sampler(plan, len(data)))``.

    It yields sample ids, each once a pass, and begins the plan's next pass with each iteration. Its ``state_dict()``
    and ``load_state_dict()`` keep where it is, as JSON values: a sampler that loads them goes on with the very next id.

    Args:
        plan: whose order it is.
        num_samples: size of the data set.
        start: the pass, and the position in it, of the first id. The first iteration is the rest of that pass.

    Raises:
        UsageError: ``plan`` is no plan, ``num_samples`` no count, or ``start`` no place in an order.
    """
    return PlanSampler(plan, num_samples, start)


def index_dataset(
    plan: TrainingPlan, num_samples: int, start: tuple[int, int] = (0, 0), *, batches: bool = False
) -> tf.data.Dataset:
    """A tf.data.Dataset of sample ids, int64 scalars: ``.map`` looks the samples up, ``.batch`` batches them.

    It begins the plan's next pass with each iteration, one that only looks at the first elements included, and
    with each round of ``.repeat()``. Python counts the passes, so that no iterator over it goes into
    ``tf.train.Checkpoint``: TensorFlow refuses that there (``PyFunc is stateful``). Single ids that are kept are
    ``index_dataset(plan, n, batches=True).unbatch()``, all passes in one iterator.

    With ``batches`` it is of the plan's batches of ids, int64 vectors, pass after pass without end, in one iterator:
    ``.map`` looks each batch's samples up at once. Nothing of it is Python, so that the iterator goes into
    ``tf.train.Checkpoint(iterator=iter(dataset))``; one that is restored goes on with the very next batch.

    Args:
        plan: whose order it is, and with ``batches`` whose batch size and remainder.
        num_samples: size of the data set.
        start: the pass, and the position in it, of the first id. The first iteration is the rest of that pass. One
            that begins within a pass has an unknown cardinality, which Keras' ``fit`` takes for that of each epoch.
        batches: the plan's batches, of all passes from there on.

    Raises:
        UsageError: ``plan`` is no plan, ``num_samples`` no count or too few for a batch, or ``start`` no place in an
            order.
        WorkerError: no installed adapter makes one, or its framework is not there.
    """
    from xframe.running import registry

    order = _order(plan, num_samples)
    start = _start(start, order.num_samples)
    if batches:
        plan.counts(order.num_samples)  # that there are any
    for name in registry.available():
        adapter = registry.load(name)
        make: Any = getattr(adapter, "index_dataset", None)
        if make is not None:
            try:
                return make(plan, order.num_samples, start, batches)
            except ImportError as error:
                raise WorkerError(
                    f"adapter {name!r} makes no tf.data.Dataset without its framework",
                    got=Verbatim(error),
                    remedy=f"Install it: {adapter.install}",
                ) from None
    raise WorkerError(
        "no adapter makes a tf.data.Dataset", expected="the tensorflow adapter, which is part of xframe-toolkit"
    )

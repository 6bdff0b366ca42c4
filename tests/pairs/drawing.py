"""Which samples a script draws: the order of each pass, and what happens to its batches. Mistakes included.

Of the order, in ``Script.drawn``, a name and numbers:

    sequential          the stored order; nothing shuffles
    one order           the first pass's order again in each pass
    subset m            only the samples below m
    replacement         drawn with replacement; weighted: by unequal weights
    rank                every second sample, as one rank of two
    sorted              ids ascend inside each batch
    buffer m            shuffled within a buffer of m
    mixed               repeated before it is shuffled: passes run into each other
    other               a permutation of its own
    foreign m           the m samples behind the training set take part
    pass taken          a look at the first batch took the first pass
    resumed s           at step s it goes on within the next pass's order

Of the batches, in ``Script.batches``, a name and a step: ``lost``, ``repeated``, ``restarted`` (the pass, from its
first batch), ``swapped`` (with the next), ``sample lost``; or of all batches: ``each twice``, as from
two workers that read all, ``shuffled`` within their pass.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xframe
from pairs.script import Script, saved_order

Order = NDArray[np.int64]


def orders(script: Script) -> Iterator[Order]:
    """The samples of each pass, one pass after the other, without end; padding is there, batches are not cut."""
    for order in _departing(script, _given(script)):
        missing = -len(order) % script.batch
        yield np.concatenate([order, np.resize(order, missing)]) if script.last == "pad" and missing else order


def order_of(script: Script) -> xframe.TrainingPlan:
    """The plan whose order the script asks for; of how it trains on it, the script decides."""
    return xframe.TrainingPlan(batch_size=script.batch, epochs=script.epochs, seed=script.seed)


def _given(script: Script) -> Iterator[Order]:
    """The passes as they should be."""
    sampler = xframe.sampler(order_of(script), script.n) if script.order == "plan" else None
    own = np.random.default_rng(script.seed)
    index = 0
    while True:
        if sampler is not None:
            yield np.fromiter(sampler, np.int64)
        else:
            yield saved_order(script.n, index) if script.order == "saved" else own.permutation(script.n)
        index += 1


def _departing(script: Script, given: Iterator[Order]) -> Iterator[Order]:
    name, *numbers = script.drawn or ("",)
    if name in _WHOLE_RUN:
        yield from _WHOLE_RUN[name](script, given, *numbers)
        return
    generator = np.random.default_rng(script.seed + 77)
    for order in given:
        yield _ONE_PASS[name](script, order, generator, *numbers) if name else order


def _one_order(script: Script, given: Iterator[Order]) -> Iterator[Order]:
    first = next(given)
    while True:
        yield first


def _mixed(script: Script, given: Iterator[Order]) -> Iterator[Order]:
    all_of_it = np.tile(np.arange(script.n), script.epochs)
    yield from np.random.default_rng(5).permutation(all_of_it).reshape(script.epochs, script.n)


def _pass_taken(script: Script, given: Iterator[Order]) -> Iterator[Order]:
    next(given)
    yield from given


def _resumed(script: Script, given: Iterator[Order], step: int) -> Iterator[Order]:
    """The generator has moved on by a pass; the batches made before are skipped."""
    index, within = divmod(step, script.in_pass)
    for _ in range(index):
        yield next(given)
    interrupted, again = next(given), next(given)
    cut = within * script.batch
    yield np.concatenate([interrupted[:cut], again[cut:]])
    yield from given


def _blocks(order: Order, size: int) -> list[Order]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _in_buffer(script: Script, order: Order, random: np.random.Generator, size: int) -> Order:
    held, drawn = list(range(size)), []
    for new in [*range(size, script.n), *[None] * size]:
        at = int(random.integers(len(held)))
        drawn.append(held[at])
        held[at : at + 1] = [] if new is None else [new]
    return np.array(drawn, np.int64)


_WHOLE_RUN: dict[str, Callable[..., Iterator[Order]]] = {
    "one order": _one_order,
    "mixed": _mixed,
    "pass taken": _pass_taken,
    "resumed": _resumed,
}
_ONE_PASS: dict[str, Callable[..., Order]] = {
    "sequential": lambda script, order, random: np.arange(script.n),
    "subset": lambda script, order, random, most: order[order < most],
    "replacement": lambda script, order, random: random.integers(script.n, size=script.n),
    "weighted": lambda script, order, random: random.choice(script.n, script.n, p=_unequal(script.n)),
    "rank": lambda script, order, random: np.concatenate([order, order[: len(order) % 2]])[::2],
    "sorted": lambda script, order, random: np.concatenate([np.sort(b) for b in _blocks(order, script.batch)]),
    "buffer": _in_buffer,
    "other": lambda script, order, random: random.permutation(script.n),
    "foreign": lambda script, order, random, more: random.permutation(script.n + more),
}


def _unequal(n: int) -> NDArray[np.float64]:
    weights = 1.0 + np.arange(n) % 10
    return weights / weights.sum()


def sizes(script: Script, order: Order) -> list[Order]:
    """The batches of one pass, where the script cuts them itself."""
    blocks = _blocks(order, script.batch)
    return blocks[:-1] if script.last == "drop" and len(blocks[-1]) < script.batch else blocks


class Batches:
    """Passes a script's batches on, changed as ``Script.batches`` says. Steps are counted over all passes."""

    def __init__(self, script: Script) -> None:
        self.what, *at = script.batches or ("",)
        self.at = at[0] if at else -1
        self.step = 0
        self.random = random.Random(script.seed)

    def of(self, one_pass: Iterable[Any]) -> Iterator[Any]:
        """The batches of one pass, tuples of arrays or tensors."""
        batches = iter(self._shuffled(one_pass) if self.what == "shuffled" else one_pass)
        done: list[Any] = []
        for batch in batches:
            here = self.what if self.step == self.at else ""
            here = self.what if self.what == "each twice" else here
            more = next(batches, None) if here == "swapped" else None
            for one in self._instead(here, batch, more, done):
                yield one
                self.step += 1
            if here == "lost":
                self.at = -1  # the next batch has its step
            done.append(batch)

    def _shuffled(self, one_pass: Iterable[Any]) -> list[Any]:
        batches = list(one_pass)
        return self.random.sample(batches, len(batches))

    def _instead(self, what: str, batch: Any, more: Any, done: list[Any]) -> list[Any]:
        if what == "lost":
            return []
        if what in ("repeated", "each twice"):
            return [batch, batch]
        if what == "restarted":
            return [*done, batch]
        if what == "sample lost":
            return [tuple(part[1:] for part in batch)]
        return [more, batch] if what == "swapped" else [batch]

"""Which sample is which, where runs have no common indices: by content. Done once, before anything is compared.

The features' prints of all runs become dense ids: samples of equal hash have one id, and so do samples whose four
numbers agree up to rounding, unless only exact ones are to. Where a run lists indices beside its prints, a content has
the index it has there. What follows sees ids, and nothing of where they come from. Prints are read a piece at a time,
and only distinct contents are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.pairing import Run, recorded
from xframe.comparison.prints import CLOSE, Prints, close, line, numbers, prints_of
from xframe.errors import UsageError, Verbatim, counted
from xframe.trace.certificate import ids_digests
from xframe.trace.rows import Rows
from xframe.trace.schema import Column

Identity = Literal["index", "exact", "close"]
IDENTITIES: tuple[Identity, ...] = get_args(Identity)

Ints = NDArray[np.int64]

_PIECE = 1 << 19  # samples that are looked at together
_STEPS = 64  # whose targets are compared place by place
_FEWEST = 32
_NEARLY_ALL = 0.99
_HEAD = 1 << 16  # samples by which indices that count positions of their own are recognised
_DISTINCT = 0.9
_FIRST = 4096  # samples by which features that are all scaled are recognised
_ENOUGH = 0.01  # of the contents, which two runs share unless one's are scaled
_MOST_INDICES = 1 << 30  # up to which samples of equal content are counted
_MOST_NEAR = 1 << 12  # contents, so close in one number, that one is compared with


@dataclass(frozen=True, eq=False)
class Contents:
    """Distinct contents: their hashes in ascending order, and of each the first print and the least index if known."""

    hashes: Ints
    prints: Ints  # of shape (contents, 3)
    indices: Ints  # -1 where not known

    def has(self, hashes: Ints) -> NDArray[np.bool_]:
        """Which of these hashes are among them."""
        if not len(self.hashes):
            return np.zeros(len(hashes), np.bool_)
        at = np.searchsorted(self.hashes, hashes).clip(max=len(self.hashes) - 1)
        return np.asarray(self.hashes[at] == hashes)


class _Found(NamedTuple):
    """What a run's features show: its contents, the prints of its first samples in order, and how many samples are
    known to be others of equal content, of all or, without indices, of those that come in one batch."""

    contents: Contents
    first: Ints
    twice: int
    listed: bool


def distinct(prints: Ints, indices: Ints) -> Contents:
    """The distinct contents of these samples; of several indices the least."""
    order = np.lexsort((indices.view(np.uint64), prints[:, 0]))  # an unknown index comes last
    hashes = prints[order, 0]
    first = order[np.concatenate([[True], hashes[1:] != hashes[:-1]])] if len(order) else order
    return Contents(prints[first, 0], prints[first], indices[first])


def identified(runs: Sequence[Run], by: Identity | None) -> tuple[tuple[Run, ...], list[str]]:
    """The runs, their ids made from content where ``by`` asks for it or, if it is None, some have no indices; and what
    is to be said of it.

    Raises:
        UsageError: by content is asked for, and some run recorded no features.
    """
    lacking = [run.name for run in runs if not recorded(run, "features") or "features" not in run.rows.known]
    indexed = all("ids_digest" in run.rows.known for run in runs)
    apart = by is None and indexed and not lacking and _indices_apart(runs)
    if by == "index" or (by is None and indexed and not apart):
        return tuple(runs), []
    if lacking or len(runs) < 2:
        if by is not None and len(runs) > 1:
            raise UsageError(
                "samples are to be identified by content",
                got=Verbatim(f"{' and '.join(lacking)}, without prints of features at every step"),
                expected="traces that have them: by xframe record, or xframe.watch",
            )
        return tuple(runs), []
    augmented = [] if apart else [run.name for run in runs[1:] if by is None and _other_features_in_order(run, runs[0])]
    if augmented:
        text = f"{runs[0].name} and {' and '.join(augmented)} have the same targets in the same order, of other "
        text += "features: "
        return tuple(runs), [f"{text}samples are compared by their places"]
    universe, found = _Universe(), [_contents(run, indexed=not apart) for run in runs]
    ids = [universe.place(one.contents, one.first, exact=by == "exact") for one in found]
    dense = universe.dense()
    named = tuple(
        replace(
            run,
            rows=_by_content(run.rows, *one, dense),
            by_content=True,
            named=int(universe.indices.max(initial=-1)) + 1,
        )
        for run, one in zip(runs, ids, strict=True)
    )
    text = "the same content has other indices in each, which count positions of their own"
    return named, [text] * apart + _said(runs, found, universe, by)


def _indices_apart(runs: Sequence[Run]) -> bool:
    """Whether contents that two runs share have other indices in each, as where one took its rows from a copy in
    another order: then an index says nothing across them."""
    heads = list[Contents]()
    for run in runs:
        steps = max(int(np.searchsorted(np.cumsum(run.rows.batch_size), _HEAD)), 1)
        rows = run.rows.head(steps) if "ids" in run.rows.known else run.rows.head(0)
        ids, values = rows.column("ids").values, prints_of(rows, "features", len(rows)).values
        heads.append(distinct(values, ids) if len(values) == len(ids) else distinct(values[:0], ids[:0]))
        if len(heads[-1].hashes) < _DISTINCT * len(np.unique(ids)):  # samples of equal content have several
            return False
    for head in heads[1:]:
        _, own, other = np.intersect1d(head.hashes, heads[0].hashes, return_indices=True)
        if len(own) >= _FEWEST and (head.indices[own] == heads[0].indices[other]).mean() < 0.5:
            return True
    return False


def _other_features_in_order(run: Run, other: Run) -> bool:
    """Whether, place by place, the first targets of two runs are the same and most of their features are not: then the
    samples are, and were augmented or prepared otherwise."""
    if not all(recorded(one, "targets") and "targets" in one.rows.known for one in (run, other)):
        return False
    steps = min(len(run.rows), len(other.rows), _STEPS)
    own, others = (one.rows.head(steps) for one in (run, other))
    if not np.array_equal(own.batch_size, others.batch_size):
        return False
    same = []
    for column in ("targets", "features"):
        a, b = (prints_of(rows, column, len(rows)).values[:_FIRST] for rows in (own, others))
        same.append((a[:, 0] == b[:, 0]) | close(numbers(a), numbers(b)))
        if column == "targets" and (len(a) < _FEWEST or (a[1:, 0] == a[:-1, 0]).mean() > 0.5):
            return False  # too much alike to show an order
        if column == "features" and line(numbers(b), numbers(a)) is not None:
            return False  # all scaled: found by content
    return bool(same[0].mean() > _NEARLY_ALL and same[1].mean() < 0.5)


def _said(runs: Sequence[Run], found: Sequence[_Found], universe: _Universe, by: Identity | None) -> list[str]:
    how = "exactly" if by == "exact" else "up to rounding"
    text = f"samples are identified by their content ({how}), other content being another sample: "
    text += counted(len(universe.prints), "content")
    if universe.near:
        text += f", of which {universe.near:,} agree only up to rounding"
    said = [text]
    for run, one in zip(runs, found, strict=True):
        if one.twice:
            least = "" if one.listed else "at least "
            equal = "equals another one, and shares its" if one.twice == 1 else "equal other ones, and share their"
            said.append(f"{run.name}: {least}{counted(one.twice, 'sample')} {equal} identity")
    if universe.apart:
        said.append(
            "hardly any content is in both: other samples, or laid out otherwise (then record with --identity layout)"
        )
    if universe.scaled:
        said.append("features of different scale were matched by the line that leads from one run's to the other's")
    return said


def _pieces(rows: Rows) -> Iterator[Rows]:
    """All rows, some at a time."""
    largest = int(rows.batch_size.max(initial=1))
    yield from rows.blocks(max(_PIECE // max(largest, 1), 1))


def _contents(run: Run, *, indexed: bool = True) -> _Found:
    empty = np.zeros(0, np.int64)
    held, waiting, size = Contents(empty, np.zeros((0, 3), np.int64), empty), list[Contents](), 0
    first, listed, twice = None, indexed and "ids" in run.rows.known, 0
    seen = np.zeros(0, np.bool_)  # indices
    for rows in _pieces(run.rows):
        prints = prints_of(rows, "features", len(rows))
        ids = rows.column("ids").values if listed else np.full(len(prints.values), -1)
        if first is None:
            first, twice = prints.values[:_FIRST].copy(), 0 if listed else _twice(prints)
        if listed and int(ids.min(initial=0)) >= 0 and int(ids.max(initial=0)) < _MOST_INDICES:
            seen = np.pad(seen, (0, max(int(ids.max(initial=-1)) + 1 - len(seen), 0)))
            seen[ids] = True
        new = ~held.has(prints.values[:, 0])
        waiting.append(distinct(prints.values[new], ids[new]))
        size += len(waiting[-1].hashes)
        if size > len(held.hashes) // 2:  # joined only when it is much
            held, waiting, size = _all((held, *waiting)), [], 0
    held = _all((held, *waiting))
    if seen.any():
        twice = max(int(seen.sum()) - len(held.hashes), 0)
    return _Found(held, np.zeros((0, 3), np.int64) if first is None else first, twice, listed)


def _twice(prints: Prints) -> int:
    """How many samples of these rows come twice in one batch: they are others, of equal content."""
    places = np.repeat(np.arange(len(prints.counts)), prints.counts)
    order = np.lexsort((prints.values[:, 0], places))
    hashes, places = prints.values[order, 0], places[order]
    return int(((hashes[1:] == hashes[:-1]) & (places[1:] == places[:-1])).sum())


def _all(parts: Sequence[Contents]) -> Contents:
    return distinct(np.concatenate([one.prints for one in parts]), np.concatenate([one.indices for one in parts]))


class _Universe:
    """The contents of all runs, each of them once, in the order in which they came.

    Attributes:
        prints, indices: of each content, of the first run that has it.
        near: contents that were found by their numbers alone.
        apart: a run has hardly any content of those before it.
        scaled: a run's features are a multiple of the first one's.
    """

    def __init__(self) -> None:
        self.prints, self.indices = np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
        self.near, self.scaled, self.apart = 0, False, False
        self._first: Ints | None = None

    def place(self, contents: Contents, first: Ints, *, exact: bool) -> tuple[Ints, Ints]:
        """The hashes of a run's contents in ascending order, and of each its place here; new ones are added."""
        order = np.argsort(self.prints[:, 0], kind="stable")
        hashes = self.prints[order, 0]
        at = np.searchsorted(hashes, contents.hashes).clip(max=max(len(hashes) - 1, 0))
        equal = hashes[at] == contents.hashes if len(hashes) else np.zeros(len(contents.hashes), np.bool_)
        places = np.where(equal, order[at] if len(hashes) else 0, -1)
        rest = np.flatnonzero(places < 0)
        if not exact and rest.size and len(hashes):
            own = numbers(contents.prints[rest])
            if equal.sum() < _ENOUGH * len(equal):
                own = self._unscaled(own, first)
            places[rest] = _nearest(numbers(self.prints), own)
            self.near += int((places[rest] >= 0).sum())
        new = np.flatnonzero(places < 0)
        self.apart |= bool(len(hashes)) and len(new) > (1 - _ENOUGH) * len(places)
        places[new] = len(self.prints) + np.arange(len(new))
        self.prints = np.concatenate([self.prints, contents.prints[new]])
        indices = contents.indices if (self.indices < 0).all() else np.full(len(contents.hashes), -1)  # one run's count
        self.indices = np.concatenate([self.indices, indices[new]])
        known = (self.indices[places] < 0) & (indices >= 0)
        self.indices[places[known]] = indices[known]
        self._first = first if self._first is None else self._first
        return contents.hashes, places

    def _unscaled(self, own: NDArray[np.float64], first: Ints) -> NDArray[np.float64]:
        """The numbers as the first run has them, if its first samples, in order, are a multiple of the run's first."""
        assert self._first is not None
        length = min(len(first), len(self._first))
        a, b = numbers(first[:length]), numbers(self._first[:length])
        found = line(a, b)
        if found is None:
            return own
        self.scaled = found.shifted or abs(found.factor - 1) > CLOSE
        moved: NDArray[np.float64] = found.factor * own + (b - found.factor * a).mean(axis=0) * found.shifted
        return moved

    def dense(self) -> Ints:
        """The id of each content: its index if one is known; beyond those by hash, which is the order of no run."""
        ids, unknown = self.indices.copy(), np.flatnonzero(self.indices < 0)
        beyond = int(ids.max(initial=-1)) + 1
        ids[unknown[np.argsort(self.prints[unknown, 0], kind="stable")]] = beyond + np.arange(len(unknown))
        return ids


def _nearest(known: NDArray[np.float64], own: NDArray[np.float64]) -> Ints:
    """For each of ``own`` the place of the nearest of ``known`` that is the same up to rounding; -1: none is."""
    column = int(np.argmax([len(np.unique(known[:, j])) for j in range(known.shape[1])]))
    order = np.argsort(known[:, column], kind="stable")
    values = known[order, column]
    reach = 2 * CLOSE * np.abs(own).max(axis=1, initial=0.0)
    low = np.searchsorted(values, own[:, column] - reach)
    high = np.searchsorted(values, own[:, column] + reach, side="right")
    nearest, distance = np.full(len(own), -1), np.full(len(own), np.inf)
    for offset in range(min(int((high - low).max(initial=0)), _MOST_NEAR)):
        active = np.flatnonzero(low + offset < high)
        places = order[low[active] + offset]
        same = close(known[places], own[active])
        by = np.abs(known[places] - own[active]).max(axis=1)
        nearer = same & (by < distance[active])
        nearest[active[nearer]], distance[active[nearer]] = places[nearer], by[nearer]
    return nearest


def _by_content(rows: Rows, hashes: Ints, places: Ints, dense: Ints) -> Rows:
    """The same rows with ids made from their features' prints, when they are read."""
    ids_of = dense[places]

    def read(name: str, start: int, stop: int) -> Column:
        part = rows.between(start, stop)
        if name not in ("ids", "ids_digest"):
            return part.column(name)
        pieces, sizes = list[Ints](), list[Ints]()
        for piece in _pieces(part):
            prints = prints_of(piece, "features", len(piece))
            pieces.append(ids_of[np.searchsorted(hashes, prints.values[:, 0])])
            sizes.append(prints.counts)
        ids = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
        if name == "ids":
            return Column(ids)
        return ids_digests(ids.astype("<i8").tobytes(), np.concatenate(sizes) if sizes else np.zeros(0, np.int64))

    return Rows(read, len(rows), rows.known | {"ids", "ids_digest"}, complete=rows.complete)

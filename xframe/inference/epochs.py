"""What an epoch may be, where a run's passes are known: where its ends fall, and whether the loop labels it so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from xframe.inference.observed import SHORT_RUN, Flags, Ints, Observed
from xframe.inference.passes import Passes, steps_per_pass


class Epochs(NamedTuple):
    """One hypothesis; the first three are as in a plan, None where an epoch is a pass."""

    steps_per_epoch: int | None
    epoch_iterator: str | None
    on_exhaustion: str | None
    epoch: Ints  # of each step, and of the one that would follow
    epoch_ends: Flags  # whether one ends after each step
    pass_ends: Flags
    exhausts: bool  # the last step leaves a pass that is over and an epoch that is not

    @property
    def fields(self) -> dict[str, object]:
        """Of a plan."""
        names = ("steps_per_epoch", "epoch_iterator", "on_exhaustion")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def hypotheses(run: Observed, passes: Passes, lengths: Iterable[int] | None = None) -> Iterator[Epochs]:
    """All epochs that go with these passes, those that are passes first.

    ``lengths``: the numbers of steps that are tried; default: all that a short run may have, or a long one can show.
    """
    per_pass = steps_per_pass(run, passes.remainder)
    pass_ends = _pass_ends(run, passes)
    if passes.restart:
        s = passes.restart
        index = np.arange(run.num_steps + 1, dtype=np.int64)
        exhaustions = ("repeat",) if s > per_pass else ("repeat", "short_epoch", "stop")
        for exhaustion in (None,) if passes.remainder == "carry" else exhaustions:
            yield Epochs(s, "restart", exhaustion, index // s, index[1:] % s == 0, pass_ends, False)
        return
    yield Epochs(None, None, None, passes.pass_index, pass_ends, pass_ends, False)
    if passes.short_end:
        return
    for s in _lengths(run, per_pass) if lengths is None else lengths:
        yield from _of_length(run, passes, s, per_pass, pass_ends)


def _of_length(run: Observed, passes: Passes, s: int, per_pass: int, pass_ends: Flags) -> Iterator[Epochs]:
    """Epochs of s steps, where no pass is abandoned."""
    n, b, total = run.rows_of_pass, run.batch_size, run.num_steps
    carry = passes.remainder == "carry"
    index = np.arange(total + 1, dtype=np.int64)
    epoch, ends = index // s, index[1:] % s == 0
    over = bool(pass_ends[-1]) and not carry
    same_pass = s >= total or (s * b % n == 0 if carry else s % per_pass == 0)
    for iterator in ("continue", "restart"):
        if iterator == "continue" or same_pass:
            yield Epochs(s, iterator, None if carry else "repeat", epoch, ends, pass_ends, False)
        if carry:
            continue
        if iterator == "continue" or s >= min(per_pass, total):
            step = passes.position // b
            parts = 1 if iterator == "restart" and s >= per_pass else -(-per_pass // s)
            numbers = passes.pass_index * parts + step // s
            short_ends = pass_ends | ((step[:-1] + 1) % s == 0)
            unfinished = over and bool((step[-2] + 1) % s)
            yield Epochs(s, iterator, "short_epoch", numbers, short_ends, pass_ends, unfinished)
        never = iterator == "restart" and s == per_pass
        if never or (total <= per_pass and (iterator == "continue" or s >= total)):
            yield Epochs(s, iterator, "stop", epoch, ends, pass_ends, over and not ends[-1])


def _pass_ends(run: Observed, passes: Passes) -> Flags:
    n, b, position = run.rows_of_pass, run.batch_size, passes.position[:-1]
    if passes.remainder == "drop":
        return np.asarray(position + 2 * b > n)
    return np.asarray(position + b >= n)


def declared_lengths(run: Observed) -> list[int]:
    """The numbers of steps of the first epochs that are over, by the loop's labels; of the only one if there is one."""
    labels = run.rows.epoch
    if labels is None:
        return []
    turns = np.flatnonzero(np.diff(labels))
    return np.diff(turns[:4], prepend=-1).tolist() or [run.num_steps]


def _lengths(run: Observed, per_pass: int) -> list[int]:
    """The numbers of steps an epoch may have: all, or those that can show."""
    total = run.num_steps
    if total <= SHORT_RUN:
        return [*range(1, total + 2), *([per_pass] if per_pass > total + 1 else [])]
    lengths = {total, total + 1, per_pass, 2 * per_pass} - {0}
    for at in _irregular(run):
        lengths |= _divisors(at)
        if per_pass:
            lengths |= _divisors(at % per_pass)
    lengths |= {d for d in _divisors(total) if total // d <= 64}
    lengths |= set(declared_lengths(run))
    return sorted(s for s in lengths if 1 <= s <= total + 1)


def _irregular(run: Observed) -> list[int]:
    """Steps after which a window may have been cut: where an update comes early, or so long before a late one."""
    applied = run.applied
    if applied is None:
        return []
    at = np.flatnonzero(applied == 1) + 1
    gaps = np.diff(at, prepend=0)
    if not len(gaps) or (gaps == gaps[0]).all():
        return []
    values = [int(gaps[0]), int(gaps.max()), int(gaps.min()), int(np.bincount(gaps).argmax())]
    steps: set[int] = set()
    for k in set(values):
        early, late = at[gaps < k], at[gaps > k]
        steps |= {int(step) for step in early[:2]} | {int(step) - k for step in late[:2]}
    # All windows may be cut, or none be full before the first cut.
    steps |= {int(step) for step in at[:2]} | {int(at[0]) - k for k in values}
    return sorted(step for step in steps if step > 0)


@lru_cache(maxsize=256)
def _divisors(number: int) -> frozenset[int]:
    small = [d for d in range(1, math.isqrt(max(number, 0)) + 1) if number % d == 0]
    return frozenset(small) | frozenset(number // d for d in small)


def labelled(run: Observed, passes: Passes, epochs: Epochs) -> bool:
    """Whether the loop's own labels are those of the hypothesis; counted from 0 or from 1."""
    rows, total = run.rows, run.num_steps
    number, padding, inside = epochs.epoch[:total], rows.padding, rows.step_in_epoch
    if rows.epoch is not None and (rows.epoch - rows.epoch[0] != number - number[0]).any():
        return False
    if padding is not None and (padding != passes.padding[:total]).any():
        return False
    if inside is not None:
        begins = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
        expected = np.arange(total) - np.repeat(begins, np.diff(begins, append=total))
        return not (inside - inside[0] != expected).any()
    return True

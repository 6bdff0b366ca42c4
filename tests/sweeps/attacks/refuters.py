"""How the numbers and rows that a table stands for refute what a sentence claims: each returns whether they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import lgamma, log

import numpy as np

from sweeps.attacks.tables import Table
from xframe.comparison.result import Explanation
from xframe.plan.order import Order

_SEEDS_TRIED = 5000  # an order that so many seeds would meet by chance shows no seed
_CHANCE = 1e-3
_FACTOR = 1e-3  # within which losses are multiples of each other
Refuter = Callable[[re.Match[str], Table, Explanation], bool]


def _int(text: str) -> int:
    return int(text.replace(",", ""))


def _same(batch: np.ndarray | None, other: np.ndarray | None) -> bool:
    return batch is None or other is None or np.array_equal(batch, other)


def no_failure(*checks: str) -> Refuter:
    return lambda match, table, cause: bool(table.failed & set(checks))


def every_loss(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.result("loss") != "pass" or table.both("loss") is None


def gradients(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """Different gradients leave different weights, and show in the loss of a later step; where the first losses differ
    already, in that of a step from which they are no longer multiples of each other."""
    first = table.first("loss")
    if first == 0 and cause.step:
        columns = [rows.column("loss") for rows in (table.candidate, table.reference)]
        both = [
            np.where(True if known is None else known, values, np.nan)[: cause.step + 1] for values, known in columns
        ]
        factors = (both[0] / both[1])[~np.isnan(both[0] + both[1])]
        if np.allclose(factors[:-1], factors[0], rtol=_FACTOR) and not np.isclose(*factors[[0, -1]], rtol=_FACTOR):
            first = cause.step
    return table.result("weights") == "pass" or not first or table.until <= first or table.result("lr") != "pass"


def same_up_to(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.until <= _int(match[1])


def seed(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """Its order is that seed's, and orders are so many that none of the seeds tried gives these samples by chance."""
    n, ids = table.num_samples, table.candidate.ids
    if ids is None:
        return True
    shown = min(len(ids), n)
    begins = min(int(table.candidate.batch_size[0]), n)
    if not np.array_equal(Order(n, "shuffle", _int(match[1])).ids(0, np.arange(begins)), ids[:begins]):
        return True
    return log(_SEEDS_TRIED) - (lgamma(n + 1) - lgamma(n - shown + 1)) > log(_CHANCE)


def in_a_row(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    times, rows = int(match[1]), table.candidate
    if rows.ids is None:
        return True
    return not all(_same(rows.batch(i - i % times), rows.batch(i)) for i in range(len(rows)))


def rates(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    rates, at = table.both("lr"), _int(match[2])
    if rates is None or at >= table.shared or rates[0][at] == rates[1][at]:
        return True
    stated = float(match[1]), float(match[3])
    return not all(np.isclose(one[at], value, rtol=1e-5) for one, value in zip(rates, stated, strict=True))


def rates_all_through(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    rates, until = table.both("lr"), table.until
    return rates is None or not np.allclose(rates[0][:until], float(match[1]) * rates[1][:until], rtol=1e-4, atol=0)


def loss_scale(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    losses = [rows.column("loss").values[: table.shared] for rows in (table.candidate, table.reference)]
    until = table.until if match[1] is None else _int(match[1])
    losses = losses[0][:until], losses[1][:until]
    use = np.isfinite(losses[0]) & np.isfinite(losses[1])
    return not np.allclose(losses[0][use], float(match[2]) * losses[1][use], rtol=3e-3, atol=1e-12)


def first_losses(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    losses = [rows.column("loss").values for rows in (table.candidate, table.reference)]
    stated = float(match[1]), float(match[2])
    return table.first("loss") != 0 or not all(
        np.isclose(one[0], value, rtol=1e-5) for one, value in zip(losses, stated, strict=True)
    )


def slowly(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.result("loss") != "fail" or table.first("loss") != _int(match[1])


def agree_before(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    step = _int(match[1])
    return any(first < step for first in table.firsts)


def batches_of(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    sizes = table.candidate.batch_size[: _int(match[1]) if match[1] else None]
    return _int(match[2]) != int(sizes.max())


def due(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    have, noun, due, by, way = match.groups()
    if noun == "step":
        counts = len(table.candidate), len(table.reference)
    else:
        assert table.candidate.updates is not None
        assert table.reference.updates is not None
        counts = int(table.candidate.updates[-1]), int(table.reference.updates[-1])
    more = counts[0] > counts[1]
    return (_int(have), _int(due)) != counts or abs(counts[0] - counts[1]) != _int(by) or more != (way == "more")


def batch_missing(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    at, (a, b) = _int(match[1]), (table.candidate, table.reference)
    if at >= len(a) or at + 1 >= len(b):
        return False
    return not _same(a.batch(at), b.batch(at + 1)) or a.batch_size[at] != b.batch_size[at + 1]


def batch_again(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    earlier, at = _int(match[1]), _int(match[2])
    if at >= len(table.candidate) or earlier >= len(table.reference):
        return earlier < at
    return not _same(table.candidate.batch(at), table.reference.batch(earlier))


def batches_swapped(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    places = _int(match[1]), _int(match[2])
    if max(places) >= table.shared:
        return True
    pairs = zip(places, places[::-1], strict=True)
    return not all(_same(table.candidate.batch(i), table.reference.batch(j)) for i, j in pairs)


def samples_swapped(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b, i, j = map(_int, match.groups())
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    return a not in other.batch(i) or b not in other.batch(j) or a not in rows.batch(j) or b not in rows.batch(i)


def sample_in_step(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    new, step, old = map(_int, match.groups())
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    return new not in rows.batch(step) or old not in other.batch(step)


def sample_missing(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    sample, step = map(_int, match.groups())
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    times = [int((one.ids == sample).sum()) for one in (rows, other)]
    return sample not in other.batch(step) or (step < len(rows) and times[0] > times[1])


def never(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.ids is None or bool((table.candidate.ids == _int(match[1])).any())


def skips(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b = table.applied(table.candidate), table.applied(table.reference)
    return not all(
        _int(step) < table.shared and a[_int(step)] < b[_int(step)] for step in re.findall(r"\d[\d,]*", match[1])
    )


def too_many(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b = table.applied(table.candidate), table.applied(table.reference)
    return not all(
        _int(step) < table.shared and a[_int(step)] > b[_int(step)] for step in re.findall(r"\d[\d,]*", match[1])
    )


def counts_more(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    updates = table.both("updates")
    besides = any(", besides," in one.sentence for one in table.comparison.causes)  # which may make others differ too
    return updates is None or not (updates[0] - updates[1] == _int(match[1]))[: 1 if besides else None].all()


def one_late(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    updates = table.both("updates")
    return updates is None or not (
        (updates[1] - updates[0] == 1).all() or np.array_equal(updates[0][1:], updates[1][:-1])
    )


def each_pass(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """What is said of several passes needs several."""
    return table.candidate.ids is None or len(table.candidate) < 2


def stored(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """Ids go up, but for where passes begin."""
    rows = table.reference if cause.run != "B" else table.candidate
    if rows.ids is None:
        return True
    ids = rows.ids[: table.num_samples // 2]
    return bool((np.diff(ids) < 0).sum() > max(3, len(ids) // 3))


def goes_on(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    at, to = map(_int, match.groups())
    if at >= len(table.candidate) or to >= len(table.reference):
        return False
    return not _same(table.candidate.batch(at), table.reference.batch(to))


def one_step(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    by = len(table.candidate) - len(table.reference)
    return by != (1 if match[1] == "more" else -1) or _int(match[2]) != len(table.reference)


def never_updates(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.updates is None or bool(table.candidate.updates.any())


def every_step_updates(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.updates is None or bool((table.applied(table.candidate) != 1).any())


def epochs_of(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    labels, steps = table.candidate.epoch, _int(match[1])
    if labels is None:
        return False
    if any(", besides," in one.sentence for one in table.comparison.causes):
        return False  # which may be what makes one longer
    lengths = np.unique(labels, return_counts=True)[1]
    return bool((lengths[:-1] > steps).any())


def labels(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    step, column = _int(match[1]), match[2].replace(" ", "_")
    labels = [int(rows.column(column).values[step]) for rows in (table.candidate, table.reference)]
    return table.result("epochs") != "fail" or labels != [_int(match[3]), _int(match[4])]


def inside(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    return not all(_same(np.sort(rows.batch(i)), np.sort(other.batch(i))) for i in range(table.shared))


def constant(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    losses = table.candidate.column("loss").values
    return len(np.unique(losses[~np.isnan(losses)])) != 1


def outside(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    ids, n = table.candidate.ids, _int(match[2])
    if ids is None or not (ids >= table.num_samples).any():
        return True
    return len(np.unique(ids[(ids >= n) | (ids < 0)])) != _int(match[1])


def dropped(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    left, n, b = map(_int, match.groups())
    return n % b != left or bool((table.candidate.batch_size < table.candidate.batch_size.max()).any())


def remainder(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    n, b, r = map(_int, match.groups())
    return n % b != r


def distinct(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.ids is None or _int(match[2]) > len(table.candidate.ids)


def batches_lost(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    many, at = map(_int, match.groups())
    if at >= len(table.candidate) or at + many >= len(table.reference):
        return False
    return not _same(table.candidate.batch(at), table.reference.batch(at + many))


def ends_after(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return (_int(match[1]), _int(match[2])) != (len(table.candidate), len(table.reference))


def samples_due(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    size, step, due = map(_int, match.groups())
    return (size, due) != (int(table.candidate.batch_size[step]), int(table.reference.batch_size[step]))


def put_in(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    sample, step = map(_int, match.groups())
    counts = [np.count_nonzero(rows.batch(step) == sample) for rows in (table.candidate, table.reference)]
    return counts[0] == 0 or table.candidate.ids is None


def updates_after(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """Some window is as long as that; ends may cut the others short, or make gaps longer."""
    at = np.flatnonzero(table.applied(table.candidate))
    return _int(match[1]) not in np.diff(at, prepend=-1)


def alone(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.ids is None or len(np.unique(table.candidate.ids)) != _int(match[1])


def one_share(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    ids = table.candidate.ids
    return ids is None or len(np.unique(ids)) == len(ids)


def buffer(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    ids, n = table.candidate.ids, table.num_samples
    if ids is None:
        return True
    first = ids[:n] - np.arange(min(n, len(ids)))
    return bool((first > _int(match[2])).any())


def ids_listed(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.ids is None


def loss_at(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.first("loss") != _int(match[1])


def first_factor(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b = (float(rows.column("loss").values[0]) for rows in (table.candidate, table.reference))
    factor = _int(match[1])
    return not np.isclose(a, b / factor if "smaller" in match[2] else b * factor, rtol=3e-3)


def never_had(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b = table.candidate.ids, table.reference.ids
    return a is None or b is None or len(np.setdiff1d(a, b)) < _int(match[1])

"""What sentences claim, and how the table that they stand under refutes it.

A claim is a pattern in a sentence and what must then hold: of the checks' results, and of the rows of both sides as
they were recorded. Whether causes fit the table apart from their sentences, `tables` judges.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from math import lgamma, log

import numpy as np

from sweeps.attacks.tables import STRUCTURE, Table, misfits
from xframe.comparison.result import Explanation
from xframe.trace.rows import Rows

N = r"(\d[\d,]*)"
_SEEDS_TRIED = 5000  # an order that so many seeds would meet by chance shows no seed
_CHANCE = 1e-3


def _int(text: str) -> int:
    return int(text.replace(",", ""))


def _same(batch: np.ndarray | None, other: np.ndarray | None) -> bool:
    return batch is None or other is None or np.array_equal(batch, other)


# --- claims: each returns whether the table refutes it ---


def _no_failure(*checks: str) -> Callable[[re.Match[str], Table, Explanation], bool]:
    return lambda match, table, cause: bool(table.failed & set(checks))


def _every_loss(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.result("loss") != "pass" or table.both("loss") is None


def _gradients(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """Different gradients leave different weights, and show in the loss of a later step."""
    first = table.first("loss")
    return table.result("weights") == "pass" or not first or table.until <= first or table.result("lr") != "pass"


def _same_up_to(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.until <= _int(match[1])


def _seed(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """Orders are so many that none of the seeds that are tried gives these samples by chance."""
    if table.candidate.ids is None:
        return True
    n, shown = table.num_samples, min(len(np.unique(table.candidate.ids)), table.num_samples)
    return log(_SEEDS_TRIED) - (lgamma(n + 1) - lgamma(n - shown + 1)) > log(_CHANCE)


def _in_a_row(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    times, rows = int(match[1]), table.candidate
    if rows.ids is None:
        return True
    return not all(_same(rows.batch(i - i % times), rows.batch(i)) for i in range(len(rows)))


def _rates(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    rates, at = table.both("lr"), _int(match[2])
    if rates is None or at >= table.shared or rates[0][at] == rates[1][at]:
        return True
    stated = float(match[1]), float(match[3])
    return not all(np.isclose(one[at], value, rtol=1e-5) for one, value in zip(rates, stated, strict=True))


def _rates_all_through(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    rates, until = table.both("lr"), table.until
    return rates is None or not np.allclose(rates[0][:until], float(match[1]) * rates[1][:until], rtol=1e-4, atol=0)


def _loss_scale(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    losses = [rows.column("loss").values[: table.shared] for rows in (table.candidate, table.reference)]
    until = table.until if match[1] is None else _int(match[1])
    losses = losses[0][:until], losses[1][:until]
    use = np.isfinite(losses[0]) & np.isfinite(losses[1])
    return not np.allclose(losses[0][use], float(match[2]) * losses[1][use], rtol=3e-3, atol=1e-12)


def _first_losses(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    losses = [rows.column("loss").values for rows in (table.candidate, table.reference)]
    stated = float(match[1]), float(match[2])
    return table.first("loss") != 0 or not all(
        np.isclose(one[0], value, rtol=1e-5) for one, value in zip(losses, stated, strict=True)
    )


def _slowly(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.result("loss") != "fail" or table.first("loss") != _int(match[1])


def _agree_before(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    step = _int(match[1])
    return any(first < step for first in table.firsts)


def _batches_of(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return _int(match[1]) != int(table.candidate.batch_size.max())


def _due(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    have, noun, due, by, way = match.groups()
    if noun == "step":
        counts = len(table.candidate), len(table.reference)
    else:
        assert table.candidate.updates is not None
        assert table.reference.updates is not None
        counts = int(table.candidate.updates[-1]), int(table.reference.updates[-1])
    more = counts[0] > counts[1]
    return (_int(have), _int(due)) != counts or abs(counts[0] - counts[1]) != _int(by) or more != (way == "more")


def _batch_missing(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    at, (a, b) = _int(match[1]), (table.candidate, table.reference)
    if at >= len(a) or at + 1 >= len(b):
        return False
    return not _same(a.batch(at), b.batch(at + 1)) or a.batch_size[at] != b.batch_size[at + 1]


def _batch_again(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    earlier, at = _int(match[1]), _int(match[2])
    if at >= len(table.candidate) or earlier >= len(table.reference):
        return earlier < at
    return not _same(table.candidate.batch(at), table.reference.batch(earlier))


def _batches_swapped(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    places = _int(match[1]), _int(match[2])
    if max(places) >= table.shared:
        return True
    pairs = zip(places, places[::-1], strict=True)
    return not all(_same(table.candidate.batch(i), table.reference.batch(j)) for i, j in pairs)


def _samples_swapped(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b, i, j = map(_int, match.groups())
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    return a not in other.batch(i) or b not in other.batch(j) or a not in rows.batch(j) or b not in rows.batch(i)


def _sample_in_step(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    new, step, old = map(_int, match.groups())
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    return new not in rows.batch(step) or old not in other.batch(step)


def _sample_missing(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    sample, step = map(_int, match.groups())
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    times = [int((one.ids == sample).sum()) for one in (rows, other)]
    return sample not in other.batch(step) or (step < len(rows) and times[0] > times[1])


def _never(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.ids is None or bool((table.candidate.ids == _int(match[1])).any())


def _skips(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b = table.applied(table.candidate), table.applied(table.reference)
    return not all(_int(step) < table.shared and a[_int(step)] < b[_int(step)] for step in re.findall(N, match[1]))


def _too_many(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    a, b = table.applied(table.candidate), table.applied(table.reference)
    return not all(_int(step) < table.shared and a[_int(step)] > b[_int(step)] for step in re.findall(N, match[1]))


def _counts_more(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    updates = table.both("updates")
    return updates is None or not (updates[0] - updates[1] == _int(match[1])).all()


def _one_late(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    updates = table.both("updates")
    return updates is None or not (updates[1] - updates[0] == 1).all()


def _passes(rows: Rows, n: int) -> list[np.ndarray]:
    """The ids, cut every n: whole passes, where nothing is dropped."""
    assert rows.ids is not None
    return [rows.ids[at : at + n] for at in range(0, len(rows.ids), n)]


def _each_pass(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """What is said of several passes needs several."""
    return table.candidate.ids is None or len(table.candidate) < 2


def _stored(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    """Ids go up, but for where passes begin."""
    rows = table.reference if cause.run != "B" else table.candidate
    if rows.ids is None:
        return True
    ids = rows.ids[: table.num_samples // 2]
    return bool((np.diff(ids) < 0).sum() > max(3, len(ids) // 3))


def _goes_on(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    at, to = map(_int, match.groups())
    if at >= len(table.candidate) or to >= len(table.reference):
        return False
    return not _same(table.candidate.batch(at), table.reference.batch(to))


def _one_step(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    by = len(table.candidate) - len(table.reference)
    return by != (1 if match[1] == "more" else -1) or _int(match[2]) != len(table.reference)


def _never_updates(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.updates is None or bool(table.candidate.updates.any())


def _every_step_updates(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.updates is None or bool((table.applied(table.candidate) != 1).any())


def _epochs_of(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    labels, steps = table.candidate.epoch, _int(match[1])
    if labels is None:
        return False
    if any(", besides," in one.sentence for one in table.comparison.causes):
        return False  # which may be what makes one longer
    lengths = np.unique(labels, return_counts=True)[1]
    return bool((lengths[:-1] > steps).any())


def _labels(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return bool(table.failed - {"epochs", "validation"}) or table.first("epochs") != _int(match[1])


def _inside(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    rows, other = table.candidate, table.reference
    if rows.ids is None or other.ids is None:
        return True
    return not all(_same(np.sort(rows.batch(i)), np.sort(other.batch(i))) for i in range(table.shared))


def _constant(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    losses = table.candidate.column("loss").values
    return len(np.unique(losses[~np.isnan(losses)])) != 1


def _outside(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    ids, n = table.candidate.ids, _int(match[2])
    if ids is None or not (ids >= table.num_samples).any():
        return True
    return len(np.unique(ids[(ids >= n) | (ids < 0)])) != _int(match[1])


def _dropped(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    left, n, b = map(_int, match.groups())
    return n % b != left or bool((table.candidate.batch_size < table.candidate.batch_size.max()).any())


def _remainder(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    n, b, r = map(_int, match.groups())
    return n % b != r


def _distinct(match: re.Match[str], table: Table, cause: Explanation) -> bool:
    return table.candidate.ids is None or _int(match[2]) > len(table.candidate.ids)


Refuter = Callable[[re.Match[str], Table, Explanation], bool]
CLAIMS: dict[str, tuple[str, Refuter]] = {
    "nothing but the order": (r"nothing but the order", _no_failure("steps", "updates", "lr")),
    "samples and updates agree": (r"samples(?:, steps)? and updates(?! up to)", _no_failure(*STRUCTURE)),
    "samples and updates up to": (rf"samples and updates up to there, and different losses from step {N}", _same_up_to),
    "every loss agrees": (r"(?:every|all) loss(?:es)? agrees?", _every_loss),
    "the updates are the same": (r"the updates are the same", lambda m, t, c: t.until <= (c.step or 0)),
    "different gradients": (r"different gradients entered|other gradients entered", _gradients),
    "ends in different weights": (r"ends in different weights", lambda m, t, c: t.result("weights") != "fail"),
    "trains the same": (r"trains the same, and labels it differently: step (\d[\d,]*)", _labels),
    "a seed": (rf"seed {N}(?=[;)])", _seed),
    "in a row": (rf"every batch {N} times in a row", _in_a_row),
    "a rate": (r"trains at the rate (\S+) in step (\d[\d,]*), \S+ at (\S+?)(?=[,:;.]?(?: |$))", _rates),
    "rates all through": (r"at \S+, (\S+) times as high all through", _rates_all_through),
    "a scale": (rf"every loss of \S+(?: up to step {N}, .*?,)? is (\S+) times that", _loss_scale),
    "a constant loss": (r"every loss that \S+ reports is", _constant),
    "first losses": (r"the first loss already differs, (\S+) and (\S+):", _first_losses),
    "slowly": (rf"diverge slowly, beyond the tolerance from step {N} on", _slowly),
    "agrees before": (rf"agrees with .* before step {N}, and ends elsewhere", _agree_before),
    "batches of": (rf"takes batches of {N};", _batches_of),
    "due": (rf"{N} (step|update)s? where {N} (?:is|are) due, {N} (more|fewer)", _due),
    "batch missing": (rf"the batch of step {N} is missing, the next one follows", _batch_missing),
    "batch again": (rf"trains on the batch of step {N} again at step {N}, in place", _batch_again),
    "batches swapped": (rf"has the batches of steps {N} and {N} in each other's place", _batches_swapped),
    "samples swapped": (rf"has samples {N} and {N} in each other's place, in steps {N} and {N}", _samples_swapped),
    "sample in step": (rf"has sample {N} in step {N} in place of {N}", _sample_in_step),
    "sample missing": (rf"is without sample {N} of step {N}$", _sample_missing),
    "never a sample": (rf"never has sample {N}", _never),
    "skips": (r"skips the update of steps? ([\d, ]+)", _skips),
    "too many": (r"appl(?:ies) (?:an update|updates) too many at steps? ([\d, ]+)", _too_many),
    "counts more": (rf"counts {N} updates? more from its first step on", _counts_more),
    "one late": (r"has its updates one step late all through", _one_late),
    "each pass": (r"in every pass|again for each pass|in all of \d+ passes", _each_pass),
    "stored order": (r"goes through the samples in their stored order", _stored),
    "goes on": (rf"goes on from a different place at step {N}: with the batch of step {N}", _goes_on),
    "one step": (rf"makes one step (more|less) than the {N}", _one_step),
    "never updates": (r"never updates", _never_updates),
    "every step updates": (r"updates after every step;", _every_step_updates),
    "epochs of": (rf"has epochs of {N} steps?;", _epochs_of),
    "order inside": (r"has the same samples in every batch, in a different order", _inside),
    "from outside": (rf"trains on {N} samples? from outside the {N}", _outside),
    "dropped": (rf"drops the {N} samples? left over at the end of each pass \({N} mod {N}", _dropped),
    "mod": (rf"\({N} mod {N} = {N}\)", _remainder),
    "with replacement": (rf"with replacement: {N} different ones in {N} draws", _distinct),
}


def refuted(table: Table, read: Counter[str]) -> list[str]:
    """What of the comparison's causes its table refutes; counts in ``read`` what was claimed, or that nothing was."""
    wrong = []
    for cause in table.comparison.causes:
        claimed, part = 0, re.search(rf", in its first {N} steps?,", cause.sentence)
        whole, table = table, table.head(_int(part[1])) if part else table
        for name, (pattern, refuter) in CLAIMS.items():
            for match in re.finditer(pattern, cause.sentence):
                read[name] += 1
                claimed += 1
                # What is said besides is said of rows that another cause has changed already.
                if ", besides," not in cause.sentence and refuter(match, table, cause):
                    wrong.append(f"{name}: {cause.name}: {cause.sentence}")
        read[f"unread {cause.name}"] += not claimed
        table = whole
        if cause.name == "rounding" and "tol" in " ".join(cause.fix.values()):
            wrong.append(f"a looser tolerance is offered: {cause.fix}")
    return wrong + misfits(table)

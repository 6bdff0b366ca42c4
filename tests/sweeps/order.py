"""Do shuffled orders look drawn at random? Statistics with a known law for uniform permutations, as p-values.

``shuffle(n, seed, pass_index)`` is the order under test: an array whose entry i is the id at position i. A statistic
takes a table of such arrays, one permutation per row, the rows independent of each other. What is more even than
chance is not chance either: p-values are two-sided.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sweeps import Result
from xframe.plan.order import Order


def xframe_order(n, seed, pass_index=0):
    return Order(n, seed=seed).ids(pass_index)


def table(shuffle, n, seeds, pass_index=0):
    """The orders of one pass, a row for each seed."""
    return np.stack([shuffle(n, seed, pass_index) for seed in seeds])


def quotients(orders, others):
    """Row by row, where the other order has put what stands at each position: uniform where the two are independent."""
    found = np.empty_like(orders)
    np.put_along_axis(found, others, np.arange(orders.shape[1])[None, :], axis=1)
    return np.take_along_axis(found, orders, axis=1)


def chi_square(value, freedom):
    law = stats.chi2(freedom)
    if freedom < 10:  # counts can come out exactly even by chance
        return float(law.sf(value))
    return float(min(1.0, 2 * min(law.cdf(value), law.sf(value))))


def poisson(count, mean):
    law = stats.poisson(mean)
    return float(min(1.0, 2 * min(law.cdf(count), law.sf(count - 1))))


def goodness(observed, chances):
    """p-value of counts against the chances of each number, rare numbers taken together."""
    total = observed.sum()
    expected = total * chances
    edges = [0]
    for k in range(len(chances)):  # a new class wherever at least five are expected in it and after it
        if expected[edges[-1] : k + 1].sum() >= 5 and expected[k + 1 :].sum() >= 5:
            edges.append(k + 1)
    if len(edges) == 1:
        return 1.0
    observed, expected = np.add.reduceat(observed, edges), np.add.reduceat(expected, edges)
    return chi_square(((observed - expected) ** 2 / expected).sum(), len(edges) - 1)


def _derangements(m):
    """The share of permutations of m things that leave none in its place."""
    return sum((-1) ** i / math.factorial(i) for i in range(min(m, 25) + 1))


MOST = 20  # fixed points or successions counted apart; more are rarer than 1e-18


def _histogram(numbers):
    return np.bincount(np.minimum(numbers, MOST), minlength=MOST + 1)


def fixed_points(orders):
    """How many ids stand at their own position (mean 1, variance 1), against the exact law."""
    n = orders.shape[1]
    chances = [_derangements(n - k) / math.factorial(k) if k <= n else 0.0 for k in range(MOST + 1)]
    return goodness(_histogram((orders == np.arange(n)).sum(axis=1)), np.array(chances))


def successions(orders):
    """How often id x + 1 follows id x, against the exact law."""
    n = orders.shape[1]
    chances = [
        ((n - k) * _derangements(n - k) + _derangements(n - k - 1)) / (n * math.factorial(k)) if k < n else 0.0
        for k in range(MOST + 1)
    ]
    return goodness(_histogram((np.diff(orders, axis=1) == 1).sum(axis=1)), np.array(chances))


def _counts(rows, columns, n):
    """How often each id (columns) stood at each position (rows)."""
    return np.bincount((rows * n + columns).ravel(), minlength=n * n).reshape(n, n)


def places(orders):
    """Each id at each position: chi-square over all n * n cells.

    Rows and columns of the table have fixed sums, which leaves (n - 1)**2 degrees of freedom and makes the variance of
    a cell larger by n / (n - 1) than what Pearson's formula divides by.
    """
    seeds, n = orders.shape
    observed = _counts(np.arange(n)[None, :], orders, n)
    return chi_square(((observed - seeds / n) ** 2).sum() * (n - 1) / seeds, (n - 1) ** 2)


def pairs(orders):
    """Where two ids land together, over all cells (positions i < j; ids a, b), beyond what ``places`` sees.

    Two p-values: of which two ids stand at i and j, and of which of them comes first. The sums of squares of the cells
    count the coincidences among all pairs of rows: with F the fixed points and C the swaps of the quotient of two rows,
    which two ids: F(F-1)/2 + C - F, and which first: (F-1)(F-2)/2 - C. For uniform permutations these are characters of
    irreducible representations of dimension d, so that d**2 + d / seeds times their sum is chi-square with d**2
    degrees of freedom.
    """
    seeds, n = orders.shape
    first = int((_counts(np.arange(n)[None, :], orders, n).astype(np.int64) ** 2).sum())
    ordered = either = 0
    for i, j in itertools.combinations(range(n), 2):
        cells = _counts(orders[:, i], orders[:, j], n).astype(np.int64)
        ordered += int((cells * cells).sum())
        either += int((cells * cells.T).sum())
    # Sums over two different rows, in either sequence; a row with itself has F = n and no swaps.
    fixed = first - seeds * n
    couples = ordered - seeds * math.comb(n, 2)  # of F(F-1)/2
    swaps = either
    which = couples + swaps - fixed
    before = couples - fixed + seeds * (seeds - 1) - swaps
    found = []
    for total, d in ((which, n * (n - 3) // 2), (before, (n - 1) * (n - 2) // 2)):
        found.append(chi_square(d * d + d * total / seeds, d * d) if d > 0 else 1.0)
    return tuple(found)


def parity(orders):
    """Whether even and odd permutations are equally frequent."""
    seeds, n = orders.shape
    seen = np.zeros(orders.shape, dtype=bool)
    cycles = np.zeros(seeds, dtype=np.int64)
    rows = np.arange(seeds)
    for start in range(n):
        new = ~seen[:, start]
        cycles += new
        at = np.full(seeds, start)
        while new.any():
            seen[rows[new], at[new]] = True
            at = orders[rows, at]
            new &= ~seen[rows, at]
    odd = int(((n - cycles) % 2).sum())
    return float(stats.binomtest(odd, seeds, 0.5).pvalue)


def correlations(orders):
    """Two p-values, over all rows: of position and id, and of each id and the next. For n of hundreds or more."""
    n = orders.shape[1]
    ids = (orders - (n - 1) / 2) / math.sqrt((n * n - 1) / 12)
    at = (np.arange(n) - (n - 1) / 2) / math.sqrt((n * n - 1) / 12)
    own = (ids @ at) / n * math.sqrt(n - 1)
    following = ((ids[:, :-1] * ids[:, 1:]).sum(axis=1) + 1) / math.sqrt(n)  # its mean is -1 and its variance near n
    return tuple(chi_square(float((z * z).sum()), len(z)) for z in (own, following))


def blocks(orders, parts=8):
    """How many ids of each part of the data set stand in each part of the pass, over all rows; ``parts`` divides n."""
    seeds, n = orders.shape
    at = np.broadcast_to(np.arange(n) * parts // n, orders.shape)
    cells = np.bincount((at * parts + orders * parts // n).ravel(), minlength=parts * parts)
    expected = seeds * n / parts**2
    return chi_square(((cells - expected) ** 2 / expected).sum() * (n - 1) / n, (parts - 1) ** 2)


def is_permutation(ids):
    """No id missing and none twice."""
    return bool((np.bincount(ids, minlength=len(ids)) == 1).all())


def spread(n, positions, ids, parts=64):
    """The statistics of some ids of an order too large to look at whole, by name: each over equal parts of its range.

    Differences are modulo n. In unsigned arithmetic one below zero is a huge number, until n is added.
    """
    width = -(-n // parts)
    chances = np.diff([min(k * width, n) for k in range(parts + 1)]) / n
    x, y, size = positions.astype(np.uint64), ids.astype(np.uint64), np.uint64(n)
    before = np.roll(y, 1)
    ways = {"ids": y, "id - position": np.minimum(y - x, y - x + size)}
    ways["id - id before"] = np.minimum(y - before, y - before + size)
    found = {
        name: goodness(np.bincount((values // np.uint64(width)).astype(np.int64), minlength=parts), chances)
        for name, values in ways.items()
    }
    last_digits = (
        np.array([len(range(k, n, parts)) / n for k in range(parts)]) if n < 2**50 else np.full(parts, 1 / parts)
    )
    return found | {"last digits": goodness(np.bincount(ids % parts, minlength=parts), last_digits)}


def rounding(n, positions, ids):
    """Whether the rounding of (32 bits) * a / 2**32 in the even rounds shows in where ids go. For n above 2**50.

    The products, rounded down to [0, a), are not quite equally frequent but with the period 2**32 / a.
    """
    bits = (n - 1).bit_length()
    m = max(bits // 2, bits - 28)
    a = -(-n >> (m + 1)) * 2
    if 2**32 % a == 0:  # nothing is rounded
        return 1.0
    moved = ((ids >> m) - (positions >> m)) % a
    wave = np.exp(2j * np.pi * (moved * (2**32 / a) % 1))
    return float(np.exp(-(abs(wave.sum()) ** 2) / len(wave)))


def examine(orders):
    """The statistics of a table of small orders, by name."""
    which, before = pairs(orders)
    return {
        "places": places(orders),
        "pairs": which,
        "pairs' sequence": before,
        "fixed points": fixed_points(orders),
        "successions": successions(orders),
    }


def examine_large(orders):
    """The statistics of a table of larger orders, by name. Their pairs would be too many to count."""
    own, following = correlations(orders)
    return {
        "fixed points": poisson(int((orders == np.arange(orders.shape[1])).sum()), len(orders)),
        "successions": poisson(int((np.diff(orders, axis=1) == 1).sum()), len(orders)),
        "position and id": own,
        "id and next id": following,
        "blocks": blocks(orders),
    }


def examine_quotients(shuffle, n, seeds, what=examine):
    """The same, of each pass with the next and of each seed with the next."""
    orders = table(shuffle, n, [*seeds, seeds[-1] + 1])
    compared = {"next pass": table(shuffle, n, seeds, 1), "next seed": orders[1:]}
    return {
        f"{name}, {statistic}": p
        for name, others in compared.items()
        for statistic, p in what(quotients(orders[:-1], others)).items()
    }


def corrected(p_values):
    """The least of many p-values as if it were the only one (Bonferroni)."""
    p_values = list(p_values)
    return min(1.0, min(p_values) * len(p_values))


@dataclass
class Orders(Result):
    """``table``: the least p-values, as Markdown."""

    table: str = ""

    @property
    def text(self) -> str:
        return f"{self.cases:,} seeds of each small number of samples\n\n{self.table}"


def run(size: int, seed: int) -> Orders:
    """The least p-value of each statistic, over n = 2 to 50 with that many seeds and over larger n with fewer."""
    least = least_p_values(size, seed)
    lines = [f"n = 2 to 50, {size:,} seeds (quotients: half)", ""]
    lines += ["| statistic | least p | at n | corrected |", "| --- | --- | --- | --- |"]
    for name, found in least.items():
        lines.append(f"| {name} | {min(found)[0]:.2g} | {min(found)[1]} | {corrected([p for p, _ in found]):.2g} |")
    every = [p for found in least.values() for p, _ in found]
    overall = f"| all {len(every)} | {min(every):.2g} | | {corrected(every):.2g} |"
    lines.append(overall)
    lines += ["", "| n | seeds | least p of the order | corrected | of quotients | corrected |"]
    lines += ["| --- | --- | --- | --- | --- | --- |", *large_orders(size, seed)]
    lines += ["", "| n | ids | least p of random positions | of the first | rounding |", "| --- " * 5 + "|"]
    lines += huge_orders(size, seed)
    improbable = [overall] if corrected(every) < 1e-4 else []
    return Orders(size, improbable, "\n".join(lines))


def least_p_values(size, seed):
    """The p-values of each statistic, each with its n."""
    least = {}
    for n in range(2, 51):
        orders = table(xframe_order, n, range(seed, seed + size))
        found = examine(orders) | {"parity": parity(orders)}
        found |= examine_quotients(xframe_order, n, range(seed + 10**6, seed + 10**6 + size // 2))
        for name, p in found.items():
            least.setdefault(name, []).append((p, n))
    return least


def large_orders(size, seed):
    for n in (1000, 10_000, 100_000, 10**6):
        rows = range(seed, seed + min(size, 2 * 10**7 // n))
        orders = table(xframe_order, n, rows)
        assert all(map(is_permutation, orders))
        cells = [examine_large(orders), examine_quotients(xframe_order, n, rows, examine_large)]
        shown = " ".join(f"{min(c.values()):.2g} | {corrected(c.values()):.2g} |" for c in cells)
        yield f"| {n:,} | {len(rows):,} | {shown}"


def huge_orders(size, seed):
    for n in (10**9, 10**12, 10**15, 2**50, 2**60, 3 * 2**59, 2**61, 3 * 2**60, 2**62, 3 * 2**61, 2**63):
        order = Order(n, seed=seed)
        positions, first = np.random.default_rng(seed).integers(0, n, 200 * size), np.arange(200 * size)
        p_values = [corrected(spread(n, at, order.ids(0, at)).values()) for at in (positions, first)]
        p_values.append(rounding(n, positions, order.ids(0, positions)))
        yield f"| {n:.4g} | {len(positions):,} | " + " ".join(f"{p:.2g} |" for p in p_values)

"""The sample order, compared with a scalar implementation written from the text of ``xframe.plan.order``."""

import functools
import hashlib
import itertools
import math
import random
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import part
from sweeps import order as quality

from xframe.plan.order import VERSION, Order, first_samples

MASK = 2**64 - 1


@functools.lru_cache(maxsize=64)
def keys_of(n, seed, p, rounds):
    stream = hashlib.shake_256(f"xframe-order-1 n={n} seed={seed} pass={p}".encode()).digest(16 * rounds)
    words = [int.from_bytes(stream[i : i + 8], "little") for i in range(0, len(stream), 8)]
    return list(zip(words[::2], words[1::2], strict=True))


def scalar(n, seed, p, x):
    bits = (n - 1).bit_length()
    m = max(bits // 2, bits - 28)
    a = next(a for a in range(n // 2**m, n // 2**m + 3) if a % 2 == 0 and a * 2**m >= n)
    keys = keys_of(n, seed, p, max(8, 2 * math.ceil(40 / max(bits, 1))))

    def mixed(i, v):
        add, multiply = keys[i]
        h = (v * (multiply | 1) + add) & MASK
        h ^= h >> 32
        return h * 0x9E3779B97F4A7C15 & MASK

    while True:
        left, right = x >> m, x % 2**m
        for i in range(len(keys)):
            if i % 2 == 0:
                left = (left + ((mixed(i, right) >> 32) * a >> 32)) % a
            elif m:
                right ^= mixed(i, left) >> (64 - m)
        x = left << m | right
        if x < n:
            return x


SOME_N = [*range(1, 40), 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 1000, 1797, 4095, 4096, 4097, 65537]
HUGE_N = [2**31 - 1, 2**32, 2**32 + 1, 2**33 - 1, 10**15, 2**60 - 1, 2**60, 2**61, 2**61 + 1, 2**62 - 2**31, 2**62 - 1]
HUGE_N += [2**62, 2**62 + 1, 2**62 + 2**31, 3 * 2**61, 2**63 - 2**31 - 1, 2**63 - 2**31, 2**63 - 2, 2**63 - 1, 2**63]


@pytest.mark.parametrize("n", SOME_N)
def test_a_permutation_and_the_one_described(n):
    for seed, p in itertools.product([0, 1, 2**63 - 1], [0, 1, 77]):
        ids = Order(n, seed=seed).ids(p)
        assert ids.dtype == np.int64
        assert np.array_equal(np.sort(ids), np.arange(n))
        where = range(n) if n < 130 else random.Random(n).sample(range(n), 40)
        assert [int(ids[x]) for x in where] == [scalar(n, seed, p, x) for x in where]
        positions = Order(n, seed=seed).positions(p, np.arange(n))
        assert positions.dtype == np.int64
        assert np.array_equal(positions, np.argsort(ids))


@pytest.mark.parametrize("n", HUGE_N)
def test_huge_data_sets(n):
    rng = random.Random(n)
    where = [0, 1, n - 2, n - 1, *(rng.randrange(n) for _ in range(60))]
    for seed, p in ((0, 0), (2**63 - 1, 2**40)):
        ids = Order(n, seed=seed).ids(p, where)
        assert ids.tolist() == [scalar(n, seed, p, x) for x in where]
        assert len(set(ids.tolist())) == len(set(where))
        assert 0 <= ids.min() <= int(ids.max()) < n
        assert Order(n, seed=seed).positions(p, ids).tolist() == where
        assert scalar(n, seed, p, int(Order(n, seed=seed).positions(p, n - 1))) == n - 1


def test_vectors():
    assert VERSION == "xframe-order-1"
    assert Order(1).ids(0).tolist() == [0]
    assert Order(10).ids(0).tolist() == [2, 5, 6, 8, 0, 9, 4, 1, 3, 7]
    assert Order(10).ids(1).tolist() == [5, 2, 1, 8, 0, 4, 3, 9, 6, 7]
    assert Order(10, seed=1).ids(0).tolist() == [3, 2, 9, 5, 8, 1, 0, 4, 7, 6]
    assert Order(1797).ids(0, range(8)).tolist() == [1690, 596, 500, 33, 702, 860, 461, 1602]
    assert Order(10**15, seed=7).ids(3, [0, 1, 10**15 - 1]).tolist() == [
        722907192678931,
        588749302932580,
        443093614834668,
    ]
    assert Order(2**63 - 1, seed=2**63 - 1).ids(0, [0, 2**62, 2**63 - 2]).tolist() == [
        7241216233212107955,
        2210687080644903425,
        2171447137961362534,
    ]
    assert Order(2**63).ids(0, [0, 2**62, 2**63 - 1]).tolist() == [
        4136257842539697145,
        6891264904525537473,
        4464737498535596446,
    ]
    assert Order(10).positions(0, range(10)).tolist() == [4, 7, 0, 8, 6, 1, 2, 9, 3, 5]
    assert Order(10**15, seed=7).positions(3, [722907192678931, 443093614834668]).tolist() == [0, 10**15 - 1]


@given(st.integers(1, 3000), st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_random_access_is_the_whole(n, seed, p, data):
    order = Order(n, seed=seed)
    whole = order.ids(p)
    where = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=20)), dtype=np.int64)
    assert np.array_equal(order.ids(p, where), whole[where])
    assert np.array_equal(order.ids(p), whole)  # nothing was kept in between
    assert np.array_equal(order.positions(p, whole[where]), where)


def test_more_than_one_block_of_positions():
    n = 100_003
    ids = Order(n, seed=3).ids(2)
    assert np.array_equal(np.sort(ids), np.arange(n))
    where = [0, 32767, 32768, 65535, 65536, 98304, n - 1]
    assert ids[where].tolist() == [scalar(n, 3, 2, x) for x in where]
    assert np.array_equal(Order(n, seed=3).positions(2, ids), np.arange(n))


def test_more_positions_than_samples():
    """Walking goes over several blocks too, and some of it over several times."""
    where = np.random.default_rng(0).integers(0, 9, 300_000)
    order = Order(9, seed=1)
    ids = order.ids(0, where)
    assert np.array_equal(ids, order.ids(0)[where])
    assert np.array_equal(order.positions(0, ids), where)


def test_shape_follows_positions():
    order = Order(50, seed=1)
    whole = order.ids(0)
    grid = np.arange(50).reshape(5, 10)
    assert np.array_equal(order.ids(0, grid), whole.reshape(5, 10))
    assert order.ids(0, 7) == whole[7]
    assert order.ids(0, 7).shape == ()
    assert order.ids(0, []).shape == (0,)
    assert grid[0, 3] == 3  # the positions were not written to
    assert np.array_equal(order.ids(0, grid.T), whole.reshape(5, 10).T)
    assert np.array_equal(order.ids(0, grid[::2, ::-3]), whole.reshape(5, 10)[::2, ::-3])
    assert np.array_equal(order.positions(0, whole.reshape(5, 10).T), grid.T)
    assert order.positions(0, whole[7]) == 7
    assert order.positions(0, whole[7]).shape == ()
    assert order.positions(0, []).shape == (0,)
    assert order.positions(0, whole.astype(np.uint8)).tolist() == list(range(50))


def test_reshuffle():
    every, first = Order(50), Order(50, reshuffle=False)
    assert np.array_equal(every.ids(0), first.ids(0))
    assert np.array_equal(first.ids(0), first.ids(9))
    assert np.array_equal(first.positions(9, first.ids(0)), np.arange(50))
    assert len({every.ids(p).tobytes() for p in range(20)}) == 20
    assert len({Order(50, seed=seed).ids(0).tobytes() for seed in range(20)}) == 20


@pytest.mark.parametrize("n", [1, 2, 50])
def test_sequential(n):
    order = Order(n, kind="sequential", seed=5)
    assert order.ids(0).tolist() == order.ids(3).tolist() == list(range(n))
    assert order.ids(1, [n - 1, 0]).tolist() == order.positions(1, [n - 1, 0]).tolist() == [n - 1, 0]
    positions = np.arange(n)
    order.ids(0, positions)[:] = -1
    assert positions.tolist() == list(range(n))  # a copy


@pytest.mark.parametrize("kind", ["sequential", "shuffle"])
@pytest.mark.parametrize("outside", [[-1], [10], [0, 10], [[3, -2]], 10, 2**63, [2**64, -1], np.array([2**64 - 1])])
def test_out_of_range(kind, outside):
    with pytest.raises(IndexError, match=r"positions must lie in \[0, 10\)"):
        Order(10, kind=kind).ids(0, outside)
    with pytest.raises(IndexError, match=r"ids must lie in \[0, 10\)"):
        Order(10, kind=kind).positions(0, outside)


@pytest.mark.parametrize("kind", ["sequential", "shuffle"])
def test_out_of_the_largest_range(kind):
    for outside in (2**63, -1, -(2**63), np.uint64(2**63), np.array([0, 2**63], dtype=np.uint64)):
        with pytest.raises(IndexError):
            Order(2**63, kind=kind).ids(0, outside)
        with pytest.raises(IndexError):
            Order(2**63, kind=kind).positions(0, outside)


def test_what_counts_as_an_integer():
    """Equal numbers name the same order, whichever was asked for first."""
    for seed in (1, np.int64(1), True):
        assert Order(10, seed=seed).ids(np.int32(0)).tolist() == [3, 2, 9, 5, 8, 1, 0, 4, 7, 6]
    assert np.array_equal(Order(np.int64(10)).ids(0), Order(10).ids(0))
    with pytest.raises(TypeError):
        Order(10, seed=1.0).ids(0)
    with pytest.raises(TypeError):
        Order(10).ids(0.0)


def test_threads():
    order = Order(1000, seed=4)
    expected = [order.ids(p) for p in range(100)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda k: order.ids(k % 100), range(400)))
        where = list(threads.map(lambda k: order.positions(k % 100, expected[k % 100]), range(400)))
    assert all(np.array_equal(found[k], expected[k % 100]) for k in range(400))
    assert np.array_equal(where, np.tile(np.arange(1000), (400, 1)))


@pytest.mark.parametrize("n", [10**15, 2**63])
def test_memory(n):
    where = np.arange(n - 64, n, dtype=np.uint64)
    tracemalloc.start()
    try:
        ids = Order(n).ids(1, where)
        Order(n).positions(1, ids)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# Chance. The seeds are fixed, so none of these fails by luck. A larger run, in tests/: python -m sweeps order 20000


def assert_chance(p_values):
    least = min(p_values, key=p_values.get)
    assert quality.corrected(p_values.values()) > 1e-4, f"{least}: {p_values[least]:.2g} of {len(p_values)}"


@pytest.mark.parametrize(
    ("n", "seeds", "threshold"), [(2, 1000, 10.83), (3, 1500, 20.52), (4, 2400, 49.73), (5, 3600, 172.4)]
)
def test_all_permutations_are_equally_frequent(n, seeds, threshold):
    found = Counter(tuple(Order(n, seed=seed).ids(0).tolist()) for seed in range(seeds))
    expected = seeds / math.factorial(n)
    chi_square = sum((found[p] - expected) ** 2 / expected for p in itertools.permutations(range(n)))
    assert chi_square < threshold  # the 99.9 % quantiles


SMALL_N = [2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 49, 50]


@pytest.mark.sweep
@pytest.mark.thorough
@pytest.mark.parametrize(("sizes", "seeds"), [(range(2, 51), part(400)), (SMALL_N, part(1200))])
def test_small_orders(sizes, seeds, record_property):
    record_property(
        "sample", f"order: {len(sizes)} sizes from {min(sizes)} to {max(sizes)}, {seeds:,} seeds each, against chance"
    )
    p_values = {}
    for n in sizes:
        orders = quality.table(quality.xframe_order, n, range(seeds))
        p_values |= {(n, name): p for name, p in quality.examine(orders).items()}
    assert_chance(p_values)


@pytest.mark.sweep
@pytest.mark.thorough
@pytest.mark.parametrize("seeds", [part(500)])
def test_consecutive_small_orders_are_independent(seeds):
    p_values = {}
    for n in SMALL_N:
        found = quality.examine_quotients(quality.xframe_order, n, range(10**6, 10**6 + seeds))
        p_values |= {(n, name): p for name, p in found.items()}
    assert_chance(p_values)


@pytest.mark.parametrize(("n", "seeds"), [(1000, 200), (10_000, 40), (100_000, 12), (10**6, 3)])
def test_larger_orders(n, seeds):
    orders = quality.table(quality.xframe_order, n, range(seeds))
    assert all(map(quality.is_permutation, orders))
    quotients = quality.examine_quotients(quality.xframe_order, n, range(seeds), quality.examine_large)
    assert_chance(quality.examine_large(orders) | quotients)


@pytest.mark.parametrize("asked", [200_000])
@pytest.mark.parametrize("n", [10**9, 10**12, 10**15, 2**61, 2**63])
def test_the_largest_orders(n, asked):
    scattered = np.random.default_rng(0).integers(0, n, asked)
    for where in (scattered, np.arange(asked), np.arange(0, n, n // asked)[:asked]):
        assert_chance(quality.spread(n, where, Order(n).ids(0, where)))


@pytest.mark.parametrize("seeds", [500])
def test_both_parities_are_equally_frequent(seeds):
    assert_chance({n: quality.parity(quality.table(quality.xframe_order, n, range(seeds))) for n in SMALL_N})


@pytest.mark.parametrize("n", [10**15, 3 * 2**59, 3 * 2**60, 5 * 2**60, 3 * 2**61])
def test_rounding_does_not_show(n):
    where = np.arange(10**6)
    assert quality.rounding(n, where, Order(n).ids(0, where)) > 1e-4


# The statistics themselves, on orders that are not drawn at random.


def uniform(n, seed, pass_index=0):
    return np.random.default_rng([seed, pass_index]).permutation(n)


def identity(n, seed, pass_index=0):
    return np.arange(n)


def rotation(n, seed, pass_index=0):
    return (np.arange(n) + seed + pass_index) % n


def congruential(n, seed, pass_index=0):
    rng = np.random.default_rng([seed, pass_index])
    factor = rng.choice([a for a in range(1, 200) if math.gcd(a, n) == 1])
    return (factor * np.arange(n) + rng.integers(n)) % n


def two_rounds(n, seed, pass_index=0):
    side = math.isqrt(n)
    left, right = np.divmod(np.arange(n), side)
    rng = np.random.default_rng([seed, pass_index])
    left = (left + rng.integers(side, size=side)[right]) % side
    return left * side + (right + rng.integers(side, size=side)[left]) % side


def buffered(n, seed, pass_index=0):
    """What a shuffle buffer of a tenth of the data set gives."""
    rng = np.random.default_rng([seed, pass_index])
    buffer, out = list(range(n // 10)), []
    for following in [*range(n // 10, n), *[None] * (n // 10)]:
        k = rng.integers(len(buffer))
        out.append(buffer[k])
        buffer[k] = buffer[-1] if following is None else following
        if following is None:
            buffer.pop()
    return np.array(out)


def mirrored(n, seed, pass_index=0):
    """Each pass by itself is uniform, but every other is the one before turned around."""
    ids = uniform(n, seed, pass_index // 2)
    return ids[::-1] if pass_index % 2 else ids


def mirrored_seeds(n, seed, pass_index=0):
    return mirrored(n, pass_index, seed)


def test_uniform_orders_pass():
    for n in (2, 3, 4, 16, 36):
        assert_chance(quality.examine(quality.table(uniform, n, range(600))))
        assert_chance(quality.examine_quotients(uniform, n, range(600)))
        assert quality.parity(quality.table(uniform, n, range(600))) > 1e-3
    assert_chance(quality.examine_large(quality.table(uniform, 1000, range(40))))


@pytest.mark.parametrize(
    ("bad", "caught_by"),
    [
        (identity, {"places", "pairs", "pairs' sequence", "fixed points", "successions"}),
        (rotation, {"places", "pairs", "pairs' sequence", "fixed points", "successions"}),
        (congruential, {"pairs", "fixed points", "successions"}),
        (two_rounds, {"pairs", "pairs' sequence", "fixed points", "successions"}),
    ],
)
def test_small_bad_orders_are_caught(bad, caught_by):
    for n in (16, 36):
        found = quality.examine(quality.table(bad, n, range(600)))
        assert {name for name, p in found.items() if p < 1e-6} >= caught_by


@pytest.mark.parametrize(
    ("bad", "caught_by"),
    [
        (identity, {"fixed points", "successions", "position and id", "id and next id", "blocks"}),
        (rotation, {"fixed points", "successions", "position and id", "id and next id", "blocks"}),
        (congruential, {"successions", "id and next id"}),
        (buffered, {"fixed points", "successions", "position and id", "id and next id", "blocks"}),
    ],
)
def test_larger_bad_orders_are_caught(bad, caught_by):
    found = quality.examine_large(quality.table(bad, 1000, range(40)))
    assert {name for name, p in found.items() if p < 1e-6} >= caught_by


@pytest.mark.parametrize(
    ("bad", "caught_in"),
    [(mirrored, {"next pass"}), (mirrored_seeds, {"next seed"}), (rotation, {"next pass", "next seed"})],
)
def test_dependent_orders_are_caught(bad, caught_in):
    found = quality.examine_quotients(bad, 16, range(600))
    assert {name.split(",")[0] for name, p in found.items() if p < 1e-6} == caught_in


def test_huge_bad_orders_are_caught():
    n = 10**15
    where = np.arange(20_000)
    spaced = where * (n // 20_000)
    for name, ids in (("ids", where), ("id - position", (spaced + 7) % n), ("id - id before", spaced * 3 % n)):
        assert quality.spread(n, spaced, ids)[name] < 1e-6
    assert quality.spread(n, where, spaced // 64 * 64)["last digits"] < 1e-6


def test_repeated_ids_are_caught():
    assert quality.is_permutation(np.array([2, 0, 1]))
    assert not quality.is_permutation(np.array([2, 0, 2]))


def test_no_global_random_state():
    before = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    Order(100).ids(0)
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before  # noqa: NPY002


@pytest.mark.parametrize("n", [2, 3, 5, 64, 65, 1797, 10**9 + 7, 2**63])
def test_the_first_samples_under_many_seeds(n):
    seeds = (0, 1, 7, 12345, *range(50, 150))
    assert first_samples(n, seeds).tolist() == [int(Order(n, "shuffle", seed).ids(0, 0)) for seed in seeds]
    assert first_samples(n, ()).tolist() == []

"""The sample order, held against a scalar implementation written from the text of ``xframe.order``."""

import functools
import hashlib
import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xframe.order import VERSION, Order

MASK = 2**64 - 1


@functools.lru_cache(maxsize=64)
def keys_of(n, seed, p, rounds):
    stream = hashlib.shake_256(f"xframe-order-1 n={n} seed={seed} pass={p}".encode()).digest(16 * rounds)
    words = [int.from_bytes(stream[i : i + 8], "little") for i in range(0, len(stream), 8)]
    return list(zip(words[::2], words[1::2], strict=True))


def scalar(n, seed, p, x):
    bits = (n - 1).bit_length()
    m = bits // 2
    a = math.ceil(n / 2**m) if n < 2**50 else -(-n // 2**m)
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
HUGE_N = [2**31 - 1, 2**32, 2**32 + 1, 2**33 - 1, 10**15, 2**61 + 1, 2**62, 2**62 + 1, 2**63 - 2, 2**63 - 1]


@pytest.mark.parametrize("n", SOME_N)
def test_a_permutation_and_the_one_described(n):
    for seed, p in itertools.product([0, 1, 2**63 - 1], [0, 1, 77]):
        ids = Order(n, seed=seed).ids(p)
        assert ids.dtype == np.int64
        assert np.array_equal(np.sort(ids), np.arange(n))
        where = range(n) if n < 130 else random.Random(n).sample(range(n), 40)
        assert [int(ids[x]) for x in where] == [scalar(n, seed, p, x) for x in where]


@pytest.mark.parametrize("n", HUGE_N)
def test_huge_data_sets(n):
    rng = random.Random(n)
    where = [0, 1, n - 2, n - 1, *(rng.randrange(n) for _ in range(60))]
    for seed, p in ((0, 0), (2**63 - 1, 2**40)):
        ids = Order(n, seed=seed).ids(p, where)
        assert ids.tolist() == [scalar(n, seed, p, x) for x in where]
        assert len(set(ids.tolist())) == len(set(where))
        assert 0 <= ids.min() <= ids.max() < n


def test_vectors():
    assert VERSION == "xframe-order-1"
    assert Order(1).ids(0).tolist() == [0]
    assert Order(10).ids(0).tolist() == [3, 5, 7, 1, 4, 2, 0, 8, 9, 6]
    assert Order(10).ids(1).tolist() == [9, 7, 4, 1, 6, 2, 8, 5, 3, 0]
    assert Order(10, seed=1).ids(0).tolist() == [1, 0, 3, 5, 6, 7, 9, 4, 2, 8]
    assert Order(1797).ids(0, range(8)).tolist() == [1480, 1355, 959, 1490, 1299, 475, 1470, 1379]
    assert Order(10**15, seed=7).ids(3, [0, 1, 10**15 - 1]).tolist() == [
        245333350207274,
        208111250199592,
        443093614834668,
    ]
    assert Order(2**63 - 1, seed=2**63 - 1).ids(0, [0, 2**62, 2**63 - 2]).tolist() == [
        3702774718529332845,
        7057870344784882869,
        7546185606893376608,
    ]


@given(st.integers(1, 3000), st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_random_access_is_the_whole(n, seed, p, data):
    order = Order(n, seed=seed)
    whole = order.ids(p)
    where = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=20)), dtype=np.int64)
    assert np.array_equal(order.ids(p, where), whole[where])
    assert np.array_equal(order.ids(p), whole)  # nothing was kept in between


def test_more_than_one_block_of_positions():
    n = 100_003
    ids = Order(n, seed=3).ids(2)
    assert np.array_equal(np.sort(ids), np.arange(n))
    where = [0, 32767, 32768, 65535, 65536, 98304, n - 1]
    assert ids[where].tolist() == [scalar(n, 3, 2, x) for x in where]


def test_shape_follows_positions():
    order = Order(50, seed=1)
    whole = order.ids(0)
    grid = np.arange(50).reshape(5, 10)
    assert np.array_equal(order.ids(0, grid), whole.reshape(5, 10))
    assert order.ids(0, 7) == whole[7]
    assert order.ids(0, 7).shape == ()
    assert order.ids(0, []).shape == (0,)
    assert grid[0, 3] == 3  # the positions were not written to


def test_reshuffle():
    every, first = Order(50), Order(50, reshuffle=False)
    assert np.array_equal(every.ids(0), first.ids(0))
    assert np.array_equal(first.ids(0), first.ids(9))
    assert len({every.ids(p).tobytes() for p in range(20)}) == 20
    assert len({Order(50, seed=seed).ids(0).tobytes() for seed in range(20)}) == 20


@pytest.mark.parametrize("n", [1, 2, 50])
def test_sequential(n):
    order = Order(n, kind="sequential", seed=5)
    assert order.ids(0).tolist() == order.ids(3).tolist() == list(range(n))
    assert order.ids(1, [n - 1, 0]).tolist() == [n - 1, 0]
    positions = np.arange(n)
    order.ids(0, positions)[:] = -1
    assert positions.tolist() == list(range(n))  # a copy


@pytest.mark.parametrize("kind", ["sequential", "shuffle"])
@pytest.mark.parametrize("positions", [[-1], [10], [0, 10], [[3, -2]], 10])
def test_position_out_of_range(kind, positions):
    with pytest.raises(IndexError, match=r"positions must lie in \[0, 10\)"):
        Order(10, kind=kind).ids(0, positions)


# Chance. The seeds are fixed, so these cannot fail by luck; the thresholds are the 99.9 % quantiles.


@pytest.mark.parametrize(
    ("n", "seeds", "threshold"), [(2, 1000, 10.83), (3, 1500, 20.52), (4, 2400, 49.73), (5, 3600, 172.4)]
)
def test_all_permutations_are_equally_frequent(n, seeds, threshold):
    found = Counter(tuple(Order(n, seed=seed).ids(0).tolist()) for seed in range(seeds))
    expected = seeds / math.factorial(n)
    chi_square = sum((found[p] - expected) ** 2 / expected for p in itertools.permutations(range(n)))
    assert chi_square < threshold


@pytest.mark.parametrize(("n", "passes"), [(5, 1000), (50, 600), (1797, 200)])
def test_consecutive_passes_are_independent(n, passes):
    """Two independent permutations agree at one place on average, with variance 1."""
    orders = [Order(n, seed=11).ids(p) for p in range(passes)]
    agreements = [int((a == b).sum()) for a, b in itertools.pairwise(orders)]
    assert abs(np.mean(agreements) - 1) < 3.3 / math.sqrt(passes - 1)
    assert 0.6 < np.var(agreements) < 1.4


def test_every_sample_stands_everywhere():
    n, seeds = 7, 2100
    table = np.zeros((n, n))
    for seed in range(seeds):
        table[np.arange(n), Order(n, seed=seed).ids(seed % 3)] += 1
    chi_square = ((table - seeds / n) ** 2 / (seeds / n)).sum()
    assert chi_square < 67.98  # 36 degrees of freedom


def test_no_global_random_state():
    before = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    Order(100).ids(0)
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before  # noqa: NPY002

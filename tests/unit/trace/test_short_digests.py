"""Digests of many small batches, which are made together: they are those that xxhash makes one by one."""

import random

import numpy as np
import pytest
from sampling import part
from xxhash import xxh3_128_digest

from xframe.trace import xxh3
from xframe.trace.certificate import fingerprint, ids_digests
from xframe.trace.schema import Column, unknown_column

HIGH = 1 << 64


def one_by_one(rows):
    return b"".join(xxh3_128_digest(np.asarray(row, "<u8").tobytes()) for row in rows)


@pytest.mark.parametrize("words", range(1, xxh3.LONGEST + 1))
@pytest.mark.sweep(fewest=xxh3.LONGEST)
def test_inputs_of_any_short_length(words):
    pick = np.random.default_rng(words)
    inputs = pick.integers(0, HIGH, (200, words), dtype=np.uint64)
    inputs[:60] >>= pick.integers(0, 64, (60, words), dtype=np.uint64)  # numbers of any size
    inputs[60], inputs[61], inputs[62, ::2] = 0, HIGH - 1, HIGH - 1
    assert xxh3.digests(inputs).tobytes() == one_by_one(inputs)
    assert xxh3.digests(inputs[:0]).shape == (0,)


def test_more_inputs_than_are_made_at_once(monkeypatch):
    inputs = np.arange(300, dtype=np.uint64).reshape(100, 3)
    monkeypatch.setattr(xxh3, "_AT_ONCE", 7)
    assert xxh3.digests(inputs).tobytes() == one_by_one(inputs)


def test_batches_of_any_sizes():
    count = part(200)
    for case in range(count):
        pick = random.Random(case)
        usual, batches = pick.choice([0, 1, 2, 4, 16, 17, 40]), pick.choice([0, 1, 60, 200, 500])
        odd = pick.choice([0, 0.01, 0.3])
        sizes = [pick.randint(0, 20) if pick.random() < odd else usual for _ in range(batches)]
        rows = [[pick.randrange(1 << pick.choice([8, 40, 62])) for _ in range(size)] for size in sizes]
        ids = b"".join(np.asarray(row, "<i8").tobytes() for row in rows)
        for given in (ids, memoryview(ids)):
            assert ids_digests(given, np.array(sizes, np.int64)).values.tobytes() == one_by_one(rows)
    assert count >= 1


def test_equal_columns_have_equal_fingerprints():
    values, known = np.arange(50), np.arange(50) > 7
    columns = [Column(values), Column(values + 1), Column(values, known), Column(values, ~known), Column(values[:49])]
    prints = [fingerprint(column) for column in columns]
    assert len(set(prints)) == len(columns)
    assert prints == [fingerprint(Column(values.copy(), known)) for values, known in columns]
    assert fingerprint(unknown_column("lr", 9)) == fingerprint(unknown_column("updates", 5)) == b""

"""Samples in memory, in memory maps and in Parquet files: the same samples, by id, and no more of them in memory."""

import functools
import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import xframe
from xframe.running import registry
from xframe.tasks.data import Arrays, Samples, Source, fingerprint
from xframe.tasks.lookup import find_task
from xframe.testing import observe

DIGITS = find_task("digits-mlp")
PLAN = xframe.TrainingPlan(batch_size=64, steps=40)


def mapped(folder):
    features, targets = DIGITS.data("float64")
    for name, values in (("x", features), ("y", targets)):
        np.save(folder / f"{name}.npy", values)
    return lambda: tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")


def parquet_file(folder, rows=100):
    features, targets = DIGITS.data("float64")
    lists = pa.FixedSizeListArray.from_arrays(features.ravel(), 64)
    parquet.write_table(pa.table({"pixels": lists, "digit": targets}), folder / "digits.parquet", row_group_size=rows)
    return lambda: xframe.ParquetSource(folder / "digits.parquet", ["pixels"], "digit", cache_bytes=200_000)


SOURCES = {"mapped": mapped, "parquet": parquet_file}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_same_samples_by_id(tmp_path, source, precision):
    samples, features = replace(DIGITS, load=source(tmp_path)).samples(precision), DIGITS.data(precision)[0]
    assert samples.arrays is None
    assert len(samples) == 1797
    for ids in ([3], [5, 1796, 0, 5], np.random.RandomState(0).permutation(1797)):
        x, y = samples.take(np.array(ids))
        assert x.dtype == precision
        assert y.dtype == np.int64
        assert np.array_equal(x, features[ids])
        assert np.array_equal(y, DIGITS.data(precision)[1][ids])


def trained(name, task, workers, path):
    name, _, loop = name.partition(":")
    return observe(registry.load(name), PLAN, task, path, workers=workers, loop=loop or None)


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory):
    """The run of an adapter's loop whose samples are arrays, by their names."""
    return functools.cache(lambda name: trained(name, DIGITS, 0, tmp_path_factory.mktemp("runs") / "run.trace"))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("name", ["numpy", "torch", "tensorflow:block", "tensorflow:function", "tensorflow:fit"])
def test_a_run_is_the_same_wherever_the_samples_are(in_memory, tmp_path, name, source, workers):
    task = replace(DIGITS, load=source(tmp_path))
    run, reference = trained(name, task, workers, tmp_path / "run.trace"), in_memory(name)
    assert reference.certificate == run.certificate
    assert reference.end["weights"] == run.end["weights"]
    assert np.array_equal(reference.column("loss"), run.column("loss"))


def test_what_is_kept_of_a_file_is_bounded(tmp_path):
    """Sixteen times its cache: reading all of it in any order keeps little more than the cache."""
    rows, width = 40_000, 50
    table = {f"x{i}": np.arange(rows) + i / 64 for i in range(width)} | {"y": np.arange(rows)}
    parquet.write_table(pa.table(table), tmp_path / "large.parquet", row_group_size=1000)
    source = xframe.ParquetSource(
        tmp_path / "large.parquet", [f"x{i}" for i in range(width)], "y", cache_bytes=1_000_000
    )
    tracemalloc.start()
    for batch in np.arange(rows).reshape(-1, 500)[::-1]:
        x, y = source.take(batch)
        assert np.array_equal(y, batch)
        assert np.array_equal(x[:, 3], batch + 3 / 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    assert rows * width * 8 == 16_000_000


def test_a_source_travels_to_workers(tmp_path):
    source = parquet_file(tmp_path)()
    source.take(np.array([1]))
    copy = pickle.loads(pickle.dumps(source))
    assert np.array_equal(copy.take(np.arange(7))[0], source.take(np.arange(7))[0])
    assert isinstance(source, Source)


def test_fingerprints_read_in_parts(monkeypatch):
    arrays = {"features": np.arange(1000.0).reshape(10, 100)}
    whole = fingerprint(arrays)
    monkeypatch.setattr("xframe.tasks.data._CHUNK", 1700)
    assert fingerprint(arrays) == whole
    assert Arrays(arrays["features"], np.zeros(10)).fingerprint() != whole


def test_fingerprint_of_a_file(tmp_path):
    first, second = (parquet_file(tmp_path, rows)().fingerprint() for rows in (100, 200))
    assert first != second


@pytest.mark.parametrize(
    ("features", "target", "message"),
    [
        (["pixels", "none"], "digit", "a Parquet source's columns: got none, expected some of pixels, digit"),
        ([], "digit", "got no features"),
        (["pixels"], "label", "got label"),
    ],
)
def test_unknown_columns(tmp_path, features, target, message):
    parquet_file(tmp_path)
    with pytest.raises(xframe.UsageError, match=message):
        xframe.ParquetSource(tmp_path / "digits.parquet", features, target)


def test_lists_of_other_lengths(tmp_path):
    parquet.write_table(pa.table({"x": [[1.0], [1.0, 2.0]], "y": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(xframe.UsageError, match="expected lists of one length"):
        xframe.ParquetSource(tmp_path / "a.parquet", ["x"], "y").take(np.array([0]))


@pytest.mark.parametrize("content", [None, b"PAR1 and nothing more"])
def test_a_file_that_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(xframe.UsageError, match="cannot read the Parquet file"):
        xframe.ParquetSource(tmp_path / "a.parquet", ["x"], "y")


def test_another_number_of_samples(tmp_path):
    task = replace(DIGITS, num_samples=1796, load=parquet_file(tmp_path))
    with pytest.raises(xframe.UsageError, match="got 1797 samples, expected num_samples = 1796"):
        task.samples("float32")


def test_validation_from_a_file(tmp_path):
    """A source is read whole, since every validation needs all of it."""
    load = parquet_file(tmp_path)
    task = replace(DIGITS, validation=load, num_validation=1797)
    assert np.array_equal(task.validation_data("float64")[0], DIGITS.data("float64")[0])
    with pytest.raises(xframe.UsageError, match="got 1797 validation samples, expected num_validation = 7"):
        replace(DIGITS, validation=load, num_validation=7).validation_data("float64")


def test_arrays_stay_in_memory():
    samples = DIGITS.samples("float32")
    assert samples.arrays is not None
    assert isinstance(samples, Samples)
    assert samples.take(np.array([1, 0]))[0].tolist() == samples.arrays[0][[1, 0]].tolist()

"""Final weights beside a trace, and the digests that vouch for them."""

import numpy as np
import pytest

import xframe
from xframe.trace.weights import array_digest, weights_path, write_weights

EARLIER = ".npz"  # what lies beside traces of earlier versions


def test_weights_beside_the_trace(runs, some_rows):
    weights = {"dense_0/kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "dense_0/bias": np.zeros(3)}
    trace = runs(some_rows, weights=weights)
    file = weights_path(trace.path)
    assert file == runs.folder / "run.weights.safetensors"
    read = trace.weights()
    assert {name: (values.dtype, values.tolist()) for name, values in read.items()} == {
        name: (values.dtype, values.tolist()) for name, values in weights.items()
    }
    assert trace.end["weights"] == {name: array_digest(values) for name, values in weights.items()}
    assert runs(some_rows, "none").weights() is None
    file.unlink()
    assert trace.weights() is None


@pytest.mark.parametrize(
    "tampered",
    [
        {"w": np.array([1.0, 2.0, 3.5])},
        {"w": np.array([1.0, 2.0, 3.0], dtype=np.float32)},
        {"w": np.array([[1.0, 2.0, 3.0]])},
        {"v": np.array([1.0, 2.0, 3.0])},
        {"w": np.array([1.0, 2.0, 3.0]), "v": np.zeros(1)},
        {},
    ],
    ids=["value", "type", "shape", "name", "one more", "none"],
)
@pytest.mark.parametrize("archived", [False, True])
def test_other_weights(runs, some_rows, tampered, archived):
    trace = runs(some_rows, weights={"w": np.array([1.0, 2.0, 3.0])})
    if archived:
        _archive(trace.path, tampered)
    else:
        write_weights(trace.path, tampered)
    with pytest.raises(xframe.TraceError, match="is damaged"):
        trace.weights()


def _archive(trace, weights):
    """As earlier versions kept them."""
    weights_path(trace).unlink(missing_ok=True)
    np.savez(weights_path(trace).with_suffix(EARLIER), **weights)


def test_what_an_archive_pickled_is_not_read(runs, some_rows):
    trace = runs(some_rows, weights={"w": np.array([1.0, 2.0, 3.0])})
    _archive(trace.path, {"w": np.array([None, 1], dtype=object)})
    with pytest.raises(xframe.TraceError, match="is damaged"):
        trace.weights()


@pytest.mark.parametrize("archived", [False, True])
def test_damaged_weights(runs, some_rows, archived):
    trace = runs(some_rows, weights={"w": np.arange(3.0)})
    file = weights_path(trace.path)
    if archived:
        _archive(trace.path, {"w": np.arange(3.0)})
        file = file.with_suffix(EARLIER)
    assert trace.weight_types() == {"float64"}
    whole = file.read_bytes()
    for data in (
        b"",
        b"text",
        whole[:-30],
        whole[: len(whole) // 2],
        whole.replace(b"PK" if archived else b"{", b"KP"),
    ):
        file.write_bytes(data)
        with pytest.raises(xframe.TraceError, match="is damaged"):
            trace.weights()
    file.write_bytes(whole)
    assert trace.weights()["w"].tolist() == [0, 1, 2]


def test_array_digest():
    values = np.arange(6.0)
    grid = values.reshape(2, 3)
    assert array_digest(values) == array_digest(values.astype(">f8"))
    assert array_digest(grid.T) == array_digest(np.ascontiguousarray(grid.T))
    assert len({array_digest(a) for a in (values, grid, grid.T, values.astype("f4"), values.astype("i8"))}) == 5


def test_each_trace_has_its_own_weights_whatever_its_name(tmp_path):
    """Only ``run`` and ``run.trace`` share a name; there, the second is refused and the first one's are kept."""
    names = ("lr0.1", "lr0.2", "lr0.3.trace", "a.b", "run.trace", ".trace")
    assert len({weights_path(tmp_path / name) for name in names}) == len(names)
    recorders = {name: xframe.record(tmp_path / name) for name in ("lr0.1", "lr0.2", "run", "run.trace")}
    for k, (name, rec) in enumerate(recorders.items()):
        rec.step(ids=[0], updates=1)
        if name == "run.trace":
            with pytest.raises(xframe.UsageError, match="exists already"):
                rec.weights({"w": np.full(2, k)})
        else:
            rec.weights({"w": np.full(2, -1)})
            rec.weights({"w": np.full(2, k)})
        rec.close()
    kept = {name: xframe.Trace.open(tmp_path / name).weights() for name in recorders}
    assert kept.pop("run.trace") is None
    assert [weights["w"].tolist() for weights in kept.values()] == [[0, 0], [1, 1], [2, 2]]


def test_weights_under_an_earlier_name_are_read(tmp_path):
    """Of ``lr0.1`` they were in ``lr0.weights.npz``; there, those of another trace are not damage."""
    for k, name in enumerate(("lr0.1", "lr0.2")):
        with xframe.record(tmp_path / name) as rec:
            rec.step(ids=[0], updates=1)
            rec.weights({"w": np.full(2, k)})
        weights_path(tmp_path / name).unlink()
    np.savez(tmp_path / "lr0.weights.npz", w=np.full(2, 1))
    assert xframe.Trace.open(tmp_path / "lr0.1").weights() is None
    assert xframe.Trace.open(tmp_path / "lr0.2").weights()["w"].tolist() == [1, 1]

"""Final weights beside a trace, and the digests that vouch for them."""

import numpy as np
import pytest

import xframe
from xframe.trace.weights import array_digest, weights_path


def test_weights_beside_the_trace(runs, some_rows):
    weights = {"dense_0/kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "dense_0/bias": np.zeros(3)}
    trace = runs(some_rows, weights=weights)
    file = weights_path(trace.path)
    assert file == runs.folder / "run.weights.npz"
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
        {"w": np.array([None, 1], dtype=object)},
    ],
    ids=["value", "type", "shape", "name", "one more", "none", "pickled"],
)
def test_other_weights(runs, some_rows, tampered):
    trace = runs(some_rows, weights={"w": np.array([1.0, 2.0, 3.0])})
    np.savez(weights_path(trace.path), **tampered)
    with pytest.raises(xframe.TraceError, match="is damaged"):
        trace.weights()


def test_damaged_weights(runs, some_rows):
    trace = runs(some_rows, weights={"w": np.arange(3.0)})
    file = weights_path(trace.path)
    whole = file.read_bytes()
    for data in (b"", b"text", whole[:-30], whole[: len(whole) // 2], whole.replace(b"PK", b"KP")):
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

"""Prints in TensorFlow, eagerly, in a graph and compiled, are those of NumPy."""

import numpy as np
import pytest
from test_identity import DTYPES, assert_same, drawn

from xframe.recording import identity

tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
in_tensorflow = pytest.importorskip("xframe_tensorflow.identity", reason="TensorFlow is not installed")


@pytest.mark.parametrize("kind", ["close", "exact", "layout"])
def test_eagerly(kind):
    for values in drawn(400 if kind == "close" else 90):
        assert_same(identity.prints(values, kind), in_tensorflow.prints([tf.constant(values)], kind).numpy())


@pytest.mark.parametrize("compiled", [False, True])
def test_in_a_graph(compiled):
    """Whose shapes are not known; compiled ones for the types that differ."""
    for index, dtype in enumerate(DTYPES if not compiled else ("f4", "f8", "u1")):
        signature = [tf.TensorSpec([None, 3, 2], np.dtype(dtype))]
        made = tf.function(lambda x: in_tensorflow.prints([x]), signature, autograph=False, jit_compile=compiled)
        values = np.concatenate([one.reshape(-1) for one in drawn(90, seed=index) if one.dtype == dtype])
        values = values[: 6 * (len(values) // 6)].reshape(-1, 3, 2)
        assert_same(identity.prints(values), made(tf.constant(values)).numpy())


def test_samples_of_any_length():
    made = tf.function(lambda x: in_tensorflow.prints([x]), [tf.TensorSpec([None, None], tf.float32)], autograph=False)
    for size in (1, 8192, 30_000):
        values = np.random.default_rng(size).standard_normal((3, size)).astype("f4")
        assert_same(identity.prints(values), made(tf.constant(values)).numpy())
        assert_same(identity.prints(values), in_tensorflow.prints([tf.constant(values)]).numpy())
    both = [np.arange(5), np.random.default_rng(1).random((5, 9000))]
    assert_same(identity.prints(both), in_tensorflow.prints([tf.constant(one) for one in both]).numpy())

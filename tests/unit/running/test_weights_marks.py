"""A mark is of every weight, whatever its layout: one that replicas do not share shows in it."""

import numpy as np
import pytest

SHAPES = [(), (3,), (40, 50), (2000,), (2, 3, 40, 40), (3, 1024), (1, 1, 5000)]


def weights():
    draw = np.random.default_rng(0)
    return [draw.normal(size=shape).astype("f4") for shape in SHAPES]


def expected(values):
    return sum(float(np.square(one.astype("f8")).sum()) for one in values)


def test_torchs_sees_each_weight_in_any_layout_and_type():
    torch = pytest.importorskip("torch")
    from xframe_torch.evidence import weights_mark

    held = [torch.tensor(one) for one in weights()]
    held[2], held[4] = held[2].t(), held[4].to(memory_format=torch.channels_last)
    held += [torch.ones(3, dtype=torch.complex64), torch.ones(4, dtype=torch.bfloat16)]
    before = weights_mark(held)
    assert before.dtype == torch.float64
    for one in held:
        first = one[(0,) * one.dim()]
        first += 1e-2
        assert weights_mark(held) != before
        first -= 1e-2
    few = [torch.tensor(one) for one in weights()[:2]]
    assert float(weights_mark(few)) == pytest.approx(expected(weights()[:2]), rel=1e-12)


def test_tensorflows_sees_each_weight():
    tf = pytest.importorskip("tensorflow")
    from xframe_tensorflow.evidence import weights_mark

    held = [tf.Variable(one) for one in weights()]
    before = float(weights_mark(held))
    for variable, one in zip(held, weights(), strict=True):
        changed = one.copy()
        changed[(0,) * one.ndim] += 1e-2
        variable.assign(changed)
        assert float(weights_mark(held)) != before
        variable.assign(one)
    assert float(weights_mark(held[:2])) == pytest.approx(expected(weights()[:2]), rel=1e-12)

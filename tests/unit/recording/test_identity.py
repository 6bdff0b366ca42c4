"""Prints: a sample has the same identity wherever its content is the same."""

import numpy as np
import pytest
import torch
from xframe_torch import identity as in_torch

from xframe.comparison.prints import close, numbers
from xframe.recording import identity

HASHES = [3275229997406767744, 4810451206259087328]  # of two samples; an identity once written stays
NUMBERS = [[0.6142513, 1.0335492, -1.8524864, -0.2746326], [0.3356802, 4.8933868, -3.4747963, -3.3130817]]
DTYPES = ("f4", "f8", "f2", "i8", "i4", "i2", "i1", "u1", "?")


def drawn(count, seed=0):
    """Arrays of all types and shapes; floats with zeros of both signs, NaN, infinities and what float32 rounds to 0."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        kind = DTYPES[index % len(DTYPES)]
        shape = (int(rng.integers(1, 6)), *rng.integers(1, 6, rng.integers(0, 4)).tolist())
        if kind in "f8 f4 f2":
            with np.errstate(over="ignore"):
                values = (rng.standard_normal(shape) * 10.0 ** rng.integers(-45, 38, shape)).astype(kind)
                for value in (0.0, -0.0, np.inf, 1e-39) if index % 3 else (np.nan, -np.nan, -0.0):
                    values[rng.random(shape) < 0.1] = value
            yield values
        elif kind == "?":
            yield rng.random(shape) < 0.5
        else:
            yield rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def same(one, other):
    """Which samples are close."""
    return close(numbers(one), numbers(other))


def assert_same(made, other):
    assert made[:, 0].tolist() == other[:, 0].tolist()
    one, two = (numbers(each) for each in (made, other))
    scale = np.abs(one).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        assert np.all((np.abs(one - two) <= 1e-6 * scale + identity.LEAST_NORMAL) | ~np.isfinite(scale))


@pytest.mark.parametrize("kind", ["close", "exact", "layout"])
def test_torch_makes_the_same(kind):
    for values in drawn(1000):
        assert_same(identity.prints(values, kind), in_torch.prints([torch.from_numpy(values.copy())], kind).numpy())


def test_torch_makes_the_same_of_large_samples_and_of_several_tensors():
    rng = np.random.default_rng(1)
    for shape in ((3, 20_000), (40, 8192), (2, 3, 128, 64)):
        values = rng.standard_normal(shape).astype("f4")
        assert_same(identity.prints(values), in_torch.prints([torch.from_numpy(values)]).numpy())
    both = {"b": rng.integers(0, 9, 5), "a": rng.random((5, 9000)), "note": "text"}
    assert_same(identity.prints(both), in_torch.prints([torch.from_numpy(both[name]) for name in "ab"]).numpy())
    assert in_torch.prints([torch.zeros(3), torch.zeros(4)]) is identity.prints([np.zeros(3), np.zeros(4)]) is None
    assert in_torch.prints([torch.tensor(1.0)]) is identity.prints(np.array("text")) is None


def test_the_definition_stays():
    known = identity.prints(np.arange(6).reshape(2, 3) / 2)
    assert known[:, 0].tolist() == HASHES
    np.testing.assert_allclose(numbers(known), NUMBERS, rtol=1e-6)


def test_type_and_shape_of_equal_values_do_not_matter():
    whole, real = np.array([3, 0, 200]), np.array([0.5, -0.0, 3e4])
    hashes = {tuple(identity.prints(whole.astype(kind))[:, 0]) for kind in ("i8", "i4", "i2", "u1")}
    assert len(hashes) == 1
    made = [identity.prints(real.astype(kind)) for kind in ("f8", "f4", "f2")]
    assert len({tuple(one[:, 0]) for one in made}) == 1
    assert np.array_equal(identity.prints(real)[:, 0], identity.prints(real[:, None] + 0.0)[:, 0])
    assert same(identity.prints(whole), identity.prints(whole.astype("f4"))).all()


def test_samples_of_ones_and_zeros_are_told_apart():
    samples = np.random.default_rng(2).integers(0, 2, (200_000, 40)).astype("f4")
    different = len(np.unique(samples, axis=0))
    assert len(np.unique(identity.prints(samples, "exact")[:, 0])) == different
    assert len(np.unique(identity.prints(2 * samples - 1, "exact")[:, 0])) == different


def test_close_takes_rounding_and_no_more():
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (100, 64)).astype("f4")
    one, other = identity.prints(pixels / np.float32(255)), identity.prints(pixels * np.float32(1 / 255))
    assert (one[:, 0] != other[:, 0]).any()
    assert same(one, other).all()
    moved = pixels.copy()
    moved[:, 7] += 1
    assert not same(one, identity.prints(moved / np.float32(255))).any()
    assert not same(one, identity.prints(pixels / np.float32(256))).any()
    assert not same(one, np.roll(one, 1, axis=0)).any()


def test_the_layout_is_free_where_asked():
    images = np.random.default_rng(4).standard_normal((20, 3, 8, 8)).astype("f4")
    last = np.moveaxis(images, 1, -1)
    assert same(identity.prints(images, "layout"), identity.prints(last, "layout")).all()
    assert not same(identity.prints(images), identity.prints(last)).any()
    assert not same(identity.prints(images, "layout"), identity.prints(-last, "layout")).any()


def test_longer_padding_is_the_same_sample():
    tokens = np.array([[5, 7, 0], [9, 0, 0]])
    assert np.array_equal(identity.prints(tokens), identity.prints(np.pad(tokens, [(0, 0), (0, 4)])))


def test_no_random_number_of_the_scripts_is_drawn():
    identity.coefficients.cache_clear()
    identity.folds.cache_clear()
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    identity.prints(np.ones((2, 9000)))
    in_torch.prints([torch.ones(2, 9000)])
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before  # noqa: NPY002


def test_what_is_looked_at_stays_as_it_is():
    values = torch.tensor([[1.0, -0.0, float("nan")]], requires_grad=True)
    made = in_torch.prints([values])
    assert not made.requires_grad
    assert values._version == 0
    assert torch.signbit(values[0, 1])
    for mode in (torch.inference_mode, torch.enable_grad):
        with mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            assert in_torch.prints([values])[0].tolist() == made[0].tolist()

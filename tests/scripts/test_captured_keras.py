"""Updates of scripts on TensorFlow, captured: the run is the same bit by bit, and each record tells a whole update."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xframe
from xframe.trace.captured import captured_of


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    """All cases, bare and captured, in one process: whether both left the same, and the records by update."""
    folder = tmp_path_factory.mktemp("captured")
    command = [sys.executable, str(Path(__file__).with_name("captured_in_keras.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left, found = json.loads((folder / "left.json").read_text()), {}
    for name, same in left.items():
        trace = xframe.Trace.open(folder / f"{name}-2.trace")
        assert trace.complete, done.stderr
        records = {(one.update, one.optimizer): one.read() for one in captured_of(trace)}
        found[name] = same, {update: one for (update, number), one in records.items() if not number}, trace, records
    return found


@pytest.mark.costly
def test_capturing_changes_no_bit(captured):
    left = {name: same for name, (same, *_) in captured.items() if same is not None}
    assert left == {"fit": True, "accumulated": True, "function": True}


@pytest.mark.costly
def test_the_first_updates_are_captured_and_then_ever_fewer(captured):
    updates = {name: sorted(records) for name, (_, records, *_) in captured.items()}
    assert updates["fit"] == [0, 1, 4, 8]  # in the midst of an execution of three steps
    assert updates["accumulated"] == [0, 1]
    assert updates["function"] == updates["eager"] == [0, 1, 4]
    assert updates["scaled"] == [0, 1]
    assert updates["apart"] == [0, 1]
    assert updates["by_turns"] == [0, 1, 4]
    assert updates["jit"] == updates["by_itself"] == updates["failing"] == []
    assert "an odd layer" in str(captured["failing"][2].end["captured"]["left_out"])
    assert captured["failing"][2].num_rows == 6  # which are recorded all the same
    assert "optimizer" in str(captured["by_itself"][2].end["captured"]["left_out"])
    assert "XLA" in str(captured["jit"][2].end["captured"]["left_out"])


def adam(record, name, gradient, state):
    made, rate = record.facts["optimizer"], record.facts["groups"][0]["rate"]
    beta_1, beta_2 = made["beta_1"], made["beta_2"]
    t = state.numbers["iterations"] + 1
    m, v = (np.float64(state.slots[slot][name]) for slot in ("momentum", "velocity"))
    m, v = m + (gradient - m) * (1 - beta_1), v + (gradient**2 - v) * (1 - beta_2)
    beta_1, beta_2 = (float(np.float32(one)) for one in (beta_1, beta_2))  # Keras casts them to powers through float32
    alpha = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return -alpha * m / (np.sqrt(v) + made["epsilon"]), {"momentum": m, "velocity": v}


def sgd(record, name, gradient, state):
    rate = record.facts["groups"][0]["rate"]
    momentum = float(np.float32(record.facts["optimizer"]["momentum"]))  # as Keras casts it
    m = np.float64(state.slots["momentum"][name]) * momentum - rate * gradient
    return m, {"momentum": m}


@pytest.mark.parametrize(
    ("case", "rule"),
    [("fit", adam), ("accumulated", sgd), ("function", sgd), ("eager", adam), ("scaled", adam)],
)
def test_an_update_follows_from_its_own_record(captured, case, rule):
    records = captured[case][1]
    assert records
    for record in records.values():
        eps = np.finfo(next(iter(record.before.parameters.values())).dtype).eps
        moved = 0.0
        for name, before in record.before.parameters.items():
            if name in record.facts.get("sparse", ()):  # Keras squares what each row adds to a table by itself
                continue
            gradient = np.float64(record.stages["clipping"][name])
            update, slots = rule(record, name, gradient, record.before)
            after, largest = record.after.parameters[name], np.abs(update).max()
            bound = 8 * eps * (np.abs(before).max() + 32 * largest)
            assert np.abs(after - (np.float64(before) + update)).max() <= bound
            for slot, values in slots.items():
                np.testing.assert_allclose(
                    record.after.slots[slot][name], values, rtol=64 * eps, atol=64 * eps * largest
                )
            moved += largest
        assert moved > 0
        assert record.after.numbers["updates"] == record.before.numbers["updates"] + 1


def norm(tensors):
    return np.sqrt(sum(np.sum(np.float64(one) ** 2) for one in tensors.values()))


@pytest.mark.parametrize(("case", "bound"), [("fit", 0.1), ("function", 0.05)])
def test_gradients_are_there_before_and_after_clipping(captured, case, bound):
    record = captured[case][1][0]
    before, after = record.stages["gradient"], record.stages["clipping"]
    assert norm(before) > bound
    np.testing.assert_allclose(norm(after), bound, rtol=1e-6)
    for name, gradient in before.items():
        np.testing.assert_allclose(after[name], gradient * bound / norm(before), rtol=1e-5, atol=1e-9)


def test_a_window_has_its_batches_and_their_mean_gradient(captured):
    _, records, trace, _ = captured["accumulated"]
    record, rows = records[1], trace.frame()
    assert record.facts["window"] == 2
    assert record.stages["batch"]["features"].shape == record.stages["batch"]["window/1/features"].shape == (8, 6)
    losses = [record.stages["loss"][name] for name in ("loss", "window/1/loss")]
    np.testing.assert_allclose(losses, rows.loss[2:4], rtol=1e-6)
    assert np.abs(next(iter(record.before.gradients.values()))).max() > 0  # of the step before
    assert np.isclose(record.facts["groups"][0]["rate"], rows.lr[3])
    _, expected, trace, _ = captured["scaled"]
    assert [one.before.numbers["loss_scale"] for one in expected.values()] == [2.0**15] * 2
    assert expected[0].facts["sparse"]
    np.testing.assert_allclose(norm(expected[0].stages["gradient"]), trace.frame().gradient_norm[0], rtol=1e-5)


def test_what_led_to_an_update_is_in_its_record(captured):
    for case, dtype in (("fit", np.float32), ("function", np.float64), ("eager", np.float64)):
        _, records, trace, _ = captured[case]
        record, rows = records[1], trace.frame()
        batch, forward, facts = record.stages["batch"], record.stages["forward"], record.facts
        assert batch["features"].shape == (8, 6)
        assert batch["targets"].reshape(-1).shape == (8,)
        logits = np.float64(forward["outputs"])
        picked = logits[np.arange(8), np.int64(batch["targets"]).reshape(-1)]
        each = np.log(np.exp(logits).sum(axis=1)) - picked
        loss = np.mean(each * np.float64(batch.get("weights", np.ones(8))))
        np.testing.assert_allclose(record.stages["loss"]["loss"], loss, rtol=1e-5)
        np.testing.assert_allclose(rows.loss[1], loss, rtol=1e-5)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        shares[np.arange(8), np.int64(batch["targets"]).reshape(-1)] -= 1
        slope = shares * np.float64(batch.get("weights", np.ones(8)))[:, None] / 8
        np.testing.assert_allclose(record.stages["loss"]["slope"], slope, rtol=1e-4, atol=1e-7)
        assert facts["training"] is True
        assert facts["losses"][0]["class"] == "cross_entropy"
        assert facts["losses"][0]["from_logits"] is True
        assert [one["class"] for one in facts["layers"]][-1] == "Dense"
        described = {one["name"]: one for one in facts["model"]["parameters"]}
        for name, values in {**record.before.parameters, **record.before.buffers}.items():
            assert tuple(described[name]["shape"]) == values.shape
            assert values.dtype == dtype
        assert [one["kind"] for one in described.values()][:2] == ["dense", "dense"]
        assert forward[f"{facts['layers'][-1]['name']}/outputs"].shape == (8, 3)
    record = captured["fit"][1][1]
    assert captured["fit"][2].frame().ids[1].tolist() == record.stages["batch"]["ids"].tolist()
    means = [one for one in record.before.buffers if "mean" in one]
    assert means
    normed = next(one["name"] for one in record.facts["layers"] if one["class"] == "BatchNormalization")
    first = record.before.parameters[record.facts["model"]["parameters"][0]["name"]]
    inputs = record.stages["batch"]["features"] @ first
    for name in means:
        expected = 0.99 * record.before.buffers[name] + 0.01 * inputs.mean(axis=0)
        np.testing.assert_allclose(record.after.buffers[name], expected, rtol=1e-4, atol=1e-6)
    assert f"{normed}/outputs" not in record.stages["forward"]  # what a graph fuses with the layer after it


def test_what_is_by_turns_is_kept_apart(captured):
    *_, records = captured["by_turns"]
    assert sorted(records) == [(0, 0), (0, 1), (1, 0), (1, 1), (4, 0)]
    summed, fooled, told = records[0, 0], records[1, 0], records[0, 1]
    assert summed.facts["window"] == 2  # and without the batch that no gradient is of
    draw = np.random.default_rng(0).random((48, 6))
    np.testing.assert_array_equal(summed.stages["batch"]["features"], draw[:8])
    np.testing.assert_array_equal(summed.stages["batch"]["window/1/features"], draw[8:16])
    np.testing.assert_array_equal(fooled.stages["batch"]["features"], draw[:8])
    assert fooled.stages["batch"]["targets"].tolist() == [[1.0]] * 8
    assert fooled.stages["forward"]["returned"].shape == (8, 3)
    np.testing.assert_allclose(fooled.stages["loss"]["loss"], fooled.stages["loss"]["terms/0/value"])
    values = [told.stages["loss"][f"terms/{number}/value"] for number in (0, 1)]
    np.testing.assert_allclose(told.stages["loss"]["loss"], sum(values))
    assert told.stages["batch"]["features/1"].tolist() == fooled.stages["forward"]["returned"].tolist()
    outside = captured["apart"][1][1]
    assert outside.facts["window"] == 2
    np.testing.assert_array_equal(outside.stages["batch"]["features"], draw[16:24])
    np.testing.assert_array_equal(outside.stages["batch"]["window/1/features"], draw[24:32])
    losses = [outside.stages["loss"][name] for name in ("loss", "window/1/loss")]
    np.testing.assert_allclose(losses, captured["apart"][2].frame().loss[2:4], rtol=1e-6)
    for one in (summed, fooled, told, outside):
        assert one.facts["left_out"] == []
        for name, before in one.before.parameters.items():
            expected = before - one.facts["groups"][0]["rate"] * one.stages["clipping"][name]
            np.testing.assert_allclose(one.after.parameters[name], expected, rtol=1e-12, atol=1e-15)

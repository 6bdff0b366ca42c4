"""A step's record comes back from its file bit for bit; what is no such file is refused."""

import numpy as np
import pytest

import xframe
from xframe.files import tensors
from xframe.state.record import Record, read_record, write_record
from xframe.state.state import State

WEIGHTS = {"dense_0/kernel": np.arange(6.0).reshape(2, 3), "dense_0/bias": np.zeros(3)}
BEFORE = State(WEIGHTS, slots={"moment": WEIGHTS}, numbers={"updates": 3}, precision="float64")
STAGES = {
    "batch": {"features": np.ones((4, 2)), "ids": np.arange(4)},
    "forward": {"dense_9/outputs": np.ones((4, 3)), "dense_10/outputs": np.ones((4, 3)), "outputs": np.ones((4, 3))},
    "update": {},
}


def test_it_comes_back(tmp_path):
    record = Record(7, BEFORE, STAGES, State(WEIGHTS, precision="float64"), {"optimizer": "torch.optim.Adam"})
    write_record(tmp_path / "r", record)
    read = read_record(tmp_path / "r")
    assert (read.step, read.facts, read.precision) == (7, record.facts, "float64")
    assert read.before is not None
    assert read.after is not None
    assert record.before.differences(read.before) == record.after.differences(read.after) == []
    assert list(read.stages) == list(STAGES)
    assert list(read.stages["forward"]) == list(STAGES["forward"])
    for stage, held in STAGES.items():
        assert {name: values.tobytes() for name, values in read.stages[stage].items()} == {
            name: values.tobytes() for name, values in held.items()
        }
    write_record(tmp_path / "r", Record(0))
    assert read_record(tmp_path / "r") == Record(0)


def test_bfloat16_takes_half(tmp_path):
    halves = {"k": np.array([1.0, -2.5, 3.140625], "f4")}
    write_record(tmp_path / "r", Record(1, State(halves, precision="bfloat16")))
    assert tensors.types_of(tmp_path / "r") == {"float32"}
    assert read_record(tmp_path / "r").before.parameters["k"].tobytes() == halves["k"].tobytes()


@pytest.mark.parametrize(
    ("arrays", "facts"),
    [
        ({}, {"format": 2}),
        ({}, {"record": -1}),
        ({}, {"record": True}),
        ({}, {"stages": ["update", "update"]}),
        ({}, {"stages": ["downdate"]}),
        ({}, {"facts": None}),
        ({}, {"layers": {"dense_0/outputs": 0}}),
        ({"loss/loss": np.ones(1)}, {}),
        ({"before/parameters/k": np.ones(1)}, {}),
        ({"loose": np.ones(1)}, {"stages": ["loss"]}),
        ({}, {"before": {"precision": "float13", "rule": {}, "numbers": {}, "position": None}}),
        ({}, {"before": {"precision": "float32", "rule": {}, "numbers": {"updates": "3"}, "position": None}}),
        (
            {"before/weights/k": np.ones(1)},
            {"before": {"precision": "float32", "rule": {}, "numbers": {}, "position": None}},
        ),
    ],
)
def test_what_is_none_is_refused(tmp_path, arrays, facts):
    whole = {"format": 1, "record": 0, "facts": {}, "stages": []}
    tensors.write(tmp_path / "r", arrays, {**whole, **facts}, lambda stored, facts: None, halves=False)
    with pytest.raises(xframe.StateError, match="cannot read"):
        read_record(tmp_path / "r")


def test_what_no_file_can_have_is_refused(tmp_path):
    for record in (Record(0, stages={"loss": {"loss": np.array("x")}}), Record(0, facts={"rate": float("nan")})):
        with pytest.raises(xframe.StateError):
            write_record(tmp_path / "r", record)
    assert not (tmp_path / "r").exists()

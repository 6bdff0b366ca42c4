"""A state's file: every bit comes back, and what is not whole is refused."""

import dataclasses
import hashlib
import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy
import xxhash

import xframe
from xframe.errors import StateError
from xframe.files import tensors
from xframe.running.steering import CourseState, Position, WalkState, WindowState
from xframe.state import file
from xframe.state.state import check_like

RULE = {"rule": "SGD", "learning_rate": 0.1, "momentum": 0.9}


def a_state(precision="float32"):
    """With all parts, and numbers that no text has exactly."""
    random = np.random.RandomState(0)
    kind = "f8" if precision == "float64" else "f4"

    def some(*shape):
        values = random.standard_normal(shape).astype(kind)
        return (values.view("<u4") & 0xFFFF0000).view("<f4") if precision == "bfloat16" else values

    return xframe.State(
        parameters={"dense_0/kernel": some(3, 4), "dense_0/bias": np.zeros(4, kind), "s": np.array(7, kind)},
        buffers={"batchnorm_0/mean": some(4), "count": np.array([3])},
        slots={"velocity": {"dense_0/kernel": some(3, 4), "dense_0/bias": some(4), "s": some()}},
        gradients={"dense_0/kernel": some(3, 4)},
        average={"dense_0/bias": some(4)},
        best={"dense_0/bias": some(4), "batchnorm_0/mean": some(4)},
        numbers={"updates": 12, "attempts": 12, "rate": 0.1 + 0.2, "loss_scale": 2.0**15},
        position=Position(WalkState(1), WindowState(3, fresh=False), CourseState()).to_dict(),
        rule=RULE,
        precision=precision,
    )


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16", "mixed_float16"])
def test_every_bit_comes_back(tmp_path, precision):
    state = a_state(precision)
    xframe.write_state(tmp_path / "one.safetensors", state)
    xframe.write_state(tmp_path / "two.safetensors", xframe.read_state(tmp_path / "one.safetensors", state))
    back = xframe.read_state(tmp_path / "two.safetensors")
    assert state.differences(back) == []
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
def test_every_type_and_shape(tmp_path, kind):
    values = np.frombuffer(np.random.RandomState(1).bytes(24 * np.dtype(kind).itemsize), kind)  # NaNs among them
    values = values.view("u1") % 2 == 1 if kind == "?" else values
    parameters = {
        "grid": values.reshape(2, -1, 2)[::-1].T,
        "one": values[0].reshape(()),
        "none": values[:0].reshape(0, 3),
    }
    parameters |= {"ends": values.astype(values.dtype.newbyteorder(">")), "grün/%": values}
    xframe.write_state(tmp_path / "s", state := xframe.State(parameters))
    back = xframe.read_state(tmp_path / "s").parameters
    assert back["ends"].tobytes() == values.tobytes()
    assert xframe.State({**back, "ends": parameters["ends"]}).differences(state) == []


def test_a_bfloat16_takes_two_bytes_where_nothing_is_lost(tmp_path):
    exact = np.array([1.5, np.inf, -0.0], "f4")
    state = xframe.State({"exact": exact, "finer": np.array([0.1, 1], "f4")}, precision="bfloat16")
    xframe.write_state(tmp_path / "s", state)
    kinds = {name: one["dtype"] for name, one in safetensors.deserialize((tmp_path / "s").read_bytes())}
    assert kinds == {"parameters/exact": "BF16", "parameters/finer": "F32"}
    assert xframe.read_state(tmp_path / "s").differences(state) == []


def test_it_is_a_file_as_the_library_has_it(tmp_path):
    state = a_state()
    xframe.write_state(tmp_path / "ours", state)
    arrays = safetensors.numpy.load_file(tmp_path / "ours")
    assert arrays.keys() == state.arrays().keys()
    with safetensors.safe_open(tmp_path / "ours", "np") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file(arrays, tmp_path / "theirs", metadata)
    assert xframe.read_state(tmp_path / "theirs").differences(state) == []


def test_an_optional_field_that_is_not_known_is_passed_over(tmp_path):
    xframe.write_state(tmp_path / "s", state := a_state())
    _edit(tmp_path / "s", lambda head, facts: facts.update(weather="fine"))
    assert xframe.read_state(tmp_path / "s").differences(state) == []


def _edit(path, edit):
    """Changes a file's head, and what xframe has in it."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + length])
    facts = json.loads(head["__metadata__"]["xframe"])
    edit(head, facts)
    if "__metadata__" in head:
        head["__metadata__"]["xframe"] = json.dumps(facts)
        head["__metadata__"]["digest"] = _digest_of(head, data[8 + length :])
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def _digest_of(head, data):
    """As FORMAT.md has it."""

    arrays = sorted((name, one) for name, one in head.items() if name != "__metadata__")
    listed = [
        [name, one["dtype"], one["shape"], xxhash.xxh3_128_hexdigest(data[slice(*one["data_offsets"])])]
        for name, one in arrays
    ]
    return hashlib.blake2b(json.dumps([head["__metadata__"]["xframe"], listed]).encode(), digest_size=16).hexdigest()


KERNEL, BIAS, SLOT = "parameters/dense_0/kernel", "parameters/dense_0/bias", "slots/velocity/dense_0/bias"
EDITS = {
    "format": (lambda head, facts: facts.update(format=2), "format 2"),
    "a true format": (lambda head, facts: facts.update(format=True), "format True"),
    "required": (lambda head, facts: facts["required"].append("weather"), "requires 'weather'"),
    "no rule": (lambda head, facts: facts.pop("rule"), "no rule"),
    "a list for a rule": (lambda head, facts: facts.update(rule=[]), "rule"),
    "precision": (lambda head, facts: facts.update(precision="int3"), "precision"),
    "NaN": (lambda head, facts: facts["numbers"].update(rate=float("nan")), "not finite"),
    "infinite, in the rule": (lambda head, facts: facts["rule"].update(rate=[{"x": float("inf")}]), "not finite"),
    "a text for a number": (lambda head, facts: facts["numbers"].update(rate="1"), "'rate'"),
    "true for a number": (lambda head, facts: facts["numbers"].update(rate=True), "'rate'"),
    "no metadata": (lambda head, facts: head.pop("__metadata__"), "no xframe"),
    "overlap": (lambda head, facts: head[BIAS].update(data_offsets=head["buffers/count"]["data_offsets"]), "begin"),
    "out of range": (lambda head, facts: head[KERNEL].update(data_offsets=[10**6, 10**6 + 48]), "begin"),
    "backwards": (lambda head, facts: head[KERNEL]["data_offsets"].reverse(), "begin"),
    "negative": (lambda head, facts: head[KERNEL]["data_offsets"].__setitem__(0, -8), "data_offsets"),
    "huge shape": (lambda head, facts: head[KERNEL].update(shape=[2**62, 2**62]), "its shape"),
    "many axes": (lambda head, facts: head[KERNEL].update(shape=[1] * 40 + [12]), "axes"),
    "float shape": (lambda head, facts: head[KERNEL].update(shape=[3.0, 4]), "shape"),
    "dtype": (lambda head, facts: head[KERNEL].update(dtype="F4"), "unknown type"),
    "wider dtype": (lambda head, facts: head[KERNEL].update(dtype="F64"), "its shape"),
    "a further key": (lambda head, facts: head[KERNEL].update(code="x"), "not just"),
    "an array more": (
        lambda head, facts: head.update(x={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
        "no part",
    ),
    "an array less": (lambda head, facts: head.pop(KERNEL), "begin"),
    "another's gradient": (lambda head, facts: head.update({"gradients/x": head.pop("gradients/dense_0/kernel")}), "x"),
    "another's slot": (lambda head, facts: head.update({"slots/v/x": head.pop("slots/velocity/dense_0/kernel")}), "x"),
    "a slot's shape": (lambda head, facts: head["gradients/dense_0/kernel"].update(shape=[4, 3]), "shape"),
    "another's best": (lambda head, facts: head["best/dense_0/bias"].update(shape=[2, 2]), "shape and type"),
    "an average's type": (lambda head, facts: head["average/dense_0/bias"].update(dtype="U32"), "shape and type"),
    "a slot of words": (lambda head, facts: head[SLOT].update(dtype="I32"), "shape and type"),
    "a slot of columns": (lambda head, facts: head[SLOT].update(shape=[2, 2]), "shape and type"),
    "a slot of a different rule": (
        lambda head, facts: head.update({"slots/m/s": head.pop("slots/velocity/s")}),
        "no m",
    ),
    "truth of 3": (lambda head, facts: head["buffers/count"].update(dtype="BOOL", shape=[8]), "neither 0 nor 1"),
    "half a float": (lambda head, facts: head[KERNEL].update(dtype="BF16", shape=[3, 8]), "BF16 in float32"),
    "a whole number trained": (
        lambda head, facts: [head[f"{part}/s"].update(dtype="I32") for part in ("parameters", "slots/velocity")],
        "is trained",
    ),
    "fewer than no updates": (lambda head, facts: facts["numbers"].update(updates=-5), "'updates' is -5"),
    "half an update": (lambda head, facts: facts["numbers"].update(updates=1.5), "'updates' is 1.5"),
    "more updates than steps": (lambda head, facts: facts["numbers"].update(updates=13), "than attempts"),
    "no scale": (lambda head, facts: facts["numbers"].update(loss_scale=0), "'loss_scale'"),
    "a list for a walk": (lambda head, facts: facts["position"].update(walk=[]), "walk is"),
    "a position without a course": (lambda head, facts: facts["position"].pop("course"), "position that no run has"),
    "a step before the first": (lambda head, facts: facts["position"]["window"].update(steps=-1), "steps is -1"),
    "a best that is true": (
        lambda head, facts: facts["position"]["course"].update(
            stopping={"best": True, "best_validation": 0, "seen": 1, "waited": 0}
        ),
        "best is True",
    ),
    "an unknown rule": (lambda head, facts: facts["rule"].update(rule="Evil"), "Evil"),
    "a rule out of range": (lambda head, facts: facts["rule"].update(momentum=1e300), "momentum"),
    "slots without a rule": (lambda head, facts: facts.update(rule={}), "slots and no rule"),
    "twice": (lambda head, facts: head.update({"buffers/s": head.pop("buffers/count")}), "both"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_a_head_cannot_state(tmp_path, name):
    edit, why = EDITS[name]
    xframe.write_state(tmp_path / "s", a_state())
    _edit(tmp_path / "s", edit)
    with pytest.raises(StateError, match=why) as caught:
        xframe.read_state(tmp_path / "s")
    assert str(tmp_path / "s") in str(caught.value)


@pytest.mark.parametrize("name", ["", "../x", "a/../b", "a//b", "a/", "x\0", "\ud800", "./x", "\x1b[2J"])
def test_a_name_that_no_parameter_has(tmp_path, name):
    xframe.write_state(tmp_path / "s", a_state())
    _edit(tmp_path / "s", lambda head, facts: head.update({f"buffers/{name}": head.pop("buffers/count")}))
    with pytest.raises(StateError, match="is no name"):
        xframe.read_state(tmp_path / "s")
    with pytest.raises(StateError, match="is no name"):
        xframe.write_state(tmp_path / "s", xframe.State({name: np.zeros(2)}))


def test_a_state_without_parameters(tmp_path):
    xframe.write_state(tmp_path / "s", xframe.State({"a": np.zeros(2)}))
    _edit(tmp_path / "s", lambda head, facts: head.update({"buffers/a": head.pop("parameters/a")}))
    with pytest.raises(StateError, match="no parameters"):
        xframe.read_state(tmp_path / "s")


def test_what_is_no_state(tmp_path):
    xframe.write_state(tmp_path / "s", a_state())
    with pytest.raises(StateError, match="like is no state: got 5"):
        xframe.read_state(tmp_path / "s", 5)
    with pytest.raises(StateError, match="no state: got 5"):
        xframe.write_state(tmp_path / "s", 5)


def test_what_is_no_whole_file(tmp_path):
    path = tmp_path / "s"
    xframe.write_state(path, a_state())
    whole = path.read_bytes()
    cases = [b"", b"text", whole[:7], whole[:100], whole[:-1], whole + b"\0", whole[8:], b"PK\3\4" + whole]
    cases += [struct.pack("<Q", size) + whole[8:] for size in (0, 1, len(whole), 2**40, 2**63, 2**64 - 1)]
    cases += [
        struct.pack("<Q", len(text)) + text for text in (b"{}", b"[]", b"{" * 99, b'{"__metadata__":{"xframe":"[]"}}')
    ]
    for data in cases:
        path.write_bytes(data)
        with pytest.raises(StateError, match="cannot read"):
            xframe.read_state(path)


def test_a_bit_that_turned(tmp_path):
    """Wherever it is: in an array, in a number, in a name."""
    path = tmp_path / "s"
    xframe.write_state(path, xframe.State({"a": np.zeros(2)}, numbers={"updates": 12}))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(StateError, match="cannot read"):
            xframe.read_state(path)


def test_a_name_twice(tmp_path):
    """The library takes the last of the two."""
    xframe.write_state(path := tmp_path / "s", xframe.State({"a": np.zeros(2), "b": np.zeros(2)}))
    path.write_bytes(path.read_bytes().replace(b'"parameters/b"', b'"parameters/a"'))
    with pytest.raises(StateError, match="'parameters/a' twice"):
        xframe.read_state(path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", ".", "none"):
        with pytest.raises(StateError, match="cannot read"):
            xframe.read_state(tmp_path / name)


UNREADABLE = {
    "a number as name": ({3: np.zeros(2)}, {}),
    "the metadata's name": ({"__metadata__": np.zeros(2)}, {}),
    "many axes": ({"x": np.zeros((1,) * 40)}, {}),
    "a key twice as text": ({}, {"x": {1: 0, "1": 0}}),
    "a long number": ({}, {"x": 10**500}),
    "not finite": ({}, {"x": [float("nan")]}),
    "deep": ({}, {"x": json.loads("[" * 70 + "]" * 70)}),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_could_not_be_read_is_not_written(tmp_path, name):
    arrays, facts = UNREADABLE[name]
    with pytest.raises((ValueError, TypeError)):
        tensors.write(tmp_path / "s", arrays, facts, lambda *_: None, halves=False)
    assert [*tmp_path.iterdir()] == []


def test_a_check_sees_what_a_reader_will(tmp_path):
    seen, facts = [], {"pair": (1, np.float64(0.5)), "of": {2: None}}
    tensors.write(
        tmp_path / "s", {"b": np.zeros((2, 3), "f4"), "a": np.ones(4)}, facts, lambda *one: seen.append(one), False
    )
    tensors.read(tmp_path / "s", lambda *one: seen.append(one))
    assert seen[0] == seen[1] == ({"a": ("F64", (4,)), "b": ("F32", (2, 3))}, {"pair": [1, 0.5], "of": {"2": None}})


def test_nothing_of_what_is_written_is_parsed_but_its_facts(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "_stated", lambda *_: pytest.fail("it read the head that it had made"))
    xframe.write_state(tmp_path / "s", a_state())


MISFITS = {
    "missing": ({"parameters": {"s": np.zeros((), "f4")}}, "parameters/dense_0/kernel"),
    "extra": ({"buffers": {"x": np.zeros(1)}}, "buffers/x, which is unknown here"),
    "shape": ({"average": {"dense_0/bias": np.zeros(5, "f4")}}, r"float32 \(5,\) instead of float32 \(4,\)"),
    "type": ({"average": {"dense_0/bias": np.zeros(4)}}, r"float64 \(4,\) instead of float32 \(4,\)"),
    "slot": ({"slots": {}}, "no slots/velocity/dense_0/kernel"),
    "rule": ({"rule": {**RULE, "momentum": 0.8}}, "got the rule's momentum 0.8 instead of 0.9, expected"),
    "precision": ({"precision": "bfloat16"}, "the precision bfloat16 instead of float32"),
    "number": ({"numbers": {"updates": 3, "rate": 1.0}}, "no number loss_scale"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit(name):
    change, why = MISFITS[name]
    with pytest.raises(StateError, match=why):
        check_like(dataclasses.replace(a_state(), **change), a_state())


def test_a_file_that_does_not_fit_is_not_read(tmp_path):
    xframe.write_state(tmp_path / "s", a_state("float64"))
    with pytest.raises(StateError, match=r"does not fit: got .*float64 .*, and \d+ more"):
        xframe.read_state(tmp_path / "s", a_state())


@pytest.mark.parametrize(
    "change",
    [
        {"numbers": {"rate": float("nan")}},
        {"precision": "int3"},
        {"position": {"walk": object()}},
        {"rule": {"learning_rate": float("inf")}},
        {"buffers": {"x": np.zeros(2, "c8")}},
        {"buffers": {"x": np.array(["text"])}},
        {"buffers": {"x": np.array([{}])}},
        {"buffers": {"s": np.zeros(2)}},
        {"gradients": {"x": np.zeros(2)}},
        {"buffers": {"x": [1.0, 2.0]}},
        {"buffers": {"x": np.ma.array([1.0, 2], mask=[0, 1])}},
        {"buffers": {"x": np.array([0, 7], "u1").view(bool)}},
        {"numbers": {"updates": 0.5}},
        {"rule": {"rule": "Evil"}},
        {"parameters": {}},
    ],
)
def test_what_cannot_be_read_is_not_written(tmp_path, change):
    path = tmp_path / "s"
    xframe.write_state(path, a_state())
    before = path.read_bytes()
    with pytest.raises(StateError):
        xframe.write_state(path, dataclasses.replace(a_state(), **change))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s"]


def test_what_the_checkpoints_of_a_run_have_in_common_is_checked_once(tmp_path):
    seen, state = [], a_state()
    changes = [{}, {"numbers": {"updates": 13, "attempts": 13}}, {"position": None}]
    for change in changes:
        file.write_state(tmp_path / "s", dataclasses.replace(state, **change), {"steps": 1}, check=seen.append)
    assert len(seen) == 1
    assert seen[0].slots["velocity"]["dense_0/kernel"] == ("F32", (3, 4))
    others = [{"rule": {**RULE, "momentum": 0.8}}, {"precision": "mixed_float16"}, {"average": {}}]
    others.append({"buffers": {**state.buffers, "count": np.array([3, 4])}})
    for change in others:
        file.write_state(tmp_path / "s", dataclasses.replace(state, **change), check=seen.append)
    assert len(seen) == 1 + len(others)


def test_what_a_check_refused_it_refuses_again(tmp_path):
    state = dataclasses.replace(a_state(), rule={**RULE, "momentum": 0})
    for _ in range(2):
        with pytest.raises(StateError, match="keeps no velocity"):
            xframe.write_state(tmp_path / "s", state)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("most", [1, 7, 4096])
def test_a_system_that_takes_few_bytes_at_once(tmp_path, monkeypatch, most):
    state = dataclasses.replace(a_state(), buffers={"none": np.zeros((0, 3)), "true": np.array(True)}, best={})
    xframe.write_state(tmp_path / "one", state)
    taken = []

    def write(number, parts):
        taken.append(len(parts))
        return os.write(number, b"".join(part.tobytes() for part in parts)[:most])

    monkeypatch.setattr(tensors, "_WRITE", write)
    monkeypatch.setattr(tensors, "_TOGETHER", 3)
    xframe.write_state(tmp_path / "two", state)
    assert (tmp_path / "two").read_bytes() == (tmp_path / "one").read_bytes()
    assert max(taken) == 3


def test_a_head_that_its_metadata_makes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "JSON_BYTES", 3000)
    with pytest.raises(StateError, match="bytes of JSON, more than 3,000"):
        file.write_state(tmp_path / "s", a_state(), {"note": "x" * 2000})
    assert os.listdir(tmp_path) == []

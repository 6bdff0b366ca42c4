"""States' files that are damaged, forged or of a different training: each is refused with one clear error.

Damage is to the bytes. Forgeries are edited heads with a digest that is right of them. What does not fit is a whole
file whose arrays, numbers, rule or precision are not those that are expected.
"""

import dataclasses
import hashlib
import json
import math
import random
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import xframe
from sweeps import Result
from xframe.files.limits import JSON_BYTES
from xframe.plan.stopping import StoppingState
from xframe.running.steering import CourseState, Position, WalkState, WindowState
from xframe.state import file
from xframe.tasks.optimizers import named, names
from xframe.tasks.optimizers.dialects import from_dict

KINDS = ("float32", "float64", "bfloat16", "mixed_float16")
SUBJECTS = 40
Parts = dict[str, Any]  # of a file: its head, its JSON, its bytes


@dataclass
class Refusals(Result):
    """``kinds``: how many of each kind were refused."""

    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {kind}" for kind, count in sorted(self.kinds.items())]
        return "\n".join([f"{self.cases:,} damaged, forged or mismatched files of states", *lines])


def run(size: int, seed: int) -> Refusals:
    """That many files, each to be refused whether or not it is known what should be in it."""
    rng, result = random.Random(seed), Refusals()
    with tempfile.TemporaryDirectory() as folder, patch("os.fsync"):
        path = Path(folder) / "state.safetensors"
        subjects = [_drawn(rng) for _ in range(SUBJECTS)]
        for state in subjects:
            xframe.write_state(path, state)
            assert state.differences(xframe.read_state(path, state)) == []
        while result.cases < size:
            state, kind = rng.choice(subjects), rng.choice([*DAMAGES, *FORGERIES, *MISFITS])
            path.unlink(missing_ok=True)
            known = _put(path, kind, state, rng)
            if known is None:
                continue
            result.cases += 1
            mistake = _mistake(path, state if known else rng.choice([state, None]), misfit=known)
            result.kinds[kind] += mistake is None
            if mistake is not None:
                result.mismatches.append(f"case {result.cases}, {kind}: {mistake}")
    return result


def _put(path: Path, kind: str, state: xframe.State, rng: random.Random) -> bool | None:
    """Writes such a file; whether it is refused only by one that knows the state. None: there was nothing to change."""
    if kind in MISFITS:
        other = MISFITS[kind](state, rng)
        if other is None or not state.differences(other):
            return None
        try:
            file.write_state(path, other)
        except xframe.StateError:  # none can have such a file
            return None
        return True
    xframe.write_state(path, state)
    whole = path.read_bytes()
    data = DAMAGES[kind](whole, rng) if kind in DAMAGES else _forged(whole, FORGERIES[kind], rng)
    if data == whole:
        return None
    path.write_bytes(data)
    return False


def _mistake(path: Path, like: xframe.State | None, *, misfit: bool) -> str | None:
    try:
        xframe.read_state(path, like)
    except xframe.StateError as error:
        text = str(error)
        if misfit and "does not fit" not in text:
            return f"refused for a different reason: {text}"
        return None if text.isprintable() and ": got " in text else f"no clear error: {text!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "read"


# The states


def _drawn(rng: random.Random) -> xframe.State:
    """Of a few parameters and any rule, within a window or between two."""
    rule, precision = named(rng.choice(names())), rng.choice(KINDS)
    numbers = np.random.RandomState(rng.randrange(2**32))
    kind = "f8" if precision == "float64" else "f4"

    def some(shape: tuple[int, ...]) -> Any:
        values = numbers.standard_normal(shape).astype(kind)
        return (values.view("<u4") & 0xFFFF0000).view("<f4") if precision == "bfloat16" else values

    shapes = {f"dense_{i}/kernel": (rng.randrange(1, 5), rng.randrange(1, 5)) for i in range(rng.randrange(1, 4))}
    shapes |= {name.replace("kernel", "bias"): shape[1:] for name, shape in shapes.items()}
    slots: dict[str, dict[str, Any]] = {}
    for name, shape in shapes.items():
        for slot, its in rule.shapes(shape).items():
            slots.setdefault(slot, {})[name] = some(its)
    of_each = {name: some(shape) for name, shape in shapes.items()}
    return xframe.State(
        parameters=of_each,
        buffers={"batchnorm_0/mean": some((3,))} if rng.random() < 0.5 else {},
        slots=slots,
        gradients={name: some(shape) for name, shape in shapes.items()} if rng.random() < 0.5 else {},
        average=dict(of_each) if rng.random() < 0.2 else {},
        numbers={"updates": rng.randrange(100), "attempts": 100, "rate": rng.random()},
        position=_position(rng).to_dict() if rng.random() < 0.7 else None,
        rule=rule.to_dict(),
        precision=precision,
    )


def _position(rng: random.Random) -> Position:
    stopping = StoppingState(rng.choice([None, -math.inf, 0.5])) if rng.random() < 0.5 else None
    return Position(WalkState(rng.randrange(9)), WindowState(rng.randrange(99)), CourseState(stopping=stopping))


# Damage to bytes


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice([0, 1, 7, 8, 9, rng.randrange(len(data)), len(data) - 1])]


def _longer(data: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.choice([1, 8, 4096]))


def _turned(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _zeroed(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.choice([4, 64, 512])
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def _shifted(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.choice([1, 4, 8])
    return data[:at] + data[at + size :] if rng.random() < 0.5 else data[:at] + bytes(size) + data[at:]


def _long_head(data: bytes, rng: random.Random) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    sizes = [
        0,
        1,
        length - 1,
        length + 1,
        len(data),
        len(data) - 8,
        JSON_BYTES,
        JSON_BYTES + 1,
        2**40,
        2**63,
        2**64 - 1,
    ]
    return struct.pack("<Q", rng.choice(sizes)) + data[8:]


def _different(data: bytes, rng: random.Random) -> bytes:
    """A file of a different kind."""
    deep = b'{"a":' * 100_000
    texts = [
        b"{}",
        b"[]",
        b"",
        b"{" * 99,
        deep,
        b'{"a":' + b"9" * 500 + b"}",
        b'{"__metadata__":{}}',
        b"\xff\xfe{}",
        b"null",
    ]
    text = rng.choice(texts)
    starts = [
        b"PK\3\4",
        b"\x93NUMPY\1\0",
        b"\x80\4\x95",
        b"XFRAME-TRACE-1\r\n",
        b"PAR1",
        struct.pack("<Q", len(text)) + text,
    ]
    return rng.choice(starts) + rng.choice([b"", data])


# Heads that state what they should not


def _forged(data: bytes, forge: Callable[[Parts, random.Random], None], rng: random.Random) -> bytes:
    """With that in the head, and a digest that is right of it."""
    (length,) = struct.unpack_from("<Q", data)
    head, data = json.loads(data[8 : 8 + length]), data[8 + length :]
    metadata = head.pop("__metadata__")
    parts = {"arrays": head, "facts": json.loads(metadata["xframe"]), "data": data, "metadata": metadata}
    before = json.dumps(parts["facts"], sort_keys=True), json.dumps(parts["arrays"]), parts["data"]
    forge(parts, rng)
    if before == (json.dumps(parts["facts"], sort_keys=True), json.dumps(parts["arrays"]), parts["data"]):
        return struct.pack("<Q", length)  # cut, as there was nothing to forge
    metadata["xframe"] = json.dumps(parts["facts"])
    listed = []
    for name, one in sorted(parts["arrays"].items()):
        held = _held(one, parts["data"])
        listed.append([name, one.get("dtype"), one.get("shape"), hashlib.blake2b(held, digest_size=16).hexdigest()])
    text = json.dumps([metadata["xframe"], listed]).encode()
    metadata["digest"] = hashlib.blake2b(text, digest_size=16).hexdigest()
    text = json.dumps({"__metadata__": metadata, **parts["arrays"]}).encode()
    return struct.pack("<Q", len(text)) + text + parts["data"]


def _held(one: dict[str, Any], data: bytes) -> bytes:
    try:
        return data[slice(*one["data_offsets"])]
    except (KeyError, TypeError):
        return b""


def _offsets(parts: Parts, rng: random.Random) -> None:
    one = rng.choice([*parts["arrays"].values()])
    begin, end = one["data_offsets"]
    size = len(parts["data"])
    one["data_offsets"] = rng.choice(
        [
            *(
                [end, begin],
                [begin, end + 4],
                [begin + 4, end + 4],
                [begin - 4, end],
                [0, size],
                [size, size + end - begin],
            ),
            *([2**63, 2**63], [-4, 0], [begin], [begin, end, end], "0-4", None, [str(begin), end], [begin + 0.5, end]),
            *([begin, 2**64], [True, end], {"0": begin}),
        ]
    )


def _shape(parts: Parts, rng: random.Random) -> None:
    one = rng.choice([*parts["arrays"].values()])
    shape = one["shape"]
    choices = [*([*shape, 2], [0, *shape], [1] * 40 + shape, [-1], [2**62, 2**62], [1.5], None, "x", [[1]], [True, 2])]
    one["shape"] = rng.choice([choice for choice in choices if choice != shape])


def _type(parts: Parts, rng: random.Random) -> None:
    one = rng.choice([*parts["arrays"].values()])
    sizes = {"F64": 8, "F32": 4, "BF16": 2}
    others = [kind for kind, size in sizes.items() if size != sizes[one["dtype"]]]
    one["dtype"] = rng.choice([*others, "F4", "O", "f4", "", None, 4, ["F32"], "F8_E4M3", "C64"])


def _entry(parts: Parts, rng: random.Random) -> None:
    name = rng.choice([*parts["arrays"]])
    one = parts["arrays"][name]
    edits: list[Callable[[], object]] = [lambda: parts["arrays"].pop(name), lambda: one.pop(rng.choice([*one]))]
    edits += [
        lambda: one.update(code="os.system"),
        lambda: parts["arrays"].update({name: rng.choice([None, [], 3, "x"])}),
    ]
    rng.choice(edits)()
    if not isinstance(parts["arrays"].get(name), dict):
        parts["arrays"].pop(name, None)


def _name(parts: Parts, rng: random.Random) -> None:
    """An array where none can be: outside the parts, or of no parameter."""
    arrays = parts["arrays"]
    name = rng.choice([*arrays])
    places = [
        "x",
        "",
        "parameters",
        "slots",
        "slots/velocity",
        "weights/x",
        "gradients/x",
        "average/x",
        "slots/v/x",
        "/x",
    ]
    arrays[rng.choice([place for place in places if place not in arrays])] = arrays.pop(name)


def _doubled(parts: Parts, rng: random.Random) -> None:
    """A buffer by a parameter's name."""
    arrays, data = parts["arrays"], parts["data"]
    name = rng.choice([name for name in arrays if name.startswith("parameters/")])
    begin, end = arrays[name]["data_offsets"]
    entry = {**arrays[name], "data_offsets": [len(data), len(data) + end - begin]}
    arrays[name.replace("parameters", "buffers", 1)] = entry
    parts["data"] = data + data[begin:end]


def _fact(parts: Parts, rng: random.Random) -> None:
    facts = parts["facts"]
    infinite = rng.choice([math.nan, math.inf, -math.inf])
    edits: list[Callable[[], object]] = [
        lambda: facts.pop(rng.choice([*facts])),
        lambda: facts.update(format=rng.choice([0, 2, "1", None, True, 1.5])),
        lambda: facts.update(required=rng.choice([None, "rule", [1], ["rule", "weather"]])),
        lambda: facts.update(precision=rng.choice([None, "float8", ["float32"], ""])),
        lambda: facts.update(rule=rng.choice([None, [], "SGD", 3, {"learning_rate": infinite}])),
        lambda: facts.update(position=rng.choice([[], "x", 3, {"walk": {"epoch": infinite}}])),
        lambda: facts.update(numbers=rng.choice([None, [], {"rate": infinite}, {"updates": "3"}, {"updates": True}])),
        lambda: facts["numbers"].update(updates=rng.choice([10**30, None, [1], {}])),
    ]
    rng.choice(edits)()


def _beside(parts: Parts, rng: random.Random) -> None:
    """What belongs to a parameter, of a shape or type that is not the parameter's and takes as many bytes."""
    beside = [name for name in parts["arrays"] if name.partition("/")[0] in ("slots", "gradients", "average")]
    if not beside:
        return
    one = parts["arrays"][rng.choice(beside)]
    same = {"F64": ["I64", "U64"], "F32": ["I32", "U32"], "BF16": ["F16", "I16"]}[one["dtype"]]
    if one["dtype"] == "BF16" or rng.random() < 0.5:
        one["dtype"] = rng.choice(same[-1:] if one["dtype"] == "BF16" else same)
    else:
        one["shape"] = rng.choice([[*one["shape"], 1], [1, *one["shape"], 1], [math.prod(one["shape"]), 1, 1]])


def _truth(parts: Parts, rng: random.Random) -> None:
    """A truth value of neither 0 nor 1."""
    data = parts["data"]
    entry = {"dtype": "BOOL", "shape": [3], "data_offsets": [len(data), len(data) + 3]}
    parts["arrays"][rng.choice(["buffers/mask", "buffers/batchnorm_9/mean"])] = entry
    parts["data"] = data + rng.choice([b"\2\0\1", b"\0\1\xff", b"\1\x80\0"])


def _trained(parts: Parts, rng: random.Random) -> None:
    """No parameters, or one that is a whole number's."""
    data, arrays = parts["data"], parts["arrays"]
    if rng.random() < 0.5:
        for name in [*arrays]:
            if name.startswith("parameters/"):
                arrays[name.replace("parameters", "buffers", 1)] = arrays.pop(name)
            elif not name.startswith("buffers/"):
                arrays[f"buffers/{name}"] = arrays.pop(name)
    else:
        kind = rng.choice(["I8", "U8", "BOOL"])
        arrays["parameters/x"] = {"dtype": kind, "shape": [2], "data_offsets": [len(data), len(data) + 2]}
        parts["data"] = data + b"\0\1"


def _named(parts: Parts, rng: random.Random) -> None:
    """A name that none has, for a further array."""
    strange = ["", "..", "a/../b", "/a", "a/", "a//b", "./a", "a\0", "\ud800", "a\nb", "\x1b[1m", "\x7f"]
    place = f"{rng.choice(['parameters', 'buffers'])}/{rng.choice(strange)}"
    size = len(parts["data"])
    parts["arrays"][place] = {"dtype": "F64", "shape": [1], "data_offsets": [size, size + 8]}
    parts["data"] += bytes(8)


def _number(parts: Parts, rng: random.Random) -> None:
    name = rng.choice(["updates", "attempts", "loss_scale_growth"])
    numbers = parts["facts"]["numbers"]
    numbers[name] = rng.choice([-1, -5, 1.5, -0.5, 99.25])
    if rng.random() < 0.3:
        numbers |= {name: 0, **rng.choice([{"loss_scale": 0}, {"loss_scale": -2.0}, {"updates": 5, "attempts": 4}])}


def _rule(parts: Parts, rng: random.Random) -> None:
    rule = parts["facts"]["rule"]
    edits = [{"rule": "Evil"}, {"rule": None}, {"rule": ["SGD"]}, {"weather": 1}, {"learning_rate": "x"}, {"groups": 3}]
    edits += [{"learning_rate": {"name": "x"}}, {"average": {"decay": 1}}, {"average": []}, {"clip_norm": -1}]
    edits += [{"groups": [{"parameters": []}]}, {"decay": "none"}, {"clip_norm": 1, "clip_value": 1}, {"average": {}}]
    rule |= rng.choice(edits)


def _position_forged(parts: Parts, rng: random.Random) -> None:
    """Of wrong kinds, in any place."""
    position = _position(rng).to_dict()
    position["course"]["stopping"] = {"best": 1.0, "best_validation": 0, "seen": 1, "waited": 0}
    part = rng.choice([*position, "stopping"])
    held = position["course"]["stopping"] if part == "stopping" else position[part]
    choices: list[Any] = [[], {}, "x", -1.5, [1]]
    key = rng.choice([*held])
    held[key] = rng.choice(choices)
    if rng.random() < 0.3:
        held.pop(key)
        held["weather"] = 1
    parts["facts"]["position"] = rng.choice([position, {}, {"step": 1}, {**position, "walk": rng.choice(choices[1:])}])


# Whole files of a different training


def _an_array(state: xframe.State, rng: random.Random, change: Callable[[Any], Any]) -> xframe.State:
    """The state with a parameter, and what belongs to it, changed; None is left out."""
    name = rng.choice([*state.parameters])

    def of(held: Any) -> dict[str, Any]:
        changed = {key: change(values) if key == name else values for key, values in held.items()}
        return {key: values for key, values in changed.items() if values is not None}

    slots = {slot: of(held) for slot, held in state.slots.items()}
    parts = {part: of(getattr(state, part)) for part in ("parameters", "gradients", "average")}
    return dataclasses.replace(state, slots=slots, **parts)


def _one_more(state: xframe.State, rng: random.Random) -> xframe.State:
    part = rng.choice(["parameters", "buffers"])
    return dataclasses.replace(state, **{part: {**getattr(state, part), "dense_9/kernel": np.zeros((2, 2), "f4")}})


def _no_slot(state: xframe.State, rng: random.Random) -> xframe.State | None:
    if not state.slots:
        return None
    slot = rng.choice([*state.slots])
    held = dict(state.slots[slot])
    held.pop(rng.choice([*held]))
    return dataclasses.replace(state, slots={**state.slots, slot: held})


def _other_slot(state: xframe.State, rng: random.Random) -> xframe.State:
    return dataclasses.replace(state, slots={**state.slots, "memory": dict(state.parameters)})


def _other_rule(state: xframe.State, rng: random.Random) -> xframe.State:
    rule = from_dict(state.rule)
    other = named(rng.choice(names())) if rng.random() < 0.5 else dataclasses.replace(rule, weight_decay=0.5)
    return dataclasses.replace(state, rule=other.to_dict())


def _other_precision(state: xframe.State, rng: random.Random) -> xframe.State:
    return dataclasses.replace(state, precision=rng.choice([kind for kind in KINDS if kind != state.precision]))


def _other_number(state: xframe.State, rng: random.Random) -> xframe.State:
    fewer = dict(state.numbers)
    fewer.pop(rng.choice([*fewer]))
    return dataclasses.replace(state, numbers=rng.choice([fewer, {**state.numbers, "loss_scale": 1.0}]))


def _wider(values: Any) -> Any:
    return values.astype("f4" if values.dtype == "f8" else "f8")


MISFITS: dict[str, Callable[[xframe.State, random.Random], xframe.State | None]] = {
    "misfit: an array less": lambda state, rng: _an_array(state, rng, lambda values: None),
    "misfit: a different shape": lambda state, rng: _an_array(state, rng, lambda values: values[..., None]),
    "misfit: a different type": lambda state, rng: _an_array(state, rng, _wider),
    "misfit: an array more": _one_more,
    "misfit: a slot less": _no_slot,
    "misfit: a slot more": _other_slot,
    "misfit: a different rule": _other_rule,
    "misfit: a different precision": _other_precision,
    "misfit: different numbers": _other_number,
}
DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "damage: cut": _cut,
    "damage: longer": _longer,
    "damage: a bit turned": _turned,
    "damage: zeros": _zeroed,
    "damage: shifted": _shifted,
    "damage: its head's length": _long_head,
    "damage: a different file": _different,
}
FORGERIES: dict[str, Callable[[Parts, random.Random], None]] = {
    "forged: offsets": _offsets,
    "forged: a shape": _shape,
    "forged: a type": _type,
    "forged: an entry": _entry,
    "forged: a name": _name,
    "forged: a name twice": _doubled,
    "forged: a fact": _fact,
    "forged: not of its parameter": _beside,
    "forged: a truth value": _truth,
    "forged: what is trained": _trained,
    "forged: a strange name": _named,
    "forged: a number": _number,
    "forged: a rule": _rule,
    "forged: a position": _position_forged,
}

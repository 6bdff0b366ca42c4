"""Heads of states' files that state what they should not, with a digest that is right of them."""

import hashlib
import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

import xxhash

from xframe.plan.stopping import StoppingState
from xframe.running.steering import CourseState, Position, WalkState, WindowState

Parts = dict[str, Any]  # of a file: its head, its JSON, its bytes


def position(rng: random.Random) -> Position:
    stopping = StoppingState(rng.choice([None, -math.inf, 0.5])) if rng.random() < 0.5 else None
    return Position(WalkState(rng.randrange(9)), WindowState(rng.randrange(99)), CourseState(stopping=stopping))


def forged(data: bytes, forge: Callable[[Parts, random.Random], None], rng: random.Random) -> bytes:
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
        listed.append([name, one.get("dtype"), one.get("shape"), xxhash.xxh3_128_hexdigest(held)])
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
    stated = position(rng).to_dict()
    stated["course"]["stopping"] = {"best": 1.0, "best_validation": 0, "seen": 1, "waited": 0}
    part = rng.choice([*stated, "stopping"])
    held = stated["course"]["stopping"] if part == "stopping" else stated[part]
    choices: list[Any] = [[], {}, "x", -1.5, [1]]
    key = rng.choice([*held])
    held[key] = rng.choice([choice for choice in choices if key != "best" or choice != -1.5])  # a best may be that
    if rng.random() < 0.3:
        held.pop(key)
        held["weather"] = 1
    parts["facts"]["position"] = rng.choice([stated, {}, {"step": 1}, {**stated, "walk": rng.choice(choices[1:])}])


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

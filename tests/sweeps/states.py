"""States' files that are damaged, forged or of a different training: each is refused with one clear error.

Damage is to the bytes. Forgeries are edited heads with a digest that is right of them. What does not fit is a whole
file whose arrays, numbers, rule or precision are not those that are expected.
"""

import dataclasses
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
from sweeps._state_forgeries import FORGERIES, forged, position
from xframe.files.limits import JSON_BYTES
from xframe.state import file
from xframe.tasks.optimizers import named, names
from xframe.tasks.optimizers.dialects import from_dict

KINDS = ("float32", "float64", "bfloat16", "mixed_float16")
SUBJECTS = 40


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
    data = DAMAGES[kind](whole, rng) if kind in DAMAGES else forged(whole, FORGERIES[kind], rng)
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
        position=position(rng).to_dict() if rng.random() < 0.7 else None,
        rule=rule.to_dict(),
        precision=precision,
    )


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

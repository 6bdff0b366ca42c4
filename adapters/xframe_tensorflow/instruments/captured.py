"""What a captured update is made of: tensors on their way out of a graph, and the Record that comes of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe.precision import PRECISIONS
from xframe.recording.attach.capturing import Capture
from xframe.state.pairing import undecided
from xframe.state.record import STAGES, Record
from xframe.state.state import State
from xframe_tensorflow.instruments.graphs import factors
from xframe_tensorflow.pairing import described

Arrays = dict[str, NDArray[Any]]
_OF_BATCH = "batch", "forward", "loss"
_PARTS = ("parameters", "buffers", "gradients", "average")
_ACCUMULATED, _AVERAGED = "_accumulated_gradients", "_model_variables_moving_average"
_LEFT_OUT = ("name", "dtype", "trainable", "build_config", "layers", "input_layers", "output_layers")


@dataclass(eq=False, slots=True)
class Parcel:
    """Tensors by path, as they leave a graph. A product leaves as its factors, a sparse gradient as its rows.

    A graph's optimizer computes a product that no one else reads in another order: reading it would round anew.
    """

    tensors: list[Any] = field(default_factory=list)
    plan: list[tuple[str, str, int, tuple[Any, ...]]] = field(default_factory=list)

    def add(self, path: str, tensor: Any) -> bool:
        """One more, if a file can hold what it is of; whether it can."""
        if isinstance(tensor, tf.IndexedSlices):
            shape = tuple(tensor.dense_shape) if isinstance(tensor.dense_shape, (tuple, list)) else ()
            parts, how = [tensor.values, tensor.indices], "rows"
        else:
            tensor, shape, how = tf.convert_to_tensor(tensor), (), "product"
            parts = factors(tensor)
        known = all(one.dtype.is_floating or one.dtype.is_integer or one.dtype.is_bool for one in parts)
        if known:
            self.plan.append((path, how, len(parts), shape))
            self.tensors += parts
        return known

    def extend(self, other: Parcel, before: str) -> None:
        """What is in another, with this before its names within a stage."""
        for path, how, count, shape in other.plan:
            stage, _, name = path.partition("/")
            self.plan.append((f"{stage}/{before}{name}", how, count, shape))
        self.tensors += other.tensors

    def arrays(self, flat: Sequence[Any], shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """What came out; ``shapes`` are those of parameters."""
        given, found = iter(flat), dict[str, NDArray[Any]]()
        for path, how, count, _ in self.plan:
            parts = [_array(next(given)) for _ in range(count)]
            if how == "product":
                found[path] = functools.reduce(np.multiply, parts)
            else:
                values, rows = parts
                dense = np.zeros((shapes[path.partition("/")[2]][0], *values.shape[1:]), values.dtype)
                np.add.at(dense, rows, values)
                found[path] = dense
        return found


def _array(tensor: Any) -> NDArray[Any]:
    """A copy; of bfloat16 as float32, which has every value of it."""
    values: NDArray[Any] = np.array(tensor.numpy())
    return values if values.dtype.kind in "iufb" else values.astype(np.float32)


class Names:
    """What an optimizer trains and keeps: variables by the paths of a ``State``.

    Attributes:
        trained: by name.
        kept: what it keeps of each, such as ``slots/momentum/dense/kernel``.
        scalars: what it counts.
    """

    def __init__(self, optimizer: Any) -> None:
        variables = list(optimizer._trainable_variables)
        self.names = dict(zip(map(key, variables), _unique(map(name_of, variables)), strict=True))
        self.trained = {self.names[key(one)]: one for one in variables}
        self.kept: dict[str, Any] = {}
        held = set[int]()
        for attribute, listed in vars(optimizer).items():
            if attribute in ("_variables", "_trainable_variables") or not isinstance(listed, (list, tuple)):
                continue
            if len(listed) != len(variables) or not all(one is None or is_variable(one) for one in listed):
                continue
            for variable, one in zip(variables, listed, strict=True):
                if one is not None and key(one) not in self.names:
                    held.add(key(one))
                    self.kept[f"{_part(attribute, variable, one)}/{self.names[key(variable)]}"] = one
        rest = {key(one) for one in optimizer._variables if key(one) not in held and not len(one.shape)}
        counted = [(name, one) for name, one in vars(optimizer).items() if is_variable(one) and key(one) in rest]
        self.scalars = {name.strip("_"): one for name, one in counted}
        self.shapes = {name: tuple(one.shape) for name, one in self.trained.items()}

    def name(self, variable: Any) -> str:
        """Of a parameter."""
        return self.names[key(variable)]

    def state(self, extra: Mapping[str, Any]) -> Parcel:
        """The variables as they are here and now, with further numbers."""
        parcel = Parcel()
        for name, one in self.trained.items():
            parcel.add(f"parameters/{name}", read(one))
        for path, one in self.kept.items():
            parcel.add(path, read(one))
        for name, one in self.scalars.items():
            parcel.add(f"numbers/{name}", read(one))
        for name, number in extra.items():
            parcel.add(f"numbers/{name}", number)
        return parcel


class Spared:
    """A machine that is spared what goes wrong in capturing: that ends the capturing alone, and the trace says so.

    Attributes:
        over: something has.
        next: index of the update that would have been kept next.
    """

    def __init__(self, capture: Capture) -> None:
        self.capture, self.over, self.next = capture, False, 0

    def failed(self, error: Exception) -> None:
        """Nothing more is captured."""
        if not self.over:
            self.over = True
            self.capture.leave_out(self.next, f"it failed: {type(error).__name__}: {error}")


@dataclass(eq=False, slots=True)
class Known:
    """An optimizer: its number, its iterations as it was first seen, the steps of its window, its steps by hand."""

    number: int
    first: int
    window: int
    count: int = 0
    before: list[Arrays] = field(default_factory=list)  # steps of the window that is open


@dataclass(eq=False, slots=True)
class Place:
    """Where an optimizer steps: in a graph one for each trace of it, else one for each step.

    Attributes:
        due: whether this update is captured; None: it is, nothing else comes here.
        stages: what led to it; buffers: those of its models before and after.
        apart: what a function computed by itself.
        taken: what in its graph has taken something last; held: that, of the update under way.
    """

    known: Known
    optimizer: Any
    graph: Any
    due: Any
    names: Names
    variables: list[Any]
    facts: dict[str, Any]
    stages: Parcel
    buffers: dict[str, Any]
    outer: Any = None
    apart: Arrays = field(default_factory=dict)
    taken: list[Any] = field(default_factory=list)
    held: dict[str, Arrays] = field(default_factory=dict)


def _part(attribute: str, variable: Any, kept: Any) -> str:
    if attribute in (_ACCUMULATED, _AVERAGED):
        return "gradients" if attribute == _ACCUMULATED else "average"
    owner = getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
    slot = kept.name.removeprefix(f"{owner}_") if kept.name.startswith(owner) else attribute.strip("_")
    return f"slots/{slot.replace('/', '_')}"


def is_variable(one: Any) -> bool:
    """Of Keras or TensorFlow."""
    return isinstance(one, (keras.Variable, tf.Variable))


def read(variable: Any) -> Any:
    """Its value here and now."""
    return (variable._value if isinstance(variable, keras.Variable) else variable).read_value()


def key(variable: Any) -> int:
    """What a variable is known by, Keras' or the one that it holds."""
    return id(variable._value) if isinstance(variable, keras.Variable) else id(variable)


def name_of(variable: Any) -> str:
    """As its model calls it."""
    return str(getattr(variable, "path", None) or variable.name).strip("/") or "variable"


def _unique(names: Iterable[str]) -> Iterator[str]:
    seen = dict[str, int]()
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}~{seen[name]}"


def buffers_of(layer: Any, trained: Names | None = None) -> dict[str, Any]:
    """What a model moves without a gradient, or has and this optimizer does not train, by name."""
    variables = [one for one in getattr(layer, "variables", ()) if tf.as_dtype(one.dtype).is_floating]
    if trained is None:
        return {name_of(one): one for one in variables if not one.trainable}
    return {name_of(one): one for one in variables if key(one) not in trained.names}


def model_facts(model: Any, names: Names) -> dict[str, Any]:
    """What model it is, and its parameters as ``xframe.state.pairing.Described`` has them, in order."""
    found = list[dict[str, Any]]()
    seen = set[int]()
    if isinstance(model, keras.Model):
        for one, variable in described(model):
            if tf.as_dtype(variable.dtype).is_floating:
                seen.add(key(variable))
                found.append(one._replace(name=names.names.get(key(variable), one.name))._asdict())
    for name, variable in names.trained.items():
        if key(variable) not in seen:
            shape = tuple(variable.shape)
            found.append(
                {"name": name, "shape": shape, "kind": "", "role": "", "layouts": undecided(shape), "optional": False}
            )
    return {"class": type(model).__name__ if model is not None else None, "parameters": found}


def layer_facts(name: str, layer: Any) -> dict[str, Any]:
    """Its class, what it states of itself, and its variables."""
    try:
        config = dict(layer.get_config())
    except Exception:  # a script's own
        config = {}
    plain = (bool, int, float, str, type(None), tuple, list)
    settings = {key: one for key, one in config.items() if key not in _LEFT_OUT and isinstance(one, plain)}
    owned = {one.name: name_of(one) for one in getattr(getattr(layer, "cell", layer), "variables", ())}
    return {"name": name, "class": type(layer).__name__, "settings": settings, "parameters": owned}


def whole(window: Sequence[Arrays], clipped: Arrays) -> Arrays:
    """An update's stages: of its steps what led to its gradient, of the last its gradient, and what clipping left."""
    found = dict(window[-1]) if len(window) == 1 else {}
    for number, stages in enumerate(window if len(window) > 1 else ()):
        for path, one in stages.items():
            stage, _, name = path.partition("/")
            if stage in _OF_BATCH:
                found[f"{stage}/window/{number}/{name}" if number else path] = one
    found |= clipped
    for path in [path for path in found if path.startswith("gradient/")]:
        found.setdefault(f"clipping/{path.partition('/')[2]}", found[path])
    return found


def record(step: int, held: Mapping[str, Arrays], names: Names, window: int, facts: Mapping[str, Any]) -> Record:
    """Of what was taken before the update and after it, by path."""
    before, after = held["before"], held["after"]
    stages = dict[str, Arrays]()
    for path, values in held["stages"].items():
        stage, _, name = path.partition("/")
        stages.setdefault(stage, {})[name] = values
    stages = {stage: stages[stage] for stage in STAGES if stage in stages}
    wide = {str(np.dtype(tf.as_dtype(one.dtype).as_numpy_dtype)) for one in names.trained.values()}
    policy = keras.config.dtype_policy().name
    precision = policy if policy in PRECISIONS else "float32"
    for one in ("float64", "bfloat16"):
        precision = one if wide == {one} else precision
    states = [_state(one, window, precision) for one in (before, after)]
    return Record(step, before=states[0], stages=stages, after=states[1], facts=facts)


def _state(arrays: Arrays, window: int, precision: str) -> State:
    parts: dict[str, Any] = {part: {} for part in _PARTS}
    slots, numbers = dict[str, Arrays](), dict[str, float]()
    for path, values in arrays.items():
        part, _, name = path.partition("/")
        if part == "slots":
            slot, _, name = name.partition("/")
            slots.setdefault(slot, {})[name] = values
        elif part == "numbers":
            number = values.item()
            numbers[name] = number if not isinstance(number, bool) else int(number)
        else:
            parts[part][name] = values
    if "iterations" in numbers:
        numbers["updates"] = int(numbers["iterations"]) // window
    return State(**parts, slots=slots, numbers=numbers, precision=precision)

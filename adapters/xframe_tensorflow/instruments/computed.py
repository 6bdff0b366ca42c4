"""What was computed before an update: a model's calls, its layers', a loss's, and what of it is taken for a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops

from xframe.recording.attach.capturing import nested
from xframe_tensorflow.instruments.captured import Names, Parcel, buffers_of, layer_facts
from xframe_tensorflow.instruments.gradients import behind
from xframe_tensorflow.instruments.steps import Step


@dataclass(eq=False, slots=True)
class Call:
    """Of a model that no other calls: what it took and returned, its buffers before, and its layers' outputs."""

    model: Any
    given: Any
    training: bool | None
    buffers: list[tuple[str, Any]]
    returned: Any = None
    layers: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Compared:
    """A call of a loss."""

    facts: dict[str, Any]
    targets: Any
    outputs: Any
    weights: Any
    value: Any


@dataclass(eq=False, slots=True)
class Seen:
    """What was computed in a graph since an optimizer stepped in it; ``over``: one has, and what comes next is new."""

    calls: list[Call] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)
    over: bool = False


def trains(model: Any, names: Names) -> bool:
    """Whether this optimizer trains some of it."""
    return len(buffers_of(model, names)) < len(
        [one for one in getattr(model, "variables", ()) if tf.as_dtype(one.dtype).is_floating]
    )


def taken(seen: Seen, models: list[Call], step: Step | None, grads: list[Any], graph: Any) -> tuple[Parcel, list[Any]]:
    """The batch, the outputs of the model and its layers, the loss and what it compared; and the layers' facts."""
    parcel, known = Parcel(), set[int]()

    def add(path: str, value: Any, *, free: bool = False) -> None:
        for name, one in nested(path, value, lambda leaf: hasattr(leaf, "shape") and hasattr(leaf, "dtype")).items():
            if not isinstance(one, tf.Tensor) and hasattr(one, "graph"):
                continue
            if within_reach(one, graph) and not (free and id(one) not in known and _may_be_fused(one)):
                parcel.add(name, one)
                known.add(id(one))

    data = step.data if step is not None and step.fixed else None
    x, y, weights = _divided(data)
    compared = seen.compared
    add("batch/features", x if data is not None else _one([call.given for call in models]))
    add("batch/targets", _one([one.targets for one in compared]) if compared else y)
    add("batch/weights", weights if data is not None else _one([one.weights for one in compared]))
    if step is not None and step.ids is not None:
        add("batch/ids", step.ids)
    outputs = [one.outputs for one in compared] or [call.returned for call in models]
    returned = _one([call.returned for call in models])
    add("forward/outputs", _one(outputs))
    if returned is not _one(outputs):
        add("forward/returned", returned)
    layers, times = list[dict[str, Any]](), dict[str, int]()
    for layer, value in [each for call in models for each in call.layers]:
        name = str(getattr(layer, "path", None) or layer.name)
        times[name] = times.get(name, 0) + 1
        name = name if times[name] == 1 else f"{name}~{times[name]}"
        layers.append(layer_facts(name, layer))
        add(f"forward/{name}/outputs", value, free=True)
    for number, one in enumerate(compared):
        add(f"loss/terms/{number}/value", one.value)
    losses = {id(one.loss): one.loss for one in behind(step.taken, grads)} if step is not None and step.taken else {}
    if len(losses) == 1:
        add("loss/loss", next(iter(losses.values())))
    return parcel, layers


def _one(values: list[Any]) -> Any:
    """A single one as it is."""
    return values[0] if len(values) == 1 else values


def _divided(data: Any) -> tuple[Any, Any, Any]:
    """Features, targets and weights of what ``fit`` hands to a training step."""
    if isinstance(data, (tuple, list)):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        return x, y, weights
    return data, None, None


def within_reach(tensor: Any, graph: Any) -> bool:
    """Whether what is computed here, or where this branch is, can read it."""
    if not isinstance(tensor, tf.Tensor) or isinstance(tensor, ops.EagerTensor):
        return True
    while graph is not None:
        if tensor.graph is graph:
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def _may_be_fused(tensor: Any) -> bool:
    """Whether a graph's optimizer may fuse it with the one operation that reads it."""
    return isinstance(tensor, tf.Tensor) and not isinstance(tensor, ops.EagerTensor) and len(tensor.consumers()) < 2

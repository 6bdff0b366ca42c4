"""What was computed before an update: a model's calls, its layers', a loss's, and what of it is taken for a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops

from xframe.recording.attach.capturing import nested
from xframe_tensorflow.instruments.captured import Names, Parcel, key, layer_facts, model_facts
from xframe_tensorflow.instruments.gradients import Taken
from xframe_tensorflow.instruments.steps import Step

Facts = dict[str, Any]
_MOST = 64  # passes before an update


@dataclass(eq=False, slots=True)
class Call:
    """Of a model that no other calls: what it took and returned, its buffers before, what its layers took and gave."""

    model: Any
    given: Any
    training: bool | None
    buffers: list[tuple[str, Any]]
    returned: Any = None
    layers: list[tuple[Any, Any, Any]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Compared:
    """A call of a loss."""

    facts: dict[str, Any]
    targets: Any
    outputs: Any
    weights: Any
    value: Any


@dataclass(eq=False, slots=True)
class Pass:
    """What was computed under one tape, and the gradients that were taken since, with those at what losses took."""

    tape: Any
    calls: list[Call] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    slopes: list[dict[int, Any]] = field(default_factory=list)
    asked: list[Compared] = field(default_factory=list)

    def of(self, grads: list[Any]) -> list[Taken]:
        """The calls of ``tape.gradient`` from which came what is applied, as it is."""
        applied = {id(one) for one in grads if one is not None}
        return [one for one in self.taken if id(one.first()) in applied]


@dataclass(eq=False, slots=True)
class Seen:
    """What was computed in a graph since an optimizer stepped in it; ``over``: one has, and what comes next is new."""

    passes: list[Pass] = field(default_factory=list)
    over: bool = False

    def under(self, tape: Any) -> Pass:
        """What is computed under that tape, the outermost one, by a weak reference."""
        if self.over:
            self.passes, self.over = [], False
        if not self.passes or self.passes[-1].tape is not tape:
            self.passes = [one for one in self.passes[-_MOST:] if one.taken or (one.tape and one.tape() is not None)]
            self.passes.append(Pass(tape))
        return self.passes[-1]

    def before(self, grads: list[Any]) -> list[Pass]:
        """The passes whose gradients are applied: the ones that are known to be, or else all that had any."""
        return [one for one in self.passes if one.of(grads)] or [one for one in self.passes if one.taken] or self.passes


def trains(model: Any, names: Names) -> bool:
    """Whether this optimizer trains some of it."""
    return any(one in names.names for one in map(key, getattr(model, "variables", ())))


def taken(each: Pass, step: Step | None, names: Names, grads: list[Any], graph: Any) -> tuple[Parcel, Facts]:
    """The batch, the outputs of model and layers, the loss and what it compared; and facts of layers, losses, mode."""
    parcel, known, left = Parcel(), set[int](), list[str]()

    def add(path: str, value: Any, *, free: bool = False) -> None:
        for name, one in nested(path, value, _is_array).items():
            if within_reach(one, graph) and not (free and id(one) not in known and _may_be_fused(one)):
                if not parcel.add(name, one):
                    left.append(f"{name}, which is of {tf.as_dtype(one.dtype).name}")
                known.add(id(one))

    of = each.of(grads)
    calls = [call for call in each.calls if trains(call.model, names)] or each.calls
    compared = _compared(each, of)
    x, y, weights = _divided(step.data if step is not None and step.fixed else None)
    add("batch/features", _one([call.given for call in calls]) if calls else x)
    add("batch/targets", _one([one.targets for one in compared]) if compared else y)
    add("batch/weights", _one([one.weights for one in compared]) if compared else weights)
    add("batch/ids", None if step is None else step.ids)
    returned = [call.returned for call in calls]
    add("forward/outputs", _one([one.outputs for one in compared] or returned))
    if compared and any(id(one) not in known for one in nested("", returned, _is_array).values()):
        add("forward/returned", _one(returned))
    layers, times = list[dict[str, Any]](), dict[str, int]()
    for call in calls:
        before = call.given
        for layer, given, value in call.layers:
            name = str(getattr(layer, "path", None) or layer.name)
            times[name] = times.get(name, 0) + 1
            name = name if times[name] == 1 else f"{name}~{times[name]}"
            layers.append(layer_facts(name, layer))
            if given is not before:
                add(f"forward/{name}/inputs", given, free=True)
            add(f"forward/{name}/outputs", value, free=True)
            before = value
    slopes = next(
        (
            slopes
            for one, slopes in zip(each.taken, each.slopes, strict=True)
            if any(one is other for other in of or each.taken)
        ),
        {},
    )
    for number, one in enumerate(compared):
        add(f"loss/terms/{number}/value", one.value)
        add(f"loss/terms/{number}/slope" if number else "loss/slope", slopes.get(id(one)), free=True)
    losses = {id(one.loss): one.loss for one in of or each.taken}
    add("loss/loss", next(iter(losses.values())) if len(losses) == 1 else None)
    modes = [call.training for call in calls if call.training is not None]
    largest = max(calls, key=lambda call: len(getattr(call.model, "variables", ())), default=None)
    facts: Facts = {"layers": layers, "losses": [one.facts for one in compared]}
    facts["training"] = modes[0] if modes else None
    facts["model"] = model_facts(None if largest is None else largest.model, names)
    missing = [what for what, there in (("what the model took and computed", calls), ("the loss", losses)) if not there]
    return parcel, {
        **facts,
        "left_out": [*left, *(f"{one}: not in a graph or tape with the update" for one in missing)],
    }


def _compared(each: Pass, of: list[Taken]) -> list[Compared]:
    """The losses that a gradient is of: the one that it was taken of, or else those that no other was."""
    mine = {id(one.loss) for one in of}
    others = {id(one.loss) for one in each.taken} - mine
    exact = [one for one in each.compared if id(one.value) in mine]
    return exact or [one for one in each.compared if not of or id(one.value) not in others]


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, tf.Tensor):
        return True
    placeholder = isinstance(leaf, keras.KerasTensor) or hasattr(leaf, "graph")  # as while a model is built
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype") and not placeholder


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


def is_differentiable(tensor: Any, graph: Any) -> bool:
    """Whether it is a tensor of that graph, or of none, that can have a gradient."""
    here = isinstance(tensor, ops.EagerTensor) if graph is None else getattr(tensor, "graph", None) is graph
    return isinstance(tensor, tf.Tensor) and here and tensor.dtype.is_floating


def _may_be_fused(tensor: Any) -> bool:
    """Whether a graph's optimizer may fuse it with the one operation that reads it."""
    return isinstance(tensor, tf.Tensor) and not isinstance(tensor, ops.EagerTensor) and len(tensor.consumers()) < 2

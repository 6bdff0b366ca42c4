"""Takes updates apart as they run, see ``xframe.recording.attach.capturing``: in a graph where it computes them.

There a condition on the optimizer's own counter leads what is to be kept out of the graph; an update that is not
captured passes it by. Nothing else may change, down to rounding: what a graph's optimizer would fuse with what follows
is left as it is.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import record as tapes
from tensorflow.python.ops import control_flow_util

from xframe.recording.attach.capturing import Capture
from xframe.recording.attach.patches import Patches, harmless
from xframe.recording.versions import loaded_versions
from xframe_tensorflow import settings
from xframe_tensorflow.instruments import captured
from xframe_tensorflow.instruments.apart import Apart
from xframe_tensorflow.instruments.captured import Arrays, Known, Names, Parcel, Place, Spared
from xframe_tensorflow.instruments.computed import (
    Call,
    Compared,
    Pass,
    Seen,
    is_differentiable,
    taken,
    trains,
    within_reach,
)
from xframe_tensorflow.instruments.gradients import taken as gradients_taken
from xframe_tensorflow.instruments.graphs import graph_here
from xframe_tensorflow.instruments.steps import Step, Steps

_FURTHER = 48  # captured updates after the first ones, each twice as far
_MOST_CALLS = 16
_IN_XLA = "it is compiled by XLA, which nothing leaves: for a capture, jit_compile=False"


class Capturing:
    """Gives a machine's ``capture`` the updates that it wants."""

    def __init__(self, steps: Steps, capture: Capture, unclipped: Callable[[Any], tuple[Any, Any]]) -> None:
        self.steps = steps
        self.machine = Spared(capture)
        self.capture = capture
        self.apart = Apart(steps, self.machine)
        self._unclipped = unclipped  # of a gradient: what the script clipped, and how
        self._seen: weakref.WeakKeyDictionary[Any, Seen] = weakref.WeakKeyDictionary()
        self._outside = Seen()
        self._calls: list[Call] = []  # under way
        self._known: dict[int, Known] = {}
        self._scaler: Any = None  # what scales losses, around the optimizer that steps
        self._place: Place | None = None
        self._optimizers: list[Any] = []  # kept alive, as they are known by address

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(keras.optimizers.Optimizer, "_backend_apply_gradients", self._seen_update)
        patches.replace(keras.optimizers.Optimizer, "_clip_gradients", self._seen_clipping)
        for kind in (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer):
            patches.replace(kind, "apply", self._seen_apply)

    # What is computed.

    def _here(self) -> Pass | None:
        """Where what is computed here is kept; None: the coming update is not captured."""
        graph = graph_here()
        if self.machine.over:
            return None
        if graph is None:
            if self._known and not any(self._due_by_hand(one) for one in self._known.values()):
                self._outside = Seen() if self._outside.over else self._outside
                return None
            seen = self._outside
        else:
            seen = self._seen.setdefault(graph, Seen())
        return seen.under(self.steps.tape)

    def _due_by_hand(self, known: Known) -> bool:
        return bool(self.capture.due((known.first + known.count) // known.window - known.first // known.window))

    @harmless
    def begins(self, model: Any, given: Any, training: bool | None) -> None:
        """A model that no other calls begins to compute under a tape."""
        self._calls = []
        here = self._here()
        if here is None or len(here.calls) >= _MOST_CALLS:
            return
        buffers = captured.buffers_of(model) if getattr(model, "built", False) else {}
        with tapes.stop_recording():
            held = [(name, captured.read(one)) for name, one in buffers.items()]
        self._calls = [Call(model, given, training, held)]
        here.calls += self._calls

    @harmless
    def within(self, layer: Any, given: Any, returned: Any) -> None:
        """A layer of it has computed."""
        if self._calls and not isinstance(layer, keras.Model) and not isinstance(returned, keras.KerasTensor):
            self._calls[0].layers.append((layer, given[0] if given else None, returned))

    @harmless
    def ended(self, model: Any, given: Any, returned: Any) -> None:
        """The model has computed."""
        self.within(model, given, returned)  # which may be a layer by itself
        if self._calls:
            self._calls.pop().returned = returned

    @harmless
    def compared(self, facts: Callable[[], dict[str, Any]], compared: Sequence[Any], value: Any) -> None:
        """A loss compared targets with outputs under a tape, perhaps with weights."""
        here = self._here()
        if here is not None and len(here.compared) < _MOST_CALLS:
            targets, outputs, weights = [*compared, None, None][:3]
            here.compared.append(Compared(facts(), targets, outputs, weights, value))

    @harmless
    def outputs(self) -> list[Any]:
        """What losses took under the tape whose gradients are about to be taken: theirs are captured too."""
        graph, here = graph_here(), self._last()
        if here is None or (graph is not None and control_flow_util.GraphOrParentsInXlaContext(graph)):
            return []
        here.asked = [one for one in here.compared if is_differentiable(one.outputs, graph)]
        return [one.outputs for one in here.asked]

    @harmless
    def backward(self, loss: Any, gradients: Any, slopes: list[Any]) -> None:
        """These gradients were taken of this loss, and those of what losses took."""
        here = self._last()
        if here is not None:
            named = {id(one): slope for one, slope in zip(here.asked, slopes, strict=False) if slope is not None}
            here.taken.append(gradients_taken(loss, None, gradients))
            here.slopes.append(named)

    def _last(self) -> Pass | None:
        graph = graph_here()
        seen = self._outside if graph is None else self._seen.get(graph)
        return None if seen is None or seen.over or not seen.passes else seen.passes[-1]

    @harmless
    def calling(self) -> None:
        """A function is about to be called, outside of any."""
        self.apart.calling(due=not self._known or any(map(self._due_by_hand, self._known.values())))

    @harmless
    def whole(self) -> None:
        """The graph that was being made is."""
        graph = graph_here()
        if graph in self._seen:
            self.apart.ends(graph, self._seen.pop(graph), self.steps.under_way(graph))

    @harmless
    def finish(self) -> None:
        """Nothing more will come: if no optimizer has, the trace says so."""
        if not self._known and self.steps.machine.begun:
            self.capture.leave_out(0, "none of Keras' optimizers stepped")

    # What an optimizer does.

    def _seen_apply(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def apply(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if hasattr(optimizer, "inner_optimizer"):
                self._scaler = optimizer
                try:
                    return original(optimizer, *args, **kwargs)
                finally:
                    self._scaler = None
            self._place = None
            returned = original(optimizer, *args, **kwargs)
            place, self._place = self._place, None
            if place is not None:
                self._after(place)
            return returned

        return apply

    def _seen_update(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _backend_apply_gradients(optimizer: Any, grads: Any, trainable_variables: Any) -> Any:
            grads, variables = list(grads), list(trainable_variables)
            self._before(optimizer, grads, variables)
            return original(optimizer, grads, variables)

        return _backend_apply_gradients

    def _seen_clipping(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _clip_gradients(optimizer: Any, grads: Any) -> Any:
            clipped = original(optimizer, grads)
            if self._place is not None and self._place.optimizer is optimizer:
                self._clipped(self._place, list(grads), list(clipped))
            return clipped

        return _clip_gradients

    def _know(self, optimizer: Any) -> Known:
        known = self._known.get(id(optimizer))
        if known is None:
            with tf.init_scope():
                first = int(optimizer._iterations)
            known = Known(len(self._known), first, optimizer.gradient_accumulation_steps or 1)
            self._known[id(optimizer)] = known
            self._optimizers.append(optimizer)
        return known

    @harmless
    def _before(self, optimizer: Any, grads: list[Any], variables: list[Any]) -> None:
        if self.machine.over:
            return
        graph, known = graph_here(), self._know(optimizer)
        if graph is not None and control_flow_util.GraphOrParentsInXlaContext(graph):
            self.capture.leave_out(0, _IN_XLA, known.number)
            return
        due = None
        if graph is None:
            wanted = self._due_by_hand(known)
            known.count += 1
            if not wanted:
                return
        else:
            due = self._due(optimizer, known)
        names = Names(optimizer)
        seen, step = self._origin(graph)
        unclipped = [self._unclipped(one)[0] for one in grads]
        place = Place(known, optimizer, graph, due, names, variables, {}, Parcel(), {}, self._scaler)
        place.facts = self._facts(place)
        buffers = self._take_passes(place, seen.before(unclipped), step, unclipped)
        self._take_gradients(place, grads)
        if graph is None and not seen.passes:
            place.apart = self.apart.join(place)
        seen.over = True
        self._take(place, {"stages": place.stages, "before": buffers}, "before", self._kept_before)
        self._place = place

    def _due(self, optimizer: Any, known: Known) -> Any:
        """Whether the update that this graph is about to make is captured."""
        first = known.first // known.window
        further = [self.capture.updates << power for power in range(1, _FURTHER)]
        indices = [*range(self.capture.updates), *(one for one in further if one < 1 << 62)]
        here = captured.read(optimizer._iterations) // known.window - first
        return tf.reduce_any(tf.equal(tf.cast(here, tf.int64), tf.constant(indices, tf.int64)))

    def _origin(self, graph: Any) -> tuple[Seen, Step | None]:
        """What was computed, and the step that this is of, here or where this branch is."""
        if graph is None:
            return self._outside, self.steps.under_way(None)
        found, step = Seen(), None
        while graph is not None:
            seen = self._seen.get(graph)
            found = found if found.passes or seen is None else seen
            step = self.steps.under_way(graph) if step is None else step
            graph = getattr(graph, "outer_graph", None)
        return found, step

    def _take_passes(self, place: Place, passes: list[Pass], step: Step | None, grads: list[Any]) -> Parcel:
        """What led to the update, and the buffers before it."""
        buffers, held = Parcel(), dict[str, Any]()
        for number, each in enumerate(passes or [Pass(None)]):
            parcel, facts = taken(each, step, place.names, grads, place.graph)
            place.stages.extend(parcel, f"window/{number}/" if number else "")
            place.facts = {**facts, **place.facts}
            for call in each.calls:
                if trains(call.model, place.names):
                    place.buffers |= captured.buffers_of(call.model, place.names)
                    held = {**dict(call.buffers), **held}
        for name, one in held.items():
            if name in place.buffers and within_reach(one, place.graph):
                buffers.add(f"buffers/{name}", one)
        place.facts |= {"calls": sum(len(each.calls) for each in passes), "window": max(1, len(passes))}
        return buffers

    def _take_gradients(self, place: Place, grads: list[Any]) -> None:
        """Before the script clipped them, and as the optimizer got them."""
        for gradient, variable in zip(grads, place.variables, strict=True):
            name = place.names.name(variable)
            unclipped, rule = self._unclipped(gradient)
            if isinstance(gradient, tf.IndexedSlices):
                place.facts.setdefault("sparse", []).append(name)
            if rule is not None:
                place.facts.setdefault("clipping", {})[rule[0]] = settings.plain(rule[1])
                place.stages.add(f"clipping/{name}", gradient)
            place.stages.add(f"gradient/{name}", unclipped)

    def _facts(self, place: Place) -> dict[str, Any]:
        optimizer, names = place.optimizer, place.names
        with tf.init_scope():
            stated = settings.optimizer(place.outer or optimizer, list(names.trained.values()))
            schedule = settings.schedule(optimizer)
        decayed = [name for name, one in names.trained.items() if optimizer._use_weight_decay(one)]
        others = [name for name in names.trained if name not in decayed]
        groups = [
            {"parameters": decayed, "weight_decay": stated["weight_decay"]},
            {"parameters": others, "weight_decay": 0.0},
        ]
        return {
            "framework": "tensorflow",
            "versions": loaded_versions(),
            "optimizer": stated,
            "schedule": schedule,
            "groups": [one for one in groups if one["parameters"]],
        }

    @harmless
    def _clipped(self, place: Place, grads: list[Any], clipped: list[Any]) -> None:
        summed = place.known.window > 1
        if not summed and all(one is other for one, other in zip(grads, clipped, strict=True)):
            return
        parcel = Parcel()
        for stage, tensors in (("gradient", grads if summed else []), ("clipping", clipped)):
            for tensor, variable in zip(tensors, place.variables, strict=False):
                parcel.add(f"{stage}/{place.names.name(variable)}", tensor)
        self._take(place, {"clipped": parcel}, "", self._kept)

    @harmless
    def _after(self, place: Place) -> None:
        self._take(place, {}, "after", self._kept_after)

    # How it leaves a graph.

    def _take(self, place: Place, parcels: dict[str, Parcel], state: str, kept: Callable[..., Any]) -> None:
        """These tensors and the state of what is trained go to ``kept``, if the update is captured."""

        def out() -> Any:
            held = dict(parcels)
            if state:
                more = {"rate": place.optimizer.learning_rate} if state == "before" else {}
                if place.outer is not None:
                    more["loss_scale"] = captured.read(place.outer.dynamic_scale)
                held["state"] = place.names.state(more)
            if state == "after":
                held["buffers"] = Parcel()
                for name, one in place.buffers.items():
                    held["buffers"].add(f"buffers/{name}", captured.read(one))
            flat = [tensor for parcel in held.values() for tensor in parcel.tensors]
            if place.graph is None:
                self._come(place, held, kept, *flat)
                return tf.constant(0, tf.int64)
            called = tf.py_function(functools.partial(self._come, place, held, kept), flat, tf.int64)
            return tf.ensure_shape(called, [])

        self.steps.aside = True
        try:
            with tapes.stop_recording():
                if place.graph is None:
                    out()
                    return
                with tf.control_dependencies(place.taken if graph_here() is place.graph else []):  # one after the other
                    taken = tf.cond(place.due, out, lambda: tf.constant(0, tf.int64))
                place.taken = [taken] if graph_here() is place.graph else place.taken
        finally:
            self.steps.aside = False

    def _come(self, place: Place, held: dict[str, Parcel], kept: Callable[..., Any], *flat: Any) -> int:
        """In a thread of TensorFlow's, in the midst of a call."""
        self._keep(place, held, kept, list(flat))
        return 0

    @harmless
    def _keep(self, place: Place, held: dict[str, Parcel], kept: Callable[..., Any], flat: list[Any]) -> None:
        arrays = dict[str, Arrays]()
        for name, parcel in held.items() if not self.machine.over else ():
            here, flat = flat[: len(parcel.tensors)], flat[len(parcel.tensors) :]
            arrays[name] = parcel.arrays(here, place.names.shapes)
        if not self.machine.over:
            kept(place, arrays)

    def _kept_before(self, place: Place, arrays: dict[str, Arrays]) -> None:
        stages = {path: one for path, one in place.apart.items() if not path.startswith("buffers/")}
        buffers = {path: one for path, one in place.apart.items() if path not in stages}
        place.held = {"stages": {**arrays["stages"], **stages}}
        place.held["before"] = {**arrays["state"], **arrays["before"], **buffers}

    def _kept(self, place: Place, arrays: dict[str, Arrays]) -> None:
        place.held["clipped"] = arrays["clipped"]

    def _kept_after(self, place: Place, arrays: dict[str, Arrays]) -> None:
        """The update is over: what was kept of it becomes a record, or, within a window, waits for it."""
        known, held, place.held = place.known, place.held, {}
        if not held:
            return
        held["after"] = {**arrays["state"], **arrays["buffers"]}
        stages, clipped = held["stages"], held.pop("clipped", {})
        counts = [int(held[when]["numbers/iterations"]) for when in ("before", "after")]
        index = counts[0] // known.window - known.first // known.window
        if counts[1] // known.window == counts[0] // known.window:
            known.before.append(stages)
            return
        window, known.before = [*known.before, stages], []
        held["stages"] = captured.whole(window, clipped)
        rate = float(held["before"]["numbers/rate"])
        groups = [{**one, "rate": rate} for one in place.facts["groups"]]
        facts = {**place.facts, "groups": groups, "update": index}
        facts["window"] *= len(window)
        made = captured.record(counts[0] - known.first, held, place.names, known.window, facts)
        self.machine.next = index + 1
        self.capture.keep(index, made, known.number)

"""What is computed in a function whose gradients the script applies outside of it: taken as the function ends."""

from __future__ import annotations

import functools
from collections import deque
from types import SimpleNamespace
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record as tapes
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.ops import control_flow_util

from xframe.recording.attach.patches import harmless
from xframe_tensorflow.instruments.captured import Arrays, Names, Parcel, Place, Spared, buffers_of
from xframe_tensorflow.instruments.computed import Facts, Seen, taken, trains
from xframe_tensorflow.instruments.graphs import plain_variable
from xframe_tensorflow.instruments.steps import Step, Steps

_MOST = 16  # calls before an update
_NOBODY = Names(SimpleNamespace(_trainable_variables=(), _variables=(), _iterations=None))


class Apart:
    """Waits for the update that its functions' gradients are of."""

    def __init__(self, steps: Steps, machine: Spared) -> None:
        self.steps, self.machine = steps, machine
        self._wanted: Any = None  # a variable: whether the coming update is captured
        self._due = True
        self._waiting: deque[tuple[Arrays, Facts, list[Any]]] = deque(maxlen=_MOST)

    @harmless
    def calling(self, *, due: bool) -> None:
        """A function is about to be called, before an update that is captured or not."""
        if due != self._due:
            self._due = due
            if self._wanted is not None:
                self._wanted.assign(due)

    def ends(self, graph: Any, seen: Seen, step: Step | None) -> None:
        """A function is traced to its end; no optimizer has stepped in it since these passes."""
        passes = [] if seen.over else [one for one in seen.passes if one.taken]
        inside = isinstance(graph.outer_graph, FuncGraph) or control_flow_util.GraphOrParentsInXlaContext(graph)
        if not passes or inside:
            return
        if self._wanted is None:
            with tf.init_scope():
                self._wanted = plain_variable(tf.constant(self._due))
        made = [(*taken(each, step, _NOBODY, [], graph), each) for each in passes]
        plans = list[tuple[Parcel, Facts, list[Any]]]()
        for parcel, facts, each in made:
            for name, one in [pair for call in reversed(each.calls) for pair in call.buffers]:
                parcel.add(f"buffers/{name}", one)
            plans.append((parcel, facts, [call.model for call in each.calls]))
        flat = [tensor for parcel, *_ in plans for tensor in parcel.tensors]

        def out() -> Any:
            return tf.ensure_shape(tf.py_function(functools.partial(self._come, plans), flat, tf.int64), [])

        self.steps.aside = True
        try:
            with tapes.stop_recording():
                tf.cond(self._wanted, out, lambda: tf.constant(0, tf.int64))
        finally:
            self.steps.aside = False

    def _come(self, plans: list[tuple[Parcel, Facts, list[Any]]], *flat: Any) -> int:
        self._keep(plans, list(flat))
        return 0

    @harmless
    def _keep(self, plans: list[tuple[Parcel, Facts, list[Any]]], flat: list[Any]) -> None:
        for parcel, facts, models in plans:
            here, flat = flat[: len(parcel.tensors)], flat[len(parcel.tensors) :]
            self._waiting.append((parcel.arrays(here, {}), facts, models))

    def join(self, place: Place) -> Arrays:
        """What waits is this update's: its stages by path, and buffers. Facts and models go to the place."""
        found, waiting = dict[str, Any](), list(self._waiting)
        self._waiting.clear()
        for number, (arrays, facts, models) in enumerate(waiting):
            for path, one in arrays.items():
                stage, _, name = path.partition("/")
                found.setdefault(f"{stage}/window/{number}/{name}" if number and stage != "buffers" else path, one)
            place.facts |= facts if not number else {}
            for model in models:
                if trains(model, place.names):
                    place.buffers |= buffers_of(model, place.names)
        if waiting:
            place.facts |= {"calls": len(waiting), "window": len(waiting)}
        return {
            path: one for path, one in found.items() if not path.startswith("buffers/") or path[8:] in place.buffers
        }

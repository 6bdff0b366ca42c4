"""``tf.function``: what is traced and called, and with which batch.

A function that was traced while nobody looked is traced again, and so is one that was traced while somebody did.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
from tensorflow.python.framework import func_graph
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.util import tf_decorator

from xframe.recording.attach.patches import Patches, harmless
from xframe_tensorflow.instruments.batches import Batches, tensors_in
from xframe_tensorflow.instruments.computing import with_rows
from xframe_tensorflow.instruments.rows import Optimizer
from xframe_tensorflow.instruments.steps import Steps


@dataclass(eq=False, slots=True)
class _Traced:
    """What calls of a function do.

    Attributes:
        alone: they write one row each.
        numbers, for_sample: that they write, at most, without loops; and further ones for each sample.
        optimizers: that step in them without a gradient.
    """

    alone: bool = True
    numbers: int = 0
    for_sample: int = 0
    optimizers: dict[int, Optimizer] = field(default_factory=dict)


class Functions:
    """Calls from outside of graphs."""

    def __init__(self, steps: Steps, batches: Batches) -> None:
        self.steps = steps
        self.machine = steps.machine
        self.batches = batches
        self._traced: weakref.WeakKeyDictionary[Function, _Traced | None] = weakref.WeakKeyDictionary()
        self._calling: Function | None = None

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(Function, "__call__", self._seen_function)
        patches.replace(ConcreteFunction, "__call__", self._seen_concrete)
        patches.replace(func_graph, "func_graph_from_py_func", self._seen_trace)
        patches.add(self._forget)

    def _forget(self) -> None:
        for function, traced in list(self._traced.items()):
            if traced is not None:
                function._function_cache.clear()

    def _seen_function(self, original: Callable[..., Any]) -> Callable[..., Any]:
        no_tape = pywrap_tfe.TFE_Py_TapeSetIsEmpty

        def call(function: Function, *args: Any, **kwargs: Any) -> Any:
            if function not in self._traced:
                self._traced[function] = None
                function._function_cache.clear()
            if self._calling is not None:
                returned = original(function, *args, **kwargs)
                self._called_inside(self._calling, self._traced[function])
                return returned
            if not no_tape() and (given := with_rows((args, kwargs))):
                self.steps.used(given, None)
            if self.steps.capturing is not None:
                self.steps.capturing.calling()
            if self.steps.stating.on and self._traced[function] is not None:
                self.steps.stating.pause()
            self._calling = function
            try:
                returned = original(function, *args, **kwargs)
            finally:
                self._calling = None
            traced = self._traced[function]
            if traced is not None:
                self._called(traced, (args, kwargs))
            return returned

        return call

    def _seen_concrete(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(function: Any, *args: Any, **kwargs: Any) -> Any:
            returned = original(function, *args, **kwargs)
            if self._calling is None and tf.executing_eagerly():
                self._called_concrete((args, kwargs))
            return returned

        return call

    @harmless
    def _called_concrete(self, given: Any) -> None:
        """One trace of a function was called by itself; which rows are its own is not known."""
        rows = next((one.shape[0] for one in with_rows(given)), 0)
        self.steps.ring.count(sum(kind.length + kind.for_sample * rows for kind in self.steps.ring.kinds))

    @harmless
    def _called(self, traced: _Traced, given: Any) -> None:
        if traced.alone:
            of = (batch for one in tensors_in(given) if (batch := self.batches.of(one)) is not None)
            self.steps.ring.calls.append(next(of, None))
        for optimizer in traced.optimizers.values():
            self.steps.stepped_by_call(optimizer)
        rows = next((one.shape[0] for one in with_rows(given)), 0) if traced.for_sample else 0
        self.steps.ring.count(traced.numbers + traced.for_sample * rows)

    @harmless
    def _called_inside(self, outer: Function, inner: _Traced | None) -> None:
        if inner is not None and not tf.executing_eagerly():
            traced = self._of(outer)
            traced.alone = False
            traced.numbers += inner.numbers
            traced.for_sample += inner.for_sample
            traced.optimizers |= inner.optimizers

    def _of(self, function: Function) -> _Traced:
        traced = self._traced.get(function)
        if traced is None:
            traced = self._traced[function] = _Traced()
        return traced

    def _seen_trace(self, original: Callable[..., Any]) -> Callable[..., Any]:
        steps = self.steps

        def func_graph_from_py_func(name: str, python_func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            def traced(*inner_args: Any, **inner_kwargs: Any) -> Any:
                if steps.aside:
                    return python_func(*inner_args, **inner_kwargs)
                try:
                    returned = python_func(*inner_args, **inner_kwargs)
                except BaseException:
                    steps.drop()
                    raise
                if steps.capturing is not None:
                    steps.capturing.whole()
                steps.end()
                self._look_back()
                return returned

            return original(name, tf_decorator.make_decorator(python_func, traced), *args, **kwargs)

        return func_graph_from_py_func

    @harmless
    def _look_back(self) -> None:
        """What has been written in the graph that ends here, and in those inside of it."""
        written, self.steps.written = self.steps.written, []
        elsewhere, self.steps.elsewhere = self.steps.elsewhere, []
        if self._calling is None or not (written or elsewhere):
            return
        traced = self._of(self._calling)
        traced.alone &= len(written) == 1 and not isinstance(written[0][0].outer_graph, FuncGraph)
        if traced.alone:
            written[0][1].alone = True
        traced.numbers += sum(kind.length for _, kind in written)
        traced.for_sample += sum(kind.for_sample for _, kind in written)
        traced.optimizers |= {id(one): one for one in elsewhere}

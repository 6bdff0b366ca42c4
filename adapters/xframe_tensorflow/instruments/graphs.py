"""Graphs that are being made: what in them stands where, and what was computed from what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.ops.control_flow_v2_func_graphs import ControlFlowFuncGraph
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

# Operations after which there is a row for each row before, and those after which there may be others.
KEPT = {
    *("Cast", "RealDiv", "Mul", "Sub", "AddV2", "Identity", "ExpandDims", "Neg", "Div", "Maximum", "Minimum", "Squeeze")
}
MOVED = {"Reshape", "Transpose", "ConcatV2"}
_MOST_FACTORS = 16


def plain_variable(value: Any) -> tf.Variable:
    """A variable of this process alone, whatever strategy makes variables here: one that is mirrored is broadcast."""
    return ResourceVariable(value, trainable=False)


def graph_here() -> Any:
    """The graph that is being made, if one is."""
    return None if tf.executing_eagerly() else ops.get_default_graph()


def is_here(tensor: Any, graph: Any) -> bool:
    """Whether a tensor is one of that graph's."""
    return getattr(tensor, "graph", None) is graph


def is_looped(graph: Any) -> bool:
    """Whether a call may run this graph any number of times."""
    while isinstance(graph, FuncGraph):
        if isinstance(graph, ControlFlowFuncGraph) or str(graph.name).startswith("Dataset"):
            return True
        graph = graph.outer_graph
    return False


def arguments_of(graph: Any) -> set[int]:
    """The tensors with rows that a graph gets as it is called, or takes from an iterator, by id."""
    captured = {id(inside) for _, inside in graph.captures}
    return {id(one) for one in graph.inputs if id(one) not in captured and one.shape.rank != 0} | {
        id(op.outputs[0]) for op in graph.get_operations() if op.type == "IteratorGetNext"
    }


def behind(tensor: Any, arguments: set[int], kept: set[str] | None) -> Any:
    """The argument that a tensor was computed from, by these operations alone (None: by any)."""
    waiting, seen = [tensor], set()
    for one in _popped(waiting):
        if id(one) in arguments:
            return one
        if id(one.op) in seen or (kept is not None and one.op.type not in kept):
            continue
        seen.add(id(one.op))
        waiting += [source for source in one.op.inputs if source.dtype not in (tf.resource, tf.variant)]
    return None


def _popped(waiting: list[Any]) -> Iterator[Any]:
    while waiting:
        yield waiting.pop(0)


def factors(tensor: Any) -> list[Any]:
    """What a graph makes this product of; of anything else, itself.

    A graph's optimizer multiplies by the rate first, where that is quicker and no one else reads the product: if it
    were read, the weights would be rounded in another way. Its factors may be.
    """
    graph = graph_here()
    if graph is None or not is_here(tensor, graph):
        return [tensor]
    waiting, found = [tensor], []
    while waiting:
        one = waiting.pop()
        if one.op.type in {"Mul", "Identity"}:
            waiting += one.op.inputs
        else:
            found.append(one)
        if len(waiting) + len(found) > _MOST_FACTORS:
            return [tensor]
    return found

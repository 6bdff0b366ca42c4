"""Gradients that were taken in a step, and the loss that the step has by those which were applied."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from xframe_tensorflow.instruments.graphs import graph_here, is_here


class Taken(NamedTuple):
    """A call of ``tape.gradient``: of which loss, the mean over how many rows, and the first gradient, if it lives."""

    loss: Any
    rows: Any
    first: Callable[[], Any]


def taken(loss: Any, rows: Any, gradients: Any) -> Taken:
    """As the call returned them."""
    first = next((one for one in tf.nest.flatten(gradients) if one is not None), None)
    return Taken(loss, rows, (lambda: None) if first is None else weakref.ref(first))


def behind(several: Sequence[Taken], applied: Iterable[Any]) -> Sequence[Taken]:
    """Those of the calls from which came what was applied, as it is; all of them if that cannot be told."""
    given = {id(one) for one in applied if one is not None}
    return [one for one in several if id(one.first()) in given] or several


def loss_of(several: Sequence[Taken], applied: Iterable[Any] = ()) -> tuple[Any, Any]:
    """The loss that these gradients are of, as they add up, and the rows that it is the mean of.

    Where what was applied came from some of the calls as it is, the others do not count. What was taken in several
    calls of one loss is of that loss once.
    """
    several = behind(several, applied)
    losses = list({id(one.loss): one.loss for one in several}.values())
    if len(losses) == 1:
        return losses[0], several[0].rows
    graph = graph_here()
    if any(one is None or (graph is not None and not is_here(one, graph)) for one in losses):
        return None, None
    widest = tf.float64 if any(one.dtype == tf.float64 for one in losses) else tf.float32
    return tf.add_n([tf.cast(one, widest) for one in losses]), None

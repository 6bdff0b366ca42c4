"""What samples a step consumes, by their content: prints of a model's inputs, and of what a loss compares them with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import tensorflow as tf

from xframe.recording.attach.machine import Machine
from xframe_tensorflow.identity import prints


class Contents:
    """Makes prints where a step takes its samples; where they cannot be had, none."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._compiled: dict[str, Any] = {}

    @property
    def wanted(self) -> bool:
        """Whether prints are asked for."""
        return self.machine.identity != "index"

    def of(self, data: Sequence[Any]) -> Any:
        """The prints of a batch that stands in several tensors or arrays; None: it has none."""
        kind = self.machine.identity
        if kind == "index":
            return None
        with suppress(Exception):  # tensors of some kind of their own: not known
            tensors = [tf.convert_to_tensor(one) for one in data if one is not None and len(one.shape)]
            rows = tensors[0].shape[0] if tensors else None
            tensors = [one for one in tensors if one.shape[0] == rows]
            if not tf.executing_eagerly():
                return prints(tensors, kind)
            if kind not in self._compiled:
                self._compiled[kind] = tf.function(lambda *given: prints(given, kind), reduce_retracing=True)
            return self._compiled[kind](*tensors)
        return None

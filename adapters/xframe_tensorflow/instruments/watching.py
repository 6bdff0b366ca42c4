"""The instrument as a whole."""

from __future__ import annotations

import os
import weakref
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import context

from xframe.recording.attach.instruments import refuse_untested
from xframe.recording.attach.machine import Machine
from xframe.recording.attach.patches import Patches
from xframe_tensorflow.instruments.batches import Batches
from xframe_tensorflow.instruments.capturing import Capturing
from xframe_tensorflow.instruments.computing import Computing
from xframe_tensorflow.instruments.contents import Contents
from xframe_tensorflow.instruments.fitting import Fitting
from xframe_tensorflow.instruments.functions import Functions
from xframe_tensorflow.instruments.noting import Noting
from xframe_tensorflow.instruments.ring import Ring
from xframe_tensorflow.instruments.steps import Steps
from xframe_tensorflow.instruments.updates import Updates

TESTED_KERAS, TESTED_TENSORFLOW = ("3.15.",), ("2.21.",)
_ATTACHED: set[KerasInstrument] = set()


class KerasInstrument:
    """Gives a machine what happens in Keras and TensorFlow, from ``attach`` until ``detach``."""

    def __init__(self, machine: Machine) -> None:
        self.noting = Noting(machine)
        self.ring = Ring(machine, self.noting)
        self.batches = Batches(machine)
        self.steps = Steps(self.ring, self.batches, Contents(machine))
        self._patches = Patches()

    def attach(self) -> None:
        """From now on.

        Raises:
            UsageError: of these versions nobody has tried what is replaced.
        """
        refuse_untested("keras", keras.__version__, TESTED_KERAS)
        refuse_untested("tensorflow", tf.__version__, TESTED_TENSORFLOW)
        seers = (Computing, Updates, Fitting)
        parts: list[Any] = [kind(self.steps, self.noting) for kind in seers]
        if (capture := self.ring.machine.capture) is not None:
            self.steps.capturing = Capturing(self.steps, capture, parts[1].unclipped)
            parts.append(self.steps.capturing)
        for part in (self.batches, Functions(self.steps, self.batches), *parts):
            part.attach(self._patches)
        self.ring.machine.before_end.append(self._finish)
        _ATTACHED.add(self)
        this = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(this()))

    def _finish(self) -> None:
        self.steps.end_outside()
        self.ring.finish()
        self.steps.stating.finish()
        if self.steps.capturing is not None:
            self.steps.capturing.finish()

    def detach(self) -> None:
        """No longer, and everything is as it was."""
        try:
            self._finish()
        finally:
            self._patches.undo()
            _ATTACHED.discard(self)


def _forked(instrument: KerasInstrument | None) -> None:
    """A process forked before TensorFlow computed anything may train; in a later one TensorFlow hangs."""
    if instrument is not None and instrument in _ATTACHED and not _computes():
        instrument.ring.machine.before_end.append(instrument._finish)


def _computes() -> bool:
    """Whether TensorFlow has computed anything in this process, or in the one that it was forked from."""
    known = context.context_safe()
    return known is not None and known._context_handle is not None

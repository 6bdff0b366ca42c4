"""Sees a training in TensorFlow or Keras from outside: nothing is read back in a step, no random number is drawn.

What happens in a graph is written down in that graph: operations are added to it, the last where its own end.

Its files:

    watching.py    ``KerasInstrument``: attaches the others to a machine, and puts everything back
    ring.py        rows that graphs write where they run, and how they come home
    rows.py        what a row says, and columns made of many
    steps.py       makes steps of what is seen: batches used, gradients taken, updates
    computing.py   models' calls, tapes, losses
    updates.py     optimizers: updates applied and tried, rates, gradients' norms
    functions.py   ``tf.function``: what is traced and called, and with which batch
    batches.py     batches as eager iteration over a data set hands them out
    noting.py      what is set, noted as it comes into use
    contents.py    prints of what steps consume
    fitting.py     Keras' ``fit``, ``train_on_batch`` and ``evaluate``
"""

from __future__ import annotations

from typing import Any


class KerasInstrument:
    """Sees Keras where TensorFlow computes. Elsewhere it sees nothing, and TensorFlow is not imported for it."""

    def __new__(cls, machine: Any) -> Any:
        import keras

        if keras.backend.backend() != "tensorflow":
            return super().__new__(cls)
        from xframe_tensorflow.instruments.watching import KerasInstrument as Seeing

        return Seeing(machine)

    def attach(self) -> None:
        """Nothing is replaced."""

    def detach(self) -> None:
        """Nothing was."""

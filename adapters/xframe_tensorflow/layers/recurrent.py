"""Layers that read from first to last."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe_tensorflow.layers.layer import Lowered, Lowering

_ZEROS: dict[str, Any] = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros", "seed": 0}


def _applied(recurrent: Any, x: Any) -> Lowered:
    outputs, cell = recurrent(x), recurrent.cell
    return outputs, {"kernel": cell.kernel, "recurrent": cell.recurrent_kernel, "bias": cell.bias}


def _simple_rnn(layer: layers.SimpleRNN, inputs: Shape, x: Any) -> Lowered:
    every = layer.return_sequences
    return _applied(
        keras.layers.SimpleRNN(layer.units, activation=layer.activation, return_sequences=every, **_ZEROS), x
    )


def _lstm(layer: layers.LSTM, inputs: Shape, x: Any) -> Lowered:
    return _applied(keras.layers.LSTM(layer.units, return_sequences=layer.return_sequences, **_ZEROS), x)


class _GRUCell(keras.layers.Layer):  # type: ignore[misc]
    """A step, its gates in the canonical order.

    Keras' own has both biases in one variable, whose norm a rule would clip as one where torch has two.
    """

    def __init__(self, layer: layers.GRU) -> None:
        super().__init__()
        self.units = self.state_size = self.output_size = layer.units
        self.reset_after = layer.reset_after

    def build(self, shape: Any) -> None:
        width = 3 * self.units
        self.kernel = self.add_weight(shape=(shape[-1], width), initializer="zeros", name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, width), initializer="zeros", name="recurrent")
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
        if self.reset_after:
            self.recurrent_bias = self.add_weight(shape=(width,), initializer="zeros", name="recurrent_bias")

    def call(self, x: Any, states: Any) -> Any:
        h, split = states[0], [2 * self.units, self.units]
        a_gates, a_new = tf.split(tf.matmul(x, self.kernel) + self.bias, split, axis=1)
        if self.reset_after:
            b_gates, b_new = tf.split(tf.matmul(h, self.recurrent_kernel) + self.recurrent_bias, split, axis=1)
            r, z = tf.split(tf.sigmoid(a_gates + b_gates), 2, axis=1)
            new = tf.tanh(a_new + r * b_new)
        else:
            gates, last = tf.split(tf.convert_to_tensor(self.recurrent_kernel), split, axis=1)
            r, z = tf.split(tf.sigmoid(a_gates + tf.matmul(h, gates)), 2, axis=1)
            new = tf.tanh(a_new + tf.matmul(r * h, last))
        h = (1 - z) * new + z * h
        return h, [h]


def _gru(layer: layers.GRU, inputs: Shape, x: Any) -> Lowered:
    recurrent = keras.layers.RNN(_GRUCell(layer), return_sequences=layer.return_sequences)
    outputs, weights = _applied(recurrent, x)
    return outputs, {**weights, **({"recurrent_bias": recurrent.cell.recurrent_bias} if layer.reset_after else {})}


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.LSTM: _lstm,
    layers.GRU: _gru,
    layers.SimpleRNN: _simple_rnn,
}

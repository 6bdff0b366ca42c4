"""Neutral layers lowered to Keras layers, one function each: what they give, and where their weights are.

Initial weights are "zeros" or Keras' ones, and seeds are given: no random number is drawn for weights that are copied
in. Keras casts Python floats through float32, NumPy's keep their precision; hence ``np.float64``.

Its files, by family as in every adapter, each with its part of ``LOWER``:

    dense.py, activations.py, convolution.py, pooling.py, norms.py, recurrent.py, attention.py, dropout.py
    layer.py    what each function takes and gives
"""

from __future__ import annotations

import keras

from xframe.tasks import layers
from xframe.tasks.builders import Inner, NativeModel, Parameter
from xframe.tasks.layers import Placed
from xframe_tensorflow.layers import activations, attention, convolution, dense, dropout, norms, pooling, recurrent
from xframe_tensorflow.layers.layer import Lowering, parameter

_FAMILIES = (dense, activations, convolution, pooling, norms, recurrent, attention, dropout)
LOWER: dict[type[layers.Layer], Lowering] = {
    kind: function for family in _FAMILIES for kind, function in family.LOWER.items()
}


def lower(placed: list[Placed], precision: str) -> tuple[NativeModel, dict[str, Inner]]:
    """The layers one after the other, weights by canonical name; and what gives the outputs of each.

    Features that are no integers are in that precision.
    """
    tokens = placed[0].layer.first
    given = outputs = keras.Input(placed[0].inputs, dtype="int64" if tokens else precision)
    parameters: dict[str, Parameter] = {}
    inner: dict[str, Inner] = {}
    for layer, name, inputs, _ in placed:
        outputs, weights = LOWER[type(layer)](layer, inputs, outputs)
        parameters |= {f"{name}/{weight}": parameter(held) for weight, held in weights.items()}
        inner[name] = Inner(outputs._keras_history.operation, last=name == placed[-1].name)
    return NativeModel(keras.Model(given, outputs), parameters), inner

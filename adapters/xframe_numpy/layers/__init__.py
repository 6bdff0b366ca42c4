"""Neutral layers in NumPy, forward and backward by hand, in the precision of the arrays: in float64 the reference.

Its files, by family as in every adapter, each with its part of ``LOWER``:

    dense.py, activations.py, convolution.py, pooling.py, norms.py, recurrent.py, attention.py, dropout.py
    layer.py    what each function takes and gives; window.py: the windows of convolutions and pooling
"""

from xframe_numpy.layers import activations, attention, convolution, dense, dropout, norms, pooling, recurrent
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights

__all__ = ["LOWER", "Array", "Lowering", "Passed", "Weights"]

_FAMILIES = (dense, activations, convolution, pooling, norms, recurrent, attention, dropout)
LOWER: dict[type, Lowering] = {kind: function for family in _FAMILIES for kind, function in family.LOWER.items()}

"""Losses: what a training minimises, each the formula it is, the same in every framework.

In all formulas x is an element of the model's outputs, y that of the targets, and a row is one along the last axis.
Targets are reshaped to the outputs' shape (classes to that of the rows), never broadcast. A loss has items, rows or
elements, each with a loss l and a weight w: 1, times its sample's weight and its class's where there are such. An
ignored item is none. Of N items in a batch of B samples ``reduction`` makes:

    mean            Σ w·l / N, Keras' mean
    weighted_mean   Σ w·l / Σ w, PyTorch's mean by class weights
    sum             Σ w·l
    batch_mean      Σ w·l / B

Where all are ignored, or all weights are 0, a mean is 0 / 0: ``empty`` makes that ``nan``, as PyTorch, or ``zero``, as
Keras, and alike the gradients of items that have an effect; ignored rows have 0. The gradient is the formula's; where
it has a corner the text says which side's.

No task loads samples' weights: they are for those who call an adapter's ``lowered(loss, weighted=True)`` themselves.

Its files:

    formulas.py   the losses
    dialects.py   losses by name, with the defaults of Keras, PyTorch or this project

What two frameworks call by one name is often two formulas. ``named("keras.CategoricalCrossentropy")`` is a framework's
own with its defaults, ``named("softmax_cross_entropy")`` this project's. A new loss is a class here, and a function in
each adapter's ``losses.py``.
"""

from xframe.tasks.losses.dialects import LOSSES, WORDS, from_dict, named, names, of
from xframe.tasks.losses.formulas import (
    AbsoluteError,
    BinaryCrossEntropy,
    CosineSimilarity,
    CrossEntropy,
    Elementwise,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    NegativeSum,
    Poisson,
    SmoothL1,
    SquaredError,
    counted,
)

__all__ = [
    "LOSSES",
    "WORDS",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "CosineSimilarity",
    "CrossEntropy",
    "Elementwise",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "NegativeSum",
    "Poisson",
    "SmoothL1",
    "SquaredError",
    "counted",
    "from_dict",
    "named",
    "names",
    "of",
]

"""An LSTM that reads scikit-learn's handwritten digits row by row: 8 steps of 8 pixels.

The images are split as for digits-cnn: 1,437 to train on, 360 to validate on.

Quality: 30 epochs of batch 32: validation accuracy at least 0.95.
"""

from __future__ import annotations

from xframe.tasks.builtin.digits_cnn import digits
from xframe.tasks.initial import initial_weights
from xframe.tasks.layers import LSTM, Dense
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task

_SHAPE = (8, 8)
_LAYERS = (LSTM(32), Dense(10))

task = Task(
    name="rows-lstm",
    num_samples=1437,
    load=lambda: digits(False, _SHAPE),
    initial_weights=lambda: initial_weights(_LAYERS, _SHAPE),
    loss="softmax_cross_entropy",
    optimizer=SGD(learning_rate=0.02, momentum=0.9),
    layers=_LAYERS,
    input_shape=_SHAPE,
    validation=lambda: digits(True, _SHAPE),
    num_validation=360,
    metrics=("accuracy",),
    description="an LSTM reads 1,437 handwritten digits row by row, SGD with momentum",
)

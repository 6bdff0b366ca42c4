"""Optimizers for Keras that compute what PyTorch's optimizers of these names compute, with PyTorch's defaults.

They are Keras optimizers in all else: arguments by Keras' names, clipping, schedules, accumulation, averages, saving.
Import this and a saved model loads with them. ``keras.optimizers`` itself has what is the same in both frameworks:
SGD without weight decay and at a rate that does not change, Adadelta without weight decay, and Lion.

Its files:

    decaying.py    what all have: weight decay as PyTorch couples it, gradients as PyTorch has them
    sgd.py, adam.py, averages.py   the optimizers, as the files of ``xframe.tasks.optimizers``
"""

from xframe_tensorflow.optim.adam import TorchAdam, TorchAdamax, TorchAdamW, TorchNAdam
from xframe_tensorflow.optim.averages import TorchAdafactor, TorchAdagrad, TorchRMSprop
from xframe_tensorflow.optim.sgd import TorchSGD

__all__ = [
    "TorchAdafactor",
    "TorchAdagrad",
    "TorchAdam",
    "TorchAdamW",
    "TorchAdamax",
    "TorchNAdam",
    "TorchRMSprop",
    "TorchSGD",
]

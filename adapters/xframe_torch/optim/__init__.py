"""Optimizers for PyTorch that are Keras' rules where ``torch.optim`` has a different formula under the same name.

    from xframe_torch.optim import KerasAdam
    optimizer = KerasAdam(model.parameters(), lr=1e-3)

They import torch alone, have the arguments of ``torch.optim`` with the defaults of Keras 3, and are used as any other
optimizer: parameter groups, schedulers, closures, ``state_dict``, ``GradScaler``. Weight decay is Keras', decoupled:
``w ← w − lr · weight_decay · w`` before the update. All operations are torch's ``foreach``, none waits for a device.
Sparse and complex parameters are refused, and so is an update captured in a CUDA graph: the number of the update, in
which all parameters of a group share, is a plain number in ``param_groups``.

Its files:

    base.py       what all have: ``step``, state that is made when it is first needed, weight decay
    sgd.py        SGD, Lion
    adam.py       Adam, AdamW, NAdam, Adamax
    averages.py   RMSprop, Adagrad, Adadelta, Adafactor

A class without ``Keras`` in its name has the formula in every dialect, chosen by words in its groups, as the rule of
that name in ``xframe.optimizers`` states it.
"""

from xframe_torch.optim.adam import KerasAdam, KerasAdamax, KerasAdamW, KerasNAdam
from xframe_torch.optim.averages import KerasAdadelta, KerasAdafactor, KerasAdagrad, KerasRMSprop
from xframe_torch.optim.sgd import KerasLion, KerasSGD

__all__ = [
    "KerasAdadelta",
    "KerasAdafactor",
    "KerasAdagrad",
    "KerasAdam",
    "KerasAdamW",
    "KerasAdamax",
    "KerasLion",
    "KerasNAdam",
    "KerasRMSprop",
    "KerasSGD",
]

"""What instruments call settings of Keras, which trains on either framework, and how much of a model they state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

KERAS_OPTIMIZERS = {  # of an optimizer's arguments, where the usual name is another
    "clipnorm": "clip_norm",
    "global_clipnorm": "clip_global_norm",
    "clipvalue": "clip_value",
    "use_ema": "ema",
    "loss_scale_factor": "loss_scale",
    "gradient_accumulation_steps": "accumulation_steps",
}
KERAS_EPSILON_ON = {  # by the class whose formula it is, in the words of ``xframe.optimizers``
    "Adam": "uncorrected",
    "RMSprop": "inside",
    "Adagrad": "inside",
    "Adamax": "norm",
    "TorchAdam": "corrected",
    "TorchRMSprop": "outside",
    "TorchAdagrad": "outside",
    "TorchAdamax": "gradient",
}
TORCH_EPSILON_ON = {"Adam": "corrected", "RMSprop": "outside", "Adagrad": "outside", "Adamax": "gradient"}
KERAS_LOSSES = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "mean_squared_error": "mean_squared_error",
    "mean_absolute_error": "mean_absolute_error",
    "huber": "huber",
    "kl_divergence": "kl_divergence",
}
MOST_VALUES = 64  # of a list
MOST_READ = 1 << 26  # numbers of a model's weights that are brought home for a fingerprint
MOST_WEIGHTS = 256  # tensors


def keras_epsilon_on(optimizer: Any) -> dict[str, Any]:
    """Where an optimizer's formula has its epsilon; nothing of one whose update is a script's own."""
    owner = next((kind for kind in type(optimizer).__mro__ if "update_step" in vars(kind)), object)
    known = owner.__module__.startswith(("keras.", "xframe_tensorflow.")) and owner.__name__ in KERAS_EPSILON_ON
    if not known:
        return {}
    first = getattr(optimizer, "corrects_first", True)  # False: ``TorchAdam`` computes Keras' formula
    return {"epsilon_on": KERAS_EPSILON_ON[owner.__name__ if first else "Adam"]}


def of_numbers(numbers: NDArray[np.float32]) -> dict[str, Any]:
    """A tensor's fingerprint, and its mean and standard deviation where these are numbers."""
    found: dict[str, Any] = {"fingerprint": xxh3_128_hexdigest(numbers.tobytes())}
    mean, std = float(numbers.mean(dtype=np.float64)), float(numbers.std(dtype=np.float64))
    return found | ({"mean": mean, "std": std} if math.isfinite(mean) and math.isfinite(std) else {})

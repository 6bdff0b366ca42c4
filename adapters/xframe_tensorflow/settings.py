"""What is set in live objects of Keras and TensorFlow, under names that are the same in every framework.

Nothing here is changed. Values that lie on a device are read once, when an object is first used, and never after.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras._tf_keras.keras import losses as as_tensorflow_has_them
from keras.src.losses.losses import LossFunctionWrapper
from tensorflow.python.eager import context
from tensorflow.python.framework import config

from xframe.recording.attach.naming import (
    KERAS_LOSSES,
    KERAS_OPTIMIZERS,
    MOST_READ,
    MOST_VALUES,
    MOST_WEIGHTS,
    keras_epsilon_on,
    of_numbers,
)

_OPERATIONS = {  # of TensorFlow, all on logits
    "sparse_softmax_cross_entropy_with_logits": "cross_entropy",
    "softmax_cross_entropy_with_logits": "cross_entropy",
    "sigmoid_cross_entropy_with_logits": "binary_cross_entropy",
}
LOSSES = (
    *((tf.nn, name) for name in _OPERATIONS),
    *(
        (space, name)
        for space in (keras.losses, as_tensorflow_has_them)
        for name in KERAS_LOSSES
        if hasattr(space, name)
    ),
)
_REDUCTIONS = {"sum_over_batch_size": "mean", "mean_with_sample_weight": "mean", None: "none"}
_LEFT_OUT = "name", "learning_rate", "ema_momentum", "ema_overwrite_frequency", "is_legacy_optimizer"
_TOTALS = ("decay_steps",)


def plain(value: Any) -> Any:
    """A setting's value as a trace holds it; a number of float32 in its shortest form."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, (tf.Variable, keras.Variable)) or tf.is_tensor(value):
        return plain(np.asarray(value)) if hasattr(value, "numpy") else None
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value[:MOST_VALUES]]
    return getattr(value, "__name__", type(value).__name__)


def _short(value: float) -> float:
    """A float that was rounded to float32, as it was written."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(str(single)) if math.isfinite(value) and float(single) == value else value


def optimizer(optimizer: keras.optimizers.Optimizer, variables: Collection[Any] = ()) -> dict[str, Any]:
    """An optimizer's hyper-parameters.

    Args:
        optimizer: it, or what scales the loss around it.
        variables: that it updates.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    found: dict[str, Any] = {"class": type(inner).__name__, "learning_rate": rate(inner)}
    for name, value in _config(inner).items():
        if name not in _LEFT_OUT:
            found[KERAS_OPTIMIZERS.get(name, name)] = plain(value)
    found |= keras_epsilon_on(inner)
    found["weight_decay"] = found.get("weight_decay") or 0.0
    decoupled = getattr(inner, "decoupled", True)  # those of ``xframe_tensorflow.optim`` say so, Keras' own all are
    found["decay"] = ("decoupled" if decoupled else "coupled") if found["weight_decay"] else None
    found["accumulation_steps"] = found.get("accumulation_steps") or 1
    if inner is not optimizer:
        found["loss_scale"] = plain(float(optimizer.initial_scale))
    count = sum(math.prod(one.shape) for one in variables)
    return found | {"groups": 1, **({"parameters": count} if count else {})}


def rate(optimizer: keras.optimizers.Optimizer) -> Any:
    """The learning rate that an optimizer has, or its schedule begins with."""
    given = optimizer._learning_rate
    if isinstance(given, keras.optimizers.schedules.LearningRateSchedule):
        given = _config(given).get("initial_learning_rate")
    elif callable(given) and not isinstance(given, keras.Variable):
        return None
    return plain(given)


def _config(given: Any) -> dict[str, Any]:
    """What something states of itself; an optimizer's attributes where its schedule, a script's own, states nothing."""
    try:
        return dict(given.get_config())
    except NotImplementedError:
        if isinstance(given, keras.optimizers.schedules.LearningRateSchedule):
            return {}
        numbers = (bool, int, float, type(None))
        stated = {name: value for name, value in vars(given).items() if type(value) in numbers}
        return {name: value for name, value in stated.items() if not name.startswith("_") and name != "built"}


def schedule(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """The arguments of an optimizer's schedule, none if it has none; a total of steps is ``total_steps``."""
    given = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
    if not isinstance(given, keras.optimizers.schedules.LearningRateSchedule):
        return {}
    arguments = _config(given)
    values = {"total_steps" if name in _TOTALS else name: plain(value) for name, value in arguments.items()}
    return {"class": type(given).__name__, **{name: one for name, one in values.items() if name != "name"}}


def loss(loss: keras.losses.Loss, target: Any, output: Any) -> dict[str, Any]:
    """A loss as it is called for the first time."""
    function = loss.fn if isinstance(loss, LossFunctionWrapper) else None
    given: Mapping[str, Any] = loss._fn_kwargs if isinstance(loss, LossFunctionWrapper) else {}
    name = getattr(function, "__name__", type(loss).__name__)
    found: dict[str, Any] = {
        "class": KERAS_LOSSES.get(name, type(loss).__name__ if function is None else name),
        "reduction": _REDUCTIONS.get(loss.reduction, loss.reduction),
    }
    if name in ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"):
        found |= {"from_logits": False, "label_smoothing": 0.0}
    found |= {each: plain(value) for each, value in given.items() if each not in ("axis", "dtype")}
    for role, tensor in (("input_shape", output), ("target_shape", target)):
        shape = getattr(tensor, "shape", None)
        if shape is not None and None not in tuple(shape[1:]):
            found[role] = [int(one) for one in shape[1:]]
    return found


def loss_function(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A loss that is a function and reduces nothing, as it is called for the first time."""
    found: dict[str, Any] = {"class": _OPERATIONS.get(name) or KERAS_LOSSES[name]}
    if found["class"] in ("cross_entropy", "binary_cross_entropy"):
        found["from_logits"] = name in _OPERATIONS or bool(given.get("from_logits", False))
        found["label_smoothing"] = plain(given.get("label_smoothing", 0.0))
    return found


def model(model: keras.layers.Layer) -> dict[str, Any]:
    """What model it is, and how Keras' own loop would run it."""
    found: dict[str, Any] = {"class": type(model).__name__, "parameters": _count(model.trainable_variables)}
    if getattr(model, "compiled", False):
        found |= {"jit_compile": bool(model.jit_compile), "run_eagerly": bool(model.run_eagerly)}
        found["steps_per_execution"] = int(model.steps_per_execution)
    return found


def _count(weights: Collection[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def layers(model: keras.layers.Layer) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds of layers that matter, and of each its settings, in Keras' order; starting weights at the end."""
    for layer in model._flatten_layers():
        kind = type(layer).__name__
        if layer._trainable_variables or layer._non_trainable_variables:
            yield "layer", {"class": kind}
        if "Dropout" in kind and isinstance(getattr(layer, "rate", None), (int, float)):
            yield "dropout", {"rate": plain(float(layer.rate))}
        elif isinstance(layer, keras.layers.RNN):
            dropped = {"dropout": plain(float(layer.dropout))} if hasattr(layer, "dropout") else {}
            yield "recurrent", {"batch_first": True, "class": kind, **dropped}
        elif "Normalization" in kind and hasattr(layer, "epsilon"):
            momentum = getattr(layer, "momentum", None)
            kept = {} if momentum is None else {"momentum": plain(float(momentum))}
            yield "normalisation", {"class": kind, "epsilon": plain(float(layer.epsilon)), **kept}
        for name in ("kernel_regularizer", "bias_regularizer", "recurrent_regularizer", "embeddings_regularizer"):
            strengths = {part: getattr(getattr(layer, name, None), part, None) for part in ("l1", "l2")}
            strengths = {part: float(value) for part, value in strengths.items() if value is not None}
            if any(strengths.values()):
                yield "regularizer", {part: plain(value) for part, value in strengths.items()}
    own = {id(one) for layer in model._flatten_layers() for one in layer._trainable_variables}  # frozen or not
    weights = [one for one in model.variables if id(one) in own][:MOST_WEIGHTS]
    read = _count(weights) <= MOST_READ
    for variable in weights:
        yield "weights", {**weight(variable, read=read), "trainable": bool(variable.trainable)}


def weight(variable: Any, *, read: bool = True) -> dict[str, Any]:
    """A variable's shape, a fingerprint of its numbers as float32, their mean and standard deviation."""
    found: dict[str, Any] = {"shape": [int(one) for one in variable.shape]}
    if read and not tf.as_dtype(variable.dtype).is_complex:
        found |= of_numbers(np.ascontiguousarray(variable.numpy(), dtype=np.float32))
    return found


def environment() -> dict[str, Any]:
    """Precision, determinism and seed as they are now."""
    seed, rounding = context.global_seed(), tf.config.experimental.tensor_float_32_execution_enabled()
    found = {
        "backend": "tensorflow",
        "precision.default": keras.config.floatx(),
        "precision.policy": keras.config.dtype_policy().name,
        "precision.tf32": rounding if tf.config.list_logical_devices("GPU") else None,  # no other device has it
        "determinism.algorithms": config.is_op_determinism_enabled(),
    }
    return found | ({} if seed is None else {"seed.tensorflow": int(seed)})


def arrays(adapter: Any) -> dict[str, Any]:
    """How Keras draws batches from arrays."""
    return {
        "class": "arrays",
        "batch_size": int(adapter._batch_size),
        "shuffle": bool(adapter._shuffle),
        "drop_last": False,
        "num_samples": int(adapter._num_samples),
    }


def pipeline(dataset: Any) -> dict[str, Any]:
    """How a ``tf.data`` pipeline draws batches, as far as its stages say so."""
    found: dict[str, Any] = {"class": "tf.data"}
    while dataset is not None:
        kind = type(dataset).__name__
        if "BatchDataset" in kind and "batch_size" not in found and hasattr(dataset, "_batch_size"):
            found |= {"batch_size": _static(dataset._batch_size), "drop_last": _static(dataset._drop_remainder)}
        elif kind.startswith("_Shuffle"):
            found |= {"shuffle": True, "shuffle_buffer": _static(dataset._buffer_size)}
        elif kind == "_TensorSliceDataset":
            found["num_samples"] = int(dataset._tensors[0].shape[0])
        elif kind in ("_Interleave", "_FlatMapDataset", "_ParallelInterleaveDataset", "ZipDataset", "_ZipDataset"):
            return found
        dataset = getattr(dataset, "_input_dataset", None)
    return {"shuffle": False, **found} if "num_samples" in found else found


def replica_split(dataset: Any, index: int, of: int) -> str | None:
    """How a pipeline of a replica's own deals rows to it, in a plan's words; None if it does not, or nobody knows how.

    ``shard`` takes each R-th sample, if no stage before it draws batches; those of a shard that is shuffled behind it
    are in an order of the replica's own.
    """
    batched = False
    while dataset is not None:
        kind = type(dataset).__name__
        if kind == "_ShardDataset":
            own = (_static(dataset._index), _static(dataset._num_shards)) == (index, of)
            return "interleaved" if own and batched and "batch_size" not in pipeline(dataset) else None
        if kind.startswith("_Shuffle"):
            return None
        batched = batched or "BatchDataset" in kind
        dataset = getattr(dataset, "_input_dataset", None)
    return None


def _static(value: Any) -> Any:
    constant = tf.get_static_value(value) if tf.is_tensor(value) else value
    return None if constant is None else np.asarray(constant).item()

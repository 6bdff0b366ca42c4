"""What is set in live objects of torch, under names that are the same in every framework. Nothing here is changed.

Values that lie on a device are read once, when an object is first used, and never after.
"""

from __future__ import annotations

import gc
import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler, SequentialSampler

from xframe.recording.attach.naming import (
    KERAS_LOSSES,
    KERAS_OPTIMIZERS,
    MOST_READ,
    MOST_VALUES,
    MOST_WEIGHTS,
    TORCH_EPSILON_ON,
    keras_epsilon_on,
    of_numbers,
)

LOSSES = tuple(
    name
    for name in dir(functional)
    if (name.endswith("_loss") or name.startswith(("cross_entropy", "binary_cross_entropy", "kl_div")))
)
SCHEDULES = tuple(
    kind
    for kind in vars(lr_scheduler).values()
    if isinstance(kind, type) and issubclass(kind, lr_scheduler.LRScheduler)
)
_NAMES = {  # of an optimizer's arguments, where the usual name is another
    "lr": "learning_rate",
    "eps": "epsilon",
    "alpha": "rho",
}
_NO_SETTINGS = (
    "params",
    "lr",
    "initial_lr",
    "max_lr",
    "min_lr",
    "param_names",
    "decoupled_weight_decay",
    "max_momentum",
    "base_momentum",
    "rate_factor",
    "step",
    "mu_product",
)
_RARE = ("differentiable", "maximize")
_CANONICAL = {
    "cross_entropy": "cross_entropy",
    "nll_loss": "cross_entropy",
    "binary_cross_entropy": "binary_cross_entropy",
    "binary_cross_entropy_with_logits": "binary_cross_entropy",
    "mse_loss": "mean_squared_error",
    "l1_loss": "mean_absolute_error",
    "huber_loss": "huber",
    "kl_div": "kl_divergence",
}
# Log probabilities, as nll_loss takes them, are logits too: their log softmax is themselves.
_FROM_LOGITS = {
    "cross_entropy": True,
    "nll_loss": True,
    "binary_cross_entropy": False,
    "binary_cross_entropy_with_logits": True,
}
_HOLDERS = (torch.nn.ParameterDict, torch.nn.ParameterList)
_TOTALS = ("T_max", "total_iters", "num_training_steps")
_CHOSEN = 1 << 53  # seeds from here on are torch's own, another in each process


def numbered(kind: str, number: int) -> str:
    """The name of the object of that kind and number."""
    return kind if not number else f"{kind}.{number}"


def plain(value: Any) -> Any:
    """A setting's value as a trace holds it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return value.item() if value.numel() == 1 else plain(value.reshape(-1)[:MOST_VALUES].tolist())
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value[:MOST_VALUES]]
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return getattr(value, "__name__", type(value).__name__)


def optimizer(optimizer: torch.optim.Optimizer, scaler: Any = None) -> dict[str, Any]:
    """An optimizer's hyper-parameters, those of its first group and how others differ."""
    groups = [_group(optimizer, group) for group in optimizer.param_groups]
    sizes = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
    found = {"class": type(optimizer).__name__, **groups[0], **_epsilon_on(optimizer), "groups": len(groups)}
    for number, group in enumerate(groups[1:MOST_VALUES], start=1):
        found |= {f"group{number}.{name}": value for name, value in group.items() if value != groups[0].get(name)}
        found[f"group{number}.parameters"] = sizes[number]
    found["parameters"] = sum(sizes)
    found |= {"clip_norm": None, "clip_global_norm": None, "clip_value": None}
    if scaler is not None and scaler.is_enabled():
        found["loss_scale"] = float(scaler._init_scale)
    return found


def _epsilon_on(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Where the formula has its epsilon, of torch's own ``step``; those of ``xframe_torch.optim`` have it in groups."""
    step = inspect.unwrap(type(optimizer).step)
    kind = step.__qualname__.partition(".")[0]
    known = step.__module__.startswith("torch.optim.") and kind in TORCH_EPSILON_ON
    return {"epsilon_on": TORCH_EPSILON_ON[kind]} if known else {}


def _group(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"learning_rate": plain(group.get("initial_lr", group["lr"]))}
    for name, value in group.items():
        if name == "betas":
            found |= {"beta_1": plain(value[0]), "beta_2": plain(value[1])}
        elif name not in _NO_SETTINGS and (value or name not in _RARE):
            found[_NAMES.get(name, name)] = plain(value)
    if found.get("weight_decay"):
        decoupled = group.get("decoupled_weight_decay", isinstance(optimizer, torch.optim.AdamW))
        found["decay"] = "decoupled" if decoupled else "coupled"
    elif "weight_decay" in found:
        found["decay"] = None
    return found


def schedule(schedule: Any) -> dict[str, Any]:
    """A schedule's arguments; a total number of ticks is ``total_steps`` whatever its own name."""
    kind = type(schedule)
    found: dict[str, Any] = {"class": kind.__name__}
    for name in inspect.signature(kind.__init__).parameters:
        if name in ("self", "optimizer", "last_epoch", "schedulers") or name not in vars(schedule):
            continue
        found[_named(name)] = plain(vars(schedule)[name])
    if isinstance(schedule, lr_scheduler.OneCycleLR):
        found["max_lr"] = plain(schedule.optimizer.param_groups[0]["max_lr"])
    for function in getattr(schedule, "lr_lambdas", [])[:1]:
        inner = getattr(function, "func", function)
        found["function"] = getattr(inner, "__name__", type(inner).__name__)
        found |= {_named(name): plain(value) for name, value in getattr(function, "keywords", {}).items()}
    parts = getattr(schedule, "_schedulers", [])
    for number, part in enumerate(parts[:MOST_VALUES]):
        found |= {f"part{number}.{name}": value for name, value in globals()["schedule"](part).items()}
    return found


def _named(argument: str) -> str:
    return "total_steps" if argument in _TOTALS else argument


def schedules_of(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Schedules that were made for an optimizer, wherever they are."""
    # By their type itself: to ask another object for its class may run its own code, or fail.
    return [each for each in gc.get_objects() if issubclass(type(each), SCHEDULES) and each.optimizer is optimizer]


def reduction_of(function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], str | None]:
    """What reads the reduction from the arguments of such a loss; None if it is given in a way of old."""
    names = list(inspect.signature(function).parameters)
    if "reduction" not in names:
        return lambda args, kwargs: None
    place = names.index("reduction")
    default = inspect.signature(function).parameters["reduction"].default
    old = [names.index(name) for name in ("size_average", "reduce") if name in names]

    def read(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        if kwargs.get("size_average") is not None or kwargs.get("reduce") is not None:
            return None
        for index in old:
            if len(args) > index and args[index] is not None:
                return None
        given: str = kwargs["reduction"] if "reduction" in kwargs else args[place] if len(args) > place else default
        return given

    return read


def loss(
    name: str, function: Any, reduction: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """A loss function of torch, as it is called."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    canonical = _CANONICAL.get(name, name)
    if name == "smooth_l1_loss" and given.get("beta") == 1:
        canonical = "huber"
    found: dict[str, Any] = {"class": canonical, "reduction": reduction}
    if name in _FROM_LOGITS:
        found["from_logits"] = _FROM_LOGITS[name]
    if "label_smoothing" in given:
        found["label_smoothing"] = plain(given["label_smoothing"])
    for argument in ("beta", "delta", "margin", "pos_weight", "ignore_index"):
        if argument in given:
            found["delta" if argument == "beta" else argument] = plain(given[argument])
    if "weight" in given:
        found["weights"] = plain(given["weight"])
    names = list(bound.signature.parameters)
    for role, tensor in (("input_shape", given.get(names[0])), ("target_shape", given.get(names[1]))):
        if isinstance(tensor, torch.Tensor):
            found[role] = list(tensor.shape[1:])
    return found


def keras_optimizer(optimizer: Any, variables: Sequence[Any]) -> dict[str, Any]:
    """The hyper-parameters of an optimizer of Keras' own."""
    found: dict[str, Any] = {"class": type(optimizer).__name__}
    for name, value in optimizer.get_config().items():
        if name == "learning_rate" and isinstance(value, dict):
            found["learning_rate"] = plain(value["config"].get("initial_learning_rate"))
        elif name == "learning_rate":
            found["learning_rate"] = float(str(np.float32(value)))  # as it was written, before it was rounded
        elif name not in ("name", "ema_momentum", "ema_overwrite_frequency"):
            found[KERAS_OPTIMIZERS.get(name, name)] = plain(value)
    found |= keras_epsilon_on(optimizer)
    decay = found.get("weight_decay") or 0.0
    parameters = sum(math.prod(variable.shape) for variable in variables)
    return found | {"weight_decay": decay, "decay": "decoupled" if decay else None, "parameters": parameters}


def keras_loss(loss: Any, reduction: str, y_true: Any, y_pred: Any) -> dict[str, Any]:
    """A loss of Keras' own."""
    config = loss.get_config()
    name = getattr(getattr(loss, "fn", None), "__name__", type(loss).__name__)
    found = {"class": KERAS_LOSSES.get(name, name), "reduction": reduction}
    found |= {each: config[each] for each in ("from_logits", "label_smoothing", "delta") if each in config}
    shapes = (("input_shape", y_pred), ("target_shape", y_true))
    return found | {role: list(tensor.shape[1:]) for role, tensor in shapes if hasattr(tensor, "shape")}


def loader(loader: DataLoader[Any]) -> dict[str, Any]:
    """How a loader draws batches."""
    sampler, batches = loader.sampler, loader.batch_sampler
    own = batches is not None and type(batches).__module__.startswith("torch.")
    shuffle = True if isinstance(sampler, RandomSampler) else False if isinstance(sampler, SequentialSampler) else None
    shared: dict[str, Any] = {}
    if isinstance(sampler, DistributedSampler):
        shuffle, shared = bool(sampler.shuffle), {"seed": sampler.seed}
    if batches is not None and not own:  # whatever it draws from
        sampler, shuffle = batches, None
    data = loader.dataset
    return {
        **shared,
        "class": type(loader).__name__,
        "batch_size": getattr(batches, "batch_size", loader.batch_size),
        "shuffle": shuffle,
        "drop_last": getattr(batches, "drop_last", loader.drop_last),
        "workers": loader.num_workers,
        "sampler": None if isinstance(data, IterableDataset) else type(sampler).__name__,
        "num_samples": None if isinstance(data, IterableDataset) or not hasattr(data, "__len__") else len(data),
    }


def replica_split(loader: DataLoader[Any]) -> str | None:
    """How a loader deals a step's rows to replicas, in a plan's words; None if it does not, or nobody knows how."""
    batches: Any = loader.batch_sampler
    if any(isinstance(each, DistributedSampler) for each in (loader.sampler, getattr(batches, "sampler", None))):
        return "interleaved"
    if type(batches).__name__ == "BatchSamplerShard":  # Accelerate's
        return "slices" if batches.even_batches or batches.split_batches else "dealt"
    return "slices" if type(loader).__name__ == "DataLoaderDispatcher" else None


def model(module: torch.nn.Module) -> dict[str, Any]:
    """What model it is."""
    module = getattr(module, "_orig_mod", module)
    module = module.module if isinstance(module, DistributedDataParallel) else module
    weights = [p for p in module.parameters() if not is_lazy(p) and p.is_floating_point()]
    return {"class": type(module).__name__, "parameters": sum(p.numel() for p in weights)}


def layers(
    module: torch.nn.Module, noted: Collection[Any] = (), known: Collection[Any] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds of layers that matter, and of each its settings, in the order of registration; starting weights at the end.

    Args:
        module: the model.
        noted: modules that were noted before.
        known: weights that were.
    """
    for layer in module.modules():
        if layer in noted:
            continue
        kind = type(layer).__name__
        holders = [each for each in layer.children() if isinstance(each, _HOLDERS)]
        own = (p for each in (layer, *holders) for p in each.parameters(recurse=False) if p.is_floating_point())
        model_of_keras = type(layer).__module__.startswith("keras.") and hasattr(
            layer, "layers"
        )  # has all their weights
        weighted = not (isinstance(layer, _HOLDERS) or model_of_keras) and next(own, None) is not None
        if weighted or kind == "Softmax":  # of which a loss that takes logits must know
            yield "layer", {"class": kind}
        if isinstance(layer, _DropoutNd):
            yield "dropout", {"rate": layer.p}
        elif kind.endswith("Dropout") and hasattr(layer, "rate"):  # Keras' own
            yield "dropout", {"rate": plain(layer.rate)}
        elif isinstance(layer, torch.nn.RNNBase):
            yield "recurrent", {"batch_first": layer.batch_first, "class": kind, "dropout": layer.dropout}
        elif "Norm" in kind and (hasattr(layer, "eps") or hasattr(layer, "epsilon")):
            yield "normalisation", _normalisation(layer)
    weights = [p for p in module.parameters() if not is_lazy(p) and p.is_floating_point() and p not in known]
    weights = weights[:MOST_WEIGHTS]
    read = sum(p.numel() for p in weights) <= MOST_READ
    for tensor in weights:
        yield "weights", {**weight(tensor.detach(), read=read), "trainable": tensor.requires_grad}


def _normalisation(layer: Any) -> dict[str, Any]:
    """The momentum as Keras has it: what is kept of the old statistic."""
    momentum = getattr(layer, "momentum", None)
    own = isinstance(layer, _NormBase)
    kept = {} if momentum is None else {"momentum": round(1 - momentum, 12) if own else plain(momentum)}
    return {"class": type(layer).__name__, "epsilon": layer.eps if hasattr(layer, "eps") else layer.epsilon, **kept}


def weight(tensor: torch.Tensor, *, read: bool = True) -> dict[str, Any]:
    """A tensor's shape, a fingerprint of its numbers as float32, their mean and standard deviation."""
    found: dict[str, Any] = {"shape": list(tensor.shape)}
    if read and tensor.layout is torch.strided and not tensor.is_complex():
        found |= of_numbers(tensor.float().cpu().contiguous().numpy())
    return found


def environment(device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Precision, determinism and seed as they are now."""
    autocast = torch.is_autocast_enabled(device)
    seed = torch.initial_seed()
    found = {
        "backend": "torch",
        "device": device,
        "precision.default": plain(torch.get_default_dtype()),
        "precision.policy": plain(dtype),
        "precision.autocast": plain(torch.get_autocast_dtype(device)) if autocast else None,
        "precision.tf32": torch.get_float32_matmul_precision() != "highest" if device == "cuda" else None,
        "determinism.algorithms": torch.are_deterministic_algorithms_enabled(),
        "determinism.cudnn": torch.backends.cudnn.deterministic,
        "determinism.benchmark": torch.backends.cudnn.benchmark,
    }
    return found | ({"seed.torch": seed} if seed < _CHOSEN else {})

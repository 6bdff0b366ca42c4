"""A task's own native models: what a builder returns, and whether its weights are the task's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray

from xframe.errors import UsageError, Verbatim
from xframe.state.pairing import Described, Pair, pair


class Parameter(NamedTuple):
    """A native tensor and, if its layout differs, the axes that turn the canonical layout into it."""

    tensor: Any
    axes: tuple[int, ...] | None = None


class Inner(NamedTuple):
    """What gives a layer's outputs within a native model, and the axes that turn the canonical layout into theirs.

    Attributes:
        last: they are the model's own.
        through: the part's function that takes them, where what the part gives is that function of them.
    """

    part: Any
    axes: tuple[int, ...] | None = None
    last: bool = False
    through: str = ""


class NativeModel(NamedTuple):
    """What a builder returns: a native model and where its weights are, by canonical name.

    A text is a parameter by its native name. Those that are not named are paired by ``xframe.state.pairing``, all of
    them where a builder returns the bare model.
    """

    module: Any
    parameters: Mapping[str, Any] = MappingProxyType({})


def paired(
    built: Any, described: Callable[[Any], Sequence[tuple[Described, Any]]], initial: Mapping[str, NDArray[Any]]
) -> NativeModel:
    """What a builder returned, with a native tensor for each canonical name.

    ``described`` has the native model's tensors and what is known of each.

    Raises:
        UsageError: a name has no native parameter, or may have more than one.
    """
    module, given = built if isinstance(built, NativeModel) else (built, {})
    texts = {name: one for name, one in given.items() if isinstance(one, (str, Pair))}
    if given and not texts:
        return NativeModel(module, given)
    if len(texts) < len(given):
        raise UsageError("a builder names some parameters and gives others", expected="names for all, or tensors")
    found = described(module)
    tensors = {one.name: tensor for one, tensor in found}
    pairs = pair([_canonical(name, values.shape) for name, values in initial.items()], [one for one, _ in found], texts)
    return NativeModel(module, {name: Parameter(tensors[other], axes) for name, (other, axes) in pairs.items()})


def _canonical(name: str, shape: tuple[int, ...]) -> Described:
    """A weight by its canonical name, which may state the kind of its layer and its role there."""
    stated = _NAME.fullmatch(name)
    kind, role = stated.groups() if stated else ("", "")
    known = kind in _KINDS and role in _ROLES
    return Described(name, shape, kind if known else "", role if role in _ROLES else "")


_NAME = re.compile(r"(?:.*/)?([a-z0-9]*)_\d+/(\w*)")
_KINDS = ("dense", "conv2d", "batchnorm", "layernorm", "embedding", "lstm")
_ROLES = ("kernel", "bias", "scale", "mean", "variance", "table", "recurrent")


def match(
    built: NativeModel, trainable: Sequence[Any], initial: Mapping[str, NDArray[Any]], *, task: str, framework: str
) -> dict[str, Parameter]:
    """The native model's parameters by canonical name, if they are exactly the task's.

    A plain tensor in ``built`` stands for one of the canonical layout; ``trainable`` is all that training changes.

    Raises:
        UsageError: a weight is missing, unknown or of a different shape, or a trainable tensor has no name.
    """
    given = {name: p if isinstance(p, Parameter) else Parameter(p) for name, p in built.parameters.items()}
    if set(given) != set(initial):
        raise UsageError(
            f"task {task!r} names different weights than its {framework} model",
            got=Verbatim(", ".join(sorted(given))),
            expected=", ".join(sorted(initial)),
        )
    for name, (tensor, axes) in given.items():
        shape = initial[name].shape
        native = shape if axes is None else tuple(shape[axis] for axis in axes)
        if native != tuple(tensor.shape):
            raise UsageError(
                f"task {task!r}: weight {name!r} does not fit its {framework} model",
                got=Verbatim(f"{shape}" + ("" if axes is None else f" with axes {axes}, so {native}")),
                expected=f"{tuple(tensor.shape)}",
                remedy="Parameter(tensor, axes) gives the axes that turn the canonical layout into the native one.",
            )
    unnamed = [tensor for tensor in trainable if not any(tensor is p.tensor for p in given.values())]
    if unnamed:
        raise UsageError(
            f"task {task!r}: the {framework} model trains weights that the task does not name",
            got=Verbatim(", ".join(f"one of shape {tuple(tensor.shape)}" for tensor in unnamed)),
            expected="a canonical name for each, so that all frameworks start alike",
        )
    return given

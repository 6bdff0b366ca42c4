"""A task's own native models: what a builder returns, and whether its weights are the task's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from xframe.errors import UsageError, Verbatim


class Parameter(NamedTuple):
    """A native tensor and, if its layout differs, the axes that turn the canonical layout into it."""

    tensor: Any
    axes: tuple[int, ...] | None = None


class NativeModel(NamedTuple):
    """What a builder returns: a native model and where its weights are, by canonical name."""

    module: Any
    parameters: Mapping[str, Parameter]


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

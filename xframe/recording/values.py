"""Takes numbers, arrays and tensors of any framework as columns of a trace, and imports no framework.

Taking has two halves, so that a loop never waits for a device. ``hold`` copies what lies on the CPU and keeps
what lies on a device as it is there; ``fetch`` brings that home later, many steps' values in one transfer
where the framework can. A value is checked in the step that brings it as far as is possible without reading it.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.errors import UsageError, Verbatim
from xframe.files import limits
from xframe.plan.fields import LARGEST
from xframe.trace.schema import BY_NAME, PER_SAMPLE, Column

_INT64 = np.dtype("<i8")
_WHOLE = f"whole numbers from 0 to {limits.LARGEST}"


@functools.cache
def family(kind: type) -> str:
    """The package that a type comes from."""
    return str(kind.__module__).partition(".")[0]


def hold(value: Any, name: str = "value") -> Any:
    """A value that later changes of its source cannot reach: a number or array, or a tensor still on its device.

    Raises:
        UsageError: it is no number, array or tensor, or a symbolic tensor, which has no value.
    """
    package = family(type(value))  # type: ignore[arg-type]
    if package == "torch":
        return _hold_torch(value)
    if value is None or isinstance(value, (int, float, np.generic)):
        return value
    if isinstance(value, np.ndarray):
        return value.copy()
    if package == "keras":
        return hold(value.value, name)  # a Keras variable holds a native one
    if package == "tensorflow":
        return _hold_tensorflow(value)
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"a step's {name}", got=Verbatim(error), expected="a number, an array or a tensor") from None


def _hold_torch(value: Any) -> Any:
    if not value.is_cpu:
        return value.detach().clone()
    if not value.dim():
        return value.item()
    try:
        return (value.detach() if value.requires_grad else value).numpy().copy()
    except TypeError:  # bfloat16, which NumPy lacks; each of its values is a float32 too
        return value.detach().float().numpy()


def _hold_tensorflow(value: Any) -> Any:
    if hasattr(value, "read_value"):
        value = value.read_value()
    if not hasattr(value, "numpy"):
        raise UsageError(
            "the recorder was given a symbolic tensor",
            got=value,
            expected="a tensor with a value",
            remedy="Call rec.step outside the tf.function, with what it returned.",
        )
    return value if "GPU" in value.device else value.numpy()


def on_device(held: Any) -> bool:
    """Whether ``hold`` left it on a device."""
    return not isinstance(held, (int, float, np.generic, np.ndarray, type(None)))


def fetch(held: Any) -> Any:
    """What ``hold`` left on a device, as an array; anything else as it is."""
    if not on_device(held):
        return held
    return held.cpu().numpy() if hasattr(held, "cpu") and hasattr(held, "detach") else held.numpy()


def array(value: Any, name: str) -> NDArray[Any]:
    """A block's column: an array of one dimension."""
    values = np.asarray(fetch(hold(value, name)))  # of a masked array, what is under the mask
    if values.ndim != 1:
        raise UsageError(f"a block's {name}", got=Verbatim(f"shape {values.shape}"), expected="values in one dimension")
    return values if values.size else values.astype(np.int64)


class Unlisted:
    """Stands for the ids of a batch of that size where nobody knows them."""

    def __init__(self, size: int) -> None:
        self.shape = (size,)


def hold_ids(ids: Any) -> Any:
    """A batch's sample ids: their bytes, as of ``id_bytes``, a tensor still on its device, or ``Unlisted``."""
    if type(ids) is Unlisted:
        return ids
    if type(ids) is np.ndarray and ids.dtype is _INT64 and ids.ndim == 1:
        return ids.tobytes()
    held = hold(ids, "ids")
    if not on_device(held):
        return id_bytes(held)
    if len(held.shape) != 1:
        raise UsageError("a step's ids", got=Verbatim(f"shape {tuple(held.shape)}"), expected="shape (batch_size,)")
    return held


def id_bytes(ids: Any) -> bytes:
    """Sample ids as little-endian int64.

    Raises:
        UsageError: they are no integers below 2**63 in one dimension.
    """
    if np.ma.is_masked(ids):
        raise UsageError("a step's ids", got=Verbatim("a mask"), expected="all of the batch's sample ids")
    values = np.asarray(ids)
    kind = values.dtype.kind
    if values.ndim != 1 or kind not in ("iu" if values.size else "iuf") or (kind == "u" and (values > LARGEST).any()):
        raise UsageError(
            "a step's ids",
            got=Verbatim(f"an array of {values.dtype} with shape {values.shape}"),
            expected="the batch's sample ids: integers below 2**63, of shape (batch_size,)",
        )
    return values.astype("<i8", copy=False).tobytes()


def prints(value: Any, name: str, size: int) -> Any:
    """The prints of a batch of that size: their bytes, or a tensor still on its device; None is unknown.

    Raises:
        UsageError: they are not of shape (size, 3).
    """
    if value is None or (getattr(value, "waits", False) and value.shape == (size, PER_SAMPLE["prints"])):
        return value
    # A tensor is copied with its bytes; what says itself that it is at home later is kept as it is.
    held = value if hasattr(value, "numpy") and not hasattr(value, "read_value") else hold(value, name)
    shape = tuple(held.shape) if hasattr(held, "shape") else ()
    kind = getattr(held, "dtype", None)
    if shape != (size, PER_SAMPLE["prints"]) or str(getattr(kind, "name", kind)).split(".")[-1] != "int64":
        got = Verbatim(f"{type(value).__name__} of shape {shape}")
        raise UsageError(f"a step's {name}", got=got, expected=f"prints, int64 of shape ({size}, 3)")
    if getattr(held, "is_cpu", False):
        return held.detach().numpy().tobytes()
    return held if on_device(held) else held.astype("<i8", copy=False).tobytes()


def fetch_prints(held: list[Any]) -> NDArray[np.int64]:
    """Batches' prints one after the other, those on a device fetched in one transfer where the framework can."""
    torch = sys.modules.get("torch")
    if torch is not None and len(held) > 1 and all(isinstance(one, torch.Tensor) for one in held):
        held = [torch.cat(held)]
    parts = [np.frombuffer(one, dtype="<i8") if type(one) is bytes else fetch(one).reshape(-1) for one in held]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def fetch_ids(held: list[Any]) -> list[bytes]:
    """The bytes of the batches' ids, those on a device fetched in one transfer where the framework can."""
    away = [i for i, ids in enumerate(held) if not isinstance(ids, bytes)]
    torch = sys.modules.get("torch")
    if torch is not None and len(away) > 1 and all(isinstance(held[i], torch.Tensor) for i in away):
        home = torch.cat([held[i] for i in away]).cpu().split([len(held[i]) for i in away])
    else:
        home = [fetch(held[i]) for i in away]
    fetched = dict(zip(away, map(id_bytes, home), strict=True))
    return [fetched.get(i, ids) for i, ids in enumerate(held)]


def number(value: Any, name: str) -> Any:
    """``hold`` of one real number; anything else is refused here, in the step that brings it."""
    given = type(value)
    if value is None or given is float or given is int:
        return value
    held = hold(value, name)
    given = type(held)
    if given is float or given is int:
        return held
    away = on_device(held)
    shape, kind = (tuple(held.shape), "f") if away else (np.shape(held), np.asarray(held).dtype.kind)
    if math.prod(shape) != 1 or kind not in "iufb":
        raise UsageError(
            f"a step's {name}", got=Verbatim(f"{type(value).__name__} of shape {shape}"), expected="one real number"
        )
    return held if away else np.asarray(held).item()


def count(value: Any, name: str) -> Any:
    """``number`` of a whole number; one still on a device is checked when it comes home."""
    if value is None or (type(value) is int and 0 <= value <= limits.LARGEST):
        return value
    held = number(value, name)
    if held is None or on_device(held):
        return held
    if not math.isfinite(held) or held != int(held) or not 0 <= held <= limits.LARGEST:
        raise UsageError(f"a step's {name}", got=held, expected=_WHOLE)
    return int(held)


def fetch_numbers(values: list[Any]) -> list[Any]:
    """The values with those left on a device brought home, in one transfer where the framework can."""
    away = [i for i, value in enumerate(values) if not isinstance(value, (int, float, type(None)))]
    torch = sys.modules.get("torch")
    if away and torch is not None and all(isinstance(values[i], torch.Tensor) for i in away):
        home = torch.stack([values[i].reshape(()) for i in away]).cpu().tolist()
    else:
        home = [np.asarray(fetch(values[i])).item() for i in away]
    for i, value in zip(away, home, strict=True):
        values[i] = value
    return values


# The columns that a recorder writes, from single steps' values and from blocks'.


def _real(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name].kind == "float64"


def of_steps(name: str, values: tuple[Any, ...]) -> Column:
    """A column of single steps' values, as ``number`` and ``count`` left them; None is unknown.

    What lies on a device comes home; a counter from there that is no whole number is unknown.
    """
    kinds, kind = set(map(type, values)), np.float64 if _real(name) else np.int64
    if kinds == {type(None)}:
        return Column(np.zeros(len(values), dtype=kind), np.zeros(len(values), dtype=bool))
    if kind is np.float64:
        if kinds <= {float, int}:
            return Column(np.array(values, dtype=np.float64))
        return _partly_known(fetch_numbers(list(values)), np.float64)
    if kinds == {int}:
        return Column(np.array(values, dtype=np.int64))
    return _partly_known([_whole(value) for value in fetch_numbers(list(values))], np.int64)


def _whole(value: Any) -> int | None:
    if value is None:
        return value
    return int(value) if math.isfinite(value) and value == int(value) and 0 <= value <= limits.LARGEST else None


def _partly_known(values: list[Any], kind: type) -> Column:
    known = np.array([value is not None for value in values])
    return Column(np.array(values if known.all() else [0 if v is None else v for v in values], dtype=kind), known)


def of_block(given: Any, name: str) -> Column:
    """A block's column, of shape (steps,); the mask of a masked array says which values are not known.

    Raises:
        UsageError: they are no real numbers, or no whole ones though the column counts.
    """
    counts = not _real(name)
    values, expected = array(given, name), _WHOLE if counts else "real numbers"
    known = ~np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
    kind = values.dtype.kind
    if kind not in "iufb" or (counts and kind == "u" and (values > LARGEST).any()):
        raise UsageError(f"a block's {name}", got=Verbatim(f"an array of {values.dtype}"), expected=expected)
    if counts and kind == "f":
        values = np.where(known, values, 0) if known is not None else values
        wrong = ~np.isfinite(values) | (values != np.trunc(values)) | (np.abs(values) >= 2.0**63)
        if wrong.any():
            raise UsageError(f"a block's {name}", got=float(values[wrong][0]), expected=expected)
    values = values.astype(np.int64 if counts else np.float64)
    if counts and (wrong := (values.view(np.uint64) > limits.LARGEST) & (True if known is None else known)).any():
        raise UsageError(f"a block's {name}", got=int(values[wrong][0]), expected=expected)
    return Column(values, known)


def last(column: Column | None) -> float | None:
    """The last row's value, if it is known."""
    if column is None or (column.known is not None and not column.known[-1]):
        return None
    return float(column.values[-1])

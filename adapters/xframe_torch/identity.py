"""Prints of samples, computed where torch has them: the definition is ``xframe.recording.identity``.

Nothing is read from a device, no random number is drawn, and nothing is written to what is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from xframe.recording.identity import LARGEST_SMALL, PERIOD, WIDTH, Kind, coefficients, folds

AT_ONCE = 1 << 14  # values on the CPU: of more, what lies between two operations leaves its cache and its heap
_DEVICES = ("cpu", "cuda")  # that have float64
_INF, _NAN = float("inf"), float("nan")
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_INTS = (torch.int64, torch.int32, torch.uint8, torch.bool, torch.int16, torch.int8)
_OTHERS = tuple(getattr(torch, name) for name in ("uint16", "uint32", "uint64"))
_KNOWN = frozenset((*_FLOATS, *_INTS, *_OTHERS))
_FLOATING = frozenset(_FLOATS)


def prints(tensors: Sequence[torch.Tensor], kind: Kind = "close") -> torch.Tensor | None:
    """The prints of a batch, of shape (B, 3), on its device; None if there is nothing numeric in it, or if its tensors
    have different numbers of rows."""
    numeric = [tensor for tensor in tensors if is_numeric(tensor)]
    if not numeric:
        return None
    first = numeric[0]
    rows, device = first.shape[0], first.device
    if any(tensor.shape[0] != rows or tensor.device != device for tensor in numeric[1:]):
        return None
    with torch.no_grad():
        flat = [tensor.detach().reshape(rows, -1) for tensor in numeric] if rows else []
        made = torch.zeros((rows, WIDTH), dtype=torch.int64, device=device)
        near = made[:, 1:].view(torch.float32)
        if len(flat) == 1 and flat[0].shape[1] <= PERIOD and flat[0].numel() <= AT_ONCE and kind == "close":
            odd, directions = _table(device)
            values, size = flat[0], flat[0].shape[1]
            made[:, 0] = _product(_words(values), odd[:size])
            near.copy_(_as(values, torch.float64) @ directions[:size])
        elif flat:
            _of_many(flat, kind, made, near)
    return made


def is_numeric(tensor: torch.Tensor) -> bool:
    """Whether prints can be made of it."""
    kind = tensor.device.type
    if not tensor.ndim or tensor.dtype not in _KNOWN or kind not in _DEVICES or tensor.layout is not torch.strided:
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return False
    return kind == "cpu" or not torch.cuda.is_current_stream_capturing()


@cache
def _table(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    odd, directions = coefficients()
    return torch.from_numpy(odd).to(device), torch.from_numpy(directions).to(device)


def _as(values: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """As that type; not by ``to``, for a tensor's own ways to be copied are watched while a training is."""
    return values if values.dtype is kind else torch.empty_like(values, dtype=kind).copy_(values)


def _words(values: torch.Tensor) -> torch.Tensor:
    if values.dtype in _FLOATING:
        single = torch.hardshrink(_as(values, torch.float32), LARGEST_SMALL)  # a new tensor
        bits = single.nan_to_num_(_NAN, _INF, -_INF).view(torch.int32)
        return _as((bits >> 16).bitwise_xor_(bits), torch.int64)
    words = _as(values, torch.int64)
    return (words >> 16).bitwise_xor_(words)


def _product(words: torch.Tensor, odd: torch.Tensor) -> torch.Tensor:
    """Of words of shape (B, n) and numbers of shape (n,), mod 2^64."""
    return torch.mv(words, odd) if words.is_cpu else (words * odd).sum(1)  # CUDA multiplies no matrices of integers


def _of_many(flat: list[torch.Tensor], kind: Kind, made: torch.Tensor, near: torch.Tensor) -> None:
    """Piece by piece, each within a period and small enough for the cache."""
    odd, directions = _table(made.device)
    odd_folds, fold_directions = folds(-(-sum(values.shape[1] for values in flat) // PERIOD) or 1)
    total = torch.zeros((made.shape[0], 4), dtype=torch.float64, device=made.device)
    place = 0
    for values in flat:
        start = 0
        while start < values.shape[1]:
            fold, at = divmod(place, PERIOD)
            size = min(PERIOD - at, values.shape[1] - start)
            rows = max(1, AT_ONCE // size) if values.is_cpu else max(1, len(values))
            factors = torch.from_numpy(fold_directions[fold]).to(made.device) if fold else None
            for row in range(0, len(values), rows):
                part = values[row : row + rows, start : start + size]
                hashed = _product(_words(part), odd[at : at + size])
                made[row : row + rows, 0] += hashed * int(odd_folds[fold]) if fold else hashed
                if kind == "close":
                    projected = _as(part, torch.float64) @ directions[at : at + size]
                    total[row : row + rows] += projected if factors is None else projected * factors
                elif kind == "layout":
                    total[row : row + rows] += _powers(_as(part, torch.float64))
            start, place = start + size, place + size
    if kind == "layout":
        total = _sums(total)
    elif kind == "exact":
        total.fill_(_NAN)
    near.copy_(total)


def _powers(values: torch.Tensor) -> torch.Tensor:
    squares = values * values
    return torch.stack([values.sum(1), squares.sum(1), (squares * values).sum(1), (values * values.abs()).sum(1)], 1)


def _sums(powers: torch.Tensor) -> torch.Tensor:
    total, squares, cubes, signed = powers.unbind(1)
    some = torch.where(squares == 0, 1.0, squares)
    return torch.stack([total, squares.sqrt(), cubes / some, signed / some.sqrt()], 1)

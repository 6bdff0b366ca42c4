"""Where samples come from: arrays in memory, memory maps, and files too large for either.

A task's ``load`` returns (features, targets) as arrays, NumPy memory maps among them, or a ``Source``. Sample i is
row i. What is not in memory is read batch by batch, by the ids that the framework's own pipeline asks for.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xframe.errors import UsageError, Verbatim

_CHUNK = 1 << 24  # bytes that are read at once for a digest
_CACHE = 1 << 28  # bytes of row groups that are kept


@runtime_checkable
class Source(Protocol):
    """Samples by id. Workers of a pipeline get a copy of it, by fork or by pickle."""

    def __len__(self) -> int:
        """How many samples there are."""

    def take(self, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Features and targets of these samples, in this order."""

    def fingerprint(self) -> str:
        """The same wherever the samples are the same."""


class Arrays:
    """Arrays, which may be memory maps: a batch is read when it is asked for."""

    def __init__(self, features: NDArray[Any], targets: NDArray[Any]) -> None:
        self.features, self.targets = features, targets

    def __len__(self) -> int:
        return len(self.features)

    def take(self, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.features[ids], self.targets[ids]

    def fingerprint(self) -> str:
        return fingerprint({"features": self.features, "targets": self.targets})


class ParquetSource:
    """Rows of a Parquet file, of which only some row groups are in memory at a time.

    Args:
        path: the file.
        features: columns of numbers, which become a sample's features in this order; or one column of lists of
            one length.
        target: the column of targets.
        cache_bytes: of row groups that are kept, the last used ones.
    """

    def __init__(self, path: str | Path, features: Sequence[str], target: str, *, cache_bytes: int = _CACHE) -> None:
        self.path, self.features, self.target = Path(path).absolute(), list(features), target
        self.cache_bytes = cache_bytes
        self._opened: Any = None
        self._lock = threading.Lock()  # tf.data reads with several threads
        self._groups: OrderedDict[int, tuple[NDArray[Any], NDArray[Any]]] = OrderedDict()
        known = self._file().schema_arrow.names
        missing = [name for name in (*self.features, target) if name not in known]
        if missing or not self.features:
            raise UsageError(
                "a Parquet source's columns",
                got=Verbatim(", ".join(missing) or "no features"),
                expected="some of " + ", ".join(known),
            )
        meta = self._file().metadata
        self._sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), cache_bytes=self.cache_bytes), (self.path, self.features, self.target)

    def _file(self) -> Any:
        if self._opened is None:
            import pyarrow.parquet as parquet

            try:
                self._opened = parquet.ParquetFile(self.path)
            except (OSError, ValueError) as error:  # Arrow's own errors are of these kinds
                raise UsageError(
                    "cannot read the Parquet file", got=str(self.path), expected=f"one that is there ({error})"
                ) from None
        return self._opened

    def __len__(self) -> int:
        return sum(self._sizes)

    def take(self, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        starts = np.concatenate([[0], np.cumsum(self._sizes)])
        groups = np.searchsorted(starts, ids, side="right") - 1
        order = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[order])) + 1
        parts = []
        with self._lock:
            for rows in np.split(order, cuts):
                group = int(groups[rows[0]]) if len(rows) else 0
                parts.append(tuple(values[ids[rows] - starts[group]] for values in self._group(group)))
        back = np.argsort(order, kind="stable")
        features, targets = (np.concatenate(values)[back] for values in zip(*parts, strict=True))
        return features, targets

    def _group(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Features and targets of a row group, read if they are not kept."""
        if index in self._groups:
            self._groups.move_to_end(index)
            return self._groups[index]
        table = self._file().read_row_group(index, columns=[*self.features, self.target])
        columns = [self._column(table, name) for name in self.features]
        features = columns[0] if columns[0].ndim > 1 else np.stack(columns, axis=1)
        group = features, self._column(table, self.target)
        self._groups[index] = group
        while len(self._groups) > 1 and sum(x.nbytes + y.nbytes for x, y in self._groups.values()) > self.cache_bytes:
            self._groups.popitem(last=False)
        return group

    def _column(self, table: Any, name: str) -> NDArray[Any]:
        import pyarrow as pa

        array = table.column(name).combine_chunks()
        if not (pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type)):
            values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
            return values
        flat: NDArray[Any] = array.flatten().to_numpy(zero_copy_only=False)
        lengths = set(array.value_lengths().unique().to_pylist())
        if len(lengths) != 1 or (name == self.features[0] and len(self.features) > 1):
            raise UsageError(
                f"column {name!r} of {self.path}",
                got=Verbatim(
                    f"lists of {sorted(map(str, lengths))[:3]} values, {len(self.features)} columns of features"
                ),
                expected="lists of one length, as the only column of features",
            )
        return flat.reshape(len(array), -1)

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


class Samples:
    """A source's samples in a run's types: floats in its precision, integers as int64; ``arrays`` if in memory."""

    def __init__(self, source: Source, kind: str, *, in_memory: bool) -> None:
        self.source, self.kind = source, kind
        self.arrays = self._cast(source.features, source.targets) if in_memory and isinstance(source, Arrays) else None

    def __len__(self) -> int:
        return len(self.source)

    def take(self, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Features and targets of these samples, in this order."""
        if self.arrays is not None:
            return self.arrays[0][ids], self.arrays[1][ids]
        return self._cast(*self.source.take(ids))

    def _cast(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        def cast(values: NDArray[Any]) -> NDArray[Any]:
            kind = np.int64 if np.issubdtype(values.dtype, np.integer) else np.dtype(self.kind)
            return np.ascontiguousarray(values, dtype=kind)

        features, targets = arrays
        return cast(features), cast(targets)


def fingerprint(arrays: dict[str, NDArray[Any]]) -> str:
    """Of arrays by name, 32 hex digits; read in blocks, so that a memory map stays one."""
    digest = hashlib.blake2b(digest_size=16)
    for name, values in arrays.items():
        kind = values.dtype.newbyteorder("<")
        digest.update(f"{name} {kind.str} {values.shape};".encode())
        for rows in _blocks(values):
            digest.update(np.ascontiguousarray(rows, dtype=kind).tobytes())
    return digest.hexdigest()


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    if not values.ndim or not values.size:
        yield values
        return
    rows = max(1, _CHUNK // (values.nbytes // len(values) or 1))
    for start in range(0, len(values), rows):
        yield values[start : start + rows]

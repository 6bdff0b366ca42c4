"""The digests of what was done: of each batch's ids, of a block's columns, and the certificate, one of the whole run.

A certificate is over ``step, ids_digest, batch_size, updates`` of each row, in blocks of 4,096 rows, however the rows
were written. Equal runs have equal certificates. What a certificate proves and what it does not: FORMAT.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128, xxh3_128_digest

from xframe.trace import xxh3
from xframe.trace.schema import BY_NAME, CERTIFIED, DTYPES, Column

CERTIFICATE_BLOCK = 4096
_MANY = 64  # batches whose digests are sooner made together than one by one
_JOINED = 4096  # bytes of hashes that are kept together
_Hashes = tuple[Any, bytes]  # those before, or None, and the last


def ids_digests(ids: bytes | memoryview, sizes: NDArray[np.int64]) -> Column:
    """The digests of batches of these sizes, the bytes of whose ids, little-endian int64, come one after the other.

    Those of small batches that are as large as the first are made together, each other one by itself.
    """
    data, ends, size = memoryview(ids), np.cumsum(sizes), int(sizes[0]) if len(sizes) else 0
    together = sizes == size if 0 < size <= xxh3.LONGEST else np.zeros(len(sizes), np.bool_)
    if np.count_nonzero(together) < _MANY:
        return Column(_each_digest(data, ends - sizes, ends))
    words = np.frombuffer(data, "<u8")
    if together.all():
        return Column(xxh3.digests(words[: ends[-1]].reshape(-1, size)))
    digests, alone = np.empty(len(sizes), "V16"), ~together
    digests[together] = xxh3.digests(words[(ends[together] - size)[:, None] + np.arange(size)])
    digests[alone] = _each_digest(data, (ends - sizes)[alone], ends[alone])
    return Column(digests)


def _each_digest(data: memoryview, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.void]:
    places = zip((8 * starts).tolist(), (8 * ends).tolist(), strict=True)
    return np.frombuffer(b"".join([xxh3_128_digest(data[start:end]) for start, end in places]), dtype="V16")


def fingerprint(column: Column) -> bytes:
    """Equal for columns of equal bytes, nothing for one that is unknown throughout; in no file."""
    if column.known is not None and not column.known.any():
        return b""
    digest = xxh3_128(as_bytes(column.values))
    if column.known is not None:
        digest.update(as_bytes(column.known))
    return digest.digest()


def block_digests(columns: Mapping[str, Column], covered: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """A block's digest for each group of columns, and whether every loss and learning rate is a finite number."""
    digests: dict[str, str] = {}
    for group, names in covered.items():
        digest = hashlib.blake2b(digest_size=16)
        for name in names:
            values, known = columns[name]
            digest.update(name.encode())
            digest.update(b"all" if known is None else as_bytes(known))
            digest.update(as_bytes(values))
        digests[group] = digest.hexdigest()
    numbers = [columns.get(name) for name in ("lr", "loss")]
    finite = all(one is not None and one.known is None and bool(np.isfinite(one.values).all()) for one in numbers)
    return {**digests, "finite": str(finite)}


def as_bytes(values: NDArray[Any]) -> memoryview:
    """The bytes of an array of one dimension; where it can, without a copy."""
    return np.ascontiguousarray(values).view(np.uint8).data


class Certifier:
    """The certificate of rows that arrive in order, in pieces of any length; 64 bytes are kept of each block.

    A copy (``copy.copy``) goes on by itself from where it was made: what it holds is replaced, never changed.
    """

    _ROW = np.dtype([(name, DTYPES[BY_NAME[name].kind]) for name in CERTIFIED])

    def __init__(self) -> None:
        self._pending = b""
        self._num_rows = 0
        self._blocks: _Hashes = (None, b"")

    @property
    def num_rows(self) -> int:
        """Rows so far."""
        return self._num_rows

    def add(self, *columns: NDArray[Any]) -> None:
        """Takes rows, by the columns ``CERTIFIED``; -1, or zeros for a digest, stand for what is not known."""
        rows = np.empty(len(columns[0]), dtype=self._ROW)
        for name, values in zip(CERTIFIED, columns, strict=True):
            rows[name] = values
        self._num_rows += len(rows)
        data, size = as_bytes(rows), CERTIFICATE_BLOCK * self._ROW.itemsize
        if self._pending:
            data = memoryview(self._pending + data)
        whole = len(data) - len(data) % size
        hashes = b"".join([hashlib.blake2b(data[start : start + size]).digest() for start in range(0, whole, size)])
        before, last = self._blocks
        self._blocks = (before, last + hashes) if len(last) < _JOINED else (self._blocks, hashes)
        self._pending = bytes(data[whole:])

    def result(self) -> str:
        """The certificate of the rows so far; more may follow."""
        last = hashlib.blake2b(self._pending).digest() if self._pending else b""
        text = b"".join([b"xframe-certificate-1", self._num_rows.to_bytes(8, "little"), *_all(self._blocks), last])
        return "xf1-" + hashlib.blake2b(text, digest_size=20).hexdigest()


class LossesDigest:
    """The digest of losses and learning rates of rows that arrive in order, in pieces of any length.

    It tells a run from another that did the same with the same samples, which the certificate does not. A copy goes on
    by itself.
    """

    NAMES = ("lr", "loss")
    _ROW = np.dtype([(f"{name}{what}", kind) for name in NAMES for what, kind in (("", "<f8"), (" known", "u1"))])

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(b"xframe-losses-1", digest_size=16)

    def __copy__(self) -> LossesDigest:
        other = LossesDigest()
        other._digest = self._digest.copy()
        return other

    def add(self, *columns: Column) -> None:
        """Takes rows, by the columns ``NAMES``."""
        rows = np.zeros(len(columns[0].values), dtype=self._ROW)
        for name, (values, known) in zip(self.NAMES, columns, strict=True):
            there = np.ones(len(rows), np.bool_) if known is None else known
            rows[f"{name} known"] = there
            rows[name] = np.where(there, np.where(np.isnan(values), np.nan, values), 0.0)  # one NaN for all
        self._digest.update(as_bytes(rows))

    def result(self) -> str:
        """The digest of the rows so far; more may follow."""
        return self._digest.hexdigest()


def _all(hashes: _Hashes) -> list[bytes]:
    """The hashes in order."""
    pieces, left = list[bytes](), hashes
    while left is not None:
        left, last = left
        pieces.append(last)
    return pieces[::-1]

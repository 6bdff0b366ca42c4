"""The certificate: one digest of what was done, by blocks.

Over ``step, ids_digest, batch_size, updates`` of each row, in blocks of 4,096 rows, however the rows were
written. Equal runs have equal certificates. What a certificate proves and what it does not: FORMAT.md.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from xframe.trace.schema import BY_NAME, CERTIFIED, DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

CERTIFICATE_BLOCK = 4096


class Certifier:
    """The certificate of rows that arrive in order, in pieces of any length; 64 bytes are kept of each block."""

    _ROW = np.dtype([(name, DTYPES[BY_NAME[name].kind]) for name in CERTIFIED])

    def __init__(self) -> None:
        self._pending = b""
        self._num_rows = 0
        self._blocks = bytearray()

    def add(
        self,
        step: NDArray[np.int64],
        ids_digest: NDArray[np.void],
        batch_size: NDArray[np.int64],
        updates: NDArray[np.int64],
    ) -> None:
        """Takes rows; -1, or zeros for a digest, stand for what is not known."""
        rows = np.empty(len(step), dtype=self._ROW)
        rows["step"], rows["ids_digest"], rows["batch_size"], rows["updates"] = step, ids_digest, batch_size, updates
        self._num_rows += len(rows)
        data, size = memoryview(self._pending + rows.tobytes()), CERTIFICATE_BLOCK * self._ROW.itemsize
        whole = len(data) - len(data) % size
        for start in range(0, whole, size):
            self._blocks += hashlib.blake2b(data[start : start + size]).digest()
        self._pending = bytes(data[whole:])

    def result(self) -> str:
        """The certificate of the rows so far; more may follow."""
        last = hashlib.blake2b(self._pending).digest() if self._pending else b""
        text = b"".join([b"xframe-certificate-1", self._num_rows.to_bytes(8, "little"), self._blocks, last])
        return "xf1-" + hashlib.blake2b(text, digest_size=20).hexdigest()

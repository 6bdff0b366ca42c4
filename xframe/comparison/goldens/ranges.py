"""A run in a few ranges of steps: digests of what was done in each, and the means of its numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.prints import WIDTH
from xframe.trace.certificate import as_bytes, ids_digests
from xframe.trace.schema import Column
from xframe.trace.trace import Trace

Identity = Literal["index", "exact"]
IDENTITIES: dict[Identity, str] = {"index": "ids_digest", "exact": "features"}  # the columns that they need
MOST = 24
DIGESTED = {"sizes": "batch_size", "ids": "ids_digest", "updates": "updates"}  # the columns, by a range's names of them
AVERAGED = ("loss", "lr")
_BYTES = 4  # of a digest, which shows where; whether, the certificate says, but of samples known by content alone


@dataclass(slots=True)
class _Sums:
    """What was seen of one range."""

    digests: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(AVERAGED, 0.0))
    unknown: set[str] = field(default_factory=set)


def size_of(num_steps: int) -> int:
    """How many steps a range has, of a run of that many."""
    return -(-num_steps // MOST)


def identity_of(trace: Trace) -> Identity | None:
    """How samples are known in a golden of that run: by index, or else by their exact features; None if by neither."""
    return next((name for name, column in IDENTITIES.items() if trace.known_throughout(column)), None)


def ranges_of(trace: Trace, size: int, num_steps: int, identity: Identity) -> list[dict[str, Any]]:
    """The ranges of the first steps of a run, the last of them perhaps shorter; every column is read once.

    Args:
        identity: how samples are known.

    Returns:
        of each, its digests in the order of ``DIGESTED`` and, where every step has one, the means of ``AVERAGED``.
    """
    columns = (*DIGESTED.values(), *AVERAGED)
    by_content = identity == "exact" and trace.known_throughout("features") and trace.known_throughout("batch_size")
    found: list[_Sums] = []
    for start, stop in trace.blocks():
        if start >= num_steps:
            break
        stop = min(stop, num_steps)
        block = {name: trace.between(name, start, stop) for name in columns}
        if by_content:
            block["ids_digest"] = _contents(trace, start, stop, block["batch_size"].values)
        for index in range(start // size, -(-stop // size)):
            first, last = max(index * size, start) - start, min((index + 1) * size, stop) - start
            if index == len(found):
                found.append(_Sums())
            _add(found[index], block, first, last)
    lengths = [min(size, min(num_steps, trace.num_rows) - i * size) for i in range(len(found))]
    return [_stated(one, length) for one, length in zip(found, lengths, strict=True)]


def contents_digest(trace: Trace, name: str) -> str | None:
    """One digest of all samples' features or targets, by their exact prints; None if not every step has them."""
    if not trace.known_throughout(name) or not trace.num_rows:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for start, stop in trace.blocks():
        digest.update(as_bytes(np.ascontiguousarray(_hashes(trace, name, start, stop))))
    return digest.hexdigest()


def _hashes(trace: Trace, name: str, start: int, stop: int) -> NDArray[np.int64]:
    hashes: NDArray[np.int64] = trace.between(name, start, stop).values.reshape(-1, WIDTH)[:, 0]
    return hashes


def _contents(trace: Trace, start: int, stop: int, sizes: NDArray[np.int64]) -> Column:
    """For each row a digest of its samples' features."""
    return ids_digests(np.ascontiguousarray(_hashes(trace, "features", start, stop)).tobytes(), sizes)


def _add(found: _Sums, block: dict[str, Column], first: int, last: int) -> None:
    """Takes the rows ``first`` to ``last`` (excluded) of a block."""
    for name, column in DIGESTED.items():
        digest = found.digests.setdefault(name, hashlib.blake2b(digest_size=_BYTES))
        digest.update(as_bytes(block[column].values[first:last]))
    for name in AVERAGED:
        values, known = block[name]
        if known is not None and not known[first:last].all():
            found.unknown.add(name)
        with np.errstate(over="ignore", invalid="ignore"):
            found.sums[name] += float(values[first:last].sum())


def _stated(found: _Sums, length: int) -> dict[str, Any]:
    means = {name: found.sums[name] / length for name in AVERAGED if name not in found.unknown}
    return {"digests": "-".join(digest.hexdigest() for digest in found.digests.values()), **means}

"""That what a file states of its rows follows from its rows.

A file's own digest, and a journal's, show that its bytes are those that somebody wrote, and whoever writes a file can
put into it what they like. So nothing that a trace states of its rows is believed. When it is opened all of it is made
again from the rows, a block at a time, and a trace that states anything else is refused. What is shown, compared or
certified afterwards may go by the digests: they are those of the rows.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xframe.files.limits import LARGEST
from xframe.trace.arrow import known_of, lengths_of, lists_of
from xframe.trace.certificate import Certifier, as_bytes, block_digests, fingerprint, ids_digests
from xframe.trace.schema import BY_NAME, CERTIFIED, COLUMNS, LISTS, Column
from xframe.trace.source import Source, damaged, read_between

_EACH_ITS_OWN = {"step", "ids_digest", "loss", "accuracy", "time_ns"}  # what replicas need not have alike


class Verified(NamedTuple):
    """What was made from a file's rows.

    Attributes:
        certificate: of all of them.
        fingerprints: of each block of a closed trace of a replica, by the columns that replicas may have alike.
    """

    certificate: str
    fingerprints: list[dict[str, bytes]]


def verified(path: Path, source: Source) -> Verified:
    """Verifies that a file's rows agree with all that the file states of them.

    Raises:
        TraceError: they do not.
    """
    certifier, largest, fingerprints = Certifier(), 0, list[dict[str, bytes]]()
    names = {*source.columns, *CERTIFIED}  # all others are unknown throughout
    of_replica = source.digests is not None and "replica" in source.metadata
    shared = names - LISTS.keys() - _EACH_ITS_OWN if of_replica else set[str]()
    unknown = {name: 0 if name in names else source.num_rows for name in COLUMNS}
    for index, (start, stop) in enumerate(pairwise(source.bounds)):
        columns = {name: read_between(source, name, start, stop) for name in names if name not in LISTS}
        where = f"of its rows {start:,} to {stop - 1:,}"
        if not np.array_equal(columns["step"].values, np.arange(start, stop)):
            raise damaged(path, f"the steps {where} are not numbered one after the other")
        for name in [name for name in LISTS if name in names]:
            unlisted = _unlisted(source, index, name, columns)
            if unlisted is None:
                beside = " and digests" if name == "ids" else ""
                raise damaged(path, f"the {name} {where} are not those of their batch sizes{beside}")
            unknown[name] += unlisted
        for name, column in columns.items():
            nulls = 0 if column.known is None else len(column.known) - int(np.count_nonzero(column.known))
            unknown[name] += nulls
            if BY_NAME[name].kind == "int64" and np.count_nonzero(column.values.view(np.uint64) > LARGEST) > nulls:
                raise damaged(path, f"the {name} {where} are not all from 0 to {LARGEST}")
        if source.digests is not None and source.digests[index] != block_digests(columns, source.covered):
            raise damaged(path, f"the digests {where} are not those of the columns")
        certifier.add(*(columns[name].values for name in CERTIFIED))
        if shared:
            fingerprints.append({name: fingerprint(columns[name]) for name in shared})
        largest = max(largest, int(columns["batch_size"].values.max(initial=0)))
        del columns, column  # one block is held at a time
    if largest * source.num_rows > LARGEST:
        raise damaged(path, "its batches have more samples than can be counted")
    certificate = certifier.result()
    if unknown != source.unknown:
        raise damaged(path, "it states a different number of unknown values than it has")
    stated = source.end.get("rows"), source.end.get("certificate")
    if (source.end or source.digests is not None) and stated != (source.num_rows, certificate):
        raise damaged(path, "its rows are not those that were certified")
    return Verified(certificate, fingerprints)


def _unlisted(source: Source, index: int, name: str, columns: dict[str, Column]) -> int | None:
    """How many batches of a block have no such list; None if one is not that of its batch's size, or of its digest."""
    lists = source.read(index, name)
    if lists.null_count == len(lists):
        return len(lists)
    listed = known_of(lists)
    if name != "ids":
        fitting = lengths_of(lists) == LISTS[name] * columns["batch_size"].values
        return int((~listed).sum()) if fitting[listed].all() else None
    ids, lengths = lists_of(lists)
    sizes, (digests, known) = columns["batch_size"].values, columns["ids_digest"]
    same = (lengths == sizes) & (ids_digests(as_bytes(ids), lengths).values == digests)
    if known is not None:
        same &= known
    return int((~listed).sum()) if same[listed].all() else None

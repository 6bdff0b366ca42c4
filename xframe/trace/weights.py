"""The final weights of a run: a state's file beside the trace, which has a digest of each array.

All of them are among its parameters: a trace does not know which are trained.
"""

from __future__ import annotations

import hashlib
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xframe.errors import StateError
from xframe.files.limits import opened
from xframe.files.tensors import types_of
from xframe.state.file import read_state, write_state
from xframe.state.state import State
from xframe.trace.source import damaged


def weights_path(trace: Path) -> Path:
    """Where the final weights of the run recorded in ``trace`` are kept: ``lr0.1`` and ``lr0.2`` have two files."""
    return trace.with_name(f"{trace.name.removesuffix('.trace') or trace.name}.weights.safetensors")


def array_digest(array: NDArray[Any]) -> str:
    """Digest of an array's type, shape and little-endian bytes."""
    values = np.ascontiguousarray(array)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    head = f"{values.dtype.str} {values.shape};".encode()
    return hashlib.blake2b(head + values.tobytes(), digest_size=16).hexdigest()


def write_weights(trace: Path, weights: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Writes arrays by name beside ``trace``, all or none; returns the digest of each."""
    exact = any(values.dtype == np.float64 for values in weights.values())
    write_state(weights_path(trace), State(weights, precision="float64" if exact else "float32"))
    return {name: array_digest(values) for name, values in weights.items()}


def weight_types(trace: Path) -> set[str]:
    """The types of the arrays that lie beside ``trace``, by NumPy's names, from their heads alone; empty if there are
    none, or none that can be read."""
    try:
        file = _stored(trace)
        return types_of(file) if file == weights_path(trace) else _archived_types(file)
    except Exception:  # whoever reads the weights says what is wrong with them
        return set()


def read_weights(trace: Path, digests: Mapping[str, str]) -> dict[str, NDArray[Any]] | None:
    """The arrays that lie beside ``trace``; None if there is no such file.

    Raises:
        TraceError: the arrays are not those that the digests, by name, were made of.
    """
    file = _stored(trace)
    if not file.exists():
        return None
    try:
        weights = dict(read_state(file).parameters) if file == weights_path(trace) else _archived(file)
    except StateError as error:
        raise damaged(file, str(error.got)) from None
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise damaged(file, f"{type(error).__name__}: {error}") from None
    if {name: array_digest(values) for name, values in weights.items()} != digests:
        if file not in (weights_path(trace), _archive_paths(trace)[0]):
            return None  # another trace's
        raise damaged(file, "these are not the weights that the trace vouches for")
    return weights


def _stored(trace: Path) -> Path:
    """The file that there is."""
    places = (weights_path(trace), *_archive_paths(trace))
    return next((file for file in places if file.exists()), places[0])


# What earlier versions wrote: an archive of NumPy's


def _archive_paths(trace: Path) -> tuple[Path, Path]:
    """Where they kept it, and the first ones: without the last of a name's suffixes, whatever it was."""
    return weights_path(trace).with_suffix(".npz"), trace.with_name(trace.stem + ".weights.npz")


def _archived(file: Path) -> dict[str, NDArray[Any]]:
    with opened(file) as source:
        _check_sizes(source)
        with np.load(source, allow_pickle=False) as stored:
            weights = {name: stored[name] for name in stored.files}
    if odd := [name for name, values in weights.items() if values.dtype.kind not in "biuf"]:
        raise ValueError(f"{odd[0]!r} is no array of real numbers")
    return weights


def _archived_types(file: Path) -> set[str]:
    types = set[str]()
    with opened(file) as source, zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                types.add(_head(member)[2].name)
    return types


def _check_sizes(file: BinaryIO) -> None:
    """That an archive unpacks to no more than it is, as one that is not compressed does, and its arrays to no more."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > size:
            raise ValueError("it would be larger than its file")
        for member in archive.infolist():
            with archive.open(member) as array:
                shape, _, kind = _head(array)
                if math.prod(shape) * kind.itemsize > member.file_size:
                    raise ValueError(f"{member.filename!r} is larger than its file")
    file.seek(0)


def _head(array: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, order and type in the head of a ``.npy`` file."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    return read[np.lib.format.read_magic(array)](array)

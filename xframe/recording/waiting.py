"""What a recorder has taken and not yet written: steps, blocks of steps, validations and settings, in one list.

A step is a tuple in the order of ``STEP``. Each is taken by one ``append``, and once it is written goes by one ``del``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from xframe.errors import UsageError, Verbatim, unknown
from xframe.files.limits import BATCH_IDS, LARGEST
from xframe.recording import values
from xframe.recording.identity import canonical
from xframe.trace.certificate import ids_digests
from xframe.trace.schema import BY_NAME, FURTHER, LISTS, PRINTS, Column, joined, unknown_column
from xframe.trace.stated import StatedSettings, fitted

FRAME_ITEMS = 1000
FRAME_IDS = 1 << 22  # in a frame; more only if one step has more
FRAME_ROWS = 1 << 17

_HOLD = {name: values.number if BY_NAME[name].kind == "float64" else values.count for name in FURTHER}
for _name in PRINTS:
    del _HOLD[_name]

STEP = (
    *("ids", "updates", "update_attempts", "epoch", "step_in_epoch", "padding"),
    *("lr", "loss", "accuracy", "time_ns", "also"),
)


class Block(NamedTuple):
    """Steps that were given as columns."""

    rows: int
    columns: dict[str, Column]


class Validation(NamedTuple):
    """A validation's facts, as they are written."""

    facts: dict[str, Any]


class Settings(NamedTuple):
    """What was set, by name, as it is written."""

    facts: dict[str, Any]


Item = tuple[Any, ...]  # a step's values, a Block, a Validation, or Settings
BESIDE = (Validation, Settings)  # what stands in a frame of its own


def due(waiting: Sequence[Item]) -> Sequence[Item]:
    """What is written next: what stands beside the steps if it comes first, or the steps before it, at most a frame."""
    first = waiting[:FRAME_ITEMS]
    kinds = list(map(type, first))
    if not any(map(kinds.count, BESIDE)):
        return first
    return first[: min(kinds.index(kind) for kind in BESIDE if kind in kinds) or 1]


def rows_of(items: Sequence[Item]) -> int:
    """How many steps they are."""
    kinds = list(map(type, items))
    steps = kinds.count(tuple)
    return steps if steps == len(items) else steps + sum(item.rows for item in items if type(item) is Block)


def columns_of(items: Sequence[Item], *, keep_ids: bool) -> tuple[int, dict[str, Column]]:
    """How many of these steps and blocks are written together, and their columns; what is on a device comes home."""
    chunks = list[Block]()
    for kind, group in groupby(items, type):
        same: list[Any] = list(group)
        chunks += same if kind is Block else [_of_steps(same, keep_ids=keep_ids)]
    listed = sum(len(chunk.columns[name].values) for chunk in chunks for name in LISTS if name in chunk.columns)
    if len(items) > 1 and (listed > FRAME_IDS or sum(chunk.rows for chunk in chunks) > FRAME_ROWS):
        return columns_of(items[: len(items) // 2], keep_ids=keep_ids)
    return len(items), {
        name: joined([(chunk.columns.get(name) or unknown_column(name, chunk.rows), chunk.rows) for chunk in chunks])
        for name in {name for chunk in chunks for name in chunk.columns}
    }


def _of_steps(steps: list[Item], *, keep_ids: bool) -> Block:
    given: dict[str, Any] = dict(zip(STEP, zip(*steps, strict=True), strict=True))
    columns, also = _ids_of(given.pop("ids"), keep_ids=keep_ids), given.pop("also")
    sizes = columns["batch_size"].values
    if any(also):
        named = [each or {} for each in also]
        present = set().union(*named)
        for name in FURTHER:
            if name not in present:
                continue
            column = tuple([each.get(name) for each in named])
            if column.count(None) < len(column):
                given[name] = column
    columns |= {name: _prints_of(name, given.pop(name), sizes) for name in PRINTS if name in given}
    return Block(len(steps), columns | {name: values.of_steps(name, column) for name, column in given.items()})


def _ids_of(held: Sequence[Any], *, keep_ids: bool) -> dict[str, Column]:
    """The sizes of single steps' batches, and their ids and digests, where these are known."""
    listed = np.array([type(ids) is not values.Unlisted for ids in held])
    batches = values.fetch_ids([ids for ids, known in zip(held, listed, strict=True) if known])
    sizes = np.array([len(batch) for batch in batches], dtype=np.int64) // 8
    columns = batches_of(b"".join(batches), sizes, keep_ids=keep_ids)
    if listed.all():
        return {"batch_size": Column(sizes), **columns}
    every = np.array([0 if known else ids.shape[0] for ids, known in zip(held, listed, strict=True)], dtype=np.int64)
    digests = np.zeros(len(held), dtype="V16")
    every[listed], digests[listed] = sizes, columns["ids_digest"].values
    columns = {name: Column(column.values, listed) for name, column in columns.items()}
    return columns | {"batch_size": Column(every), "ids_digest": Column(digests, listed)}


def _prints_of(name: str, batches: Sequence[Any], sizes: NDArray[np.int64]) -> Column:
    """The prints of single steps' batches; those of a batch that lists too many are not kept."""
    known = np.array([each is not None for each in batches]) & (LISTS[name] * sizes <= BATCH_IDS)
    kept = list(batches) if known.all() else [each for each, there in zip(batches, known, strict=True) if there]
    return Column(canonical(values.fetch_prints(kept)), None if known.all() else known)


def batches_of(ids: bytes, sizes: NDArray[np.int64], *, keep_ids: bool) -> dict[str, Column]:
    """The batches' digests, and their ids if they are kept, and not more than a trace lists."""
    digested = {"ids_digest": ids_digests(ids, sizes)}
    kept = keep_ids and sizes.max(initial=0) <= BATCH_IDS
    return digested | ({"ids": Column(np.frombuffer(ids, dtype="<i8"))} if kept else {})


def further(also: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values of further columns by name, if there are such columns.

    Raises:
        UsageError: there is none of that name.
    """
    for name in also.keys() - set(FURTHER):
        raise unknown("further column of a step", name, FURTHER)
    return also


def held_further(also: Mapping[str, Any], size: int) -> dict[str, Any]:
    """A step's values of further columns, held as its others are; its batch has that size.

    Raises:
        UsageError: there is no such column, or a value does not fit it.
    """
    held = {}
    for name, value in also.items():
        if (hold := _HOLD.get(name)) is not None:
            plain = type(value) is float or (type(value) is int and 0 <= value <= LARGEST)
            held[name] = value if plain else hold(value, name)
        else:
            if name not in PRINTS:
                further({name: value})
            held[name] = values.prints(value, name, size)
    return held


def block_of(ids: Any, batch_sizes: Any, given: dict[str, Any], now: int, *, keep_ids: bool) -> tuple[list[Block], int]:
    """Many steps, as ``Recorder.block`` takes them, in blocks that a frame takes, and how many values their lists have.

    Raises:
        UsageError: they don't fit together, or are no columns.
    """
    chunk: dict[str, Column] = {}
    if batch_sizes is not None:
        chunk["batch_size"] = values.of_block(batch_sizes, "batch_sizes")
    given = {name: value for name, value in given.items() if value is not None}
    chunk |= {name: values.of_block(column, name) for name, column in given.items() if name not in PRINTS}
    rows = len(next(iter(chunk.values())).values) if chunk else 0
    for name, column in chunk.items():
        if len(column.values) != rows:
            raise UsageError(f"a block's {name}", got=len(column.values), expected=f"{rows} values, one a step")
    flat = None if ids is None else values.array(ids, "ids")
    if flat is not None and (np.ma.is_masked(ids) or np.ma.is_masked(batch_sizes)):
        raise UsageError("a block's ids and batch_sizes", got=Verbatim("a mask"), expected="all known, or no ids")
    sizes = chunk["batch_size"].values if batch_sizes is not None else np.zeros(0, dtype=np.int64)
    if (sizes < 0).any() or (flat is not None and flat.shape != (sizes.sum(),)):
        raise UsageError(
            "a block's ids and batch_sizes don't fit",
            got=Verbatim(f"ids of shape {None if flat is None else flat.shape}, batch_sizes {sizes.tolist()[:10]}"),
            expected="sizes from 0 up, and as many ids as their sum",
        )
    if rows and flat is not None:
        chunk |= batches_of(values.id_bytes(flat), sizes, keep_ids=keep_ids)
    for name in given.keys() & {*PRINTS}:
        held = values.prints(given[name], name, int(sizes.sum()))
        if LISTS[name] * sizes.max(initial=0) <= BATCH_IDS:
            chunk[name] = Column(canonical(values.fetch_prints([held])))
    chunk.setdefault("time_ns", Column(np.full(rows, now)))
    listed = sum(len(chunk[name].values) for name in PRINTS if name in chunk)
    return list(_cut(Block(rows, chunk), sizes)), listed + (0 if flat is None else len(flat))


def _cut(block: Block, sizes: NDArray[np.int64]) -> Iterator[Block]:
    """A block in pieces that a frame takes."""
    listed = [LISTS[name] for name in block.columns if name in LISTS]
    ends = np.concatenate([[0], np.cumsum(sizes)]) if listed else np.zeros(block.rows + 1, np.int64)
    start = 0
    while start < block.rows:
        fitting = int(np.searchsorted(ends, ends[start] + FRAME_IDS // max(sum(listed), 1), side="right")) - 1
        stop = min(max(fitting, start + 1), start + FRAME_ROWS, block.rows)
        columns = {}
        for name, (column, known) in block.columns.items():
            a, b = (LISTS[name] * ends[start], LISTS[name] * ends[stop]) if name in LISTS else (start, stop)
            columns[name] = Column(column[a:b], None if known is None else known[start:stop])
        yield Block(stop - start, columns)
        start = stop


def validation_of(
    loss: Any, accuracy: Any, ids: Any, batch_sizes: Any, now: int, training: bool | None = None
) -> Validation:
    """A validation, as ``Recorder.validation`` takes it.

    Raises:
        UsageError: its parts don't fit together, or are no numbers.
    """
    facts: dict[str, Any] = {"time_ns": now}
    for name, value in (("loss", loss), ("accuracy", accuracy)):
        facts[name] = None if value is None else float(values.fetch_numbers([values.number(value, name)])[0])
    if training is not None:
        facts["training"] = bool(training)
    if ids is not None:
        flat = values.id_bytes(values.fetch(values.hold(ids, "ids")))
        facts |= {"num_samples": len(flat) // 8, "ids_digest": xxh3_128_digest(flat).hex()}
    if batch_sizes is not None:
        sizes = values.of_block(batch_sizes, "batch_sizes").values
        runs = [[int(size), len(list(times))] for size, times in groupby(sizes.tolist())]
        facts |= {"num_samples": int(sizes.sum()), "num_batches": len(sizes), "batch_sizes": runs}
        if ids is not None and 8 * facts["num_samples"] != len(flat):
            raise UsageError(
                "a validation's ids and batch_sizes don't fit",
                got=Verbatim(f"{len(flat) // 8} ids, batch_sizes of {facts['num_samples']}"),
                expected="as many ids as the sizes' sum",
            )
    return Validation(facts)


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Settings, as ``Recorder.settings`` takes them.

    Raises:
        UsageError: a name is no text, or a value none that a trace can hold.
    """
    facts = {name: _plain(value) for name, value in given.items()}
    try:
        return Settings(fitted(StatedSettings, {"settings": facts}).settings)
    except ValueError as error:
        expected = "names of 1 to 200 characters; texts, numbers, truth values, None, or lists of those"
        raise UsageError("the settings", got=Verbatim(error), expected=expected) from None


def _plain(value: Any) -> Any:
    """A value as JSON has it; NumPy's scalars, tuples and arrays as Python's numbers and lists."""
    if isinstance(value, (list, tuple)):
        return list(map(_plain, value))
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    for plain in (str, bool, int, float):  # and their subclasses, such as an enumeration of texts
        if isinstance(value, plain):
            return plain(value)
    return value

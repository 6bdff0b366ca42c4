"""JSON lines: one object a line. The columns are the keys of the first block's objects.

Arrow reads blocks of lines. What it refuses, or takes otherwise than JSON says, Python's own reader decides line by
line: it names the line of what is wrong, and takes what is right but of mixed kinds, such as losses beside "NaN".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from xframe.files.limits import once, weighed
from xframe.recording.logs import log
from xframe.recording.logs.log import Block, Ids, TextLog, as_column
from xframe.trace.schema import BY_NAME

_SHORT = 1 << 12  # bytes of a line that need not be weighed
_ODD = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf}
_KINDS = {"int64": pa.int64(), "float64": pa.float64(), "ids": pa.list_(pa.int64())}


def _real(text: str) -> float | str:
    """A float; the text as it is where it is too large for one."""
    value = float(text)
    return text if math.isinf(value) else value


class JsonLines(TextLog):
    """A file of JSON lines."""

    form = "jsonl"
    endings = (".jsonl", ".ndjson")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        objects = self._objects(next(self._line_blocks(), []))
        self.names = list(dict.fromkeys(key for row in objects for key in row))
        if len(self.names) > log.MOST_NAMES:
            self.refuse(0, "too many columns", f"{len(self.names):,}", f"at most {log.MOST_NAMES:,}")

    def _line_blocks(self) -> Iterator[list[tuple[int, bytes]]]:
        block: list[tuple[int, bytes]] = []
        size = 0
        for number, line in self.lines():
            if line.strip():
                block.append((number, line))
                size += len(line)
            if size >= log.BLOCK_BYTES or len(block) >= log.BLOCK_ROWS:
                yield block
                block, size = [], 0
        if block:
            yield block

    def _objects(self, lines: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
        """The lines' objects, one by one."""
        rows = []
        for number, line in lines:
            try:
                if len(line) > _SHORT:
                    weighed(line)
                row = json.loads(line.decode(), parse_float=_real, object_pairs_hook=once)
            except (ValueError, RecursionError) as error:
                cut = None if line.endswith(b"\n") else "Is the last line whole? Remove it if not."
                self.refuse(number, "not JSON", str(error), "one JSON object a line", cut)
            if type(row) is not dict:
                self.refuse(number, "not an object", type(row).__name__, "one JSON object a line")
            rows.append(row)
        return rows

    def blocks(self, used: Mapping[str, str]) -> Iterator[Block]:
        for lines in self._line_blocks():
            yield self._block(used, lines)

    def _block(self, used: Mapping[str, str], lines: list[tuple[int, bytes]]) -> Block:
        def line(row: int) -> int:
            return lines[row][0]

        objects = cache(lambda: self._objects(lines))

        def cells(name: str) -> list[Any]:
            return [row.get(name) for row in objects()]

        arrays = _arrays(used, [text for _, text in lines])
        columns, ids = {}, None
        for column, name in used.items():
            array = arrays.get(column)
            if column == "ids":
                ids = _ids(array) or self.ids(name, cells(name), line)
            else:
                fast = None if array is None else as_column(column, array)
                columns[column] = fast or self.numbers(column, name, cells(name), line)
        return Block(len(lines), columns, ids, line)

    def value(self, cell: Any) -> int | float | None:
        return _ODD.get(cell.lower()) if type(cell) is str else super().value(cell)


def _arrays(used: Mapping[str, str], lines: list[bytes]) -> dict[str, Any]:
    """The used columns of these lines by the trace's names; none where Arrow cannot read them as what they must be."""
    if not all(line.lstrip().startswith(b"{") for line in lines):  # Arrow crashes on a line that is null
        return {}
    schema = pa.schema([(name, _KINDS[BY_NAME[column].kind]) for column, name in used.items()])
    text = pa.BufferOutputStream()  # memory of Arrow's own: its threads may outlive the call, and Python
    text.writelines(lines)
    try:
        table = arrow_json.read_json(
            pa.BufferReader(text.getvalue()),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=sum(map(len, lines)) + 1),
            parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return {}
    if len(table) != len(lines):  # not one object a line
        return {}
    return {column: table.column(name).combine_chunks() for column, name in used.items()}


def _ids(array: Any) -> Ids | None:
    """The ids in an array of lists; None where one is missing."""
    if array is None or array.null_count or array.flatten().null_count:
        return None
    flat = array.flatten().to_numpy(zero_copy_only=False)
    return Ids(flat, array.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64))

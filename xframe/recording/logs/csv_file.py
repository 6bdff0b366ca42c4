"""CSV with a header line; fields separated by commas, or by the semicolons or tabs that the header has instead.

Arrow reads the columns that are used, as text and in blocks. What it does not do is done by Python's own reader, which
is strict and counts lines, but slow: it reads a file that has quotes, since Arrow takes quotes that are not in pairs,
and it reads up to what is refused, to name its line.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from xframe.recording.logs import log
from xframe.recording.logs.log import Block, Ids, TextLog, as_column
from xframe.trace.schema import Column

_INTEGER = re.compile(r"[+-]?[0-9]{1,39}")
_BETWEEN_IDS = r"[;,\[\]]"
_IDS = r"\s*\[?[0-9\s;,-]*\]?\s*"
_NOT_PLAIN = r"[^0-9eE.+-]"  # what Arrow may read otherwise than Python: 0x10, nan(1)


class CsvFile(TextLog):
    """A CSV file."""

    form = "csv"
    endings = (".csv", ".tsv")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        head, quoted, self._longest = "", False, 0
        for number, line in self.lines():
            head = line.decode() if number == 1 else head
            quoted = quoted or b'"' in line
            self._longest = max(self._longest, len(line))
        self._delimiter = max(",;\t", key=head.count)
        self.names = next(self._records(), (1, []))[1]
        if not any(name.strip() for name in self.names):
            self.refuse(1, "no names of columns", repr(head[:80]), "a header line")
        if len(self.names) > log.MOST_NAMES:
            self.refuse(1, "too many columns", f"{len(self.names):,}", f"at most {log.MOST_NAMES:,}")
        doubled = [name for name, times in Counter(self.names).items() if times > 1]
        if doubled:
            self.refuse(1, "two columns have one name", doubled[0], "each column by a name of its own")
        if quoted:
            deque(self._records(), maxlen=0)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The header and the rows, each with the number of its last line."""
        before = csv.field_size_limit(log.LONGEST_LINE)
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=self._delimiter, strict=True)
                for row in reader:
                    if row and self.names and len(row) != len(self.names):
                        expected = f"{len(self.names)}, as the header has"
                        self.refuse(reader.line_num, "a row", f"{len(row)} fields", expected)
                    if row or reader.line_num == 1:
                        yield reader.line_num, row
        except csv.Error as error:
            self.refuse(reader.line_num, "not a line of CSV", str(error), "quotes in pairs")
        finally:
            csv.field_size_limit(before)

    def _line(self, before: int, row: int) -> int:
        return next(islice(self._records(), 1 + before + row, None))[0]

    def blocks(self, used: Mapping[str, str]) -> Iterator[Block]:
        names, rows = list(used.values()), 0
        size = max(log.BLOCK_BYTES, 2 * self._longest)  # a row lies in at most two of Arrow's blocks
        text = arrow_csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, pa.string()))
        try:
            with arrow_csv.open_csv(
                self.path,
                read_options=arrow_csv.ReadOptions(block_size=size, use_threads=False),
                parse_options=arrow_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                convert_options=text,
            ) as reader:
                for batch in reader:
                    yield self._block(used, batch, partial(self._line, rows))
                    rows += batch.num_rows
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            if sum(1 for _ in self._records()) > 1:  # it refuses what is wrong with a row
                self.refuse(0, "not a file of CSV", str(error))

    def _block(self, used: Mapping[str, str], batch: Any, line: Callable[[int], int]) -> Block:
        columns = {}
        for column, name in used.items():
            if column != "ids":
                cells = batch.column(name)
                columns[column] = _numbers(column, cells) or self.numbers(column, name, cells.to_pylist(), line)
        ids = None
        if "ids" in used:
            cells = batch.column(used["ids"])
            ids = _ids(cells) or self.ids(used["ids"], cells.to_pylist(), line)
        return Block(batch.num_rows, columns, ids, line)

    def value(self, cell: str) -> int | float | None:
        text = cell.strip()
        if _INTEGER.fullmatch(text):
            return int(text)
        if "_" in text or not text.isascii():  # float takes 1_000 and the digits of other scripts for numbers
            return None
        try:
            value = float(text)
        except ValueError:
            return None
        return None if np.isinf(value) and "inf" not in text.lower() else value  # 1e999

    def members(self, cell: str) -> Iterable[int]:
        if not cell.strip() or not re.fullmatch(_IDS, cell, re.ASCII):
            raise ValueError
        return map(int, re.sub(_BETWEEN_IDS, " ", cell).split())


def _numbers(column: str, cells: Any) -> Column | None:
    """A column of plain decimal numbers; None where a cell holds something else."""
    text = pc.utf8_trim_whitespace(cells)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    if pc.any(pc.match_substring_regex(text, _NOT_PLAIN)).as_py():
        return None
    whole = as_column(column, text, pa.int64()) if log.counts(column) else None
    return whole or as_column(column, text, pa.float64())


def _ids(cells: Any) -> Ids | None:
    """The ids in cells such as ``3 1``, ``3;1`` or ``[3, 1]``; None where a cell holds something else."""
    if not pc.all(pc.match_substring_regex(cells, rf"^{_IDS}$")).as_py():
        return None
    if not pc.all(pc.match_substring_regex(cells, r"\S")).as_py():
        return None
    words = pc.utf8_split_whitespace(pc.replace_substring_regex(cells, _BETWEEN_IDS, " ")).flatten()
    try:
        flat = words.filter(pc.not_equal(words, "")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    sizes = pc.count_substring_regex(cells, "[0-9]+").to_numpy(zero_copy_only=False).astype(np.int64)
    return Ids(flat, sizes) if sizes.sum() == len(flat) else None

"""Writes a trace: a journal while the run goes on, which becomes one Parquet file when it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xframe.trace.arrow import record_batch, values_of
from xframe.trace.certificate import Certifier
from xframe.trace.journal import BATCH, END, HEAD, VALIDATION, Journal, JournalWriter
from xframe.trace.parquet import compact
from xframe.trace.schema import CERTIFIED, Column
from xframe.trace.source import head_of


class TraceWriter:
    """Writes a trace block by block; each block is handed to the operating system at once.

    Attributes:
        path: the file, absolute, for the loop may change its folder.
        num_rows: rows written so far.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """Begins the file.

        Raises:
            TypeError: the metadata are not JSON; no file was made.
            OSError: the file cannot be written.
        """
        self.path, self.num_rows = path.absolute(), 0
        head = _json(head_of(metadata))
        self._certifier, self._journal = Certifier(), JournalWriter(path)
        self._journal.write(HEAD, head)

    def write(self, columns: Mapping[str, Column]) -> None:
        """Appends rows. A column of the schema that is not given is unknown throughout."""
        count = len(columns["step"].values)
        batch = record_batch(columns, count)
        self._journal.write(BATCH, memoryview(batch.serialize()))
        self._certifier.add(*(values_of(batch.column(name)) for name in CERTIFIED))
        self.num_rows += count

    def validation(self, facts: Mapping[str, Any]) -> None:
        """Appends a validation, made after the rows that are there."""
        self._journal.write(VALIDATION, _json({**facts, "after": self.num_rows}))

    def close(self, outcome: str, **facts: Any) -> None:
        """Writes the end and makes the trace compact; ``outcome`` is ``complete`` or states what ended the run."""
        end = {"rows": self.num_rows, "outcome": outcome, "certificate": self._certifier.result(), **facts}
        try:
            self._journal.write(END, _json(end))
        finally:
            self._journal.close()
        with self.path.open("rb") as file:
            compact(Journal(self.path, file), self.path)


def _json(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True).encode()

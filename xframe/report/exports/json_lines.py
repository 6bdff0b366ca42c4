"""JSON lines: an object for each step; ids as a list, and what is no finite number as a text, as JSON has no word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from xframe.report.exports.export import RowsAsText, texts
from xframe.trace.schema import BY_NAME


class JsonLinesExport(RowsAsText):
    """A file of JSON lines; null is unknown."""

    form = "jsonl"

    def write(self, path: Path) -> None:
        """Writes the file."""
        self.note_ids()
        with path.open("xb") as file:
            for block in self.blocks():
                parts: list[Any] = []
                for name, array in block.items():
                    parts += [f', "{name}": ' if parts else f'{{"{name}": ', pc.fill_null(_values(name, array), "null")]
                lines = pc.binary_join_element_wise(*parts, "}\n", "")
                file.write(lines.buffers()[2].slice(0, pc.sum(pc.binary_length(lines)).as_py()))


def _values(name: str, array: Any) -> Any:
    """A column as JSON values."""
    text, kind = texts(name, array, separator=", ", brackets=("[", "]")), BY_NAME[name].kind
    quoted = pc.binary_join_element_wise('"', text, '"', "")
    if kind == "digest":
        return quoted
    return pc.if_else(pc.is_finite(array), text, quoted) if kind == "float64" else text

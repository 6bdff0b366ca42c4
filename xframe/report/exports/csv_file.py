"""CSV: a header, a line for each step; ids with blanks between, so that no cell needs quotes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from xframe.report.exports.export import RowsAsText, texts


class CsvExport(RowsAsText):
    """A CSV file; an empty cell is unknown, ``[]`` a batch without samples."""

    form = "csv"

    def write(self, path: Path) -> None:
        """Writes the file."""
        self.note_ids()
        schema = pa.schema([(name, pa.string()) for name in self.columns])
        options = arrow_csv.WriteOptions(include_header=False, quoting_style="none")
        with path.open("xb") as file:
            file.write(",".join(schema.names).encode() + b"\n")
            with arrow_csv.CSVWriter(file, schema, write_options=options) as writer:
                for block in self.blocks():
                    cells = [texts(name, array, separator=" ") for name, array in block.items()]
                    cells = [pc.if_else(pc.equal(cell, ""), "[]", cell) for cell in cells]
                    writer.write_batch(pa.record_batch(cells, schema=schema))

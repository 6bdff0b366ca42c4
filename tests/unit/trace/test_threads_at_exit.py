"""No thread of Arrow's holds an object of Python's: one that still did when Python ends would abort the process."""

import json

import pyarrow as pa
import pytest
from pyarrow import json as arrow_json
from pyarrow import parquet

import xframe
from xframe.recording.logs import import_run


@pytest.fixture
def sources(monkeypatch):
    """What Arrow is given to read, each time."""
    given = []

    def noting(function):
        def call(source, *args, **kwargs):
            given.append(source)
            return function(source, *args, **kwargs)

        return call

    monkeypatch.setattr(parquet, "ParquetFile", noting(parquet.ParquetFile))
    monkeypatch.setattr(arrow_json, "read_json", noting(arrow_json.read_json))
    return given


def test_arrow_reads_files_and_memory_of_its_own(tmp_path, sources):
    log, path = tmp_path / "log.jsonl", tmp_path / "a.trace"
    log.write_text("".join(json.dumps({"step": i, "loss": 0.5, "updates": i + 1}) + "\n" for i in range(20)))
    import_run(log, path)
    assert xframe.Trace.open(path).num_rows == 20
    assert {type(source) for source in sources} == {pa.BufferReader, pa.OSFile}

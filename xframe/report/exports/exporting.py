"""Exports a trace: refuses what must not be written, writes the form, removes what a failure leaves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from xframe.errors import TraceError, UsageError, counted, printable, unknown
from xframe.report.exports.csv_file import CsvExport
from xframe.report.exports.event_files import EventFileExport
from xframe.report.exports.export import Export, Exported
from xframe.report.exports.json_lines import JsonLinesExport
from xframe.report.exports.mlflow_store import MlflowExport
from xframe.report.exports.mlperf_log import MlperfExport
from xframe.trace.trace import Trace

_KINDS = (CsvExport, JsonLinesExport, EventFileExport, MlflowExport, MlperfExport)
EXPORTS: Mapping[str, type[Export]] = {kind.form: kind for kind in _KINDS}


def export_run(trace: Trace | str | Path, out: str | Path, *, form: str) -> Exported:
    """Writes what a trace holds at ``out``, which does not exist yet; a database of MLflow's gets one run more.

    Args:
        trace: a trace or its file.
        out: a new file; of some forms a new folder.
        form: one of ``EXPORTS``.

    Raises:
        UsageError: an unknown form, an output that exists, or a form whose library is not installed.
        TraceError: the trace is damaged, or was cut short and the form could not say so.
    """
    if form not in EXPORTS:
        raise unknown("form of an export", form, EXPORTS)
    opened = trace if isinstance(trace, Trace) else Trace.open(trace)
    kind, path = EXPORTS[form], Path(out)
    if not opened.complete and not kind.states_ending:
        able = ", ".join(name for name, one in EXPORTS.items() if one.states_ending)
        raise TraceError(
            f"{printable(opened.path)} is {opened.ending} after {counted(opened.num_rows, 'step')}",
            expected=f"a complete trace: in {form} the run would look whole",
            remedy=f"Forms that state how a run ended take it: {able}." if able else None,
        )
    if not opened.num_rows:
        raise UsageError("the trace has no steps", got=str(opened.path), expected="at least one")
    there = os.path.lexists(path)
    if there and not kind.adds_to(path):
        raise _exists(path)
    export = kind(opened)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        export.write(path)
    except FileExistsError:
        raise _exists(path) from None
    except BaseException:
        if not there:
            _remove(path)
        raise
    return Exported(form, path, opened.num_rows, export.columns, tuple(export.remarks))


def _exists(path: Path) -> UsageError:
    return UsageError(
        "the output exists already", got=str(path), expected="a new name", remedy="Remove it or choose another."
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

"""The results: a row for each trial, in the order of the file, as one Parquet file that pandas opens.

A row has what the trial was to be, what was observed of it, what made it, and the command that runs it again.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xframe.plan.fields import FIELDS
from xframe.sweep.grid import SETTINGS, Trial

_KINDS: dict[Any, str] = {int: "int64", float: "float64", bool: "bool"}
_COUNTS = ("num_steps", "num_updates", "num_epochs", "observed_steps_per_epoch", "samples_seen", "samples_dropped")
_SETTINGS = {name: _KINDS.get(type(value), "string") for name, value in SETTINGS.items()}
TIMES = ("started", "seconds", "setup_seconds", "training_seconds", "samples_per_second", "peak_memory")
COLUMNS: dict[str, str] = {  # and their types
    "trial": "string",
    "case": "string",
    **{name: _KINDS.get(field.type, "string") for name, field in FIELDS.items()},
    "plan_digest": "string",
    "task": "string",
    "adapter": "string",
    "loop": "string",
    **{name: kind for name, kind in _SETTINGS.items() if name not in ("task", "adapter")},
    "outcome": "string",  # ok, failed or timeout
    "error": "string",
    **dict.fromkeys((*_COUNTS, "samples_padded", "last_batch_size"), "int64"),
    "certificate": "string",
    **dict.fromkeys(("final_loss", "last_epoch_loss", "final_accuracy"), "float64"),
    "num_validations": "int64",
    **dict.fromkeys(("last_validation_loss", "best_validation_loss"), "float64"),
    **dict.fromkeys(("last_validation_accuracy", "best_validation_accuracy"), "float64"),
    **dict.fromkeys(("data_fingerprint", "weights_fingerprint"), "string"),
    "started": "string",
    **dict.fromkeys(("seconds", "setup_seconds", "training_seconds", "samples_per_second"), "float64"),
    "peak_memory": "int64",
    **dict.fromkeys(("versions", "platform", "xframe", "commit", "command"), "string"),
}


def row(trial: Trial, found: Mapping[str, Any]) -> dict[str, Any]:
    """All columns of a trial; what it found goes before what was asked for, as its device before ``auto``."""
    fields = {name: getattr(trial.plan, name) for name in FIELDS}
    asked = {"trial": trial.id, "case": trial.case, **fields, "plan_digest": trial.plan.digest, **trial.settings}
    values = {**asked, **{name: value for name, value in found.items() if value is not None}, "command": trial.command}
    return {name: values.get(name) for name in COLUMNS}


def save(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes the table, all of it or none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    table = pa.Table.from_pylist([dict(one) for one in rows], schema=schema)
    passing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.passing")
    pq.write_table(table, passing, compression="zstd")
    passing.replace(path)

"""The command that hands what was recorded to other tools: ``xframe export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from xframe.cli.grouping import GIVEN, PRINTED, WHAT
from xframe.cli.options import Json, option, word
from xframe.cli.printing import answer, remark
from xframe.errors import printable


def export(
    trace: Annotated[Path, Parameter(name="TRACE", help="A trace.", group=GIVEN)],
    /,
    *,
    to: Annotated[Literal["csv", "jsonl", "tensorboard", "mlflow", "mlperf"], word("What to write.", WHAT)],
    out: Annotated[Path, option("The file or folder to write; must not exist, but for mlflow.", PRINTED)],
    json: Json = False,
) -> int:
    """Write what a trace holds in a form that other tools read.

    For example: xframe export new.trace --to csv --out new.csv

    csv and jsonl have a line for each step, and xframe import reads them: of a run whose samples are known by their
    index it makes a trace with the same certificate. They take complete traces only, for they could not say that a run
    was cut short.

    tensorboard is a folder of events (scalars in float32), mlflow a SQLite database, to which one that is there gets a
    run added, mlperf a log of :::MLLOG lines. They state how a run ended.

    For example: xframe export new.trace --to mlflow --out runs.db
    """
    from xframe.report.exports import export_run

    exported = export_run(trace, out, form=to)
    columns = ", ".join(exported.columns)
    facts = {"out": str(out), "form": to, "num_steps": exported.rows, "columns": list(exported.columns)}
    answer(
        facts | {"remarks": list(exported.remarks)}, f"{printable(out)}: {exported.rows:,} steps; {columns}", json=json
    )
    for text in exported.remarks:
        remark(f"xframe: {text}")
    return 0

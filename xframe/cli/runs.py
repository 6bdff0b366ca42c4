"""Commands that run a plan: ``xframe verify`` and ``xframe run``."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xframe.cli.options import Atol, Device, Json, Precision, Python, Rtol, Task, Tf32, Threads, Workers, option, pairs
from xframe.cli.plan_options import NO_OPTIONS, PlanOptions
from xframe.cli.printing import progress_bars, report


def verify(
    file: Annotated[Path | None, Parameter(name="PLAN.toml", help="A plan file.")] = None,
    /,
    *,
    task: Task = "digits-mlp",
    adapters: Annotated[str, option("Two or more adapters, comma separated; a loop after a colon.")] = (
        "torch,tensorflow"
    ),
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Threads = None,
    tf32: Tf32 = False,
    workers: Workers = 0,
    python: Python = None,
    out: Annotated[Path | None, option("New folder for traces, logs, reports. Default: in xframe-runs/.")] = None,
    rtol: Rtol = None,
    atol: Atol = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Run a plan through each adapter, one fresh process each, and compare what was observed.

    With no arguments: 3 epochs of the handwritten digits in batches of 64, torch against tensorflow.
    One adapter alone is compared with the plan.
    """
    from xframe.running.request import Request
    from xframe.verification import run_and_compare

    request = Request(
        plan=plan.on(file),
        task=task,
        adapters=adapters,
        device=device,
        precision=precision,
        threads=threads,
        tf32=tf32,
        workers=workers,
        python=pairs("--python", python, "ADAPTER=/path/to/python"),
        out=out,
        rtol=rtol,
        atol=atol,
        name=None if file is None or plan != NO_OPTIONS else file.stem,
    )
    with progress_bars() as progress:
        comparison = run_and_compare(request, progress)
    return report(comparison, "json" if json else "text")


def run(
    file: Annotated[Path, Parameter(name="PLAN.toml", help="A plan file.")],
    /,
    *,
    adapter: Annotated[str, option("The adapter; a loop after a colon.")],
    out: Annotated[Path, option("The trace to write; must not exist.")],
    task: Task = "digits-mlp",
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Threads = None,
    tf32: Tf32 = False,
    workers: Workers = 0,
    python: Python = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Run a plan through one adapter and keep the trace, for a later xframe compare."""
    from xframe import verification
    from xframe.running.request import Request

    request = Request(
        plan=plan.on(file),
        task=task,
        adapters=(adapter,),
        out=out,
        device=device,
        precision=precision,
        threads=threads,
        tf32=tf32,
        workers=workers,
        python=pairs("--python", python, "ADAPTER=/path/to/python"),
    )
    with progress_bars() as progress:
        trace = verification.run(request, progress)
    if json:
        print(jsonlib.dumps({**trace.counts().to_dict(), "certificate": trace.certificate, "trace": str(out)}))
    else:
        counts = trace.counts()
        print(f"{out}: {counts.num_steps:,} steps, {counts.num_updates:,} updates, {counts.samples_seen:,} samples")
        print(f"certificate: {trace.certificate}")
    return 0

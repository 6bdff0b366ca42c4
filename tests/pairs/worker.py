"""Runs many scripts in one process: python -m pairs.worker FRAMEWORK JOBS.json

A script that fails leaves its error beside its trace.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from pairs.script import Script


def script_of(settings: dict[str, Any]) -> Script:
    """From JSON, which has no tuples."""

    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    return Script(**{name: tuples(value) for name, value in settings.items()})


def main(framework: str, jobs: str) -> None:
    gc.disable()  # what an import makes stays
    run = importlib.import_module(f"pairs.{framework}_scripts").run
    gc.enable()
    for job in json.loads(Path(jobs).read_text()):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run(script_of(job["script"]), job["path"])
        except Exception:
            Path(job["path"] + ".error").write_text(traceback.format_exc())


if __name__ == "__main__":
    main(*sys.argv[1:])

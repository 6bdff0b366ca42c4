"""The files of a run of several replicas: a folder with a trace of each."""

from __future__ import annotations

from pathlib import Path


def rank_path(folder: Path, index: int) -> Path:
    """The trace of that replica in the folder of a run."""
    return folder / f"{index}.trace"

"""Output folders; what exists is never overwritten."""

from __future__ import annotations

from pathlib import Path

from xframe.errors import UsageError
from xframe.running.request import Request
from xframe.trace.weights import weights_path

RUNS = Path("xframe-runs")


def new_folder(request: Request, prefix: str = "") -> Path:
    """A new folder for the runs of a request, with its plan in it: ``out``, or the next free ``xframe-runs/name-n``.

    Raises:
        UsageError: ``out`` exists, or no folder can be made there.
    """
    if request.out is None:
        folder = _next_free(f"{prefix}{request.name or request.plan.digest[:8]}")
    else:
        folder = Path(request.out)
        _refuse_existing(folder)
        _make(folder)
    (folder / "plan.toml").write_text(request.plan.to_toml(), encoding="utf-8")
    return folder


def make_way(trace: Path) -> None:
    """Makes the folder of a trace to be.

    Raises:
        UsageError: the trace, its weights or its log exist, or the folder cannot be made.
    """
    for file in (trace, weights_path(trace), log_path(trace)):
        _refuse_existing(file)
    _make(trace.parent, exist_ok=True)


def log_path(trace: Path) -> Path:
    """Where the worker that writes that trace prints to."""
    return trace.with_suffix(".log")


def _next_free(name: str) -> Path:
    number = 1
    while True:
        folder = RUNS / f"{name}-{number}"
        try:
            _make(folder)
        except FileExistsError:
            number += 1
        else:
            return folder


def _make(folder: Path, *, exist_ok: bool = False) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise UsageError(
            "cannot make the folder",
            got=str(folder),
            expected=f"a writable place ({error.strerror})",
            remedy="Choose another with --out.",
        ) from None


def _refuse_existing(place: Path) -> None:
    if place.exists():
        raise UsageError(
            "the output exists already", got=str(place), expected="a new name", remedy="Remove it or choose another."
        )

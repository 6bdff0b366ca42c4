"""From a trace to a golden, and its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.goldens.golden import MOST_ARRAYS, MOST_ROWS, MOST_WHY, Golden, Numbers, text_of
from xframe.comparison.goldens.ranges import AVERAGED, contents_digest, identity_of, ranges_of, size_of
from xframe.comparison.result import TOLERANCES, Tolerance
from xframe.comparison.settings import coarse_precision
from xframe.errors import TraceError, UsageError, counted, printable
from xframe.files.new import NewFile, Passing
from xframe.trace.trace import Trace
from xframe.trace.weights import array_digest

_NEEDED = {"batch_size": "batches", "updates": "evidence of updates"}


def bless(
    trace: Trace | str | Path,
    out: str | Path,
    *,
    why: str,
    rtol: float | None = None,
    atol: float | None = None,
    replace: bool = False,
) -> Golden:
    """Writes the golden of a run at ``out`` and returns it.

    Args:
        trace: a trace or its file.
        out: a file that does not exist; with ``replace`` also one that does.
        why: the reason, for whoever reviews the change.
        rtol, atol: the tolerance of its numbers, both or neither; default: that of the golden it renews, else by the
            run's precision.

    Raises:
        UsageError: no reason, one of rtol and atol alone, or ``out`` exists.
        TraceError: the trace is damaged or was cut short, or no run could ever pass by it.
    """
    tolerance = Tolerance.given(rtol, atol)
    why = why.strip()
    if not why or len(why) > MOST_WHY or not why.isprintable():
        raise UsageError("the reason (why)", got=why, expected=f"one line of 1 to {MOST_WHY} letters")
    path = Path(out)
    if replace and tolerance is None:
        with suppress(TraceError):  # there is none, or a damaged one, which is replaced
            tolerance = Golden.open(path).stated.numbers.tolerance
    text = text_of(facts_of(trace if isinstance(trace, Trace) else Trace.open(trace), why, tolerance))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Passing(path) if replace else _New(path) as file:
            os.write(file.number, text.encode())
            file.put()
    except FileExistsError:
        raise UsageError(
            "the golden exists already",
            got=str(path),
            expected="a new name",
            remedy="--replace (in Python replace=True) renews it; see what changed with git diff.",
        ) from None
    return Golden.open(path)


class _New(NewFile):
    """A new file that stays once it is put."""

    def put(self) -> None:
        self.kept = True

    def __enter__(self) -> _New:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def facts_of(trace: Trace, why: str, tolerance: Tolerance | None) -> dict[str, Any]:
    """What the golden of a run states."""
    if not trace.complete or not trace.num_rows:
        raise TraceError(
            f"{printable(trace.path)} is {trace.ending} after {counted(trace.num_rows, 'step')}",
            expected="a complete run of at least one step",
        )
    lacking = [what for name, what in _NEEDED.items() if not trace.known_throughout(name)]
    if (identity := identity_of(trace)) is None:
        lacking.append("sample ids or features")
    if lacking or identity is None:
        raise TraceError(
            f"{printable(trace.path)} does not state {' and '.join(lacking)} at every step",
            expected="what a comparison needs to pass: no run could ever match this golden",
        )
    precision = _precision(trace)
    tolerance = tolerance or TOLERANCES[precision]
    numbers = Numbers(precision=precision, rtol=tolerance.rtol, atol=tolerance.atol)  # type: ignore[arg-type]
    size = size_of(trace.num_rows)
    ranges = [
        {name: numbers.rounded(value) if name in AVERAGED else value for name, value in one.items()}
        for one in ranges_of(trace, size, trace.num_rows, identity)
    ]
    structure = {
        "certificate": trace.certificate,
        "identity": None if identity == "index" else identity,
        **trace.counts().to_dict(),
        "num_validations": len(trace.validations),
        "data_fingerprint": trace.facts.data_fingerprint,
        "features_digest": None if identity == "exact" else contents_digest(trace, "features"),
        "targets_digest": contents_digest(trace, "targets"),
        "steps_per_range": size,
        "ranges": ranges,
    }
    stated = {"precision": precision, "rtol": tolerance.rtol, "atol": tolerance.atol}
    return {
        "format": 1,
        "why": why,
        "run": printable(trace.name)[:100],
        "digest": "",
        "structure": structure,
        "numbers": {
            **stated,
            "steps": _steps(trace, numbers),
            **_validations(trace, numbers),
            **_weights(trace, numbers),
        },
        "versions": {name[:100]: of[:100] for name, of in sorted(trace.facts.versions.items())[:100] if name and of},
    }


def _precision(trace: Trace) -> str:
    """The precision that a run states, or that its settings show."""
    if "precision" in trace.facts.runtime:
        return trace.facts.precision
    if trace.settings.get("precision.policy") == "float64":
        return "float64"
    return coarse_precision(trace.settings) or "float32"


def _spread(many: int) -> list[int]:
    """Some of that many places, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, many - 1, min(many, MOST_ROWS))}) if many else []


def _steps(trace: Trace, numbers: Numbers) -> list[dict[str, Any]]:
    """The numbers of single steps: of those that have a loss, or else a rate."""
    known = next((there for name in AVERAGED if (there := np.flatnonzero(trace.known(name))).size), np.zeros(0, int))
    rows = []
    for step in known[_spread(len(known))].tolist():
        row: dict[str, Any] = {"step": step}
        for name in AVERAGED:
            values, mask = trace.between(name, step, step + 1)
            if mask is None or mask[0]:
                row[name] = numbers.rounded(float(values[0]))
        rows.append(row)
    return rows


def _validations(trace: Trace, numbers: Numbers) -> dict[str, Any]:
    rows = []
    for index in _spread(len(trace.validations)):
        one = trace.validations[index]
        results = {name: getattr(one, name) for name in ("loss", "accuracy")}
        results = {name: numbers.rounded(value) for name, value in results.items() if value is not None}
        rows.append({"index": index, "after": one.after, "num_samples": one.num_samples, **results})
    return {"validations": rows} if rows else {}


def _weights(trace: Trace, numbers: Numbers) -> dict[str, Any]:
    """Their digest, and the moments of the largest arrays that lie beside the trace."""
    digests = trace.end.get("weights")
    if not digests:
        return {}
    arrays = trace.weights() or {}
    listed = sorted(arrays, key=lambda name: (-arrays[name].size, name))[:MOST_ARRAYS]
    rows = [
        {"name": name, "shape": list(arrays[name].shape), **moments(arrays[name], numbers)}
        for name in sorted(listed)
        if 0 < len(name) <= 100 and name.isprintable() and arrays[name].size
    ]
    return {"num_weights": len(digests), "weights_digest": weights_digest(digests), "weights": rows}


def weights_digest(digests: Mapping[str, str]) -> str:
    """One digest of all arrays, from theirs by name."""
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(digests.items()))
    return array_digest(np.frombuffer(text.encode(), dtype=np.uint8))


def moments(array: NDArray[Any], numbers: Numbers) -> dict[str, Any]:
    """The mean, the root of the mean square, and the first and the last element of an array that is not empty."""
    values = array.astype(np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        mean, rms = float(values.mean()), float(np.sqrt(np.mean(values**2)))
    ends = [numbers.rounded(float(values[place])) for place in (0, -1)]
    return {"mean": numbers.rounded(mean), "rms": numbers.rounded(rms), "ends": ends}

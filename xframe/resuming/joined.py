"""What the cut run up to a step and the resumed one made together: a trace that continues the cut run's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xframe.recording.recorder import record
from xframe.trace.schema import FURTHER, LISTS, Column
from xframe.trace.trace import COMPLETE, Trace
from xframe.trace.weights import weights_path

_GIVEN = ("updates", "update_attempts", "lr", "loss", "accuracy", "time_ns")
_COUNTED = ("updates", "update_attempts")
_BLOCK = 1 << 16


def write_joined(path: Path, cut: Trace, resumed: Trace, step: int) -> Trace:
    """Writes the resumed run's rows as those that follow the cut one's first ``step``; its counts go on.

    Its own labels, which its process began anew, are left out. Final weights are the resumed run's.

    Returns:
        both as one run, opened.
    """
    before = {name: _last(cut, name, step) for name in _COUNTED}
    facts = resumed.facts
    runtime = {"runtime": dict(facts.runtime)}
    recorder = record(
        path, num_samples=facts.num_samples, metadata=runtime, continues=cut.path, step=step, replica=(0, 1)
    )
    if resumed.settings:
        recorder.settings(resumed.settings)
    for begin, end in _between(resumed.num_rows, [one.after for one in resumed.validations]):
        if begin < end:
            recorder.block(**_columns(resumed, begin, end, before))
        for one in resumed.validations:
            if one.after == end:
                runs = one.batch_sizes
                sizes = None if runs is None else [size for size, times in runs for _ in range(times)]
                recorder.validation(loss=one.loss, accuracy=one.accuracy, batch_sizes=sizes, training=one.training)
    recorder.evidence = str(resumed.end.get("evidence") or "") or None
    if resumed.end.get("weights"):
        recorder.end_facts["weights"] = resumed.end["weights"]
        weights_path(recorder.path).hardlink_to(weights_path(resumed.path))
    recorder.close(COMPLETE if resumed.complete else resumed.ending)
    return Trace.open(path)


def _between(stop: int, places: list[int]) -> Iterator[tuple[int, int]]:
    """Blocks of rows that end where something stands between them."""
    begin = 0
    for end in sorted({*places, *range(_BLOCK, stop, _BLOCK), stop}):
        yield begin, end
        begin = end


def _last(trace: Trace, name: str, step: int) -> int:
    """A count after that many steps; 0 where it is not known."""
    value, known = trace.between(name, step - 1, step) if step else (np.zeros(1), None)
    return int(value[0]) if known is None or known[0] else 0


def _columns(trace: Trace, begin: int, end: int, before: Mapping[str, int]) -> dict[str, Any]:
    """What ``Recorder.block`` takes of these rows."""
    read = {name: trace.between(name, begin, end) for name in (*_GIVEN, *FURTHER, "ids", "batch_size")}
    read["lr"] = _of_updates(read["lr"], read["updates"])
    given = {name: _masked(read[name], before.get(name, 0)) for name in _GIVEN}
    also = {name: _masked(read[name]) for name in FURTHER if name not in LISTS}
    also |= {name: read[name].values.reshape(-1, 3) for name in FURTHER if name in LISTS and read[name].known is None}
    found = {"ids": read["ids"].values} if read["ids"].known is None else {}
    if read["batch_size"].known is None:
        found["batch_sizes"] = read["batch_size"].values
    found |= {name: one for name, one in given.items() if one is not None}
    return {**found, "also": {name: one for name, one in also.items() if one is not None}}


def _of_updates(rates: Column, updates: Column) -> Column:
    """Rates without those before the process's first update: a step without one has the rate of the last."""
    known = np.ones(len(rates.values), bool) if rates.known is None else rates.known
    return Column(rates.values, known & ((updates.values > 0) | (updates.known is not None)))


def _masked(column: Column, add: int = 0) -> Any:
    """Its values; None where there is none."""
    values, known = column
    if known is None:
        return values + add
    return np.ma.array(values + add, mask=~known) if known.any() else None

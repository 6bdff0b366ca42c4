"""MLPerf's log: ``:::MLLOG`` lines with the keys of mlperf-logging, of what a trace knows.

That is no submission: what only its owner can state (organisation, platform, division, benchmark, cleared caches,
initialisation) is not made up. Epochs count from 1 there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xframe.report.exports.export import Export

_OPTIMIZERS = ("adagrad", "adam", "adamw", "lamb", "lars", "sgd")  # as mlperf-logging names them
_Kind = Literal["INTERVAL_START", "INTERVAL_END", "POINT_IN_TIME"]
_Line = tuple[float, _Kind, str, Any, dict[str, Any]]


class MlperfExport(Export):
    """A text file: the run's settings, its epochs, or one block where the loop names none, and its validations."""

    form, states_ending = "mlperf", True

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that the lines rest on."""
        used = ("batch_size", "updates", "lr", "epoch", "time_ns")
        return tuple(name for name in used if name in super(MlperfExport, self).columns)

    def write(self, path: Path) -> None:
        """Writes the file."""
        if not any(one.accuracy is not None for one in self.trace.validations):
            self.remarks.append("the run recorded no accuracy of a validation, so that no line has eval_accuracy")
        with path.open("x", encoding="utf-8") as file:
            for time, kind, key, value, metadata in self._lines():
                entry = {"namespace": "", "time_ms": round(1000 * time), "event_type": kind, "key": key}
                file.write(f":::MLLOG {json.dumps(entry | {'value': value, 'metadata': metadata}, allow_nan=False)}\n")

    def _lines(self) -> Iterator[_Line]:
        for key, value in self._settings().items():
            yield self.began, "POINT_IN_TIME", key, value, {}
        yield self.began, "INTERVAL_START", "run_start", None, {}
        sizes = self.trace.between("batch_size", 0, self.trace.num_rows)
        seen = np.cumsum(np.maximum(sizes.values, 0))  # samples trained on, up to and with each step
        validations, last = list(self.trace.validations), self.began
        for first, stop, epoch in self._spans():
            begun = self._time(first - 1) if first else self.began
            where = self._place(epoch, int(seen[first - 1]) if first else 0)
            key = "block" if epoch is None else "epoch"
            block = {} if epoch is not None else {"samples_count": int(seen[stop - 1])}
            yield max(begun, last), "INTERVAL_START", f"{key}_start", None, where | block
            while validations and validations[0].after < stop:
                last = yield from self._validation(validations.pop(0), epoch, seen, max(begun, last))
            last = max(last, self._time(stop - 1))
            yield last, "INTERVAL_END", f"{key}_stop", None, self._place(epoch, int(seen[stop - 1]))
            while validations and validations[0].after == stop:
                last = yield from self._validation(validations.pop(0), epoch, seen, last)
        total = int(seen[-1])
        yield last, "POINT_IN_TIME", "trained_samples", total, {}
        status = "success" if self.trace.complete else "aborted"
        yield last, "INTERVAL_END", "run_stop", None, {"status": status, "samples_count": total}

    def _validation(self, one: Any, epoch: int | None, seen: Any, before: float) -> Any:
        """The lines of one validation; returns when it ended."""
        where = self._place(epoch, int(seen[one.after - 1]) if one.after else 0)
        ended = max(before, self.at(one.time_ns) if one.time_ns is not None else before)
        yield before, "INTERVAL_START", "eval_start", None, where
        if one.accuracy is not None and math.isfinite(one.accuracy):
            yield ended, "POINT_IN_TIME", "eval_accuracy", one.accuracy, where
        yield ended, "INTERVAL_END", "eval_stop", None, where
        return ended

    def _place(self, epoch: int | None, samples: int) -> dict[str, Any]:
        return {"samples_count": samples} if epoch is None else {"epoch_num": epoch + 1, "samples_count": samples}

    def _time(self, row: int) -> float:
        values, known = self.trace.between("time_ns", row, row + 1)
        return self.at(int(values[0]) if known is None or known[0] else None)

    def _spans(self) -> Iterator[tuple[int, int, int | None]]:
        """The epochs: first step, last step + 1, and the label counted from 0; one span without labels."""
        rows = self.trace.num_rows
        if not self.trace.known_throughout("epoch"):
            yield 0, rows, None
            return
        labels = self.trace.column("epoch") - self.trace.counted_from("epoch")
        bounds = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), rows]
        for first, stop in pairwise(bounds):
            yield first, stop, int(labels[first])

    def _settings(self) -> dict[str, Any]:
        """What the run was set to, by mlperf-logging's keys; what is not known is left out."""
        trace, plan, given = self.trace, self.trace.plan, self.trace.settings
        found: dict[str, Any] = {"seed": plan.seed if plan is not None and plan.order == "shuffle" else None}
        if trace.known_throughout("batch_size") and trace.known_throughout("updates"):
            updates = trace.column("updates")
            window = int(np.argmax(updates > 0)) + 1 if updates[-1] > 0 else 1
            found["global_batch_size"] = int(trace.between("batch_size", 0, window).values.sum())
            found["gradient_accumulation_steps"] = window
        found["train_samples"] = trace.facts.num_samples
        sizes = {one.num_samples for one in trace.validations} - {None}
        found["eval_samples"] = sizes.pop() if len(sizes) == 1 else None
        name = str(given.get("optimizer.class", "")).lower()
        found["opt_name"] = name if name in _OPTIMIZERS else None
        rates, known = trace.between("lr", 0, trace.num_rows)
        rates = rates[np.isfinite(rates)] if known is None else rates[known & np.isfinite(rates)]
        found["opt_base_learning_rate"] = float(rates.max()) if len(rates) else None
        found["opt_weight_decay"] = given.get("optimizer.weight_decay")
        return {key: value for key, value in found.items() if value is not None}

"""MLPerf's log: ``:::MLLOG`` lines with the keys of mlperf-logging, of what a trace knows.

That is no submission: what only its owner can state (organisation, platform, division, benchmark, cleared caches,
initialisation) is not made up. Epochs count from 1 there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xframe.report.exports.export import Export
from xframe.trace.trace import Validation

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
        validations, last = list(self.trace.validations), self.began
        for first, stop, epoch in self._spans():
            last = max(last, self._time(first))
            key = "block" if epoch is None else "epoch"
            whole = self._place(epoch, stop) if epoch is None else self._place(epoch, first)
            yield last, "INTERVAL_START", f"{key}_start", None, whole
            while validations and validations[0].after < stop:
                last = yield from self._validation(validations.pop(0), epoch, last)
            last = max(last, self._time(stop))
            yield last, "INTERVAL_END", f"{key}_stop", None, self._place(epoch, stop)
            while validations and validations[0].after == stop:
                last = yield from self._validation(validations.pop(0), epoch, last)
        total = self._place(None, self.trace.num_rows)
        if total:
            yield last, "POINT_IN_TIME", "trained_samples", total["samples_count"], {}
        status = "success" if self.trace.complete else "aborted"
        yield last, "INTERVAL_END", "run_stop", None, {"status": status, **total}

    def _validation(self, one: Validation, epoch: int | None, before: float) -> Generator[_Line, None, float]:
        """The lines of one validation; returns when it ended."""
        where, ended = self._place(epoch, one.after), max(before, self.at(one.time_ns))
        yield before, "INTERVAL_START", "eval_start", None, where
        if one.accuracy is not None and math.isfinite(one.accuracy):
            yield ended, "POINT_IN_TIME", "eval_accuracy", one.accuracy, where
        yield ended, "INTERVAL_END", "eval_stop", None, where
        return ended

    def _place(self, epoch: int | None, steps: int) -> dict[str, int]:
        """An epoch, and the samples that were trained on in so many steps, as far as these are known."""
        place = {} if epoch is None else {"epoch_num": epoch + 1}
        return place if self._seen is None else place | {"samples_count": int(self._seen[steps])}

    @cached_property
    def _seen(self) -> NDArray[np.int64] | None:
        """The samples trained on before each step, and at the end; None where a batch's size is not known."""
        if not self.trace.known_throughout("batch_size"):
            return None
        sizes, padding = self.trace.column("batch_size"), self.trace.column("padding").clip(min=0)
        return np.concatenate([[0], np.cumsum(sizes - padding)])

    @cached_property
    def _times(self) -> NDArray[np.int64]:
        return self.trace.column("time_ns").clip(min=0)

    def _time(self, steps: int) -> float:
        """When so many steps had been made."""
        return self.at(int(self._times[steps - 1])) if steps else self.began

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
        decay: Any = given.get("optimizer.weight_decay")
        found["opt_weight_decay"] = decay if type(decay) in (int, float) and math.isfinite(decay) else None
        return {key: value for key, value in found.items() if value is not None}

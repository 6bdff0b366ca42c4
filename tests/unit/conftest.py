"""Shared by the unit tests: runs recorded as traces, following a plan or departing from it."""

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

import xframe


@dataclasses.dataclass
class Runs:
    """Records rows, which are the keyword arguments of ``Recorder.step``, and opens the trace."""

    folder: Path

    def rows(self, plan, num_samples):
        """The rows of a run that follows the plan."""
        return [
            {
                "ids": step.sample_ids.copy(),
                "updates": step.update,
                "loss": 1.0 + math.cos(step.index),
                "lr": 0.1,
                "epoch": step.epoch,
                "step_in_epoch": step.step_in_epoch,
            }
            for step in plan.each_step(num_samples)
        ]

    def __call__(self, rows, name="run", *, cut=False, error=None, weights=None, **options):
        """The trace of these rows; ``cut`` leaves out its end record, ``error`` ends the run early."""
        path = self.folder / f"{name}.trace"
        try:
            with xframe.record(path, **options) as rec:
                for row in rows:
                    rec.step(**row)
                if weights is not None:
                    rec.weights(weights)
                rec.flush()
                whole = path.read_bytes()
                if error is not None:
                    raise error
        except Exception as raised:
            if raised is not error:
                raise
        if cut:
            path.write_bytes(whole)
        return xframe.Trace.open(path)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


@pytest.fixture
def some_rows():
    """Seven rows with a value in every column but some, sizes 3 3 2 3 3 2 3."""
    ids = itertools.count()
    return [
        {
            "ids": np.array([next(ids) % 8 for _ in range(2 if k % 3 == 2 else 3)]),
            "updates": k + 1,
            "update_attempts": k + 2,
            "loss": 1.0 / (k + 1),
            "lr": 0.5**k,
            "epoch": k // 3,
            "step_in_epoch": k % 3,
            "padding": 0,
        }
        for k in range(7)
    ]

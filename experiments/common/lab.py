"""Where an experiment runs: it trains trials, and says how far it is."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count

from experiments.common import training
from experiments.common.results import Result

BOTH = "torch", "tensorflow"


@dataclass
class Lab:
    """What an experiment's ``run`` is given.

    Attributes:
        folder: to write in, removed afterwards.
        say: shows how far it is.
        small: few seeds and steps, only to see that it works; nothing is learned from them.
    """

    folder: object
    say: object
    small: bool = False
    _number: object = field(default_factory=count)

    def seeds(self, number):
        return range(2 if self.small else number)

    def train(self, trials):
        """Runs them all; see ``training``."""
        return training.train(list(trials), self.folder / f"trials-{next(self._number)}", self.say)

    def sweep(self, file):
        """Runs the trials of a sweep's file; returns its table, with the file of each trial's trace."""
        import pandas

        out = self.folder / "sweep"
        command = [sys.executable, "-m", "xframe", "sweep", str(file), "--out", str(out)]
        path = os.pathsep.join(filter(None, (str(training.ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(command, cwd=training.ROOT, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, **training.QUIET, "PYTHONPATH": path})  # fmt: skip
        if done.returncode not in (0, 1):
            raise RuntimeError(done.stdout)
        table = pandas.read_parquet(out / "results.parquet")
        return table.assign(trace=[out / "trials" / f"{trial}.trace" for trial in table["trial"]])

    def result(self, question, setting):
        return Result(question, " ".join(setting.split()))

"""Where an experiment runs: it trains trials, and says how far it is."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count

from experiments.common import training
from experiments.common.grid import Point
from experiments.common.results import Result
from experiments.common.statistics import INTERVAL


@dataclass
class Lab:
    """What an experiment's ``run`` is given.

    Attributes:
        folder: to write in, removed afterwards.
        say: shows how far it is.
        small: few seeds and steps, only to see that it works; nothing is learned from them.
        home: the experiment's own folder.
    """

    folder: object
    say: object
    small: bool = False
    home: object = None
    _number: object = field(default_factory=count)

    def seeds(self, number):
        return range(2 if self.small else number)

    def train(self, trials):
        """Runs them all; see ``training``."""
        return training.train(list(trials), self.folder / f"trials-{next(self._number)}", self.say)

    def grid(self, setups, seeds=(0,)):
        """Runs a setup for each point, with each seed; returns the points' runs."""
        trials = {point: list(setup.trials(seeds)) for point, setup in setups.items()}
        runs = iter(self.train(trial for of_point in trials.values() for trial in of_point))
        return {point: Point(setups[point], [next(runs) for _ in of_point]) for point, of_point in trials.items()}

    def sweep(self, file):
        """Runs the trials of a sweep's file; returns its table, with the file of each trial's trace."""
        import pandas

        out = self.folder / "sweep"
        done = self.command("-m", "xframe", "sweep", str(file), "--out", str(out), stderr=None)
        if done.returncode not in (0, 1):
            raise RuntimeError(done.stdout)
        table = pandas.read_parquet(out / "results.parquet")
        return table.assign(trace=[out / "trials" / f"{trial}.trace" for trial in table["trial"]])

    def command(self, *words, cwd=training.ROOT, stderr=subprocess.PIPE):
        """Python with these arguments, in a process of its own."""
        path = os.pathsep.join(
            filter(None, (*map(str, (training.ROOT, training.ROOT / "adapters")), os.environ.get("PYTHONPATH")))
        )
        environment = {**os.environ, **training.ONE_THREAD, **training.QUIET, "PYTHONPATH": path}
        return subprocess.run(
            [sys.executable, *words], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        )

    def result(self, seeds=()):
        """What is to be found out and how, as ``setting.md`` says."""
        question, setting = (self.home / "setting.md").read_text(encoding="utf-8").removeprefix("# ").split("\n\n", 1)
        setting = setting.replace("{seeds}", str(len(seeds))).replace("{interval}", INTERVAL)
        return Result(question, " ".join(setting.split()))

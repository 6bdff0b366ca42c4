"""Grids: a plan and a task at each point, trained with several seeds in both frameworks; what all ask of a point."""

from dataclasses import dataclass, field

import numpy as np

from experiments.common.statistics import mean
from experiments.common.tasks import named
from experiments.common.training import Trial

BOTH = "torch", "tensorflow"
COUNTS = {  # by column, what the trace counts
    "steps": "num_steps",
    "updates": "num_updates",
    "epochs": "num_epochs",
    "samples seen": "samples_seen",
    "dropped": "samples_dropped",
    "padded": "samples_padded",
    "last batch": "last_batch_size",
}


@dataclass(frozen=True)
class Setup:
    """What is trained at a point, but for the seed, which is the plan's and the starting weights'."""

    plan: dict
    task: str = "digits"
    options: dict = field(default_factory=dict)
    precision: str = "float32"
    adapters: tuple = BOTH

    def trials(self, seeds):
        for seed in seeds:
            plan, task = {**self.plan, "seed": seed}, named(self.task, seed=seed, **self.options)
            yield from (Trial(plan, task, adapter, self.precision) for adapter in self.adapters)


@dataclass(frozen=True)
class Point:
    """A point's runs: seed by seed, each seed's in the order of the adapters."""

    setup: Setup
    runs: list

    @property
    def seeds(self):
        """The runs of each seed, a tuple of one for each adapter."""
        return list(zip(*(self.of(adapter) for adapter in self.setup.adapters)))

    def of(self, adapter):
        """An adapter's runs, seed by seed."""
        return [run for run in self.runs if run.trial.adapter == adapter]

    @property
    def trace(self):
        """Of the first run: what is counted of it holds for all that are alike."""
        return self.runs[0].trace

    @property
    def alike(self):
        """Whether all adapters did the same in each step."""
        return all(run.trace.certificate == runs[0].trace.certificate for runs in self.seeds for run in runs)

    @property
    def apart(self):
        """The largest difference in held-out loss between two adapters with the same seed."""
        return max(np.ptp([run.last.loss for run in runs]).item() for runs in self.seeds)

    def last(self, metric):
        """Of the last validation, the mean over the adapters, for each seed."""
        return np.array([np.mean([getattr(run.last, metric) for run in runs]) for runs in self.seeds])

    def counted(self, *columns):
        """Cells that are exact."""
        counts = self.runs[0].counts
        return {column: getattr(counts, COUNTS[column]) for column in columns}

    def held_out(self):
        """Cells: the last validation, over the seeds."""
        return {**mean("loss held out", self.last("loss")), **mean("accuracy held out", self.last("accuracy"))}

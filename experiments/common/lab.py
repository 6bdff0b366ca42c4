"""Where an experiment runs: it trains trials, and says how far it is."""

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

    def result(self, question, setting):
        return Result(question, " ".join(setting.split()))

"""A training script: a plan walked in its order, edited where it is wrong, trained, and what it records of itself."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sweeps.simulator.training import Computing, train
from sweeps.simulator.walk import Refused, Step, Update, resolve, simulate, updated

Steps = list[Step]
MOST_STEPS = 80
_RIGHT = Computing()


@dataclasses.dataclass(frozen=True)
class Structure:
    """What a script records of its steps, a value a step in each column."""

    ids: list[list[int]]
    updates: list[int]
    epoch: list[int]
    step_in_epoch: list[int]
    padding: list[int]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """All that a script records: a loss is None where it records none."""

    steps: Structure
    loss: list[float | None]
    lr: list[float]
    weights: Any


@dataclasses.dataclass(frozen=True)
class Script:
    """What a script does.

    Attributes:
        fields: of the plan that its loop walks.
        num_samples: that a pass draws.
        order: the samples of the p-th pass begun.
        loading: what becomes of the walk's steps, one change after the other.
        skipped, doubled: updates, by their number, that are not applied, or are twice.
        computing: how it trains.
        counted, labelled, stated: what becomes of the counter of updates, of the steps' labels, of the losses, as
            recorded.
        kept: what becomes of the final weights, of the steps behind them.
    """

    fields: dict[str, Any]
    num_samples: int
    order: Callable[[int], Sequence[int]]
    loading: tuple[Callable[[Steps], Steps], ...] = ()
    skipped: frozenset[int] = frozenset()
    doubled: frozenset[int] = frozenset()
    computing: Computing = _RIGHT
    counted: tuple[Callable[[list[int], Steps], list[int]], ...] = ()
    labelled: tuple[Callable[[Steps], Steps], ...] = ()
    stated: tuple[Callable[[list[Any], Steps], list[Any]], ...] = ()
    rated: tuple[Callable[[list[float]], list[float]], ...] = ()
    kept: tuple[Callable[[Any], Any], ...] = ()

    def but(self, **changes: Any) -> "Script":
        """The script with these changed."""
        return dataclasses.replace(self, **changes)

    def walk(self) -> tuple[Steps, list[Update]]:
        """The steps made and the updates applied."""
        walked = simulate(self.fields, self.num_samples, self.order)
        steps = walked.steps
        if not 1 <= len(steps) <= MOST_STEPS:
            raise Refused("too many steps")
        for change in self.loading:
            steps = change([dataclasses.replace(step) for step in steps])
        if not steps:
            raise Refused("no step is left")
        run = updated(resolve(self.fields), _relabelled(steps)) if self.loading else walked
        return self._applied(run.steps, run.updates)

    def _applied(self, steps: Steps, updates: list[Update]) -> tuple[Steps, list[Update]]:
        if not self.skipped | self.doubled:
            return steps, updates
        if max(self.skipped | self.doubled) >= len(updates):
            raise Refused("there is no such update")
        times = [0 if i in self.skipped else 2 if i in self.doubled else 1 for i in range(len(updates))]
        applied = [update for update, many in zip(updates, times, strict=True) for _ in range(many)]
        after = [update.after_step for update in applied]
        return [dataclasses.replace(one, update=sum(at <= one.index for at in after)) for one in steps], applied

    def observed(self) -> Structure:
        """What it records of its steps, without training them."""
        return self._observed(self.walk()[0])

    def run(self) -> Recorded:
        """What it records."""
        steps, updates = self.walk()
        computed = train(steps, updates, self.computing)
        losses, rates, weights = computed.loss, computed.lr, computed.weights
        for state in self.stated:
            losses = state(losses, steps)
        for rate in self.rated:
            rates = rate(rates)
        for keep in self.kept:
            weights = keep(weights)
        return Recorded(self._observed(steps), list(losses), rates, weights)

    def _observed(self, steps: Steps) -> Structure:
        applied = [one.update for one in steps]
        for count in self.counted:
            applied = count(applied, steps)
        labelled = steps
        for label in self.labelled:
            labelled = label([dataclasses.replace(one) for one in labelled])
        return Structure(
            [list(one.sample_ids) for one in steps],
            applied,
            [one.epoch for one in labelled],
            [one.step_in_epoch for one in labelled],
            [one.padding for one in labelled],
        )


def _relabelled(steps: Steps) -> Steps:
    """The steps, counted again in their epochs."""
    counts: dict[int, int] = {}
    relabelled = []
    for step in steps:
        counts[step.epoch] = counts.get(step.epoch, -1) + 1
        relabelled.append(dataclasses.replace(step, step_in_epoch=counts[step.epoch]))
    return relabelled

"""What several replicas compute otherwise than one process, where they share samples and updates as they should."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Fit, settings
from xframe.diagnosis.causes.losses import by_full_batches, factor_of_replicas
from xframe.diagnosis.causes.replicas import OfReplicas
from xframe.diagnosis.claims import of_rates
from xframe.diagnosis.numbers import Numbers

_CLOSE = 1e-6  # relative, of rates
_LATE = 4  # steps behind an update in which a loss shows it
_FEWEST = 3  # rates that must be alike


class MeanOfMeans(OfReplicas):
    """Its gradient is the mean of its replicas' means, and not that over the rows of the step: short steps differ."""

    name = "mean-of-replicas-means"
    rank = 462
    definite = True
    fixes = settings(
        torch="scale each replica's loss by its rows x world size / rows of the step, or leave short steps out: "
        "drop_last=True",
        tensorflow="nn.compute_average_loss(losses, global_batch_size=rows of the step)",
        plan='replica_gradients = "replicas"',
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        replicas, step = case.replicas, numbers.loss_differs_at
        if replicas is None or step is None or not numbers.other_losses or not len(replicas.uneven):
            return
        if by_full_batches(case, numbers):
            return
        first = int(replicas.uneven[0])
        behind = numbers.applied[first:] if numbers.applied is not None else np.ones(1, np.bool_)
        update = first + int(np.argmax(behind)) if behind.any() else first
        if not first <= step <= update + _LATE:
            return
        rows = ", ".join(f"{size:,}" for size in replicas.sizes[:, first])
        text = (
            f"{case.run} takes the mean of its replicas' means where {case.other} takes the mean over a step's rows: "
        )
        text += f"losses agree up to step {first:,}, the first that its replicas share unevenly ({rows} rows)"
        yield self.note(case, text, step)


class SummedOverReplicas(OfReplicas):
    """Its replicas' gradients are summed, and a loss is not its rows' part of the step's mean: a factor of them all."""

    name = "summed-over-replicas"
    rank = 464
    definite = True
    fixes = settings(
        tensorflow="nn.compute_average_loss(losses, global_batch_size=rows of the step), the sum of a replica's losses "
        "divided by the step's rows, for optimizers add up the replicas' gradients; a mean of keras.losses is divided "
        "by the replicas already",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        factor, of = factor_of_replicas(case, numbers), 0 if case.replicas is None else len(case.replicas)
        if factor is None:
            return
        says = f"that of {case.other} divided by {of:,}, as where a loss is divided by the replicas twice"
        if factor > 1:
            says = (
                f"{of:,} times that of {case.other}, as where each of {of:,} replicas takes the mean over its own rows"
            )
        text = f"the first loss of {case.run} is {says}; the gradients of its replicas are summed"
        yield self.note(case, text, 0)


class ScheduleTicksInEachReplica(OfReplicas):
    """Its learning rate schedule ticks once for each replica, so that it runs through that many times as fast."""

    name = "schedule-ticks-in-each-replica"
    rank = 502
    definite = True
    explains = staticmethod(of_rates)
    fixes = settings(
        accelerate="Accelerator(step_scheduler_with_optimizer=False), or the schedule's length x num_processes",
        torch="scheduler.step() once an update in each process, and a length in updates of all together",
        tensorflow="a schedule of optimizer.iterations, or a counter of aggregation=ONLY_FIRST_REPLICA: by SUM each "
        "replica adds to it",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if case.replicas is None or numbers.lr is None or not numbers.other_rates:
            return
        of, (own, other) = len(case.replicas), numbers.lr
        due = other[::of]
        own = own[: len(due)]
        known = np.isfinite(own) & np.isfinite(due)
        alike = np.isclose(own[known], due[known], rtol=_CLOSE, atol=0)
        if known.sum() < _FEWEST or not alike.all() or len(np.unique(due[known])) < _FEWEST:
            return
        step = numbers.lr_differs_at
        text = (
            f"the learning rate of {case.run} goes {of:,} times as fast: at step k it is that of {case.other} at step "
        )
        yield self.note(
            case, f"{text}{of:,} k, as where the schedule ticks once in each of {of:,} replicas", step, exact=True
        )

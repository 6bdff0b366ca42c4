"""Why the weights of a run's replicas differ, which equal updates of equal weights keep alike."""

from __future__ import annotations

from collections.abc import Iterator

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Fit, settings
from xframe.diagnosis.causes.replicas import OfReplicas
from xframe.diagnosis.claims import Table, of_all
from xframe.diagnosis.replicas import Replicas
from xframe.errors import counted


class _Part(OfReplicas):
    """Why the weights of its replicas differ; where several reasons would do, what was recorded of them decides."""

    @staticmethod
    def explains(table: Table, step: int | None) -> set[str]:
        """The replicas' own check, and what was computed since."""
        computed = of_all(table, step) & {"loss", "weights", "validation", "gradient norm"}
        return {"replicas"} | computed


class ReplicasStartApart(_Part):
    """Its replicas start from different weights, which equal gradients do not make alike."""

    name = "replicas-start-apart"
    rank = 14
    fixes = settings(
        torch="DistributedDataParallel(model), which sends replica 0's weights to all; with init_sync=False "
        "torch.manual_seed(seed), the same in every process, before the model is made",
        accelerate="model = accelerator.prepare(model)",
        tensorflow="make the model in strategy.scope(), or tf.keras.utils.set_random_seed(seed) before it, the same in "
        "every worker",
    )

    def find_in_replicas(self, case: Case) -> Iterator[Fit]:
        if case.replicas is not None and case.replicas.part and case.replicas.starts_apart:
            text = f"the replicas of {case.run} start from different weights: they have them before any update"
            yield self.note(case, text, 0, exact=True)


class ReplicaLeavesUpdateOut(_Part):
    """A replica does not make an update that others make, and trains other weights from there on."""

    name = "replica-leaves-update-out"
    rank = 14.5
    fixes = settings(
        any="the same updates in every process: what leaves one out, as a check of the loss or of its gradients, is "
        "decided for all together",
    )

    def find_in_replicas(self, case: Case) -> Iterator[Fit]:
        at = None if case.replicas is None else case.replicas.by_updates
        if at is None:
            return
        fewer, more = (at.replica, 0) if at.own < at.first else (0, at.replica)
        text = f"replica {fewer} of {case.run} leaves out {counted(abs(at.own - at.first), 'update')} that replica "
        text += f"{more} makes: behind step {at.step:,} it has applied {min(at.own, at.first):,}, replica {more} "
        text += f"{max(at.own, at.first):,}"
        yield self.note(case, text, at.step)

    @staticmethod
    def explains(table: Table, step: int | None) -> set[str]:
        """The counts of updates, too."""
        return _Part.explains(table, step) | {"updates"}


class ReplicasSetOtherwise(_Part):
    """A replica has a setting of its own, by which it makes other updates than the others."""

    name = "replicas-set-otherwise"
    rank = 15
    fixes = settings(any="the same model, loss and optimizer, and the same settings of each, in every process")

    def find_in_replicas(self, case: Case) -> Iterator[Fit]:
        replicas = case.replicas
        if replicas is None or not replicas.part or not replicas.otherwise or replicas.starts_apart:
            return
        name, index, *values = replicas.otherwise[0]
        own, first = ("not stated" if value is None else str(value) for value in values)
        more = len(replicas.otherwise) - 1
        text = f"{name} is {own} in replica {index} of {case.run}, {first} in replica 0"
        text += f", and {counted(more, 'setting')} more differ" if more else ""
        text += f"; {_where_they_part(replicas)}"
        yield self.note(case, text, replicas.parted)

    @staticmethod
    def explains(table: Table, step: int | None) -> set[str]:
        """Rates are settings too."""
        return _Part.explains(table, step) | {"lr"}


class ReplicasNotSynchronised(_Part):
    """Its replicas do not share their gradients, or one makes its updates otherwise: one of several models is kept."""

    name = "replicas-not-synchronised"
    rank = 16
    fixes = settings(
        torch="model = DistributedDataParallel(model), called itself and not model.module; no_sync() only before the "
        "last backward pass of a window; what changes gradients or weights, in every process alike",
        accelerate="model = accelerator.prepare(model), and accelerator.backward(loss)",
        tensorflow="make the model and the optimizer in strategy.scope(), and call the step by strategy.run",
    )

    def find_in_replicas(self, case: Case) -> Iterator[Fit]:
        replicas = case.replicas
        if replicas is None or not replicas.part or replicas.otherwise or replicas.starts_apart:
            return
        if replicas.by_updates is not None:
            return
        text = (
            f"the replicas of {case.run} are not synchronised: {_where_they_part(replicas)}; their gradients are not "
        )
        text += "shared, or one changes its own, or its weights"
        if replicas.starts_apart is None and replicas.parted in (None, 0):
            text += ", or they start from different weights"
        yield self.note(case, text, replicas.parted)


def _where_they_part(replicas: Replicas) -> str:
    if replicas.parted is None:
        return "they end with different weights"
    had = f"replica {replicas.apart} has other weights than replica 0"
    though = "" if replicas.by_updates else ", though each applied the same number of updates"
    return f"behind step {replicas.parted:,} {had}{though}"

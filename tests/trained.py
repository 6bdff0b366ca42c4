"""The contract suite for the torch adapter's loops that leave counting to a trainer: tests/contract, tests/trainers."""

from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar
from unittest import mock

from xframe.plan.training_plan import TrainingPlan
from xframe.running.registry import load
from xframe.running.runtime import Runtime
from xframe.tasks.optimizers import SGD
from xframe.tasks.schedules import Constant
from xframe.testing import AdapterContract
from xframe.testing.contract import LEDGER, NUMBER_PLANS, PLANS
from xframe.testing.contract.features import small


def takes(loop, plan, task):
    """Whether the loop has settings for this plan."""
    return not load("torch").check(plan, task, Runtime(device="cpu", precision="float64", loop=loop))


def made(**fields):
    return TrainingPlan.from_mapping({"batch_size": 5, **fields})


OWN = (  # plans that some of the trainers have settings for, beside those of the suite
    made(epochs=3, steps_per_epoch=3),
    made(epochs=3, steps_per_epoch=7, on_exhaustion="short_epoch"),
    made(epochs=4, steps_per_epoch=3, epoch_iterator="continue"),
    made(epochs=3, steps_per_epoch=7, epoch_iterator="continue", remainder="drop"),
    made(epochs=3, gradient_accumulation_steps=3),
    made(epochs=3, gradient_accumulation_steps=3, loss_normalization="samples"),
    made(epochs=3, gradient_accumulation_steps=3, loss_normalization="window", accumulation_remainder="leak"),
    made(epochs=3, gradient_accumulation_steps=3, loss_normalization="sum", accumulation_remainder="drop"),
    made(epochs=4, gradient_accumulation_steps=3, loss_normalization="window", remainder="drop"),
    made(epochs=3, gradient_accumulation_steps=5, loss_normalization="window", accumulation_remainder="carry"),
    made(updates=7, gradient_accumulation_steps=3),
    made(updates=7, gradient_accumulation_steps=3, loss_normalization="window"),
    made(steps=13, gradient_accumulation_steps=3, loss_normalization="window", accumulation_remainder="carry"),
    made(steps=13, gradient_accumulation_steps=3, loss_normalization="window"),
)


class TrainerContract(AdapterContract):
    """Bind it by a subclass made by ``bound``."""

    adapter = "torch"
    windows: ClassVar[dict[str, str]]

    def follows(self, plan):
        rate = {} if plan.schedule_clock is None else {"optimizer": SGD(Constant(0.1))}
        return takes(self.loop, plan, replace(small(), **rate))

    def pairs(self):
        return {"gradient_accumulation_steps": 2, **self.windows}

    @contextmanager
    def without_batch(self, step):
        """The loaders' iterators pass over the indices of one batch."""
        from torch.utils.data import dataloader

        honest, drawn = dataloader._BaseDataLoaderIter._next_index, []

        def next_index(iterator):
            drawn.append(honest(iterator))
            return next_index(iterator) if len(drawn) == step + 1 else drawn[-1]

        with mock.patch.object(dataloader._BaseDataLoaderIter, "_next_index", next_index):
            yield lambda: bool(drawn)

    @contextmanager
    def without_update(self, step):
        """The optimizer's step computes what it is to go by, and does not go."""
        import torch

        torch.optim.SGD([torch.zeros(1)])  # the class's step is wrapped by the first
        honest, calls = torch.optim.SGD.step, []

        def update(optimizer, closure=None):
            calls.append(step)
            if len(calls) != (step + 1) // 2:
                return honest(optimizer, closure)
            return None if closure is None else closure()

        update.hooked = True
        with mock.patch.object(torch.optim.SGD, "step", update):
            yield lambda: bool(calls)


def bound(of_loop, bare, *, fewest, **windows):
    """A class that binds a loop of the torch adapter, whose windows have these policies."""

    class Bound(TrainerContract):
        loop, twin = of_loop, bare
        plans = tuple(plan for plan in (*PLANS, *OWN) if takes(of_loop, plan, LEDGER))
        number_plans = (NUMBER_PLANS[0], made(batch_size=64, epochs=4, gradient_accumulation_steps=2, **windows))

    Bound.windows = windows
    assert len(Bound.plans) >= fewest, Bound.plans
    return Bound

"""The part of the adapter contract that no adapter can have been made to fit: sizes, plans and samples drawn anew.

They are other ones in each run of the tests. A failure names its seed; with ``XFRAME_CONTRACT_SEED`` set to it, the
same are drawn again. Samples are digits with noise in all their bits, so that no precision but their own holds them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.tasks.builtin.ledger import ledger
from xframe.tasks.lookup import find_task
from xframe.tasks.task import Task
from xframe.testing import clean
from xframe.testing.contract.features import FeatureContract, digits
from xframe.testing.contract.observing import a_batch_less, an_update_less
from xframe.testing.contract.plans import LEDGER, PLANS
from xframe.verification import compare

SEED = "XFRAME_CONTRACT_SEED"
LARGEST = 1797  # samples in what is not drawn
_OFTEN = 3  # plans of the ledger that are drawn for a test


@contextmanager
def drawing() -> Iterator[Random]:
    """What sizes are drawn from; a test that fails inside names the seed."""
    seed = int(os.environ.get(SEED) or secrets.randbits(32))
    try:
        yield Random(seed)  # noqa: S311  no secret
    except AssertionError as error:
        raise AssertionError(f"{error}\nDrawn by a seed: {SEED}={seed} draws the same again.") from error


def rough_digits(num_samples: int, draw: Random) -> Task:
    """The digits perceptron on that many of its images, scaled and with noise."""
    generator, (features, targets) = np.random.default_rng(draw.getrandbits(63)), digits()
    rows = generator.integers(0, len(targets), num_samples)
    noise = generator.uniform(0, 0.1, (num_samples, features.shape[1]))
    samples = features[rows] * generator.uniform(0.5, 1, (num_samples, 1)) + noise, targets[rows]
    bare: dict[str, Any] = {"validation": None, "num_validation": 0, "metrics": ()}
    return replace(find_task("digits-mlp"), name="rough-digits", num_samples=num_samples, load=lambda: samples, **bare)


class DrawnContract(FeatureContract):
    """Tests of ``AdapterContract``, which documents what is bound."""

    def without_batch(self, step: int) -> AbstractContextManager[Callable[[], bool]]:
        """While inside, that step's batch never arrives. A loop whose framework draws the batches overrides it.

        Returns what says whether anybody drew any.
        """
        return a_batch_less(step)

    def without_update(self, step: int) -> AbstractContextManager[Callable[[], bool]]:
        """While inside, that step's update is not made, under ``pairs``; else as ``without_batch``."""
        return an_update_less(step)

    def _trains(self, plan: TrainingPlan, task: Task, precision: str) -> bool:
        """Whether the loop's framework follows the plan, and the adapter takes it."""
        place: Any = {"device": "cpu", "precision": precision, "loop": self.loop_name()}
        return self.follows(plan) and not self.subject().check(plan, task, Runtime(**place))

    def _plan(self, draw: Random, task: Task, precision: str, **policies: tuple[Any, ...]) -> TrainingPlan:
        """A few hundred steps, more than a pass, of batches of some size; of the policies one each."""
        least = max(3, task.num_samples // 300)
        while True:
            fields = {name: draw.choice(values) for name, values in policies.items()}
            size = draw.randint(least, max(least, min(150, task.num_samples)))
            steps = draw.randint(max(120, task.num_samples // size + 2), 420)
            limit = draw.choice(("steps", "updates"))  # a trainer may have but one of them
            steps //= fields.get("gradient_accumulation_steps", 1) if limit == "updates" else 1
            fields |= {"batch_size": size, limit: steps, "seed": draw.getrandbits(40)}
            plan = TrainingPlan.from_mapping({name: value for name, value in fields.items() if value is not None})
            if self._trains(plan, task, precision):
                return plan

    def test_drawn_plans(self, tmp_path: Path) -> None:
        """On the ledger, over the whole vocabulary of plans: the same as planned, and the weights spell it."""
        with drawing() as draw:
            drawn = ((plan, ledger(num_samples)) for plan, num_samples in clean.draws(draw.getrandbits(40)))
            fitting = ((plan, task) for plan, task in drawn if self._trains(plan, task, "float64"))
            for i, (plan, task) in enumerate(islice(fitting, _OFTEN)):
                trace = self.observed(plan, task, tmp_path / f"{i}.trace")
                weights = trace.weights()
                assert weights is not None, "the run returned no final weights"
                assert task.audit is not None
                comparison = compare(trace, audits={trace.name: task.audit(trace, weights)})
                assert comparison, f"{plan} of {task.num_samples} samples: {comparison}"
                assert trace.counts() == plan.counts(task.num_samples), plan

    def test_drawn_twin(self, tmp_path: Path) -> None:
        """Beyond all sizes that are not drawn, bit for bit: in float32, the samples' places in a batch included."""
        with drawing() as draw:
            task = rough_digits(draw.randint(LARGEST + 1, 6000), draw)
            self.same_as_twin(self._plan(draw, task, "float32", remainder=("keep", "drop")), task, tmp_path)

    def test_drawn_numbers(self, tmp_path: Path) -> None:
        """Of any size, now and then a large one: losses and weights are NumPy's in float64, to rounding."""
        with drawing() as draw:
            size = round(2 ** (draw.uniform(5, 12) if draw.random() < 0.8 else draw.uniform(12, 15)))
            task, windows = rough_digits(size, draw), self.pairs()
            policies: dict[str, tuple[Any, ...]] = {"remainder": ("keep", "drop", "pad"), "reshuffle": (True, False)}
            if draw.random() < 0.5:
                policies |= {name: (value,) for name, value in windows.items()}
            plan = self._plan(draw, task, "float64", **policies)
            run = self.observed(plan, task, tmp_path / "run.trace")
            comparison = compare(self.reference(plan, task, tmp_path / "numpy.trace"), run, rate=task.optimizer.rate)
            assert comparison, f"{plan} of {size:,} samples: {comparison}"

    def test_it_draws_the_batches_it_counts(self, tmp_path: Path) -> None:
        """A batch that never arrives is in no step."""
        plan, left_out = TrainingPlan(batch_size=5, epochs=2), 7
        with self.without_batch(left_out) as walked:
            trace = self.observed(plan, LEDGER, tmp_path / "run.trace")
        if not walked():
            self._counts_by_its_trainer(tmp_path)
            return
        expected = [step.sample_ids.tolist() for step in plan.each_step(LEDGER.num_samples)]
        del expected[left_out]
        assert [ids.tolist() for ids in trace.batches()] == expected, "its steps are not the batches that arrived"

    def test_it_makes_the_updates_it_counts(self, tmp_path: Path) -> None:
        """An update that is not due is not made."""
        plan, left_out = TrainingPlan.from_mapping({"batch_size": 5, "epochs": 2, **self.pairs()}), 3
        with self.without_update(left_out) as asked:
            trace = self.observed(plan, LEDGER, tmp_path / "run.trace")
        if not asked():
            self._counts_by_its_trainer(tmp_path)
            return
        expected = [step.update - (step.index >= left_out) for step in plan.each_step(LEDGER.num_samples)]
        assert trace.column("updates").tolist() == expected, "its updates are not those that its window found due"

    def _counts_by_its_trainer(self, folder: Path) -> None:
        """Steered by nothing of xframe's, it must be a trainer with habits of its own, which some plan shows."""
        place = Runtime(device="cpu", precision="float64", loop=self.loop_name())
        own = [one for one in PLANS if not self.follows(one) and not self.subject().check(one, LEDGER, place)]
        assert own, "it asks neither steering.walk nor a Window, and yet follows every plan: its counts are a copy"
        assert self._departs(own[0], LEDGER, folder)

"""The adapter contract as a pytest class. Needs pytest; runs the adapter in the test's own process, on the CPU.

What each test rests on:

- the plan's own functions, while the adapter runs, raise: its counts have to be its own doing;
- the *ledger* task, whose final weights spell which samples entered which update: ids can be echoed,
  weights cannot;
- the *bare twin*, a script that imports nothing of xframe and trains as a tutorial would, see ``observing``: a
  recorded run must end in its weights bit for bit;
- the NumPy adapter, whose arithmetic is written out, for the losses;
- ``steering.walk`` and ``Window``, which now and then leave something out: a run that they steer leaves it out too, and
  one that counts by arithmetic of its own does not. A trainer that asks neither must be seen to count for itself: in
  plans that it does not follow, or by batches and updates that its framework leaves out;
- sizes, plans and samples that are drawn anew each time, see ``drawn``: no adapter can have been made to fit them.

What cannot be seen from outside, so that an adapter which passes may still be wrong in it:

- it recognises the suite, by a task or by what is patched, and is honest only there;
- samples change places inside a batch, under a plan that the bare twin cannot run (accumulation, padding, epochs that
  are no passes): losses and weights stay the same but for rounding;
- it is honest up to a size, or a number of steps, beyond those that are drawn;
- it repeats what it remembers of an honest run, or finds on disk of an earlier one: a process may read whatever its
  user may read;
- reads from a device in each step, and the draws of TensorFlow's generators.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from xframe.plan.training_plan import TrainingPlan
from xframe.running.adapter import Adapter, Probe
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task
from xframe.testing.contract.drawn import DrawnContract
from xframe.testing.contract.plans import LEDGER, NUMBER_PLANS, PLANS, TWIN_PLANS, name_of
from xframe.trace.trace import Trace
from xframe.verification import compare


class AdapterContract(DrawnContract):
    """Bind it by a subclass that sets ``adapter`` and ``twin``.

    Attributes:
        adapter: the name of an installed adapter, or an instance.
        loop: one of its loops; None for the default.
        twin: the bare script of the digits-mlp task, see ``xframe.testing.contract.observing``.
        plans: what the ledger task is run under. A loop that is not the adapter's own, but a framework's trainer
            with habits of its own, names those that it follows.
        number_plans: likewise, for the numbers of the digits-mlp task.
    """

    plans: ClassVar[tuple[TrainingPlan, ...]] = PLANS
    number_plans: ClassVar[tuple[TrainingPlan, ...]] = NUMBER_PLANS
    _observed: ClassVar[dict[str, Trace]]

    def __init_subclass__(cls) -> None:
        cls._observed = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Gives the tests that take a plan this class's own."""
        ledger = dict.fromkeys(("steps", "boundaries", "updates", "epochs", "ledger"), self.plans)
        plans = {**ledger, "twin": TWIN_PLANS, "numbers": self.number_plans}
        name = metafunc.function.__name__.removeprefix("test_")
        if name in plans:
            metafunc.parametrize("plan", plans[name], ids=name_of)

    def ledger_run(self, plan: TrainingPlan, folder: Path) -> Trace:
        """The ledger task under that plan; run once, then looked at by several tests."""
        if plan.digest not in self._observed:
            self._observed[plan.digest] = self.observed(plan, LEDGER, folder / "ledger.trace")
        return self._observed[plan.digest]

    def digits_run(self, plan: TrainingPlan, path: Path, precision: str = "float32") -> Trace:
        return self.observed(plan, find_task("digits-mlp"), path, precision)

    def test_it_is_an_adapter(self) -> None:
        adapter = self.subject()
        assert isinstance(adapter, Adapter)
        assert adapter.name
        assert adapter.loops
        assert len(set(adapter.loops)) == len(adapter.loops)
        assert adapter.requires
        assert adapter.install

    def test_importing_it_does_not_import_its_framework(self) -> None:
        adapter = self.subject()
        heavy = [name for name in adapter.requires if name != "numpy"]
        module = type(adapter).__module__.partition(".")[0]
        code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", f"importing {module} imports {done.stdout}"

    def test_probe_names_versions_and_devices(self) -> None:
        probe = self.subject().probe()
        assert isinstance(probe, Probe)
        assert probe.versions
        assert "cpu" in probe.devices

    def test_it_refuses_what_it_does_not_have(self) -> None:
        adapter, plan, task = self.subject(), PLANS[0], LEDGER
        assert adapter.check(plan, task, Runtime(device="cpu")) == []
        assert adapter.check(plan, task, Runtime(device="cpu", loop="no-such-loop")) != []

    def test_steps(self, plan: TrainingPlan, tmp_path: Path) -> None:
        trace = self.ledger_run(plan, tmp_path)
        assert trace.complete
        assert trace.counts() == plan.counts(LEDGER.num_samples)

    def test_boundaries(self, plan: TrainingPlan, tmp_path: Path) -> None:
        trace = self.ledger_run(plan, tmp_path)
        assert trace.num_rows, "nothing was recorded"
        for step, seen in zip(plan.each_step(LEDGER.num_samples), trace.batches(), strict=False):
            assert seen.tolist() == step.sample_ids.tolist(), f"step {step.index} trained on other samples"

    def test_updates(self, plan: TrainingPlan, tmp_path: Path) -> None:
        trace = self.ledger_run(plan, tmp_path)
        assert trace.num_rows, "nothing was recorded"
        for step, seen in zip(plan.each_step(LEDGER.num_samples), trace.column("updates"), strict=False):
            assert seen == step.update, f"step {step.index}: {seen} updates applied, the plan says {step.update}"

    def test_epochs(self, plan: TrainingPlan, tmp_path: Path) -> None:
        trace = self.ledger_run(plan, tmp_path)
        assert trace.num_rows, "nothing was recorded"
        labels = zip(trace.column("epoch"), trace.column("step_in_epoch"), strict=True)
        for step, seen in zip(plan.each_step(LEDGER.num_samples), labels, strict=False):
            assert seen == (step.epoch, step.step_in_epoch), f"step {step.index} is labelled {seen}"

    def test_ledger(self, plan: TrainingPlan, tmp_path: Path) -> None:
        trace = self.ledger_run(plan, tmp_path)
        weights = trace.weights()
        assert weights is not None, "the run returned no final weights"
        assert LEDGER.audit is not None
        assert LEDGER.audit(trace, weights) == []
        assert np.any(weights["dense_0/kernel"]), "nothing was trained"

    def test_twin(self, plan: TrainingPlan, tmp_path: Path) -> None:
        """The recorded run ends in the weights of the bare run, bit for bit."""
        self.same_as_twin(plan, find_task("digits-mlp"), tmp_path)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_numbers(self, plan: TrainingPlan, precision: str, tmp_path: Path) -> None:
        """Losses and weights agree with NumPy's, in both precisions, with windows of any kind."""
        run = self.digits_run(plan, tmp_path / "run.trace", precision)
        reference = self.reference(plan, find_task("digits-mlp"), tmp_path / "numpy.trace", precision)
        comparison = compare(reference, run)
        assert comparison, str(comparison)
        losses = run.column("loss")
        assert losses[-10:].mean() < losses[:10].mean() / 2, "the loss did not fall"

    def test_it_draws_no_random_numbers(self, tmp_path: Path) -> None:
        """Python's, NumPy's and torch's generators stand where they stood; TensorFlow has no state to look at."""
        before = _random_states()
        self.observed(PLANS[0], LEDGER, tmp_path / "quiet.trace")
        assert _random_states() == before, "the run drew random numbers that a bare run would not"

    def test_it_repeats(self, tmp_path: Path) -> None:
        """The same run twice: the same certificate, the same losses and weights to the bit."""
        plan = TWIN_PLANS[2]
        first, second = (self.digits_run(plan, tmp_path / f"{i}.trace") for i in range(2))
        assert first.certificate == second.certificate
        assert first.end["weights"] == second.end["weights"]
        assert np.array_equal(first.column("loss"), second.column("loss"))


def _random_states() -> list[str]:
    torch = sys.modules.get("torch")
    states = [repr(random.getstate()), repr(np.random.get_state())]  # noqa: NPY002
    return states if torch is None else [*states, repr(torch.get_rng_state().tolist())]

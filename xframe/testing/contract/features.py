"""The part of the adapter contract that is about training as people do it: schedules, validation, early stopping,
metrics, clipping, accumulation, precision. Each is compared with the plan and with the NumPy adapter.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from xxhash import xxh3_128_digest

from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import due, stopped_after
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks import schedules as schedule
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task
from xframe.testing.contract.observing import bare_weights, observe
from xframe.verification import compare

if TYPE_CHECKING:
    from xframe.running.adapter import Adapter
    from xframe.trace.trace import Trace

NUM_SAMPLES, NUM_VALIDATION = 203, 45
PAIRS = {"gradient_accumulation_steps": 2}
SCHEDULES = {  # with the clock each is tried by; two steps make an update, eleven an epoch
    "constant": (schedule.Constant(0.05), "updates"),
    "step": (schedule.Step(0.1, 0.5, every=4), "steps"),
    "exponential": (schedule.Exponential(0.1, 0.9), "updates"),
    "cosine": (schedule.Cosine(0.1, ticks=10, final=0.01), "updates"),
    "warm-up": (schedule.Warmup(5, schedule.Cosine(0.1, ticks=30), start=0.01), "steps"),
    "piecewise": (schedule.Piecewise((1, 2), (0.1, 0.05, 0.02)), "epochs"),
    "one-cycle": (schedule.OneCycle(0.2, ticks=12), "updates"),
}
CLIPS = {"clip_value": 0.01, "clip_norm": 0.2, "clip_global_norm": 0.3}
VALIDATIONS: dict[str, dict[str, Any]] = {
    "steps": {"validation_every": 4},
    "updates": {"validation_every": 3, **PAIRS},
    "epochs": {"validation_every": 2},
}


@cache
def digits() -> tuple[Any, Any]:
    """Features and targets of the digits."""
    return find_task("digits-mlp").data("float64")


def small(**changes: Any) -> Task:
    """The digits perceptron on 203 of its images, with 45 more to validate on."""
    end = NUM_SAMPLES + NUM_VALIDATION
    fields: dict[str, Any] = {
        "name": "small-digits",
        "num_samples": NUM_SAMPLES,
        "load": lambda: tuple(values[:NUM_SAMPLES] for values in digits()),
        "validation": lambda: tuple(values[NUM_SAMPLES:end] for values in digits()),
        "num_validation": NUM_VALIDATION,
        "metrics": ("accuracy",),
    }
    return replace(find_task("digits-mlp"), **{**fields, **changes})


def plan_of(**fields: Any) -> TrainingPlan:
    """A small plan with these fields."""
    return TrainingPlan.from_mapping({"batch_size": 20, "epochs": 3, **fields})


def ticks(plan: TrainingPlan, num_samples: int) -> list[int]:
    """The schedule's tick at each step of the plan."""
    every, updates = [], 0
    for step in plan.each_step(num_samples):
        every.append({"steps": step.index, "epochs": step.epoch}.get(plan.schedule_clock or "", updates))
        updates = step.update
    return every


class FeatureContract:
    """Tests of ``AdapterContract``, which documents what is bound."""

    adapter: ClassVar[str | Adapter]
    loop: ClassVar[str | None] = None
    twin: ClassVar[Path]

    def subject(self) -> Adapter:
        return registry.load(self.adapter) if isinstance(self.adapter, str) else self.adapter

    def loop_name(self) -> str:
        return self.loop or self.subject().loops[0]

    def follows(self, plan: TrainingPlan) -> bool:
        """Whether the loop's framework can do what the plan says; a loop that is a trainer of its own may not."""
        return True

    def pairs(self) -> dict[str, Any]:
        """Accumulation over two steps, as this loop's framework has it."""
        return dict(PAIRS)

    def observed(self, plan: TrainingPlan, task: Task, path: Path, precision: str = "float64") -> Trace:
        """The adapter's run."""
        return observe(self.subject(), plan, task, path, precision=precision, loop=self.loop)

    def reference(self, plan: TrainingPlan, task: Task, path: Path, precision: str = "float64") -> Trace:
        """NumPy's run."""
        return observe(registry.load("numpy"), plan, task, path, precision=precision)

    def _agree(self, plan: TrainingPlan, task: Task, folder: Path) -> Trace | None:
        """The run, once it agrees with the plan and with NumPy's to rounding; None if it rightly does not."""
        if self._departs(plan, task, folder):
            return None
        run = self.observed(plan, task, folder / "run.trace")
        comparison = compare(self.reference(plan, task, folder / "numpy.trace"), run, rate=task.optimizer.rate)
        assert comparison, str(comparison)
        return run

    def _departs(self, plan: TrainingPlan, task: Task, folder: Path) -> bool:
        """Whether the loop's framework does not follow the plan, and so refuses it or is seen not to."""
        if self.follows(plan):
            return False
        place = Runtime(device="cpu", precision="float64", loop=self.loop_name())
        if not self.subject().check(plan, task, place):
            assert not compare(self.observed(plan, task, folder / "departs.trace")), "a plan it does not follow passes"
        return True

    def same_as_twin(self, plan: TrainingPlan, task: Task, folder: Path) -> None:
        """The recorded run ends in the weights of the bare run, bit for bit."""
        weights = self.observed(plan, task, folder / "recorded.trace", "float32").weights()
        expected = bare_weights(self.twin, plan, folder, self.loop_name(), task)
        assert weights is not None
        assert weights.keys() == expected.keys()
        for name, values in expected.items():
            assert weights[name].dtype == values.dtype
            assert np.array_equal(weights[name], values), f"{name} is not bit-equal to the bare run's"

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_schedule(self, name: str, tmp_path: Path) -> None:
        """The rate of each step is the schedule's at the plan's clock, and the weights are those it leads to."""
        rate, clock = SCHEDULES[name]
        plan, task = plan_of(schedule_clock=clock, **self.pairs()), small(optimizer=SGD(rate, momentum=0.9))
        run = self._agree(plan, task, tmp_path)
        if run is None:
            return
        expected = [rate(tick) for tick in ticks(plan, NUM_SAMPLES)]
        for step, (seen, wanted) in enumerate(zip(run.column("lr").tolist(), expected, strict=True)):
            assert seen == wanted, f"step {step}: learning rate {seen}, the schedule says {wanted}"

    @pytest.mark.parametrize("clock", ["updates", "steps", "epochs"])
    def test_schedule_clock(self, clock: str, tmp_path: Path) -> None:
        rate = schedule.Exponential(0.1, 0.8)
        plan, task = plan_of(schedule_clock=clock, **self.pairs()), small(optimizer=SGD(rate))
        if self._departs(plan, task, tmp_path):
            return
        run = self.observed(plan, task, tmp_path / "run.trace", "float32")
        expected = np.array([rate(tick) for tick in ticks(plan, NUM_SAMPLES)], dtype=np.float32)
        seen = run.column("lr").astype(np.float32)
        wrong = np.flatnonzero(seen != expected)
        assert not wrong.size, (
            f"step {wrong[0]}: learning rate {seen[wrong[0]]}, the schedule says {expected[wrong[0]]}"
        )

    @pytest.mark.parametrize("unit", VALIDATIONS)
    def test_validation(self, unit: str, tmp_path: Path) -> None:
        """It comes when the plan says, sees its samples in its batches, and leaves training as it was."""
        windows = self.pairs() if "gradient_accumulation_steps" in VALIDATIONS[unit] else {}
        fields = {**VALIDATIONS[unit], **windows, "epochs": 6}
        plan = plan_of(validation_unit=unit, validation_batch_size=16, **fields)
        run = self._agree(plan, small(), tmp_path)
        if run is None:
            return
        assert [v.after for v in run.validations] == due(plan, NUM_SAMPLES).tolist(), "validated after other steps"
        ids = xxh3_128_digest(np.arange(NUM_VALIDATION, dtype="<i8").tobytes()).hex()
        expected = self.reference(plan, small(), tmp_path / "again.trace").validations
        for seen, wanted in zip(run.validations, expected, strict=True):
            where = f"the validation after step {seen.after - 1}"
            assert (seen.num_samples, seen.num_batches) == (NUM_VALIDATION, 3), f"{where} had other batches"
            assert seen.ids_digest == ids, f"{where} saw other samples"
            assert seen.loss == pytest.approx(wanted.loss, rel=1e-9), f"{where} has another loss"
            assert seen.accuracy == pytest.approx(wanted.accuracy, abs=1e-9), f"{where} has another accuracy"
        plain = self.observed(plan_of(**windows, epochs=6), small(), tmp_path / "plain.trace")
        assert plain.certificate == run.certificate, "validation changed the training order"
        assert plain.end["weights"] == run.end["weights"], "validation changed the weights"

    @pytest.mark.parametrize("restore", [False, True])
    def test_early_stopping(self, restore: bool, tmp_path: Path) -> None:
        """It ends where the validations say, with the last weights or the best."""
        unit: dict[str, Any] = {"validation_every": 5, "validation_unit": "steps"}
        stop = {"early_stopping_patience": 2, "early_stopping_min_delta": 0.02, "restore_best": restore}
        plan = plan_of(**{**unit, **stop, "epochs": 60, "early_stopping_monitor": "loss"})
        run = self._agree(plan, small(optimizer=SGD(0.3, momentum=0.8)), tmp_path)
        if run is None:
            return
        assert run.num_rows < plan.counts(NUM_SAMPLES).num_steps, "it never stopped"
        assert stopped_after(plan, run.validations) == run.num_rows

    def test_accuracy(self, tmp_path: Path) -> None:
        """Of each step, as NumPy counts it; the epoch's is averaged by sample."""
        plan = plan_of()
        run = self._agree(plan, small(), tmp_path)
        assert run is not None
        reference = self.reference(plan, small(), tmp_path / "again.trace")
        np.testing.assert_allclose(run.column("accuracy"), reference.column("accuracy"), rtol=0, atol=1e-9)
        right = run.column("accuracy") * run.column("batch_size")
        np.testing.assert_allclose(run.epochs()["accuracy"], right.reshape(3, -1).sum(axis=1) / NUM_SAMPLES)

    @pytest.mark.parametrize("kind", CLIPS)
    def test_clipping(self, kind: str, tmp_path: Path) -> None:
        clips: dict[str, Any] = {kind: CLIPS[kind]}
        task = small(optimizer=SGD(0.5, **clips))
        run = self._agree(plan_of(**self.pairs()), task, tmp_path)
        assert run is not None
        unclipped = self.reference(plan_of(**self.pairs()), small(optimizer=SGD(0.5)), tmp_path / "unclipped.trace")
        assert not compare(unclipped, run), "clipping made no difference"

    @pytest.mark.parametrize("kind", ["actual", "samples", "window"])
    def test_accumulation_is_the_full_batch(self, kind: str, tmp_path: Path) -> None:
        """Four steps of 16 samples make the update that one of 64 makes, to 1e-12."""
        fields = {"order": "sequential", "updates": 9, "epochs": None, "remainder": "carry"}
        windows = {"gradient_accumulation_steps": 4, "loss_normalization": kind, "accumulation_remainder": "carry"}
        whole, parts = plan_of(**{**fields, "batch_size": 64}), plan_of(**{**fields, "batch_size": 16, **windows})
        if self._departs(whole, small(), tmp_path) or self._departs(parts, small(), tmp_path):
            return
        runs = [
            self.observed(plan, small(), tmp_path / f"{i}.trace").weights() for i, plan in enumerate((whole, parts))
        ]
        assert runs[0] is not None
        assert runs[1] is not None
        for name, values in runs[0].items():
            np.testing.assert_allclose(runs[1][name], values, rtol=1e-12, atol=1e-12 * np.abs(values).max())

    def _refuses(self, plan: TrainingPlan, task: Task, precision: str) -> bool:
        """Whether it refuses that precision, by its name."""
        reasons = self.subject().check(plan, task, Runtime(device="cpu", precision=precision, loop=self.loop_name()))  # type: ignore[arg-type]
        assert all(precision in reason for reason in reasons)
        return bool(reasons)

    def test_bfloat16(self, tmp_path: Path) -> None:
        """Weights are bfloat16's, which are float32's with 16 zero bits, and the loss falls."""
        plan, task = plan_of(validation_every=1), small()
        if self._refuses(plan, task, "bfloat16"):
            return
        run = self.observed(plan, task, tmp_path / "run.trace", "bfloat16")
        assert run.counts() == plan.counts(NUM_SAMPLES)
        weights = run.weights()
        assert weights is not None
        for name, values in weights.items():
            assert values.dtype == np.float32
            assert not (values.view(np.uint32) & 0xFFFF).any(), f"{name} is finer than bfloat16"
        losses = run.epochs()["loss"]
        assert losses.iloc[-1] < losses.iloc[0] / 2

    def test_skipped_updates(self, tmp_path: Path) -> None:
        """Gradients that overflow in float16 are tried and not applied: the weights stay, and the counts say so."""
        features, targets = (values[:NUM_SAMPLES] for values in digits())
        plan, task = plan_of(epochs=1), small(load=lambda: (features * 3e4, targets))
        if self._refuses(plan, task, "mixed_float16"):
            return
        run = self.observed(plan, task, tmp_path / "run.trace", "mixed_float16")
        weights, steps = run.weights(), plan.counts(NUM_SAMPLES).num_steps
        assert weights is not None
        assert all(np.array_equal(weights[name], values) for name, values in task.weights().items())
        assert run.column("update_attempts").tolist() == list(range(1, steps + 1))
        assert run.column("updates").tolist() == [0] * steps, "an update that was skipped is counted as applied"

    def test_loss_scaling(self, tmp_path: Path) -> None:
        """Where nothing overflows, each update that is tried is applied, and the loss falls."""
        plan, task = plan_of(), small(optimizer=SGD(0.05, momentum=0.9, clip_global_norm=1.0))
        if self._refuses(plan, task, "mixed_float16"):
            return
        run = self.observed(plan, task, tmp_path / "run.trace", "mixed_float16")
        assert run.column("updates").tolist() == run.column("update_attempts").tolist()
        assert run.counts() == plan.counts(NUM_SAMPLES)
        reference = self.reference(plan, task, tmp_path / "numpy.trace")
        np.testing.assert_allclose(run.column("loss"), reference.column("loss"), rtol=0.05, atol=0.02)

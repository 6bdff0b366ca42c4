"""JAX as an adapter of xframe. Importing this imports no JAX, so that ``xframe adapters`` is quick."""

from __future__ import annotations

from typing import Any

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.adapter import Probe, unsupported
from xframe.running.drive import Drive
from xframe.running.runtime import Runtime
from xframe.tasks.layers import Dense
from xframe.tasks.task import Task


class JaxAdapter:
    """A jitted gradient and a jitted update over batches drawn in NumPy; dense layers, on the CPU."""

    name = "jax"
    loops: tuple[str, ...] = ("jit",)
    requires: tuple[str, ...] = ("jax",)
    install = "pip install jax"

    def check(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
        """Reasons why it cannot run this."""
        precisions = ("float32", "float64")
        reasons = unsupported(self, plan, task, runtime, devices=("cpu",), precisions=precisions, layers=(Dense,))
        return [*reasons, "it takes no builders, only neutral layers"] if self.name in task.builders else reasons

    def probe(self) -> Probe:
        """Versions and devices."""
        import jax

        return Probe({"jax": jax.__version__}, ("cpu",))

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        """The batches of a run."""
        from xframe_jax.pipeline import Pipeline

        return Pipeline(plan, task.samples(runtime.precision))

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        """The training step over a new model with the task's initial weights."""
        from xframe_jax.training import Model, TrainStep

        return TrainStep(Model(task, runtime.precision), task, plan)

    def validator(self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Any) -> Any:
        """One validation of that model at each call; None where the plan has none."""
        from xframe_jax.training import Validator

        return None if plan.validation_every is None else Validator(plan, task, runtime.precision, model)

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> dict[str, Any]:
        """Trains, and returns the final weights."""
        import jax

        jax.config.update("jax_enable_x64", runtime.precision == "float64")
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return Drive(self, plan, task, runtime, recorder)()

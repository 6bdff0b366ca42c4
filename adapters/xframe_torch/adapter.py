"""The adapter: checks, probes, and the training loop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from xframe.adapter import Probe, unsupported
from xframe.layers import LAYERS
from xframe.plan import TrainingPlan
from xframe.recorder import Recorder
from xframe.runtime import Runtime
from xframe.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe_torch.pipeline import Pipeline
    from xframe_torch.step import TrainStep


class TorchAdapter:
    """Eager PyTorch: autograd and torch.optim over a DataLoader. See ``xframe.adapter`` for what it must hold to."""

    name = "torch"
    loops: tuple[str, ...] = ("eager",)
    requires: tuple[str, ...] = ("torch",)
    install = 'pip install "xframe-toolkit[torch]"'

    def check(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
        return unsupported(self, task, runtime, devices=("cpu", "cuda"), layers=LAYERS)

    def probe(self) -> Probe:
        import torch

        return Probe({"torch": torch.__version__}, ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",))

    def configure(self, runtime: Runtime) -> None:
        """Threads, determinism and TF32, process-wide."""
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed one
        import torch

        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        if runtime.device == "cuda":  # on the CPU it changes nothing here, and it imports torch's compiler
            torch.use_deterministic_algorithms(runtime.deterministic)
        torch.backends.cuda.matmul.allow_tf32 = runtime.tf32
        torch.backends.cudnn.allow_tf32 = runtime.tf32

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Pipeline:
        from xframe_torch.pipeline import Pipeline

        return Pipeline(plan, *task.data(runtime.precision), device=runtime.device)

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> TrainStep:
        from xframe_torch.model import Model
        from xframe_torch.step import TrainStep

        return TrainStep(Model(task, runtime.precision, runtime.device), task, plan)

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> dict[str, NDArray[Any]]:
        self.configure(runtime)
        train_step = self.train_step(plan, task, runtime)
        for batch in self.pipeline(plan, task, runtime):
            loss = train_step(batch)
            recorder.step(
                ids=batch.ids,
                updates=train_step.updates,
                loss=loss,
                lr=train_step.learning_rate,
                epoch=batch.place.epoch,
                step_in_epoch=batch.place.step_in_epoch,
                padding=batch.place.padding,
            )
            if train_step.window.over:
                break
        return train_step.model.weights()

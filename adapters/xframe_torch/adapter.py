"""The torch adapter: checks, probes, and what its runs are made of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.precision import PRECISIONS
from xframe.recording.recorder import Recorder
from xframe.running.adapter import Probe, unsupported
from xframe.running.checkpoints import NONE, Checkpoints
from xframe.running.drive import Drive
from xframe.running.runtime import Runtime
from xframe.tasks import layers, optimizers
from xframe.tasks.losses import LOSSES, of
from xframe.tasks.task import Task
from xframe_torch.loops.settings import MODULES, TRAINERS, load, refusals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.bench.worker import Loop
    from xframe_torch.model import Model
    from xframe_torch.pipeline import Pipeline
    from xframe_torch.step import TrainStep
    from xframe_torch.validation import Validator

_RULES = (  # as in ``_LOWER`` of optimizers.py
    *(optimizers.SGD, optimizers.Lion, optimizers.Adam, optimizers.NAdam, optimizers.Adamax, optimizers.RMSprop),
    *(optimizers.Adagrad, optimizers.Adadelta, optimizers.Adafactor),
)
_FROM_ZERO = ("learning_rate", "weight_decay", "momentum_decay", "rate_decay", "initial_accumulator", "clip_threshold")


class TorchAdapter:
    """Autograd and torch.optim over a DataLoader. See ``xframe.running.adapter`` for what it must hold to.

    Its loops: ``eager``; ``compile``, forward and loss through torch.compile; ``graph``, forward and backward
    as CUDA graphs; ``fsdp``, of replicas that keep a part of each parameter; and those that people use, see
    ``xframe_torch.loops``: ``loader``, a tutorial's over a DataLoader that cuts the batches, and trainers, each with a
    plan as its own settings.
    """

    name = "torch"
    loops: tuple[str, ...] = ("eager", "compile", "graph", "fsdp", *TRAINERS)
    stepwise = "eager"
    resumable = ("eager", "compile", "graph")
    replicated: Mapping[str, str] = {"eager": "each", "fsdp": "each"}
    requires: tuple[str, ...] = ("torch",)
    loops_require = MODULES
    install = 'pip install "xframe-toolkit[torch]"'

    def check(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
        have: Any = {"precisions": PRECISIONS, "layers": layers.KINDS, "losses": LOSSES.values()}
        reasons = unsupported(self, plan, task, runtime, devices=("cpu", "cuda"), **have)
        reasons += _unlowered(task.optimizer)
        if runtime.loop == "graph" and runtime.device == "cpu":
            reasons.append("loop 'graph' replays CUDA graphs, so it needs --device cuda")
        if runtime.loop == "compile" and runtime.device == "cpu" and not _compiler():
            reasons.append("loop 'compile' needs a C++ compiler, and neither $CXX nor g++ nor clang++ is found")
        if "torch" not in task.builders:
            reasons += _layers_refused(task, runtime)
        if plan.replicas > 1:
            reasons += _replicas_refused(plan, task)
        if runtime.loop == "fsdp":
            reasons += _parts_refused(plan, task, runtime)
        return [*reasons, *refusals(plan, task, runtime)] if runtime.loop in TRAINERS else reasons

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

        if runtime.replica is not None:
            from xframe_torch.replicas import ReplicaPipeline

            return ReplicaPipeline(plan, task.samples(runtime.precision), runtime)
        return Pipeline(plan, task.samples(runtime.precision), runtime)

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> TrainStep:
        from xframe_torch.model import Model
        from xframe_torch.step import TrainStep

        model = Model(task, runtime.precision, runtime.device)
        if runtime.replica is not None:
            from xframe_torch.replicas import ReplicaStep, ShardedStep

            return (ShardedStep if runtime.loop == "fsdp" else ReplicaStep)(model, task, plan, runtime)
        return TrainStep(model, task, plan, runtime)

    def validator(self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Model) -> Validator | None:
        from xframe_torch.validation import Validator

        return None if plan.validation_every is None else Validator(plan, task, runtime, model)

    def bench_loops(self, task: Task) -> tuple[Loop, ...]:
        from xframe_torch.bench import loops

        return loops(task)

    def run(
        self,
        plan: TrainingPlan,
        task: Task,
        runtime: Runtime,
        recorder: Recorder,
        checkpoints: Checkpoints = NONE,
    ) -> dict[str, NDArray[Any]]:
        if runtime.loop == "graph" and runtime.device == "cpu":
            raise UsageError("loop 'graph' replays CUDA graphs", got="the device cpu", expected="a CUDA device")
        self.configure(runtime)
        if runtime.loop is not None and runtime.loop in TRAINERS:
            weights: dict[str, NDArray[Any]] = load(runtime.loop).train(plan, task, runtime, recorder)
            return weights
        if runtime.replica is None:
            return Drive(self, plan, task, runtime, recorder, checkpoints)()
        from xframe_torch.replicas import together

        with together(runtime):
            return Drive(self, plan, task, runtime, recorder, checkpoints)()

    def left_alone(self, error: Exception) -> bool:
        from xframe_torch.replicas import left_alone

        return left_alone(error)


def _unlowered(rule: optimizers.Rule) -> list[str]:
    """What of a rule torch has no optimizer for."""
    if type(rule) not in _RULES:
        lowered = ", ".join(known.__name__ for known in _RULES)
        return [f"optimizer {type(rule).__name__} is not one of its rules ({lowered})"]
    numbers = {name: getattr(rule, name, 0) for name in _FROM_ZERO}
    below = {name: value for name, value in numbers.items() if isinstance(value, (int, float)) and value < 0}
    return [f"optimizers of torch take no {name} below 0 ({value})" for name, value in below.items()]


def _layers_refused(task: Task, runtime: Runtime) -> list[str]:
    """Where torch's kernels do not go, or go wrong."""
    native = [layer for layer in task.layers if isinstance(layer, (layers.LSTM, layers.GRU, layers.SimpleRNN))]
    reasons = []
    for kind in dict.fromkeys(type(layer).__name__ for layer in native if getattr(layer, "reset_after", True)):
        if runtime.loop == "compile":
            reasons.append(f"torch.compile does not take {'an' if kind == 'LSTM' else 'a'} {kind}")
        if runtime.precision == "mixed_float16" and runtime.device == "cpu":
            reasons.append(f"torch has no {kind} in float16 on the CPU")
    if runtime.device != "cuda" and any(isinstance(one, layers.ConvTranspose2D) and one.unsafe for one in task.layers):
        reasons.append(
            "ConvTranspose2D with kernel_size 1 and strides above 1 makes oneDNN write outside its memory on the CPU"
        )
    return reasons


def _replicas_refused(plan: TrainingPlan, task: Task) -> list[str]:
    """Why replicas of a run are not the run that one process makes, as the plan has it."""
    reasons = []
    if any(isinstance(layer, layers.BatchNorm) for layer in task.layers):
        reasons.append("in replicas BatchNorm has the statistics of each one's own rows, not of the step's")
    if plan.replica_gradients == "rows" and not of(task.loss).even:
        reasons.append(
            f"under replica_gradients 'rows' loss {task.loss!r} cannot be put together from the replicas' own, since "
            "its samples do not count alike"
        )
    return reasons


def _parts_refused(plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
    """What loop 'fsdp' does not do with parameters of which each replica keeps a part."""
    reasons = (
        [] if plan.replicas > 1 else ["loop 'fsdp' shares the parameters out among replicas, and the plan has one"]
    )
    if isinstance(task.optimizer, optimizers.Adafactor):
        reasons.append("loop 'fsdp' has no Adafactor, which needs whole rows and columns of a parameter")
    if task.optimizer.average is not None:
        reasons.append("loop 'fsdp' keeps no averaged weights")
    if runtime.precision == "mixed_float16":
        reasons.append("loop 'fsdp' scales no loss, so precision 'mixed_float16' is not one of its")
    return reasons


def _compiler() -> str | None:
    names = filter(None, (os.environ.get("CXX"), "g++", "clang++"))
    return next((path for path in map(shutil.which, names) if path), None)

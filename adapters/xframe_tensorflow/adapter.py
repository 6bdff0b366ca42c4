"""The TensorFlow adapter: checks, probes, and what its runs are made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim
from xframe.plan.training_plan import TrainingPlan
from xframe.precision import PRECISIONS, storage
from xframe.recording.recorder import Recorder
from xframe.running.adapter import Probe, loop_of, unsupported
from xframe.running.checkpoints import NONE, Checkpoints
from xframe.running.drive import Drive
from xframe.running.runtime import Replica, Runtime
from xframe.running.steering import Course
from xframe.tasks import layers, losses, optimizers
from xframe.tasks.losses import LOSSES
from xframe.tasks.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.bench.worker import Loop
    from xframe_tensorflow.loops.function import FunctionStep
    from xframe_tensorflow.model import Model
    from xframe_tensorflow.pipeline import Pipeline

_RULES = (  # as in ``_LOWER`` of optimizers.py
    *(optimizers.SGD, optimizers.Lion, optimizers.Adam, optimizers.NAdam, optimizers.Adamax, optimizers.RMSprop),
    *(optimizers.Adagrad, optimizers.Adadelta, optimizers.Adafactor),
)


class TensorflowAdapter:
    """tf.function and GradientTape over tf.data. See ``xframe.running.adapter`` for what it must hold to."""

    name = "tensorflow"
    loops: tuple[str, ...] = ("block", "function", "xla", "fit")
    stepwise = "function"
    resumable = loops
    replicated: Mapping[str, str] = {"function": "each", "fit": "one"}
    takes_addresses = True
    requires: tuple[str, ...] = ("tensorflow", "keras")
    install = 'pip install "xframe-toolkit[tensorflow]"'

    def check(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
        have: Any = {"precisions": PRECISIONS, "layers": layers.KINDS, "losses": LOSSES.values()}
        reasons = unsupported(self, plan, task, runtime, devices=("cpu", "cuda"), **have)
        reasons += _rule_refuses(task.optimizer)
        if "tensorflow" not in task.builders:
            reasons += filter(None, (_layer_refuses(layer, runtime) for layer in task.layers))
        if plan.replicas > 1:
            reasons += _replicas_refuse(plan, task)
            reasons += _fit_refuses_replicas(plan, task) if runtime.loop == "fit" else []
        return [*reasons, *_fit_refuses(plan, task, runtime)] if runtime.loop == "fit" else reasons

    def probe(self) -> Probe:
        os.environ["KERAS_BACKEND"] = "tensorflow"  # read when keras is imported
        import keras
        import tensorflow as tf

        if keras.backend.backend() != "tensorflow":
            raise UsageError("keras runs on a different backend", got=keras.backend.backend(), expected="tensorflow")
        devices = ("cuda", "cpu") if tf.config.list_physical_devices("GPU") else ("cpu",)
        return Probe({"tensorflow": tf.__version__, "keras": keras.__version__}, devices)

    def configure(self, runtime: Runtime) -> None:
        """Devices, threads, determinism, TF32 and Keras' float type, process-wide."""
        import keras
        import tensorflow as tf

        try:
            gpus = tf.config.list_physical_devices("GPU")
            if runtime.device == "cpu":
                gpus = []
            elif runtime.replica is not None:
                gpus = _own_device(gpus, runtime.replica)
            if runtime.device == "cpu" or runtime.replica is not None:
                tf.config.set_visible_devices(gpus, "GPU")
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
            if runtime.threads is not None:
                tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
                tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
        except RuntimeError as error:
            raise UsageError(
                "TensorFlow takes devices and threads only before its first operation",
                got=Verbatim(str(error)),
                remedy="Use a fresh process, or the same device and threads as before.",
            ) from None
        if runtime.deterministic and runtime.device == "cuda":
            tf.config.experimental.enable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(runtime.tf32)
        # Losses and learning rates are in floatx, which stays float32 under bfloat16 and mixed_float16.
        keras.config.set_floatx(storage(runtime.precision))
        keras.config.set_dtype_policy(runtime.precision)  # made from floatx only once, at its first use

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Pipeline:
        from xframe_tensorflow.pipeline import Pipeline, ReplicaPipeline

        kind = Pipeline if runtime.replica is None else ReplicaPipeline
        return kind(plan, task.samples(runtime.precision), runtime)

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> FunctionStep:
        from xframe_tensorflow.loops.function import FunctionStep
        from xframe_tensorflow.model import Model

        if (replica := runtime.replica) is not None:
            from xframe_tensorflow.replicas import ReplicaStep, joined

            strategy = joined(replica)  # before any operation
            return ReplicaStep(strategy, Model(task, runtime.precision), task, plan, runtime.precision, replica.index)
        model = Model(task, runtime.precision)
        return FunctionStep(model, task, plan, runtime.precision, jit_compile=runtime.loop == "xla")

    def validator(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Model
    ) -> Callable[[], Mapping[str, Any]] | None:
        from xframe_tensorflow.validation import validator

        return validator(plan, task, runtime, model)

    def index_dataset(self, plan: TrainingPlan, num_samples: int, start: tuple[int, int], batches: bool) -> Any:
        from xframe_tensorflow.order import batch_dataset
        from xframe_tensorflow.pipeline import index_dataset

        if batches:
            return batch_dataset(plan.sample_order(num_samples), plan.batch_size, plan.remainder, *start)
        return index_dataset(plan, num_samples, start)

    def bench_loops(self, task: Task) -> tuple[Loop, ...]:
        from xframe_tensorflow.bench import loops

        return loops(task)

    def run(
        self,
        plan: TrainingPlan,
        task: Task,
        runtime: Runtime,
        recorder: Recorder,
        checkpoints: Checkpoints = NONE,
    ) -> dict[str, NDArray[Any]] | list[dict[str, NDArray[Any]]]:
        self.probe()
        self.configure(runtime)
        loop = loop_of(self, plan, runtime.loop)
        train: Any = {"block": self.blocks, "fit": self.fit}.get(loop, self.steps)
        weights: dict[str, NDArray[Any]] = train(plan, task, runtime, recorder, checkpoints)
        return weights

    def steps(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder, checkpoints: Checkpoints
    ) -> dict[str, NDArray[Any]]:
        """The loops ``function`` and ``xla``: a call for each step."""
        drive: Any = Drive(self, plan, task, runtime, recorder, checkpoints)
        weights: dict[str, NDArray[Any]] = drive()
        if runtime.replica is not None:
            drive.train_step.meet()
        return weights

    def left_alone(self, error: Exception) -> bool:
        """Whether what a replica's run raised only says that another one is gone."""
        from xframe_tensorflow.replicas import left_alone

        return left_alone(error)

    def blocks(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder, checkpoints: Checkpoints
    ) -> dict[str, NDArray[Any]]:
        """The loop ``block``: many steps in each call of one tf.function."""
        from xframe_tensorflow.loops.block import Blocks

        train_step = self.train_step(plan, task, runtime)
        recorder.evidence = train_step.evidence
        model = train_step.model
        course = Course(plan, recorder, self.validator(plan, task, runtime, model), model.weights)
        return Blocks(plan, task, runtime, train_step, course).train_all(recorder, checkpoints)

    def fit(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder, checkpoints: Checkpoints
    ) -> Any:
        """The loop ``fit``: Keras' own, from the epochs to the updates."""
        from xframe_tensorflow.loops.fit import Fit

        if not checkpoints.wanted:
            return Fit(plan, task, runtime, recorder)(lambda _: self.fit_data(plan, task, runtime))
        from xframe_tensorflow.loops.fit import dataset

        return Fit(plan, task, runtime, recorder, checkpoints)(lambda start: dataset(plan, task, runtime, start))

    def fit_data(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        """What the loop ``fit`` trains on: a tf.data.Dataset of (x, y, id) in batches."""
        from xframe_tensorflow.loops.fit import dataset

        return dataset(plan, task, runtime)

    def unkept(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> str | None:
        """Why the run cannot keep checkpoints; None if it can."""
        return _fit_unkept(plan, runtime.precision) if runtime.loop == "fit" else None


def _rule_refuses(rule: optimizers.Rule) -> list[str]:
    """What no optimizer of Keras computes, nor one of ``xframe_tensorflow.optim``."""
    if type(rule) not in _RULES:
        lowered = ", ".join(known.__name__ for known in _RULES)
        return [f"rule {type(rule).__name__} is not one of its rules ({lowered})"]
    if isinstance(rule, optimizers.Lion) and not rule.beta1:
        return ["Keras' Lion takes no beta1 of 0"]
    return []


def _replicas_refuse(plan: TrainingPlan, task: Task) -> list[str]:
    """Why replicas of a run are not the run that one process makes, as the plan has it."""
    loss, reasons = losses.of(task.loss), []
    if any(isinstance(layer, layers.BatchNorm) for layer in task.layers):
        reasons.append("in replicas BatchNorm has the statistics of each one's own rows, not of the step's")
    if plan.replica_gradients == "rows" and not loss.even:
        reasons.append(
            f"under replica_gradients 'rows' loss {task.loss!r} cannot be put together from the replicas' own, since "
            "its samples do not count alike"
        )
    if isinstance(loss, losses.Hinge) and loss.targets == "any":
        reasons.append("each replica would take its own rows' targets, not the step's, to see whether they are signs")
    return reasons


def _own_device(gpus: list[Any], replica: Replica) -> list[Any]:
    """The one of its index on this machine."""
    index, of = replica.on_this_machine
    if len(gpus) < of:
        raise UsageError(
            "each replica needs a GPU of its own",
            got=len(gpus),
            expected=f"{of} of them",
            remedy="Use fewer replicas, or --device cpu.",
        )
    return gpus[index : index + 1]


def _layer_refuses(layer: layers.Layer, runtime: Runtime) -> str | None:
    """Why Keras has no such layer."""
    if isinstance(layer, layers.ConvTranspose2D) and layer.unsafe and runtime.device != "cuda":
        return "ConvTranspose2D with kernel_size 1 and strides above 1 makes oneDNN write outside its memory on the CPU"
    if isinstance(layer, (layers.Conv1D, layers.Conv2D)) and layer.strides > 1 and layer.dilation > 1:
        return f"Keras has no {type(layer).__name__} with strides and dilation both above 1"
    return None


def _fit_refuses(plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
    """What Keras' fit can't do at all, or would do with other numbers in the same steps and updates.

    What it does in other steps or updates is not refused: the trace shows it.
    """
    reasons = []
    if plan.remainder == "carry" and plan.steps_per_epoch is None:
        reasons.append("an epoch of Keras' fit without steps_per_epoch is one iteration, so no batch straddles two")
    if plan.loss_normalization in ("sum", "samples"):
        reasons.append(
            f"Keras divides the gradients of a window by its steps; loss_normalization {plan.loss_normalization!r} "
            "divides by something else"
        )
    if plan.validation_unit not in ("epochs", None):
        reasons.append(f"Keras' fit validates at the end of epochs, not after {plan.validation_unit}")
    if plan.validation_every is not None and not losses.of(task.loss).even:
        reasons.append(
            "Keras' fit averages a validation's batches by their samples, and this loss counts ignored or weighted "
            "samples otherwise"
        )
    if plan.early_stopping_patience is not None and runtime.precision == "float64":
        reasons.append("Keras' EarlyStopping compares in float32 whatever the precision")
    average = task.optimizer.average
    if plan.restore_best and average is not None and average.final:
        reasons.append("Keras' EarlyStopping restores weights as they were trained, not averaged")
    return reasons


def _fit_refuses_replicas(plan: TrainingPlan, task: Task) -> list[str]:
    """What Keras' fit under MirroredStrategy can't do, or does by another rule."""
    reasons, rule, sums = [], task.optimizer, losses.of(task.loss).reduction == "sum"
    if plan.replica_split != "slices":
        reasons.append(f"Keras' fit gives replicas slices of a batch; replica_split is {plan.replica_split!r}")
    if plan.replica_gradients != ("rows" if sums else "replicas"):
        what = "sum the step's" if sums else "mean the mean of the replicas' own means"
        reasons.append(f"Keras' fit makes of a {what}; replica_gradients is {plan.replica_gradients!r}")
    if (rule.clip_value, rule.clip_norm, rule.clip_global_norm) != (None, None, None):
        reasons.append("in replicas Keras clips each one's gradient, before they are added up")
    if plan.gradient_accumulation_steps > 1:
        reasons.append("under MirroredStrategy Keras cannot accumulate gradients")
    if rule.average is not None:
        reasons.append("each replica's averaged weights are not read from Keras' fit")
    if any(isinstance(layer, layers.Dropout) for layer in task.layers):
        reasons.append("under MirroredStrategy Keras does not tell a layer which rows of the step it has")
    if plan.validation_every is not None and sums:
        reasons.append("under MirroredStrategy Keras' validation takes every loss for a mean")
    firsts = {"batch": min(plan.batch_size, task.num_samples)}
    if plan.validation_every is not None:
        firsts["validation batch"] = min(plan.validation_batch_size or plan.batch_size, task.num_validation)
    for name, rows in firsts.items():
        if rows % plan.replicas:
            reasons.append(f"Keras' fit adds up the first {name}'s slices to build itself, which are to be of one size")
    return reasons


def _fit_unkept(plan: TrainingPlan, precision: str) -> str | None:
    """Why ``fit`` cannot keep a state of such a run; None if it can."""
    if plan.replicas > 1:
        return (
            "Keras' fit in replicas has a copy of weights and optimizer for each, and no checkpoint is made of copies"
        )
    if plan.gradient_accumulation_steps > 1:
        if precision == "mixed_float16":
            return "Keras sums up a window's gradients where the loss scale is not known"
        if plan.accumulation_remainder != "carry" or plan.accumulation_at_end != "drop":
            return "Keras' windows go on over every end: accumulation_remainder carry and accumulation_at_end drop"
    if plan.steps_per_epoch is not None and (plan.epoch_iterator != "continue" or plan.on_exhaustion != "repeat"):
        return "Keras' epochs of steps_per_epoch go on with the data: epoch_iterator continue and on_exhaustion repeat"
    return None

"""Task: what is computed. Data, model, loss, optimizer and initial weights, with NumPy only.

A task is written once. Either its model is a tuple of neutral layers, which each adapter lowers to
native layers, or it brings one builder per framework that returns a native model. In both cases the
weights have canonical names and layouts, so that every framework starts from the same numbers and
the results can be compared; ``xframe.tasks.layers`` gives those of the neutral layers.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from xframe.errors import UsageError, Verbatim, unknown
from xframe.precision import storage
from xframe.tasks.data import Arrays, Samples, Source, fingerprint
from xframe.tasks.layers import Dense, Embedding, Layer, Placed, Shape, place
from xframe.tasks.schedules import Schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.trace import Trace

Weights = Mapping[str, "NDArray[Any]"]
Loss = Literal["softmax_cross_entropy", "mean_squared_error", "negative_sum"]
LOSSES = ("softmax_cross_entropy", "mean_squared_error", "negative_sum")
METRICS = ("accuracy",)
CLIPS = ("clip_value", "clip_norm", "clip_global_norm")


@dataclass(frozen=True, slots=True)
class SGD:
    """v ← momentum·v + g;  w ← w − learning_rate·v, with g the clipped gradient plus weight_decay·w.

    The frameworks' own weight decay is the same rule only without momentum, so both at once are refused.

    Attributes:
        learning_rate: a number, or an ``xframe.tasks.schedules`` in ticks of the plan's ``schedule_clock``.
        momentum, weight_decay: as above.
        clip_value: each element of the gradient is cut to within plus or minus this.
        clip_norm: the gradient of each variable is scaled down to at most this norm.
        clip_global_norm: all gradients are scaled down together to at most this norm.
    """

    learning_rate: float | Schedule
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_value: float | None = None
    clip_norm: float | None = None
    clip_global_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "momentum", "weight_decay", *CLIPS):
            value = getattr(self, name)
            real = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not (real or (name in CLIPS and value is None) or (name == "learning_rate" and self.scheduled)):
                expected = "a finite number" + (" or an xframe.schedule" if name == "learning_rate" else "")
                raise UsageError(f"SGD's {name}", got=value, expected=expected)
        clips = {name: getattr(self, name) for name in CLIPS if getattr(self, name) is not None}
        if len(clips) > 1 or not all(0 < value < math.inf for value in clips.values()):
            raise UsageError(
                "SGD's clipping", got=Verbatim(clips), expected=f"at most one of {', '.join(CLIPS)}, a number above 0"
            )
        if self.momentum and self.weight_decay:
            raise UsageError(
                "SGD with both momentum and weight_decay is not one rule in all frameworks",
                got=Verbatim(f"momentum={self.momentum}, weight_decay={self.weight_decay}"),
                expected="at most one of them",
            )

    def rate(self, tick: int) -> float:
        """The learning rate at that tick of the plan's ``schedule_clock``."""
        return self.learning_rate(tick) if isinstance(self.learning_rate, Schedule) else float(self.learning_rate)

    @property
    def scheduled(self) -> bool:
        return isinstance(self.learning_rate, Schedule)


class Parameter(NamedTuple):
    """A native tensor and, if its layout differs, the axes that turn the canonical layout into it."""

    tensor: Any
    axes: tuple[int, ...] | None = None


class NativeModel(NamedTuple):
    """What a builder returns: a native model and where its weights are, by canonical name."""

    module: Any
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class Task:
    """What is computed in a training run.

    Attributes:
        name: as the command line knows it.
        num_samples: size of the data set; known before any data is loaded.
        load: returns (features, targets), arrays of num_samples rows, memory maps among them, or a source of
            samples such as ``xframe.ParquetSource``; row i is sample id i.
        initial_weights: returns arrays by canonical name; must be the same on every call and machine.
        loss: ``softmax_cross_entropy`` (mean over all targets, from logits of shape (rows, …, classes) and integer
            targets of shape (rows, …)), ``mean_squared_error`` (mean over all elements) or ``negative_sum`` (minus the
            sum of outputs).
        optimizer: the update rule.
        layers: the neutral model, see ``xframe.tasks.layers``; empty if there are builders.
        builders: by adapter name, a function of no arguments that returns a ``NativeModel``.
        audit: given a run's trace and final weights, returns what contradicts; see the ledger task.
        max_updates: given a plan and a precision, how many updates at most the task can hold.
        validation: returns (features, targets) or a source to validate on, if there are any; row i is validation
            sample i. They are kept in memory.
        num_validation: how many.
        metrics: recorded beside the loss, of each step and validation: ``accuracy``, the share of targets that get
            the greatest output.
        input_shape: of one sample's features, as the layers take it. Where the first is a Dense it can be left out:
            dense_0/kernel tells it.
        description: one line.
    """

    name: str
    num_samples: int
    load: Callable[[], tuple[NDArray[Any], NDArray[Any]] | Source]
    initial_weights: Callable[[], dict[str, NDArray[Any]]]
    loss: Loss
    optimizer: SGD
    layers: tuple[Layer, ...] = ()
    builders: Mapping[str, Callable[[], NativeModel]] = field(default_factory=dict)
    audit: Callable[[Trace, Weights], list[str]] | None = None
    max_updates: Callable[[TrainingPlan, str], int] | None = None
    validation: Callable[[], tuple[NDArray[Any], NDArray[Any]] | Source] | None = None
    num_validation: int = 0
    metrics: tuple[str, ...] = ()
    input_shape: Shape | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise unknown("loss", str(self.loss), LOSSES)
        if not isinstance(self.optimizer, SGD):
            raise UsageError("a task's optimizer", got=self.optimizer, expected="an xframe.SGD")
        if not set(self.metrics) <= set(METRICS) or (self.metrics and self.loss != "softmax_cross_entropy"):
            raise UsageError(
                "a task's metrics",
                got=Verbatim(f"{self.metrics} with the loss {self.loss}"),
                expected="('accuracy',) with softmax_cross_entropy, or none",
            )
        if (self.validation is None) != (self.num_validation == 0):
            raise UsageError(
                "a task's validation", got=self.num_validation, expected="both validation and num_validation, or none"
            )
        if not isinstance(self.layers, tuple) or not all(isinstance(layer, Layer) for layer in self.layers):
            raise UsageError("a task's layers", got=self.layers, expected="a tuple of those in xframe.layers")
        if self.input_shape is not None:
            place(self.layers, self.input_shape)
        elif self.layers and not isinstance(self.layers[0], Dense):
            raise UsageError(
                "a task's input_shape",
                got=None,
                expected=f"the shape of one sample, for the first layer {self.layers[0]}",
            )

    def weights(self) -> dict[str, NDArray[Any]]:
        """The initial weights, fitting the neutral layers if there are any.

        Raises:
            UsageError: a name or shape is not what the layers need.
        """
        found = self.initial_weights()
        if not self.layers:
            return found
        placed = self.placed(found)
        needed = {f"{name}/{weight}": shape for _, name, _, own in placed for weight, shape in own.items()}
        shapes = {name: values.shape for name, values in found.items()}
        if shapes != needed:
            raise UsageError(
                f"task {self.name!r}: the initial weights do not fit the layers",
                got=Verbatim(_shapes(shapes)),
                expected=_shapes(needed),
            )
        return found

    def placed(self, initial: Weights) -> list[Placed]:
        """The neutral layers with the shapes they are to have, given the initial weights."""
        shape = self.input_shape
        if shape is None:
            kernel = initial.get("dense_0/kernel")
            shape = (0,) if kernel is None else kernel.shape[:1]
        return place(self.layers, shape)

    def samples(self, precision: str) -> Samples:
        """What is trained on: all of it in memory, or read batch by batch where ``load`` returns a memory map or a
        source; floats in the run's precision and integers as int64.

        Raises:
            UsageError: there are not num_samples of them, or they are arrays that the layers cannot take.
        """
        source = self._source()
        mapped = isinstance(source, Arrays) and _mapped(source.features, source.targets)
        return Samples(source, storage(precision), in_memory=isinstance(source, Arrays) and not mapped)

    def data(self, precision: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """(features, targets), all of ``samples`` as contiguous arrays."""
        import numpy as np

        samples = self.samples(precision)
        return samples.arrays or samples.take(np.arange(self.num_samples))

    def _source(self) -> Source:
        loaded = self.load()
        if isinstance(loaded, Source):
            if len(loaded) != self.num_samples:
                raise self._other_size(f"{len(loaded)} samples", f"num_samples = {self.num_samples}")
            return loaded
        return self._checked(loaded, self.num_samples, "num_samples")

    def validation_data(self, precision: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """(features, targets) to validate on, as ``data`` gives those to train on.

        Raises:
            UsageError: there are none, or not as many as declared.
        """
        import numpy as np

        if self.validation is None:
            raise UsageError(f"task {self.name!r} has nothing to validate on", expected="a task with validation data")
        loaded, declared = self.validation(), self.num_validation
        if isinstance(loaded, Source) and len(loaded) != declared:
            raise self._other_size(f"{len(loaded)} validation samples", f"num_validation = {declared}")
        held = loaded if isinstance(loaded, Source) else self._checked(loaded, declared, "num_validation")
        return Samples(held, storage(precision), in_memory=True).take(np.arange(declared))

    def _checked(self, loaded: Any, declared: int, field: str) -> Arrays:
        import numpy as np

        features, targets = (np.asanyarray(values) for values in loaded)
        if not len(features) == len(targets) == declared:
            got = f"{len(features)} features and {len(targets)} targets"
            raise self._other_size(got, f"{field} = {declared} of each")
        self._fit(features)
        return Arrays(features, targets)

    def _fit(self, features: NDArray[Any]) -> None:
        """Whether the layers take these features: else a framework may compute something, and on a GPU anything."""
        if self.input_shape is not None and features.shape[1:] != self.input_shape:
            raise UsageError(
                f"task {self.name!r} loads features of another shape than it declares",
                got=features.shape[1:],
                expected=f"input_shape = {self.input_shape} for each sample",
            )
        if self.layers and isinstance(self.layers[0], Embedding) and not _mapped(features):
            _check_tokens(self.name, features, self.layers[0].vocabulary)

    def _other_size(self, got: str, expected: str) -> UsageError:
        what = f"task {self.name!r} loads another number of rows than it declares"
        return UsageError(what, got=Verbatim(got), expected=expected)

    def fingerprints(self) -> dict[str, str]:
        """Of the data and of the initial weights, 32 hex digits each, the same wherever these are the same."""
        return {
            "data_fingerprint": self._source().fingerprint(),
            "weights_fingerprint": fingerprint(self.weights()),
        }


def _check_tokens(name: str, features: NDArray[Any], vocabulary: int) -> None:
    """A CPU refuses what is not in the table; a GPU may read zeros, or anything."""
    import numpy as np

    whole = np.issubdtype(features.dtype, np.integer)
    if not whole or (features.size and not 0 <= features.min() <= features.max() < vocabulary):
        raise UsageError(
            f"task {name!r}: its first layer cannot look these features up",
            got=Verbatim(f"{features.dtype} from {features.min()} to {features.max()}"),
            expected=f"integers from 0 to {vocabulary - 1}",
        )


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))


def match(task: Task, framework: str, built: NativeModel, trainable: Sequence[Any]) -> dict[str, Parameter]:
    """The native model's parameters by canonical name, if they are just the task's.

    Args:
        task: whose weights they are to be.
        framework: named in messages.
        built: what the builder returned; a plain tensor stands for one of the canonical layout.
        trainable: all tensors of the model that training changes.

    Raises:
        UsageError: a weight is missing, unknown or of another shape, or a trainable tensor has no name.
    """
    given = {name: p if isinstance(p, Parameter) else Parameter(p) for name, p in built.parameters.items()}
    initial = task.weights()
    if set(given) != set(initial):
        raise UsageError(
            f"task {task.name!r} names other weights than its {framework} model",
            got=Verbatim(", ".join(sorted(given))),
            expected=", ".join(sorted(initial)),
        )
    for name, (tensor, axes) in given.items():
        shape = initial[name].shape
        native = shape if axes is None else tuple(shape[axis] for axis in axes)
        if native != tuple(tensor.shape):
            raise UsageError(
                f"task {task.name!r}: weight {name!r} does not fit its {framework} model",
                got=Verbatim(f"{shape}" + ("" if axes is None else f" with axes {axes}, so {native}")),
                expected=f"{tuple(tensor.shape)}",
                remedy="Parameter(tensor, axes) gives the axes that turn the canonical layout into the native one.",
            )
    unnamed = [tensor for tensor in trainable if not any(tensor is p.tensor for p in given.values())]
    if unnamed:
        raise UsageError(
            f"task {task.name!r}: the {framework} model trains weights that the task does not name",
            got=Verbatim(", ".join(f"one of shape {tuple(tensor.shape)}" for tensor in unnamed)),
            expected="a canonical name for each, so that all frameworks start alike",
        )
    return given


def _mapped(*arrays: NDArray[Any]) -> bool:
    """Whether one of them lies in a file: a memory map, or a part of one."""
    import numpy as np

    return any(isinstance(base, np.memmap) for values in arrays for base in (values, values.base))


def _takes_nothing(value: Any) -> bool:
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):  # not callable, or not without arguments
        return False
    return True


BUILT_IN = {
    "digits-mlp": "xframe.tasks.builtin.digits_mlp:task",
    "digits-cnn": "xframe.tasks.builtin.digits_cnn:task",
    "rows-lstm": "xframe.tasks.builtin.rows_lstm:task",
    "tiny-transformer": "xframe.tasks.builtin.tiny_transformer:task",
    "diabetes-regression": "xframe.tasks.builtin.diabetes_regression:task",
    "ledger": "xframe.tasks.builtin.ledger:task",
}


def _import(name: str) -> ModuleType:
    """The user's module; what it prints goes to stderr, and however it fails, the error names it."""
    try:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ModuleNotFoundError(name=name)
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name or name.startswith(f"{error.name}."):
            raise UsageError(
                "cannot find the task's module",
                got=name,
                expected="a module that python can import here, as package.module",
                remedy="Run from the folder that holds it, or set PYTHONPATH.",
            ) from None
        problem: BaseException = error
    except (Exception, SystemExit) as error:
        problem = error
    places = [frame for frame in traceback.extract_tb(problem.__traceback__) if "importlib" not in frame.filename]
    where = f" ({places[-1].filename}, line {places[-1].lineno})" if len(places) > 1 else ""
    raise UsageError(
        f"the task's module {name!r} cannot be imported",
        got=Verbatim(f"{type(problem).__name__}: {problem}{where}"),
        expected="a module that imports without an error",
    ) from problem


def find_task(name: str) -> Task:
    """A built-in task by name, or a user's own by ``package.module:name``.

    Raises:
        UsageError: there is no such task, or what was found is none.
    """
    if name in BUILT_IN:
        target = BUILT_IN[name]
    elif ":" in name:
        target = name
    else:
        raise unknown("task", name, BUILT_IN, remedy="Your own is named package.module:name.")
    module_name, _, attribute = target.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module in the current folder, as python -m finds it
    module = _import(module_name)
    found = getattr(module, attribute, None)
    if found is None:
        names = [key for key, value in vars(module).items() if isinstance(value, Task)]
        raise UsageError(
            f"module {module_name!r} has no such task",
            got=attribute,
            expected="one of " + ", ".join(sorted(names)) if names else "a module with an xframe.Task in it",
        )
    if not isinstance(found, Task) and _takes_nothing(found):
        found = found()
    if not isinstance(found, Task):
        raise UsageError(f"{target} is no task", got=found, expected="an xframe.Task, or a function that returns one")
    return found

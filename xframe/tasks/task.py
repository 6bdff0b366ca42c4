"""Task: what is computed. Data, model, loss, optimizer and initial weights, with NumPy only.

A task is written once. Either its model is a tuple of neutral layers, which each adapter lowers to
native layers, or it brings one builder per framework that returns a native model. In both cases the
weights have canonical names and layouts, so that every framework starts from the same numbers and
the results can be compared; ``xframe.tasks.layers`` gives those of the neutral layers. ``lookup``
knows tasks by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xframe.errors import UsageError, Verbatim
from xframe.precision import storage
from xframe.tasks import losses
from xframe.tasks.builders import NativeModel
from xframe.tasks.data import Arrays, Samples, Source, fingerprint
from xframe.tasks.layers import Dense, Embedding, Layer, Placed, Shape, place
from xframe.tasks.losses import CrossEntropy, Loss
from xframe.tasks.optimizers import Rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.trace import Trace

Weights = Mapping[str, "NDArray[Any]"]
METRICS: Mapping[str, str] = {
    "accuracy": "share of targets that get the greatest output; with a cross entropy of classes, none of them ignored",
}


@dataclass(frozen=True, slots=True)
class Task:
    """What is computed in a training run.

    Attributes:
        name: as the command line knows it.
        num_samples: size of the data set; known before any data is loaded.
        load: returns (features, targets), arrays of num_samples rows, memory maps among them, or a source of
            samples such as ``xframe.ParquetSource``; row i is sample id i.
        initial_weights: returns arrays by canonical name; must be the same on every call and machine. Buffers may be
            left out: a BatchNorm's mean and variance begin as 0 and 1, a Dropout's step as 0.
        loss: one of ``xframe.losses``, or its name; adapters compute it from the outputs and targets of one batch.
        optimizer: the update rule.
        layers: the neutral model, see ``xframe.layers``; empty if there are builders.
        builders: by adapter name, a function of no arguments that returns a ``NativeModel``.
        audit: given a run's trace and final weights, returns what contradicts; see the ledger task.
        max_updates: given a plan and a precision, how many updates at most the task can hold.
        validation: returns (features, targets) or a source to validate on, if there are any; row i is validation
            sample i. They are kept in memory.
        num_validation: how many.
        metrics: of ``xframe.tasks.task.METRICS``, recorded beside the loss of each step and validation.
        input_shape: of one sample's features, as the layers take it. Where the first is a Dense it can be left out:
            dense_0/kernel shows it.
        description: one line.
    """

    name: str
    num_samples: int
    load: Callable[[], tuple[NDArray[Any], NDArray[Any]] | Source]
    initial_weights: Callable[[], dict[str, NDArray[Any]]]
    loss: Loss | str
    optimizer: Rule
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
        loss = losses.of(self.loss)
        if not isinstance(self.optimizer, Rule):
            raise UsageError("a task's optimizer", got=self.optimizer, expected="a rule of xframe.optimizers")
        of_classes = isinstance(loss, CrossEntropy) and loss.targets == "classes" and loss.ignored is None
        if not set(self.metrics) <= set(METRICS) or (self.metrics and not of_classes):
            raise UsageError(
                "a task's metrics",
                got=Verbatim(f"{self.metrics} with the loss {self.loss}"),
                expected="('accuracy',) with softmax_cross_entropy or the like, or none",
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
        """The initial weights, fitting the neutral layers if there are any; of buffers left out, what the layer has.

        Raises:
            UsageError: a name or shape is not what the layers need.
        """
        initial = self.initial_weights()
        if not self.layers:
            return initial
        placed = self.placed(initial)
        begins = {f"{name}/{weight}": value for layer, name, *_ in placed for weight, value in layer.buffers.items()}
        needed = {f"{name}/{weight}": shape for _, name, _, own in placed for weight, shape in own.items()}
        if left_out := [name for name in begins if name not in initial]:
            kinds = {name: np.int64 if name.endswith("/step") else np.float32 for name in left_out}
            held = initial | {name: np.full(needed[name], begins[name], kind) for name, kind in kinds.items()}
            initial = {name: held[name] for name in (*needed, *held) if name in held}  # in the layers' order
        shapes = {name: values.shape for name, values in initial.items()}
        if shapes != needed:
            raise UsageError(
                f"task {self.name!r}: the initial weights do not fit the layers",
                got=Verbatim(_shapes(shapes)),
                expected=_shapes(needed),
            )
        return initial

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
        samples = self.samples(precision)
        return samples.arrays or samples.take(np.arange(self.num_samples))

    def _source(self) -> Source:
        return self._loaded(self.load(), self.num_samples, "num_samples", "samples")

    def validation_data(self, precision: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """(features, targets) to validate on, as ``data`` gives those to train on.

        Raises:
            UsageError: there are none, or not as many as declared.
        """
        if self.validation is None:
            raise UsageError(f"task {self.name!r} has nothing to validate on", expected="a task with validation data")
        held = self._loaded(self.validation(), self.num_validation, "num_validation", "validation samples")
        return Samples(held, storage(precision), in_memory=True).take(np.arange(self.num_validation))

    def _loaded(self, loaded: Any, declared: int, field: str, what: str) -> Source:
        """What was loaded, of the size that was declared."""
        if isinstance(loaded, Source):
            sizes, got, expected = {len(loaded)}, f"{len(loaded)} {what}", f"{field} = {declared}"
        else:
            features, targets = (np.asanyarray(values) for values in loaded)
            sizes, expected = {len(features), len(targets)}, f"{field} = {declared} of each"
            got = f"{len(features)} features and {len(targets)} targets"
        if sizes != {declared}:
            wrong = f"task {self.name!r} loads a different number of rows than it declares"
            raise UsageError(wrong, got=Verbatim(got), expected=expected)
        if isinstance(loaded, Source):
            return loaded
        self._fit(features)
        loss = losses.of(self.loss)
        if isinstance(loss, CrossEntropy) and not _mapped(targets):
            self._check_classes(loss, targets)
        return Arrays(features, targets)

    def _fit(self, features: NDArray[Any]) -> None:
        """Whether the layers take these features: else a framework may compute something, and on a GPU anything."""
        if self.input_shape is not None and features.shape[1:] != self.input_shape:
            raise UsageError(
                f"task {self.name!r} loads features of a different shape than it declares",
                got=features.shape[1:],
                expected=f"input_shape = {self.input_shape} for each sample",
            )
        if self.layers and isinstance(self.layers[0], Embedding) and not _mapped(features):
            _check_tokens(self.name, features, self.layers[0].vocabulary)

    def _check_classes(self, loss: CrossEntropy, targets: NDArray[Any]) -> None:
        """Integer targets are classes that the model has outputs for: else a framework raises, or computes a NaN."""
        last = None
        if self.layers:
            last = self.placed({} if self.input_shape is not None else self.initial_weights())[-1]
        classes = None if last is None else last.layer.outputs(last.inputs)[-1]
        if classes and loss.class_weights and len(loss.class_weights) != classes:
            got, expected = (
                f"{len(loss.class_weights)} class weights",
                f"one for each of the last layer's {classes} outputs",
            )
            raise UsageError(f"task {self.name!r}: its loss does not fit", got=Verbatim(got), expected=expected)
        if not np.issubdtype(targets.dtype, np.integer) or not targets.size or loss.targets != "classes":
            return
        if loss.ignored is not None:
            targets = targets[targets != loss.ignored]
        wrong = targets[(targets < 0) | (targets >= classes)] if classes else targets[targets < 0]
        if len(wrong):
            raise UsageError(
                f"task {self.name!r}: targets are classes, by their index",
                got=Verbatim(str(wrong[0])),
                expected=f"0..{classes - 1}, as the last layer has {classes} outputs" if classes else "0 or more",
            )

    def fingerprints(self) -> dict[str, str]:
        """Of the data and of the initial weights, 32 hex digits each, the same wherever these are the same."""
        return {
            "data_fingerprint": self._source().fingerprint(),
            "weights_fingerprint": fingerprint(self.weights()),
        }

    def computes(self) -> dict[str, Any]:
        """What is computed of data and weights, as JSON values, the same wherever that is; builders' models are not."""
        held = None
        if self.validation is not None:
            held = self._loaded(self.validation(), self.num_validation, "num_validation", "validation samples")
        return {
            "layers": [repr(layer) for layer in self.layers],
            "loss": repr(losses.of(self.loss)),
            "metrics": [*self.metrics],
            "validation": None if held is None else held.fingerprint(),
        }


def _check_tokens(name: str, features: NDArray[Any], vocabulary: int) -> None:
    """A CPU refuses what is not in the table; a GPU may read zeros, or anything."""
    whole = np.issubdtype(features.dtype, np.integer)
    if not whole or (features.size and not 0 <= features.min() <= features.max() < vocabulary):
        raise UsageError(
            f"task {name!r}: its first layer cannot look these features up",
            got=Verbatim(f"{features.dtype} from {features.min()} to {features.max()}"),
            expected=f"integers from 0 to {vocabulary - 1}",
        )


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))


def _mapped(*arrays: NDArray[Any]) -> bool:
    """Whether one of them lies in a file: a memory map, or a slice of one."""
    return any(isinstance(base, np.memmap) for values in arrays for base in (values, values.base))

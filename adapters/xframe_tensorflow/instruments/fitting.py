"""Keras' ``fit``, ``train_on_batch`` and ``evaluate``. Arrays take each row's index along into the step.

The index goes through Keras' own shuffle with the row that it is of.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.tensorflow import trainer as trainers
from keras.src.callbacks.callback_list import CallbackList
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from xframe.recording.attach.patches import Patches, harmless
from xframe_tensorflow import settings
from xframe_tensorflow.evidence import FIT
from xframe_tensorflow.instruments.computing import refuse_replicas, with_rows
from xframe_tensorflow.instruments.noting import Noting
from xframe_tensorflow.instruments.ring import CAPACITY
from xframe_tensorflow.instruments.steps import Steps

_OURS = "xframe_data", "xframe_ids"
_TRAINER = trainers.TensorFlowTrainer
_FUNCTIONS = "train_function", "test_function"


class Fitting:
    """Models that are trained by Keras' own loop."""

    def __init__(self, steps: Steps, noting: Noting) -> None:
        self.steps = steps
        self.machine = steps.machine
        self.noting = noting
        self._unnoted = False  # the data of the fit that begins
        self._models: weakref.WeakSet[keras.Model] = weakref.WeakSet()
        self._loops = 0  # fit and evaluate, one inside of the other
        self._tags = False  # data of the one that runs with ids
        self._largest = 0  # batch that arrays were cut into
        self._epochs: weakref.WeakKeyDictionary[keras.Model, int] = weakref.WeakKeyDictionary()  # begun, by label
        self._fit: tuple[keras.Model, int | None] | None = None  # that runs, and by how much its labels are moved

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(_TRAINER, "fit", functools.partial(self._seen_loop, True))
        patches.replace(_TRAINER, "evaluate", functools.partial(self._seen_loop, False))
        patches.replace(_TRAINER, "predict", self._seen_predict)
        patches.replace(_TRAINER, "make_train_function", self._seen_make_train)
        patches.replace(_TRAINER, "make_test_function", self._seen_make_test)
        patches.replace(trainers.TFEpochIterator, "__init__", self._seen_iterator)
        patches.replace(CallbackList, "on_epoch_begin", self._seen_epoch)
        patches.replace(_TRAINER, "train_on_batch", self._seen_batch)
        patches.replace(_TRAINER, "_symbolic_build", self._seen_build)
        patches.replace(CallbackList, "on_test_begin", self._seen_test_begin)
        patches.replace(CallbackList, "on_test_end", self._seen_test_end)
        patches.add(self._release)

    def _release(self) -> None:
        """The models' own methods again."""
        for model in list(self._models):
            for name in ("train_step", "test_step"):
                vars(model).pop(name, None)
            for name in _FUNCTIONS:
                setattr(model, name, None)

    def _seen_loop(self, fits: bool, original: Callable[..., Any]) -> Callable[..., Any]:
        def loop(model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            self._watch(model)
            self.steps.end_outside()
            own = ("make_train_function", "make_test_function")  # a model's own would not know the ids
            taken = model in self._models and all(getattr(type(model), one) is getattr(_TRAINER, one) for one in own)
            tags, self._tags = self._tags, taken
            self._loops += 1
            self.steps.stating.fits = True
            outer = self._fit
            if fits:
                self._unnoted, self._fit = True, (model, None)
                self.noting.weights_of_classes(kwargs.get("class_weight"))
            try:
                return original(model, *args, **kwargs)
            finally:
                self._loops, self._tags, self._fit = self._loops - 1, tags, outer
                self.steps.stating.fits = bool(self._loops)
                if not self._loops:
                    self.steps.ring.begin_epoch(None)
                    self.steps.ring.bring_home()

        return loop

    def _seen_predict(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def predict(model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            loops, self._loops = self._loops, 0
            try:
                return original(model, *args, **kwargs)
            finally:
                self._loops = loops

        return predict

    @harmless
    def _watch(self, model: keras.Model) -> None:
        """Each step of this model that is built from now on is seen."""
        refuse_replicas(model.distribute_strategy)
        if model in self._models:
            return
        self._models.add(model)
        for name in _FUNCTIONS:
            setattr(model, name, None)
        for name in ("train_step", "test_step"):
            setattr(model, name, self._seen_step(getattr(model, name), test=name == "test_step"))

    def _seen_step(self, original: Callable[..., Any], *, test: bool) -> Callable[..., Any]:
        def step(data: Any) -> Any:
            data, ids = _without_ids(data)
            self.steps.begin(fixed=True, test=test, data=data, ids=ids)
            try:
                logs = original(data)
            except BaseException:
                self.steps.drop()
                raise
            self.steps.end()
            return logs

        return step

    def _seen_make_train(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def make_train_function(model: keras.Model, force: bool = False) -> Any:
            return self._make(original, model, force, "train_function")

        return make_train_function

    def _seen_make_test(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def make_test_function(model: keras.Model, force: bool = False) -> Any:
            return self._make(original, model, force, "test_function")

        return make_test_function

    def _make(self, original: Callable[..., Any], model: keras.Model, force: bool, name: str) -> Any:
        self._watch(model)
        self.steps.ring.machine.evidence = FIT
        if getattr(model, name) is not None and not force:
            return original(model, force)
        original(model, force)
        trains = name == "train_function"
        setattr(model, name, self._counting(getattr(model, name), model.steps_per_execution, trains=trains))
        return getattr(model, name)

    def _counting(self, function: Callable[[Any], Any], steps: int, *, trains: bool) -> Callable[[Any], Any]:
        """A training function, before which rows come home in time."""

        def counted(iterator: Any) -> Any:
            self.steps.ring.count(steps * (32 + 7 * self._largest))
            if not (self.steps.stating.on and trains):
                return function(iterator)
            self.steps.stating.pause(by_fit=True)
            self.steps.stating.begins(self._fit[0] if self._fit is not None else None)
            returned = function(iterator)
            self.steps.stating.ends()
            return returned

        return counted

    @contextlib.contextmanager
    def _with_ids(self) -> Iterator[None]:
        given = ArrayDataAdapter.get_tf_dataset

        def with_ids(adapter: Any) -> Any:
            adapter._inputs = dict(zip(_OURS, (adapter._inputs, np.arange(adapter._num_samples)), strict=True))
            return given(adapter)

        ArrayDataAdapter.get_tf_dataset = with_ids
        try:
            yield
        finally:
            ArrayDataAdapter.get_tf_dataset = given

    def _seen_iterator(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(iterator: Any, *args: Any, **kwargs: Any) -> None:
            with self._with_ids() if self._loops and self._tags else contextlib.nullcontext():  # not of a prediction
                original(iterator, *args, **kwargs)
            unnoted, self._unnoted = self._unnoted, False
            if unnoted:
                self._look_at(iterator)

        return init

    @harmless
    def _look_at(self, iterator: Any) -> None:
        """At what a fit draws batches from."""
        size = iterator.data_adapter.batch_size  # in arrays, and in data sets of one known size
        self.steps.bounded = bool(size) and 7 * size * (iterator.steps_per_execution or 1) < CAPACITY // 4
        self._largest = max(self._largest, size or 0)
        self.noting.loader(_loader(iterator.data_adapter, iterator.steps_per_epoch))

    def _seen_epoch(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def on_epoch_begin(callbacks: Any, epoch: int, logs: Any = None) -> Any:
            returned = original(callbacks, epoch, logs)
            for callback in callbacks.callbacks:
                self.noting.callback(callback)
            self._begin_epoch(epoch)
            return returned

        return on_epoch_begin

    @harmless
    def _begin_epoch(self, epoch: int) -> None:
        """A model that is fitted again counts on, unless its call says itself that it does."""
        if self._fit is not None:
            model, moved = self._fit
            moved = max(0, self._epochs.get(model, 0) - epoch) if moved is None else moved
            epoch += moved
            self._fit, self._epochs[model] = (model, moved), epoch + 1
        self.steps.ring.begin_epoch(epoch)

    def _seen_build(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _symbolic_build(model: keras.Model, iterator: Any = None, data_batch: Any = None) -> Any:
            return original(model, iterator, _without_ids(data_batch)[0])

        return _symbolic_build

    def _seen_batch(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def train_on_batch(model: keras.Model, x: Any, *args: Any, **kwargs: Any) -> Any:
            self.steps.end_outside()
            self._largest = max([self._largest, *(int(one.shape[0]) for one in with_rows(x))])
            return original(model, x, *args, **kwargs)

        return train_on_batch

    def _seen_test_begin(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def on_test_begin(callbacks: Any, logs: Any = None) -> Any:
            self.steps.ring.bring_home()
            self.steps.ring.tested.clear()  # of single batches
            return original(callbacks, logs)

        return on_test_begin

    def _seen_test_end(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def on_test_end(callbacks: Any, logs: Any = None) -> Any:
            self._validated(logs or {})
            return original(callbacks, logs)

        return on_test_end

    @harmless
    def _validated(self, logs: dict[str, Any]) -> None:
        """An evaluation has ended; without a training it is none's."""
        ring = self.steps.ring
        ring.bring_home()
        rows, ring.tested = ring.tested, []
        if not ring.machine.begun or "loss" not in logs:
            return
        accuracy = next((value for name, value in logs.items() if "accuracy" in name or name == "acc"), None)
        sizes = [row.size for row in rows]
        known = rows and all(row.ids is not None for row in rows)
        ring.machine.recorder.validation(
            loss=logs["loss"],
            accuracy=accuracy,
            ids=np.concatenate([row.ids for row in rows]) if known else None,
            batch_sizes=np.array(sizes) if rows and None not in sizes else None,
            training=False,  # as Keras evaluates
        )


def _without_ids(data: Any) -> tuple[Any, Any]:
    """A batch as the script made it, and the ids that it took along, if it did."""
    if isinstance(data, dict) and tuple(sorted(data)) == tuple(sorted(_OURS)):
        return data[_OURS[0]], data[_OURS[1]]
    return data, None


def _loader(adapter: Any, steps: int | None) -> dict[str, Any]:
    """How a training draws batches."""
    if isinstance(adapter, ArrayDataAdapter):
        found = settings.arrays(adapter)
    elif isinstance(adapter, TFDatasetAdapter):
        found = settings.pipeline(adapter._dataset)
    elif isinstance(adapter, PyDatasetAdapter):
        data = adapter.py_dataset
        found = {"class": type(data).__name__, "shuffle": bool(adapter.shuffle), "workers": int(data.workers)}
    else:
        found = {"class": type(adapter).__name__.removesuffix("DataAdapter").lower()}
    return found if steps is None else {**found, "steps_per_epoch": int(steps)}

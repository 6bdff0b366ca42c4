"""The loop ``block``: many steps in each call of one tf.function.

tf.data delivers a block's samples, the graph cuts its batches.

The samples of a block stand in the order in which its batches take them, of one pass or of several, so that the graph
needs only the batches' sizes to cut features, targets and ids alike. What the plan's policies say of each step comes
beside them. What the steps do is kept in the graph until the block is over, and comes home once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan
from xframe.precision import storage
from xframe.recording.recorder import Recorder
from xframe.running.checkpoints import NONE, Checkpoints
from xframe.running.drive import Seen
from xframe.running.runtime import Runtime
from xframe.running.steering import Course, Position, WalkState, Window, WindowState, pass_indices, walk
from xframe.running.training import Training
from xframe.tasks.task import Task
from xframe_tensorflow.loops.function import FunctionStep
from xframe_tensorflow.pipeline import MOST_BYTES, ahead, gathered

_FEWEST, _MOST = 16, 1024  # steps in a block: more and more, while blocks are short
_SHORT, _LONG = 0.25, 1.0  # seconds: rows should reach the trace every second or so


class Due(NamedTuple):
    """What a step is to do, as whole numbers. ``divisor`` is 0 if no update is due."""

    size: int
    epoch: int
    step_in_epoch: int
    padding: int
    fresh: int
    weight: int
    divisor: int
    validates: int


class Stand(NamedTuple):
    """Where the run stands after a block, and its last learning rate."""

    walk: WalkState
    window: WindowState
    counted: int
    rate: float


class Blocks(Training):
    """Trains block by block; iterates over the rows for the recorder, and whether to validate after them.

    Whether to validate is asked of each step in turn, and where each block ends is noted, while earlier ones are made.
    """

    train_step: FunctionStep

    def __init__(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, train_step: FunctionStep, course: Course
    ) -> None:
        super().__init__(train_step, course)
        self.plan, self.rule, self.checkpoints = plan, task.optimizer, NONE
        self.ends = deque[Stand]()  # of the blocks that are planned
        self.end: Stand | None = None  # of the last block made
        samples = task.samples(runtime.precision)
        self.num_samples, self.order = len(samples), plan.sample_order(len(samples))
        self.most_rows = MOST_BYTES // max(1, samples.take(np.zeros(1, np.int64))[0].nbytes)
        self.most_steps = _FEWEST
        signature = (
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None, len(Due._fields)], tf.int64),
            tf.TensorSpec([None], storage(runtime.precision)),
        )
        # The generator runs in a thread of tf.data's, while the graph is at an earlier block.
        rows = tf.data.Dataset.from_generator(self.planned, output_signature=signature)
        self.dataset = ahead(gathered(rows, samples, runtime))
        self.trained = tf.function(self.train, input_signature=self.dataset.element_spec, autograph=False)
        # Variables to write to cost a step less than TensorArrays do.
        floats = storage(runtime.precision)
        kinds = {"updates": "int64", "loss": floats, "learning_rate": floats}
        kinds |= {"accuracy": "float64"} if train_step.measures_accuracy else {}
        kinds |= {"update_attempts": "int64"} if train_step.updates.attempts is not None else {}
        self.log = {name: tf.Variable(tf.zeros([_MOST], kind), trainable=False) for name, kind in kinds.items()}

    def train_all(self, recorder: Recorder, checkpoints: Checkpoints) -> dict[str, NDArray[Any]]:
        """Trains to the end, or to where it is to stop; returns the weights there."""
        self.checkpoints, course = checkpoints, self.course
        if checkpoints.begins is not None:
            self.resume(checkpoints.begins)
        for seen, validates in () if self.state().over else self:
            recorder.block(**seen)
            if (validates and course.check()) or self.train_step.window.over:
                break
            if self.train_step.window.steps == checkpoints.due:
                checkpoints.take(self.export)
                if checkpoints.stopped:
                    return course.final()
        checkpoints.end(self.export)
        return course.final()

    def state(self) -> Position:
        """Where the run stands after the last block made; the course has been asked of later ones."""
        position = super().state()
        if self.end is None:
            return position
        return replace(position, walk=self.end.walk, course=replace(position.course, counted=self.end.counted))

    def __iter__(self) -> Iterator[tuple[dict[str, Any], bool]]:
        for samples, due, rates in self.dataset:
            began = time.monotonic()
            ids, log = self.trained(samples, due, rates)
            seen = {name: values.numpy() for name, values in log.items()}  # waits until the block is trained
            self.end = self.ends.popleft()
            self.train_step.window.restore(self.end.window)
            self.train_step.rate = self.end.rate
            took = time.monotonic() - began
            if took < _SHORT:
                self.most_steps = min(2 * self.most_steps, _MOST)
            elif took > _LONG:
                self.most_steps = max(self.most_steps // 2, 1)
            columns: Any = Due(*due.numpy().T)
            labels = {name: getattr(columns, name) for name in ("epoch", "step_in_epoch", "padding")}
            seen["lr"] = seen.pop("learning_rate")
            yield {"ids": ids.numpy(), "batch_sizes": columns.size, **labels, **seen}, bool(columns.validates[-1])

    def planned(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], list[float]]]:
        """Each block's ids, what its steps are to do, and at which rates."""
        window, keeps = Window(self.plan), self.checkpoints.due_after
        window.restore(self.train_step.window.state())
        ending = keeps(window.steps)
        batches: list[NDArray[np.int64]] = []
        steps: list[Due] = []
        rates: list[float] = []
        rows = 0
        begin = batches_of_ids(self.plan, self.order)
        for place, (ids,) in walk(self.plan, self.num_samples, begin, self.begins):
            size = len(ids)
            rates.append(self.rule.rate(window.tick(place)))
            fresh, weight, divisor = window.fresh, window.weight(size), window.close(place, size)
            validates = self.course.due(place, window)
            steps.append(
                Due(size, place.epoch, place.step_in_epoch, place.padding, fresh, weight, divisor or 0, validates)
            )
            batches.append(ids)
            rows += size
            kept = window.steps == ending
            if kept or validates or window.over or len(steps) >= self.most_steps or rows + size > self.most_rows:
                ending = keeps(window.steps)
                self.ends.append(Stand(place.state(), window.state(), self.course.counted, rates[-1]))
                yield np.concatenate(batches), np.array(steps, np.int64), rates
                batches, steps, rates, rows = [], [], [], 0
            if window.over:
                return

    def train(
        self, samples: tuple[tf.Tensor, ...], due: tf.Tensor, rates: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The block's steps, in graph; returns the ids that stood beside the data, and the log."""
        with tf.device("/CPU:0"):  # where control flow is decided; on a GPU, each look would wait for all before it
            columns: Any = Due(*tf.unstack(due, axis=1))
        steps = tf.shape(due)[0]
        cut = [
            tf.TensorArray(values.dtype, steps, element_shape=[None, *values.shape[1:]], infer_shape=False).split(
                values, columns.size
            )
            for values in samples
        ]

        def body(i: tf.Tensor, used: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            features, targets, ids = (values.read(i) for values in cut)
            rate = rates[i] if self.rule.scheduled else None
            seen = self.step(features, targets, ids, rate, columns, i)
            for name, log in self.log.items():
                log.scatter_update(tf.IndexedSlices(getattr(seen, name), i))
            return i + 1, used.write(i, seen.ids)

        used = tf.TensorArray(tf.int64, steps, element_shape=[None], infer_shape=False)
        _, used = tf.while_loop(lambda i, _: i < steps, body, (0, used))
        return used.concat(), {name: log[:steps] for name, log in self.log.items()}

    def step(self, features: Any, targets: Any, ids: Any, rate: Any, columns: Any, i: tf.Tensor) -> Seen:
        """One step of the block, with its update if that is due."""
        step = self.train_step
        if not step.accumulates:
            return step.step(features, targets, ids, rate)
        with tf.device("/CPU:0"):
            fresh, weight, divisor = columns.fresh[i] > 0, columns.weight[i], columns.divisor[i]
            due = divisor > 0
        seen = step.add(features, targets, ids, rate, weight, fresh)
        updates, attempts = tf.cond(due, lambda: step.apply(divisor), step.leave)
        return seen._replace(updates=updates, update_attempts=attempts)


def batches_of_ids(plan: TrainingPlan, order: Order) -> Callable[[int, int], Iterator[tuple[NDArray[np.int64]]]]:
    """Of a pass and an offset in it, the ids of each batch from there on, by the plan's remainder policy."""

    def begin(first_pass: int, offset: int) -> Iterator[tuple[NDArray[np.int64]]]:
        size = plan.batch_size
        rest = np.zeros(0, dtype=np.int64)
        for pass_index in pass_indices(plan, first_pass):
            ids = order.ids(pass_index)
            stream, offset = np.concatenate([rest, ids[offset:]]), 0
            whole = len(stream) - len(stream) % size
            for start in range(0, whole, size):
                yield (stream[start : start + size],)
            rest = stream[whole:]
            if plan.remainder == "pad" and len(rest):
                rest = np.concatenate([rest, np.resize(ids, size - len(rest))])
            if plan.remainder not in ("drop", "carry") and len(rest):
                yield (rest,)
            if plan.remainder != "carry":
                rest = rest[:0]
        if len(rest):
            yield (rest,)

    return begin

"""How trainers count, as plans.

``TrainingPlan.like(trainer, num_samples=…, …)`` takes a trainer's own arguments, by its own names, and
returns the plan that makes the same steps and updates. Where its maximum counts updates, so does the
plan. What it does that no plan expresses is refused by name. Sample order is the plan's own (``order``,
``seed``, ``reshuffle`` may be given): each trainer shuffles with a generator of its own.

Each preset says what it rests on. *ran*: ``make trainers`` runs the installed trainer on random
configurations and compares sample ids, update positions and every update's gradient, step by step.
*read*: the source of the version named. All are of one process on one device.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xframe.errors import UsageError, Verbatim, did_you_mean, unknown
from xframe.plan.training_plan import LARGEST, TrainingPlan, sample_count

Fields = dict[str, Any]
_ORDER = ("order", "seed", "reshuffle")


@dataclass(frozen=True, slots=True)
class Preset:
    """A trainer as this module knows it.

    Attributes:
        make: its arguments → fields of the plan.
        trainer: its name and version as tested.
        evidence: ``ran`` or ``read``.
        names: by field of a plan, what the trainer calls it, for asking several trainers one question.
        missing: by field of a plan, why it has none.
        drop: the arguments that drop a short last batch.
        switches: arguments that change how it counts, by the words that recommend them.
    """

    make: Callable[..., Fields]
    trainer: str
    evidence: Literal["ran", "read"]
    names: Mapping[str, str]
    missing: Mapping[str, str]
    drop: Mapping[str, Any]
    switches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def like(trainer: str, *, num_samples: int, **arguments: Any) -> TrainingPlan:
    """The plan that counts as that trainer does.

    Args:
        trainer: one of ``PRESETS``.
        num_samples: size of the data set.
        arguments: the trainer's own, by its own names; see the function of its name below. A plan's name
            for the same thing will do, as ``epochs`` for Lightning's ``max_epochs``. Besides them ``order``,
            ``seed`` and ``reshuffle``, as in a plan.

    Raises:
        UsageError: no such trainer or argument, or something that no plan expresses.
    """
    if trainer not in PRESETS:
        raise unknown("trainer", str(trainer), PRESETS)
    preset = PRESETS[trainer]
    ordering = {name: arguments.pop(name) for name in _ORDER if name in arguments}
    known = [name for name in inspect.signature(preset.make).parameters if name != "num_samples"]
    for name, own in preset.names.items():
        if name in arguments and name not in known:
            if own in arguments:
                raise UsageError(f"{trainer} with both {name} and {own}", got=arguments[name], expected=f"{own} alone")
            arguments[own] = arguments.pop(name)
    for name in arguments:
        if name not in known:
            raise UsageError(
                f"{trainer} has no argument {name!r} here",
                got=arguments[name],
                expected="one of " + ", ".join(known),
                remedy=preset.missing.get(name) or did_you_mean(name, known),
            )
    for name, parameter in inspect.signature(preset.make).parameters.items():
        if parameter.default is parameter.empty and name not in (*arguments, "num_samples"):
            raise UsageError(f"{trainer} needs {name}", expected=f"{name} = 32, for example")
    fields = preset.make(num_samples=sample_count(num_samples), **arguments)
    return TrainingPlan.from_mapping(
        {name: value for name, value in {**fields, **ordering}.items() if value is not None}
    )


def asked(trainer: str, num_samples: int, question: Mapping[str, Any], **switches: Any) -> TrainingPlan:
    """The trainer's plan for a question put in a plan's words: batch_size, limits, remainder, steps_per_epoch, …

    Raises:
        UsageError: as ``like``; also where the trainer has no such thing.
    """
    if trainer not in PRESETS:
        raise unknown("trainer", str(trainer), PRESETS)
    preset, arguments = PRESETS[trainer], dict(switches)
    for name, value in question.items():
        if name in _ORDER:
            arguments[name] = value
        elif name == "remainder":
            if value not in ("keep", "drop"):
                raise UsageError(f"{trainer} with remainder {value!r}", got=value, expected="keep or drop")
            arguments |= preset.drop if value == "drop" else {}
        elif name in preset.names:
            arguments[preset.names[name]] = value
        else:
            can = [field for field in (*preset.names, "remainder") if field != name]
            raise UsageError(
                f"{trainer} has no {name}", got=value, expected=", ".join(can), remedy=preset.missing.get(name)
            )
    return like(trainer, num_samples=num_samples, **arguments)


# Arguments


def _count(name: str, value: Any, *, remedy: str = "") -> int:
    """A whole number from 1 up."""
    number = value.__index__() if hasattr(value, "__index__") and not isinstance(value, bool) else value
    if type(number) is not int or not 1 <= number <= LARGEST:
        raise UsageError(
            f"the argument {name}",
            got=Verbatim("None") if value is None else value,
            expected=f"an integer from 1 to {LARGEST}",
            remedy=remedy or None,
        )
    return number


def _maybe(name: str, value: Any) -> int | None:
    """The same, or None."""
    return None if value is None else _count(name, value)


def _choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown(f"{name}", str(value), known)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"the argument {name}", got=value, expected="True or False")
    return value


def _windows(steps: Any, **policy: str) -> Fields:
    """A plan's fields of accumulation, where there is any."""
    return {} if steps in (None, 1) else {"gradient_accumulation_steps": steps, **policy}


def _epochs(steps: int | None, iterator: str, exhaustion: str | None) -> Fields:
    """A plan's fields of epochs that are not passes, if they are not."""
    if steps is None:
        return {}
    return {"steps_per_epoch": steps, "epoch_iterator": iterator, "on_exhaustion": exhaustion}


def _of(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _batches(num_samples: int, batch_size: int, drop: bool) -> int:
    """Batches of a pass.

    Raises:
        UsageError: there is none.
    """
    full, rest = divmod(num_samples, batch_size)
    if drop and not full:
        raise UsageError(
            "the data loader is empty: without its short last batch no batch is left",
            got=num_samples,
            expected=f"at least {batch_size:,} samples",
        )
    return full if drop else full + (rest > 0)


def _remainder(drop: bool) -> Fields:
    return {"remainder": "drop" if drop else "keep"}


# Trainers, by their names in PRESETS


_KERAS_DATA = ("arrays", "dataset", "batch-repeat", "repeat-batch")
_KERAS_REFUSED = {
    "unknown": (
        "a tf.data of unknown cardinality: fit notices its end only by a step that fails, which makes empty epochs, "
        "and counts in optimizer.iterations",
        "Add .apply(tf.data.experimental.assert_cardinality(n)).",
    ),
    "repeat": (
        "a tf.data repeated a finite number of times: its epochs are neither passes nor endless",
        "Use .repeat() with steps_per_epoch, or no repeat.",
    ),
    "generator": (
        "a Python generator: passes after the first replay its first batches only",
        "Use a tf.data.Dataset or arrays.",
    ),
}


def keras(
    *,
    num_samples: int,
    batch_size: int | None = None,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
    steps_per_execution: int = 1,
    gradient_accumulation_steps: int | None = None,
    data: Literal["arrays", "dataset", "batch-repeat", "repeat-batch"] = "arrays",
    drop_remainder: bool = False,
) -> Fields:
    """``keras.Model.fit`` of Keras 3 on TensorFlow. *ran* with keras 3.15.1.

    There is no limit of steps or updates. With ``steps_per_epoch`` the pass goes on in the next epoch, and where it
    is over, the epoch ends early. Accumulation is the optimizer's: windows go on over epochs, what is left at the
    end is never applied, and the gradient is divided by ``gradient_accumulation_steps``. With ``steps_per_execution``
    an epoch is rounded up to whole executions, as far as the data reaches; without ``steps_per_epoch`` it changes
    nothing. ``data`` is how it is given: ``arrays`` (also a PyDataset without workers, a DataLoader), ``dataset``
    (a batched tf.data of known cardinality), ``batch-repeat`` and ``repeat-batch`` (endless ones; where ``repeat``
    comes first, batches straddle passes).

    Source: keras/src/trainers/epoch_iterator.py, backend/tensorflow/trainer.py, optimizers/base_optimizer.py.
    """
    b, s, per_execution, drop = _keras(
        "keras", num_samples, batch_size, steps_per_epoch, steps_per_execution, data, drop_remainder
    )
    if s is not None:
        s = -(-s // per_execution) * per_execution
    return {
        "batch_size": b,
        "remainder": "carry" if data == "repeat-batch" else "drop" if drop else "keep",
        "epochs": _count("epochs", epochs),
        **_epochs(s, "continue", {"batch-repeat": "repeat", "repeat-batch": None}.get(data, "short_epoch")),
        **_windows(
            _maybe("gradient_accumulation_steps", gradient_accumulation_steps),
            accumulation_remainder="carry",
            accumulation_at_end="drop",
            loss_normalization="window",
        ),
    }


def keras2(
    *,
    num_samples: int,
    batch_size: int | None = None,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
    steps_per_execution: int = 1,
    data: Literal["arrays", "dataset", "batch-repeat", "repeat-batch"] = "arrays",
    drop_remainder: bool = False,
) -> Fields:
    """``tf.keras.Model.fit`` of Keras 2. *ran* with tf_keras 2.21.0.

    It accumulates no gradients and has no limit of steps or updates. With ``steps_per_epoch``, arrays are walked
    through ``epochs`` times and no more; a tf.data goes on in the next epoch, and training stops where the data ends,
    unless ``steps_per_epoch`` is just its cardinality: then each epoch restarts it. ``data`` is as for ``keras``.

    Source: tf_keras/src/engine/data_adapter.py (``DataHandler``) and training.py.
    """
    b, s, per_execution, drop = _keras(
        "keras2", num_samples, batch_size, steps_per_epoch, steps_per_execution, data, drop_remainder
    )
    batches, steps, epochs = _batches(num_samples, b, drop), None, _count("epochs", epochs)
    iterator, exhaustion = "continue", None if data == "repeat-batch" else "repeat"
    if data == "arrays" and s is not None:
        steps = epochs * batches
    elif data == "dataset" and s is not None:
        iterator, exhaustion = ("restart", "repeat") if s == batches else ("continue", "stop")
    there = {"arrays": epochs * batches, "dataset": batches}.get(data)
    if (
        s is not None
        and there is not None
        and there < min(per_execution, s)
        and not (data == "dataset" and s == batches)
    ):
        raise UsageError(
            "keras2 with data that ends inside the first execution, after which fit raises an error",
            got=Verbatim(f"{_of(there, 'batch', 'batches')}, steps_per_execution={per_execution}"),
            expected="data for one execution at least",
        )
    return {
        "batch_size": b,
        "remainder": "carry" if data == "repeat-batch" else "drop" if drop else "keep",
        "epochs": epochs,
        "steps": steps,
        **_epochs(s, iterator, exhaustion),
    }


def _keras(
    name: str, num_samples: int, batch_size: Any, steps_per_epoch: Any, steps_per_execution: Any, data: str, drop: Any
) -> tuple[int, int | None, int, bool]:
    """The arguments that both generations share: batch size, steps per epoch and per execution, drop_remainder."""
    if data in _KERAS_REFUSED:
        what, remedy = _KERAS_REFUSED[data]
        raise UsageError(
            f"{name} with {what}; no plan expresses that",
            got=data,
            expected="one of " + ", ".join(_KERAS_DATA),
            remedy=remedy,
        )
    _choice("data", data, _KERAS_DATA)
    s = _maybe("steps_per_epoch", steps_per_epoch)
    default = 32 if s is None or data != "arrays" else -(-num_samples // s)
    b = default if batch_size is None else _count("batch_size", batch_size)
    if _flag("drop_remainder", drop) and data in ("arrays", "repeat-batch"):
        raise UsageError(
            f"{name} with drop_remainder on {data}",
            got=True,
            expected="data='dataset' or 'batch-repeat', the only ones with a short batch to drop",
        )
    if s is None and "repeat" in data:
        raise UsageError(f"{name} without end", got=data, expected="steps_per_epoch, for the data is endless")
    if data != "repeat-batch":
        _batches(num_samples, b, drop)
    return b, s, _count("steps_per_execution", steps_per_execution), drop


def lightning(
    *,
    num_samples: int,
    batch_size: int,
    max_epochs: int | None = None,
    max_steps: int = -1,
    accumulate_grad_batches: int = 1,
    limit_train_batches: float | None = None,
    drop_last: bool = False,
    data: Literal["loader", "iterable"] = "loader",
) -> Fields:
    """``lightning.Trainer.fit`` over a DataLoader. *ran* with lightning 2.6.6.

    ``max_steps`` counts updates, so the plan's limit is ``updates``; without it and ``max_epochs``, 1,000 epochs.
    Windows are cut at each epoch's end, which updates with what is there; the gradient is divided by
    ``accumulate_grad_batches`` all the same. Each epoch restarts the loader; a ``limit_train_batches`` beyond the
    loader's length changes nothing, a float is a share of the loader's batches, rounded down. ``data`` is
    ``iterable`` for a data set without a length: Lightning then does not see the end that a larger limit leaves
    to the data, and drops the window.

    Source: lightning/pytorch/loops/training_epoch_loop.py, fit_loop.py, utilities.py, fetchers.py.
    """
    b, drop = _count("batch_size", batch_size), _flag("drop_last", drop_last)
    k = _count("accumulate_grad_batches", accumulate_grad_batches)
    _choice("data", data, ("loader", "iterable"))
    batches, s, remainder = _batches(num_samples, b, drop), None, "flush"
    limit = limit_train_batches
    if isinstance(limit, float) and limit != 1.0 and not (1 < limit < math.inf and limit == int(limit)):
        if not 0 < limit < 1:
            raise UsageError("the argument limit_train_batches", got=limit, expected="a count, or a share from 0 to 1")
        if data == "iterable" or int(batches * limit) == 0:
            raise UsageError(
                "limit_train_batches as a share leaves no batch"
                if data == "loader"
                else "limit_train_batches as a share of an iterable",
                got=limit,
                expected="a count"
                if data == "iterable"
                else f"a share of the {_of(batches, 'batch', 'batches')} that is at least one, or a count",
            )
        s = int(batches * limit)
    elif limit is not None and not (isinstance(limit, float) and limit == 1):
        s = _count("limit_train_batches", int(limit) if isinstance(limit, float) else limit)
        if s > batches and data == "iterable":
            remainder = "drop"
    updates = None if max_steps == -1 else _count("max_steps", max_steps, remedy="-1 stands for no limit.")
    epochs = None if max_epochs in (None, -1) else _count("max_epochs", max_epochs, remedy="-1 stands for no limit.")
    if epochs is None and updates is None:
        if max_epochs == -1:
            raise UsageError("lightning without end", got=Verbatim("max_epochs=-1, max_steps=-1"), expected="a limit")
        epochs = 1000
    return {
        "batch_size": b,
        **_remainder(drop),
        "epochs": epochs,
        "updates": updates,
        **_epochs(s, "restart", "short_epoch"),
        **_windows(k, accumulation_boundary="epoch", accumulation_remainder=remainder, loss_normalization="window"),
    }


def transformers(
    *,
    num_samples: int,
    per_device_train_batch_size: int = 8,
    num_train_epochs: float = 3.0,
    max_steps: int = -1,
    gradient_accumulation_steps: int = 1,
    dataloader_drop_last: bool = False,
    num_items_in_batch: bool = False,
    data: Literal["map", "iterable"] = "map",
) -> Fields:
    """``transformers.Trainer.train`` in one process on one device. *ran* with transformers 5.23.0.

    ``max_steps`` counts updates and overrides ``num_train_epochs``, a fraction of which is turned into updates.
    Windows are cut at each epoch's end, which updates with what is there, divided by the steps present.
    ``num_items_in_batch`` stands for a model whose loss is divided by that argument: with as many labels in every
    row, a mean over the rows of the window. ``data`` is ``iterable`` for a data set without a length: it needs
    ``max_steps``, keeps its last batch whatever ``dataloader_drop_last`` says, and leaks what is left of a window
    at its end, each part with a divisor of its own, which no plan expresses.

    Source: transformers/trainer.py (``set_initial_training_values``, ``_inner_training_loop``, ``get_batch_samples``).
    """
    b, drop = (
        _count("per_device_train_batch_size", per_device_train_batch_size),
        _flag("dataloader_drop_last", dataloader_drop_last),
    )
    samples = _flag("num_items_in_batch", num_items_in_batch)
    k = _count("gradient_accumulation_steps", gradient_accumulation_steps)
    _choice("data", data, ("map", "iterable"))
    drop = drop and data == "map"
    batches = _batches(num_samples, b, drop)
    updates = None
    if max_steps != 0 and type(max_steps) is int and max_steps < 0:
        if data == "iterable":
            raise UsageError("transformers on an iterable without max_steps", got=max_steps, expected="max_steps > 0")
        epochs = num_train_epochs
        if isinstance(epochs, bool) or not isinstance(epochs, (int, float)) or not 0 < epochs < math.inf:
            raise UsageError("the argument num_train_epochs", got=epochs, expected="a number above 0")
        if epochs != int(epochs):
            updates = math.ceil(epochs * -(-batches // k))
        limit: Fields = {"epochs": int(epochs)} if updates is None else {"updates": updates}
    else:
        limit = {"updates": _count("max_steps", max_steps, remedy="-1 stands for num_train_epochs.")}
        if data == "iterable" and batches % k and limit["updates"] > batches // k:
            raise UsageError(
                "transformers on an iterable that ends inside a window, whose gradients leak with a divisor of their "
                "own: no plan expresses that",
                got=Verbatim(f"{batches:,} batches, gradient_accumulation_steps={k:,}"),
                expected=f"gradient_accumulation_steps that divides {batches:,}, or max_steps up to {batches // k:,}",
            )
    return {
        "batch_size": b,
        **_remainder(drop),
        **limit,
        **_windows(
            k,
            accumulation_boundary="epoch",
            accumulation_remainder="flush",
            loss_normalization="samples" if samples else "actual",
        ),
    }


def accelerate(
    *,
    num_samples: int,
    batch_size: int,
    num_epochs: int | None = None,
    gradient_accumulation_steps: int = 1,
    sync_with_dataloader: bool = True,
    drop_last: bool = False,
    steps_per_epoch: int | None = None,
    max_train_steps: int | None = None,
) -> Fields:
    """A loop with ``accelerator.accumulate`` over a prepared DataLoader. *ran* with accelerate 1.15.0, one process.

    A window is cut when the loader ends, which updates with what is there, divided by
    ``gradient_accumulation_steps`` all the same; with ``sync_with_dataloader=False`` it goes on into the next epoch.
    ``steps_per_epoch`` is where the script leaves the loop over batches, by ``break`` or ``islice``: an abandoned
    loader cuts nothing. ``max_train_steps`` counts updates, as in the examples: without ``num_epochs`` the script
    works out how many epochs that takes; with it, only the loop over batches breaks, and a plan can say that only
    if no epoch is left to begin after.

    Source: accelerate/accelerator.py (``_do_sync``, ``backward``) and data_loader.py (``DataLoaderShard``).
    """
    b, drop = _count("batch_size", batch_size), _flag("drop_last", drop_last)
    _flag("sync_with_dataloader", sync_with_dataloader)
    k, s = (
        _count("gradient_accumulation_steps", gradient_accumulation_steps),
        _maybe("steps_per_epoch", steps_per_epoch),
    )
    epochs, updates = _maybe("num_epochs", num_epochs), _maybe("max_train_steps", max_train_steps)
    batches = _batches(num_samples, b, drop)
    if epochs is None and updates is None:
        raise UsageError("accelerate needs num_epochs or max_train_steps", expected="at least one of them")
    if updates is not None and s is not None:
        raise UsageError(
            "accelerate with both steps_per_epoch and max_train_steps",
            got=Verbatim(f"steps_per_epoch={s}, max_train_steps={updates}"),
            expected="one of them: scripts with both count in ways of their own",
        )
    if updates is not None and epochs is not None:
        before = (epochs - 1) * -(-batches // k) if sync_with_dataloader else (epochs - 1) * batches // k
        if before >= updates:
            raise UsageError(
                "accelerate with epochs left to begin after max_train_steps, which no plan expresses: "
                "each of them still makes a step, since only the loop over batches breaks",
                got=Verbatim(f"num_epochs={epochs}, max_train_steps={updates}"),
                expected=f"max_train_steps beyond the {before:,} updates of the first {epochs - 1:,} epochs",
                remedy="Leave out num_epochs, as the examples work it out, or break from both loops.",
            )
    elif updates is not None and not sync_with_dataloader:
        epochs = -(-updates // -(-batches // k))
    return {
        "batch_size": b,
        **_remainder(drop),
        "epochs": epochs,
        "updates": updates,
        **_epochs(s, "restart", "short_epoch"),
        **_windows(
            k,
            accumulation_boundary="pass",
            accumulation_remainder="flush" if sync_with_dataloader else "carry",
            loss_normalization="window",
        ),
    }


def ignite(
    *,
    num_samples: int,
    batch_size: int,
    max_epochs: int | None = None,
    max_iters: int | None = None,
    epoch_length: int | None = None,
    gradient_accumulation_steps: int = 1,
    drop_last: bool = False,
) -> Fields:
    """``create_supervised_trainer(...).run`` over a DataLoader. *ran* with pytorch-ignite 0.5.5.

    ``max_iters`` counts steps and excludes ``max_epochs``; with neither, one epoch. An ``epoch_length`` other than
    the loader's does not restart it: the pass goes on in the next epoch, or the next pass begins. Windows are
    counted over the whole run: they go on over epochs, and what is left at the end is never applied.

    Source: ignite/engine/engine.py (``run``, ``_run_once_on_dataset_as_gen``) and ignite/engine/__init__.py.
    """
    b, drop = _count("batch_size", batch_size), _flag("drop_last", drop_last)
    k, s = _count("gradient_accumulation_steps", gradient_accumulation_steps), _maybe("epoch_length", epoch_length)
    epochs, steps = _maybe("max_epochs", max_epochs), _maybe("max_iters", max_iters)
    _batches(num_samples, b, drop)
    if epochs is not None and steps is not None:
        raise UsageError(
            "ignite with both max_epochs and max_iters",
            got=Verbatim(f"max_epochs={epochs}, max_iters={steps}"),
            expected="at most one of them, which is all that Engine.run takes",
        )
    return {
        "batch_size": b,
        **_remainder(drop),
        "epochs": 1 if steps is None and epochs is None else epochs,
        "steps": steps,
        **_epochs(s, "continue", "repeat"),
        **_windows(k, accumulation_remainder="carry", accumulation_at_end="drop", loss_normalization="window"),
    }


def optax(
    *,
    num_samples: int,
    batch_size: int,
    num_epochs: int,
    every_k_schedule: int = 1,
    use_grad_mean: bool = True,
    drop_remainder: bool = False,
) -> Fields:
    """A loop over batches with ``optax.MultiSteps``. *ran* with optax 0.2.8 on jax 0.10.2.

    Windows go on over epochs, and what is left at the end is never applied. The gradient is the mean of a window's
    gradients, or with ``use_grad_mean=False`` their sum.

    Source: optax/transforms/_accumulation.py.
    """
    b, drop = _count("batch_size", batch_size), _flag("drop_remainder", drop_remainder)
    _flag("use_grad_mean", use_grad_mean)
    _batches(num_samples, b, drop)
    return {
        "batch_size": b,
        **_remainder(drop),
        "epochs": _count("num_epochs", num_epochs),
        **_windows(
            _count("every_k_schedule", every_k_schedule),
            accumulation_remainder="carry",
            accumulation_at_end="drop",
            loss_normalization="window" if use_grad_mean else "sum",
        ),
    }


def pytorch(
    *,
    num_samples: int,
    batch_size: int = 1,
    epochs: int,
    gradient_accumulation_steps: int = 1,
    leftover: Literal["flush", "zero", "carry", "leak"] = "leak",
    normalization: Literal["window", "sum"] = "window",
    drop_last: bool = False,
    max_steps: int | None = None,
) -> Fields:
    """The tutorials' loop over a DataLoader. *ran* with torch 2.13.0.

    ``leftover`` says how the script treats steps that fill no window at the end of an epoch. ``flush``: it updates at
    the loader's last batch too. ``zero``: it zeroes the gradients as each epoch begins. ``carry``: it counts over
    epochs. ``leak``: ``if (i + 1) % k == 0: optimizer.step(); optimizer.zero_grad()``, the shortest and so the most
    common: the count starts anew and the gradients stay, to enter the next epoch's first update. ``normalization``
    is ``window`` where the loss is divided by k before ``backward``. ``max_steps`` counts batches.

    Source: torch/utils/data/dataloader.py; the loops are tests/trainers/torch_loop.py.
    """
    b, drop = _count("batch_size", batch_size), _flag("drop_last", drop_last)
    _choice("leftover", leftover, ("flush", "zero", "carry", "leak"))
    _choice("normalization", normalization, ("window", "sum"))
    _batches(num_samples, b, drop)
    return {
        "batch_size": b,
        **_remainder(drop),
        "epochs": _count("epochs", epochs),
        "steps": _maybe("max_steps", max_steps),
        **_windows(
            _count("gradient_accumulation_steps", gradient_accumulation_steps),
            accumulation_boundary="epoch",
            accumulation_remainder="drop" if leftover == "zero" else leftover,
            accumulation_at_end="drop",
            loss_normalization=normalization,
        ),
    }


_ACCUMULATION = "gradient_accumulation_steps"
_LOADER = {"batch_size": "batch_size"}
_DROP_LAST = {"drop_last": True}

PRESETS: dict[str, Preset] = {
    "keras": Preset(
        keras,
        "keras 3.15.1",
        "ran",
        names={name: name for name in ("batch_size", "epochs", "steps_per_epoch", _ACCUMULATION)},
        missing={
            "steps": "Keras fit has no limit of steps: it is epochs times steps_per_epoch.",
            "updates": "Keras fit has no limit of updates: it stops after epochs.",
        },
        drop={"data": "dataset", "drop_remainder": True},
    ),
    "keras2": Preset(
        keras2,
        "tf_keras 2.21.0",
        "ran",
        names={name: name for name in ("batch_size", "epochs", "steps_per_epoch")},
        missing={
            "steps": "Keras fit has no limit of steps: it is epochs times steps_per_epoch.",
            "updates": "Keras fit has no limit of updates: it stops after epochs.",
            _ACCUMULATION: "Keras 2 accumulates no gradients.",
        },
        drop={"data": "dataset", "drop_remainder": True},
    ),
    "lightning": Preset(
        lightning,
        "lightning 2.6.6",
        "ran",
        names=_LOADER
        | {
            "epochs": "max_epochs",
            "updates": "max_steps",
            "steps_per_epoch": "limit_train_batches",
            _ACCUMULATION: "accumulate_grad_batches",
        },
        missing={"steps": "Lightning's max_steps counts updates: ask for updates."},
        drop=_DROP_LAST,
    ),
    "transformers": Preset(
        transformers,
        "transformers 5.23.0",
        "ran",
        names={
            "batch_size": "per_device_train_batch_size",
            "epochs": "num_train_epochs",
            "updates": "max_steps",
            _ACCUMULATION: _ACCUMULATION,
        },
        missing={
            "steps": "Transformers' max_steps counts updates: ask for updates.",
            "steps_per_epoch": "An epoch of the Trainer is a whole pass.",
        },
        drop={"dataloader_drop_last": True},
    ),
    "accelerate": Preset(
        accelerate,
        "accelerate 1.15.0",
        "ran",
        names=_LOADER
        | {
            "epochs": "num_epochs",
            "updates": "max_train_steps",
            "steps_per_epoch": "steps_per_epoch",
            _ACCUMULATION: _ACCUMULATION,
        },
        missing={"steps": "Accelerate's loop is the script's; max_train_steps of its examples counts updates."},
        drop=_DROP_LAST,
        switches={"GradientAccumulationPlugin(sync_with_dataloader=False)": {"sync_with_dataloader": False}},
    ),
    "ignite": Preset(
        ignite,
        "pytorch-ignite 0.5.5",
        "ran",
        names=_LOADER
        | {
            "epochs": "max_epochs",
            "steps": "max_iters",
            "steps_per_epoch": "epoch_length",
            _ACCUMULATION: _ACCUMULATION,
        },
        missing={"updates": "Ignite's max_iters counts steps: ask for steps."},
        drop=_DROP_LAST,
    ),
    "optax": Preset(
        optax,
        "optax 0.2.8",
        "ran",
        names=_LOADER | {"epochs": "num_epochs", _ACCUMULATION: "every_k_schedule"},
        missing=dict.fromkeys(
            ("steps", "updates", "steps_per_epoch"), "The loop is the script's: here it is whole epochs."
        ),
        drop={"drop_remainder": True},
    ),
    "pytorch": Preset(
        pytorch,
        "torch 2.13.0",
        "ran",
        names=_LOADER | {"epochs": "epochs", "steps": "max_steps", _ACCUMULATION: _ACCUMULATION},
        missing=dict.fromkeys(("updates", "steps_per_epoch"), "The loop is the script's: here it is whole epochs."),
        drop=_DROP_LAST,
        switches={
            "a last update at the end of each epoch": {"leftover": "flush"},
            "zero_grad() as each epoch begins": {"leftover": "zero"},
            "a step counter that goes on over epochs": {"leftover": "carry"},
        },
    ),
}

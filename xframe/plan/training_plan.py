"""TrainingPlan: what a training run should do, apart from any framework. Cadence and nothing else.

Which samples enter which step, and which steps are followed by an update: the plan says it, closed
and countable. What is computed belongs to the task, where it runs to the runtime.

Words: a *batch* is samples drawn together; a *step* is one training-step call on one batch; an
*update* is one application of the optimizer; a *pass* is one walk over all samples.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler

from xframe.errors import PlanError, UsageError, Verbatim, did_you_mean
from xframe.plan.vocabulary import (
    AtEnd,
    Better,
    Boundary,
    EpochIterator,
    Exhaustion,
    Leftover,
    Monitor,
    Normalization,
    Remainder,
    SampleOrder,
    Unit,
)

if TYPE_CHECKING:
    from typing import Self

    from xframe.plan.counting import Counts, Step
    from xframe.plan.order import Order

LARGEST = 2**63 - 1  # sample ids and steps are int64 in every trace
MOST_SAMPLES = 2**63  # ids from 0 on


def sample_count(value: object) -> int:
    """The size of a data set as Python's integer.

    Raises:
        PlanError: it is none.
    """
    number = _as_int(value)
    if type(number) is not int or not 1 <= number <= MOST_SAMPLES:
        raise PlanError("the number of samples", got=value, expected=f"an integer from 1 to {MOST_SAMPLES}")
    return number


def _as_int(value: object) -> object:
    """NumPy's integers are integers too; True, arrays and floats are not."""
    kind = getattr(value, "dtype", None)
    return operator.index(value) if getattr(kind, "kind", "") in ("i", "u") and value.shape == () else value  # type: ignore[attr-defined, arg-type]


Count = Annotated[int, BeforeValidator(_as_int), Field(ge=1, le=LARGEST)]
Seed = Annotated[int, BeforeValidator(_as_int), Field(ge=0, le=LARGEST)]


def _as_float(value: object) -> object:
    """NumPy's real numbers are real numbers too, and so are whole ones."""
    kind = getattr(value, "dtype", None)
    if type(value) is int or (getattr(kind, "kind", "") in ("i", "u", "f") and value.shape == ()):  # type: ignore[attr-defined]
        with contextlib.suppress(OverflowError):  # no float is that large: left to be refused
            return float(value)  # type: ignore[arg-type]
    return value


Real = Annotated[float, BeforeValidator(_as_float), Field(allow_inf_nan=False)]
Distance = Annotated[float, BeforeValidator(_as_float), Field(ge=0, allow_inf_nan=False)]

_COUNT = f"an integer from 1 to {LARGEST}"


def _one_of(kind: Any) -> str:
    return "one of " + ", ".join(get_args(kind))


# What an error message says was expected, and an example of it.
_EXPECTED = {
    "batch_size": (_COUNT, "batch_size = 64"),
    "epochs": (_COUNT, "epochs = 3"),
    "steps": (_COUNT, "steps = 1000"),
    "updates": (_COUNT, "updates = 1000"),
    "remainder": (_one_of(Remainder), 'remainder = "keep"'),
    "steps_per_epoch": (_COUNT, "steps_per_epoch = 100"),
    "epoch_iterator": (_one_of(EpochIterator), 'epoch_iterator = "restart"'),
    "on_exhaustion": (_one_of(Exhaustion), 'on_exhaustion = "repeat"'),
    "gradient_accumulation_steps": (_COUNT, "gradient_accumulation_steps = 4"),
    "accumulation_boundary": (_one_of(Boundary), 'accumulation_boundary = "epoch"'),
    "accumulation_remainder": (_one_of(Leftover), 'accumulation_remainder = "flush"'),
    "accumulation_at_end": (_one_of(AtEnd), 'accumulation_at_end = "drop"'),
    "loss_normalization": (_one_of(Normalization), 'loss_normalization = "actual"'),
    "order": (_one_of(SampleOrder), 'order = "shuffle"'),
    "seed": (f"an integer from 0 to {LARGEST}", "seed = 0"),
    "reshuffle": ("true or false", "reshuffle = true"),
    "schedule_clock": (_one_of(Unit), 'schedule_clock = "updates"'),
    "validation_every": (_COUNT, "validation_every = 1"),
    "validation_unit": (_one_of(Unit), 'validation_unit = "epochs"'),
    "validation_batch_size": (_COUNT, "validation_batch_size = 256"),
    "early_stopping_patience": (_COUNT, "early_stopping_patience = 3"),
    "early_stopping_monitor": (_one_of(Monitor), 'early_stopping_monitor = "loss"'),
    "early_stopping_mode": (_one_of(Better), 'early_stopping_mode = "min"'),
    "early_stopping_min_delta": ("a number from 0 up", "early_stopping_min_delta = 0.001"),
    "early_stopping_baseline": ("a finite number", "early_stopping_baseline = 0.5"),
    "restore_best": ("true or false", "restore_best = true"),
}
ACCUMULATION: dict[str, str] = {  # what a window does if the plan doesn't say
    "accumulation_boundary": "epoch",
    "accumulation_remainder": "flush",
    "accumulation_at_end": "drop",
    "loss_normalization": "actual",
}

VALIDATION: dict[str, Any] = {  # how a plan that validates does it if it doesn't say
    "validation_unit": "epochs",
}
EARLY_STOPPING: dict[str, Any] = {  # and one that stops early
    "early_stopping_monitor": "loss",
    "early_stopping_min_delta": 0.0,
    "restore_best": False,
}

_STOPPING = (*EARLY_STOPPING, "early_stopping_mode", "early_stopping_baseline")
_NEEDS = {
    "validation_every": (*VALIDATION, "validation_batch_size", "early_stopping_patience"),
    "early_stopping_patience": _STOPPING,
}
_NEEDS_WHAT = {"validation_every": "validation", "early_stopping_patience": "early stopping"}

ELSEWHERE = {  # what trainers call a plan's fields
    "accumulate_grad_batches": "gradient_accumulation_steps",
    "dataloader_drop_last": "remainder, 'drop'",
    "drop_last": "remainder, 'drop'",
    "drop_remainder": "remainder, 'drop'",
    "epoch_length": "steps_per_epoch",
    "limit_train_batches": "steps_per_epoch",
    "max_epochs": "epochs",
    "max_iters": "steps",
    "max_steps": "steps, or updates if optimizer updates are counted",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "shuffle": "order",
    "patience": "early_stopping_patience",
    "min_delta": "early_stopping_min_delta",
    "monitor": "early_stopping_monitor",
    "restore_best_weights": "restore_best",
    "validation_freq": "validation_every",
    "check_val_every_n_epoch": "validation_every",
    "val_check_interval": "validation_every, with validation_unit 'steps'",
    "eval_steps": "validation_every, with validation_unit 'updates'",
    "per_device_eval_batch_size": "validation_batch_size",
}


class Limits(NamedTuple):
    """The plan's limits; training stops at the first one reached."""

    epochs: int | None
    steps: int | None
    updates: int | None


class TrainingPlan(BaseModel):
    """How many samples, steps, updates and epochs a training run has, and in which order.

    n samples, batches of b, r = n mod b. The p-th pass begun (from 0), finished or not, has the p-th order.

    Args:
        batch_size: samples drawn together.
        epochs: stop after this many epochs.
        steps: stop after this many steps.
        updates: stop after this many updates.
        remainder: what becomes of the r samples left at the end of a pass. ``keep``: a short last batch.
            ``drop``: none. ``pad``: the last batch is filled from the start of the same pass's order, round
            again if it must. ``carry``: passes form one endless stream, cut every b samples. ``error``:
            refuse such data.
        steps_per_epoch: an epoch is this many steps. Default: one pass; under ``carry``, n samples of the
            stream, and a step belongs to its first sample's epoch.
        epoch_iterator: ``restart``: each epoch begins a new pass, and what was not yet batched is abandoned.
            ``continue``: the pass, or stream, goes on. Default: restart, under ``carry`` continue.
        on_exhaustion: when a step is due and the pass is over. ``repeat``, the default: the next pass
            begins. ``short_epoch``: the epoch ends; at an epoch's first step the next pass begins.
            ``stop``: training ends, and the unfinished epoch with it.
        gradient_accumulation_steps: k, the steps of a window; the update follows its last.
        accumulation_boundary: the end that cuts a window short, ``epoch`` (default) or ``pass``. An
            abandoned pass does not end.
        accumulation_remainder: what a cut does. ``flush``, the default: update. ``drop``: zero the gradients.
            ``leak``: restart the count and keep the gradients, which then enter the next update. ``carry``:
            nothing, the window goes on.
        accumulation_at_end: a window still open when training stops, since a limit came before an end that
            cuts it, or nothing does: ``drop``, the default, or ``flush``.
        loss_normalization: a window's gradient. ``sum`` of its steps' mean gradients; that over k,
            ``window``; over the steps present, ``actual``, the default; or the mean over the rows present,
            padding included, ``samples``. Leaked steps and rows count as present.
        order: ``sequential`` or ``shuffle``, see ``xframe.plan.order``.
        seed: of the shuffled order.
        reshuffle: a new order for each pass, or the first one for all.
        schedule_clock: what a learning rate schedule of the task ticks by: ``updates`` tried so far, the default,
            skipped ones included; ``steps`` or ``epochs`` begun before this step.
        validation_every: validate after so many ``validation_unit``, and when training ends. Default: never.
        validation_unit: ``epochs``, the default, ``steps`` or ``updates``.
        validation_batch_size: validation samples in a batch; they are taken in their stored order, the last
            batch may be short. Default: ``batch_size``.
        early_stopping_patience: stop after so many validations in a row without improvement. Default: go on.
        early_stopping_monitor: the validation's ``loss``, the default, or ``accuracy``.
        early_stopping_mode: ``min`` or ``max`` is better. Default: min of a loss, max of an accuracy.
        early_stopping_min_delta: an improvement is one by more than this.
        early_stopping_baseline: patience is restored only by what is better than this too.
        restore_best: end with the weights of the best validation. See ``xframe.plan.stopping`` for the rule.

    At least one of epochs, steps, updates is needed; passes repeat until the first is reached, which stops
    the run at once. Under early stopping all counts are upper bounds. What a step ends (its pass, its epoch of
    steps_per_epoch steps) cuts the window first, then limits are looked at, and only when the next step is
    due, the exhaustion of the pass. So a limit that falls on the last step of an exhausted pass leaves its
    short epoch unfinished. Under ``carry`` a step in which passes end, ends them with one cut; an epoch that
    no step belongs to is complete with no steps.

    Fields left out read as their default, and as None where they would mean nothing.

    Raises:
        PlanError: with every field that is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    batch_size: Count
    epochs: Count | None = None
    steps: Count | None = None
    updates: Count | None = None
    remainder: Remainder = "keep"
    steps_per_epoch: Count | None = None
    epoch_iterator: EpochIterator | None = None
    on_exhaustion: Exhaustion | None = None
    gradient_accumulation_steps: Count = 1
    accumulation_boundary: Boundary | None = None
    accumulation_remainder: Leftover | None = None
    accumulation_at_end: AtEnd | None = None
    loss_normalization: Normalization | None = None
    order: SampleOrder = "shuffle"
    seed: Seed = 0
    reshuffle: bool = True
    schedule_clock: Unit | None = None
    validation_every: Count | None = None
    validation_unit: Unit | None = None
    validation_batch_size: Count | None = None
    early_stopping_patience: Count | None = None
    early_stopping_monitor: Monitor | None = None
    early_stopping_mode: Better | None = None
    early_stopping_min_delta: Distance | None = None
    early_stopping_baseline: Real | None = None
    restore_best: bool | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(values, Mapping):
            values = _filled(values)
        try:
            plan = handler(values)
        except ValidationError as error:
            raise _plan_error(error) from None
        if wrong := plan._contradictions():
            raise _together(wrong)
        return plan

    @classmethod
    def like(cls, trainer: str, *, num_samples: int, **arguments: Any) -> TrainingPlan:
        """The plan that counts as that trainer does, from the trainer's own arguments. See ``xframe.plan.presets``."""
        from xframe.plan.presets import like

        return like(trainer, num_samples=num_samples, **arguments)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainingPlan:
        """A plan from fields by name, as a plan file has them."""
        return cls.model_validate(dict(values))

    @classmethod
    def from_toml(cls, path: str | Path) -> TrainingPlan:
        """A plan from a TOML file whose top-level keys are the plan's fields."""
        return cls.from_mapping(read_toml(path))

    @property
    def limits(self) -> Limits:
        return Limits(self.epochs, self.steps, self.updates)

    def to_dict(self) -> dict[str, int | str | bool]:
        """The fields that are set, by the names a plan file uses."""
        fields = self.model_dump(exclude_none=True)
        if self.gradient_accumulation_steps == 1:
            del fields["gradient_accumulation_steps"]
        return fields

    def to_toml(self) -> str:
        # The values are integers, booleans and plain words, which TOML and JSON write alike.
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in self.to_dict().items())

    @property
    def digest(self) -> str:
        """32 hex digits, equal for plans of equal meaning: fields without effect on the run don't count."""
        from xframe.plan.equivalence import meaning

        text = json.dumps({"format": "xframe-plan-1", **meaning(self)}, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def __repr__(self) -> str:
        return f"TrainingPlan({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"

    __str__ = __repr__

    def _contradictions(self) -> list[PlanError]:
        """Combinations of valid fields that make no sense together."""
        found = []
        if self.limits == (None, None, None):
            found.append(
                PlanError(
                    "invalid plan: no limit",
                    got=Verbatim("neither epochs nor steps nor updates"),
                    expected="at least one of them, or training never ends",
                    remedy="Set epochs = 3, for example.",
                )
            )
        if self.steps_per_epoch is None:
            found += [
                PlanError(
                    f"invalid plan: {name} without steps_per_epoch",
                    got=value,
                    expected="no such field, for then an epoch is one pass over the samples",
                    remedy=f"Set steps_per_epoch, or remove {name}.",
                )
                for name in ("epoch_iterator", "on_exhaustion")
                if (value := getattr(self, name)) is not None
            ]
        elif self.remainder == "carry" and self.on_exhaustion is not None:
            found.append(
                PlanError(
                    "invalid plan: on_exhaustion with remainder 'carry'",
                    got=self.on_exhaustion,
                    expected="no such field, for under carry passes form one endless stream",
                    remedy="Remove on_exhaustion, or choose another remainder.",
                )
            )
        for needed, names in _NEEDS.items():
            if getattr(self, needed) is None:
                found += [
                    PlanError(
                        f"invalid plan: {name} without {needed}",
                        got=value,
                        expected=f"no such field, for without {needed} there is no {_NEEDS_WHAT[needed]}",
                        remedy=f"Set {_EXPECTED[needed][1]}, or remove {name}.",
                    )
                    for name in names
                    if (value := getattr(self, name)) is not None
                ]
        if self.early_stopping_patience is not None and self.accumulation_at_end == "flush":
            found.append(
                PlanError(
                    "invalid plan: accumulation_at_end with early stopping",
                    got=self.accumulation_at_end,
                    expected="drop, for a validation comes after its step's update, and ends training there",
                    remedy="Remove accumulation_at_end, or early_stopping_patience.",
                )
            )
        k = self.gradient_accumulation_steps
        if k == 1:
            found += [
                PlanError(
                    f"invalid plan: {name} without gradient accumulation",
                    got=value,
                    expected="no such field where gradient_accumulation_steps is 1, for every step has its update",
                    remedy=f"Set gradient_accumulation_steps to 2 or more, or remove {name}.",
                )
                for name in ACCUMULATION
                if (value := getattr(self, name)) is not None
            ]
        elif (
            not found
            and (self.epochs, self.steps) == (None, None)
            and self.steps_per_epoch is not None
            and self.steps_per_epoch < k
            and self.accumulation_boundary == "epoch"
            and self.accumulation_remainder in ("drop", "leak")
            and self.on_exhaustion != "stop"
        ):
            found.append(never_updates(k, self.steps_per_epoch, "epoch", self.accumulation_remainder))
        return found

    def sample_order(self, num_samples: int) -> Order:
        """The order of the samples in each pass.

        Raises:
            PlanError: ``num_samples`` is no count.
        """
        from xframe.plan.order import Order

        return Order(sample_count(num_samples), self.order, self.seed, self.reshuffle)

    def counts(self, num_samples: int) -> Counts:
        """All counts of the run over ``num_samples`` samples, in closed form. See ``xframe.plan.counting``."""
        from xframe.plan import counting

        return counting.counts(self, num_samples)

    def step(self, index: int, num_samples: int) -> Step:
        """The step of that 0-based index, by random access. See ``xframe.plan.counting``."""
        from xframe.plan import counting

        return counting.step(self, index, num_samples)

    def each_step(self, num_samples: int) -> Iterator[Step]:
        """All steps, one after the other. See ``xframe.plan.counting``."""
        from xframe.plan import counting

        return counting.each_step(self, num_samples)


DEFAULT: dict[str, Any] = {"batch_size": 64, "epochs": 3}  # what the command line starts from without a plan file
_OPTIONAL = tuple(name for name, field in TrainingPlan.model_fields.items() if field.default is None)
FIELDS = tuple(TrainingPlan.model_fields)


def read_toml(path: str | Path) -> dict[str, Any]:
    """The top-level table of a TOML file.

    Raises:
        UsageError: the file cannot be read, or is no TOML.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(
            "cannot read the plan file", got=str(path), expected=f"a readable TOML file ({error})"
        ) from None
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # TOML's own errors, bytes that are no UTF-8, endless digits
        raise PlanError(
            "the plan file is no TOML",
            got=Verbatim(f"{path} ({str(error) or type(error).__name__})"),
            expected="lines such as batch_size = 64",
        ) from None


def never_updates(window: int, at_most: int, boundary: str, remainder: str) -> PlanError:
    """The error of a plan whose only limit is a number of updates that never come."""
    return PlanError(
        "this plan would never end: its only limit is updates, and no update ever comes",
        got=Verbatim(
            f"gradient_accumulation_steps {window:,}, cut after at most {at_most:,} by the end of each {boundary} "
            f"and then not applied (accumulation_remainder {remainder!r})"
        ),
        expected="a window that fills up, or a limit of epochs or steps",
        remedy="Use accumulation_remainder 'carry' or 'flush', fewer accumulation steps, or set epochs or steps too.",
    )


def _filled(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """The fields given, and those whose default depends on others."""
    fields = {name: value for name, value in values.items() if value is not None or name not in _OPTIONAL}
    if "steps_per_epoch" in fields:
        carry = fields.get("remainder") == "carry"
        fields.setdefault("epoch_iterator", "continue" if carry else "restart")
        if not carry:
            fields.setdefault("on_exhaustion", "repeat")
    window = _as_int(fields.get("gradient_accumulation_steps"))
    if type(window) is int and window > 1:
        fields = {**ACCUMULATION, **fields}
    if "validation_every" in fields:
        fields = {**VALIDATION, "validation_batch_size": fields.get("batch_size"), **fields}
    if "early_stopping_patience" in fields:
        monitor = fields.get("early_stopping_monitor", EARLY_STOPPING["early_stopping_monitor"])
        mode = {"early_stopping_mode": "max" if monitor == "accuracy" else "min"}
        fields = {**EARLY_STOPPING, **mode, **fields}
    return fields


def _plan_error(error: ValidationError) -> PlanError:
    """One error that names every wrong field: what it got, what was expected, what to do."""
    found = error.errors(include_url=False, include_context=False)
    return _together(
        [_field_error(problem["type"], [str(part) for part in problem["loc"]], problem["input"]) for problem in found]
    )


def _together(messages: list[PlanError]) -> PlanError:
    if len(messages) == 1:
        return messages[0]
    return PlanError(
        "invalid plan, in "
        + f"{len(messages)} places:\n  - "
        + "\n  - ".join(str(message).removeprefix("invalid plan: ") for message in messages)
    )


def _field_error(kind: str, location: list[str], got: object) -> PlanError:
    if not location:
        return PlanError("invalid plan", got=got, expected="fields by name, such as batch_size and epochs")
    name = location[0]
    if kind == "missing":
        expected, example = _EXPECTED[name]
        return PlanError(f"invalid plan: {name} is missing", expected=expected, remedy=f"Set {example}, for example.")
    if kind == "extra_forbidden":
        hint = f"A plan calls it {ELSEWHERE[name]}." if name in ELSEWHERE else did_you_mean(name, FIELDS)
        return PlanError(
            f"invalid plan: unknown field {name[:60]!r}",
            got=got,
            expected="one of " + ", ".join(FIELDS),
            remedy=hint or "Remove it.",
        )
    if name not in _EXPECTED:
        return PlanError(
            "invalid plan: a field without a name", got=Verbatim(name), expected="one of " + ", ".join(FIELDS)
        )
    expected, example = _EXPECTED[name]
    got = Verbatim("None") if got is None else got
    hint = did_you_mean(got, expected.removeprefix("one of ").split(", ")) if isinstance(got, str) else ""
    return PlanError(f"invalid plan: {name}", got=got, expected=expected, remedy=hint or f"Set {example}, for example.")

"""Each field of a training plan, defined once: type, words, default, the field it needs, help, example.

The model, the command line's options, what an error expects and ``help(xframe.TrainingPlan)`` follow from here. A
field is an attribute of ``PlanFields``; its annotation holds a ``Field`` with all that its type does not state.

The meaning of a new field goes to ``cadence`` (its arithmetic), ``equivalence`` (where it makes no difference; it must
be unset by default, or the digest of every plan changes), ``xframe.running.steering`` and each adapter, and the
independent simulator in tests/sweeps.

Must import neither pydantic nor cyclopts, so that the command line has its help at once; and annotations must be
objects, not text, so no ``from __future__ import annotations``.
"""

import contextlib
import dataclasses
import json
import operator
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args

from xframe.errors import PlanError

LARGEST = 2**63 - 1  # sample ids and steps are int64 in every trace
MOST_SAMPLES = 2**63  # ids from 0 on
_MANY = f"an integer from 1 to {MOST_SAMPLES}, as many as there are ids from 0 to {LARGEST}"
DEFAULT: dict[str, Any] = {"batch_size": 64, "epochs": 3}  # what the command line starts from without a plan file


def as_int(value: object) -> object:
    """Python's integer of a NumPy integer; whatever else is given, such as True, arrays and floats, unchanged."""
    kind = getattr(value, "dtype", None)
    return operator.index(value) if getattr(kind, "kind", "") in ("i", "u") and value.shape == () else value  # type: ignore[attr-defined, arg-type]


def as_float(value: object) -> object:
    """Python's float of an integer or of a NumPy number; whatever else is given unchanged."""
    kind = getattr(value, "dtype", None)
    if type(value) is int or (getattr(kind, "kind", "") in ("i", "u", "f") and value.shape == ()):  # type: ignore[attr-defined]
        with contextlib.suppress(OverflowError):  # no float is that large: left to be refused
            return float(value)  # type: ignore[arg-type]
    return value


def sample_count(value: object) -> int:
    """The size of a data set as Python's integer. Raises PlanError: it is not a size."""
    number = as_int(value)
    if type(number) is not int or not 1 <= number <= MOST_SAMPLES:
        raise PlanError("the number of samples", got=value, expected=_MANY)
    return number


class Derived(NamedTuple):
    """A default that depends on other fields."""

    words: str  # which, for help
    value: Any  # the fields given → the default; None leaves the field unset


@dataclass(frozen=True, slots=True)
class Field:
    """All that is known of a field of the plan."""

    help: str  # what it is, and what each of its words means
    _: dataclasses.KW_ONLY
    default: Any = None  # its value if it is left out (but see ``needs``); None: it stays unset
    example: Any = None  # a valid value; None: the default, or the first of its words
    least: int | None = 1  # of a number
    needs: str = ""  # the field without which this one must stay unset; ``default`` is for plans with it
    name: str = ""  # in Python and in a plan file
    type: Any = None  # ``int``, ``float``, ``bool`` or a ``Literal`` of words

    @property
    def words(self) -> tuple[str, ...]:
        """The words it may be; none if it is a number or a flag."""
        return get_args(self.type)

    @property
    def expected(self) -> str:
        """What an error says was expected."""
        if self.words:
            return "one of " + ", ".join(self.words)
        if self.type is bool:
            return "true or false"
        if self.type is int:
            return f"an integer from {self.least} to {LARGEST}"
        return "a finite number" if self.least is None else f"a number from {self.least} up"

    @property
    def assignment(self) -> str:
        """An example of it as a line of a plan file."""
        value = self.example
        if value is None:
            value = self.words[0] if self.default is None or isinstance(self.default, Derived) else self.default
        return f"{self.name} = {json.dumps(value)}"

    @property
    def text(self) -> str:
        """Its help and its default."""
        default = self.default.words if isinstance(self.default, Derived) else self.default
        if default is None:
            return self.help
        return f"{self.help} Default: {default if isinstance(default, str) else json.dumps(default)}."

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """How pydantic checks a value: NumPy's numbers are numbers too, and whole numbers are floats."""
        from pydantic_core import core_schema as schemas

        kind, optional = _kind(source)
        if kind is int:
            whole = schemas.int_schema(ge=self.least, le=LARGEST)
            schema: Any = schemas.no_info_before_validator_function(as_int, whole)
        elif kind is float:
            real = schemas.float_schema(ge=self.least, allow_inf_nan=False)
            schema = schemas.no_info_before_validator_function(as_float, real)
        else:
            return handler(source)
        return schemas.nullable_schema(schema) if optional else schema


def _kind(annotation: Any) -> tuple[Any, bool]:
    """A field's type, and whether it may be None."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    optional = type(None) in get_args(annotation)
    return (kinds[0] if optional else annotation), optional


def _is(given: Mapping[str, Any], name: str, word: str) -> bool:
    """Whether a field is that word; what is given may be anything, an array too."""
    value = given.get(name)
    return isinstance(value, str) and value == word


_EPOCH, _WINDOW = "steps_per_epoch", "gradient_accumulation_steps"
_VALIDATION, _STOPPING, _REPLICAS = "validation_every", "early_stopping_patience", "replicas"
Unit = Literal["updates", "steps", "epochs"]


@dataclass(kw_only=True, frozen=True)
class PlanFields:
    """The fields of a plan, in the order in which they are listed everywhere; in the words of ``TrainingPlan``."""

    batch_size: Annotated[int, Field("Samples drawn together.", example=64)]
    epochs: Annotated[int | None, Field("Limit: stop after this many epochs.", example=3)] = None
    steps: Annotated[int | None, Field("Limit: stop after this many steps.", example=1000)] = None
    updates: Annotated[int | None, Field("Limit: stop after this many updates.", example=1000)] = None
    remainder: Annotated[
        Literal["keep", "drop", "pad", "carry", "error"],
        Field(
            "The r samples left at the end of a pass. keep: a short last batch; drop: none; pad: a last batch "
            "filled up from the start of the same pass's order, round again if it must; carry: passes form one "
            "endless stream, cut every b samples; error: such data is refused."
        ),
    ] = "keep"
    steps_per_epoch: Annotated[
        int | None,
        Field(
            "Steps of an epoch. Default: one pass; under carry, n samples of the stream, and a step belongs to "
            "its first sample's epoch.",
            example=100,
        ),
    ] = None
    epoch_iterator: Annotated[
        Literal["restart", "continue"] | None,
        Field(
            "restart: each epoch begins a new pass, and what was not yet batched is abandoned; continue: the "
            "pass, or stream, goes on.",
            needs=_EPOCH,
            default=Derived(
                "restart, under carry continue",
                lambda given: "continue" if _is(given, "remainder", "carry") else "restart",
            ),
        ),
    ] = None
    on_exhaustion: Annotated[
        Literal["repeat", "short_epoch", "stop"] | None,
        Field(
            "When a step is due and the pass is over. repeat: the next pass begins; short_epoch: the epoch ends, "
            "and at an epoch's first step the next pass begins; stop: training ends, and the unfinished epoch "
            "with it.",
            needs=_EPOCH,
            default=Derived("repeat", lambda given: None if _is(given, "remainder", "carry") else "repeat"),
        ),
    ] = None
    gradient_accumulation_steps: Annotated[
        int, Field("k, the steps of a window; its update follows the last.", example=4)
    ] = 1
    accumulation_boundary: Annotated[
        Literal["epoch", "pass"] | None,
        Field("The end that cuts a window short. An abandoned pass does not end.", needs=_WINDOW, default="epoch"),
    ] = None
    accumulation_remainder: Annotated[
        Literal["flush", "drop", "leak", "carry"] | None,
        Field(
            "What a cut does. flush: update; drop: zero the gradients; leak: restart the count and keep the "
            "gradients, which then enter the next update; carry: nothing, the window goes on.",
            needs=_WINDOW,
            default="flush",
        ),
    ] = None
    accumulation_at_end: Annotated[
        Literal["drop", "flush"] | None,
        Field(
            "A window still open when training stops, since a limit came before an end that cuts it, or nothing does.",
            needs=_WINDOW,
            default="drop",
        ),
    ] = None
    loss_normalization: Annotated[
        Literal["actual", "window", "sum", "samples"] | None,
        Field(
            "What the sum of the mean gradients of a window's steps is divided by. actual: the steps present; "
            "window: k; sum: nothing. samples: it is the mean over the rows present, padding included. Leaked "
            "steps and rows count as present.",
            needs=_WINDOW,
            default="actual",
        ),
    ] = None
    order: Annotated[Literal["sequential", "shuffle"], Field("The order of the samples, see xframe.plan.order.")] = (
        "shuffle"
    )
    seed: Annotated[int, Field("Seed of the shuffled order.", least=0)] = 0
    reshuffle: Annotated[bool, Field("A new order for each pass, or the first one for all.")] = True
    schedule_clock: Annotated[
        Unit | None,
        Field(
            "What the task's learning rate schedule ticks by: updates tried so far, skipped ones included; steps "
            "or epochs begun before this step. Default: updates."
        ),
    ] = None
    replicas: Annotated[
        int, Field("How many replicas share the rows of each step; batch_size is that of all together.", example=2)
    ] = 1
    replica_split: Annotated[
        Literal["slices", "interleaved", "dealt"] | None,
        Field(
            "Which of a step's g rows replica i of R has. slices: one run of ⌈g/R⌉ rows after the other, the last less "
            "or none; interleaved: rows i, i + R, …; dealt: runs of ⌈batch_size/R⌉ rows, so that of a short step the "
            "last replicas may have none.",
            needs=_REPLICAS,
            default="slices",
        ),
    ] = None
    replica_remainder: Annotated[
        Literal["uneven", "pad", "drop"] | None,
        Field(
            "What R does not divide of a pass, before that is cut into batches. uneven: it stays; pad: filled up to "
            "a multiple of R from the start of the same pass's order; drop: left out, but for remainder 'pad', which "
            "fills up the last batch with these samples first.",
            needs=_REPLICAS,
            default="uneven",
        ),
    ] = None
    replica_gradients: Annotated[
        Literal["rows", "replicas"] | None,
        Field(
            "A step's gradient. rows: that of the loss over all its rows, as one process has it; replicas: the mean of "
            "the replicas' own, as DistributedDataParallel and Keras make it, which differs where they have different "
            "numbers of rows.",
            needs=_REPLICAS,
            default="rows",
        ),
    ] = None
    validation_every: Annotated[
        int | None,
        Field(
            "Validate after this many epochs (see validation_unit), and when training ends. Default: never.", example=1
        ),
    ] = None
    validation_unit: Annotated[
        Unit | None, Field("What validation_every counts.", needs=_VALIDATION, default="epochs")
    ] = None
    validation_batch_size: Annotated[
        int | None,
        Field(
            "Validation samples in a batch. They are taken in their stored order, the last batch may be short.",
            needs=_VALIDATION,
            default=Derived("the batch size", lambda given: given.get("batch_size")),
            example=256,
        ),
    ] = None
    early_stopping_patience: Annotated[
        int | None,
        Field(
            "Stop after this many validations in a row without improvement, see xframe.plan.stopping. Default: go on.",
            needs=_VALIDATION,
            example=3,
        ),
    ] = None
    early_stopping_monitor: Annotated[
        Literal["loss", "accuracy"] | None,
        Field("What of a validation is to improve.", needs=_STOPPING, default="loss"),
    ] = None
    early_stopping_mode: Annotated[
        Literal["min", "max"] | None,
        Field(
            "Which value is better.",
            needs=_STOPPING,
            default=Derived(
                "min of a loss, max of an accuracy",
                lambda given: "max" if _is(given, "early_stopping_monitor", "accuracy") else "min",
            ),
        ),
    ] = None
    early_stopping_min_delta: Annotated[
        float | None,
        Field("An improvement is one by more than this.", needs=_STOPPING, default=0.0, example=0.001, least=0),
    ] = None
    early_stopping_baseline: Annotated[
        float | None,
        Field("Patience is restored only by what is better than this too.", needs=_STOPPING, example=0.5, least=None),
    ] = None
    restore_best: Annotated[
        bool | None, Field("End with the weights of the best validation.", needs=_STOPPING, default=False, example=True)
    ] = None


def _definition(field: dataclasses.Field[Any]) -> Field:
    """A field of ``PlanFields`` as one value."""
    annotation, about = get_args(field.type)
    default = about.default if field.default in (None, dataclasses.MISSING) else field.default
    return dataclasses.replace(cast(Field, about), name=field.name, type=_kind(annotation)[0], default=default)


FIELDS: dict[str, Field] = {field.name: _definition(field) for field in dataclasses.fields(PlanFields)}
LIMITS = ("epochs", "steps", "updates")
DEALING = (_REPLICAS, "replica_split", "replica_remainder", "replica_gradients")
_OPTIONAL = frozenset(field.name for field in dataclasses.fields(PlanFields) if field.default is None)
DEPENDENTS: dict[str, tuple[Field, ...]] = {  # by the field they need
    needed: tuple(field for field in FIELDS.values() if field.needs == needed)
    for needed in dict.fromkeys(field.needs for field in FIELDS.values() if field.needs)
}
ACCUMULATION: dict[str, Any] = {field.name: field.default for field in DEPENDENTS[_WINDOW]}  # a window's policy


def is_set(needed: str, value: object) -> bool:
    """Whether the fields that need this one mean something where it has that value."""
    if needed not in (_WINDOW, _REPLICAS):
        return value is not None
    number = as_int(value)
    return type(number) is int and number > 1


def with_defaults(given: Mapping[Any, Any]) -> dict[Any, Any]:
    """The fields given, and those whose default depends on others."""
    fields = {name: value for name, value in given.items() if value is not None or name not in _OPTIONAL}
    for needed, dependents in DEPENDENTS.items():
        if is_set(needed, fields.get(needed)):
            for field in dependents:
                if field.name not in fields:
                    default = field.default
                    fields[field.name] = default.value(fields) if isinstance(default, Derived) else default
    return fields


def described() -> str:
    """All fields and what they mean, as a docstring lists them."""
    texts = (f"{name}: {field.text}" for name, field in FIELDS.items())
    return "\n".join(textwrap.fill(text, 112, initial_indent=" " * 8, subsequent_indent=" " * 12) for text in texts)

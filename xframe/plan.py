"""TrainingPlan: what a training run should do, apart from any framework. Cadence and nothing else.

Which samples enter which step, and which steps are followed by an update: the plan says it, closed
and countable. What is computed belongs to the task, where it runs to the runtime.

Words: a *batch* is samples drawn together; a *step* is one training-step call on one batch; an
*update* is one application of the optimizer; a *pass* is one walk over all samples.
"""

from __future__ import annotations

import hashlib
import json
import operator
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

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

if TYPE_CHECKING:
    from typing import Self

    from xframe.counting import Counts, Step
    from xframe.order import Order

LARGEST = 2**63 - 1  # sample ids and steps are int64 in every trace


def _as_int(value: object) -> object:
    """NumPy's integers are integers too; True, arrays and floats are not."""
    kind = getattr(value, "dtype", None)
    return operator.index(value) if getattr(kind, "kind", "") in ("i", "u") and value.shape == () else value  # type: ignore[attr-defined, arg-type]


Count = Annotated[int, BeforeValidator(_as_int), Field(ge=1, le=LARGEST)]
Seed = Annotated[int, BeforeValidator(_as_int), Field(ge=0, le=LARGEST)]

_COUNT = f"an integer from 1 to {LARGEST}"
# What an error message says was expected, and an example of it.
_EXPECTED = {
    "batch_size": (_COUNT, "batch_size = 64"),
    "epochs": (_COUNT, "epochs = 3"),
    "steps": (_COUNT, "steps = 1000"),
    "updates": (_COUNT, "updates = 1000"),
    "remainder": ("one of keep, drop, error", 'remainder = "keep"'),
    "order": ("one of sequential, shuffle", 'order = "shuffle"'),
    "seed": (f"an integer from 0 to {LARGEST}", "seed = 0"),
    "reshuffle": ("true or false", "reshuffle = true"),
}
# Vocabulary of the field that this version knows by name and does not execute.
NOT_YET_FIELDS = (
    "steps_per_epoch",
    "epoch_iterator",
    "on_exhaustion",
    "gradient_accumulation_steps",
    "accumulation_boundary",
    "accumulation_remainder",
    "accumulation_at_end",
    "loss_normalization",
)
NOT_YET_VALUES = {"remainder": ("pad", "carry")}


class Limits(NamedTuple):
    """The plan's limits; training stops at the first one reached."""

    epochs: int | None
    steps: int | None
    updates: int | None


class TrainingPlan(BaseModel):
    """How many samples, steps, updates and epochs a training run has, and in which order.

    Args:
        batch_size: samples drawn together.
        epochs: stop after this many epochs; here an epoch is one pass.
        steps: stop after this many steps.
        updates: stop after this many updates.
        remainder: what becomes of the r = n mod batch_size samples left at the end of a pass.
            ``keep``: a short last batch. ``drop``: none. ``error``: refuse such data.
        order: ``sequential`` or ``shuffle``, see ``xframe.order``.
        seed: of the shuffled order.
        reshuffle: a new order for each pass, or the first one for all.

    At least one of epochs, steps, updates is needed; passes repeat until the first is reached.
    The limits are read back as ``plan.limits``, since ``plan.steps(num_samples)`` walks the steps.

    Raises:
        PlanError: with every field that is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    batch_size: Count
    epochs: Count | None = None
    step_limit: Count | None = Field(default=None, alias="steps")
    updates: Count | None = None
    remainder: Literal["keep", "drop", "error"] = "keep"
    order: Literal["sequential", "shuffle"] = "shuffle"
    seed: Seed = 0
    reshuffle: bool = True

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            plan = handler(values)
        except ValidationError as error:
            raise _plan_error(error) from None
        if plan.limits == (None, None, None):
            raise PlanError(
                "invalid plan: no limit",
                got=Verbatim("neither epochs nor steps nor updates"),
                expected="at least one of them, or training never ends",
                remedy="Set epochs = 3, for example.",
            )
        return plan

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
        return Limits(self.epochs, self.step_limit, self.updates)

    def to_dict(self) -> dict[str, int | str | bool]:
        """The fields that are set, by the names a plan file uses."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def to_toml(self) -> str:
        # The values are integers, booleans and plain words, which TOML and JSON write alike.
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in self.to_dict().items())

    @property
    def digest(self) -> str:
        """32 hex digits, equal for plans of equal meaning: unset fields and those without effect don't count."""
        from xframe.order import VERSION

        meaning: dict[str, Any] = {"format": "xframe-plan-1", **self.to_dict()}
        if self.order == "shuffle":
            meaning["order"] = VERSION
        else:
            del meaning["seed"], meaning["reshuffle"]
        text = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def sample_order(self, num_samples: int) -> Order:
        """The order of the samples in each pass."""
        from xframe.order import Order

        return Order(num_samples, self.order, self.seed, self.reshuffle)

    def counts(self, num_samples: int) -> Counts:
        """All counts of the run over ``num_samples`` samples, in closed form. See ``xframe.counting``."""
        from xframe import counting

        return counting.counts(self, num_samples)

    def step(self, index: int, num_samples: int) -> Step:
        """The step of that 0-based index, by random access. See ``xframe.counting``."""
        from xframe import counting

        return counting.step(self, index, num_samples)

    def steps(self, num_samples: int) -> Iterator[Step]:
        """All steps, one after the other. See ``xframe.counting``."""
        from xframe import counting

        return counting.steps(self, num_samples)


DEFAULT: dict[str, Any] = {"batch_size": 64, "epochs": 3}  # what the command line starts from without a plan file
FIELDS = tuple(field.alias or name for name, field in TrainingPlan.model_fields.items())


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


def _plan_error(error: ValidationError) -> PlanError:
    """One error that names every wrong field: what it got, what was expected, what to do."""
    found = error.errors(include_url=False, include_context=False)
    messages = [
        _field_error(problem["type"], [str(part) for part in problem["loc"]], problem["input"]) for problem in found
    ]
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
        if name in NOT_YET_FIELDS:
            return PlanError(
                f"invalid plan: field {name!r} is not in this version of xframe",
                got=got,
                expected="a plan of " + ", ".join(FIELDS),
                remedy=f"Remove {name}; a run that needs it cannot be planned yet.",
            )
        hint = did_you_mean(name, FIELDS)
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
    if isinstance(got, str) and got in NOT_YET_VALUES.get(name, ()):
        return PlanError(f"invalid plan: {name} {got!r} is not in this version of xframe", got=got, expected=expected)
    got = Verbatim("None") if got is None else got
    hint = did_you_mean(got, expected.removeprefix("one of ").split(", ")) if isinstance(got, str) else ""
    return PlanError(f"invalid plan: {name}", got=got, expected=expected, remedy=hint or f"Set {example}, for example.")

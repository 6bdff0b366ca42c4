"""TrainingPlan: what a training run should do, in any framework. Cadence and nothing else.

Which samples enter which step, and which steps are followed by an update: the plan says it, closed
and countable. What is computed belongs to the task, where it runs to the runtime.

Words: a *batch* is samples drawn together; a *step* is one training-step call on one batch; an
*update* is one application of the optimizer; a *pass* is one walk over all samples.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from xframe.errors import PlanError, UsageError, Verbatim
from xframe.plan import counting, equivalence, problems
from xframe.plan.fields import PlanFields, described, sample_count, with_defaults

if TYPE_CHECKING:
    from typing import Self

    from xframe.plan.counting import Counts, Step
    from xframe.plan.order import Order


_LARGEST_FILE = 1 << 20  # bytes of a plan file


class Limits(NamedTuple):
    """The plan's limits; training stops at the first one reached."""

    epochs: int | None
    steps: int | None
    updates: int | None


class TrainingPlan(BaseModel, PlanFields, frozen=True, extra="forbid", strict=True):
    """How many samples, steps, updates and epochs a training run has, and in which order.

    n samples, batches of b, r = n mod b. The p-th pass begun (from 0), finished or not, has the p-th order.

    At least one of epochs, steps, updates is needed; passes repeat until the first is reached, which stops
    the run at once. Under early stopping all counts are upper bounds. What a step ends (its pass, its epoch of
    steps_per_epoch steps) cuts the window first, then limits are looked at, and only when the next step is
    due, the exhaustion of the pass. So a limit that falls on the last step of an exhausted pass leaves its
    short epoch unfinished. Under ``carry`` a step in which passes end, ends them with one cut; an epoch that
    no step belongs to is complete with no steps.

    Fields left out read as their default, and as None where they would mean nothing. ``xframe.plan.fields``
    defines them.

    Raises:
        PlanError: with every field that is wrong.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(values, Mapping):
            values = with_defaults(values)
        try:
            plan = handler(values)
        except ValidationError as error:
            raise problems.of_fields(error) from None
        if wrong := problems.contradictions(plan):
            raise problems.together(wrong)
        return plan

    @classmethod
    def like(cls, trainer: str, *, num_samples: int, **arguments: Any) -> Self:
        """The plan that counts as that trainer does, from the trainer's own arguments. See ``xframe.plan.presets``.

        Where the trainer trains on a part of the samples, as by Keras' ``validation_split``, a warning says on how
        many: the plan is to be counted over these.
        """
        from xframe.plan.presets import like

        fields = like(trainer, num_samples=num_samples, **arguments)
        trained = fields.pop("num_samples")
        if trained != num_samples:
            text = f"{trainer} trains on {trained:,} of the {num_samples:,} samples: count this plan over these"
            warnings.warn(text, stacklevel=2)
        return cls.from_mapping(fields)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """A plan from fields by name, as a plan file has them."""
        return cls.model_validate(dict(values))

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """A plan from a TOML file whose top-level keys are the plan's fields."""
        return cls.from_mapping(read_toml(path))

    @property
    def limits(self) -> Limits:
        """The three limits together."""
        return Limits(self.epochs, self.steps, self.updates)

    def to_dict(self) -> dict[str, int | str | bool]:
        """The fields that are set, by the names a plan file uses."""
        fields = self.model_dump(exclude_none=True)
        for name in ("gradient_accumulation_steps", "replicas"):
            if fields[name] == 1:
                del fields[name]
        return fields

    def to_toml(self) -> str:
        """The same as a plan file's text."""
        # The values are integers, booleans and plain words, which TOML and JSON write alike.
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in self.to_dict().items())

    @property
    def digest(self) -> str:
        """32 hex digits, equal for plans of equal meaning; fields without effect on the run don't count."""
        text = json.dumps(
            {"format": "xframe-plan-1", **equivalence.meaning(self)}, sort_keys=True, separators=(",", ":")
        )
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def __repr__(self) -> str:
        return f"TrainingPlan({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"

    __str__ = __repr__

    def sample_order(self, num_samples: int) -> Order:
        """The order of the samples in each pass. Raises PlanError: ``num_samples`` is no count."""
        from xframe.plan.order import Order

        return Order(sample_count(num_samples), self.order, self.seed, self.reshuffle)

    def counts(self, num_samples: int) -> Counts:
        """All counts of the run over ``num_samples`` samples, in closed form. See ``xframe.plan.counting``."""
        return counting.counts(self, num_samples)

    def step(self, index: int, num_samples: int) -> Step:
        """The step of that 0-based index, by random access. See ``xframe.plan.counting``."""
        return counting.step(self, index, num_samples)

    def each_step(self, num_samples: int) -> Iterator[Step]:
        """All steps, one after the other. See ``xframe.plan.counting``."""
        return counting.each_step(self, num_samples)


if TrainingPlan.__doc__:  # python -OO has none
    TrainingPlan.__doc__ += f"\n    Args:\n{described()}\n"


def read_toml(path: str | Path, what: str = "plan file", line: str = "batch_size = 64") -> dict[str, Any]:
    """The top-level table of a TOML file. Raises UsageError: the file cannot be read, or is no TOML."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ValueError(f"it has more than {_LARGEST_FILE:,} bytes")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the {what}", got=str(path), expected=f"a readable TOML file ({why})") from None
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # TOML's own errors, bytes that are no UTF-8, endless digits
        raise PlanError(
            f"the {what} is no TOML",
            got=Verbatim(f"{path} ({str(error) or type(error).__name__})"),
            expected=f"lines such as {line}",
        ) from None

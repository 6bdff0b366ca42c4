"""A plan's fields as options."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from xframe.cli.options import number, option, word
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
    from xframe.plan.training_plan import TrainingPlan


@Parameter(name="*")
@dataclass(frozen=True)
class PlanOptions:
    """Fields of the plan; each replaces the plan file's, and a limit replaces all its limits."""

    batch_size: Annotated[int | None, number("Samples drawn together. Without a plan file: 64.")] = None
    epochs: Annotated[int | None, number("Limit: stop after this many epochs. Without a plan file: 3.")] = None
    steps: Annotated[int | None, number("Limit: stop after this many steps.")] = None
    updates: Annotated[int | None, number("Limit: stop after this many updates.")] = None
    remainder: Annotated[
        Remainder | None,
        word("The samples left of a pass: a short batch, none, filled up, into the next pass, refused."),
    ] = None
    steps_per_epoch: Annotated[int | None, number("Steps of an epoch. Default: one pass over the samples.")] = None
    epoch_iterator: Annotated[
        EpochIterator | None, word("An epoch of so many steps begins a new pass, or goes on in the old one.")
    ] = None
    on_exhaustion: Annotated[
        Exhaustion | None,
        word("A step is due and the pass is over: the next pass, the end of the epoch, or of training."),
    ] = None
    gradient_accumulation_steps: Annotated[int | None, number("Steps of a window; its update follows the last.")] = None
    accumulation_boundary: Annotated[Boundary | None, word("The end that cuts a window short.")] = None
    accumulation_remainder: Annotated[
        Leftover | None, word("What a cut does: update, zero the gradients, leave them to the next update, go on.")
    ] = None
    accumulation_at_end: Annotated[AtEnd | None, word("A window still open when training stops.")] = None
    loss_normalization: Annotated[
        Normalization | None, word("A window's gradients are divided by its steps, by k, by nothing, or by its rows.")
    ] = None
    order: Annotated[SampleOrder | None, word("Default: shuffle.")] = None
    seed: Annotated[int | None, number("Seed of the shuffled order. Default: 0.")] = None
    reshuffle: Annotated[bool | None, option("A new order each pass, or the first one for all.")] = None
    schedule_clock: Annotated[Unit | None, word("What the task's learning rate schedule ticks by.")] = None
    validation_every: Annotated[int | None, number("Validate after so many epochs (or another unit), and last.")] = None
    validation_unit: Annotated[Unit | None, word("The unit of --validation-every. Default: epochs.")] = None
    validation_batch_size: Annotated[int | None, number("Default: the batch size.")] = None
    early_stopping_patience: Annotated[
        int | None, number("Stop after so many validations in a row without improvement.")
    ] = None
    early_stopping_monitor: Annotated[Monitor | None, word("Of the validation. Default: loss.")] = None
    early_stopping_mode: Annotated[Better | None, word("Which is better. Default: min of a loss, else max.")] = None
    early_stopping_min_delta: Annotated[float | None, option("An improvement is one by more than this.")] = None
    early_stopping_baseline: Annotated[
        float | None, option("Patience is restored only by what is better than this too.")
    ] = None
    restore_best: Annotated[bool | None, option("End with the weights of the best validation.")] = None

    def on(self, file: Path | None) -> TrainingPlan:
        """The plan of the file, or the default one, with these fields replaced."""
        from xframe.plan.training_plan import TrainingPlan

        return TrainingPlan.from_mapping(self.fields(file))

    def fields(self, file: Path | None) -> dict[str, Any]:
        """The fields of the file, or the default ones, with these replaced."""
        from xframe.plan.training_plan import DEFAULT, read_toml

        fields = dict(DEFAULT) if file is None else read_toml(file)
        given = {name: value for name, value in asdict(self).items() if value is not None}
        limits = {"epochs", "steps", "updates"}
        if limits & given.keys():
            fields = {name: value for name, value in fields.items() if name not in limits}
        return {**fields, **given}


NO_OPTIONS = PlanOptions()

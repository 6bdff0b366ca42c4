"""``xframe plan``: what a plan amounts to, without running it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from xframe.cli.grouping import WHAT
from xframe.cli.options import NO_OPTIONS, Json, PlanFile, PlanOptions, known, number
from xframe.cli.printing import answer
from xframe.errors import UsageError
from xframe.plan.presets import trainers as trainer_names

if TYPE_CHECKING:
    Trainer = str
else:
    Trainer = Literal[trainer_names()]
DIGITS = 1797  # samples of the default task


def plan_command(
    file: PlanFile = None,
    /,
    *,
    samples: Annotated[int, number("Size of the data set. Default: the handwritten digits.", WHAT)] = DIGITS,
    like: Annotated[
        list[Trainer] | None,
        Parameter(
            help="Count as this trainer does. Repeatable: side by side, with the reason for each difference.",
            group=WHAT,
            negative="",
            converter=lambda words, tokens: [known(words, token) for token in tokens],
        ),
    ] = None,
    step: Annotated[int | None, number("Also show the step of this 0-based index.", WHAT)] = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Write out how many steps, updates and samples a plan makes, without running anything.

    For example: xframe plan --samples 60000 --batch-size 1000 --epochs 10

    What would others do? xframe plan --like keras --like lightning --gradient-accumulation-steps 4
    """
    from xframe.report import plans, trainers

    asked = plan.fields(file)
    chosen = trainers.answers(like or [], samples, asked, beside=bool(like) and file is not None)
    if len(chosen) > 1 and step is not None:
        raise UsageError("--step with several plans", got=step, expected="one plan, or one --like")
    if len(chosen) > 1:
        facts = trainers.compared(chosen, samples, asked)
        answer(facts, "\n".join(trainers.side_by_side(chosen, facts)), json=json)
        return 0
    ((name, only),) = chosen.items()
    shown = None if step is None else only.step(step, samples)
    result: dict[str, Any] = only.counts(samples).to_dict()
    fields = ", ".join(f"{key} {value}" for key, value in only.to_dict().items())
    lines = [f"{name} {only.digest[:8]}: {fields}", *(arithmetic := plans.arithmetic(only, samples))]
    if like:
        result |= {"trainer": name, "plan": only.to_dict(), "digest": only.digest, "arithmetic": arithmetic}
    if shown is not None:
        result["step"] = {**asdict(shown), "sample_ids": shown.sample_ids.tolist()}
        lines += plans.one_step(only, shown, samples)
    answer(result, "\n".join(lines), json=json)
    return 0

"""``xframe plan``: what a plan amounts to, without running it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from xframe.cli.grouping import WHAT
from xframe.cli.options import NO_OPTIONS, Json, PlanFile, PlanOptions, known, many, number, pairs
from xframe.cli.printing import answer
from xframe.errors import UsageError
from xframe.plan.fields import DEFAULT
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
    samples: Annotated[int | None, number("Size of the data set. Default: 1797, that of digits-mlp.", WHAT)] = None,
    like: Annotated[
        list[Trainer] | None,
        Parameter(
            help="Count as this trainer does. Repeatable: side by side, with the reason for each difference.",
            group=WHAT,
            negative="",
            converter=lambda words, tokens: [known(words, token) for token in tokens],
        ),
    ] = None,
    argument: Annotated[
        list[str] | None,
        many(
            "NAME=VALUE is an argument of the trainer by its own name, as in a script; with several --like "
            "TRAINER.NAME=VALUE.",
            WHAT,
        ),
    ] = None,
    step: Annotated[int | None, number("Also show the step of this 0-based index.", WHAT)] = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Write out how many steps, updates and samples a plan makes, without running anything.

    For example: xframe plan --samples 60000 --batch-size 1000 --epochs 10

    What would others do? xframe plan --like keras --like lightning --gradient-accumulation-steps 4

    What does a script do? xframe plan --like lightning --argument batch_size=32 --argument max_epochs=3
    """
    from xframe.plan.counting import of_replicas
    from xframe.report import plans, trainers

    given = DIGITS if samples is None else samples
    assumed = [f"(no --samples given: {given:,} are those of the task digits-mlp)"] * (samples is None)
    own = _arguments(like or [], argument)
    asked = plan.fields(file, {} if own else DEFAULT)
    chosen, samples = trainers.answers_to_calls(like or [], given, asked, own, beside=bool(like) and file is not None)
    if len(chosen) > 1 and step is not None:
        raise UsageError("--step with several plans", got=step, expected="one plan, or one --like")
    if len(chosen) > 1:
        facts = trainers.compared(chosen, samples, asked, own)
        answer(facts, "\n".join([*trainers.side_by_side(chosen, facts), *assumed]), json=json)
        return 0
    ((name, only),) = chosen.items()
    shown = None if step is None else only.step(step, samples)
    result: dict[str, Any] = only.counts(samples).to_dict()
    fields = ", ".join(f"{key} {value}" for key, value in only.to_dict().items())
    lines = [f"{name} {only.digest[:8]}: {fields}", *(arithmetic := plans.arithmetic(only, samples))]
    if like:
        result |= {"trainer": name, "plan": only.to_dict(), "digest": only.digest, "arithmetic": arithmetic}
        result |= {"num_samples": samples}
    if only.replicas > 1:
        result["replicas"] = [asdict(one) for one in islice(of_replicas(only, samples), plans.MOST_REPLICAS)]
    if shown is not None:
        result["step"] = {**asdict(shown), "sample_ids": shown.sample_ids.tolist()}
        if only.replicas > 1:
            result["step_of_replicas"] = [
                {"replica": replica, "sample_ids": ids.tolist(), "padding": padding}
                for replica, ids, padding in plans.shares(only, shown)
            ]
        lines += plans.one_step(only, shown, samples)
    answer(result, "\n".join([*lines, *assumed]), json=json)
    return 0


def _arguments(like: Sequence[str], texts: list[str] | None) -> dict[str, dict[str, Any]]:
    """By trainer, the arguments given by its own names."""
    own: dict[str, dict[str, Any]] = {}
    for name, text in pairs("--argument", texts, "NAME=VALUE, as max_epochs=3", empty=True).items():
        trainer, dot, argument = name.rpartition(".")
        trainer = trainer if dot else like[0] if len(like) == 1 else ""
        if trainer not in like:
            each = " or ".join(f"--argument {one}.{argument}={text}" for one in like)
            raise UsageError(
                "--argument: which trainer's is not clear", got=name, expected=each or f"--like TRAINER beside {name}"
            )
        own.setdefault(trainer, {})[argument] = _value(text)
    return own


def _value(text: str) -> Any:
    """The value that Python or JSON writes so; else the text."""
    words = {"true": True, "false": False, "null": None}
    try:
        return words[text] if text in words else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text

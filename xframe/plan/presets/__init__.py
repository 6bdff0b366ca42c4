"""How trainers count, as plans.

``TrainingPlan.like(trainer, num_samples=…, …)`` takes a trainer's own arguments, by its own names, and
returns the plan that makes the same steps and updates. A call is taken as it stands: arguments that change no
counting are known and accepted. Where its maximum counts updates, so does the plan, and where it stops early, so does
the plan. What it does that no plan expresses is refused by name. Sample order is the plan's own (``order``,
``seed``, ``reshuffle`` may be given): each trainer shuffles with a generator of its own.

Each preset says what it rests on. *ran*: ``make trainers`` runs the installed trainer on random
configurations and compares sample ids, update positions and every update's gradient, step by step.
*read*: the source of the version named. Where several processes or devices share the samples, the plan's ``batch_size``
is that of all together.

``settings`` reads a preset backwards: from a plan to the trainer's arguments, which are right if ``like`` makes that
plan of them. So what a trainer does is stated once.

A file of this folder is a trainer: its docstring says how it counts, its ``PRESET`` does it. What several share is in
the files whose names begin with an underscore.

One that *ran* is also in tests/trainers: a script that watches it, and a line in ``agreement.TRAINERS``; its version is
pinned in constraints.txt. One that was *read* needs neither.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, did_you_mean, unknown
from xframe.plan import equivalence
from xframe.plan.fields import ACCUMULATION, DEPENDENTS, LIMITS, sample_count
from xframe.plan.presets._preset import QUESTION, TRAINED, Fields, Preset, batches_of_pass
from xframe.plan.problems import ELSEWHERE
from xframe.plan.replicas import rows_of_pass

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

_ORDER = ("order", "seed", "reshuffle")
_BESIDE = (  # fields of a plan that may be given beside any trainer's arguments
    *_ORDER,
    "validation_every",
    *(field.name for needed in ("validation_every", "early_stopping_patience") for field in DEPENDENTS[needed]),
)


def trainers() -> tuple[str, ...]:
    """The names of all trainers."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def preset(trainer: str) -> Preset:
    """What is known of that trainer. Raises UsageError: there is none of that name."""
    if trainer not in trainers():
        raise unknown("trainer", str(trainer), trainers())
    known: Preset = importlib.import_module(f"{__name__}.{trainer}").PRESET
    return known


def like(trainer: str, *, num_samples: int, **arguments: Any) -> Fields:
    """The fields of the plan that counts as that trainer does, and ``num_samples``, on how many samples it trains.

    Args:
        trainer: one of ``trainers()``.
        num_samples: size of the data set.
        arguments: the trainer's own, by its own names, as they stand in a script; see the file of its name. A plan's
            name for the same thing will do, as ``epochs`` for Lightning's ``max_epochs``. Besides them a plan's own
            ``order``, ``seed`` and ``reshuffle``, and its fields of validation and early stopping.

    Raises:
        UsageError: no such trainer or argument, or something that no plan expresses.
    """
    known = preset(trainer)
    parameters = known.parameters
    beside = {name: arguments.pop(name) for name in _BESIDE if name in arguments and name not in parameters}
    for name, own in known.names.items():
        if name in arguments and name not in parameters:
            if own in arguments:
                raise UsageError(f"{trainer} with both {name} and {own}", got=arguments[name], expected=f"{own} alone")
            arguments[own] = arguments.pop(name)
    for name in arguments.keys() - parameters.keys():
        if name not in known.accepts:
            raise _unknown(trainer, known, name, arguments[name])
        if (only := known.accepts[name]) is not None:
            only.require(trainer, name, arguments[name])
        del arguments[name]
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise UsageError(f"{trainer} needs {name}", expected=f"{name} = 32, for example")
    size = sample_count(num_samples)
    fields = {TRAINED: size} | known.make(num_samples=size, **arguments) | beside
    return {name: value for name, value in fields.items() if value is not None}


def _unknown(trainer: str, known: Preset, name: str, value: Any) -> UsageError:
    """The error for an argument that the trainer doesn't have."""
    counting = ", ".join(known.parameters)
    own = known.names.get(ELSEWHERE.get(name, "").partition(",")[0])
    calls = f"{trainer} calls it {own}." if own else ""
    return UsageError(
        f"{trainer} has no argument {name!r}",
        got=value,
        expected=f"one of {trainer}'s own; those that change counting are {counting}",
        remedy=known.missing.get(name) or calls or did_you_mean(name, [*known.parameters, *known.accepts, *_BESIDE]),
    )


def put(trainer: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer's arguments for a question put in a plan's words: batch_size, limits, remainder, steps_per_epoch, …

    Raises:
        UsageError: the trainer has no such thing.
    """
    known, arguments = preset(trainer), dict[str, Any]()
    for name, value in _each(known, question).items():
        if name in _BESIDE:
            arguments[name] = value
        elif name == "remainder":
            if value not in ("keep", "drop"):
                raise UsageError(f"{trainer} with remainder {value!r}", got=value, expected="keep or drop")
            arguments |= known.drop if value == "drop" else {}
        elif name in known.names:
            arguments[known.names[name]] = value
        else:
            can = [field for field in (*known.names, "remainder") if field != name]
            raise UsageError(
                f"{trainer} has no {name}", got=value, expected=", ".join(can), remedy=known.missing.get(name)
            )
    return arguments


def _each(known: Preset, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """The question with the batch size that the trainer means. Raises UsageError: replicas do not divide it."""
    number, size = question.get("replicas"), question.get("batch_size")
    if not known.per_replica or type(number) is not int or type(size) is not int or number < 2:
        return question
    if size % number:
        raise UsageError(
            f"{known.trainer} with batches that {number:,} replicas do not divide",
            got=size,
            expected=f"a multiple of {number:,}, for each of its replicas has as many rows",
        )
    return {**question, "batch_size": size // number}


def answer(trainer: str, num_samples: int, question: Mapping[str, Any], **switches: Any) -> Fields:
    """The trainer's plan for a question in a plan's words. Raises UsageError as ``like`` and ``put`` do."""
    fields = like(trainer, num_samples=num_samples, **(dict(switches) | put(trainer, question)))
    del fields[TRAINED]
    return fields


_EPOCHS = {"steps_per_epoch", *(field.name for field in DEPENDENTS["steps_per_epoch"])}
_REPLICAS = {field.name for field in DEPENDENTS["replicas"]}
_COUNTED = frozenset({*QUESTION, "remainder", *_EPOCHS, *ACCUMULATION, *_REPLICAS})  # what a trainer's arguments decide
_UNCUT = {"accumulation_boundary": "epoch", "accumulation_remainder": "carry"}  # where no window is cut short


def settings(trainer: str, plan: TrainingPlan, num_samples: int) -> tuple[Fields, list[str]]:
    """The trainer's arguments that make this plan of these samples; and why there are none, else nothing."""
    known = preset(trainer)
    try:
        wanted = _plain(plan, num_samples)
    except UsageError as error:
        return {}, [str(error)]
    question = {name: value for name, value in wanted.to_dict().items() if name in (*QUESTION, "remainder")}
    if plan.replicas > 1 and wanted.remainder == "pad":
        del question["remainder"]  # to be filled up is some trainers' own
    if plan.gradient_accumulation_steps == 1:  # each step has its update: a trainer may count whichever it likes
        for one, other in (("steps", "updates"), ("updates", "steps")):
            if one in question and one not in known.names and other in known.names:
                question[other] = question.pop(one)
    arguments, reasons = dict[str, Any](), list[str]()
    try:
        question = dict(_each(known, question))
    except UsageError as error:
        return {}, [str(error)]
    for name, value in question.items():
        try:
            arguments |= put(trainer, {name: value})
        except UsageError as error:
            reasons.append(str(error))
    if reasons:
        return {}, reasons
    refused: list[list[str]] = []
    variants = {**known.variants, **(known.of_replicas if plan.replicas > 1 else {})}
    for values in product(*variants.values()):
        chosen = arguments | dict(zip(variants, values, strict=True))
        try:
            made = _made(known, plan, num_samples, chosen)
        except UsageError as error:
            refused.append([str(error)])
            continue
        if equivalence.meaning(made) == equivalence.meaning(wanted):
            return chosen, []
        refused.append(_departures(known, made, wanted))
    return {}, min(refused, key=len)


def _made(known: Preset, plan: TrainingPlan, num_samples: int, arguments: Fields) -> TrainingPlan:
    """The plan that these arguments make, with what else the given one says."""
    beside = {name: value for name, value in plan.to_dict().items() if name not in _COUNTED}
    made = known.make(num_samples=num_samples, **arguments)
    beside |= {name: value for name, value in made.items() if name != TRAINED and value is not None}
    return _plain(type(plan).from_mapping(beside), num_samples)


def _plain(plan: TrainingPlan, num_samples: int) -> TrainingPlan:
    """The plan in the words that all trainers share, where over this many samples these make no difference."""
    fields: dict[str, Any] = plan.to_dict()
    length, window, policy = plan.steps_per_epoch, plan.gradient_accumulation_steps, plan.on_exhaustion
    rows = rows_of_pass(plan, num_samples)
    if plan.replicas > 1 and num_samples % plan.replicas == 0:
        fields["replica_remainder"] = "uneven"
    if rows % plan.batch_size == 0 and plan.remainder in ("drop", "pad", "error"):
        fields["remainder"] = "keep"
    if window == 1 and plan.updates is not None:
        fields["steps"] = min(plan.updates, plan.steps or plan.updates)
        del fields["updates"]
    if plan.remainder == "carry":
        return type(plan).from_mapping(fields)
    batches, restarts = batches_of_pass(rows, plan.batch_size, plan.remainder == "drop"), "restart"
    if length == batches and (plan.epoch_iterator == restarts or policy != "stop"):  # epochs are passes
        length = None
        fields = {name: value for name, value in fields.items() if name not in _EPOCHS}
        if window > 1:
            fields["accumulation_boundary"] = "epoch"
    elif length is not None and length < batches and plan.epoch_iterator == restarts:  # no pass is ever over
        fields["on_exhaustion"] = "repeat"
        if plan.accumulation_boundary == "pass":
            fields |= _UNCUT
    if length is None and window > 1 and batches % window == 0:
        fields |= _UNCUT
    return type(plan).from_mapping(fields)


def _departures(known: Preset, made: TrainingPlan, wanted: TrainingPlan) -> list[str]:
    """In which fields the trainer's plan is another."""
    does, asked = made.to_dict(), wanted.to_dict()
    fields = [name for name in _COUNTED if does.get(name) != asked.get(name)]
    ordered = sorted(fields, key=lambda name: (name not in LIMITS, name))
    return [f"{known.trainer} has {name} {_word(does, name)}, and the plan {_word(asked, name)}" for name in ordered]


def _word(fields: Mapping[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else "unset"

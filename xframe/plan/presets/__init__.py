"""How trainers count, as plans.

``TrainingPlan.like(trainer, num_samples=…, …)`` takes a trainer's own arguments, by its own names, and
returns the plan that makes the same steps and updates. Where its maximum counts updates, so does the
plan. What it does that no plan expresses is refused by name. Sample order is the plan's own (``order``,
``seed``, ``reshuffle`` may be given): each trainer shuffles with a generator of its own.

Each preset says what it rests on. *ran*: ``make trainers`` runs the installed trainer on random
configurations and compares sample ids, update positions and every update's gradient, step by step.
*read*: the source of the version named. All are of one process on one device.

A file of this folder is a trainer: its docstring says how it counts, its ``PRESET`` does it. What several share is in
the files whose names begin with an underscore.

One that *ran* is also in tests/trainers: a script that watches it, and a line in ``agreement.TRAINERS``; its version is
pinned in constraints.txt. One that was *read* needs neither.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from xframe.errors import UsageError, did_you_mean, unknown
from xframe.plan.fields import sample_count
from xframe.plan.presets._preset import Fields, Preset

_ORDER = ("order", "seed", "reshuffle")


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
    """The fields of the plan that counts as that trainer does.

    Args:
        trainer: one of ``trainers()``.
        num_samples: size of the data set.
        arguments: the trainer's own, by its own names; see the file of its name. A plan's name for the same thing
            will do, as ``epochs`` for Lightning's ``max_epochs``. Besides them ``order``, ``seed`` and
            ``reshuffle``, as in a plan.

    Raises:
        UsageError: no such trainer or argument, or something that no plan expresses.
    """
    known = preset(trainer)
    ordering = {name: arguments.pop(name) for name in _ORDER if name in arguments}
    parameters = known.parameters
    for name, own in known.names.items():
        if name in arguments and name not in parameters:
            if own in arguments:
                raise UsageError(f"{trainer} with both {name} and {own}", got=arguments[name], expected=f"{own} alone")
            arguments[own] = arguments.pop(name)
    for name in arguments:
        if name not in parameters:
            raise UsageError(
                f"{trainer} has no argument {name!r} here",
                got=arguments[name],
                expected="one of " + ", ".join(parameters),
                remedy=known.missing.get(name) or did_you_mean(name, parameters),
            )
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise UsageError(f"{trainer} needs {name}", expected=f"{name} = 32, for example")
    fields = known.make(num_samples=sample_count(num_samples), **arguments) | ordering
    return {name: value for name, value in fields.items() if value is not None}


def answer(trainer: str, num_samples: int, question: Mapping[str, Any], **switches: Any) -> Fields:
    """The trainer's plan for a question put in a plan's words: batch_size, limits, remainder, steps_per_epoch, …

    Raises:
        UsageError: as ``like``; also where the trainer has no such thing.
    """
    known, arguments = preset(trainer), dict(switches)
    for name, value in question.items():
        if name in _ORDER:
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
    return like(trainer, num_samples=num_samples, **arguments)

"""A trainer's arguments that no field of a plan follows from, and the callbacks that it is given.

A call is taken as it stands in a script, so each argument of the trainer is known. Most change no counting: a
``Preset`` lists them under ``accepts`` with None, and they may be anything. Of others only some values change none:
an ``Only`` states which, and why any other is refused. tests/trainers compares the lists with the installed trainers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xframe.errors import UsageError
from xframe.plan.presets._preset import Fields

SHARE = "Several processes share out the samples in ways that no plan expresses."

RESUMED = "Ask for the run as it was begun."


@dataclass(frozen=True, slots=True)
class Only:
    """The values of an argument that change no counting.

    Attributes:
        allowed: whether a value is one.
        expected: which they are, in words.
        why: what any other would do.
    """

    allowed: Callable[[Any], bool]
    expected: str
    why: str
    remedy: str = ""

    def require(self, trainer: str, name: str, value: Any) -> None:
        """Raises UsageError: the value is none of them."""
        if not self.allowed(value):
            raise UsageError(
                f"{trainer} with {name}: {self.why}", got=value, expected=self.expected, remedy=self.remedy or None
            )


def free(*texts: str) -> dict[str, Only | None]:
    """Names, separated by blanks, of arguments that may be anything."""
    return {name: None for text in texts for name in text.split()}


def unset(names: str, why: str, remedy: str = "") -> dict[str, Only | None]:
    """Names of arguments that must be left out, or be what stands for that."""
    return dict.fromkeys(names.split(), Only(_is_nothing, "nothing", why, remedy))


def one_process(names: str, *also: Any) -> dict[str, Only | None]:
    """Names of arguments that say how many processes or devices there are; ``also``: what else means one."""

    def single(value: Any) -> bool:
        listed = isinstance(value, (list, tuple)) and len(value) == 1
        return _is_nothing(value) or listed or any(value == one and type(value) is type(one) for one in (1, "1", *also))

    why = "how it shares out samples and gradients is not known"
    return dict.fromkeys(names.split(), Only(single, "one process on one device", why, SHARE))


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (str, list, tuple, dict)) and not value)


SHUFFLED = {True: "shuffle", False: "sequential"}  # the order of a plan, by a trainer's own ``shuffle``


def order_of(trainer: str, shuffle: Any) -> Fields:
    """The order of a trainer's ``shuffle``: the plan's own where it is None."""
    if shuffle is None:
        return {}
    if not isinstance(shuffle, bool):
        raise UsageError(
            f"{trainer} with shuffle: no plan shuffles in another way than sample by sample",
            got=shuffle,
            expected="True or False",
        )
    return {"order": SHUFFLED[shuffle]}


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The callbacks of a trainer's own package: all others are refused, since what they do is not known.

    Attributes:
        package: where its own are defined, the first part of their modules' names.
        changing: by the name of one that may change counting, how.
    """

    package: tuple[str, ...]
    changing: Mapping[str, str]

    def read(self, trainer: str, given: Any, *expressed: str) -> dict[str, Any]:
        """Of the callbacks given those that a plan may express, by the names of their classes."""
        found: dict[str, Any] = {}
        for callback in given if isinstance(given, (list, tuple)) else [] if given is None else [given]:
            kind = callback if isinstance(callback, type) else type(callback)
            own = kind.__module__.partition(".")[0] in self.package
            if own and kind.__name__ in expressed and kind.__name__ not in found:
                found[kind.__name__] = callback() if isinstance(callback, type) else callback
            elif not own or kind.__name__ in self.changing or kind.__name__ in expressed:
                why = self.changing.get(kind.__name__, "given twice") if own else "what it does is not known"
                raise UsageError(
                    f"{trainer} with the callback {kind.__name__}: {why}",
                    expected="the trainer's own callbacks that change no counting"
                    + "".join(f", or one {name}" for name in expressed),
                    remedy="Leave it out if it neither stops training nor changes batches and updates.",
                )
        return found


def stopping(trainer: str, callback: Any, monitor: str, mode: str, patience: Any, **fields: Any) -> Fields:
    """A plan's fields of early stopping.

    Args:
        monitor: what the trainer calls what is to improve; a plan knows a validation's loss and accuracy.
        mode: ``min``, ``max``, or what leaves it to the name.
        patience: as the trainer has it: 0 stops as 1 does.
        fields: others of the plan.
    """
    name = monitor.lower()
    what = "loss" if "loss" in name else "accuracy" if "acc" in name else None
    if what is None or not name.startswith(("val", "eval")):
        raise UsageError(
            f"{trainer} with {type(callback).__name__} on {monitor}: no plan expresses that",
            got=monitor,
            expected="the loss or the accuracy of a validation, as val_loss",
        )
    return {
        "early_stopping_monitor": what,
        "early_stopping_mode": mode if mode in ("min", "max") else None,
        "early_stopping_patience": max(int(patience), 1),
        **fields,
    }


def require_plain(trainer: str, callback: Any, **plain: Any) -> None:
    """Refuses an early stopping that has more to it than a plan's: an attribute that is not as given here."""
    for name, value in plain.items():
        got = getattr(callback, name, value)
        if got != value:
            raise UsageError(
                f"{trainer} with {type(callback).__name__}({name}={got!r}): no plan expresses that",
                got=got,
                expected=repr(value),
            )

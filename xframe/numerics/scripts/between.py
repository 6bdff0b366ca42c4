"""What happens to weights between two captured updates that follow one another: nothing, or the same in both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.numerics.judging import judge_step
from xframe.numerics.result import Distance, NumericCause
from xframe.numerics.scripts.matching import Match, update
from xframe.numerics.tensors import same_bits
from xframe.state.record import Record
from xframe.state.state import State

Arrays = Mapping[str, NDArray[Any]]
Found = tuple[list[Distance], list[NumericCause], list[tuple[str, str]]]


class Between:
    """Holds what each update left beside what the next one began from.

    Args:
        names: of the two scripts.
    """

    def __init__(self, names: tuple[str, str]) -> None:
        self._names = names
        self._last: Match | None = None

    def __call__(self, match: Match) -> Found:
        """Of an update, and the one that was given before it: distances, why, and what could not be judged."""
        last, self._last = self._last, match
        if last is None or update(match.reference) != update(last.reference) + 1:
            return [], [], []
        moved = [_moved(*each) for each in zip(last.sides, match.sides, strict=True)]
        if None in moved or not any(moved):
            return [], [], []
        ours, theirs = (set(one or ()) for one in moved)
        same = _same(last, match, ours | theirs)
        when = f"between updates {update(last.reference)} and {update(match.reference)}"
        distances, causes = list[Distance](), list[NumericCause]()
        for side, names in enumerate((ours - theirs - same, theirs - ours - same)):
            failing = [one for one in _apart(last.sides[side], match.sides[side], names, side) if not one.ok]
            distances += failing
            if failing:
                some = _some([one.tensor for one in failing])
                text = f"weights changed {when}: {self._names[side]} changes {some} there, {self._names[1 - side]} not"
                fix = {"any": "change weights in both scripts or in none, between one update and the next"}
                causes.append(NumericCause("weights-between-updates", "proven", "update", failing[0].tensor, text, fix))
        notes = []
        if common := [name for name in moved[0] or () if name in theirs and name not in same]:
            both = [one for one in _begun(last, match, common) if not one.ok]
            if last.weights != "equal":
                notes.append(("between", f"{when} both change {_some(common)}: whether alike is not judged"))
            elif both:
                text = f"weights changed {when}: of {_some([one.tensor for one in both])} the two make other numbers"
                causes.append(NumericCause("weights-between-updates", "proven", "update", both[0].tensor, text))
                distances += both
        return distances, causes, notes


def _same(last: Match, match: Match, names: Iterable[str]) -> set[str]:
    """Of these, what both begin from alike after an update that began from equal weights."""
    return {one.tensor for one in _begun(last, match, names) if one.ok} if last.weights == "equal" else set()


def _begun(last: Match, match: Match, names: Iterable[str]) -> tuple[Distance, ...]:
    """What the two begin from."""
    states = [one.before.parameters for one in match.sides if one.before is not None]
    ours, theirs = ({name: held[name] for name in sorted(names) if name in held} for held in states)
    return _judged(last.reference, ours, theirs)


def _moved(last: Record, now: Record) -> list[str] | None:
    """What begins an update as other numbers than the one before it left; None where that was not captured."""
    if last.after is None or now.before is None:
        return None
    left, begun = last.after.parameters, now.before.parameters
    if {*left} != {*begun}:
        return None
    return [name for name, values in left.items() if not same_bits(values, begun[name])]


def _apart(last: Record, now: Record, names: Iterable[str], side: int) -> tuple[Distance, ...]:
    """What one script's update left, beside what its next one began from, as the reference's or the candidate's."""
    if last.after is None or now.before is None:
        return ()
    left, begun = (
        {name: held[name] for name in sorted(names)} for held in (last.after.parameters, now.before.parameters)
    )
    return _judged(last, *((left, begun) if side else (begun, left)))


def _judged(last: Record, ours: Arrays, theirs: Arrays) -> tuple[Distance, ...]:
    """Weights behind an update, by what that may round."""
    before = State(
        {name: np.asarray(values) for name, values in last.before.parameters.items() if name in ours}
        if last.before
        else {},
        precision=last.precision,
    )
    one, other = (Record(last.step, before, {"update": held}) for held in (ours, theirs))
    return judge_step(one, other)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""What steps from one state showed, in words and one table: each worst value, its bound, and what would have failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xframe.comparison.checks.resynchronised import element, failing, shown, summary
from xframe.comparison.result import Comparison
from xframe.errors import counted, printable
from xframe.numerics.result import STEP, Curve, Distance, Numerics


def table(comparison: Comparison) -> list[list[str]]:
    """By run, precision and stage the value that takes the largest share of its bound; empty where none was judged."""
    judged = [one for one in comparison.numerics if one.worst]
    if not judged:
        return []
    several, reference = len(comparison.numerics) > 1, next(iter(comparison.runs))
    sides = [reference, "candidate" if several else judged[0].candidate]
    ulps = ["ulps"] * (not any(one.updates for one in judged))  # beside the updates there is no room
    head = ["judged in", "result", "worst", *sides, *ulps, "bound", "would fail at"]
    rows = [["run", *head] if several else head]
    for one in judged:
        measured = [
            distance for distance in one.worst if distance.bound or distance.difference
        ]  # whole numbers are equal
        rows += [[*[printable(one.candidate)] * several, *_cells(distance, one, ulps)] for distance in measured]
    return rows if len(rows) > 1 else []


def _cells(distance: Distance, judged: Numerics, ulps: Sequence[str]) -> list[str]:
    values = [shown(one, distance) for one in (distance.reference, distance.candidate)]
    sizes = [f"{one:.2g}" for one in (*([distance.ulps] if ulps else []), distance.bound)]
    stage = [distance.stage] * (distance.stage != STEP)
    many = judged.updates.get(distance.stage, 0)
    head = [" ".join((distance.precision, *stage)), "PASS" if distance.ok else "FAIL"]
    head[1] += f" in {counted(many, 'update')}" * bool(many)
    head.append(f"{printable(element(distance))} @{distance.step:,}")
    return [*head, *values, *sizes, failing(distance)]


def basis(comparison: Comparison) -> str:
    """What the word for the numbers rests on; empty where no steps were judged or they say nothing for it."""
    judged = [one for one in comparison.numerics if one.steps]
    if comparison.numbers not in ("identical", "equivalent") or not judged:
        return ""
    return summary(max(judged, key=_share))


def _share(judged: Numerics) -> float:
    return 0.0 if judged.nearest is None else judged.nearest.share


def sentences(comparison: Comparison) -> Iterator[str]:
    """What is to be said of tolerances and of the losses' curves."""
    if comparison.by_hand and comparison.tolerance is not None:
        yield f"the tolerance of losses and weights, {comparison.tolerance}, was set by hand"
    reference = next(iter(comparison.runs), "")
    for judged in comparison.numerics:
        if judged.replayed:
            stages = " and ".join(filter(None, (", ".join(judged.replayed[:-1]), judged.replayed[-1])))
            text = f"in the table {reference}'s {stages} are what its own formulas make of what {judged.candidate} had"
            yield printable(f"{text} by then, so that an error of one stage does not colour the next")
        if judged.curve is not None and not comparison.by_hand and comparison.structure == "identical":
            yield printable(f"losses of {judged.candidate}: {_of_curve(judged.curve, judged)}")


def _beyond(curve: Curve) -> float:
    """The candidate's loss that would just have failed, on the side on which it is."""
    reference, bound = curve.reference or 0.0, curve.bound or 0.0
    return reference - bound if (curve.candidate or 0.0) < reference else reference + bound


def _of_curve(curve: Curve, judged: Numerics) -> str:
    """The verdict on the two free runs' losses, and what it rests on."""
    measured = f"what rounding makes of the reference's own was measured over {counted(curve.measured, 'step')}"
    if curve.verdict == "identical":
        return f"equal in all of {counted(curve.steps, 'step')}"
    if None in (curve.reference, curve.candidate, curve.bound, curve.at):
        return f"inconclusive: {measured}"
    values = f"{curve.candidate:.9g} and {curve.reference:.9g} at step {curve.at:,}, where {curve.bound:.2g} is allowed"
    values += f" ({_beyond(curve):.9g} would just have failed)"
    if curve.verdict == "inconclusive":
        algorithm = f"; by its steps the algorithm is {judged.verdict}" if judged.steps else ""
        when = f"from step {curve.unclear:,} on rounding alone moves them too far to tell"
        before = f", before that {values}" if (curve.at or 0) < (curve.unclear or 0) else ""
        return f"{when}{before}{algorithm}"
    return f"{'beyond' if curve.verdict == 'different' else 'within'} rounding, {values}; {measured}"

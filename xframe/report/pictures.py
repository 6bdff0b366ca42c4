"""The pictures of a comparison, each of which answers what a person asks of two runs.

A picture has a title, a sentence that says what is to be seen, the same for those who do not see it, and its numbers.
Names of runs stand in these, which the page escapes, and not in the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xframe.comparison.pairing import Run
from xframe.comparison.result import Comparison
from xframe.errors import counted
from xframe.report.drawing import COLOURS, Line, drawing
from xframe.report.series import Envelope, Floats, Lines, lines_of
from xframe.report.view import Table

_NAMED = 6  # runs of which each has a colour of its own
_DRAWN = 20  # runs at most
_RANGES = 12  # rows of a table of numbers
_BESIDE = 20  # steps beside the first difference whose batches are drawn
_MOST_VALIDATIONS = 200
_STEEP = 50  # from which on values are drawn on a logarithmic axis
_OWN_ORDERS = "Each drew its samples in an order of its own, so that losses are not compared step by step."
_NOT_ASKED = "The order of the samples was not to be compared, so that losses are not compared step by step."
_OTHER_PLANS = "The runs were not all meant to be alike, so that losses are not compared step by step."
_UNITS = (1, "s"), (1e3, "ms"), (1e6, "µs")
Series = list[tuple[str, Envelope]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    Attributes:
        legend: colours, of ``COLOURS``, and what is drawn in them.
        alternative: what is to be seen, for those who do not see it.
        svg: the drawing, in which nothing comes from a trace.
        table: its numbers.
    """

    name: str
    title: str
    sentence: str
    alternative: str
    legend: list[tuple[str, str]]
    svg: str
    table: Table


def pictures(comparison: Comparison) -> list[Picture]:
    """All for which the runs have something to show."""
    runs = _shown(comparison)
    if not runs:
        return []
    lines = lines_of(runs, comparison.tolerance)
    at = None if comparison.first_difference is None else int(comparison.first_difference["step"])
    drawn = [
        _losses(lines, at, _unordered(comparison, runs) if comparison.structure_only else ""),
        None if comparison.structure_only else _differences(lines, at, settled=comparison.structure == "identical"),
        _batches(runs, lines, at),
        _rates(lines, at),
        _norms(lines, at),
        _validations(runs, at),
        _times(lines),
    ]
    return [picture for picture in drawn if picture is not None]


def _unordered(comparison: Comparison, runs: Sequence[Run]) -> str:
    """Why losses are not compared step by step, though the runs' batches may be the same ones."""
    known = all("ids_digest" in run.rows.known for run in runs)
    digests = [run.rows.column("ids_digest").values for run in runs] if known and not comparison.order_chosen else []
    same = bool(digests) and all(np.array_equal(digests[0], one) for one in digests[1:])
    return _NOT_ASKED if same else _OWN_ORDERS


def side_by_side(runs: Sequence[Run]) -> list[Picture]:
    """Of runs that are not compared with each other: what each has by itself."""
    runs = [run for run in runs if len(run.rows)][:_DRAWN]
    if not runs:
        return []
    lines = lines_of(runs, None)
    drawn = [
        _losses(lines, None, _OTHER_PLANS),
        _rates(lines, None),
        _norms(lines, None),
        _validations(runs, None),
        _times(lines),
    ]
    return [picture for picture in drawn if picture is not None]


def _shown(comparison: Comparison) -> list[Run]:
    """The runs to be drawn: of very many the first, and those that failed before the others."""
    runs = [run for run in comparison.sides if len(run.rows)]
    others = sorted(runs[1:], key=lambda run: comparison.by_run.get(run.name, {}).get("verdict") == "passed")
    return [run for run in runs if run in [*runs[:1], *others][:_DRAWN]]


def _losses(lines: Sequence[Lines], at: int | None, apart: str) -> Picture | None:
    """``apart``: why they are not compared, if they are not."""
    series = _known(lines, "loss")
    said = [_odd(name, one, "loss") for name, one in series]
    if len(series) > 1:
        said.insert(0, apart or _on_each_other(lines))
    elif series:
        name, one = series[0]
        said.insert(
            0, f"{name}: {_between(float(np.nanmin(one.low)), one.highest)}, the highest in step {one.highest_at:,}."
        )
    return _picture("losses", "Losses", "loss of each step", series, said, at, log=_steep(series))


def _on_each_other(lines: Sequence[Lines]) -> str:
    """Whether the losses lie on each other."""
    compared = [one for one in lines if one.difference is not None and one.difference.finite]
    if not compared:
        return "No step has a loss of both runs."
    farthest = max(compared, key=lambda one: one.difference.highest if one.difference else 0.0)
    assert farthest.difference is not None
    highest = farthest.difference.highest
    if not highest:
        return "The losses are equal to the last digit where both are numbers: their lines lie on each other."
    who = f"{farthest.name} and {lines[0].name}"
    return f"The losses of {who} differ by at most {highest:.3g}, in step {farthest.difference.highest_at:,}."


def _differences(lines: Sequence[Lines], at: int | None, *, settled: bool) -> Picture | None:
    """How far losses are from the reference's, beside what is allowed; and what would have to be, if the runs are the
    same but for that."""
    series = [
        (one.name, one.difference) for one in lines[1:] if one.difference is not None and one.difference.highest > 0
    ]
    if not series:
        return None
    bounds = [one.allowed for one in lines[1:] if one.allowed is not None and one.allowed.finite]
    said = [
        _beyond(one, settled=settled) for one in lines[1:] if one.difference is not None and one.difference.highest > 0
    ]
    said = said[:3]
    if any(one.difference is not None and (one.difference.low == 0).any() for one in lines[1:]):
        said.append("Where there is no line, losses are equal to the last digit.")
    bounded = bool(bounds) and np.nanmax(bounds[0].high) > 0
    extra = [replace(_line(bounds[0], 0, highest=True), dashed=True)] if bounded else []
    title = "Difference of losses, and what is allowed"
    picture = _picture(
        "differences",
        title,
        "|difference| from the reference",
        series,
        said,
        at,
        log=True,
        highest=True,
        first_colour=1,
        extra=extra,
    )
    if picture is None or not extra:
        return picture
    return replace(picture, legend=[(COLOURS[0], "allowed (dashed)"), *picture.legend])


def _beyond(lines: Lines, *, settled: bool) -> str:
    """Whether the differences of a run's losses exceed what is allowed; ``settled``: nothing else differs."""
    assert lines.difference is not None
    largest = f"its largest is {lines.difference.highest:.3g}"
    if lines.beyond_at < 0:
        return f"{lines.name}: the difference stays within what is allowed; {largest}."
    enough = settled and lines.difference.odd_at < 0
    passing = f"; --rtol 0 --atol {1.06 * lines.difference.highest:.2g} would allow it" if enough else ""
    return (
        f"{lines.name}: the difference exceeds what is allowed first in step {lines.beyond_at:,}; {largest}{passing}."
    )


def _rates(lines: Sequence[Lines], at: int | None) -> Picture | None:
    series = _known(lines, "lr")
    spans = [(float(np.nanmin(one.low)), one.highest) for _, one in series]
    alike = len({tuple(f"{value:.6g}" for value in span) for span in spans}) == 1
    said = [f"{name}: {_between(*span)}." for (name, _), span in zip(series, spans, strict=True)]
    if alike and len(series) > 1:
        said = [f"{'Both' if len(series) == 2 else 'All'} runs: {_between(*spans[0])}."]
    return _picture("rates", "Learning rate", "learning rate of each step", series, said[:3], at)


def _between(low: float, high: float) -> str:
    texts = f"{low:.6g}", f"{high:.6g}"
    return f"{texts[0]} throughout" if texts[0] == texts[1] else f"between {texts[0]} and {texts[1]}"


def _norms(lines: Sequence[Lines], at: int | None) -> Picture | None:
    series = _known(lines, "gradient_norm") or _known(lines, "clipped_norm")
    clipped = [one.name for one in lines if _clipped(one)]
    said = [f"{name}: at most {one.highest:.4g}, in step {one.highest_at:,}." for name, one in series[:3]]
    said += [f"Clipping reduced those of {' and '.join(clipped)}."] if clipped else []
    return _picture("norms", "Gradient norms", "L2 norm of all gradients", series, said, at, log=_steep(series))


def _clipped(lines: Lines) -> bool:
    """Whether norms are smaller after clipping."""
    before, after = lines.columns["gradient_norm"], lines.columns["clipped_norm"]
    return bool(before.finite and after.finite and after.highest < 0.999 * before.highest)


def _times(lines: Sequence[Lines]) -> Picture | None:
    series = _known(lines, "seconds")
    said = ["When the host got each row, which is no measurement of speed: xframe bench makes that."]
    said += [f"{name}: the slowest step, {one.highest_at:,}, took {_seconds(one.highest)}." for name, one in series[:2]]
    return _picture("times", "Time of each step", "seconds", series, said, None, log=_steep(series))


def _seconds(value: float) -> str:
    scaled = next((f"{value * times:.3g} {unit}" for times, unit in _UNITS if value * times >= 1), "")
    return scaled or f"{value:.3g} s"


def _batches(runs: Sequence[Run], lines: Sequence[Lines], at: int | None) -> Picture | None:
    """Sizes of batches and where updates came, near the first difference, else near the first short batch."""
    sized = [one for one in lines if one.sized]
    if not sized:
        return None
    short = [one.first_short for one in sized if one.first_short >= 0]
    centre = at if at is not None else min(short, default=_BESIDE)
    start = max(0, centre - _BESIDE)
    stop = min(max(len(run.rows) for run in runs), start + 2 * _BESIDE + 1)
    drawn, steps = list[Line](), np.arange(start, stop)
    shown = list(zip(runs, lines, strict=True))[:2]
    largest = max(one.largest for _, one in shown)
    cells = [[f"{step:,}" for step in steps]]
    for i, (run, _) in enumerate(shown):
        sizes, updates = (_numbers(run, name, max(0, start - 1), stop) for name in ("batch_size", "updates"))
        before = np.diff(updates, prepend=0.0 if start == 0 else np.nan)[min(start, 1) :]
        sizes, made = sizes[min(start, 1) :], before > 0
        drawn.append(Line(steps, sizes, i, "steps"))
        drawn.append(Line(steps[made], np.full(int(made.sum()), -0.07 * largest * (i + 1)), i, "marks"))
        cells += [[_whole(size) for size in sizes], ["yes" if one else "" for one in made]]
    names = [run.name for run, _ in shown]
    head = ["step", *(text for name in names for text in (f"batch of {name}", f"update by {name}"))]
    said = [_short(one) for one in sized[:3]]
    sentence = " ".join([*said, "Marks below the line show where updates came."])
    return Picture(
        "batches",
        f"Batches and updates, steps {start:,} to {stop - 1:,}",
        sentence,
        f"The size of each batch of {' and '.join(names)} from step {start:,} to {stop - 1:,}. {' '.join(said)}",
        [(COLOURS[i], name) for i, name in enumerate(names)],
        drawing("batches", "samples in the batch", drawn, at=at, whole=True),
        [head, *map(list, zip(*cells, strict=True))],
    )


def _short(lines: Lines) -> str:
    if not lines.short:
        return f"{lines.name}: all batches are of {lines.largest:,}."
    smaller = f"{lines.short:,} of {counted(lines.sized, 'batch')} are smaller than {lines.largest:,}"
    return f"{lines.name}: {smaller}, first in step {lines.first_short:,}."


def _numbers(run: Run, column: str, start: int, stop: int) -> Floats:
    """A column of some steps as numbers; NaN where it is not known, and behind the end."""
    part = run.rows.unread().between(start, stop)
    numbers = np.full(stop - start, np.nan)
    if len(part):
        values, known = part.column(column)
        numbers[: len(part)] = values if known is None else np.where(known, values, np.nan)
    return numbers


def _whole(value: float) -> str:
    return "" if np.isnan(value) else f"{int(value):,}"


def _validations(runs: Sequence[Run], at: int | None) -> Picture | None:
    """What came out of validations, by the step after which they were."""
    seen = [(run.name, [one for one in run.validations if one.loss is not None]) for run in runs]
    seen = [(name, each[:_MOST_VALIDATIONS]) for name, each in seen if each]
    if not seen:
        return None
    drawn, rows = [], list[list[str]]()
    for i, (name, each) in enumerate(seen):
        after, losses = np.array([one.after for one in each]), np.array([one.loss for one in each], dtype=float)
        drawn.append(Line(after, np.where(np.isfinite(losses), losses, np.nan), i, "points"))
        rows += [
            [name, f"{one.after:,}", f"{one.loss:.6g}", "" if one.accuracy is None else f"{one.accuracy:.6g}"]
            for one in each
        ]
    best = [_outcome(name, [one.loss for one in each if one.loss is not None]) for name, each in seen[:3]]
    sentence = " ".join(best)
    return Picture(
        "validations",
        "Validations",
        sentence,
        f"Losses of validations. {sentence}",
        _legend([name for name, _ in seen]),
        drawing("validations", "loss of validation", drawn, at=at),
        [["run", "after steps", "loss", "accuracy"], *rows],
    )


def _outcome(name: str, losses: Sequence[float]) -> str:
    finite = [loss for loss in losses if np.isfinite(loss)]
    lowest = f"lowest {min(finite):.6g}" if finite else "no finite number"
    return f"{name}: {counted(len(losses), 'validation')}, {lowest}, last {losses[-1]:.6g}."


def _known(lines: Sequence[Lines], column: str) -> Series:
    return [(one.name, one.columns[column]) for one in lines if one.columns[column].finite]


def _odd(name: str, one: Envelope, what: str) -> str:
    return "" if one.odd_at < 0 else f"{name}: the {what} is no finite number first in step {one.odd_at:,}."


def _steep(series: Series) -> bool:
    """Whether values are positive and of different sizes."""
    lows = [float(np.nanmin(one.low)) for _, one in series]
    return bool(lows) and min(lows) > 0 and max(one.highest for _, one in series) > _STEEP * min(lows)


def _line(one: Envelope, colour: int, *, highest: bool = False) -> Line:
    places, values = one.line(highest=highest)
    return Line(places, values, colour, "line" if len(places) == len(one.low) else "band")


def _legend(names: Sequence[str], first_colour: int = 0) -> list[tuple[str, str]]:
    """The colours of runs; of many, one for all but the first."""
    if len(names) + first_colour <= _NAMED:
        return [(COLOURS[first_colour + i], name) for i, name in enumerate(names)]
    own = [(COLOURS[0], names[0])] if first_colour == 0 else []
    return [*own, (COLOURS[1], f"{len(names) - len(own)} others")]


def _picture(
    name: str,
    title: str,
    unit: str,
    series: Series,
    said: Sequence[str],
    at: int | None,
    *,
    log: bool = False,
    highest: bool = False,
    first_colour: int = 0,
    extra: Sequence[Line] = (),
) -> Picture | None:
    """A picture of columns by step; None where there is nothing to draw."""
    if not series:
        return None
    many = len(series) + first_colour > _NAMED
    colours = [min(i + first_colour, 1) if many else i + first_colour for i in range(len(series))]
    drawn = [_line(one, colour, highest=highest) for (_, one), colour in zip(series, colours, strict=True)]
    steps = int(series[0][1].edges[-1])
    sentence = " ".join(filter(None, said))
    names = [run for run, _ in series]
    return Picture(
        name,
        title,
        sentence,
        f"{unit.capitalize()}, of {' and '.join(names)}, over {counted(steps, 'step')}. {sentence}",
        _legend(names, first_colour),
        drawing(name, unit, [*extra, *drawn], log=log, at=at),
        _table(series),
    )


def _table(series: Series) -> Table:
    """The numbers in some ranges of steps: of each run the lowest and the highest."""
    columns = [list(one.coarse(_RANGES)) for _, one in series]
    rows = []
    for ranges in zip(*columns, strict=True):
        start, stop = ranges[0][:2]
        rows.append([f"{start:,}" if start == stop else f"{start:,}–{stop:,}", *(_span(*each[2:]) for each in ranges)])
    return [["steps", *(name for name, _ in series)], *rows]


def _span(low: float, high: float) -> str:
    if np.isnan(low):
        return ""
    return f"{low:.5g}" if f"{low:.5g}" == f"{high:.5g}" else f"{low:.5g} to {high:.5g}"

"""Draws lines as inline SVG. No text but numbers and our own words is in a drawing: what a trace says stands beside it.

Matplotlib draws, since ticks, scales and clipping are its business; it is imported when something is drawn. Text stays
text, which is small, sharp and found by a search; colours are the page's own, so that a dark page has a dark drawing.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS = ("a", "b", "c", "d", "e", "f")  # of the page, the reference's first
_TINY = 1e-100  # what is smaller is drawn as 0
_FLAT = 1e-4  # of its values, below which a line has no height
_SIZE = 560, 230  # in the units of the drawing
_PLACE = 0.12, 0.125, 0.86, 0.755
_PAGE = {"#010101": "var(--quiet)", "#020202": "var(--line)"} | {
    f"#0a0b{i:02d}": f"var(--{name})" for i, name in enumerate(COLOURS)
}
_DASHES = ("-", "-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1)))
_SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "axes.edgecolor": "#020202",
    "axes.labelcolor": "#010101",
    "axes.titlecolor": "#010101",
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#020202",
    "grid.linewidth": 0.8,
    "xtick.color": "#010101",
    "ytick.color": "#010101",
    "axes.axisbelow": True,
}
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<defs>\s*</defs>", re.DOTALL)
_NAMED = re.compile(r'<g id="[^"]*"')
_TAG = re.compile(r"<[^>]*>")
_LONG = re.compile(r"(\d\.\d)\d+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line.

    Attributes:
        colour: its place in ``COLOURS``; 0 is drawn broad and below the others.
        kind: ``line``; ``band`` between lows and highs; ``steps`` for values that hold for a step; ``points`` joined;
            ``marks`` alone.
        dashed: it is a bound.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    colour: int = 0
    kind: str = "line"
    dashed: bool = False


def drawing(
    name: str, unit: str, lines: Sequence[Line], *, log: bool = False, at: int | None = None, whole: bool = False
) -> str:
    """The SVG of lines over steps.

    Args:
        name: of the drawing, which no other on the page has.
        unit: what is drawn, above the axis.
        lines: in order.
        log: on a logarithmic axis.
        at: a step to be marked.
        whole: values are whole numbers.
    """
    matplotlib = _matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_SETTINGS, "svg.hashsalt": name})
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

        figure = Figure(figsize=(_SIZE[0] / 72, _SIZE[1] / 72))
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        axes = figure.add_axes(_PLACE)
        axes.patch.set_visible(False)
        axes.set_title(unit, loc="left")
        axes.tick_params(length=0)
        for line in lines:
            _draw(axes, line, log=log)
        if at is not None:
            axes.axvline(at, color="#010101", linewidth=1, linestyle=(0, (2, 3)))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(numticks=5))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            low, high = axes.get_ylim()
            if high - low < _FLAT * max(abs(low), abs(high)):  # what differs by rounding lies on each other
                axes.set_ylim(low - abs(low) / 10, high + abs(high) / 10)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _tidied(file.getvalue())


def _drawable(values: NDArray[Any], *, log: bool) -> NDArray[np.float64]:
    """The values within what an axis can have."""
    near = np.where(np.abs(values) < _TINY, 0.0, np.clip(values, -1 / _TINY, 1 / _TINY))
    return np.where(near > 0, near, np.nan) if log else near


def _draw(axes: Any, line: Line, *, log: bool) -> None:
    values = _drawable(line.y, log=log)
    colour = f"#0a0b{line.colour % len(COLOURS):02d}"
    width = 1.2 if line.dashed else 3.2 if line.colour == 0 else 1.4
    style: Any = (0, (4, 3)) if line.dashed else _DASHES[line.colour % len(_DASHES)]
    if line.kind == "marks":
        axes.plot(line.x, values, linestyle="none", marker="|", markersize=7, markeredgewidth=1.6, color=colour)
        return
    drawn = "steps-mid" if line.kind == "steps" else "default"
    mark = "o" if line.kind == "points" or np.isfinite(values).sum() == 1 else ""
    size = 6 if line.colour == 0 else 3.5
    lines = axes.plot(line.x, values, drawstyle=drawn, marker=mark, markersize=size, linestyle=style, color=colour)
    lines[0].set(linewidth=width, alpha=0.75 if line.kind == "band" and line.colour else None)


def _tidied(svg: str) -> str:
    """The drawing as a part of a page: in its colours, without what is not drawn, names and needless digits."""
    svg = _DROPPED.sub("", svg[svg.index("<svg") :])
    body = _NAMED.sub("<g", svg[svg.index(">") + 1 :])
    body = _TAG.sub(lambda tag: _LONG.sub(r"\1", tag[0]), body)  # of places, not of numbers that are shown
    for colour, of_page in _PAGE.items():
        body = body.replace(colour, of_page)
    body = re.sub(r"\n\s*", "\n", body).replace("xlink:href", "href")
    return f'<svg viewBox="0 0 {_SIZE[0]} {_SIZE[1]}" aria-hidden="true" focusable="false">{body}'


@cache
def _matplotlib() -> Any:
    """The library, which is not to remark on fonts."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib

    return matplotlib

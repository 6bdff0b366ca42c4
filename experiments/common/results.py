"""What an experiment found: tables, what was learned from them, figures; and the page they are written on.

A number is rounded once, as its table shows it, and sentences take it from there: ``table.cell``. A sentence that
claims something comes with what must hold for it in the figures, and the experiment fails where it does not.
"""

import contextlib
import csv
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class Kind:
    """How a column's numbers are shown, and to what precision another run reproduces them.

    Attributes:
        shown: a format specification.
        within: how far another run may be away, in the numbers' own unit; 0 is exact, infinity is anywhere.
        factor: or else by which factor.
    """

    shown: str = ""
    within: float = 0.0
    factor: float = 1.0

    def text(self, value):
        if isinstance(value, bool):
            return "yes" if value else "no"
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "–"
        if isinstance(value, int) or (isinstance(value, float) and not self.shown):
            return f"{value:,}"
        return format(value, self.shown) if isinstance(value, float) else str(value)

    def reproduced(self, old, new):
        """Whether two texts of the column are one to its precision."""
        try:
            a, b = (float(text.replace(",", "")) for text in (old, new))
        except ValueError:
            bare = [re.sub(r"\d+\.\d+(e-?\d+)?", "#", text) for text in (old, new)]  # a sentence may quote a loss
            return bare[0] == bare[1] or self.within == math.inf
        near = abs(a - b) <= self.within * (1 + 1e-9)
        return near or (self.factor > 1 and min(abs(a), abs(b)) * self.factor >= max(abs(a), abs(b)))

    def __str__(self):
        if self.within == math.inf:
            return "not reproducible: a measured time"
        if self.factor > 1:
            return f"reproduced within a factor of {self.factor:g}{f' or {self.within:g}' if self.within else ''}"
        return f"reproduced within {self.within:g}" if self.within else "exact"


EXACT = Kind()
TIME = Kind(".3g", math.inf)


def about(within, shown=".3f"):
    return Kind(shown, within)


def order(within=0.0, factor=20.0):
    """Of differences that rounding makes, the order of magnitude; those up to ``within`` are all alike."""
    return Kind(".1e", within, factor)


USUAL = {  # of columns that several tables have; any other is exact
    "loss held out": about(0.01),
    "accuracy held out": about(0.005),
    "frameworks differ by": order(1e-4),
}


@dataclass(frozen=True)
class Table:
    """Rows of named values. A column ``x ±``, if a row has one, is the interval of ``x``.

    Attributes:
        name: of its file.
        title: a line above it.
        kinds: by column, in the order in which they are shown.
        rows: by column.
    """

    name: str
    title: str
    kinds: dict
    rows: list

    def columns(self):
        """All columns, intervals too."""
        for name in self.kinds:
            yield name
            if any(f"{name} ±" in row for row in self.rows):
                yield f"{name} ±"

    def kind(self, column):
        return self.kinds[column.removesuffix(" ±")]

    def row(self, **where):
        """The only row with these values."""
        chosen = [row for row in self.rows if all(row[name] == value for name, value in where.items())]
        assert len(chosen) == 1, (self.name, where, len(chosen))
        return chosen[0]

    def value(self, column, **where):
        return self.row(**where)[column]

    def cell(self, column, **where):
        """As the table shows it."""
        return self._cell(self.row(**where), column)

    def _cell(self, row, column):
        text, interval = self.kinds[column].text(row.get(column)), row.get(f"{column} ±")
        return text if interval is None else f"{text} ± {self.kinds[column].text(interval)}"

    def markdown(self):
        lines = [self.kinds, ["---"] * len(self.kinds)]
        lines += [[self._cell(row, column) for column in self.kinds] for row in self.rows]
        return ["| " + " | ".join(line) + " |" for line in lines]

    def write(self, folder):
        with (folder / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns())
            for row in self.rows:
                writer.writerow(self._plain(row.get(column), self.kind(column)) for column in self.columns())

    @staticmethod
    def _plain(value, kind):
        """As a program reads it: a number without commas."""
        return kind.text(value).replace(",", "") if isinstance(value, (int, float)) else kind.text(value)


class ClaimError(Exception):
    """A sentence that the figures no longer bear out."""


@dataclass
class Result:
    """What an experiment found.

    Attributes:
        question: the title of the page.
        setting: what was run, a paragraph.
        tables, figures: a figure is a name, its text alternative and a matplotlib figure.
        learned: paragraphs.
        curves: what figures draw and no table holds.
    """

    question: str
    setting: str
    tables: list = field(default_factory=list)
    figures: list = field(default_factory=list)
    learned: list = field(default_factory=list)
    curves: dict = field(default_factory=dict)

    def __getitem__(self, name):
        """A table by its name."""
        return next(table for table in self.tables if table.name == name)

    def table(self, name, title, rows, kinds=MappingProxyType({})):
        """Adds one with the columns of its first row; ``kinds`` are of those that are neither usual nor exact."""
        kinds, columns = {**USUAL, **kinds}, [column for column in rows[0] if not column.endswith(" ±")]
        self.tables.append(Table(name, title, {column: kinds.get(column, EXACT) for column in columns}, rows))

    def say(self, sentence, *holds):
        """Adds a sentence to what was learned; each of ``holds`` must be true for it to be."""
        if not all(holds):
            raise ClaimError(f"{sentence} ({[bool(held) for held in holds]})")
        self.learned.append(sentence)

    def paragraph(self):
        self.learned.append("\n\n")

    @contextlib.contextmanager
    def figure(self, name, alternative, columns=1, **options):
        """Axes to draw on."""
        from matplotlib import pyplot

        with _style():
            drawn, axes = pyplot.subplots(1, columns, figsize=(4.2 * columns, 3.0), layout="constrained", **options)
            yield axes
            self.figures.append((name, alternative, drawn))
            pyplot.close(drawn)

    def text(self):
        return "".join(part if part == "\n\n" else f"{part} " for part in self.learned).replace(" \n", "\n").strip()

    def write(self, folder, made):
        """The page, its tables and figures; ``made`` says by what."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*folder.glob("*.csv"), *folder.glob("*.svg")):
            old.unlink()
        page = [f"# {self.question}", "", self.text()]
        for name, alternative, drawn in self.figures:
            with _style():
                drawn.savefig(folder / f"{name}.svg", metadata={"Date": None})
            page += ["", f"![{alternative}]({name}.svg)"]
        for table in self.tables:
            table.write(folder)
            page += ["", f"## {table.title}", "", *table.markdown(), "", _precision(table)]
        page += ["", "## How it was made", "", self.setting, ""]
        page += [f"Made by `{made['command']}` at commit {made['commit']}, with {made['versions']}."]
        page += [f"It took {made['seconds']} seconds there."]
        (folder / "README.md").write_text("\n".join(page) + "\n", encoding="utf-8")
        columns = {t.name: {c: [t.kind(c).within, t.kind(c).factor] for c in t.columns()} for t in self.tables}
        made = {
            **made,
            "question": self.question,
            "answer": "".join(self.learned[:1]),
            "columns": columns,
        }
        (folder / "made.json").write_text(json.dumps(made, indent=1).replace("Infinity", '"any"') + "\n")


def _style():
    """Inside, figures are drawn and written in our way: the same bytes for the same numbers, text as text."""
    import matplotlib

    matplotlib.use("Agg")
    style = {"svg.hashsalt": "xframe", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3}
    style |= {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    return matplotlib.rc_context(style)


def _precision(table):
    """A line that says what of the table another run reproduces, and how closely."""
    kinds = {}
    for column, kind in table.kinds.items():
        kinds.setdefault(str(kind), []).append(column)
    said = "; ".join(f"{kind}: {', '.join(columns)}" for kind, columns in kinds.items())
    return f"`{table.name}.csv`. {said[0].upper()}{said[1:]}."


def differences(old, new):
    """What of the tables in one folder the tables in another do not reproduce, a line each."""
    kinds = json.loads((old / "made.json").read_text())["columns"]
    if sorted(kinds) != sorted(path.stem for path in new.glob("*.csv")):
        yield f"{old.name}: other tables"
        return
    for table, columns in kinds.items():
        before, after = (_read(folder / f"{table}.csv") for folder in (old, new))
        if [*before[0]] != [*after[0]] or len(before) != len(after):
            yield f"{table}: other columns or rows"
            continue
        for number, rows in enumerate(zip(before, after), 1):
            for column, (within, factor) in columns.items():
                a, b = (row[column] for row in rows)
                if not Kind("", math.inf if within == "any" else within, factor).reproduced(a, b):
                    yield f"{table}, row {number}, {column}: {a} before, {b} now"


def _read(path: Path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

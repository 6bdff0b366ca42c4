"""The table of expressions."""

from pathlib import Path
from typing import NamedTuple

from xframe.translate.translating import Translation, translate


class Row(NamedTuple):
    """An expression and what becomes of it in one framework."""

    source: str
    target: str
    exact: bool

    def translation(self) -> Translation:
        return translate(self.source, self.target)


def rows() -> list[Row]:
    """All of the table."""
    found = []
    for line in (Path(__file__).parent / "expressions.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        text, _, without = line.partition(" ! ")
        source, _, targets = text.partition(" > ")
        found += [Row(source.strip(), target, True) for target in targets.split()]
        found += [Row(source.strip(), target, False) for target in without.split()]
    return found

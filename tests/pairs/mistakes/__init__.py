"""The mistakes, a file a kind. What each must show was worked out by hand; see ``places``."""

from __future__ import annotations

from pairs.cases import Mistake
from pairs.mistakes import double, lengths, numeric, order, reference, schedule, structure

KINDS = (structure, order, lengths, schedule, reference, numeric, double)
MISTAKES: list[Mistake] = [mistake for kind in KINDS for mistake in kind.MISTAKES]

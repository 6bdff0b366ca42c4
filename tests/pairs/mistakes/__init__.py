"""The mistakes, a file a kind. What each must show was worked out by hand; see ``places``."""

from __future__ import annotations

from pairs.cases import Mistake
from pairs.mistakes import lengths, numeric, order, reference, schedule, structure

MISTAKES: list[Mistake] = [
    mistake for module in (structure, order, lengths, schedule, reference, numeric) for mistake in module.MISTAKES
]

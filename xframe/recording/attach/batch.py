"""Batches as their pipelines hand them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Walk:
    """One iteration over a pipeline.

    Attributes:
        number: how many walks before it had trained a step; None as long as none of its batches has.
        taken: batches that were handed out.
        trained: gradients were computed on one of its batches.
        settings: gives the pipeline's, as ``Recorder.settings`` takes them.
    """

    __slots__ = ("number", "settings", "taken", "trained")

    def __init__(self, settings: Callable[[], Mapping[str, Any]] | None = None) -> None:
        self.number: int | None = None
        self.taken = 0
        self.trained = False
        self.settings = settings


class Batch:
    """A batch as its pipeline handed it out.

    Attributes:
        ids: of its samples, None where the pipeline has no index for them.
        size: its rows, if known.
        walk, place: the iteration over its pipeline, if it is of one, and its place there.
        known: a pipeline handed it out.
    """

    __slots__ = ("ids", "known", "place", "size", "walk")

    def __init__(self, ids: Any, size: int | None = None, walk: Walk | None = None, place: int | None = None) -> None:
        self.ids, self.size, self.walk, self.place = ids, size, walk, place
        self.known = ids is not None or walk is not None

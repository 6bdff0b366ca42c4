"""The same features of the samples of each step."""

from __future__ import annotations

from xframe.comparison.checks.contents import Contents


class Features(Contents):
    """What enters the model, by its prints."""

    name, title, rank, column = "features", "features", 55, "features"

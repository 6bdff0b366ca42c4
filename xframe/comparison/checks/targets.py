"""The same targets of the samples of each step."""

from __future__ import annotations

from xframe.comparison.checks.contents import Contents


class Targets(Contents):
    """What the loss compares the model's outputs with, by its prints. They show in the loss, which comes first."""

    name, title, rank, column = "targets", "targets", 62, "targets"

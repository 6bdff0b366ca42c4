"""One rule as the line that writes it in each framework, where a line is all that it takes."""

from __future__ import annotations

import re

from xframe.errors import XframeError
from xframe.tasks.optimizers import Rule
from xframe.translate.optimizers import keras, torch
from xframe.translate.optimizers.trained import Trained
from xframe.translate.written import NothingExactError

_OFF = re.compile(r", \w+=(None|False)\b")  # as both frameworks have it where nothing is said


def lines_of(rule: Rule) -> dict[str, str]:
    """By framework, the optimizer that is this rule; without those that need lines around each update."""
    found = dict[str, str]()
    if rule.groups:  # each is a line of its own
        return found
    for framework, writer in (("torch", torch.write), ("keras", keras.write)):
        try:
            written = writer(Trained(rule))
        except (NothingExactError, XframeError):
            continue
        if not (written.setup or written.after or written.before or written.later or written.ticks):
            found[framework] = _OFF.sub("", written.code)
    return found

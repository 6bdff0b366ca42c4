"""What a task minimises, and what it measures beside: names, and what each means in every framework.

An adapter computes each of them with its framework's own function, from the model's outputs and the targets of
one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Loss = Literal["softmax_cross_entropy", "mean_squared_error", "negative_sum"]
LOSSES: Mapping[str, str] = {
    "softmax_cross_entropy": "mean over all targets, from logits of shape (rows, …, classes) and integer targets of "
    "shape (rows, …)",
    "mean_squared_error": "mean over all elements of the squared difference",
    "negative_sum": "minus the sum of outputs",
}
METRICS: Mapping[str, str] = {
    "accuracy": "share of targets that get the greatest output; with softmax_cross_entropy",
}

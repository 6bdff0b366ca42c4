"""What is added up of several backward passes or optimizers that are one step."""

from __future__ import annotations

from typing import Any


def summed(loss: Any, other: Any) -> Any:
    """Of two losses; None if it is not known."""
    try:
        return loss + other
    except (TypeError, ValueError, RuntimeError):  # one is not known, or they are on two devices
        return None


def hypot(norm: Any, other: Any) -> Any:
    """The norm of what two are the norms of; None if it is not known."""
    try:
        return (norm * norm + other * other) ** 0.5
    except (TypeError, RuntimeError):  # one is not known, or they are on two devices
        return None


def both(also: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Further columns of two backward passes: the first one's, but for rows that are not the same."""
    if also.get("loss_rows") == other.get("loss_rows"):
        return other | also
    return {name: value for name, value in (other | also).items() if name != "loss_rows"}

"""The JSON form of any result: valid JSON, which has no word for what is no finite number."""

from __future__ import annotations

import json
import math
from typing import Any


def dumped(facts: Any, indent: int | None = None) -> str:
    """The text; ``nan``, ``inf`` and ``-inf`` stand there as texts."""
    return json.dumps(_finite(facts), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, dict):
        return {_finite(name): _finite(of) for name, of in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value

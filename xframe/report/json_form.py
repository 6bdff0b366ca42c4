"""The JSON form of a comparison's view, or of any other result: valid JSON, which has no word for infinity or NaN."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe.report.view import View


def json_form(view: View) -> str:
    """The whole report as JSON: what it rests on as values, and the sentence that other forms begin with."""
    return dumped({**view.facts, "headline": view.headline}, indent=2)


def dumped(facts: Any, indent: int | None = None) -> str:
    """The text; ``nan``, ``inf`` and ``-inf`` stand there as texts."""
    return json.dumps(_finite(facts), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, dict):
        return {_finite(name): _finite(of) for name, of in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value

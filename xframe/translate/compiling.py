"""``model.compile(…)`` as the calls of its optimizer and of its loss, each by itself."""

from __future__ import annotations

import re

from xframe.errors import UsageError
from xframe.translate.names import signatures
from xframe.translate.parsing import Call, expression
from xframe.translate.written import shown

_COMPILE = re.compile(r"\s*(?!torch\.)[A-Za-z_][\w.]{0,200}\.compile\(")
_BESIDE = {"metrics", "weighted_metrics", "run_eagerly", "steps_per_execution", "jit_compile"}  # change no update
_SHORT = {
    "mse": "MeanSquaredError",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError",
    "kld": "KLDivergence",
}


def parts(source: str) -> list[str]:
    """An expression as it is, and of ``model.compile`` its optimizer and its loss.

    Raises:
        UsageError: an optimizer or loss that is not written out, or an argument that changes them.
    """
    if not _COMPILE.match(source):
        return [source]
    call = expression(source)
    given = {**dict(zip(("optimizer", "loss"), call.args, strict=False)), **dict(call.keywords)}
    if others := sorted(set(given) - {"optimizer", "loss"} - _BESIDE):
        raise UsageError(f"{call.name} with {', '.join(others)}", expected="optimizer, loss, and what changes neither")
    written = [_written("optimizer", given.get("optimizer", "rmsprop"))]
    return written if given.get("loss") is None else [*written, _written("loss", given["loss"])]


def _written(argument: str, value: object) -> str:
    if isinstance(value, Call):
        return shown(value)
    folder = {"optimizer": "keras.optimizers.", "loss": "keras.losses."}[argument]
    if isinstance(value, str):
        plain = _SHORT.get(value.lower(), value).replace("_", "").lower()
        for name in signatures():
            if name.startswith(folder) and name.removeprefix(folder).lower() == plain:
                return f"{name}()"
    expected = (
        f"a call such as {folder}{'Adam(1e-3)' if argument == 'optimizer' else 'MeanSquaredError()'}, or its word"
    )
    raise UsageError(f"compile's {argument}", got=shown(value), expected=expected)

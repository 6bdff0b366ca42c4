"""A whole model whose layers follow one another: Keras' config as JSON, or a torch.nn.Sequential as it is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from xframe.errors import UsageError, Verbatim
from xframe.translate.layers import to_keras, to_torch
from xframe.translate.layers.common import BATCH_NORM
from xframe.translate.names import Bound, bind, signatures
from xframe.translate.parsing import Call, expression
from xframe.translate.written import NothingExactError, Remarks, Written

LARGEST = 1_000_000  # characters
_MOST = 2_000  # layers
_LINE = re.compile(r"^\s*\((\w+)\):\s*(\w+\(.*)$")
_PERMUTED = (
    "class ChannelsLast(torch.nn.Module):",
    "    def forward(self, inputs):",
    "        return inputs.permute(0, 2, 3, 1)",
)


def is_model(text: str) -> bool:
    """Whether a text is a model rather than an expression."""
    start = text.lstrip()[:200]
    return start.startswith("{") or bool(re.match(r"Sequential\(\s*\n", start))


def translated(text: str, remarks: Remarks) -> tuple[str, Written]:
    """Whose model it is, and the model in the other framework.

    Raises:
        UsageError: it is none, or not of layers that follow one another.
        NothingExactError: a layer of it has no counterpart.
    """
    if len(text) > LARGEST:
        raise UsageError("a model's text is too long", got=len(text), expected=f"at most {LARGEST:,} characters")
    if text.lstrip().startswith("{"):
        return "keras", _to_torch(_keras_calls(text), remarks)
    return "torch", _to_keras(_torch_calls(text), remarks)


def _to_torch(calls: list[Bound], remarks: Remarks) -> Written:
    found: list[str] = []
    image = permuted = False
    for call in calls:
        if call.leaf == "Flatten" and image:
            found.append("ChannelsLast()")
            permuted = True
        found += to_torch.modules(call, remarks)
        image = (image or call.leaf.endswith("2D")) and not call.leaf.startswith(("Global", "Flatten"))
    setup = _PERMUTED if permuted else ()
    return _checked(Written("model", f"torch.nn.Sequential({', '.join(found)})", setup), remarks)


def _to_keras(calls: list[Bound], remarks: Remarks) -> Written:
    found: list[str] = []
    image = False
    for call in calls:
        if call.leaf == "Flatten" and image:
            found.append("keras.layers.Permute((3, 1, 2))")
        found += to_keras.layers(call, remarks)
        image = (image or call.leaf.endswith("2d")) and call.leaf != "Flatten"
    return _checked(Written("model", f"keras.Sequential([{', '.join(found)}])"), remarks)


def _checked(written: Written, remarks: Remarks) -> Written:
    remarks.texts[:] = [text for text in remarks.texts if not text.startswith("Of images")]
    if BATCH_NORM in remarks.texts:
        raise NothingExactError(BATCH_NORM, closest="\n".join(written.lines()))
    return written


def _keras_calls(text: str) -> list[Bound]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("not JSON", expected="json.dumps(model.get_config()), or model.to_json()") from None
    config = config.get("config", config) if isinstance(config, dict) and "layers" not in config else config
    entries = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= _MOST:
        raise UsageError("a model without layers", expected="json.dumps(model.get_config()), or model.to_json()")
    calls = []
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
            raise UsageError("a layer of a model", got=entry, expected="an object with class_name and config")
        nodes = entry.get("inbound_nodes") or []
        if i and nodes and _inputs(nodes) != [entries[i - 1].get("name")]:
            raise NothingExactError("Layers that do not follow one another are no Sequential; translate each alone.")
        if entry["class_name"] != "InputLayer":
            calls.append(_keras_call(entry))
    return calls


def _inputs(nodes: Any) -> list[Any]:
    """The layers whose outputs a layer takes."""
    found, open_ = [], [nodes]
    while open_:
        one = open_.pop()
        if isinstance(one, dict):
            if "keras_history" in one:
                found.append(one["keras_history"][0])
            else:
                open_ += one.values()
        elif isinstance(one, list):
            open_ += one
    return found


def _keras_call(entry: Mapping[str, Any]) -> Bound:
    name, config = f"keras.layers.{entry['class_name']}", entry.get("config")
    if name not in signatures():
        raise NothingExactError(f"{entry['class_name']} is not a layer that is known here.")
    known = {each.name for each in signatures()[name]} - {"name", "dtype", "trainable", "input_shape", "seed"}
    config = config if isinstance(config, dict) else {}
    words = [(key, _usual(value)) for key, value in config.items() if key in known and _usual(value) is not None]
    shape = (entry.get("build_config") or {}).get("input_shape")
    if isinstance(shape, list) and len(shape) > 1:
        words.append(("input_shape", tuple(shape[1:])))
    return bind(Call(name, (), tuple(words)))


def _usual(value: Any) -> Any:
    """A value of a config as a call would have it."""
    if isinstance(value, list):
        return tuple(map(_usual, value))
    return value if not isinstance(value, dict) else (value if value.get("class_name") else None)


def _torch_calls(text: str) -> list[Bound]:
    calls: list[Bound] = []
    for line in text.strip().splitlines()[1:]:
        if line.strip() == ")":
            continue
        match = _LINE.match(line)
        if match is None or len(calls) >= _MOST:
            raise UsageError("a printed module", got=Verbatim(line[:80]), expected="lines such as (0): Linear(…)")
        if match[2] == "Sequential(":
            continue
        if not match[2].endswith(")"):
            raise NothingExactError(f"{match[2][:-1]} is a module of your own: what it computes is not printed.")
        calls.append(bind(expression(f"torch.nn.{match[2]}")))
    if not calls:
        raise UsageError("a module without layers", expected="a printed torch.nn.Sequential")
    return calls

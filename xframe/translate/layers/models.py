"""A whole model whose layers follow one another: Keras' config as JSON, or a torch.nn.Sequential as it is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xframe.errors import UsageError, Verbatim
from xframe.translate.layers import shapes, to_keras, to_torch
from xframe.translate.layers.common import BATCH_NORM, of_keras, of_variance, setup
from xframe.translate.names import Bound, bind, signatures
from xframe.translate.parsing import Call, expression
from xframe.translate.written import NothingExactError, Remarks, Written

LARGEST = 1_000_000  # characters
_MOST = 2_000  # layers
_LINE = re.compile(r"^\s*\((\w+)\):\s*(\w+\(.*)$")
_INNER = ("layer", "backward_layer")
_LAST_AXIS = {  # layers and modules that work on the last axis, wherever the channels are
    *("Dense", "LayerNormalization", "RMSNormalization", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "Softmax"),
    *("Linear", "LayerNorm", "RMSNorm", "RNN", "LogSoftmax", "Flatten"),
}


def is_model(text: str) -> bool:
    """Whether a text is a model rather than an expression."""
    start = text.lstrip()[:200]
    return start.startswith("{") or bool(re.match(r"Sequential\(\s*\n", start))


def sequential(call: Call) -> str | None:
    """The framework whose Sequential of layers a call is."""
    folder, _, leaf = call.name.rpartition(".")
    if leaf != "Sequential":
        return None
    listed = any(isinstance(each, (list, tuple)) for each in (*call.args, *dict(call.keywords).values()))
    return "keras" if "keras" in folder.split(".") or folder == "models" or (not folder and listed) else "torch"


def _layers(call: Call, framework: str) -> tuple[list[Bound], Any]:
    """The layers of a Sequential, those of one within it too, and the shape of its inputs where it is given."""
    words = dict(call.keywords)
    entries = list(call.args) + ([words.pop("layers")] if "layers" in words else [])
    if len(entries) == 1 and isinstance(entries[0], (list, tuple)) and framework == "keras":
        entries = list(entries[0])
    if set(words) - {"name", "trainable"} or not entries or not all(isinstance(each, Call) for each in entries):
        raise UsageError(f"{call.name}'s layers", expected="calls of known layers, each written out")
    found: list[Bound] = []
    shape = None
    for each in entries:
        if each.name.rpartition(".")[2] in ("Input", "InputLayer") and framework == "keras":
            more = dict(each.keywords)
            batch = more.get("batch_shape")
            shape = batch[1:] if isinstance(batch, tuple) else more.get("shape", (*each.args, None)[0])
        elif sequential(each) == framework:
            found += _layers(each, framework)[0]
        else:
            found.append(bind(of_keras(each) if framework == "keras" else _of_torch(each)))
            own = "keras.layers." if framework == "keras" else "torch.nn."
            if not found[-1].name.startswith(own):
                raise UsageError(f"a layer of {call.name}", got=found[-1].name, expected=f"one of {own[:-1]}")
    if shape is not None and not all(each is None or type(each) is int for each in _several(shape)):
        raise UsageError("the shape of an Input", got=shape, expected="a tuple of integers and None")
    return found, None if shape is None else _several(shape)


def _several(shape: Any) -> tuple[Any, ...]:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)


def _of_torch(call: Call) -> Call:
    return call if "." in call.name else replace(call, name=f"torch.nn.{call.name}")


def translated(text: str | Call, remarks: Remarks) -> Written:
    """The model in the other framework.

    Raises:
        UsageError: it is none, or not of layers that follow one another.
        NothingExactError: a layer of it has no counterpart.
    """
    if isinstance(text, Call):
        calls, shape = _layers(text, framework := str(sequential(text)))
        return _to_torch(calls, remarks, shape) if framework == "keras" else _to_keras(calls, remarks)
    if len(text) > LARGEST:
        raise UsageError("a model's text is too long", got=len(text), expected=f"at most {LARGEST:,} characters")
    if text.lstrip().startswith("{"):
        return _to_torch(_keras_calls(text), remarks)
    return _to_keras(_torch_calls(text), remarks)


def _to_torch(calls: list[Bound], remarks: Remarks, shape: Any = None) -> Written:
    found: list[str] = []
    reasons: list[str] = []
    channels: str | None = None  # where they are, which before the first layer is as the data has it
    for each in calls:
        known = shape is not None and each.values.get("input_shape", 0) is None
        call = replace(each, values={**each.values, "input_shape": shapes.taken(each, shape)}) if known else each
        wanted = _channels(call)
        if wanted and (channels, wanted) in (("first", "last"), ("last", "first")):
            found.append(f"Channels{wanted.capitalize()}()")
        try:
            found += to_torch.modules(call, remarks)
        except NothingExactError as refusal:
            reasons += refusal.reasons
        channels, shape = _after(call, channels, wanted), shapes.given(call)
    if reasons:
        raise NothingExactError(*dict.fromkeys(reasons))
    code = f"torch.nn.Sequential({', '.join(found)})"
    return _checked(Written("model", code, setup(code)), remarks)


def _channels(call: Bound) -> str | None:
    """Whether a layer of Keras is a module that takes channels first or last; None: any."""
    if call.leaf in _LAST_AXIS | {"Embedding"} or (call.leaf == "Activation" and "softmax" in str(call["activation"])):
        return "last"
    normal = call.leaf in ("GroupNormalization", "BatchNormalization")
    return "first" if normal or re.search("[12]D(Transpose)?$", call.leaf) else None


def _after(call: Bound, channels: str | None, wanted: str | None) -> str | None:
    """Where the channels are after a layer; ``flat`` where there is one axis of features alone."""
    inner = bind(of_keras(call["layer"])) if call.leaf == "Bidirectional" else call
    flat = call.leaf == "Flatten" or (call.leaf.startswith("Global") and not call["keepdims"])
    shape = shapes.given(call)
    flat = flat or channels == "flat" or inner.values.get("return_sequences") is False
    return "flat" if flat or (shape is not None and len(shape) == 1) else wanted or channels


def _to_keras(calls: list[Bound], remarks: Remarks) -> Written:
    found: list[str] = []
    reasons: list[str] = []
    axes, moved, seen = 0, False, False  # of images, whose channels Keras has last
    for call in calls:
        channels = re.search("[12]d$", call.leaf)
        if channels and seen and not moved:
            axes, moved = int(channels[0][0]), True
            found.append(f"{to_keras.K}Permute({(2, 3, 1) if axes == 2 else (2, 1)})")
        elif channels:
            axes, moved = int(channels[0][0]), True
        elif moved and call.leaf in _LAST_AXIS and call.values.get("dim") != 1:
            moved = False
            found.append(f"{to_keras.K}Permute({(3, 1, 2) if axes == 2 else (2, 1)})")
        try:
            found += to_keras.layers(call, remarks)
            if call.leaf in ("LSTM", "GRU", "RNN") and call is not calls[-1]:
                raise NothingExactError(f"{call.leaf} returns a pair, which the module after it cannot take.")
        except NothingExactError as refusal:
            reasons += refusal.reasons
        seen = seen or call.leaf in _LAST_AXIS or call.leaf == "Embedding"
    if reasons:
        raise NothingExactError(*dict.fromkeys(reasons))
    return _checked(Written("model", f"keras.Sequential([{', '.join(found)}])"), remarks)


def _checked(written: Written, remarks: Remarks) -> Written:
    remarks.texts[:] = [text for text in remarks.texts if not text.startswith("Of images")]
    if BATCH_NORM in remarks.texts:
        raise of_variance(written, remarks)
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
            calls.append(bind(_keras_call(entry)))
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


def _keras_call(entry: Mapping[str, Any]) -> Call:
    name, config = f"keras.layers.{entry['class_name']}", entry.get("config")
    if name not in signatures():
        raise NothingExactError(f"{entry['class_name']} is not a layer that is known here.")
    known = {each.name for each in signatures()[name]} - {"name", "dtype", "trainable", "input_shape", "seed"}
    config = config if isinstance(config, dict) else {}
    words = [(key, _usual(value)) for key, value in config.items() if key in known and _usual(value) is not None]
    words = [(key, _keras_call(value) if key in _INNER and isinstance(value, dict) else value) for key, value in words]
    shape = (entry.get("build_config") or {}).get("input_shape")
    if isinstance(shape, list) and len(shape) > 1:
        words.append(("input_shape", tuple(shape[1:])))
    return Call(name, (), tuple(words))


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

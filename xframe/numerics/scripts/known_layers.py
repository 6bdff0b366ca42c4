"""What layers of the catalogue did in a script's captured step: each from its own inputs, by NumPy's formula of it.

A script's layer is known by its class, its settings and the weights that were paired; its inputs are what the layer
before it gave. So its weights need not be the other script's. Outputs of torch's have channels first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.numerics.naming.buffers import named_buffers
from xframe.numerics.naming.forward import named_layer, weights_of
from xframe.numerics.naming.saying import FIXES
from xframe.numerics.result import Did, NumericCause
from xframe.numerics.scripts.pairing import Names
from xframe.state.record import Record
from xframe.tasks import layers
from xframe.tasks.layers import Layer, Placed

Facts = Mapping[str, Any]

_MOMENTUM = {
    "torch": "momentum={0:g}, the share of the new batch: 1 minus Keras' momentum",
    "keras": "momentum={1:g}, the share kept of the old statistic: 1 minus torch's momentum",
}


class Known(NamedTuple):
    """A layer of a script.

    Attributes:
        own: its name in the script.
        placed: what it is, by its common name.
        inputs: of the step, channels last; outputs: where they are there.
    """

    own: str
    placed: Placed
    inputs: NDArray[Any]
    outputs: NDArray[Any] | None


def known(record: Record, names: Names) -> dict[str, Known]:
    """The layers of the catalogue in a step of common names, by these, as far as their inputs are there.

    Args:
        record: the step.
        names: of the script's parameters, by their own names.
    """
    common = {_owner(own): one.name.rpartition("/")[0] for own, one in names.items() if "/" in one.name}
    stated, torch = record.facts.get("layers"), record.facts.get("framework") == "torch"
    forward, found = record.stages.get("forward", {}), dict[str, Known]()
    inputs = record.stages.get("batch", {}).get("features")
    for one in stated if isinstance(stated, list) else []:
        own = str(one.get("name", "")) if isinstance(one, Mapping) else ""
        own = own if own in common or _owner(own) not in common else _owner(own)  # a cell's layer has its outputs
        name = next((common[each] for each in (own, f"{own}/lstm_cell") if each in common), "")
        outputs = next((forward[each] for each in (f"{own}/outputs", f"{own}/outputs/0") if each in forward), None)
        layer = _layer(str(one.get("class", "")), {**one, **_settings(one)}, outputs) if own else None
        if layer is not None and name and name not in found and inputs is not None:
            given = _channels_last(inputs) if torch and layer.kind == "batchnorm" else inputs
            shape = tuple(given.shape[1:])
            found[name] = Known(own, Placed(layer, name, shape, layer.weights(shape)), given, outputs)
        inputs = outputs if outputs is not None else inputs if "cell" in str(one.get("class", "")).lower() else None
    return found


def _owner(name: str) -> str:
    return name[: max(name.rfind("."), name.rfind("/"), 0)]


def _settings(one: Facts) -> Facts:
    held = one.get("settings")
    return held if isinstance(held, Mapping) else {}


def _channels_last(values: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(values, 1, -1) if values.ndim > 2 else values


def _layer(kind: str, stated: Facts, outputs: NDArray[Any] | None) -> Layer | None:
    """What a script's class and settings are in the catalogue; None of what is not looked at."""
    try:
        if kind in ("BatchNorm1d", "BatchNorm2d"):
            return layers.BatchNorm(momentum=round(1 - float(stated["momentum"]), 12), epsilon=float(stated["eps"]))
        if kind == "BatchNormalization":
            return layers.BatchNorm(momentum=float(stated["momentum"]), epsilon=float(stated["epsilon"]))
        if kind in ("LSTM", "LSTMCell") and outputs is not None:
            units = int(stated["units"] if "units" in stated else stated["hidden_size"])
            return layers.LSTM(units, return_sequences=outputs.ndim > 2)
    except (KeyError, TypeError, ValueError):
        pass
    return None


def forward_causes(
    sides: tuple[Record, Record], both: tuple[Mapping[str, Known], Mapping[str, Known]], names: tuple[str, str]
) -> Iterator[NumericCause]:
    """Of the first recurrent layer that one of two scripts computes otherwise than the catalogue has it."""
    for layer in both[0]:
        if layer not in both[1] or not isinstance(both[0][layer].placed.layer, layers.LSTM):
            continue
        dids = [_computed(record, side[layer]) for record, side in zip(sides, both, strict=True)]
        changes = [did.settings["changes"] if did is not None and did.proven else None for did in dids]
        if None not in changes and changes[0] != changes[1]:
            for did, name, side, other in zip(dids, names, both, reversed(dids), strict=True):
                if did is not None and other is not None and did.settings["changes"]:
                    text = f"{name} computes {side[layer].own} with one change: {did.text}; the other does not"
                    for change in {*did.settings["changes"]} - {*other.settings["changes"]}:
                        yield NumericCause(change, "proven", "forward", side[layer].own, text, FIXES.get(change, {}))
            return


def _computed(record: Record, one: Known) -> Did | None:
    if one.outputs is None:
        return None
    held = {**record.stages, "forward": {f"{one.placed.name}/outputs": one.outputs}}
    plain = Record(record.step, record.before, held, record.after)
    dids = named_layer(plain, one.placed, np.asarray(one.inputs, float), weights_of(plain, one.placed))
    return dids[0] if dids else None


def buffer_causes(
    sides: tuple[Record, Record], both: tuple[Mapping[str, Known], Mapping[str, Known]], names: tuple[str, str]
) -> Iterator[NumericCause]:
    """Of the first normalisation whose running statistics two scripts move otherwise."""
    for layer in both[0]:
        if layer not in both[1] or not isinstance(both[0][layer].placed.layer, layers.BatchNorm):
            continue
        dids = [
            next(iter(named_buffers(record, side[layer].placed, np.asarray(side[layer].inputs, float))), None)
            for record, side in zip(sides, both, strict=True)
        ]
        if None in dids or not all(did is not None and did.proven for did in dids):
            continue
        kept = [_kept(did, side[layer]) for did, side in zip(dids, both, strict=True) if did is not None]
        if abs(kept[0] - kept[1]) > 1e-5:
            words = [f"{name} keeps {share:.6g}" for name, share in zip(names, kept, strict=True)]
            text = f"of the running statistics of {both[0][layer].own} {' and '.join(words)} at each step"
            inverted = abs(sum(kept) - 1) <= 1e-5
            text += "; the one is 1 minus the other: Keras' momentum is what is kept, torch's what is new" * inverted
            fix = {where: line.format(1 - kept[0], kept[0]) for where, line in _MOMENTUM.items()}
            name = "running-momentum-inverted" if inverted else "running-momentum"
            yield NumericCause(name, "proven", "buffers", f"{layer}/mean", text, fix)
            return


def _kept(did: Did, one: Known) -> float:
    assert isinstance(one.placed.layer, layers.BatchNorm)
    if "buffers-not-updated" in did.settings["changes"]:
        return 1.0
    return float(did.settings.get("momentum", one.placed.layer.momentum))

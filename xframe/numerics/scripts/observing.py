"""What captured steps of two scripts show that no rule, loss or layer of the catalogue says: modes, masks, terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.numerics.result import NumericCause
from xframe.precision import rounding
from xframe.state.record import Record

_KEPT = 1e-3  # by how much a mask's factor, and a ratio of two terms, may be off a round number
_TERM = 1e3  # roundings of a loss that a term of it has at least, to be told from them


class Mask(NamedTuple):
    """What a dropout layer did.

    Attributes:
        layer: its name.
        rate: the share that it drops, by the factor that it multiplies the rest by; where that was not seen, counted.
        factor: that factor; None where the layer's input was not seen.
    """

    layer: str
    rate: float
    factor: float | None


def causes(reference: Record, candidate: Record, names: tuple[str, str]) -> Iterator[NumericCause]:
    """Of two steps of the same update."""
    sides = (reference, candidate)
    modes = [one.facts.get("training") for one in sides]
    if modes in ([True, False], [False, True]):
        still = names[modes.index(False)]
        text = (
            f"{still} trains in evaluation mode at step {sides[modes.index(False)].step}, the other in training mode: "
        )
        text += "without dropout, and normalising by running statistics, which it does not move"
        fix = {"torch": "model.train()", "tensorflow": "model(inputs, training=True)"}
        yield NumericCause("evaluation-mode", "proven", "forward", None, text, fix)
    yield from _masks(sides, names)


def begun(reference: Record, candidate: Record, names: tuple[str, str]) -> Iterator[NumericCause]:
    """Of two first updates by one rule: what it keeps begins with other numbers."""
    ours, theirs = ({} if one.before is None else one.before.slots for one in (reference, candidate))
    for slot, held in ours.items():
        for name, values in held.items():
            other = theirs.get(slot, {}).get(name)
            if other is None or other.shape != values.shape or not values.size:
                continue
            first = float(values.flat[0]), float(other.flat[0])
            if abs(first[0] - first[1]) > _KEPT * max(map(abs, first)):
                words = " and ".join(f"at {one:.7g} in {where}" for one, where in zip(first, names, strict=True))
                text = f"what the rule keeps as {slot} begins {words}"
                fix = {"torch": f"initial_accumulator_value={first[0]:g}"} if slot == "sum_of_squares" else {}
                yield NumericCause("slots-begin-otherwise", "proven", "update", f"slots/{slot}/{name}", text, fix)
                return


def random(record: Record) -> bool:
    """Whether the step drew masks: layers of dropout with a rate above 0, in training."""
    return record.facts.get("training") is not False and any(
        _is_dropout(one) and any(value for name, value in _rates(one) if name in ("rate", "p", "dropout"))
        for one in _layers(record)
    )


def rates(record: Record) -> list[float]:
    """The rates above 0 of the layers that draw masks, in their order."""
    named = [_rates(one) for one in _layers(record) if _is_dropout(one)]
    return [value for each in named for name, value in each if name in ("rate", "p", "dropout") and value]


def _layers(record: Record) -> list[Mapping[str, Any]]:
    stated = record.facts.get("layers")
    return [one for one in stated if isinstance(one, Mapping)] if isinstance(stated, list) else []


def _is_dropout(layer: Mapping[str, Any]) -> bool:
    return "drop" in str(layer.get("class", "")).lower() or any(name == "dropout" for name, _ in _rates(layer))


def _rates(layer: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Numbers that are set in a layer, by the last part of their names."""
    stated = {**layer, **(layer["settings"] if isinstance(layer.get("settings"), Mapping) else {})}
    numbers = {name: value for name, value in stated.items() if type(value) in (int, float)}
    return [(name.rpartition(".")[2], value) for name, value in numbers.items()]


def _masks(sides: tuple[Record, Record], names: tuple[str, str]) -> Iterator[NumericCause]:
    did = [list(masks(one)) for one in sides]
    if len(did[0]) != len(did[1]):
        return
    for ours, theirs in zip(*did, strict=True):
        known = ours.factor is not None and theirs.factor is not None
        allowed = _KEPT if known else 0.05
        if abs(ours.rate - theirs.rate) <= allowed:
            continue
        words = [
            f"{name} drops {one.rate:.4g} of the values in {one.layer}"
            + (f" and multiplies the rest by {one.factor:.4g}" if one.factor is not None else "")
            for name, one in zip(names, (ours, theirs), strict=True)
        ]
        swapped = abs(ours.rate + theirs.rate - 1) <= allowed
        text = "; ".join(words) + ("; the one rate is 1 minus the other: a probability of keeping" * swapped)
        rate = round(ours.rate, 6)
        fix = {"torch": f"torch.nn.Dropout({rate:g})", "tensorflow": f"keras.layers.Dropout({rate:g})"}
        yield NumericCause("dropout-rate", "proven" if known else "likely", "forward", ours.layer, text, fix)


def masks(record: Record) -> Iterator[Mask]:
    """What each dropout layer of a step did, in the order of its layers, as far as their outputs were captured."""
    outputs, before = record.stages.get("forward", {}), None
    if record.facts.get("training") is False:
        return
    for layer in _layers(record):
        name = str(layer.get("name", ""))
        own = outputs.get(f"{name}/outputs")
        if own is not None and "drop" in str(layer.get("class", "")).lower() and own.size:
            yield _mask(name, own, before if before is not None and before.shape == own.shape else None)
        before = own


def _mask(layer: str, values: NDArray[Any], inputs: NDArray[Any] | None) -> Mask:
    there = np.ones(values.shape, bool) if inputs is None else inputs != 0
    dropped = float((values[there] == 0).mean()) if there.any() else 0.0
    kept = there & (values != 0)
    if inputs is None or not kept.any():
        return Mask(layer, dropped, None)
    with np.errstate(all="ignore"):
        factors = values[kept].astype(np.float64) / inputs[kept]
    factor = float(np.median(factors))
    if not np.isfinite(factor) or np.abs(factors - factor).max() > _KEPT * abs(factor) or factor < 1 - _KEPT:
        return Mask(layer, dropped, None)
    return Mask(layer, 1 - 1 / factor, factor)


def term_causes(
    sides: tuple[Record, Record], added: tuple[float, float], names: tuple[str, str]
) -> Iterator[NumericCause]:
    """Of two steps from the same weights and batch: a term that both add to the loss, one of them times its rows.

    Args:
        sides: the two.
        added: what each one's loss has beside what its loss function gives.
        names: of the two.
    """
    losses = [float(np.asarray(one.stages["loss"]["loss"]).reshape(-1)[0]) for one in sides]
    outputs = [one.stages.get("forward", {}).get("outputs") for one in sides]
    rows = {len(one) for one in outputs if one is not None and one.ndim}
    least = [_TERM * rounding(one.precision) * abs(loss) for one, loss in zip(sides, losses, strict=True)]
    there = [abs(one) > small for one, small in zip(added, least, strict=True)]
    stage, tensor = "loss", "loss"
    if all(there):
        ratio = added[0] / added[1]
        more = 0 if abs(ratio) > 1 else 1
        times = ratio if more == 0 else 1 / ratio
        off = sum(small / abs(one) / _TERM for one, small in zip(added, least, strict=True))
        if len(rows) == 1 and abs(times - (count := rows.copy().pop())) <= max(64 * off, 1e-6) * count and count > 1:
            text = (
                f"beside its loss function {names[more]} adds {added[more]:.6g} to the loss, {names[1 - more]} "
                f"{added[1 - more]:.6g}: {count} times as much, as many as rows in the batch, a sum for a mean"
            )
            yield NumericCause("sum-for-mean-in-term", "proven", stage, tensor, text)
        elif abs(times - 1) > max(64 * off, 1e-6):
            text = f"beside their loss functions {names[0]} adds {added[0]:.6g} to the loss, {names[1]} {added[1]:.6g}"
            yield NumericCause("added-term", "likely", stage, tensor, text)
    elif any(there):
        more = there.index(True)
        text = f"{names[more]} adds {added[more]:.6g} to the loss beside its loss function, {names[1 - more]} nothing"
        yield NumericCause("added-term", "likely", stage, tensor, text)

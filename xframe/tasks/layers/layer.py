"""What all layers have, and how a model's are placed one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, get_args

from xframe.errors import UsageError, Verbatim, unknown
from xframe.tasks import plain

Shape = tuple[int, ...]
Function = Literal["linear", "relu", "tanh", "sigmoid", "softplus", "silu", "gelu", "gelu_tanh", "elu"]
_ACTIVATION = ("activation", get_args(Function))
# By field: what it is called in an error, and the words that it takes. A padding may also be a number.
_WORDS = {
    "activation": _ACTIVATION,
    "function": _ACTIVATION,
    "padding": ("padding", ("same", "valid")),
    "slopes": ("slopes", ("one", "channels", "elements")),
    "method": ("method", ("nearest", "bilinear")),
}


@dataclass(frozen=True, slots=True, repr=False)
class Layer:
    """What all neutral layers have. Layers without weights that keep the shape need no more.

    Fields are checked by their names and types when a layer is made; whole numbers are counts.

    Attributes:
        ranks: how many dimensions one sample may have.
        words: by field, where it takes other words than most layers take there.
        buffers: those of its weights that have no gradient and that training steps move, with what they begin as
            where a task states nothing.
        first: whether it can only be the first layer, as it takes integers, and what other layers give are floats.
    """

    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)
    words: ClassVar[dict[str, tuple[str, ...]]] = {}
    buffers: ClassVar[Mapping[str, int]] = MappingProxyType({})
    first: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            whole = type(value) is int
            if name in _WORDS and not (name == "padding" and whole):
                what, words = _WORDS[name]
                if value not in (words := self.words.get(name, words)):
                    raise unknown(what, str(value), words)
            least = 0 if name in ("padding", "seed", "output_padding") else 1
            counts = field.type == "int" or (field.type == "int | None" and value is not None)
            if (counts and not whole) or (whole and field.type != "float" and value < least):
                raise UsageError(f"a layer's {name}", got=value, expected=f"an integer from {least} up")
            if field.type == "bool" and type(value) is not bool:
                raise UsageError(f"a layer's {name}", got=value, expected="true or false")
            if name == "epsilon" and not value > 0:
                raise UsageError("a layer's epsilon", got=value, expected="a number above 0")
            if name in ("momentum", "rate") and not 0 <= value < 1:
                raise UsageError(f"a layer's {name}", got=value, expected="a number from 0 up to below 1")

    def __repr__(self) -> str:
        """With the fields that are not at their defaults."""
        return f"{type(self).__name__}({', '.join(plain.changed(self))})"

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        """The shapes of its weights by their own names, for samples of that shape."""
        return {}

    def outputs(self, inputs: Shape) -> Shape:
        """The shape of what it gives for one sample. Raises UsageError: it does not take samples of that shape."""
        return inputs

    def named(self, name: str) -> Layer:
        """The layer as it is in the place of that canonical name."""
        return self


class Placed(NamedTuple):
    """A layer in its place: its canonical name, its samples' shape, its weights' shapes by their own names."""

    layer: Layer
    name: str
    inputs: Shape
    weights: dict[str, Shape]


def place(layers: Sequence[Layer], inputs: Shape) -> list[Placed]:
    """The layers one after the other, for samples of that shape.

    Raises:
        UsageError: a layer does not take what the one before it gives.
    """
    placed: list[Placed] = []
    for layer in layers:
        if len(inputs) not in layer.ranks:
            ranks = " or ".join(str(rank) for rank in layer.ranks)
            raise UsageError(f"{layer} takes samples of a different shape", got=inputs, expected=f"{ranks} dimensions")
        if layer.first and placed:
            raise UsageError(
                f"{layer} takes integers", got=Verbatim(f"what {placed[-1].layer} gives"), expected="it first"
            )
        number = sum(type(other.layer) is type(layer) for other in placed)
        name, outputs = f"{layer.kind}_{number}", layer.outputs(inputs)
        placed.append(Placed(layer.named(name), name, inputs, layer.weights(inputs)))
        inputs = outputs
    return placed


def divisible(layer: Layer, what: str, count: int, by: int) -> None:
    """Raises UsageError: these are not a multiple of that."""
    if count % by:
        raise UsageError(f"{layer} splits {what}", got=count, expected=f"a multiple of {by}")


def nonempty(layer: Layer, inputs: Shape, outputs: Shape) -> Shape:
    """That shape. Raises UsageError: nothing is in it."""
    if min(outputs) < 1:
        raise UsageError(f"{layer} leaves nothing", got=Verbatim(f"samples of {inputs}"), expected="larger samples")
    return outputs

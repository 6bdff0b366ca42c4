"""Every neutral layer in torch and TensorFlow against NumPy's in float64: outputs, all gradients, what training moves.

Usage: python tests/proof/layers.py [CASES] [--seed N] [--only NAME,NAME]

Layers, their settings and shapes are drawn by a seed, CASES of each. A case makes two training steps and a validation
from the same weights and inputs. A difference is by the largest value of NumPy's array, in eps of the precision.

What a difference may be depends on how much of a result is left when its terms cancel, as in the gradient of a
normalisation over two values, which is all but zero. This is measured in NumPy alone: ``stir`` is by how much a result
changes, in the same measure, when each weight, input and gradient changes at random by at most one eps of its own, or
when all is computed in float32, in float32's eps; the largest of these.

- float64: at most 64 eps; or 16 times the stir, where that is more, counted in the table as ill-conditioned.
- float32: at most 2 · √n · the stir, and that of 1 at least: n roundings one after the other of at most an eps each,
  which do not know of each other, with twice their deviation for the worst of all elements. A number is the sum of at
  most as many terms as inputs, outputs and weights together have, and comes through at most three such sums (a
  product, its activation, the sum over a batch), of T steps in a recurrent layer; n counts all terms.
"""

from __future__ import annotations

import argparse
import math
import os
import warnings
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

import numpy as np

from xframe import layers
from xframe.errors import UsageError
from xframe.tasks.layers import KINDS, Layer, Placed, Shape, place

BAR, CONDITION = 64, 16  # eps in float64, and times the stir
FRAMEWORKS = ("torch", "tensorflow")
ROWS = 3
Arrays = Mapping[str, Any]


class Case(NamedTuple):
    """A layer in its place, with weights, inputs and the gradient of its outputs."""

    at: Placed
    weights: Arrays
    x: Any
    gradient: Any

    def cast(self, kind: type) -> Case:
        """In that precision."""
        weights = {
            name: values if values.dtype.kind == "i" else values.astype(kind) for name, values in self.weights.items()
        }
        return Case(self.at, weights, self.x if self.whole else self.x.astype(kind), self.gradient.astype(kind))

    @property
    def whole(self) -> bool:
        """Whether its inputs are integers."""
        return bool(self.x.dtype.kind == "i")


def _padding(random: Random) -> Any:
    return random.choice(["same", "valid", 0, 1, 2])


def _conv(random: Random) -> dict[str, Any]:
    values = {"kernel_size": random.randint(1, 5), "padding": _padding(random), "use_bias": random.random() < 0.8}
    strides, dilation = random.choice([(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)])
    return {**values, "strides": strides, "dilation": dilation, "activation": random.choice(["linear", "tanh"])}


def _grouped(random: Random) -> dict[str, Any]:
    groups = random.choice([1, 1, 1, 2, 3])
    return {**_conv(random), "filters": groups * random.randint(1, 4), "groups": groups}


def _pool(random: Random) -> dict[str, Any]:
    size = random.randint(1, 4)
    padding = random.choice(["same", "valid", random.randint(0, size // 2)])
    return {"size": size, "strides": random.choice([None, 1, 2, 3]), "padding": padding}


def _transposed(random: Random) -> dict[str, Any]:
    strides, padding = random.randint(1, 4), _padding(random)
    values = {"filters": random.randint(1, 4), "kernel_size": random.randint(1, 5), "padding": padding}
    output = random.randrange(strides) if isinstance(padding, int) else 0
    return {**values, "strides": strides, "output_padding": output, "use_bias": random.random() < 0.8}


def _recurrent(random: Random) -> dict[str, Any]:
    return {"units": random.randint(1, 6), "return_sequences": random.random() < 0.5}


def _epsilon(random: Random) -> dict[str, Any]:
    return {"epsilon": random.choice([1e-5, 1e-3])}


_NORMS = (layers.LayerNorm, layers.GroupNorm, layers.RMSNorm, layers.TransformerBlock)
_FUNCTIONS = ("linear", "relu", "tanh", "sigmoid", "softplus", "silu", "gelu", "gelu_tanh", "elu")
DRAWN: Mapping[type[Layer], Callable[[Random], dict[str, Any]]] = {
    layers.Dense: lambda random: {"units": random.randint(1, 8), "activation": random.choice(_FUNCTIONS)},
    layers.Activation: lambda random: {"function": random.choice(_FUNCTIONS)},
    layers.Conv2D: _grouped,
    layers.Conv1D: lambda random: _grouped(random) | ({"padding": "causal"} if random.random() < 0.3 else {}),
    layers.DepthwiseConv2D: lambda random: _conv(random) | {"multiplier": random.randint(1, 3)},
    layers.ConvTranspose2D: _transposed,
    layers.Upsample2D: lambda random: {
        "size": random.randint(1, 4),
        "method": random.choice(["nearest", "bilinear"]),
    },
    layers.MaxPool2D: _pool,
    layers.AveragePool2D: lambda random: _pool(random) | {"count_padding": random.random() < 0.5},
    layers.BatchNorm: lambda random: _epsilon(random) | {"momentum": random.choice([0.0, 0.9, 0.99])},
    layers.LayerNorm: _epsilon,
    layers.GroupNorm: lambda random: _epsilon(random) | {"groups": random.randint(1, 3)},
    layers.RMSNorm: _epsilon,
    layers.Embedding: lambda random: {"vocabulary": 7, "units": random.randint(1, 5)},
    layers.LSTM: _recurrent,
    layers.GRU: lambda random: _recurrent(random) | {"reset_after": random.random() < 0.7},
    layers.SimpleRNN: lambda random: _recurrent(random) | {"activation": random.choice(["tanh", "relu"])},
    layers.TransformerBlock: lambda random: {"heads": random.randint(1, 3), "hidden": random.randint(1, 8)},
    layers.LeakyReLU: lambda random: {"slope": random.choice([0.01, 0.3])},
    layers.ELU: lambda random: {"alpha": random.choice([0.7, 1.0])},
    layers.PReLU: lambda random: {"slopes": random.choice(["one", "channels", "elements"])},
    layers.Dropout: lambda random: {"rate": random.choice([0.0, 0.1, 0.5]), "seed": random.randrange(2**40)},
}


def case(kind: type[Layer], random: Random) -> Case:
    """A layer of that kind, with settings and a shape that it takes."""
    while True:
        try:
            layer = kind(**DRAWN.get(kind, lambda _: {})(random))
            (at,) = place((layer,), _shape(layer, random))
        except UsageError:  # settings that do not go together; others are drawn
            continue
        if not getattr(layer, "unsafe", False):  # see there
            break
    return filled(at, random.randrange(2**32))


def filled(at: Placed, seed: int) -> Case:
    """A layer in its place with numbers drawn by that seed."""
    draw, outputs = np.random.RandomState(seed), at.layer.outputs(at.inputs)
    weights = {f"{at.name}/{name}": _values(name, shape, draw) for name, shape in at.weights.items()}
    x = draw.randint(0, 7, (ROWS, *at.inputs)) if at.layer.first else _single(draw.uniform(-2, 2, (ROWS, *at.inputs)))
    return Case(at, weights, x, _single(draw.uniform(-1, 1, (ROWS, *outputs))))


def _single(values: Any) -> Any:
    """Float64 that float32 holds too, so that both precisions compute of the same."""
    return np.asarray(values).astype(np.float32).astype(np.float64)


def _shape(layer: Layer, random: Random) -> Shape:
    rank = random.choice(layer.ranks)
    if isinstance(
        layer, _NORMS
    ):  # of two values a normalisation leaves a gradient that is all but zero, by its formula
        return (*(random.randint(1, 9) for _ in range(rank - 1)), getattr(layer, "groups", 1) * random.randint(3, 6))
    return (*(random.randint(1, 9) for _ in range(rank - 1)), random.randint(1, 6))


def _values(name: str, shape: Shape, draw: Any) -> Any:
    if name == "step":
        return np.array(draw.randint(0, 1000), np.int64)
    low = 0.5 if name in ("variance", "scale") else -1
    return _single(draw.uniform(low, 1, shape) / math.sqrt(shape[-2] if len(shape) > 1 else 1))


def in_numpy(one: Case) -> dict[str, Any]:
    """Outputs, gradients and moved weights, of two training steps and a validation."""
    from xframe_numpy.layers import LOWER

    layer, name, _, own = one.at
    weights, found = {weight: one.weights[f"{name}/{weight}"] for weight in own}, {}
    for step in range(2):
        outputs, back, moved = LOWER[type(layer)](layer, weights, one.x, True)
        of_weights, of_x = back(one.gradient)
        found |= {f"{step} outputs": outputs, **({} if one.whole else {f"{step} gradient of x": of_x})}
        found |= {f"{step} gradient of {weight}": values for weight, values in of_weights.items()}
        found |= {f"{step} {weight}": values for weight, values in moved.items()}
        weights |= moved
    return found | {"validation": LOWER[type(layer)](layer, weights, one.x, False).outputs}


def in_torch(one: Case, precision: str = "float64", compiled: bool = False) -> dict[str, Any]:
    """The same by the torch adapter."""
    import torch
    from xframe_torch.layers import lower
    from xframe_torch.model import _moved

    built = _moved(lower([one.at])[0], "cpu", getattr(torch, precision))
    with torch.no_grad():
        for name, (tensor, axes) in built.parameters.items():
            values = one.weights[name]
            tensor.copy_(torch.from_numpy(values if axes is None else values.transpose(axes).copy()))
    module, found = built.module.train(), dict[str, Any]()
    run = torch.compile(module, fullgraph=True) if compiled else module
    x = torch.from_numpy(one.x if one.whole else one.x.astype(precision)).requires_grad_(not one.whole)
    for step in range(2):
        module.zero_grad()
        x.grad = None
        outputs = run(x)
        if outputs.requires_grad:
            (outputs * torch.from_numpy(one.gradient).to(outputs.dtype)).sum().backward()
        found |= {f"{step} outputs": outputs, **({} if one.whole else {f"{step} gradient of x": x.grad.clone()})}
        for name, (tensor, axes) in built.parameters.items():
            weight, back = name.split("/")[1], None if axes is None else tuple(np.argsort(axes))
            value, key = (tensor.grad, f"{step} gradient of {weight}") if tensor.requires_grad else (tensor, "")
            found[key or f"{step} {weight}"] = value.clone() if back is None else value.permute(back).clone()
    found["validation"] = module.eval()(x)
    return {name: value.detach().numpy() for name, value in found.items()}


def in_tensorflow(one: Case, precision: str = "float64", compiled: bool = False) -> dict[str, Any]:
    """The same by the TensorFlow adapter; the frameworks' settings are the process's."""
    import keras
    import tensorflow as tf
    from xframe_tensorflow.layers import lower

    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    built, _ = lower([one.at], precision)
    for name, (variable, axes) in built.parameters.items():
        variable.assign(one.weights[name] if axes is None else one.weights[name].transpose(axes))
    x, gradient = tf.constant(one.x, "int64" if one.whole else precision), tf.constant(one.gradient, precision)
    trained, found = built.module.trainable_variables, dict[str, Any]()

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            if not one.whole:
                tape.watch(x)
            outputs = built.module(x, training=True)
            loss = tf.reduce_sum(outputs * gradient)
        return outputs, *tape.gradient(loss, [x, *[one.value for one in trained]])

    run = tf.function(step, jit_compile=True) if compiled else step
    for number in range(2):
        outputs, of_x, *gradients = run(x)
        found |= {f"{number} outputs": outputs, **({} if one.whole else {f"{number} gradient of x": of_x})}
        by_id = {id(variable): values for variable, values in zip(trained, gradients, strict=True)}
        for name, (variable, axes) in built.parameters.items():
            weight, trains = name.split("/")[1], id(variable) in by_id
            value = tf.convert_to_tensor(by_id[id(variable)] if trains else variable)
            turned = value if axes is None else tf.transpose(value, np.argsort(axes))
            found[f"{number} gradient of {weight}" if trains else f"{number} {weight}"] = turned.numpy()
    found["validation"] = built.module(x, training=False)
    return {name: np.asarray(value) for name, value in found.items()}


RUN = {"torch": in_torch, "tensorflow": in_tensorflow}


def stir(one: Case, reference: Arrays, precision: str) -> dict[str, float]:
    """By how much each of NumPy's results changes with its inputs and with rounding, in eps, at least 1."""
    eps, single = np.finfo(precision).eps, in_numpy(one.cast(np.float32))
    worst = {name: max(1.0, apart(reference[name], single[name], "float32")) for name in reference}

    def stirred(values: Any, draw: Any) -> Any:
        return values if values.dtype.kind == "i" else values * (1 + eps * draw.uniform(-1, 1, values.shape))

    for seed in range(3):
        draw = np.random.RandomState(seed)
        weights = {name: stirred(values, draw) for name, values in one.weights.items()}
        found = in_numpy(Case(one.at, weights, stirred(one.x, draw), stirred(one.gradient, draw)))
        worst = {name: max(worst[name], apart(reference[name], found[name], precision)) for name in reference}
    return worst


def apart(expected: Any, found: Any, precision: str) -> float:
    """The largest difference by the largest value expected, in eps."""
    if not expected.size:
        return 0.0
    scale = np.abs(expected).max() or 1
    difference = np.abs(found.astype(np.float64) - expected).max() / scale / np.finfo(precision).eps
    return math.inf if np.isnan(difference) else float(difference)


def roundings(one: Case) -> int:
    """How many there may be one after the other, see above."""
    terms = one.x.size + one.gradient.size + sum(values.size for values in one.weights.values())
    recurrent = isinstance(one.at.layer, (layers.LSTM, layers.GRU, layers.SimpleRNN))
    return int(3 * terms * (one.at.inputs[0] if recurrent else 1))


class Distance(NamedTuple):
    """How far a framework is from NumPy in one case."""

    eps: float
    allowed: float
    of: str  # the result with the largest share of what is allowed

    @property
    def share(self) -> float:
        """Of what is allowed."""
        return self.eps / self.allowed


def distances(one: Case, precision: str, run: Callable[..., Arrays]) -> Distance:
    """The framework's results beside NumPy's."""
    reference = in_numpy(one)
    found, moved = run(one, precision), stir(one, reference, precision)
    if reference.keys() != found.keys():
        return Distance(math.inf, 1, f"names {sorted(reference.keys() ^ found.keys())}")
    if wrong := [name for name, expected in reference.items() if expected.shape != found[name].shape]:
        return Distance(math.inf, 1, f"shape of {wrong[0]}: {found[wrong[0]].shape}")
    times = CONDITION if precision == "float64" else 2 * math.sqrt(roundings(one))
    least = BAR if precision == "float64" else 0
    each = (
        Distance(apart(expected, found[name], precision), max(least, times * moved[name]), name)
        for name, expected in reference.items()
    )
    return max(each, key=lambda found: found.share)


def cases(kind: type[Layer], count: int, seed: int) -> list[Case]:
    """The first ``count`` of that seed."""
    return [case(kind, Random(f"{seed} {kind.__name__} {number}")) for number in range(count)]


def row(kind: type[Layer], drawn: list[Case]) -> tuple[str, list[str]]:
    """A line of the table, and what was wrong."""
    cells, wrong, ill = [], [], 0
    for framework, run in RUN.items():
        for precision in ("float64", "float32"):
            found = [distances(one, precision, run) for one in drawn]
            wrong += [
                f"{framework} {precision}: {one.at.layer} of {one.at.inputs}: {distance}"
                for one, distance in zip(drawn, found, strict=True)
                if not distance.share <= 1
            ]
            if precision == "float64":
                plain = [distance for distance in found if distance.allowed == BAR]
                ill = max(ill, len(found) - len(plain))
                cells.append(f"{max((distance.eps for distance in plain), default=0):.1f}")
            cells.append(f"{max(distance.share for distance in found):.2f}")
    return f"| {kind.__name__} | {len(drawn)} | {' | '.join(cells)} | {ill} |", wrong


def main() -> None:
    """Prints the table, and below it a list of what is too far."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    import keras
    import tensorflow as tf
    import torch

    tf.get_logger().setLevel("ERROR")
    warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
    wanted = [kind for kind in KINDS if not given.only or kind.__name__ in given.only.split(",")]
    print(
        f"`python tests/proof/layers.py {given.cases}`: torch {torch.__version__}, TensorFlow {tf.__version__}, ",
        end="",
    )
    print(f"Keras {keras.__version__}, NumPy {np.__version__}, seed {given.seed}. Differences from NumPy in float64:\n")
    print("| layer | cases | torch float64, eps | of allowed | float32, of allowed | TensorFlow float64, eps ", end="")
    print("| of allowed | float32, of allowed | ill-conditioned |\n|" + " --- |" * 9)
    wrong: list[str] = []
    for kind in wanted:
        line, found = row(kind, cases(kind, given.cases, given.seed))
        print(line, flush=True)
        wrong += found
    print("\n" + ("\n".join(f"- {one}" for one in wrong) or "Nothing is further away than allowed."))


if __name__ == "__main__":
    main()

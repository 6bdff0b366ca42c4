"""Rules in torch compared with NumPy's, in float64: 50 updates, each from the same weights and slots."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xframe_numpy.optimizers as reference
from xframe_numpy import NumpyAdapter
from xframe_torch import TorchAdapter
from xframe_torch.optimizers import clipping, lower, read_numbers, read_slots, set_rate, write_slots

from xframe import optimizers, schedule
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.running.runtime import Runtime
from xframe.tasks.builders import Parameter
from xframe.tasks.lookup import find_task

EPS = np.finfo(np.float64).eps
KERNEL, BIAS, CONVOLUTION, TABLE = "dense_0/kernel", "dense_0/bias", "conv2d_0/kernel", "embedding_0/table"
LAYOUTS = {
    KERNEL: ((7, 5), (1, 0)),
    BIAS: ((5,), None),
    CONVOLUTION: ((3, 3, 2, 4), (3, 2, 0, 1)),
    TABLE: ((6, 3), None),
}
GROUPS = (optimizers.Group(("*/bias",), 2.0, 0.0), optimizers.Group(("conv2d_*",), 0.5))
SCHEDULED = {"learning_rate": schedule.Warmup(20, schedule.Constant(0.02))}
L2 = {"weight_decay": 0.05, "decay": "l2"}
DECOUPLED = {"weight_decay": 0.05, "decay": "decoupled", "groups": GROUPS, **SCHEDULED}
DIALECTS = [name for name in optimizers.names() if "." in name]
CASES = [(name, settings) for name in (*DIALECTS, "lion") for settings in ({}, L2, DECOUPLED)]
CASES += [
    (name, {"momentum": 0.9, **more})
    for name in ("torch.sgd", "keras.sgd")
    for more in ({}, {"nesterov": True}, L2, DECOUPLED, SCHEDULED)
]
CASES += [
    ("sgd", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "decay": kind}) for kind in ("l2", "decoupled")
]
CASES += [
    (name, {"momentum": momentum, "centered": centered, **SCHEDULED})
    for name in ("torch.rmsprop", "keras.rmsprop")
    for momentum, centered in ((0.9, False), (0.0, True), (0.9, True))
]
CASES += [("keras.adam", {"amsgrad": True}), ("torch.adam", {"amsgrad": True})]
CASES += [("adagrad", {"rate_decay": 0.1}), ("keras.adagrad", {"rate_decay": 0.1})]
CASES += [("keras.adam", {clip: 0.7}) for clip in optimizers.CLIPS]
named = pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=[f"{name}-{','.join(settings)}" for name, settings in CASES]
)


def native(values, axes):
    return torch.tensor(np.ascontiguousarray(values if axes is None else values.transpose(axes)))


def canonical(parameter):
    values = parameter.tensor.detach().numpy()
    return values if parameter.axes is None else values.transpose(np.argsort(parameter.axes))


def gradients(update, weights, rng):
    """Some are zero, in part or all, tiny or huge."""
    scale = {3: 0.0, 4: 1e-30, 5: 1e-12, 9: 1e6}.get(update % 12, 1.0)
    found = {name: rng.normal(size=values.shape) * scale for name, values in weights.items()}
    return {name: np.where(rng.random(g.shape) < 0.7, 0, g) for name, g in found.items()} if update % 4 == 1 else found


def in_layouts(weights, kind=torch.float64):
    axes = {name: LAYOUTS[name][1] for name in weights}
    return {n: Parameter(torch.nn.Parameter(native(w, axes[n]).to(kind)), axes[n]) for n, w in weights.items()}


def distance(rule, in_torch=None, updates=50, layouts=LAYOUTS):
    """The worst of all weights in eps of its tensor's largest, and of slots; torch's optimizer."""
    in_torch, rng = in_torch or rule, np.random.default_rng(7)
    weights = {name: rng.normal(size=shape) for name, (shape, _) in layouts.items()}
    parameters = in_layouts(weights)
    numpy, optimizer, clip = reference.lower(rule, weights), lower(in_torch, parameters), clipping(in_torch)
    worst = 0.0
    for update in range(updates):
        write_slots(in_torch, optimizer, parameters, reference.read_slots(numpy), reference.read_numbers(numpy))
        for name, (tensor, axes) in parameters.items():
            tensor.data.copy_(native(weights[name], axes))
        found = gradients(update, weights, rng)
        for name, (tensor, axes) in parameters.items():
            tensor.grad = native(found[name], axes)
        numpy.learning_rate = rule.rate(update)
        set_rate(optimizer, in_torch.rate(update))
        numpy.apply(weights, found)
        if clip is not None:
            clip([parameter.tensor for parameter in parameters.values()])
        optimizer.step()
        pairs = [(canonical(parameters[name]), values) for name, values in weights.items()]
        slots = read_slots(in_torch, optimizer, parameters)
        for slot, held in reference.read_slots(numpy).items():
            pairs += [(slots[slot][name].numpy(), values) for name, values in held.items()]
        assert all(np.isfinite(values).all() and got.shape == values.shape for got, values in pairs)
        worst = max(worst, *(np.abs(got - values).max() / max(np.abs(values).max(), 1e-300) for got, values in pairs))
        worst = max(worst, *(abs(read_numbers(in_torch, optimizer)[n] / v - 1) for n, v in numpy.numbers.items()), 0.0)
    return worst / EPS, optimizer


@named
def test_an_update_is_numpys(name, settings):
    assert distance(optimizers.named(name, settings))[0] <= 64


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sgd", {"momentum": 0.9, **SCHEDULED}),
        ("rmsprop", {}),
        ("adagrad", {}),
        ("adam", {}),
        ("nadam", {}),
        ("adamax", {}),
    ],
)
def test_the_other_dialect_is_seen_to_differ(name, settings):
    keras, own = (optimizers.named(f"{dialect}.{name}", settings) for dialect in ("keras", "torch"))
    words = {"velocity", "epsilon_on", "momentum_decay"} & set(own.to_dict())
    assert distance(own, replace(own, **{word: getattr(keras, word) for word in words}), 3)[0] > 1e4


@named
def test_slots_come_back_bit_for_bit(name, settings):
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        there_and_back(optimizers.named(name, settings), kind)


def there_and_back(rule, kind):
    rng = np.random.default_rng(1)
    parameters = in_layouts({name: np.ones(shape) for name, (shape, _) in LAYOUTS.items()}, kind)
    optimizer, slots, numbers = lower(rule, parameters), {}, {"updates": 3, "momentum_product": 0.123456789}
    for parameter, (shape, _) in LAYOUTS.items():
        for slot, held in rule.shapes(shape).items():
            slots.setdefault(slot, {})[parameter] = torch.tensor(rng.random(held)).to(kind).double().numpy()
    write_slots(rule, optimizer, parameters, slots, numbers)
    got = read_slots(rule, optimizer, parameters)
    assert {slot: set(held) for slot, held in got.items()} == {slot: set(held) for slot, held in slots.items()}
    for slot, held in slots.items():
        assert all(np.array_equal(got[slot][name].double().numpy(), values) for name, values in held.items())
        assert {values.dtype for values in got[slot].values()} == {kind}
    assert all(numbers[number] == value for number, value in read_numbers(rule, optimizer).items())


@named
def test_before_the_first_update_slots_are_as_the_rule_begins(name, settings):
    rule, weights = optimizers.named(name, settings), {name: np.ones(shape) for name, (shape, _) in LAYOUTS.items()}
    begun, parameters = reference.read_slots(reference.lower(rule, weights)), in_layouts(weights)
    got = read_slots(rule, lower(rule, parameters), parameters)
    assert got.keys() == begun.keys()
    assert all(np.array_equal(got[slot][n], values) for slot, held in begun.items() for n, values in held.items())


def test_torchs_own_optimizer_is_taken_where_it_is_the_rule():
    parameters = in_layouts({KERNEL: np.ones((7, 5))})
    made = {name: type(lower(optimizers.named(name), parameters)) for name in optimizers.names()}
    own = {name for name, kind in made.items() if kind.__module__.startswith("torch.optim")}
    assert {name for name in own if name.startswith("keras.")} == {"keras.sgd", "keras.adadelta"}
    assert {name for name in made if name.startswith("torch.")} - own == {"torch.nadam"}
    assert made["torch.adamw"] is torch.optim.AdamW


def test_torchs_adafactor_is_the_rule_for_matrices():
    rule = optimizers.named("torch.adafactor", {"weight_decay": 0.1, "learning_rate": 0.5})
    worst, optimizer = distance(rule, layouts={name: LAYOUTS[name] for name in (KERNEL, BIAS, TABLE)})
    assert worst <= 64
    assert type(optimizer) is torch.optim.Adafactor


def test_the_first_group_has_the_rules_own_rate():
    every = optimizers.Group(("*",), 0.5)
    rule = optimizers.named("adam", {"groups": (every,)})
    optimizer = lower(rule, in_layouts({BIAS: np.ones(5)}))
    set_rate(optimizer, 0.25)
    assert [(group["lr"], len(group["params"])) for group in optimizer.param_groups] == [(0.25, 0), (0.125, 1)]


def test_with_a_scaled_loss_the_kernel_skips_where_nothing_else_counts_its_updates():
    def fused(name, **settings):
        rule = optimizers.named(name, settings)
        return bool(lower(rule, in_layouts({BIAS: np.ones(5)}), scaled=True).param_groups[0].get("fused"))

    assert all(fused(name) for name in ("sgd", "torch.adam", "adamw"))
    assert not fused("adamw", average=optimizers.Average(0.9))
    assert not fused("keras.adam")


# Where a run's order of updates counts: decay, averages by both clocks, groups, a schedule, windows and a cut.
RULES = {
    "keras.adam": {"weight_decay": 0.1, "groups": (optimizers.Group(("*/bias",), 3.0, 0.0),), "clip_global_norm": 0.1},
    "keras.sgd": {"momentum": 0.9, **SCHEDULED, "average": optimizers.Average(0.9, final=True)},
    "adamw": {"average": optimizers.Average(0.9, clock="steps", final=True)},
    "nadam": {"average": optimizers.Average(0.9)},
}


@pytest.mark.parametrize("loop", ["eager", "loader"])
@pytest.mark.parametrize("name", RULES)
def test_a_run_ends_with_numpys_weights(name, loop, tmp_path):
    task = replace(find_task("digits-mlp"), optimizer=optimizers.named(name, RULES[name]))
    plan = TrainingPlan(batch_size=64, epochs=1, gradient_accumulation_steps=3, loss_normalization="window")
    ends = []
    for adapter, runtime in ((NumpyAdapter(), None), (TorchAdapter(), loop)):
        settings = Runtime(device="cpu", precision="float64", loop=runtime)
        assert adapter.check(plan, task, settings) == []
        with record(tmp_path / f"{adapter.name}.trace") as recorder:
            ends.append(adapter.run(plan, task, settings, recorder))
    for weight, values in ends[0].items():
        assert np.abs(ends[1][weight] - values).max() <= 64 * EPS * np.abs(values).max()


def test_what_torch_cannot_do_is_refused_by_name():
    class Own(optimizers.Rule):
        pass

    def refused(rule):
        return TorchAdapter().check(plan, replace(task, optimizer=rule), Runtime(device="cpu"))

    task, plan = find_task("digits-mlp"), TrainingPlan(batch_size=64, epochs=1)
    assert "optimizer Own is not one of its rules" in refused(Own(0.1))[0]
    assert refused(optimizers.NAdam(0.1, momentum_decay=-1.0)) == [
        "optimizers of torch take no momentum_decay below 0 (-1.0)"
    ]


@pytest.mark.parametrize("name", ["keras.adafactor", "torch.adafactor"])
def test_a_row_and_column_without_gradients_is_to_adafactor_what_it_is_to_torch(name):
    """In float32 Keras' factors of such an element are 0 and it is NaN, and with it the whole tensor's size."""
    task = replace(find_task("digits-mlp"), optimizer=optimizers.named(name))
    plan, runtime = TrainingPlan(batch_size=6, steps=1, seed=88), Runtime(device="cpu", threads=1)
    ends = []
    for adapter in (NumpyAdapter(), TorchAdapter()):
        step = adapter.train_step(plan, task, runtime)
        step(next(iter(adapter.pipeline(plan, task, runtime))))
        ends.append(step.state().parameters["dense_0/kernel"])
    assert np.isnan(ends[0]).all() == (name == "keras.adafactor")
    assert np.array_equal(*map(np.isnan, ends))

"""A task with a builder for each framework ends where the same task with neutral layers ends, to the bit."""

from dataclasses import replace

import numpy as np
import pytest

import xframe
from xframe.running import registry
from xframe.tasks.lookup import find_task
from xframe.testing import observe

PLAN = xframe.TrainingPlan(batch_size=64, steps=20)


def build_torch():
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    return named(model, {"dense_0": model[0], "dense_1": model[2]}, kernel="weight", axes=(1, 0))


def build_tensorflow():
    import keras

    layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    return named(model, {"dense_0": layers[0], "dense_1": layers[1]}, kernel="kernel", axes=None)


def named(model, layers, kernel, axes):
    parameters = {}
    for name, layer in layers.items():
        parameters[f"{name}/kernel"] = xframe.Parameter(getattr(layer, kernel), axes)
        parameters[f"{name}/bias"] = xframe.Parameter(layer.bias)
    return xframe.NativeModel(model, parameters)


BUILT = replace(find_task("digits-mlp"), layers=(), builders={"torch": build_torch, "tensorflow": build_tensorflow})


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_builder_is_as_good_as_layers(name, tmp_path):
    adapter = registry.load(name)
    adapter.probe()
    runs = [
        observe(adapter, PLAN, task, tmp_path / f"{i}.trace", precision="float32")
        for i, task in enumerate((find_task("digits-mlp"), BUILT))
    ]
    assert runs[0].certificate == runs[1].certificate
    assert runs[0].end["weights"] == runs[1].end["weights"]
    assert np.array_equal(runs[0].column("loss"), runs[1].column("loss"))


def test_without_a_builder_of_its_own_an_adapter_refuses():
    reasons = registry.load("numpy").check(PLAN, BUILT, xframe.Runtime(device="cpu"))
    assert reasons == ["task 'digits-mlp' has no neutral layers and no builder for 'numpy'"]


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_builder_that_names_other_weights_is_refused(name, tmp_path):
    def other():
        module, parameters = BUILT.builders[name]()
        return xframe.NativeModel(module, {"renamed": parameters["dense_0/kernel"]})

    refused(name, other, tmp_path, f"names different weights than its {name} model")


def refused(name, builder, folder, message, **change):
    task = replace(BUILT, builders={name: builder}, **change)
    with pytest.raises(xframe.UsageError, match=message):
        observe(registry.load(name), PLAN, task, folder / "a.trace")


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_weight_of_another_shape_is_refused(name, tmp_path):
    def turned():
        module, parameters = BUILT.builders[name]()
        kernel = parameters["dense_0/kernel"]
        wrong = xframe.Parameter(kernel.tensor, None if kernel.axes else (1, 0))
        return xframe.NativeModel(module, {**parameters, "dense_0/kernel": wrong})

    refused(
        name, turned, tmp_path, "weight 'dense_0/kernel' does not fit its .* model: got .*Parameter\\(tensor, axes\\)"
    )


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_weight_that_nobody_names_is_refused(name, tmp_path):
    def partly():
        module, parameters = BUILT.builders[name]()
        return xframe.NativeModel(module, {key: p for key, p in parameters.items() if key != "dense_1/bias"})

    weights = {key: w for key, w in BUILT.initial_weights().items() if key != "dense_1/bias"}
    message = "trains weights that the task does not name: got one of shape \\(10,\\)"
    refused(name, partly, tmp_path, message, initial_weights=lambda: weights)


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_builder_without_names_is_as_good_as_one_with(name, tmp_path):
    """The bare model, or native names instead of tensors; what may be two ways is refused."""
    adapter = registry.load(name)
    adapter.probe()
    model = BUILT.builders[name]().module
    variables = model.named_parameters() if name == "torch" else ((one.path, one) for one in model.variables)
    first = next(iter(variables))[0]

    def bare():
        return BUILT.builders[name]().module

    def in_part():
        module = bare()
        own = first if name == "torch" else module.variables[0].path
        return xframe.NativeModel(module, {"dense_0/kernel": own})

    whole = observe(adapter, PLAN, BUILT, tmp_path / "whole.trace", precision="float32")
    for i, builder in enumerate((bare, in_part)):
        task = replace(BUILT, builders={name: builder})
        run = observe(adapter, PLAN, task, tmp_path / f"{i}.trace", precision="float32")
        assert run.end["weights"] == whole.end["weights"]

    def wrong():
        return xframe.NativeModel(bare(), {"dense_0/kernel": "nobody's"})

    refused(name, wrong, tmp_path, "parameter in the map of pairs")

"""Both layers' outputs, of the same data and weights, in float64; whole models too."""

import json

import numpy as np

from translations.optimizers import exact, in_float64
from xframe.translate.translating import translate

FEATURES = 4
GRU_ORDER = (1, 0, 2)  # PyTorch's r, z, n in Keras' z, r, n


def shape(text):
    """Of what data the layer takes, channels last."""
    words = text.partition("(")[0].rpartition(".")[2]
    if "Embedding" in words:
        return (3, 6)
    if any(word in words for word in ("2D", "2d", "GroupNorm", "Upsample")):
        return (2, 8, 8, FEATURES)
    if any(word in words for word in ("1D", "1d", "LSTM", "GRU", "RNN", "Bidirectional")):
        return (2, 9, FEATURES)
    return (5, FEATURES)


def made(framework, code, setup=()):
    names = {"features": FEATURES, "channels": FEATURES, "numpy": np}
    if framework == "torch":
        import torch

        torch.set_default_dtype(torch.float64)
        names["torch"] = torch
        exec("\n".join(setup), names)
        return eval(code, names).eval()
    import keras

    in_float64()
    names["keras"] = keras
    return eval(exact(code.replace("input_shape=(8, 8, 4)", "").replace("input_shape=(4,)", ""), "eval"), names)


def first(values, rank):
    """Channels last to channels behind the samples."""
    return np.moveaxis(values, -1, 1) if rank > 2 else values


def chain(layer):
    """The layers with weights, in order."""
    return [each for each in getattr(layer, "layers", [layer]) if each.weights]


def copy(layer, module):
    """Keras' weights into PyTorch's module."""
    import torch

    modules = [each for each in module.modules() if list(each.parameters(recurse=False))]
    layers = chain(layer)
    assert len(modules) == len(layers)
    random = np.random.default_rng(5)
    for source, target in zip(layers, modules, strict=True):
        source.set_weights([random.normal(size=each.shape) * 0.5 for each in source.weights])
        for name, values in converted(source, target).items():
            with torch.no_grad():
                getattr(target, name).copy_(torch.tensor(values))


def converted(source, target):
    kind, weights = type(source).__name__, [np.array(each) for each in source.get_weights()]
    if kind in ("LSTM", "GRU", "SimpleRNN"):
        return recurrent(kind, weights)
    if kind == "Bidirectional":
        kind, half = type(source.forward_layer).__name__, len(weights) // 2
        turned = recurrent(kind, weights[half:])
        return recurrent(kind, weights[:half]) | {f"{name}_reverse": values for name, values in turned.items()}
    if kind == "Embedding":
        return {"weight": weights[0]}
    kernel = weights[0]
    if kind == "Dense":
        kernel = kernel.T
    elif kind == "Conv1D":
        kernel = kernel.transpose(2, 1, 0)
    elif kind == "DepthwiseConv2D":
        kernel = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
    elif "Conv2D" in kind:
        kernel = kernel.transpose(3, 2, 0, 1)
    return {"weight": kernel, **({"bias": weights[1]} if len(weights) > 1 else {})}


def recurrent(kind, weights):
    def order(values):
        if kind != "GRU":
            return values
        return np.concatenate([np.split(values, 3)[i] for i in GRU_ORDER])

    found = {"weight_ih_l0": order(weights[0].T), "weight_hh_l0": order(weights[1].T)}
    if len(weights) > 2:
        two = weights[2] if kind == "GRU" else np.stack([weights[2], np.zeros_like(weights[2])])
        found |= {"bias_ih_l0": order(two[0]), "bias_hh_l0": order(two[1])}
    return found


def distance(layer, module, dimensions):
    """The greatest difference of the outputs, relative to their greatest, in eps."""
    import torch

    random = np.random.default_rng(9)
    data = random.integers(0, 10, dimensions) if dimensions == (3, 6) else random.normal(size=dimensions) * 3
    expected = np.array(layer(data, training=False))
    begins = next(iter(module.children()), module) if isinstance(module, torch.nn.Sequential) else module
    last = "LSTM|GRU|RNN".find(type(begins).__name__) >= 0 or len(dimensions) == 2
    given = torch.tensor(data if last else first(data, len(dimensions)).copy())
    if any(isinstance(each, torch.nn.modules.lazy.LazyModuleMixin) for each in module.modules()):
        module(given)
    copy(layer, module)
    expected, found = np.array(layer(data, training=False)), module(given)
    found = found[0] if isinstance(found, tuple) else found
    found = found.detach().numpy()
    found = found if last or found.ndim < 3 else np.moveaxis(found, 1, -1)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found - expected).max() / np.abs(expected).max() / np.finfo(np.float64).eps)


def judge(translation, written):
    """The distance of the layer and what it became."""
    texts = {translation.framework: (translation.source, ()), translation.target: (written.code, written.setup)}
    layer, module = made("keras", *texts["keras"]), made("torch", *texts["torch"])
    return distance(layer, module, shape(translation.source))


def models():
    """What is wrong of whole models, each way, and how many there were."""
    import keras
    import torch

    in_float64()
    torch.set_default_dtype(torch.float64)
    bad = []
    layers = [
        *(keras.layers.Conv2D(6, 3, padding="same", activation="relu"), keras.layers.MaxPooling2D()),
        *(keras.layers.Flatten(), keras.layers.Dense(5, activation="tanh"), keras.layers.Dropout(0.5)),
        keras.layers.Dense(3),
    ]
    native = keras.Sequential([keras.Input((8, 8, FEATURES)), *layers])
    inputs = keras.Input((8, 8, FEATURES))
    tensor = inputs
    for layer in native.layers:
        tensor = layer(tensor)
    for model in (native, keras.Model(inputs, tensor)):
        for text in (json.dumps(model.get_config()), model.to_json()):
            written = translate(text).written
            module = made("torch", written.code, written.setup)
            if not distance(model, module, (2, 8, 8, FEATURES)) <= 64:
                bad.append(f"{type(model).__name__}: {written.code}")
    layers = [keras.layers.GRU(6, return_sequences=True), keras.layers.Bidirectional(keras.layers.LSTM(5))]
    native = keras.Sequential([keras.Input((9, FEATURES)), *layers, keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    written = translate(native.to_json()).written
    if not distance(native, made("torch", written.code, written.setup), (2, 9, FEATURES)) <= 64:
        bad.append(f"Sequential: {written.code}")
    n = torch.nn
    module = n.Sequential(
        *(n.Conv2d(FEATURES, 6, 3, padding=1), n.ReLU(), n.Sequential(n.MaxPool2d(2), n.Flatten()), n.Linear(96, 5)),
        *(n.Dropout(0.5), n.Linear(5, 3)),
    ).eval()
    written = translate(str(module)).written
    if not distance(made("keras", written.code), module, (2, 8, 8, FEATURES)) <= 64:
        bad.append(f"Sequential: {written.code}")
    return 6, bad

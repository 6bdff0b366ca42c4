"""Both optimizers over 50 updates: the same gradients, from the source's weights before each update, in float64."""

import ast
import contextlib
import functools
import inspect
import types

import numpy as np

UPDATES = 50
BAR = 64 * np.finfo(np.float64).eps
SHAPES = ((4, 3), (3,), (2, 5), (1,))


def weights():
    random = np.random.default_rng(3)
    return [random.normal(size=shape) for shape in SHAPES]


def gradients(update):
    """Some are 0, some tiny, one update is huge."""
    random = np.random.default_rng((7, update))
    found = [random.normal(size=shape) for shape in SHAPES]
    found[0][0] = 0.0
    found[2][1] *= 1e-9
    return [each * (1e3 if update == 20 else 1.0) for each in found]


class Floats(ast.NodeTransformer):
    """Keras casts Python's floats through float32, and NumPy's not: those that are given, and those by default."""

    def visit_Call(self, node):
        import keras

        self.generic_visit(node)
        name = ast.unparse(node.func).removeprefix("tf.")
        if not name.startswith(("keras.optimizers.", "keras.losses.")):
            return node
        function = functools.reduce(getattr, name.split(".")[1:], keras)
        parameters = list(inspect.signature(function).parameters.values())
        given = {each.name for each in parameters[: len(node.args)]} | {each.arg for each in node.keywords}
        for each in parameters:
            if each.name not in given and type(each.default) is float:
                value = ast.parse(f"numpy.float64({each.default!r})", mode="eval").body
                node.keywords.append(ast.keyword(each.name, value))
        return node

    def visit_Constant(self, node):
        if type(node.value) is not float:
            return node
        return ast.copy_location(ast.parse(f"numpy.float64({node.value!r})", mode="eval").body, node)


def exact(text, mode):
    return compile(ast.fix_missing_locations(Floats().visit(ast.parse(text, mode=mode))), "<translation>", mode)


def in_float64():
    """Keras in float64, with numbers that come to it as Python's floats too."""
    import keras
    from keras.src import ops

    keras.config.set_floatx("float64")
    if ops.cast.__name__ == "cast":
        cast, log = ops.cast, ops.log
        ops.cast = lambda x, dtype: cast(np.float64(x) if type(x) is float else x, dtype)
        ops.log = lambda x: log(np.float64(x) if type(x) is float else x)


class Torch:
    """An optimizer of PyTorch, with the lines around its updates."""

    def __init__(self, code, setup=(), after=(), before=(), later=(), **_):
        import torch
        import xframe_torch.optim

        torch.set_default_dtype(torch.float64)
        model = torch.nn.Module()
        for i, each in enumerate(weights()):
            model.register_parameter(f"w{i}", torch.nn.Parameter(torch.tensor(each)))
        self.parameters = list(model.parameters())
        xframe = types.SimpleNamespace(optim=xframe_torch.optim)
        schedulers = {name: value for name, value in vars(torch.optim.lr_scheduler).items() if name.endswith("LR")}
        # Schedules one after another share their optimizer: in the source it is made before them.
        self.names = {"torch": torch, "xframe_torch": xframe, "model": model, "params": self.parameters, **schedulers}
        self.before, self.later = "\n".join(before), "\n".join(later)
        exec("\n".join(setup), self.names)
        made = self.made(code)
        if hasattr(made, "optimizer") and not later:  # a source: a scheduler around its optimizer
            self.names["scheduler"], self.later, made = made, "scheduler.step()", made.optimizer
        self.names["optimizer"] = self.optimizer = made
        exec("\n".join(after), self.names)

    def made(self, code):
        tree = ast.parse(code, mode="eval").body
        inner = tree.args[0] if isinstance(tree, ast.Call) and tree.args else None
        if isinstance(inner, ast.Call) and "lr_scheduler" in ast.unparse(tree.func):
            self.names["optimizer"] = eval(ast.unparse(inner), self.names)
            tree.args[0] = ast.Name("optimizer", ast.Load())
            code = ast.unparse(ast.fix_missing_locations(tree))
        return eval(code, self.names)

    def set(self, values):
        import torch

        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(torch.tensor(value))

    def values(self):
        return [parameter.detach().numpy().copy() for parameter in self.parameters]

    def update(self, given):
        import torch

        for parameter, gradient in zip(self.parameters, given, strict=True):
            parameter.grad = torch.tensor(gradient)
        exec(self.before, self.names)
        self.optimizer.step()
        exec(self.later, self.names)

    def rate(self):
        return self.optimizer.param_groups[0]["lr"]

    def averages(self):
        return [each.detach().numpy() for each in self.names["averaged"].module.parameters()]


class Keras:
    """An optimizer of Keras."""

    def __init__(self, code, setup=(), after=(), before=(), **_):
        import keras
        import tensorflow as tf
        import xframe_tensorflow.optim

        in_float64()
        self.variables = [keras.Variable(each, dtype="float64") for each in weights()]
        own = types.SimpleNamespace(optim=xframe_tensorflow.optim)
        model = types.SimpleNamespace(trainable_variables=self.variables)
        self.names = {"keras": keras, "tf": tf, "numpy": np, "xframe_tensorflow": own, "model": model}
        exec(exact("\n".join(setup), "exec"), self.names)
        self.names["optimizer"] = self.optimizer = eval(exact(code, "eval"), self.names)
        self.optimizer.build(self.variables)
        exec(exact("\n".join(after), "exec"), self.names)
        self.before = exact("\n".join(before), "exec")

    def set(self, values):
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def values(self):
        return [np.array(variable) for variable in self.variables]

    def update(self, given):
        import keras

        self.names["gradients"] = [keras.ops.convert_to_tensor(each) for each in given]
        exec(self.before, self.names)
        self.optimizer.apply(self.names["gradients"], self.variables)

    def averages(self):
        return [np.array(each) for each in self.optimizer._model_variables_moving_average]


class Optax:
    """An optimizer of optax."""

    def __init__(self, code, setup=(), **_):
        import jax
        import optax

        jax.config.update("jax_enable_x64", True)
        self.names = {"optax": optax}
        exec("\n".join(setup), self.names)
        self.optimizer = eval(code, self.names)
        self.parameters = [jax.numpy.array(each) for each in weights()]
        state = self.optimizer.init(self.parameters)
        # A count of 32 bits makes rates of 32.
        self.state = jax.tree.map(lambda leaf: leaf.astype("int64") if leaf.dtype == "int32" else leaf, state)

        def apply(gradients, state, parameters):
            updates, state = self.optimizer.update(gradients, state, parameters)
            return optax.apply_updates(parameters, updates), state

        self.step = jax.jit(apply)

    def set(self, values):
        import jax

        self.parameters = [jax.numpy.array(value) for value in values]

    def values(self):
        return [np.array(each) for each in self.parameters]

    def update(self, given):
        import jax

        given = [jax.numpy.array(each) for each in given]
        self.parameters, self.state = self.step(given, self.state, self.parameters)


RUNS = {"keras": Keras, "torch": Torch, "optax": Optax}


def distance(one, other, before=None):
    """The greatest difference of a tensor's elements, relative to its greatest, before the update or after."""
    if any(not np.isfinite(each).all() for each in (*one, *other)):
        return np.inf
    triples = zip(one, other, before or one, strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(a).max(), np.abs(w).max())) for a, b, w in triples)


def judge(translation, written):
    """The greatest distance, in eps."""
    expected = RUNS[translation.framework](translation.source)
    candidate = RUNS[translation.target](
        written.code, written.setup, after=written.after, before=written.before, later=written.later
    )
    worst = 0.0
    for update in range(UPDATES):
        before = expected.values()
        candidate.set(before)
        for run in (expected, candidate):
            run.update(gradients(update))
        worst = max(worst, distance(expected.values(), candidate.values(), before))
    with contextlib.suppress(AttributeError, KeyError):
        worst = max(worst, distance(expected.averages(), candidate.averages()))
    return worst / np.finfo(np.float64).eps

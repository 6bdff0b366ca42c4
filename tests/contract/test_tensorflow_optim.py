"""xframe_tensorflow.optim: PyTorch's optimizers as Keras optimizers, in scripts of one's own."""

import numpy as np
import pytest
import torch

from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.builders import Parameter
from xframe.tasks.optimizers import named

SHAPES = (4, 3), (3,)
KINDS = {  # arguments of the one, and of torch's
    "SGD": ({"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},) * 2,
    "Adam": ({"beta_1": 0.8, "weight_decay": 0.1, "amsgrad": True},) * 2,
    "AdamW": ({"weight_decay": 0.1},) * 2,
    "NAdam": ({"weight_decay": 0.1, "momentum_decay": 0.01},) * 2,
    "Adamax": ({"weight_decay": 0.1},) * 2,
    "RMSprop": ({"rho": 0.9, "momentum": 0.9, "centered": True, "epsilon": 1e-3, "weight_decay": 0.1},) * 2,
    "Adagrad": ({"lr_decay": 0.1, "initial_accumulator_value": 0.2, "weight_decay": 0.1},) * 2,
    "Adafactor": ({"weight_decay": 0.1, "epsilon_1": 1e-4, "clip_threshold": 1.2},) * 2,
}


def of_torch(name, parameters, arguments):
    """torch's optimizer by these arguments of the other's."""
    words = {"rho": "alpha", "epsilon": "eps", "clip_threshold": "d"}
    given = {words.get(each, each): value for each, value in arguments.items()}
    if "beta_1" in given:
        given["betas"] = given.pop("beta_1"), 0.999
    if "epsilon_1" in given:
        given["eps"] = given.pop("epsilon_1"), 1e-3
    return getattr(torch.optim, name)(parameters, **given)


@pytest.fixture(scope="module")
def optim():
    adapter = registry.load("tensorflow")
    adapter.probe()  # imports keras with the right backend
    from xframe_tensorflow import optim

    adapter.configure(Runtime(device="cpu", threads=1, precision="float64"))
    yield optim
    adapter.configure(Runtime(device="cpu", threads=1, precision="float32"))


def drawn(seed):
    values = np.random.default_rng(seed)
    return [values.normal(size=shape) for shape in SHAPES]


def variables(seed=99):
    import keras

    return [keras.Variable(values) for values in drawn(seed)]


def close(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-12, atol=1e-14)


@pytest.fixture
def in_double():
    """torch holds NAdam's product of momenta in its default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.sweep(fewest=8)
@pytest.mark.parametrize("given", [True, False], ids=["set", "default"])
@pytest.mark.parametrize("name", KINDS)
def test_it_computes_what_torch_computes(name, given, optim, in_double):
    ours, theirs = ({}, {}) if not given else KINDS[name]
    weights, tensors = variables(), [torch.nn.Parameter(torch.tensor(values)) for values in drawn(99)]
    optimizer, reference = getattr(optim, f"Torch{name}")(**ours), of_torch(name, tensors, theirs)
    for update in range(12):
        gradients = drawn(update)
        optimizer.apply(gradients, weights)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = torch.tensor(gradient)
        reference.step()
    close([weight.numpy() for weight in weights], [tensor.detach() for tensor in tensors])


@pytest.mark.parametrize("name", KINDS)
def test_its_defaults_are_those_of_the_rule_by_torch_s_name(name, optim):
    from xframe_tensorflow.optimizers import lower

    rule, kind = named(f"torch.{name.lower()}"), getattr(optim, f"Torch{name}")
    stated = lower(rule, "float32", {"w": Parameter(variables()[0])})
    if name != "SGD":  # that without momentum is Keras' own
        assert type(stated) is kind
    own = kind().get_config()
    for each, value in stated.get_config().items():
        if each not in ("name", "epsilon_1"):  # None there is float32's machine epsilon
            assert (own[each] or None) == (value or None), each


@pytest.mark.sweep(fewest=3)
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # by Keras, as it saves
@pytest.mark.parametrize("name", KINDS)
def test_a_saved_model_goes_on(name, optim, tmp_path):
    import keras

    kind, (arguments, _) = getattr(optim, f"Torch{name}"), KINDS[name]
    rate = keras.optimizers.schedules.CosineDecay(0.01, 20)
    optimizer = kind(rate, gradient_accumulation_steps=2, global_clipnorm=0.5, name="its", **arguments)
    assert kind.from_config(optimizer.get_config()).get_config() == optimizer.get_config()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse", run_eagerly=True)
    x, y = (np.random.default_rng(2).normal(size=(8, width)) for width in (3, 2))
    model.fit(x, y, batch_size=2, verbose=0, shuffle=False)
    model.save(tmp_path / "its.keras")
    again = keras.models.load_model(tmp_path / "its.keras")
    again.run_eagerly = True
    assert type(again.optimizer) is kind
    for one in (model, again):
        one.fit(x, y, batch_size=2, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_a_row_looked_up_twice_is_in_the_gradient_once(optim):
    """As torch has it, and before the gradient is clipped."""
    import tensorflow as tf

    slices = tf.IndexedSlices(tf.ones((3, 3), tf.float64), tf.constant([1, 1, 3]), tf.constant([4, 3]))
    results = []
    for gradient in (slices, tf.convert_to_tensor(slices)):
        weight = variables()[0]
        for _ in range(2):
            optimizer = optim.TorchAdam(0.1, clipnorm=2.0)
            optimizer.apply([gradient], [weight])
        results.append(weight.numpy())
    assert np.array_equal(*results)


def test_its_decay_is_stated_as_it_is(optim):
    import keras
    from xframe_tensorflow.settings import optimizer

    kinds = (optim.TorchAdam, "coupled"), (optim.TorchAdamW, "decoupled"), (keras.optimizers.AdamW, "decoupled")
    for kind, decay in kinds:
        assert optimizer(kind(weight_decay=0.1))["decay"] == decay


def test_weights_that_are_not_to_decay(optim):
    weights, optimizer = variables(), optim.TorchSGD(1.0, weight_decay=0.1)
    optimizer.exclude_from_weight_decay([weights[1]])
    optimizer.apply([np.zeros(shape) for shape in SHAPES], weights)
    close([weight.numpy() for weight in weights], [drawn(99)[0] * 0.9, drawn(99)[1]])


def test_a_window_of_gradients_compiled_by_xla(optim):
    import tensorflow as tf

    results = []
    for window, jit in ((None, False), (2, True)):
        weights, optimizer = variables(), optim.TorchNAdam(gradient_accumulation_steps=window)
        optimizer.build(weights)
        apply = tf.function(lambda *gradients, optimizer=optimizer: optimizer.apply(gradients), jit_compile=jit)
        for update in range(3):
            for _ in range(window or 1):
                apply(*map(tf.constant, drawn(update)))
        assert int(optimizer.iterations) == 3
        results.append([weight.numpy() for weight in weights])
    close(*results)


def test_settings_say_where_epsilon_stands(optim):
    import keras
    from xframe_tensorflow import settings

    class Own(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            """A script's own formula."""

    made = keras.optimizers.AdamW(), keras.optimizers.RMSprop(), keras.optimizers.Adagrad(), keras.optimizers.Adamax()
    own = optim.TorchAdamW(), optim.TorchRMSprop(), optim.TorchAdagrad(), optim.TorchAdamax()
    found = [settings.optimizer(one)["epsilon_on"] for one in (*made, *own)]
    assert found == ["uncorrected", "inside", "inside", "norm", "corrected", "outside", "outside", "gradient"]
    assert "epsilon_on" not in settings.optimizer(Own())

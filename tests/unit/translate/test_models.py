"""Whole models as text: a Keras config, a printed torch.nn.Sequential; what is no chain of layers is refused."""

import json

import pytest

from xframe.cli.app import execute
from xframe.errors import UsageError
from xframe.translate.translating import translate


def layer(name, /, **config):
    return {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None}


CONFIG = {
    "name": "sequential",
    "layers": [
        layer("InputLayer", batch_shape=[None, 8, 8, 1], dtype="float32"),
        layer("Conv2D", name="c", filters=4, kernel_size=[3, 3], padding="same", activation="relu")
        | {"build_config": {"input_shape": [None, 8, 8, 1]}},
        layer("MaxPooling2D", pool_size=[2, 2], strides=[2, 2], padding="valid", data_format="channels_last"),
        layer("Flatten", data_format="channels_last"),
        layer("Dense", units=3, activation="linear", kernel_initializer={"class_name": "GlorotUniform", "config": {}}),
    ],
}
PRINTED = """Sequential(
  (0): Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (1): ReLU()
  (2): Sequential(
    (0): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (1): Flatten(start_dim=1, end_dim=-1)
  )
  (3): Linear(in_features=64, out_features=3, bias=True)
)"""


def test_a_config_is_a_sequential_that_flattens_as_keras_does():
    written = translate(json.dumps(CONFIG)).written
    assert written.code.startswith("torch.nn.Sequential(torch.nn.Conv2d(in_channels=1, out_channels=4")
    assert "ChannelsLast(), torch.nn.Flatten" in written.code
    assert written.setup[0] == "class ChannelsLast(torch.nn.Module):"
    assert translate(json.dumps({"class_name": "Sequential", "config": CONFIG})).written == written


def test_a_printed_module_is_a_sequential_that_flattens_as_torch_does():
    code = translate(PRINTED).written.code
    assert "keras.layers.Permute((3, 1, 2)), keras.layers.Flatten()" in code
    assert code.endswith("keras.layers.Dense(units=3, activation=None, use_bias=True)])")


def test_what_has_no_counterpart_has_a_reason():
    normed = {**CONFIG, "layers": [*CONFIG["layers"][:2], layer("BatchNormalization", axis=-1)]}
    translation = translate(json.dumps(normed))
    assert "running variance" in translation.reasons[0]
    assert "BatchNorm2d(num_features=4, eps=0.001, momentum=0.01" in translation.closest
    branch = [dict(each, name=str(i), inbound_nodes=[]) for i, each in enumerate(CONFIG["layers"])]
    branch[2]["inbound_nodes"] = [
        {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["0", 0, 0]}}]}
    ]
    assert "do not follow one another" in translate(json.dumps({"layers": branch})).reasons[0]
    own = PRINTED.replace("(1): ReLU()", "(1): Block(")
    assert "a module of your own" in translate(own).reasons[0]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"layers": []}',
        '{"layers": [1]}',
        '{"layers": [{"class_name": 1}]}',
        '{"layers": [{"class_name": "Dense", "config": {"units": "many"}}]}',
        '{"layers": [{"class_name": "Dense", "config": {"units": 1e999}}]}',
        "[" * 100_000,
        '{"layers": ' + "[" * 100_000,
        '{"layers": [' + '{"class_name": "Flatten", "config": {}},' * 2500 + "1]}",
        "{" + " " * 2_000_000,
        "Sequential(\n",
        "Sequential(\n)",
        "Sequential(\n  (0): Linear(in_features=64, out_features=x, bias=True)\n)",
        "Sequential(\n  (0): Linear(lambda: 1, 2)\n)",
        "Sequential(\n  import os\n)",
    ],
)
def test_a_broken_model_is_refused(text):
    with pytest.raises(UsageError):
        translate(text)


def test_from_a_file(tmp_path, capsys):
    (tmp_path / "model.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.txt").write_text(PRINTED)
    assert execute(["translate", str(tmp_path / "model.json"), str(tmp_path / "model.txt")]) == 0
    printed = capsys.readouterr().out
    assert "exact in PyTorch" in printed
    assert "exact in Keras" in printed
    assert execute(["translate", str(tmp_path / "none.json")]) == 2


RECURRENT = {
    "layers": [
        layer("InputLayer", batch_shape=[None, 6, 5]),
        layer("GRU", units=8, return_sequences=False) | {"build_config": {"input_shape": [None, 6, 5]}},
        layer("Dropout", rate=0.3),
        layer("Dense", units=3, activation="softmax"),
    ]
}


def test_a_recurrent_layer_in_a_chain_gives_its_outputs_alone():
    written = translate(json.dumps(RECURRENT)).written
    gru = "torch.nn.GRU(input_size=5, hidden_size=8, num_layers=1, bias=True, batch_first=True)"
    assert written.code.startswith(f"torch.nn.Sequential({gru}, LastOutput(), torch.nn.Dropout(")
    assert written.setup[-1] == "        return results[0][:, -1]"
    torch = pytest.importorskip("torch")
    names = {}
    exec("\n".join([*written.lines(), *written.copying]), names)
    assert names["model"](torch.zeros(2, 6, 5)).shape == (2, 3)


def test_bidirectional_is_one_module_or_has_all_reasons():
    written = translate("keras.layers.Bidirectional(keras.layers.GRU(5), input_shape=(9, 4))").written
    assert "bidirectional=True), LastOfBoth())" in written.code
    backward = translate(json.dumps({"layers": [bidirectional("LSTM")]})).written
    assert "torch.nn.LSTM(" in backward.code
    refused = translate("keras.layers.Bidirectional(keras.layers.LSTM(5, dropout=0.1, activation='relu'))")
    assert len(refused.reasons) == 2
    assert "merge_mode" in translate("Bidirectional(GRU(5), merge_mode='sum')").reasons[0]
    assert "Bidirectional(keras.layers.GRU(" in translate("torch.nn.GRU(4, 5, bidirectional=True)").written.code


def test_the_weights_of_a_gru_are_copied_block_by_block():
    torch, np = pytest.importorskip("torch"), pytest.importorskip("numpy")
    names = {"torch": torch}
    exec("\n".join(translate("keras.layers.GRU(2)").written.copying), names)
    module = torch.nn.GRU(3, 2, batch_first=True)
    blocks = np.repeat([1.0, 2.0, 3.0], 2)  # z, r, candidate
    weights = [np.tile(blocks, (3, 1)), np.tile(blocks * 10, (2, 1)), np.stack([blocks * 100, blocks * 1000])]
    names["copy_weights"](weights, module)
    for i, each in enumerate((module.weight_ih_l0[:, 0], module.weight_hh_l0[:, 1], *module.all_weights[0][2:])):
        assert (each.detach().numpy() == 10.0**i * blocks[[2, 3, 0, 1, 4, 5]]).all()


def bidirectional(name):
    forward, backward = layer(name, units=3, name="a"), layer(name, units=3, name="b", go_backwards=True)
    return layer("Bidirectional", layer=forward, backward_layer=backward, merge_mode="concat")


def test_all_reasons_are_given_and_not_the_first():
    both = {"layers": [layer("GRU", units=3, reset_after=False, dropout=0.1), layer("PReLU")]}
    assert len(translate(json.dumps(both)).reasons) == 3


def test_channels_are_where_the_next_layer_takes_them():
    convolved = [layer("Conv1D", filters=4, kernel_size=3), layer("LSTM", units=3, return_sequences=True)]
    written = translate(json.dumps({"layers": [*convolved, layer("MaxPooling1D")]})).written
    assert "ChannelsLast(), torch.nn.LSTM" in written.code
    assert "Outputs(), ChannelsFirst(), torch.nn.MaxPool1d" in written.code
    lines = ("(0): Conv1d(4, 4, kernel_size=(3,), stride=(1,))", "(1): Linear(in_features=4, out_features=2)")
    printed = "\n".join(["Sequential(", *lines, ")"])
    assert "keras.layers.Permute((2, 1)), keras.layers.Dense" in translate(printed).written.code
    assert "torch.nn.Softmax(dim=1)" in translate("keras.layers.Conv2D(4, 3, activation='softmax')").written.code


def test_a_sequential_of_known_layers_is_a_model():
    layers = "keras.Input(shape=(6, 5)), layers.GRU(8), Dropout(0.3), keras.layers.Dense(3, activation='softmax')"
    written = translate(f"model = keras.Sequential([{layers}])").written
    assert written == translate(json.dumps(RECURRENT)).written
    torch = "torch.nn.Sequential(nn.Conv1d(4, 4, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2))"
    assert "keras.layers.Permute((2, 1)), keras.layers.Flatten()" in translate(torch).written.code
    refused = translate("Sequential([PReLU(), layers.Reshape((2, 3))])")
    assert len(refused.reasons) == 2


def test_known_sizes_are_written():
    dense = "keras.Sequential([keras.Input((64,)), layers.Dense(48), layers.BatchNormalization(), layers.Dense(10)])"
    closest = translate(dense.replace("layers.", "keras.layers.")).closest
    assert "BatchNorm1d(num_features=48" in closest
    assert "Linear(in_features=48, out_features=10" in closest
    images = "keras.Input((28, 28, 1)), layers.Conv2D(8, 3, strides=2, padding='same'), layers.MaxPooling2D(), "
    images += "layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(10)"
    code = translate(f"keras.Sequential([{images}])".replace("layers.", "keras.layers.")).written.code
    assert "Conv2d(in_channels=8, out_channels=4" in code
    assert "Linear(in_features=100, out_features=10" in code  # 28, 14, 7, 5: 5 x 5 x 4
    unknown = "keras.Sequential([keras.layers.Dense(48), keras.layers.Dense(10)])"
    assert "LazyLinear(out_features=48, bias=True), torch.nn.Linear(in_features=48" in translate(unknown).written.code
    wrong = "keras.Sequential([keras.Input((64,)), keras.layers.Conv2D(8, 3, strides=2, padding='same')])"
    assert "LazyConv2d" in translate(wrong).written.code  # a model that Keras refuses; no traceback


def test_a_normalisation_alone_says_of_what_its_axes_follow_and_what_keeps_its_variance():
    translation = translate("keras.layers.BatchNormalization()")
    assert any("2d of images" in reason for reason in translation.reasons)
    lines = translation.closest.split("\n")
    assert lines[0] == "import torch"
    assert "LazyBatchNorm1d(" in lines[-2]
    assert lines[-1] == "layer.register_forward_hook(variance_by_n)"
    shown = translate("keras.layers.BatchNormalization(input_shape=(48,))")
    assert not any("2d of images" in reason for reason in shown.reasons)
    assert "torch.nn.BatchNorm1d(num_features=48" in shown.closest
    assert translate("torch.nn.BatchNorm1d(4)").closest.startswith("import keras\n")


def test_the_hook_makes_the_running_variance_kerass():
    torch = pytest.importorskip("torch")
    names = {}
    exec(translate("keras.layers.BatchNormalization(input_shape=(3,))").closest, names)
    batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    names["layer"](batch).sum().backward()
    expected = 0.99 + 0.01 * batch.var(0, correction=0)
    torch.testing.assert_close(names["layer"].running_var, expected, rtol=1e-6, atol=0)

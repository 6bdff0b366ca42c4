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
    assert "LazyBatchNorm2d(eps=0.001, momentum=0.01" in translation.closest
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

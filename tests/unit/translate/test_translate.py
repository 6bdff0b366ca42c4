"""``xframe translate``: what is said of an expression that is wrong, and the forms of what comes out."""

import io
import json

import pytest

from xframe.cli.app import execute
from xframe.errors import UsageError
from xframe.translate.translating import translate


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "keras.optimizers.Adm(1e-3)",
            "unknown name: got 'keras.optimizers.Adm'. Did you mean 'keras.optimizers.Adam'",
        ),
        ("keras.optimizers.adam(1e-3)", "Did you mean 'keras.optimizers.Adam'"),
        ("Adam(1e-3)", "a name of several frameworks"),
        ("keras.optimizers.Adam(lerning_rate=1e-3)", "Did you mean 'learning_rate'"),
        ("keras.optimizers.Adam(lr=1e-3)", "Did you mean 'learning_rate'"),
        ("torch.optim.Adam(learning_rate=1e-3)", "Did you mean 'lr'"),
        ("keras.optimizers.Adam(1e-3, learning_rate=1e-3)", "learning_rate twice"),
        ("keras.optimizers.SGD(" + "0, " * 20 + ")", "too many positional arguments"),
        ("keras.optimizers.Adam('fast')", "learning_rate: got 'fast', expected a number from 0 up, or a schedule"),
        ("keras.optimizers.Adam(-1.0)", "learning_rate: got -1.0"),
        ("keras.optimizers.Adam(1e-3, beta_1=1.5)", "beta_1: got 1.5, expected a number from 0 up to below 1"),
        ("torch.optim.Adam(betas=(0.9, 1.0))", "betas: got (0.9, 1.0), expected two numbers"),
        ("keras.optimizers.Adam(amsgrad=1)", "amsgrad: got 1, expected True or False"),
        ("keras.optimizers.SGD(nesterov=True)", "momentum above 0"),
        ("keras.optimizers.SGD(clipnorm=1.0, clipvalue=1.0)", "at most one of"),
        ("keras.optimizers.schedules.CosineDecay(0.1)", "lacks an argument: expected decay_steps"),
        ("torch.optim.lr_scheduler.StepLR(optimizer, 30)", "without its optimizer"),
        ("keras.optimizers.Adam(rate)", "learning_rate is a name: got rate"),
        ("optax.clip(1.0)", "alone is no optimizer"),
    ],
)
def test_what_is_wrong_is_said(text, said):
    with pytest.raises(UsageError) as refused:
        translate(text)
    assert said in str(refused.value)


def test_names_as_people_import_them():
    texts = ("tf.keras.optimizers.Adam(1e-3)", "optimizers.Adam(1e-3)", "tensorflow.keras.optimizers.Adam(0.001)")
    assert len({translate(text).written for text in texts}) == 1
    assert translate("optim.SGD(model.parameters(), lr=0.1)").target == "keras"
    assert translate("StepLR(optim.SGD(params, lr=0.1), 30)").written.code.startswith("keras.optimizers.SGD(")


def test_adam_of_keras_is_the_drop_in_and_beside_it_the_native_with_an_epsilon_per_update():
    written = translate("keras.optimizers.Adam(1e-3, weight_decay=0.004)").written
    assert written.code == (
        "xframe_torch.optim.KerasAdam(model.parameters(), lr=0.001, betas=(0.9, 0.999), eps=1e-07, amsgrad=False, "
        "weight_decay=0.004)"
    )
    assert written.beside.code.startswith("torch.optim.AdamW(")
    assert '    group["eps"] = 1e-07 / (1 - 0.999 ** t) ** 0.5' in written.beside.before


def test_nothing_exact_has_a_reason_and_the_closest():
    translation = translate("torch.optim.Adagrad(params)", to="optax")
    assert not translation
    assert "they agree as epsilon goes to 0" in translation.reasons[0]
    assert translation.closest.startswith("optax.adagrad(learning_rate=0.01")


def test_the_command(capsys, monkeypatch):
    assert execute(["translate", "keras.optimizers.SGD(0.1)", "optax.sgd(0.1)", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in answer["translations"]] == ["exact", "exact"]
    assert answer["translations"][0]["arguments"]["momentum"] == 0.0
    assert execute(["translate", "--md", "keras.optimizers.Ftrl()"]) == 1
    assert "nothing in PyTorch is exactly this" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("# mine\nkeras.optimizers.SGD(0.1)\n\nkeras.optimizers.Lion()\n"))
    assert execute(["translate", "-"]) == 0
    assert capsys.readouterr().out.count("exact in PyTorch") == 2
    assert execute(["translate", "keras.optimizers.SGD(0.1)", "--to", "keras"]) == 2
    assert execute(["translate"]) == 2
    assert execute(["translate", "lambda: 1", "--json"]) == 2

"""``xframe translate``: what is said of an expression that is wrong, and the forms of what comes out."""

import ast
import io
import json

import pytest
from translations.table import rows

from xframe.cli.app import execute
from xframe.errors import UsageError
from xframe.translate.compiling import parts
from xframe.translate.rendering import text
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
        ("torch.optim.SGD(params, nesterov=True)", "momentum above 0"),
        ("torch.optim.Adam(params, foreach=True, fused=True)", "with fused and foreach"),
        ("torch.optim.Adam(params, betas=(0, 0))", "refuses integers"),
        ("torch.optim.Adafactor(params, d=0.5)", "from 1 up"),
        ("keras.optimizers.SGD(loss_scale_factor=0)", "other than 0"),
        ("torch.nn.L1Loss(reduction='foo')", "one of none, mean, sum"),
        ("keras.losses.MeanSquaredError(reduction='foo')", "one of None, none, sum"),
        ("torch.nn.CrossEntropyLoss(weight=5)", "torch.tensor"),
        ("torch.nn.CrossEntropyLoss(weight=torch.tensor([]))", "torch.tensor"),
        ("torch.nn.MultiMarginLoss(p=3)", "1 or 2"),
        ("torch.nn.Conv2d(3, 8, 3, stride=2, padding='same')", "a stride of 1"),
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


@pytest.mark.parametrize(
    ("loss", "last", "logits"),
    [
        ("CategoricalCrossentropy(label_smoothing=0.1)", "softmax", "torch.nn.CrossEntropyLoss(weight=None"),
        ("SparseCategoricalCrossentropy()", "softmax", "torch.nn.CrossEntropyLoss(weight=None"),
        ("BinaryCrossentropy()", "sigmoid", "torch.nn.BCEWithLogitsLoss("),
    ],
)
def test_a_loss_of_probabilities_is_exact_of_a_bare_tensor_and_has_that_of_logits_beside_it(loss, last, logits):
    translation = translate(f"keras.losses.{loss}")
    written = translation.written
    assert written.only_for.startswith(f"for a bare tensor of probabilities only, not behind a {last}")
    assert written.beside.code.startswith(logits)
    printed = text([translation])
    assert f"exact in PyTorch {written.only_for}" in printed
    assert f"exact on the model without that {last}:" in printed
    assert not translate(f"keras.losses.{loss}".replace("()", "(from_logits=True)")).written.beside or "smooth" in loss


def test_cross_entropies_say_what_shapes_and_labels_they_are_exact_for():
    for source in ("keras.losses.SparseCategoricalCrossentropy(from_logits=True)", "torch.nn.CrossEntropyLoss()"):
        translation = translate(source)
        assert translation.written.only_for == "for outputs (N, classes) and int64 labels (N,)"
        assert any("axis 1" in note for note in translation.written.notes)
        assert any("labels.long()" in note for note in translation.written.notes)


def test_what_is_printed_imports_what_it_names_and_assigns_it():
    for row in rows():
        written = row.translation().written
        for each in filter(None, (written, written and written.beside)):
            tree = ast.parse("\n".join(each.lines()))
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            imports = [name for node in tree.body if isinstance(node, ast.Import) for name in node.names]
            imported = {name.asname or name.name.split(".")[0] for name in imports}
            modules = {"torch", "keras", "optax", "jax", "jnp", "xframe_torch", "xframe_tensorflow", "math", "numpy"}
            assert used & modules <= imported, row
            assert any(isinstance(node, ast.Assign) for node in tree.body), row


def test_nothing_exact_has_a_reason_and_the_closest():
    translation = translate("torch.optim.Adagrad(params)", to="optax")
    assert not translation
    assert "they agree as epsilon goes to 0" in translation.reasons[0]
    assert translation.closest.startswith("optax.adagrad(learning_rate=0.01")


def test_a_plateau_has_reasons_and_the_closest_both_ways(capsys):
    translation = translate("keras.callbacks.ReduceLROnPlateau(monitor='val_accuracy', factor=0.5, patience=3)")
    assert not translation
    assert "patience=2" in translation.closest
    assert "mode='max'" in translation.closest
    back = translate("lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)")
    assert back.closest.startswith("keras.callbacks.ReduceLROnPlateau(")
    assert "patience=4" in back.closest
    assert execute(["translate", "keras.callbacks.ReduceLROnPlateau()"]) == 1
    assert "follows a metric" in capsys.readouterr().out


def test_an_assignment_is_its_right_hand_side_and_arguments_say_whose_a_name_is():
    plain = translate("keras.optimizers.Adam(1e-3)").written
    assert translate("self.optimizer = keras.optimizers.Adam(1e-3)  # mine").written == plain
    assert translate("Adam(learning_rate=1e-3)").written == plain
    assert translate("Adam(params, lr=1e-3)").target == "keras"
    assert translate("layer = GRU(units=3)").framework == "keras"


def test_compile_is_its_optimizer_and_its_loss(capsys):
    line = "model.compile(optimizer=keras.optimizers.Adam(1e-3), loss='mse', metrics=['accuracy'])"
    assert parts(line) == ["keras.optimizers.Adam(0.001)", "keras.losses.MeanSquaredError()"]
    assert parts("model.compile('sgd', 'kl_divergence')") == ["keras.optimizers.SGD()", "keras.losses.KLDivergence()"]
    assert parts("torch.nn.MSELoss()") == ["torch.nn.MSELoss()"]
    assert execute(["translate", line]) == 0
    assert "criterion = torch.nn.MSELoss(" in capsys.readouterr().out
    for wrong in ("m.compile(optimizer=opt)", "m.compile('adm')", "m.compile('sgd', 'mse', loss_weights=[1.0])"):
        with pytest.raises(UsageError):
            parts(wrong)


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("torch.nn.MultiMarginLoss(p=2)", False),
        ("torch.nn.TripletMarginLoss(p=2.0)", False),
        ("torch.nn.Conv2d(3, 8, 3, padding='same')", True),
        ("torch.nn.BatchNorm2d(8, momentum=None)", False),
        ("keras.losses.MeanSquaredError(reduction=None)", False),
        ("torch.nn.SmoothL1Loss(beta=0)", True),
        ("torch.optim.SGD(params, momentum=0, dampening=0.5)", True),
        ("keras.optimizers.SGD(nesterov=True)", True),
    ],
)
def test_what_a_framework_takes_is_read(text, exact):
    assert bool(translate(text)) is exact


def test_a_wrong_line_of_many_does_not_stop_the_others(capsys, monkeypatch):
    given = "keras.optimizers.SGD(0.1)\n\nlambda: 1\nkeras.optimizers.Lion()\n"
    for option in ([], ["--md"], ["--json"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        assert execute(["translate", "-", *option]) == 2
        out = capsys.readouterr().out
        if option == ["--json"]:
            verdicts = [each["verdict"] for each in json.loads(out)["translations"]]
            assert verdicts == ["exact", "refused", "exact"]
            assert json.loads(out)["translations"][1]["line"] == 3
        else:
            assert out.count("exact in PyTorch") == 2
            assert "ine 3: refused" in out


def test_float64_is_remarked_where_keras_own_constants_are_written():
    def notes(text):
        return "".join(translate(text, "keras").written.notes)

    assert "float64" in notes("optax.lion(1e-3)")
    assert "float64" not in notes("torch.optim.SGD(params, lr=0.1)")
    assert "float64" in notes("optax.sgd(optax.exponential_decay(0.1, 3, 0.5))")


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

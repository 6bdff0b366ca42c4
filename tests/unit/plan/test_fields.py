"""Each field is defined once, and what follows from its definition."""

import tomllib

import pytest

from xframe.cli.options import PlanOptions
from xframe.plan import presets
from xframe.plan.fields import DEPENDENTS, FIELDS
from xframe.plan.training_plan import TrainingPlan


def with_needs(field):
    """A plan's lines in which that field means something."""
    lines = {"batch_size": FIELDS["batch_size"].assignment, "epochs": FIELDS["epochs"].assignment}
    while field:
        lines[field] = FIELDS[field].assignment
        field = FIELDS[field].needs
    return "\n".join(lines.values())


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_is_valid_and_read_back(name):
    values = tomllib.loads(with_needs(name))
    plan = TrainingPlan.from_mapping(values)
    assert getattr(plan, name) == values[name]
    assert TrainingPlan.from_mapping(tomllib.loads(plan.to_toml())) == plan


@pytest.mark.parametrize("name", [field.name for fields in DEPENDENTS.values() for field in fields])
def test_the_default_is_what_a_plan_has_without_it(name):
    field = FIELDS[name]
    plan = TrainingPlan.from_mapping(tomllib.loads(with_needs(field.needs)))
    expected = field.default.value(plan.to_dict()) if isinstance(field.default, tuple) else field.default
    assert getattr(plan, name) == expected


def test_help_and_options_show_every_field_with_its_text():
    documented = " ".join(TrainingPlan.__doc__.split())
    for name, field in FIELDS.items():
        assert field.help
        assert f" {name}: {field.text}" in documented
        (parameter,) = PlanOptions.__annotations__[name].__metadata__
        assert parameter.help.startswith(field.text)
    assert tuple(PlanOptions.__annotations__) == tuple(FIELDS) == tuple(TrainingPlan.model_fields)


def test_a_trainer_is_a_file(tmp_path, monkeypatch):
    """Found by walking the folder, with nothing else to be changed."""
    (tmp_path / "gluon.py").write_text(
        '"""A loop that knows batches and epochs."""\n'
        "from xframe.plan.presets._preset import Preset\n"
        "def fields(*, num_samples, size, epochs): return {'batch_size': size, 'epochs': epochs}\n"
        "PRESET = Preset(make=fields, trainer='gluon 1', evidence='read', renamed={'batch_size': 'size'}, "
        "missing={}, drop={})\n"
    )
    monkeypatch.setattr(presets, "__path__", [*presets.__path__, str(tmp_path)])
    assert "gluon" in presets.trainers()
    assert presets.preset("gluon").text == "A loop that knows batches and epochs."
    plan = TrainingPlan.like("gluon", num_samples=10, size=4, epochs=2)
    assert (plan.batch_size, plan.counts(10).num_steps) == (4, 6)
    assert presets.answer("gluon", 10, {"batch_size": 5, "seed": 3} | {"remainder": "keep"}, epochs=1)["seed"] == 3

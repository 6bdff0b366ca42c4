"""Rules by name: what each framework's own optimizer of that name is, with that framework's defaults.

``adam`` is this project's own, PyTorch's formula with the defaults most papers state; ``keras.adam`` and
``torch.adam`` are what those names mean in Keras 3 and PyTorch, every default written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xframe.errors import UsageError, Verbatim, shown, unknown
from xframe.tasks import plain, schedules
from xframe.tasks.optimizers.adam import Adam, Adamax, NAdam
from xframe.tasks.optimizers.averages import Adadelta, Adafactor, Adagrad, RMSprop
from xframe.tasks.optimizers.rule import Average, Group, Rule
from xframe.tasks.optimizers.sgd import SGD, Lion

RULES: Mapping[str, type[Rule]] = {
    rule.__name__: rule for rule in (SGD, Adam, NAdam, Adamax, RMSprop, Adagrad, Adadelta, Adafactor, Lion)
}
EPS32 = 2.0**-23  # PyTorch's Adafactor takes the parameters' own machine epsilon by default
_OWN: plain.Names[Rule] = {
    "sgd": (SGD, {"learning_rate": 0.01}),
    "momentum": (SGD, {"learning_rate": 0.01, "momentum": 0.9}),
    "nesterov": (SGD, {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
    "adam": (Adam, {"learning_rate": 1e-3}),
    "adamw": (Adam, {"learning_rate": 1e-3, "weight_decay": 0.01, "decay": "decoupled"}),
    "amsgrad": (Adam, {"learning_rate": 1e-3, "amsgrad": True}),
    "nadam": (NAdam, {"learning_rate": 2e-3}),
    "adamax": (Adamax, {"learning_rate": 2e-3}),
    "rmsprop": (RMSprop, {"learning_rate": 1e-3, "rho": 0.9}),
    "adagrad": (Adagrad, {"learning_rate": 0.01}),
    "adadelta": (Adadelta, {"learning_rate": 1.0}),
    "adafactor": (Adafactor, {"learning_rate": 0.01, "epsilon_on": "clamp", "epsilon1": EPS32}),
    "lion": (Lion, {"learning_rate": 1e-4}),
}
_E7 = {"epsilon": 1e-7, "decay": "decoupled"}
_KERAS: plain.Names[Rule] = {  # 3.15
    "sgd": (SGD, {"learning_rate": 0.01, "velocity": "step", "decay": "decoupled"}),
    "adam": (Adam, {"learning_rate": 1e-3, "epsilon_on": "uncorrected", **_E7}),
    "adamw": (Adam, {"learning_rate": 1e-3, "epsilon_on": "uncorrected", **_E7, "weight_decay": 4e-3}),
    "nadam": (NAdam, {"learning_rate": 1e-3, "momentum_decay": 1.0, **_E7}),
    "adamax": (Adamax, {"learning_rate": 1e-3, "epsilon_on": "norm", **_E7}),
    "rmsprop": (RMSprop, {"learning_rate": 1e-3, "rho": 0.9, "epsilon_on": "inside", "velocity": "step", **_E7}),
    "adagrad": (Adagrad, {"learning_rate": 1e-3, "epsilon_on": "inside", "initial_accumulator": 0.1, **_E7}),
    "adadelta": (Adadelta, {"learning_rate": 1e-3, "rho": 0.95, **_E7}),
    "adafactor": (Adafactor, {"learning_rate": 1e-3, "epsilon_on": "square"}),
    "lion": (Lion, {"learning_rate": 1e-3}),
}
_TORCH: plain.Names[Rule] = {  # 2.13
    "sgd": (SGD, {"learning_rate": 1e-3}),
    "adam": (Adam, {"learning_rate": 1e-3}),
    "adamw": (Adam, {"learning_rate": 1e-3, "weight_decay": 0.01, "decay": "decoupled"}),
    "nadam": (NAdam, {"learning_rate": 2e-3}),
    "adamax": (Adamax, {"learning_rate": 2e-3}),
    "rmsprop": (RMSprop, {"learning_rate": 0.01}),
    "adagrad": (Adagrad, {"learning_rate": 0.01}),
    "adadelta": (Adadelta, {"learning_rate": 1.0}),
    "adafactor": (Adafactor, {"learning_rate": 0.01, "epsilon_on": "clamp", "epsilon1": EPS32}),
}
_DIALECTS: plain.Dialects[Rule] = {"": _OWN, "keras.": _KERAS, "torch.": _TORCH}


def names() -> tuple[str, ...]:
    """All names that ``named`` knows."""
    return plain.all_names(_DIALECTS)


def named(name: str, settings: Mapping[str, Any] | None = None) -> Rule:
    """The rule of that name, with some of its fields set otherwise.

    Raises:
        UsageError: an unknown name or field, or a value that the field cannot have.
    """
    rule, defaults = plain.named(_DIALECTS, "optimizer", name)
    return _made(rule, defaults | dict(settings or {}), f"optimizer {name!r}")


def from_dict(values: Mapping[str, Any]) -> Rule:
    """What ``Rule.to_dict`` returned, or a table of TOML with ``name`` instead of ``rule``.

    Raises:
        UsageError: an unknown rule, name or field, or a value that the field cannot have.
    """
    settings = dict(values)
    if "name" in settings:
        name = settings.pop("name")
        if not isinstance(name, str):
            raise UsageError("an optimizer's name", got=name, expected=f"one of {', '.join(names())}")
        return named(name, settings)
    if "rule" not in settings:
        got = Verbatim(shown(Verbatim(", ".join(map(str, settings)) or "nothing")))
        raise UsageError("an optimizer without a name", got=got, expected='such as name = "adamw", or rule = "Adam"')
    kind = settings.pop("rule")
    if not isinstance(kind, str) or kind not in RULES:
        raise unknown("rule", kind if isinstance(kind, str) else shown(kind), RULES)
    return _made(RULES[kind], settings, f"rule {kind!r}")


def _made(rule: type[Rule], settings: dict[str, Any], what: str) -> Rule:
    if isinstance(settings.get("learning_rate"), Mapping):
        settings["learning_rate"] = schedules.from_dict(settings["learning_rate"])
    if isinstance(settings.get("average"), Mapping):
        settings["average"] = plain.made(Average, settings["average"], "average")
    if isinstance(settings.get("groups"), (list, tuple)):
        settings["groups"] = tuple(
            plain.made(Group, group, "group") if isinstance(group, Mapping) else group for group in settings["groups"]
        )
    return plain.made(rule, settings, what)

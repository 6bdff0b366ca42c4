"""One expression into another framework: what to write, or why nothing is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from xframe.errors import UsageError, Verbatim
from xframe.tasks.schedules import Schedule
from xframe.translate.layers import common, models, to_keras, to_torch
from xframe.translate.layers.common import BATCH_NORM
from xframe.translate.losses import writing as losses
from xframe.translate.names import FRAMEWORKS, Bound, bind
from xframe.translate.optimizers import keras, optax, torch
from xframe.translate.optimizers.trained import Trained
from xframe.translate.parsing import Call, expression
from xframe.translate.schedules import plateau, reading, writing
from xframe.translate.written import NothingExactError, Remarks, Written, shown

NATURAL = {"keras": "torch", "torch": "keras", "optax": "torch"}
_SCHEDULERS = "torch.optim.lr_scheduler."


@dataclass(frozen=True, slots=True)
class Translation:
    """An expression and what is the same in another framework.

    Attributes:
        source: as it was given, with its spaces and line breaks made one.
        kind: optimizer, schedule, loss, layer or initialiser.
        framework, target: whose it is, and which one it is written for.
        arguments: every argument of the source, defaults included.
        meaning: the rule that it is, as plain data.
        written: None where nothing is exact.
        reasons: then why, and ``closest`` what comes nearest.
    """

    source: str
    kind: str
    framework: str
    target: str
    arguments: dict[str, Any]
    meaning: dict[str, Any]
    written: Written | None
    reasons: tuple[str, ...] = ()
    closest: str | None = None

    @property
    def exact(self) -> bool:
        """Whether there is something exact."""
        return self.written is not None

    def __bool__(self) -> bool:
        return self.exact

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "source": self.source,
            "kind": self.kind,
            "framework": self.framework,
            "target": self.target,
            "verdict": "exact" if self.exact else "nothing exact",
            "arguments": self.arguments,
            "meaning": self.meaning,
            "written": None if self.written is None else self.written.to_dict(),
            "reasons": list(self.reasons),
            "closest": self.closest,
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """A line of many that is no expression, or a wrong one: the result of that line."""

    line: int
    source: str
    error: UsageError

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"source": self.source, "line": self.line, "verdict": "refused", "error": self.error.to_dict()}

    def __bool__(self) -> bool:
        return False


def translate(source: str, to: str | None = None) -> Translation:
    """What to write in another framework for one optimizer, schedule, loss, layer or initialiser.

    Args:
        source: a call such as ``keras.optimizers.Adam(1e-3, weight_decay=0.004)``. It is read, never evaluated.
        to: ``keras``, ``torch`` or ``optax``; the default is PyTorch, and Keras for what is PyTorch's.

    Raises:
        UsageError: it is no such call, or has arguments that the framework would refuse.
    """
    if models.is_model(source):
        return _model(source, to, "keras" if source.lstrip().startswith("{") else "torch")
    call = expression(source)
    if (framework := models.sequential(call)) is not None:
        return _model(source, to, framework, call)
    chained = call.name in ("optax.chain", "chain")
    bound = Bound("optax.chain", {}, frozenset()) if chained else bind(call)
    target = _target(bound.framework, to)
    text, arguments = " ".join(source.split()), {name: _plain(value) for name, value in bound.values.items()}
    kind = _kind(bound.name)
    meaning: dict[str, Any] = {}
    try:
        written = _written(kind, bound, call, target, meaning)
    except ArithmeticError as error:
        raise UsageError(
            f"the numbers of {bound.name} cannot be computed with", got=Verbatim(error), expected="finite numbers"
        ) from None
    except NothingExactError as refusal:
        reasons, closest = refusal.reasons, refusal.closest
        return Translation(text, kind, bound.framework, target, arguments, meaning, None, reasons, closest)
    return Translation(text, kind, bound.framework, target, arguments, meaning, written)


def _model(source: str, to: str | None, framework: str, call: Call | None = None) -> Translation:
    remarks, target = Remarks(), _target(framework, to)
    text = "model.get_config()" if framework == "keras" else "torch.nn.Sequential(…)"
    text = text if call is None else " ".join(source.split())
    try:
        if target == "optax":
            raise NothingExactError("optax has no layers.")
        written = models.translated(source if call is None else call, remarks)
    except NothingExactError as refusal:
        reasons, closest = refusal.reasons, refusal.closest
        return Translation(text, "model", framework, target, {}, {}, None, reasons, closest)
    return Translation(text, "model", framework, target, {}, {}, _with(written, remarks))


def _target(framework: str, to: str | None) -> str:
    if to is None:
        return NATURAL[framework]
    if to not in FRAMEWORKS or to == framework:
        others = [each for each in FRAMEWORKS if each != framework]
        raise UsageError(f"a translation from {framework}", got=Verbatim(f"to {to}"), expected=" or ".join(others))
    return to


def _kind(name: str) -> str:
    if name in reading.READERS or name.startswith((_SCHEDULERS, "keras.optimizers.schedules.", "keras.callbacks.")):
        return "schedule"
    if name.startswith(("keras.optimizers.", "torch.optim.")):
        return "optimizer"
    if name.startswith(("keras.losses.", "optax.losses.")) or (name.startswith("torch.nn.") and name.endswith("Loss")):
        return "loss"
    if name.startswith("keras.initializers."):
        return "initialiser"
    if name.startswith("optax."):
        return "schedule" if name.endswith(("_schedule", "_schedules")) else "optimizer"
    return "layer"


def _written(kind: str, bound: Bound, call: Call, target: str, meaning: dict[str, Any]) -> Written:
    remarks = Remarks()
    if bound.leaf == plateau.NAME:
        plateau.refuse(bound, target)
    if kind == "schedule" and bound.framework != "torch":
        form = reading.read(bound, 0.0, remarks)
        meaning |= form.to_dict()
        return _with(writing.alone(form, target, remarks), remarks)
    if kind == "loss":
        loss, written = losses.translated(bound, target, remarks)
        meaning |= loss.to_dict()
        return _with(written, remarks)
    if kind in ("schedule", "optimizer"):
        trained = _trained(bound, call)
        meaning |= trained.rule.to_dict()
        write = {"keras": keras.write, "torch": torch.write, "optax": optax.write}[target]
        return _with(write(trained), trained.remarks)
    if kind == "layer" and target != "optax":
        found = to_torch.modules(bound, remarks) if target == "torch" else to_keras.layers(bound, remarks)
        code = _chained(found, target)
        layer = Written("layer", code, common.setup(code))
        if BATCH_NORM in remarks.texts:
            raise common.of_variance(layer, remarks)
        return _with(layer, remarks)
    if kind == "layer":
        raise NothingExactError("optax has no layers.")
    raise NothingExactError("Weights that are drawn differ in every framework: copy them from one to the other.")


def _chained(found: list[str], target: str) -> str:
    if len(found) == 1:
        return found[0]
    return (
        f"torch.nn.Sequential({', '.join(found)})" if target == "torch" else f"keras.Sequential([{', '.join(found)}])"
    )


def _trained(bound: Bound, call: Call) -> Trained:
    if bound.framework == "optax":
        return optax.read(Call("optax.chain", call.args, call.keywords) if call.name == "chain" else call)
    if bound.framework == "keras":
        return keras.read(bound)
    if not bound.name.startswith(_SCHEDULERS):
        return torch.read(bound)
    inner = bound["optimizer"]
    if not isinstance(inner, Call):
        raise UsageError(
            f"{bound.name} without its optimizer, which has the rate that it starts from",
            expected=f"the optimizer written inside: {bound.leaf}(torch.optim.SGD(params, lr=0.1), …)",
        )
    remarks = Remarks()
    optimizer = bind(inner)
    if not optimizer.name.startswith("torch.optim.") or optimizer.name.startswith(_SCHEDULERS):
        raise UsageError(f"{bound.name}'s optimizer", got=optimizer.name, expected="one of torch.optim")
    schedule: Schedule = reading.read(bound, float(optimizer["lr"]), remarks)
    trained = torch.read(optimizer, schedule)
    remarks.add("A schedule's tick is an update here: scheduler.step() after each optimizer.step(), not once an epoch.")
    trained.remarks.take(remarks)
    return trained


def _with(written: Written, remarks: Remarks) -> Written:
    only = written.only_for if remarks.until is None else f"up to update {remarks.until:,}"
    notes = tuple(dict.fromkeys((*remarks.texts, *written.notes)))
    return replace(written, notes=notes, copying=remarks.copying, only_for=only)


def _plain(value: Any) -> Any:
    """An argument as JSON has it: nested calls as text."""
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, (int, float, str, bool, type(None))) else shown(value)


def exit_code(translations: Sequence[Translation | Refused]) -> Literal[0, 1, 2]:
    """0 if all are exact, 1 if for any nothing is, 2 if any is refused."""
    if any(isinstance(each, Refused) for each in translations):
        return 2
    return 0 if all(translations) else 1

"""How ``--help`` is laid out: which options stand together, in which order, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import Group

from xframe.plan.fields import DEPENDENTS, Field

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


def _panel(console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
    """Prints one group; the column of names is wide enough for the longest, so that none is cut."""
    from cyclopts.help import DefaultFormatter, NameRenderer
    from cyclopts.help.specs import get_default_parameter_columns

    def columns(console: Console, options: ConsoleOptions, entries: list[Any]) -> tuple[Any, ...]:
        words = [word for entry in entries for label in entry.display_labels for word in label.split()]
        width = max([round(console.width * 0.35), *(2 + len(word) for word in words)])
        return tuple(
            column.copy(renderer=NameRenderer(max_width=width), max_width=width)
            if column.header == "Option"
            else column
            for column in get_default_parameter_columns(console, options, entries)
        )

    DefaultFormatter(column_specs=None if panel.format == "command" else columns)(console, options, panel)


def _group(name: str, text: str = "") -> Group:
    """A group that stands after those made before it."""
    return Group.create_ordered(name, text, help_formatter=_panel)


GIVEN = _group("Files")
WHAT = _group("Main options")
PLANNED = _group("With a plan", "The default plan of xframe verify, where none of PLAN.toml is given.")
WHERE = _group("Where and how")
JUDGED = _group("What passes")
PRINTED = _group("What comes out")
KEPT = _group("Stopping and going on", "A run that was stopped and goes on is the run that was never stopped.")
_BATCHES = _group(
    "Plan: batches and limits",
    "A pass walks over all samples once, in batches; a step trains on one. The first limit reached ends training. "
    "These options replace fields of PLAN.toml.",
)
_ORDER = _group("Plan: order", "One order for all frameworks, so that steps can be compared one by one.")
_DEPENDENT = {
    "steps_per_epoch": _group(
        "Plan: epochs that are not passes", "An epoch is a pass, unless --steps-per-epoch says how long it is."
    ),
    "gradient_accumulation_steps": _group(
        "Plan: gradient accumulation", "k steps make a window, whose gradients one update applies."
    ),
    "replicas": _group(
        "Plan: replicas", "They share the rows of each step, each in a process or on a device of its own."
    ),
    "validation_every": _group("Plan: validation"),
    "early_stopping_patience": _group("Plan: early stopping", "Of a plan with --validation-every."),
}
_SEEN = _group("Scripts as they are, and what was recorded")
_RUN = _group("One plan in several frameworks")
_EXPECTED = _group("Without training")
_PROOF = _group("Proof and speed")
ABOUT = _group("About xframe")
COMMANDS = {
    "record": _SEEN,
    "prove-resume": _SEEN,
    "compare": _SEEN,
    "report": _SEEN,
    "explain": _SEEN,
    "import": _SEEN,
    "certificate": _SEEN,
    "bless": _SEEN,
    "export": _SEEN,
    "verify": _RUN,
    "run": _RUN,
    "sweep": _RUN,
    "plan": _EXPECTED,
    "adapters": _EXPECTED,
    "tasks": _EXPECTED,
    "translate": _EXPECTED,
    "optimizers": _EXPECTED,
    "selftest": _PROOF,
    "bench": _PROOF,
}


def of_field(field: Field) -> Group:
    """Where a field of the plan stands."""
    if field.name in DEPENDENTS or field.needs:
        return _DEPENDENT[field.name if field.name in DEPENDENTS else field.needs]
    return _ORDER if field.name in ("order", "seed", "reshuffle") else _BATCHES

"""The parts of the reference that the code states itself, as Markdown; ``conf.py`` puts them where a page asks."""

import contextlib
import inspect
import io
import os
from collections.abc import Callable, Iterable, Mapping

from xframe.cli import grouping
from xframe.cli.app import execute
from xframe.comparison import checks
from xframe.diagnosis import causes
from xframe.numerics.naming import wording
from xframe.plan.fields import FIELDS, Derived

WIDTH = "110"  # columns of the commands' help


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    cells = [list(head), *map(list, rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in cells)


def first_paragraph(thing: object) -> str:
    """Of a docstring, on one line, in Markdown."""
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")


def help_of(*command: str) -> str:
    """What ``xframe COMMAND --help`` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), columns(WIDTH):
        assert execute([*command, "--help"]) == 0
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).strip("\n")


@contextlib.contextmanager
def columns(width: str):
    """Inside, a terminal of that width."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def commands() -> str:
    """Each command's help, as it prints it."""
    return "\n\n".join(f"## xframe {name}\n\n```text\n{help_of(name)}\n```" for name in grouping.COMMANDS)


def overview() -> str:
    """What ``xframe --help`` prints."""
    return f"```text\n{help_of()}\n```"


def fields() -> str:
    """The fields of a plan."""
    rows = []
    for name, field in FIELDS.items():
        default = field.default.words if isinstance(field.default, Derived) else field.default
        kind = {bool: "true, false", int: "whole number", float: "number"}.get(field.type, "")
        values = ", ".join(f"`{word}`" for word in field.words) or kind
        shown = str(default).lower() if isinstance(default, bool) else "" if default is None else str(default)
        rows.append([f"`{name}`", values, shown, field.help])
    return table(["field", "values", "default", "meaning"], rows)


def every_check() -> str:
    """The checks, in the order in which they are reported."""
    rows = [[f"`{check.name}`", check.title, check.group, first_paragraph(check)] for check in checks.every()]
    return table(["name", "in reports", "group", "question"], rows)


def every_cause() -> str:
    """The causes, by family, each with what fixes it."""
    families: dict[str, list[list[str]]] = {}
    for cause in causes.every():
        fixes = "; ".join(f"{where}: `{text.replace('`', '')}`" for where, text in sorted(cause.fixes.items()))
        module, fixes = inspect.getmodule(type(cause)), fixes or "what the other run does"
        families.setdefault(first_paragraph(module), []).append([f"`{cause.name}`", first_paragraph(cause), fixes])
    parts = [f"**{family}**\n\n{table(['name', 'meaning', 'fixed by'], rows)}" for family, rows in families.items()]
    return "\n\n".join(parts)


def rule_causes() -> str:
    """What two sides' updates may have otherwise, by the setting of the rule that it is."""
    rows = []
    for setting, words in wording.WORDS.items():
        fixes = "; ".join(f"{where}: `{text.replace('`', '')}`" for where, text in sorted(words.fix.items()))
        rows.append([f"`{words.cause}`", f"`{setting}`", fixes])
    return table(["name", "set otherwise", "fixed by"], rows)


PARTS: Mapping[str, Callable[[], str]] = {
    "overview": overview,
    "commands": commands,
    "fields": fields,
    "checks": every_check,
    "causes": every_cause,
    "rule_causes": rule_causes,
}

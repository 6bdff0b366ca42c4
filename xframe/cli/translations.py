"""The command that writes one framework's words in another's: ``xframe translate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from xframe.cli.grouping import GIVEN, PRINTED, WHAT
from xframe.cli.options import Json, flag, word
from xframe.cli.printing import show
from xframe.errors import UsageError, Verbatim, lines

if TYPE_CHECKING:
    from xframe.translate.translating import Refused, Translation

_LARGEST = 1_000_000  # characters of stdin


def translate(
    *expressions: Annotated[
        str,
        Parameter(
            name="EXPRESSION",
            help="A call as it stands in a script, in quotes; - reads them from stdin, one a line; a file "
            "that ends in .json, of json.dumps(model.get_config()), or in .txt, of a printed torch.nn.Sequential.",
            group=GIVEN,
            allow_leading_hyphen=True,
        ),
    ],
    to: Annotated[
        Literal["keras", "torch", "optax"] | None,
        word("What to write it in. Default: torch, and keras for what is torch's.", WHAT),
    ] = None,
    json: Json = False,
    md: Annotated[bool, flag("Print Markdown instead.", PRINTED)] = False,
) -> int:
    """Write an optimizer, loss, schedule or layer in another framework, every default explicit.

    For example: xframe translate 'keras.optimizers.Adam(1e-3, weight_decay=0.004)'

    Or: xframe translate --to keras 'StepLR(torch.optim.SGD(params, lr=0.1, momentum=0.9), step_size=30)'

    Of Keras 3, PyTorch and optax. What is printed is the same formula, or it says why nothing is. An expression is
    read as data: calls of known names with numbers, texts and lists. It is never evaluated.

    Exit codes: 0 exact, 1 nothing in the other framework is exactly that, 2 not an expression, or a wrong one. A
    wrong line of stdin does not stop the others; the code is 2 then.
    """
    from xframe.tables import screen_width
    from xframe.translate.rendering import markdown, text
    from xframe.translate.translating import exit_code

    if json and md:
        raise UsageError("two output formats", got=Verbatim("--json and --md"), expected="at most one of them")
    translations = [one for line, each in _sources(expressions) for one in _translated(line, each, to)]
    if json:
        from xframe.report.json_form import dumped

        print(dumped({"translations": [each.to_dict() for each in translations]}, indent=2))
    elif md:
        print(lines(markdown(translations)))
    else:
        show(text(translations, min(screen_width() or 96, 96)))
    return exit_code(translations)


def _translated(line: int | None, source: str, to: str | None) -> list[Translation | Refused]:
    """A source's parts; what is wrong with one line of many is that line's result."""
    from xframe.translate.compiling import parts
    from xframe.translate.translating import Refused, translate

    try:
        return [translate(part, to) for part in parts(source)]
    except UsageError as error:
        if line is None:
            raise
        return [Refused(line, source, error)]


def _sources(expressions: tuple[str, ...]) -> list[tuple[int | None, str]]:
    """Each expression, with the number of its line where it is of stdin."""
    sources = [one for each in expressions for one in (_stdin() if each == "-" else [(None, _or_file(each))])]
    if not sources:
        raise UsageError("no EXPRESSION", expected="such as 'keras.optimizers.Adam(1e-3)'")
    return sources


def _or_file(text: str) -> str:
    """The expression, or what the file of that name holds, a model."""
    if not text.endswith((".json", ".txt")):
        return text
    try:
        with Path(text).open(encoding="utf-8") as file:
            return file.read(_LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {text}", got=Verbatim(error), expected="a model as text") from None


def _stdin() -> list[tuple[int | None, str]]:
    given = sys.stdin.read(_LARGEST + 1) if sys.stdin is not None else ""
    if len(given) > _LARGEST:
        raise UsageError("too much on stdin", expected=f"at most {_LARGEST:,} characters")
    numbered = [(number, line.strip()) for number, line in enumerate(given.split("\n"), 1)]
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]

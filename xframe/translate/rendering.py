"""Translations as text and as Markdown, their code laid out in lines of bounded length."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from xframe.tables import fenced
from xframe.translate.translating import Refused, Translation
from xframe.translate.written import Written

_NAMES = {"keras": "Keras", "torch": "PyTorch", "optax": "optax"}
_COPYING = "To copy the weights:"


def text(translations: Sequence[Translation | Refused], width: int = 96) -> str:
    """As a terminal shows it."""
    return "\n\n".join("\n".join(_text(each, width)) for each in translations)


def markdown(translations: Sequence[Translation | Refused]) -> str:
    """As Markdown, the code in fences."""
    return "\n\n".join("\n".join(_markdown(each)) for each in translations)


def _verdict(translation: Translation) -> str:
    target = _NAMES[translation.target]
    only = f" {translation.written.only_for}" if translation.written and translation.written.only_for else ""
    return f"exact in {target}{only}" if translation else f"nothing in {target} is exactly this"


def _text(translation: Translation | Refused, width: int) -> list[str]:
    if isinstance(translation, Refused):
        return [translation.source[:width], f"line {translation.line}: refused", "", f"- {translation.error}"]
    source = translation.source if len(translation.source) <= width else translation.source[: width - 1] + "…"
    lines = [f"{source}", f"{translation.kind}: {_verdict(translation)}", ""]
    written = translation.written
    if written is None:
        lines += [f"- {reason}" for reason in translation.reasons]
        if translation.closest:
            lines += [
                "",
                _closest(translation.closest),
                *_indented(_laid_out(translation.closest.split("\n"), width - 4)),
            ]
        return lines
    lines += _indented(_code(written, width - 4))
    if written.beside is not None:
        lines += ["", _beside(translation, written), *_indented(_code(written.beside, width - 4))]
    if written.copying:
        lines += ["", _COPYING, *_indented(_laid_out(written.copying, width - 4))]
    notes = [*written.notes, *(written.beside.notes if written.beside else ())]
    return lines + ([""] if notes else []) + [f"- {note}" for note in dict.fromkeys(notes)]


def _markdown(translation: Translation | Refused) -> list[str]:
    if isinstance(translation, Refused):
        head = f"**Line {translation.line}: refused.**"
        return [head, "", *_fenced(translation.source), "", f"- {translation.error}"]
    lines = [f"**{translation.kind.capitalize()}: {_verdict(translation)}.**", "", *_fenced(translation.source), ""]
    written = translation.written
    if written is None:
        lines += [f"- {reason}" for reason in translation.reasons]
        if translation.closest:
            lines += [
                "",
                _closest(translation.closest),
                "",
                *_fenced(_laid_out(translation.closest.split("\n"), 96)),
            ]
        return lines
    lines += _fenced(_code(written, 96))
    if written.beside is not None:
        lines += ["", _beside(translation, written), "", *_fenced(_code(written.beside, 96))]
    if written.copying:
        lines += ["", _COPYING, "", *_fenced(_laid_out(written.copying, 96))]
    notes = [*written.notes, *(written.beside.notes if written.beside else ())]
    return lines + ([""] if notes else []) + [f"- {note}" for note in dict.fromkeys(notes)]


def _code(written: Written, width: int) -> str:
    return _laid_out(written.lines(), width)


def _laid_out(lines: Sequence[str], width: int) -> str:
    return "\n".join(laid_out(line, width) for line in lines)


def _beside(translation: Translation, written: Written) -> str:
    return f"{written.beside_for}:" if written.beside_for else f"Or {_NAMES[translation.target]}'s own:"


def _closest(code: str) -> str:
    return f"The closest, which is not the same{' without its hook' * ('_hook(' in code)}:"


def _fenced(code: str) -> list[str]:
    return fenced(code.split("\n"))


def _indented(code: str) -> list[str]:
    return [f"    {line}" for line in code.split("\n")]


def laid_out(line: str, width: int) -> str:
    """A statement whose calls have an argument a line, where it is longer than ``width``."""
    if len(line) <= width or line.startswith((" ", "#")):
        return line
    try:
        statement = ast.parse(line).body[0]
    except SyntaxError:  # the head of a block
        return line
    match statement:
        case ast.Assign(targets=[target], value=value):
            return f"{ast.unparse(target)} = {_broken(value, 0, width)}"
        case ast.Expr(value=value):
            return _broken(value, 0, width)
    return line


def _broken(node: ast.expr, indent: int, width: int) -> str:
    whole = ast.unparse(node)
    if indent + len(whole) <= width or not isinstance(node, (ast.Call, ast.List)):
        return whole
    inside = " " * (indent + 4)
    if isinstance(node, ast.List):
        rows, begin, end = [_broken(item, indent + 4, width) for item in node.elts], "[", "]"
    else:
        begin, end = f"{ast.unparse(node.func)}(", ")"
        rows = [_broken(arg, indent + 4, width) for arg in node.args]
        rows += [f"{each.arg}={_broken(each.value, indent + 4, width)}" for each in node.keywords]
    return "\n".join([begin, *(f"{inside}{row}," for row in rows), " " * indent + end])

"""One expression as data: a call of a dotted name with literal arguments, from text that is never evaluated.

``ast.parse`` makes the tree, of text whose size and depth are bounded before; what the tree may hold is listed here,
and anything else is refused by what it is. Nothing is imported, looked up or computed.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xframe.errors import UsageError, Verbatim, counted, printable

LONGEST = 20_000  # characters of an expression
DEEPEST = 40  # brackets within each other
_MOST = 2_000  # calls, names and values of an expression
_GREATEST = 2**63
_EXPECTED = "one call such as keras.optimizers.Adam(1e-3)"
# A string, whose brackets do not count, or a bracket, or the end of a run of signs and other prefixes.
_TOKENS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[\[\](){}]|(?:[-+~]\s*){9,}|(?:\bnot\s+){9,}""", re.S)
_ASSIGNED = re.compile(r"\A[A-Za-z_][\w.]{0,200}\s{0,20}(?::\s{0,20}[\w.]{1,200}\s{0,20})?=(?!=)")
_WORDS = {  # what people may try, by its node
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "an f-string",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "a condition",
    ast.BinOp: "arithmetic",
    ast.BoolOp: "a condition",
    ast.Compare: "a comparison",
    ast.Subscript: "an index",
    ast.Starred: "an unpacking",
    ast.Set: "a set",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}


@dataclass(frozen=True, slots=True)
class Name:
    """What stands for something of the user's own, such as ``params`` or ``model.parameters()``: its text."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call: the dotted name as written, its positional arguments, those by keyword."""

    name: str
    args: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()


def expression(text: str) -> Call:
    """The call that ``text`` is, or that it assigns to a name.

    Raises:
        UsageError: it is something else, or holds something else than names, calls and literals, or is too large.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise UsageError(
            "an expression is too long", got=counted(len(text), "character"), expected=f"at most {LONGEST:,}"
        )
    _check_depth(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes and the like in what is refused anyway
            tree = ast.parse(_ASSIGNED.sub("", text, count=1).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = Verbatim(printable(getattr(error, "msg", None) or error))
        raise UsageError(f"not an expression: {_short(text)}", got=why, expected=_EXPECTED) from None
    try:
        value = _value(tree, iter(range(_MOST)))
    except RecursionError:
        raise UsageError("an expression is nested too deeply", expected=_EXPECTED) from None
    if not isinstance(value, Call):
        raise UsageError("not a call", got=_short(text), expected=_EXPECTED)
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for found in _TOKENS.findall(text):
        depth += (found in "([{") - (found in ")]}")
        if depth > DEEPEST or found[0] in "-+~n":
            raise UsageError(
                f"an expression is nested too deeply: {_short(text)}", expected=f"at most {DEEPEST} levels"
            )


def _value(node: ast.expr, left: Iterator[int]) -> Any:
    if next(left, None) is None:
        raise UsageError("an expression has too many parts", expected=f"at most {_MOST:,}")
    match node:
        case ast.Constant(value=value):
            return _constant(value)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=value)) if _is_number(value):
            return _constant(-value if isinstance(node.op, ast.USub) else value)  # type: ignore[operator]
        case ast.Tuple(elts=items):
            return tuple(_value(item, left) for item in items)
        case ast.List(elts=items):
            return [_value(item, left) for item in items]
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_key(key): _value(value, left) for key, value in zip(keys, values, strict=True) if key is not None}
        case ast.Name() | ast.Attribute():
            return Name(_dotted(node))
        case ast.Call(func=function, args=args, keywords=keywords):
            given = tuple(_value(arg, left) for arg in args)
            return Call(
                _dotted(function), given, tuple((_keyword(each), _value(each.value, left)) for each in keywords)
            )
    what = _WORDS.get(type(node), "something else than a call or a literal")
    raise UsageError(
        f"{what} in an expression",
        got=Verbatim(_short(ast.unparse(node))) if isinstance(node, (ast.BinOp, ast.Subscript)) else None,
        expected="calls of known names with numbers, texts, True, False, None, tuples and lists",
        remedy="Write the number itself." if isinstance(node, ast.BinOp) else None,
    )


def _constant(value: Any) -> Any:
    if isinstance(value, (bytes, complex)) or value is ...:
        raise UsageError("a value of a kind that no optimizer, loss or layer takes", got=_short(repr(value)))
    if isinstance(value, int) and abs(value) >= _GREATEST:
        raise UsageError("an integer is too large", expected="one of less than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError("a number is too large", expected="a finite one")
    return value


def _key(node: ast.expr | None) -> Any:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, (str, int)):
        raise UsageError("a key of a dict", expected="a text or an integer")
    return _constant(node.value)


def _keyword(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise UsageError("an unpacking in an expression", expected="arguments by name, each written out")
    return keyword.arg


def _dotted(node: ast.expr) -> str:
    """A name with dots; none of its parts is private."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise UsageError("a call of something else than a name", expected=_EXPECTED)
    parts.append(node.id)
    if len(parts) > 8 or any(part.startswith("_") or len(part) > 80 for part in parts):
        raise UsageError("an unusual name", got=_short(".".join(reversed(parts))), expected=_EXPECTED)
    return ".".join(reversed(parts))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(text: str, limit: int = 80) -> str:
    return printable(text if len(text) <= limit else text[: limit - 1] + "…")

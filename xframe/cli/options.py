"""Options that several commands share: their types, help, and how their words are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, get_args

from cyclopts import Parameter

from xframe.errors import UsageError, did_you_mean, shown


def option(text: str) -> Parameter:
    """An option with this help."""
    return Parameter(help=text)


def whole(_: Any, tokens: Sequence[Any]) -> int:
    """An integer as Python writes it; cyclopts' own conversion would round 2.5."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"got {shown(text)}, expected a whole number.") from None


def known(words: Any, token: Any) -> str:
    """A word of a type, which help and completion show too; cyclopts' own error has no hint."""
    known = [word for word in flat(words) if isinstance(word, str)]
    if token.value not in known:
        hint = did_you_mean(token.value, known)
        raise UsageError(token.keyword, got=token.value, expected="one of " + ", ".join(known), remedy=hint or None)
    return str(token.value)


def flat(words: Any) -> list[Any]:
    """The words of a type, those of its parts included."""
    return [part for word in get_args(words) for part in (flat(word) or [word])]


def word(text: str) -> Parameter:
    """An option that takes one of its type's words."""
    return Parameter(help=text, converter=lambda words, tokens: known(words, tokens[0]))


def number(text: str) -> Parameter:
    """An option that takes a whole number."""
    return Parameter(help=text, converter=whole)


Json = Annotated[bool, Parameter(negative="", help="Print one JSON object instead.")]
Task = Annotated[str, option("A built-in task (see xframe tasks) or your own as package.module:name.")]
Device = Annotated[str, option("auto, cpu or cuda; auto takes the best that all chosen adapters have.")]
Precision = Annotated[str, option("float32, float64, bfloat16, or mixed_float16, which scales the loss.")]
Threads = Annotated[int | None, number("CPU threads of each adapter. Default: the cores shared out.")]
Tf32 = Annotated[bool, Parameter(negative="", help="Allow TensorFloat-32 on CUDA, which is off otherwise.")]
Workers = Annotated[int, number("Processes (torch) or threads (tf.data) that read data. Default: the loop reads.")]
Python = Annotated[
    list[str] | None,
    Parameter(help="ADAPTER=/path/to/python runs that adapter in its own environment; repeatable.", negative=""),
]
Rtol = Annotated[
    float | None, option("Relative tolerance of loss and weights; with --atol. Default: 1e-4, in float64 1e-9.")
]
Atol = Annotated[
    float | None, option("Absolute tolerance of loss and weights; with --rtol. Default: 1e-4, in float64 1e-10.")
]


def pairs(option: str, texts: list[str] | None, form: str, *, empty: bool = False) -> dict[str, str]:
    """Texts of the form ``NAME=VALUE`` by name; ``empty`` allows no value."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and (value or empty)):
            raise UsageError(option, got=text, expected=form)
        pairs[name] = value
    return pairs

"""Names that the shell completes: of tasks, adapters and their loops, faults. Each is looked up when Tab is pressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

Completer = Callable[["CompletionContext"], Iterable[str]]


def listed(names: Completer) -> Completer:
    """Completes the last of several names with commas between."""

    def complete(context: CompletionContext) -> Iterator[str]:
        before, comma, _ = context.incomplete.rpartition(",")
        return (before + comma + name for name in names(context) if name not in before.split(","))

    return complete


def tasks(_: CompletionContext) -> Iterable[str]:
    """The built-in tasks."""
    from xframe.tasks.lookup import BUILT_IN

    return BUILT_IN


def optimizers(_: CompletionContext) -> Iterable[str]:
    """The update rules by name."""
    from xframe.tasks.optimizers import names

    return names()


def adapters(_: CompletionContext) -> Iterator[str]:
    """The adapters, and each with each of its loops."""
    from xframe.running import registry

    for name in registry.available():
        yield name
        yield from (f"{name}:{loop}" for loop in registry.load(name).loops)


def loops(context: CompletionContext) -> Iterator[str]:
    """What bench measures: the adapters with their loops, and each adapter's other loops."""
    from xframe.bench.loops import WORKLOADS
    from xframe.bench.worker import loops_of
    from xframe.running import registry
    from xframe.tasks.lookup import find_task

    yield from adapters(context)
    task = find_task(WORKLOADS[0])  # the others have no more
    for name in registry.available():
        yield from (loop.name for loop in loops_of(registry.load(name), task))


def interpreters(_: CompletionContext) -> Iterator[str]:
    """The adapters, each before the interpreter that is to run it."""
    from xframe.running import registry

    return (f"{name}=" for name in registry.available())


def columns(_: CompletionContext) -> Iterator[str]:
    """What a log can hold, each before the name of its column."""
    from xframe.trace.schema import COLUMNS

    return (f"{name}=" for name in COLUMNS)


def faults(_: CompletionContext | None = None) -> Iterable[str]:
    """The known faults."""
    from xframe.testing.faults import BY_NAME

    return tuple(BY_NAME)

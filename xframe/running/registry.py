"""Adapters by name, through the entry point group ``xframe.adapters``. Lazy: only what is asked for is loaded."""

from __future__ import annotations

import functools
import gc
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from xframe.errors import UsageError, Verbatim, WorkerError, unknown
from xframe.running.adapter import Adapter, Probe

GROUP = "xframe.adapters"


class Selection(NamedTuple):
    """One entry of ``--adapters``: an adapter's name and, after a colon, one of its loops."""

    adapter: str
    loop: str | None

    @property
    def label(self) -> str:
        """As it was given."""
        return self.adapter if self.loop is None else f"{self.adapter}:{self.loop}"

    @classmethod
    def parse(cls, text: str) -> Selection:
        """``adapter`` or ``adapter:loop``; whether they exist is not looked at."""
        name, _, loop = text.strip().partition(":")
        return cls(name, loop or None)


@functools.cache
def available() -> dict[str, EntryPoint]:
    """The adapters that are installed, by name; a name claimed twice keeps its first claim."""
    adapters: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        adapters.setdefault(entry.name, entry)
    return dict(sorted(adapters.items()))


def load(name: str) -> Adapter:
    """The adapter of that name.

    Raises:
        UsageError: no adapter has that name.
        WorkerError: it is there, and broken.
    """
    entries = available()
    if name not in entries:
        raise unknown("adapter", name, entries)
    try:
        adapter = entries[name].load()()
    except Exception as error:
        raise WorkerError(
            f"adapter {name!r} is installed but broken",
            got=Verbatim(f"{type(error).__name__}: {error}"),
            expected=f"{entries[name].value} to be a class that takes no arguments",
        ) from error
    if not isinstance(adapter, Adapter):
        raise WorkerError(
            f"adapter {name!r} lacks a part of the contract", expected="all of xframe.running.adapter.Adapter"
        )
    return adapter


def probe(adapter: Adapter) -> Probe:
    """What the adapter's framework is and has; imports it.

    Meanwhile no garbage is looked for: almost all that an import makes stays, and the search is a fifth of its time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return adapter.probe()
    finally:
        if collecting:
            gc.enable()


def select(texts: list[str] | tuple[str, ...]) -> list[Selection]:
    """The selections of ``--adapters``, each an existing adapter and loop, none twice.

    Raises:
        UsageError: none given, one given twice, or an unknown name.
    """
    if not texts or not all(text.strip() for text in texts):
        raise UsageError(
            "no adapter given",
            got=Verbatim("an empty name" if texts else "nothing"),
            expected="one or more of " + ", ".join(available()) + ", with commas between",
        )
    chosen = [Selection.parse(text) for text in texts]
    for i, selection in enumerate(chosen):
        adapter = load(selection.adapter)
        if selection.loop is not None and selection.loop not in adapter.loops:
            raise unknown(f"loop of adapter {adapter.name!r}", selection.loop, adapter.loops)
        if selection in chosen[:i]:
            raise UsageError("an adapter is given twice", got=selection.label, expected="each adapter and loop once")
    return chosen

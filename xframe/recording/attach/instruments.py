"""What adapters bring to see a framework's training: entry points of the group ``xframe.instruments``, by framework.

An instrument is attached when its framework has been imported: at once, or as soon as the script imports it.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "xframe.instruments"


class Instrument(Protocol):
    """Sees what a framework does, and tells a machine."""

    def attach(self) -> None:
        """From now on."""

    def detach(self) -> None:
        """No longer, and everything is as it was."""


def available() -> dict[str, EntryPoint]:
    """Instruments by the framework that they watch."""
    from importlib.metadata import entry_points  # a while, which Python under xframe record need not wait at its start

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def untrained(imported: Sequence[str]) -> str:
    """Why nothing was recorded, by the frameworks that were imported."""
    if imported:
        return f"{' and '.join(imported)} was imported, and nothing was trained with it that xframe sees"
    return f"Python ran and imported none of {', '.join(available())}"


def refuse_untested(framework: str, version: str, tested: Sequence[str]) -> None:
    """Refuses a version of a framework whose inside may be another than the one that an instrument was made for.

    Raises:
        UsageError: the version begins with none of those tested.
    """
    if not version.startswith(tuple(tested)):
        from xframe.errors import UsageError

        raise UsageError(
            f"this {framework} cannot be watched",
            got=version,
            expected="a version that was tested: " + ", ".join(f"{one}*" for one in tested),
            remedy="Record in the loop itself, with xframe.record.",
        )


class OnImport(importlib.abc.MetaPathFinder):
    """Calls a function once each of some modules has been imported, for those that are there already at once."""

    def __init__(self, names: Sequence[str], then: Callable[[str], None]) -> None:
        self.names, self.then = set(names), then

    def start(self) -> None:
        """From now on."""
        for name in sorted(self.names):
            if name in sys.modules:
                self._loaded(name)
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """No longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's own spec, with a loader that says when the module is there.

        Whoever only looks whether the module exists, as libraries do, or fails to import it, has changed nothing.
        """
        if fullname not in self.names:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Telling(spec.loader, lambda: self._loaded(fullname))
                return spec
        return None

    def _loaded(self, name: str) -> None:
        if name in self.names:
            self.names.discard(name)
            self.then(name)


class _Telling(importlib.abc.Loader):
    """A loader that says when it has loaded its module."""

    def __init__(self, loader: Any, then: Callable[[], None]) -> None:
        self._loader, self._then = loader, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        self._then()

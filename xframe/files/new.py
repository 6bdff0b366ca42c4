"""New files: never through a link, never over a file that is there, and none left behind that nothing was kept in.

A signal's handler may raise an exception after any call. So whoever makes a file knows of it by the same call, and a
file that is not kept goes when its owner does, whatever ended it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Self

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NEW |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_RANDOM = 4  # bytes in a passing file's name


class NewFile:
    """A file that nobody else made, open for reading and writing; unless it is kept, it is removed again.

    Attributes:
        path: where it was made.
        kept: whether it stays. Set by the owner.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.kept, self._process = path, False, os.getpid()
        self._numbers: list[int] = []
        try:
            # One call opens the file and notes its number: no exception can come between.
            self._numbers.extend(map(os.open, (path,), (_NEW,), (0o666,)))
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not self._numbers

    @property
    def number(self) -> int:
        """Its file descriptor; OSError after it was closed."""
        if not self._numbers:
            raise OSError(f"{self.path} is closed")
        return self._numbers[0]

    def still_there(self) -> bool:
        """Whether its path leads to it: it was not moved, removed or replaced."""
        try:
            return os.path.samestat(os.fstat(self.number), os.lstat(self.path))
        except OSError:
            return False

    def close(self) -> None:
        """Closes it, and removes it unless it is kept; in the process that made it, none forked from it."""
        if self._numbers and not self.kept and self._process == os.getpid() and self.still_there():
            with contextlib.suppress(OSError):
                self.path.unlink()
        if self._numbers:
            with contextlib.suppress(OSError):
                os.close(self._numbers.pop())

    def __del__(self) -> None:
        if hasattr(self, "_numbers"):
            self.close()


class Passing(NewFile):
    """A file that is written beside ``target``, to take its place once it is whole.

    Its name is ``.NAME.``, 8 random characters, and ``.closing``. Only a process that was killed or a machine that was
    lost leaves it behind; ``remove_left`` removes it then.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        super().__init__(target.with_name(f".{target.name}.{secrets.token_hex(_RANDOM)}.closing"))

    def put(self) -> None:
        """Gives it the target's name, after the disk has all of it.

        Raises:
            OSError: the disk does not take it, or the folder.
        """
        os.fsync(self.number)
        os.replace(self.path, self.target)
        sync_folder(self.target.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_left(target: Path) -> None:
    """Removes what killed processes left beside ``target``, a file that no other process writes any more."""
    before, after = f".{target.name}.", ".closing"
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            middle = entry.name[len(before) : -len(after)]
            if entry.name == before + middle + after and len(middle) == 2 * _RANDOM and middle.isalnum():
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder outlast the machine, where the system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

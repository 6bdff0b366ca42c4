"""The guard: a small process between xframe and a child, which sees to it that nothing of the child is left behind.

``python -I -S guard.py PARENT GRACE PLACE HOME LITTER COMMAND…`` runs the command in a session of its own, with nothing
on its standard input, and ends as it ends. Afterwards no process that the command has started is left. When the guard
gets SIGTERM, and when its parent is gone, it ends the command: first by SIGTERM, and after ``GRACE`` seconds by force.
If the parent is gone, what the command wrote at ``PLACE``, whose folder the guard has made, goes to ``HOME``, and with
it what runs beside it have left that ended before, and the files of ``LITTER``, a list of paths, are removed. All three
may be empty. The command's last two arguments are the numbers of its pipes, which the guard does not keep open.

The guard never waits for an answer, so no child can hold it up: one that hangs in native code, is stopped, forks, or
is replaced by a different program. On Linux the kernel helps: it kills a command whose guard was killed, makes orphans
the guard's children, and wakes a guard that was stopped when its parent is gone. Elsewhere, and where the guard itself
is killed, processes that leave the command's group escape.

It runs as a file, whatever the environment holds, and so imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

_LEAVE = 1.0  # seconds for what the command has started to end by itself, once the command has ended
_GIVE_UP = 3.0  # seconds until a process that does not even die by force, in a system call, is left alone
_DEATH_SIGNAL, _SUBREAPER = 1, 36  # options of prctl


def main(parent: int, grace: float, place: str, home: str, litter: str, command: list[str]) -> NoReturn:
    """The guard's life."""
    _prctl(_DEATH_SIGNAL, signal.SIGCONT)
    _prctl(_SUBREAPER, 1)
    lock = make_place(place) if place else None
    child = _start(command)
    for number in command[-2:]:
        os.close(int(number))
    code, gone = _watch(child, parent, grace)
    _end_what_is_left(child, 0.0 if gone else _LEAVE)
    if gone or os.getppid() != parent:  # it may have gone meanwhile
        for file in filter(None, litter.split(os.pathsep)):
            with contextlib.suppress(OSError):
                os.unlink(file)
        if lock is not None:
            os.close(lock)
            take_all_home(os.path.dirname(os.path.dirname(place)), home)
    _end_with(code)


def make_place(trace: str | os.PathLike[str]) -> int:
    """Makes the folder in which a run is to write that trace, in one that does not list its names.

    Returns a file that locks it until it is closed.
    """
    import fcntl  # which Windows lacks, where traces can be compared all the same

    folder = os.path.dirname(trace)
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(folder), 0o300)
    with contextlib.suppress(FileExistsError):  # by the guard of another replica
        os.mkdir(folder, 0o700)
    lock = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def take_home(trace: str | os.PathLike[str], home: str | os.PathLike[str]) -> None:
    """Moves that trace, and what lies beside it, into the folder ``home``, if nobody has done so."""
    folder = os.path.dirname(trace)
    if folder == os.fspath(home):
        return
    with contextlib.suppress(FileNotFoundError):
        _move_all(folder, os.fspath(home))


def _move_all(folder: str, home: str) -> None:
    """Moves what is in a folder into another, which may have some of its folders: those of replicas elsewhere."""
    import shutil

    for name in os.listdir(folder):
        source, target = os.path.join(folder, name), os.path.join(home, name)
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
            _move_all(source, target)
        else:
            shutil.move(source, target)
    os.rmdir(folder)


def take_all_home(folder: str, home: str) -> None:
    """Takes home what all runs in that folder have left whose guards are gone; the last removes the folder."""
    with contextlib.suppress(OSError):  # another has removed it
        os.chmod(folder, 0o700)
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):  # its guard is still there
                _take_one_home(os.path.join(folder, name), home)
        os.rmdir(folder)


def _take_one_home(folder: str, home: str) -> None:
    import fcntl

    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        take_home(os.path.join(folder, "any"), home)
    finally:
        os.close(lock)


def _start(command: list[str]) -> int:
    """The number of the process that runs the command."""
    guard = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()  # Ctrl-C is for xframe, which lets its children write what they have
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != guard:  # it was killed before
            os._exit(1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode(errors="replace"))
    os._exit(126)


def _watch(child: int, parent: int, grace: float) -> tuple[int, bool]:
    """The command's exit code, negative if a signal ended it, and whether the parent was gone by then."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    for number in (signal.SIGCHLD, signal.SIGCONT, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _only_wake)
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    deadline = None
    while True:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:  # orphans are among them
            if ended[0] == child:
                return os.waitstatus_to_exitcode(ended[1]), os.getppid() != parent
        gone = os.getppid() != parent
        if deadline is None and (asked or gone):
            os.kill(child, signal.SIGTERM)
            deadline = time.monotonic() + grace
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
        select.select([woken], [], [], 1.0)
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 1 << 10)


def _only_wake(number: int, frame: FrameType | None) -> None:
    pass


def _end_what_is_left(child: int, seconds: float) -> None:
    """Waits that long for the processes that the command has left behind, and ends them by force."""
    began = time.monotonic()
    with contextlib.suppress(ChildProcessError):  # none is left
        while (since := time.monotonic() - began) < seconds + _GIVE_UP:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            for number in _children() if since >= seconds else []:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def _children() -> list[int]:
    """The processes whose parent is this one, as far as the system says."""
    found = []
    with contextlib.suppress(FileNotFoundError):  # there is no /proc
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found


def _end_with(code: int) -> NoReturn:
    """Ends this process as the command has ended, by the same signal if by one."""
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL can have no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _prctl(option: int, value: int) -> None:
    """Asks the kernel for something, where it is Linux."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError):
            import ctypes

            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5], sys.argv[6:])

"""Tasks by name: the built-in ones, and a user's own as ``package.module:name``."""

from __future__ import annotations

import bdb
import contextlib
import importlib
import inspect
import io
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn

from xframe.errors import UsageError, Verbatim, XframeError, unknown
from xframe.tasks.task import Task

BUILT_IN = ("digits-mlp", "digits-cnn", "rows-lstm", "tiny-transformer", "diabetes-regression", "ledger")


_XFRAME = os.path.dirname(os.path.dirname(__file__)) + os.sep
_INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def find_task(name: str) -> Task:
    """A built-in task by name, or a user's own by ``package.module:name``.

    Raises:
        UsageError: there is no such task, or what bears its name is none.
    """
    if name in BUILT_IN:
        target = f"xframe.tasks.builtin.{name.replace('-', '_')}:task"
    elif ":" in name:
        target = name
    else:
        raise unknown("task", name, BUILT_IN, remedy="Your own is named package.module:name.")
    module_name, _, attribute = target.partition(":")
    if not target.startswith("xframe."):
        _find_in_the_current_folder()
    module = _import(module_name)
    task = getattr(module, attribute, None)
    if task is None:
        names = [key for key, value in vars(module).items() if isinstance(value, Task)]
        raise UsageError(
            f"module {module_name!r} has no such task",
            got=attribute,
            expected="one of " + ", ".join(sorted(names)) if names else "a module with an xframe.Task in it",
        )
    if not isinstance(task, Task) and _takes_nothing(task):
        task = task()
    if not isinstance(task, Task):
        raise UsageError(f"{target} is no task", got=task, expected="an xframe.Task, or a function that returns one")
    return task


def _find_in_the_current_folder() -> None:
    """Makes its modules found too, before what is installed, but after Python's own: a random.py there is no random."""
    if "" in sys.path or os.getcwd() in sys.path:
        return
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    last = max((i for i, path in enumerate(sys.path) if path in own or path.endswith("lib-dynload")), default=-1)
    sys.path.insert(last + 1, "")


def _import(name: str) -> ModuleType:
    """The user's module. However it fails, the error names it."""
    try:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ModuleNotFoundError(name=name)
        with _without_a_terminal():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name or name.startswith(f"{error.name}."):
            raise UsageError(
                "cannot find the task's module",
                got=name,
                expected="a module that python can import here, as package.module",
                remedy="Run from the folder that holds it, or set PYTHONPATH.",
            ) from None
        problem: BaseException = error
    except (Exception, SystemExit) as error:
        problem = error
    places = [frame for frame in traceback.extract_tb(problem.__traceback__) if "importlib" not in frame.filename]
    if isinstance(problem, bdb.BdbQuit):
        problem = XframeError(NO_TERMINAL)
    others = [place for place in places if not place.filename.startswith(_XFRAME)]
    others = [place for place in others if not place.filename.startswith(_INSTALLED)] or others  # the user's own line
    where = f" ({others[-1].filename}, line {others[-1].lineno})" if others else ""
    raise UsageError(
        f"the task's module {name!r} cannot be imported",
        got=Verbatim(f"{type(problem).__name__}: {problem}{where}"),
        expected="a module that imports without an error",
    ) from problem


@contextlib.contextmanager
def _without_a_terminal() -> Iterator[None]:
    """What a module prints goes to stderr, what it reads is empty, and a debugger is refused, as in a run."""
    before, chosen = sys.stdin, os.environ.get(BREAKPOINT)
    sys.stdin, os.environ[BREAKPOINT] = io.StringIO(), chosen or REFUSED
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdin = before
        os.environ.pop(BREAKPOINT)
        os.environ |= {} if chosen is None else {BREAKPOINT: chosen}


# The environment variable that names what breakpoint() calls, and its value where the user has chosen none.
BREAKPOINT, REFUSED = "PYTHONBREAKPOINT", f"{__name__}.refuse_a_debugger"
NO_TERMINAL = "the task starts a debugger, and a run has no terminal: debug it in a script of your own"


def refuse_a_debugger(*_: Any, **__: Any) -> NoReturn:
    """What ``breakpoint()`` does in a task."""
    raise XframeError(NO_TERMINAL)


def _takes_nothing(value: Any) -> bool:
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):  # not callable, or not without arguments
        return False
    return True

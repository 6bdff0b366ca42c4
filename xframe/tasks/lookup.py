"""Tasks by name: the built-in ones, and a user's own as ``package.module:name``."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import traceback
from types import ModuleType
from typing import Any

from xframe.errors import UsageError, Verbatim, unknown
from xframe.tasks.task import Task

BUILT_IN = ("digits-mlp", "digits-cnn", "rows-lstm", "tiny-transformer", "diabetes-regression", "ledger")


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
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module in the current folder, as python -m finds it
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


def _import(name: str) -> ModuleType:
    """The user's module; what it prints goes to stderr, and however it fails, the error names it."""
    try:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ModuleNotFoundError(name=name)
        with contextlib.redirect_stdout(sys.stderr):
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
    where = f" ({places[-1].filename}, line {places[-1].lineno})" if len(places) > 1 else ""
    raise UsageError(
        f"the task's module {name!r} cannot be imported",
        got=Verbatim(f"{type(problem).__name__}: {problem}{where}"),
        expected="a module that imports without an error",
    ) from problem


def _takes_nothing(value: Any) -> bool:
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):  # not callable, or not without arguments
        return False
    return True

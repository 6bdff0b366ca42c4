"""Scripts run by processes that are forked from one that has imported what they import.

An import of TensorFlow costs more than most of the trainings here. Each script still runs in a process of its own,
which holds nothing but the imported modules: nothing was computed with them before the fork.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Forks:
    """A process that has imported modules, and forks one that runs a script, each time that it is asked."""

    def __init__(self, modules: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.errors = tempfile.NamedTemporaryFile("r")  # noqa: SIM115  closed with the process
        self.process = subprocess.Popen(
            [sys.executable, __file__, self.errors.name, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def run(self, *tokens: str) -> subprocess.CompletedProcess[str]:
        """Runs ``python *tokens``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(tokens) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline() or "1")
        return subprocess.CompletedProcess(tokens, code, "", Path(self.errors.name).read_text())

    def close(self) -> None:
        self.process.communicate()
        self.errors.close()


# Imported when these are first called, and as costly as torch.
LATER = {"torch.optim": "torch._dynamo", "torch.compile": "torch._inductor.compile_fx"}


def imported(script: str) -> tuple[str, ...]:
    """The modules that the script's text imports, and those that the framework will."""
    text = Path(script).read_text()
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    names |= {module for call, module in LATER.items() if call in text}
    return tuple(sorted(names - {"sys"}))


@contextmanager
def running() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Inside, what it yields runs a script as ``observing.run_script`` does, with a parent for all of like imports."""
    parents: dict[tuple[str, ...], Forks] = {}

    def run(script: str, *tokens: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        modules = imported(script)
        if modules not in parents:
            parents[modules] = Forks(modules, environment)
        return parents[modules].run(script, *tokens)

    try:
        yield run
    finally:
        for parent in parents.values():
            parent.close()


def _serve(errors: str, modules: list[str]) -> None:
    gc.disable()
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # what is imported stays, and would be copied by each fork that looks at it
    gc.enable()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be_the_script(json.loads(line), errors)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _be_the_script(tokens: list[str], errors: str) -> None:
    """In a forked process, which ends with the script."""
    code = 1
    try:
        sys.stdin.close()
        number = os.open(errors, os.O_WRONLY | os.O_TRUNC)
        os.dup2(number, 1)
        os.dup2(number, 2)
        sys.stderr = os.fdopen(2, "w")
        sys.argv, sys.path[0] = tokens, str(Path(tokens[0]).parent)
        runpy.run_path(tokens[0], run_name="__main__")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2:])

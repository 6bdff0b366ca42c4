"""The worker: the child process in which one adapter trains. Started by the harness.

It reads its configuration and then the word to go, each a JSON line on standard input, and reports
by JSON lines on the pipe whose number it was given. When standard input ends, the harness is gone,
and the worker stops too.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, XframeError
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.task import find_task

_BEGAN = time.monotonic()


class Pipe:
    """The way back to the harness: JSON lines on a file of that number."""

    def __init__(self, number: int) -> None:
        self._file = os.fdopen(number, "wb", buffering=0)

    def send(self, **message: Any) -> None:
        self._file.write(json.dumps(message).encode() + b"\n")


def main(number: int) -> int:
    pipe = Pipe(number)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop: leave by KeyboardInterrupt
    try:
        _train(pipe, json.loads(sys.stdin.readline()))
    except KeyboardInterrupt:
        return 130
    except _ToldError as told:
        traceback.print_exc()
        pipe.send(error=told.message)
        return 3
    except XframeError as error:
        traceback.print_exc()
        kind = "usage" if isinstance(error, UsageError) else "failed"
        pipe.send(error={"kind": kind, "text": str(error)})
        return error.exit_code
    except BaseException as error:
        traceback.print_exc()
        pipe.send(error={"kind": "failed", "text": f"{type(error).__name__}: {error}"})
        return 3
    return 0


class _ToldError(Exception):
    """Ends the worker with a message for the harness."""

    def __init__(self, kind: str, text: str, **more: str) -> None:
        super().__init__(text)
        self.message = {"kind": kind, "text": text, **more}


def _train(pipe: Pipe, config: dict[str, Any]) -> None:
    adapter = registry.load(config["adapter"])
    for module in adapter.requires:
        if importlib.util.find_spec(module) is None:
            raise _ToldError("missing", f"no module {module!r} for {sys.executable}", install=adapter.install)
    try:
        probe = adapter.probe()
    except Exception as error:
        raise _ToldError("broken", f"{type(error).__name__}: {error}") from error
    pipe.send(devices=probe.devices, versions=probe.versions)

    # What needs no answer from the harness is done while it waits for the other workers.
    from xframe.recording.recorder import record

    plan = TrainingPlan.from_mapping(config["plan"])
    task = find_task(config["task"])
    facts = {
        "label": config["label"],
        "adapter": config["adapter"],
        "loop": config["loop"] or adapter.loops[0],
        "task": task.name,
        "num_validation": task.num_validation,
        **task.fingerprints(),
    }
    go = sys.stdin.readline()
    if not go:
        raise KeyboardInterrupt
    threading.Thread(target=_leave_with_harness, daemon=True).start()
    runtime = Runtime.from_dict({**config["runtime"], **json.loads(go)["go"], "loop": facts["loop"]})
    facts["runtime"] = runtime.to_dict()
    setup = time.monotonic() - _BEGAN
    with record(config["trace"], plan=plan, num_samples=task.num_samples, metadata=facts) as recorder:
        recorder.on_flush = lambda steps, epoch, loss: pipe.send(steps=steps, epoch=epoch, loss=loss)
        recorder.weights(adapter.run(plan, task, runtime, recorder))
    pipe.send(done={"steps": recorder.num_steps, "setup_seconds": setup, "peak_memory": peak_memory()})


def peak_memory() -> int | None:
    """The most memory this process has held, in bytes; None where the system does not say."""
    # Not ru_maxrss where there is another: on Linux a child begins with its parent's.
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # the BSDs count in KiB


def _leave_with_harness() -> None:
    # Not sys.stdin.read(): a process forked while that waits, as a DataLoader's are, would inherit its lock taken.
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    code = main(int(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # A framework's own teardown can crash or hang after all is written; nothing is left for it to do.
    os._exit(code)

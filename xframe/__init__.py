"""xframe: were two training runs the same run?

    plan = xframe.TrainingPlan(batch_size=64, epochs=3, remainder="keep")
    comparison = xframe.verify(plan, task="digits-mlp", adapters=("torch", "tensorflow"))
    assert comparison, comparison

Nothing heavy is imported before it is asked for. The rooms (packages), each of which imports only those before it,
which ``make lint`` checks:

    errors.py, tables.py, precision.py   what every room may use
    plan          what should happen
    files         how files are made and how much one may ask of its reader
    state         a training's whole state, and its file
    trace         what was seen, and its forms on disk
    tasks         what is computed; layers.py, losses.py, optimizers.py and schedule.py forward to it
    recording     taking what is seen
    inference     which plan the rows follow
    running       doing it natively: adapters, what steers their loops, the processes they run in
    comparison    is it the same
    diagnosis     why not
    report        how results read
    verification.py   run, compare, explain and write the reports; handing_over.py: runs that another adapter finishes;
                  launched.py: runs whose replicas a launcher has started
    testing       the pytest plugin, the adapters' contract suite, known faults, the self-test
    bench         what loops cost per step
    sweep         many trials of one file
    translate     an optimizer, loss, schedule or layer as another framework writes it
    cli           the command line

What never changes, and is tested: sample orders (``plan.order``), plan digests (``plan.equivalence``), certificates and
trace format 1 (FORMAT.md), exit codes (``errors``), and in JSON the keys and the names of checks and causes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe.comparison.goldens.blessing import bless
    from xframe.comparison.result import Comparison
    from xframe.errors import PlanError, StateError, TraceError, UsageError, WorkerError, XframeError
    from xframe.plan.training_plan import TrainingPlan
    from xframe.recording.attach.watching import watch
    from xframe.recording.recorder import Recorder, record
    from xframe.running.runtime import Runtime
    from xframe.running.samplers import index_dataset, sampler
    from xframe.running.states import read_state, write_state
    from xframe.state.state import State
    from xframe.tasks.builders import NativeModel, Parameter
    from xframe.tasks.data import ParquetSource
    from xframe.tasks.layers import Dense
    from xframe.tasks.optimizers import SGD
    from xframe.tasks.task import Task
    from xframe.trace.trace import Trace
    from xframe.verification import compare, verify

_NAMES = {  # by module
    "comparison.goldens.blessing": ("bless",),
    "comparison.result": ("Comparison",),
    "errors": ("PlanError", "StateError", "TraceError", "UsageError", "WorkerError", "XframeError"),
    "plan.training_plan": ("TrainingPlan",),
    "recording.attach.watching": ("watch",),
    "recording.recorder": ("Recorder", "record"),
    "running.runtime": ("Runtime",),
    "running.samplers": ("index_dataset", "sampler"),
    "running.states": ("read_state", "write_state"),
    "state.state": ("State",),
    "tasks.builders": ("NativeModel", "Parameter"),
    "tasks.data": ("ParquetSource",),
    "tasks.layers": ("Dense",),
    "tasks.optimizers": ("SGD",),
    "tasks.task": ("Task",),
    "trace.trace": ("Trace",),
    "verification": ("compare", "verify"),
}
_WHERE = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = ("layers", "losses", "optimizers", "schedule")
__version__ = "0.1.0"
__all__ = [
    "SGD",
    "Comparison",
    "Dense",
    "NativeModel",
    "Parameter",
    "ParquetSource",
    "PlanError",
    "Recorder",
    "Runtime",
    "State",
    "StateError",
    "Task",
    "Trace",
    "TraceError",
    "TrainingPlan",
    "UsageError",
    "WorkerError",
    "XframeError",
    "bless",
    "compare",
    "index_dataset",
    "read_state",
    "record",
    "sampler",
    "verify",
    "watch",
    "write_state",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _WHERE:
        # Classes alone have a home to be asked for: whoever looks for anything else imports nothing.
        homes = [importlib.import_module(f"{__name__}.{home}") for home in _MODULES if name[:1].isupper()]
        hints = [f"{home.__name__}.{name}" for home in homes if name in getattr(home, "__all__", ())]
        hint = f": it is {' or '.join(hints)}" if hints else ""
        raise AttributeError(f"module 'xframe' has no attribute {name!r}{hint}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

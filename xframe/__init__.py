"""xframe: were two training runs the same run?

    plan = xframe.TrainingPlan(batch_size=64, epochs=3, remainder="keep")
    comparison = xframe.verify(plan, task="digits-mlp", adapters=("torch", "tensorflow"))
    assert comparison, comparison

Nothing heavy is imported before it is asked for. The rooms, each of which may import only those above it:

    plan         what should happen                    tasks      what is computed
    trace        what was seen, on disk                recording  taking what is seen
    inference    which plan the rows follow            running    doing it natively: adapters, processes
    comparison   is it the same                        diagnosis  why not
    report       how results read                      verification.py  run, compare, explain, write
    testing      the pytest plugin, the adapters' contract suite, known faults, the self-proof
    bench, cli   measuring loops; the command line
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe.comparison.result import Comparison
    from xframe.errors import PlanError, TraceError, UsageError, WorkerError, XframeError
    from xframe.plan.training_plan import TrainingPlan
    from xframe.recording.recorder import Recorder, record
    from xframe.running.runtime import Runtime
    from xframe.running.samplers import index_dataset, sampler
    from xframe.tasks.builders import NativeModel, Parameter
    from xframe.tasks.data import ParquetSource
    from xframe.tasks.layers import Dense
    from xframe.tasks.optimizers import SGD
    from xframe.tasks.task import Task
    from xframe.trace.trace import Trace
    from xframe.verification import compare, verify

_WHERE = {
    "Comparison": "comparison.result",
    "Dense": "tasks.layers",
    "NativeModel": "tasks.builders",
    "Parameter": "tasks.builders",
    "ParquetSource": "tasks.data",
    "PlanError": "errors",
    "Recorder": "recording.recorder",
    "Runtime": "running.runtime",
    "SGD": "tasks.optimizers",
    "Task": "tasks.task",
    "Trace": "trace.trace",
    "TraceError": "errors",
    "TrainingPlan": "plan.training_plan",
    "UsageError": "errors",
    "WorkerError": "errors",
    "XframeError": "errors",
    "compare": "verification",
    "index_dataset": "running.samplers",
    "record": "recording.recorder",
    "sampler": "running.samplers",
    "verify": "verification",
}
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
    "Task",
    "Trace",
    "TraceError",
    "TrainingPlan",
    "UsageError",
    "WorkerError",
    "XframeError",
    "compare",
    "index_dataset",
    "record",
    "sampler",
    "verify",
]


_MODULES = ("layers", "schedule")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'xframe' has no attribute {name!r}")

    module = importlib.import_module(f"xframe.{_WHERE[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

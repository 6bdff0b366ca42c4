"""xframe: were two training runs the same run?

    plan = xframe.TrainingPlan(batch_size=64, epochs=3, remainder="keep")
    comparison = xframe.verify(plan, task="digits-mlp", adapters=("torch", "tensorflow"))
    assert comparison, comparison

Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe.comparison import Comparison
    from xframe.diagnose import compare
    from xframe.errors import PlanError, TraceError, UsageError, WorkerError, XframeError
    from xframe.harness import verify
    from xframe.layers import Dense
    from xframe.plan import TrainingPlan
    from xframe.recorder import Recorder, record
    from xframe.runtime import Runtime
    from xframe.sharing import index_dataset, sampler
    from xframe.source import ParquetSource
    from xframe.task import SGD, NativeModel, Parameter, Task
    from xframe.trace import Trace

_WHERE = {
    "Comparison": "comparison",
    "Dense": "layers",
    "NativeModel": "task",
    "Parameter": "task",
    "ParquetSource": "source",
    "PlanError": "errors",
    "Recorder": "recorder",
    "Runtime": "runtime",
    "SGD": "task",
    "Task": "task",
    "Trace": "trace",
    "TraceError": "errors",
    "TrainingPlan": "plan",
    "UsageError": "errors",
    "WorkerError": "errors",
    "XframeError": "errors",
    "compare": "diagnose",
    "index_dataset": "sharing",
    "record": "recorder",
    "sampler": "sharing",
    "verify": "harness",
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

"""The pytest plugin, loaded in every session where xframe is installed: assertions on training runs.

    from xframe.testing import assert_same_training

    def test_the_port_trains_alike():
        assert_same_training("keras.trace", "torch.trace")

    def test_both_frameworks(xframe_verify):
        xframe_verify(xframe.TrainingPlan(batch_size=64, epochs=3), task="mytask:task")

- ``assert_same_training`` compares traces and fails with the report that the terminal would show.
- ``assert_matches_golden`` compares a trace with a golden that ``xframe bless`` made and that is kept beside the tests.
  ``pytest --xframe-bless "why"`` makes the goldens that are missing and renews those that no longer match.
- ``xframe_verify``, a fixture, runs a plan through adapters, as ``xframe.verify`` does, in the test's tmp_path.
- ``@pytest.mark.xframe(adapters=..., task=..., device=..., precision=...)`` on a test, class or module gives
  ``xframe_verify`` its defaults there. Before the marker counts what the call itself says; after it come the
  command line's ``--xframe-adapters torch,tensorflow:fit`` and ``--xframe-device``, the ini options
  ``xframe_adapters`` and ``xframe_device``, and xframe's own defaults.
- ``@pytest.mark.cuda``: skipped, with the reason, where no CUDA device is; ``--xframe-require-cuda`` makes that
  an error, for machines that must have one. A project that registers a marker ``cuda`` itself keeps its meaning.
- A failing test that holds a comparison, as ``assert comparison`` does, shows the comparison's whole report.

What must hold: loading it imports pytest and nothing else that is heavy, and no framework is ever imported in
pytest's own process on its account. An adapter that was asked for and is not there fails the test. A run that
cannot be judged fails too: a test that compared nothing must not be green.
"""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xframe.comparison.result import Comparison
    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.trace import Trace

_MARKED = ("adapters", "task", "device", "precision")
_DEVICES = ("auto", "cpu", "cuda")
_BLESS = "XFRAME_BLESS"  # the reason for which goldens are renewed, in the session's environment
_OWNS_CUDA = pytest.StashKey[bool]()
_BLESSING = pytest.StashKey[pytest.MonkeyPatch]()
_COUNT = """
import ctypes
cuda = ctypes.CDLL("nvcuda.dll" if __import__("os").name == "nt" else "libcuda.so.1")
count = ctypes.c_int()
print(0 if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) else count.value)
"""


def assert_same_training(
    reference: Trace | str | os.PathLike[str],
    candidate: Trace | str | os.PathLike[str],
    *more: Trace | str | os.PathLike[str],
    order: str = "exact",
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
) -> Comparison:
    """Fails unless the runs are shown to be the same; returns the comparison.

    Args:
        reference: a trace or its file.
        candidate, more: the traces compared with it.
        order, plan, num_samples, rtol, atol: as in ``xframe.compare``.

    Raises:
        AssertionError: the runs differ, or could not be judged; its text is the terminal's report.
        UsageError, TraceError: there is nothing to compare, or a file is no whole trace.
    """
    __tracebackhide__ = True
    from xframe.errors import UsageError
    from xframe.trace.trace import Trace
    from xframe.verification import compare

    runs: list[Trace | Path] = [run if isinstance(run, Trace) else Path(run) for run in (reference, candidate, *more)]
    places = [(run.path if isinstance(run, Trace) else run).resolve() for run in runs]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise UsageError("a trace is compared with itself", got=str(place), expected="different files")
    return _passed(lambda: compare(*runs, order=order, plan=plan, num_samples=num_samples, rtol=rtol, atol=atol))


def assert_matches_golden(
    trace: Trace | str | os.PathLike[str],
    golden: str | os.PathLike[str],
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> Comparison:
    """Fails unless the run does what the golden says; returns the comparison.

    Under ``pytest --xframe-bless "why"`` a golden that is missing or does not match is made of the trace instead.

    Args:
        trace: a trace or its file.
        golden: the file that ``xframe bless`` made.
        rtol, atol: tolerance of its numbers, both or neither; default: the golden's own.

    Raises:
        AssertionError: the run differs, or could not be judged; its text is the terminal's report.
        UsageError, TraceError: a file is missing, or damaged.
    """
    __tracebackhide__ = True
    run, path = Path(trace) if isinstance(trace, (str, os.PathLike)) else trace, Path(golden)
    if (why := os.environ.get(_BLESS)) is not None:
        _renew(path, run, why, rtol, atol)
    return _passed(lambda: _held(path, run, rtol, atol))


def _held(golden: Path, run: Trace | Path, rtol: float | None, atol: float | None) -> Comparison:
    """The run compared with the golden, whatever the file is called."""
    from xframe.comparison.goldens.golden import Golden
    from xframe.comparison.goldens.holding import hold
    from xframe.comparison.result import Tolerance
    from xframe.trace.trace import Trace

    opened = run if isinstance(run, Trace) else Trace.open(run)
    return hold(Golden.open(golden), [opened], Tolerance.given(rtol, atol))


def _renew(golden: Path, run: Trace | Path, why: str, rtol: float | None, atol: float | None) -> None:
    """Makes the golden of the run, unless the run matches the one that is there."""
    from xframe.comparison.goldens.blessing import bless
    from xframe.errors import TraceError

    with suppress(TraceError):  # the golden is missing or damaged; what is wrong with the trace bless says
        if _held(golden, run, rtol, atol):
            return
    bless(run, golden, why=why, rtol=rtol, atol=atol, replace=True)


def _passed(compared: Callable[[], Comparison]) -> Comparison:
    """The comparison; fails with the report unless it passed."""
    __tracebackhide__ = True
    from xframe.errors import XframeError

    try:
        comparison = compared()
    except XframeError as error:
        raise error.with_traceback(None) from None  # its text is complete
    if not comparison:
        raise AssertionError(_report(comparison))
    return comparison


def _report(comparison: Comparison) -> str:
    """The terminal's report, with a word on why a run that cannot be judged fails a test."""
    from xframe.report.text import text

    report = text(comparison)
    if comparison.verdict != "inconclusive":
        return report
    return (
        "the runs could not be judged: nothing shows that they differ, and nothing shows that they are the same. "
        f"A test asks for proof.\n{report}"
    )


class XframeVerify:
    """What the fixture ``xframe_verify`` gives: runs plans in the test's tmp_path, where traces and reports stay."""

    def __init__(self, config: pytest.Config, marked: dict[str, Any], folder: Path) -> None:
        self._config, self._marked, self._folder = config, marked, folder
        self._calls = itertools.count(1)

    def __call__(
        self,
        plan: TrainingPlan,
        *,
        task: str | None = None,
        adapters: str | tuple[str, ...] | list[str] | None = None,
        device: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
        tf32: bool = False,
        python: Mapping[str, str] | None = None,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> Comparison:
        """Runs the plan through the adapters and fails unless the runs are the same; returns the comparison.

        The arguments are those of ``xframe.verify``.
        """
        __tracebackhide__ = True
        from xframe import verification
        from xframe.running.request import DEFAULT_ADAPTERS, DEFAULT_TASK

        marked, config = self._marked, self._config
        asked = _first(task, marked.get("task"), DEFAULT_TASK)
        chosen = _first(adapters, marked.get("adapters"), *_configured(config, "adapters"), DEFAULT_ADAPTERS)
        with _importable_by_workers(asked):
            return _passed(
                lambda: verification.verify(
                    plan,
                    task=asked,
                    adapters=chosen,
                    device=_first(device, marked.get("device"), *_configured(config, "device"), "auto"),
                    precision=_first(precision, marked.get("precision"), "float32"),
                    threads=threads,
                    tf32=tf32,
                    python=python,
                    out=self._folder / f"xframe-{next(self._calls)}",
                    rtol=rtol,
                    atol=atol,
                )
            )


@pytest.fixture
def xframe_verify(request: pytest.FixtureRequest, tmp_path: Path) -> XframeVerify:
    """Runs a plan through adapters in tmp_path and fails unless they trained alike: xframe_verify(plan, task=...)."""
    return XframeVerify(request.config, _marked(request), tmp_path)


def _first(*values: Any) -> Any:
    """The first that was given; what was given empty counts, so that it is refused and not replaced."""
    return next((value for value in values if value is not None), None)


def _configured(config: pytest.Config, name: str) -> tuple[str | None, str | None]:
    """What the command line and the ini file set; an ini option that is not there is an empty text."""
    return config.getoption(f"xframe_{name}"), config.getini(f"xframe_{name}") or None


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the markers say, the nearest first."""
    from xframe.errors import UsageError, unknown

    values: dict[str, Any] = {}
    for marker in request.node.iter_markers("xframe"):
        if marker.args:
            raise UsageError("the marker xframe", got=marker.args, expected="arguments by name: " + ", ".join(_MARKED))
        for name, value in marker.kwargs.items():
            if name not in _MARKED:
                raise unknown("argument of the marker xframe", name, _MARKED)
            values.setdefault(name, value)
    return values


@contextmanager
def _importable_by_workers(task: str) -> Iterator[None]:
    """While inside, a worker finds the module of a task that only pytest's own sys.path leads to."""
    import importlib.util

    module = task.partition(":")[0].partition(".")[0] if ":" in task else ""
    try:
        spec = importlib.util.find_spec(module) if module.isidentifier() else None
    except (ImportError, ValueError):  # it has no spec, as __main__
        spec = None
    if spec is None or not spec.origin:
        yield  # no such module: the harness says so
        return
    folder = Path(spec.origin).parent.parent if spec.submodule_search_locations else Path(spec.origin).parent
    if folder.name in ("site-packages", "dist-packages"):
        yield  # installed: a worker with an interpreter of its own must not get this one's packages
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the command line and of the ini file."""
    group = parser.getgroup("xframe", "xframe: comparing training runs")
    group.addoption(
        "--xframe-adapters",
        metavar="A,B",
        help="adapters that xframe_verify runs, each with a loop after a colon if need be: torch,tensorflow:fit",
    )
    group.addoption("--xframe-device", choices=_DEVICES, help="device that xframe_verify trains on")
    group.addoption(
        "--xframe-require-cuda", action="store_true", help="tests marked cuda fail, and are not skipped, without one"
    )
    group.addoption(
        "--xframe-bless", metavar="WHY", help="make or renew the goldens of assert_matches_golden, for this reason"
    )
    parser.addini("xframe_adapters", "default of --xframe-adapters", default="")
    parser.addini("xframe_device", "default of --xframe-device", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers; ``cuda`` only where the project has none of its own."""
    if config.getini("xframe_device") not in ("", *_DEVICES):
        raise pytest.UsageError(
            f"ini option xframe_device: got {config.getini('xframe_device')!r}, expected one of {', '.join(_DEVICES)}"
        )
    if config.getoption("xframe_bless") is not None:
        config.stash[_BLESSING] = patch = pytest.MonkeyPatch()
        patch.setenv(_BLESS, config.getoption("xframe_bless"))
    own = any(line.partition(":")[0].partition("(")[0].strip() == "cuda" for line in config.getini("markers"))
    config.stash[_OWNS_CUDA] = not own
    arguments = ", ".join(f"{name}=..." for name in _MARKED)
    config.addinivalue_line("markers", f"xframe({arguments}): what xframe_verify does unless its call says otherwise")
    if not own:
        config.addinivalue_line("markers", "cuda: needs a CUDA device; skipped with the reason where none is")


def pytest_unconfigure(config: pytest.Config) -> None:
    """What was set for the session goes with it."""
    if (patch := config.stash.get(_BLESSING, None)) is not None:
        patch.undo()


def pytest_report_header(config: pytest.Config) -> str:
    """xframe's version, and what is set for it."""
    from xframe import __version__

    configured = {name: _first(*_configured(config, name)) for name in ("adapters", "device")}
    return ", ".join([f"xframe: {__version__}", *(f"{name} {value}" for name, value in configured.items() if value)])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips tests marked ``cuda`` without a device, or fails them if one is required."""
    if item.config.stash.get(_OWNS_CUDA, False) and item.get_closest_marker("cuda") and (why := _no_cuda()):
        if item.config.getoption("xframe_require_cuda"):
            pytest.fail(f"--xframe-require-cuda, and {why}", pytrace=False)
        pytest.skip(why)


@functools.cache
def _no_cuda() -> str:
    """Why there is no CUDA device; empty if there is one.

    The driver is asked, so no framework is needed, and in a process of its own: one that has initialised CUDA
    can't fork children that use it.
    """
    done = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True, check=False)
    if done.returncode:
        return "no CUDA device here: the driver is not installed"
    return "" if done.stdout.strip() not in ("", "0") else "no CUDA device here: the driver finds none"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows the whole report of each comparison that a failing test holds."""
    report = yield
    for i, comparison in enumerate(_comparisons(call)):
        report.sections.append((f"xframe comparison{f' {i + 1}' if i else ''}", _report(comparison)))
    return report


def _comparisons(call: pytest.CallInfo[None]) -> list[Comparison]:
    """The comparisons that did not pass, in the frame that raised; pytest itself would show a line of each."""
    module = sys.modules.get("xframe.comparison.result")
    raised = call.excinfo
    if module is None or raised is None or not raised.errisinstance(AssertionError) or not raised.traceback:
        return []
    frame = raised.traceback[-1].frame
    if frame.f_globals.get("__name__") == __name__:  # it is in the message already
        return []
    held = {id(value): value for value in frame.f_locals.values() if isinstance(value, module.Comparison)}
    return [value for value in held.values() if not value]

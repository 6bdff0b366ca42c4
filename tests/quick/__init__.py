"""``make quick``: the unit tests that need no framework, as the first answer while working.

Which these are is written down nowhere, so that it cannot be wrong: with ``--quick`` no framework can be imported, by
pytest or by a process that a test starts, and a test that fails after it asked for one is skipped. Tests that take
seconds are marked ``thorough`` and left out.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quick.refusing import ASKED, FRAMEWORKS, refuse


class Quick:
    """The pytest plugin. Who asks for a framework, in whatever process, leaves its name in a file."""

    def __init__(self) -> None:
        number, name = tempfile.mkstemp(prefix="xframe-quick-")
        os.close(number)
        self.file = Path(name)
        self.without: set[str] = set()  # modules one of whose fixtures needs a framework
        os.environ[ASKED] = name
        path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        refuse()

    def asked(self) -> list[str]:
        """The frameworks that were asked for since the last test."""
        names = sorted(set(self.file.read_text().split()))
        self.file.write_text("")
        return names

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        self.asked()
        report = yield
        names = self.asked()
        if report.failed and names:
            report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"needs {', '.join(names)}")
        return report

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        thorough = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if item not in thorough]

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.asked()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
        report = yield
        names = self.asked() if report.failed else []
        if names and report.when == "setup":
            self.without.add(report.fspath)
        if names or (report.failed and report.when == "setup" and report.fspath in self.without):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"needs {', '.join(names) or 'a framework'}")
        elif loaded := [name for name in FRAMEWORKS if name in sys.modules]:
            report.outcome, report.longrepr = "failed", f"{', '.join(loaded)} is loaded in spite of --quick"
        return report

    def pytest_unconfigure(self) -> None:
        self.file.unlink(missing_ok=True)

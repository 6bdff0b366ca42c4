"""MLflow: one run in a SQLite database, which ``mlflow ui --backend-store-uri sqlite:///FILE`` shows.

A database that is there gets one run more, so that runs stand side by side. Nothing is sent anywhere.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, Verbatim, printable
from xframe.files.limits import opened
from xframe.report.exports.export import COMPUTED, Export

EXPERIMENT = "xframe"
_HEAD = b"SQLite format 3\x00"
_METRICS_AT_ONCE, _PARAMS_AT_ONCE = 1000, 100  # as MLflow takes them
_NOISY = ("mlflow", "alembic")  # they tell of each table that a new database gets


class MlflowExport(Export):
    """A run of the experiment ``xframe``: parameters are what was set, metrics the losses and rates of each step."""

    form, extra, states_ending = "mlflow", "mlflow", True

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers."""
        return tuple(name for name in COMPUTED if name in super(MlflowExport, self).columns)

    @classmethod
    def adds_to(cls, path: Path) -> bool:
        """Whether a database is there."""
        try:
            with opened(path) as file:
                return file.read(len(_HEAD)) == _HEAD
        except OSError:
            return False

    def write(self, path: Path) -> None:
        """Adds the run; one that fails is taken out again."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            import alembic  # noqa: F401
            import sqlalchemy  # noqa: F401
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise self.missing(error) from None
        with _quiet():
            try:
                client = MlflowClient(tracking_uri=f"sqlite:///{path.resolve()}")
                found = client.get_experiment_by_name(EXPERIMENT)
                artifacts = path.resolve().with_name(f"{path.name}-artifacts").as_uri()
                experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, artifacts)
                began = round(1000 * self.began)
                run = client.create_run(experiment, start_time=began, run_name=self.trace.name).info.run_id
                try:
                    self._log(client, run)
                except BaseException:
                    client.delete_run(run)
                    raise
            except MlflowException as error:
                why = Verbatim(printable(error)[:300])
                raise UsageError(
                    "MLflow did not take the run", got=why, expected=f"a database of its own: {path}"
                ) from None

    def _log(self, client: Any, run: str) -> None:
        from mlflow.entities import Metric, Param, RunTag

        facts: dict[str, str] = {}
        for name, value in self.facts().items():
            name = re.sub(r"[^\w.\- ]", "_", name)
            while name in facts:
                name += "_"
            facts[name] = value
        params = [Param(name, value) for name, value in facts.items()]
        for start in range(0, len(params), _PARAMS_AT_ONCE):
            client.log_batch(run, params=params[start : start + _PARAMS_AT_ONCE])
        stated = {"certificate": self.trace.certificate, "ending": self.trace.ending}
        client.log_batch(run, tags=[RunTag(f"xframe.{name}", printable(value)[:500]) for name, value in stated.items()])
        waiting, last = [], self.began
        for name, number, time, step in self._metrics():
            waiting.append(Metric(name, number, round(1000 * time), step))
            last = max(last, time)
            if len(waiting) == _METRICS_AT_ONCE:
                client.log_batch(run, metrics=waiting)
                waiting = []
        client.log_batch(run, metrics=waiting)
        client.set_terminated(run, "FINISHED" if self.trace.complete else "FAILED", end_time=round(1000 * last))

    def _metrics(self) -> Iterator[tuple[str, float, float, int]]:
        """Name, number, time and step of each."""
        for step, time, numbers in self.numbers(self.columns):
            for name, number in numbers.items():
                yield name, number, time, step
        for step, time, results in self.validated():
            for name, number in results.items():
                yield name, number, time, step


@contextmanager
def _quiet() -> Iterator[None]:
    """While inside, nothing is said of the tables that are made."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

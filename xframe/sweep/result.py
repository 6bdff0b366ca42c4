"""What a sweep found: whether all trials ran, whether those of one plan were the same run, and how that reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from xframe import tables
from xframe.errors import counted, printable
from xframe.sweep.grid import Trial

_BESIDE = ("adapter", "device", "threads", "tf32", "workers")  # settings that must not change what is done
_SHORT = 12  # characters of a certificate, its xf1- among them
_MOST = 10  # trials that failed, or plans that differ, that the text lists
_PRINTS = {"data_fingerprint": "data", "weights_fingerprint": "starting weights"}


@dataclass(frozen=True)
class Difference:
    """Trials of one plan, task and precision that were not the same run."""

    words: str  # which plan
    rows: tuple[Mapping[str, Any], ...]  # of all of its trials that ran

    def text(self, folder: Path) -> str:
        """In one line, with the command that shows why if there are traces."""
        shown = (f"{row['adapter']} {row['certificate'][:_SHORT]}" for row in self.rows)
        first, other = self.pair
        files = [folder / "trials" / f"{row['trial']}.trace" for row in (first, other)]
        command = f"  xframe compare {files[0]} {files[1]}" if all(file.exists() for file in files) else ""
        return f"{self.words}: {', '.join(shown)}{command}"

    @property
    def pair(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The first trial and the first that differs from it."""
        first = self.rows[0]
        return first, next(row for row in self.rows if row["certificate"] != first["certificate"])


@dataclass(frozen=True)
class SweepResult:
    """All trials of a sweep, done.

    Attributes:
        folder: the sweep's; ``table`` is the Parquet file in it.
        trials: in order.
        rows: of each, all columns of ``xframe.sweep.table``.
        before: how many were done before.
        leftover: trials that are done in that folder and no longer in the file.
    """

    folder: Path
    table: Path
    trials: tuple[Trial, ...]
    rows: tuple[Mapping[str, Any], ...]
    before: int = 0
    leftover: tuple[str, ...] = ()

    @cached_property
    def groups(self) -> list[Difference]:
        """The trials that ran, those of one plan, task and precision together, where there are several."""
        groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in self.rows:
            if row["outcome"] == "ok":
                groups.setdefault((row["plan_digest"], row["task"], row["precision"]), []).append(row)
        varied = {trial.id: trial.varied for trial in self.trials}
        return [
            Difference(self._words(varied[rows[0]["trial"]], rows[0]), tuple(rows))
            for rows in groups.values()
            if rows[1:]
        ]

    @staticmethod
    def _words(varied: Mapping[str, Any], row: Mapping[str, Any]) -> str:
        shown = [f"{name} {value}" for name, value in varied.items() if name not in _BESIDE]
        return ", ".join(shown) or f"plan {row['plan_digest'][:_SHORT]}"

    @property
    def differences(self) -> list[Difference]:
        """The groups whose certificates are not all equal."""
        return [group for group in self.groups if len({row["certificate"] for row in group.rows}) > 1]

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """The rows of trials that did not run to their end."""
        return [row for row in self.rows if row["outcome"] != "ok"]

    @property
    def exit_code(self) -> int:
        """1 if trials of one plan differ, else 3 if some trial failed, else 0."""
        return 1 if self.differences else 3 if self.failed else 0

    def notes(self) -> list[str]:
        """What made the rows unlike each other beside what the file says."""
        notes = []
        versions: dict[str, set[str]] = {}
        for row in self.rows:
            for name, version in json.loads(row["versions"] or "{}").items():
                versions.setdefault(name, set()).add(version)
        for name, found in sorted(versions.items()):
            if len(found) > 1:
                notes.append(f"trials ran with different versions of {name}: {', '.join(sorted(found))}")
        for column, what in _PRINTS.items():
            prints: dict[str, set[str]] = {}
            for row in self.rows:
                if row[column] is not None:
                    prints.setdefault(f"{row['task']} in {row['precision']}", set()).add(row[column])
            notes += [
                f"the {what} of task {name} changed between trials"
                for name, each in prints.items()
                if each - {next(iter(each))}
            ]
        return notes

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        outcomes = [row["outcome"] for row in self.rows]
        return {
            "folder": str(self.folder),
            "table": str(self.table),
            "trials": len(self.rows),
            **{name: outcomes.count(name) for name in ("ok", "failed", "timeout")},
            "done_before": self.before,
            "agree": not self.differences if self.groups else None,
            "compared": len(self.groups),
            "differences": [
                {"plan": one.words, "certificates": {row["trial"]: row["certificate"] for row in one.rows}}
                for one in self.differences
            ],
            "by_adapter": self.by_adapter(),
            "notes": self.notes(),
            "rows": [dict(row) for row in self.rows],
        }

    def by_adapter(self) -> dict[str, dict[str, Any]]:
        """Of each adapter: trials, how many ran, how many of them equal the first of their plan, median seconds."""
        found: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys(row["adapter"] for row in self.rows):
            own = [row for row in self.rows if row["adapter"] == name]
            ran = [row for row in own if row["outcome"] == "ok"]
            beside = [(row, group.rows[0]) for group in self.groups for row in group.rows if row["adapter"] == name]
            found[name] = {
                "trials": len(own),
                "ok": len(ran),
                "compared": len(beside),
                "equal": sum(row["certificate"] == first["certificate"] for row, first in beside),
                "median_seconds": median(row["seconds"] for row in ran) if ran else None,
            }
        return found

    def text(self) -> str:
        """The summary."""
        head = ["adapter", "ran", "certificates", "median time"]
        rows = [head]
        for name, one in self.by_adapter().items():
            same = (
                f"{one['equal']} of {one['compared']} equal the first of their plan"
                if one["compared"]
                else "nothing to compare with"
            )
            seconds = "" if one["median_seconds"] is None else f"{one['median_seconds']:.1f} s"
            rows.append([name, f"{one['ok']} of {one['trials']}", same, seconds])
        lines = [*tables.plain(rows, indent=2), ""]
        if differences := self.differences:
            lines.append(f"Not the same run in {counted(len(differences), 'plan')} of {len(self.groups)}:")
            lines += _listed([one.text(self.folder) for one in differences])
        if self.failed:
            lines.append(f"{counted(len(self.failed), 'trial')} did not run to the end:")
            words = {trial.id: trial.words for trial in self.trials}
            lines += _listed(
                [f"{words[row['trial']]}: {row['error']}  {self._log(row)}".rstrip() for row in self.failed]
            )
            lines.append("  --retry runs them again; the column command has each one's own.")
        lines += [f"note: {note}" for note in self.notes()]
        if self.leftover:
            lines.append(
                f"note: {counted(len(self.leftover), 'trial')} done before, no longer in the file, not in the table"
            )
        lines += [self.verdict, f"table: {self.table}"]
        return "\n".join(map(printable, lines))

    def _log(self, row: Mapping[str, Any]) -> str:
        log = self.folder / "trials" / f"{row['trial']}.log"
        return f"log: {log}" if log.exists() else ""

    @property
    def verdict(self) -> str:
        """In one line."""
        ran = f"{len(self.rows) - len(self.failed):,} of {counted(len(self.rows), 'trial')} ran"
        if not self.groups:
            agree = "no plan has two trials to compare"
        elif self.differences:
            agree = f"certificates differ in {counted(len(self.differences), 'plan')} of {len(self.groups)}"
        else:
            agree = f"certificates agree in {counted(len(self.groups), 'plan')}"
        return f"{'PASSED' if self.exit_code == 0 else 'FAILED'}  {ran}; {agree}"


def _listed(lines: Sequence[str]) -> list[str]:
    more = [f"… and {len(lines) - _MOST:,} more; the table has all"] * (len(lines) > _MOST)
    return tables.indented([*lines[:_MOST], *more])

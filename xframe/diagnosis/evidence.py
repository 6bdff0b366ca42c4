"""What two runs recorded beside rows, losses and rates: what was set, the mode, features, targets, gradient norms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.comparison import settings
from xframe.comparison.pairing import Pair, Run
from xframe.comparison.settings import Difference, told
from xframe.errors import printable
from xframe.trace.rows import Rows

Floats = NDArray[np.float64]
_FIRED = 1e-4  # of a norm, by which clipping made it smaller
_CONSTANT = 1e-3  # of a ratio of two norms
_WHOLE = 1e-3  # of a factor that is a whole number, or one over it
_MOST = 1024
_NUMBER = re.compile(r"(?<=[a-z])\d+(?=\.)|\.\d+(?=\.)")  # of one of several layers or groups, in a name


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of a candidate and its reference, in this order.

    Attributes:
        settings: those that differ, what matters most first.
        stated: the settings of both.
        failed: the checks that fail, and the first step of each.
        passed: the checks that pass.
        details: by column of prints, what the check noticed of those that differ.
        norms: of the gradients, before clipping and after it; NaN where not recorded.
        loss_rows: over how many each loss was averaged, -1 where not recorded.
        validated: how many steps were made before each validation.
        modes: 1 in training mode, 0 in evaluation mode, -1 where not recorded.
    """

    settings: tuple[Difference, ...] = ()
    stated: tuple[Mapping[str, Any], Mapping[str, Any]] = field(default_factory=lambda: ({}, {}))
    failed: Mapping[str, int | None] = field(default_factory=dict)
    passed: frozenset[str] = frozenset()
    details: Mapping[str, Any] = field(default_factory=dict)
    norms: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    modes: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    loss_rows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    validated: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())

    @classmethod
    def of(cls, pair: Pair, candidate: Rows, reference: Rows, steps: int) -> Evidence:
        """What the pair's first steps show."""
        runs = pair.candidate, pair.reference
        judged = pair.judgements.items()
        norms = {}
        for name in ("gradient_norm", "clipped_norm"):
            columns = [rows.column(name) for rows in (candidate, reference)]
            known = [one.values if one.known is None else np.where(one.known, one.values, np.nan) for one in columns]
            norms[name] = (known[0][:steps].astype(np.float64), known[1][:steps].astype(np.float64))
        modes, means = (
            [rows.column(name).values[:steps] for rows in (candidate, reference)] for name in ("training", "loss_rows")
        )
        return replace(
            cls.of_settings(pair),
            failed={name: one.first for name, one in judged if one.result == "fail"},
            passed=frozenset(name for name, one in judged if one.result == "pass"),
            details=pair.details,
            norms=norms,
            modes=(modes[0], modes[1]),
            loss_rows=(means[0], means[1]),
            validated=(_validated(runs[0]), _validated(runs[1])),
        )

    @classmethod
    def of_settings(cls, pair: Pair) -> Evidence:
        """What was set, alone."""
        own, other = ({} if run.trace is None else run.trace.settings for run in (pair.candidate, pair.reference))
        differing = settings.differing(other, own, pair.candidate.name)
        return cls(settings=tuple(one for one in differing if not _as_large(one, pair)), stated=(own, other))

    def without(self, names: Set[str]) -> Evidence:
        """The same, but that the settings of these names are not known to differ."""
        return replace(self, settings=tuple(one for one in self.settings if one.name not in names))

    def differing(self, pattern: str) -> list[Difference]:
        """The settings that differ whose names, without the number of a second optimizer or loss, are of a pattern."""
        bare = re.compile(rf"(?:{pattern})")
        of_weight = [one for one in self.settings if one.matters != "little"]
        return [one for one in of_weight if bare.fullmatch(re.sub(r"^(\w+)\.\d+\.(?=[a-z])", r"\1.", one.name))]

    @property
    def from_outside(self) -> bool:
        """Whether both runs were recorded as they are, so that their validations weigh each row the same."""
        return all("backend" in one for one in self.stated)

    @property
    def same_inputs(self) -> bool:
        """Whether features and targets are known to be the same."""
        return {"features", "targets"} <= self.passed

    @cached_property
    def starts(self) -> tuple[str | None, str | None]:
        """Stand-ins for fingerprints of the starting weights: equal if the tensors stated are the same."""
        stated = [any(name.startswith("weights.") for name in one) for one in self.stated]
        return ("stated", "stated") if all(stated) and not self.differing(r"weights\.\d+") else (None, None)

    def ratio(self, step: int) -> float | None:
        """The ratio of the gradients' norms at a step."""
        if "gradient_norm" not in self.norms or step >= len(self.norms["gradient_norm"][0]):
            return None
        a, b = (float(one[step]) for one in self.norms["gradient_norm"])
        return a / b if np.isfinite(a) and np.isfinite(b) and a > 0 and b > 0 else None

    def fired(self, side: int) -> NDArray[np.int64] | None:
        """The steps at which one run's clipping made its gradients smaller; None where that is not known."""
        before, after = (self.norms.get(name, (np.zeros(0),) * 2)[side] for name in ("gradient_norm", "clipped_norm"))
        known = np.isfinite(before) & np.isfinite(after)
        return np.flatnonzero(known & (after < before * (1 - _FIRED))) if known.any() else None


def _as_large(one: Difference, pair: Pair) -> bool:
    """Whether batches of each replica come to as many samples in all."""
    if one.name != "loader.batch_size" or not all(type(size) is int for size in (one.candidate, one.reference)):
        return False
    of = [1 if run.trace is None else max(1, len(run.trace.replicas)) for run in (pair.candidate, pair.reference)]
    return bool(one.candidate * of[0] == one.reference * of[1])


def _validated(run: Run) -> frozenset[int]:
    return frozenset(one.after for one in run.validations)


def whole_factor(ratio: float | None) -> int | None:
    """The whole number from 2 up that a ratio, or one over it, is; None if it is none."""
    if ratio is None:
        return None
    larger = max(ratio, 1 / ratio)
    k = round(larger)
    return k if 2 <= k <= _MOST and abs(larger - k) <= _WHOLE * k else None


def set_to(differences: list[Difference], run: str, other: str) -> str:
    """These settings in words: what the candidate has, and what the reference; alike ones of several layers at once."""
    said: dict[tuple[str, str], list[str]] = {}
    for one in differences:
        values = f"is {told(one.name, one.candidate)} in {run}, {told(one.name, one.reference)} in {other}"
        said.setdefault((_NUMBER.sub("", one.name), values), []).append(one.name)
    return "; ".join(f"{_named(bare, names)} {values}" for (bare, values), names in said.items())


def _named(bare: str, names: list[str]) -> str:
    """One setting by its name, several by how many there are."""
    each = "group" if bare.startswith("optimizer.") else "layer"
    return printable(names[0]) if len(names) == 1 else f"{printable(bare)} in {len(names):,} {each}s"

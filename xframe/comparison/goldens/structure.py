"""A run beside a golden: whether it did the same, and in which range of steps it first did not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from xframe.comparison.goldens.golden import Golden
from xframe.comparison.goldens.ranges import DIGESTED, IDENTITIES, contents_digest, ranges_of
from xframe.comparison.pairing import Run
from xframe.comparison.result import Judgement, Tolerance
from xframe.errors import counted
from xframe.trace.trace import Trace

CONTENTS = ("features", "targets")
_BACKENDS = {"torch", "tensorflow", "jax"}
EXACT = ("steps", "boundaries", "updates", "epochs")
_WHAT = {"sizes": "batches of different sizes", "ids": "different samples, or in a different order"}


@dataclass(eq=False)
class Held:
    """One run and the golden that it is compared with.

    Attributes:
        tolerance: the one in force.
        lasts: by check that fails, the last of the steps among which its first difference is.
    """

    golden: Golden
    run: Run
    trace: Trace
    tolerance: Tolerance
    lasts: dict[str, int] = field(default_factory=dict)

    def structure(self) -> Iterator[tuple[str, Judgement]]:
        """The judgements of the checks that are exact, by name."""
        yield "steps", self._steps()
        yield "boundaries", self._digested("boundaries", ("sizes", "ids"))
        yield "updates", self._digested("updates", ("updates",))
        yield "epochs", self._epochs()

    @cached_property
    def ranges(self) -> list[dict[str, Any]]:
        """The run's own ranges."""
        structure = self.golden.stated.structure
        return ranges_of(self.trace, structure.steps_per_range, structure.num_steps, structure.identity)

    @property
    def _same(self) -> bool:
        structure = self.golden.stated.structure
        if structure.identity == "exact":
            return not self._differing and self.trace.num_rows == structure.num_steps
        return self.trace.certificate == structure.certificate and not self.other_data

    @property
    def other_data(self) -> bool:
        """Whether the same ids are known to stand for different samples."""
        return len({self.golden.stated.structure.data_fingerprint, self.run.facts.data_fingerprint} - {None}) > 1

    @property
    def shared(self) -> int:
        """The steps that both made."""
        return min(self.trace.num_rows, self.golden.stated.structure.num_steps)

    @cached_property
    def _differing(self) -> dict[str, int]:
        """By what a range has digests of, the first range that differs."""
        structure, first = self.golden.stated.structure, dict[str, int]()
        if structure.identity == "index" and self._same:
            return first
        for index, (own, stated) in enumerate(zip(self.ranges, structure.ranges, strict=False)):
            if min((index + 1) * structure.steps_per_range, structure.num_steps) > self.trace.num_rows:
                break  # the run ends inside it
            pairs = zip(own["digests"].split("-"), stated.digests.split("-"), strict=True)
            for name, (digest, expected) in zip(DIGESTED, pairs, strict=True):
                if digest != expected:
                    first.setdefault(name, index)
        return first

    @cached_property
    def until(self) -> int:
        """The steps before which the structure is the same."""
        if self.other_data:
            return 0
        size = self.golden.stated.structure.steps_per_range
        return min([self.shared, *(index * size for index in self._differing.values())])

    @property
    def whole(self) -> bool:
        """Whether run and golden have the same structure to their ends."""
        return self.until == self.trace.num_rows == self.golden.stated.structure.num_steps

    def bounds(self, index: int) -> tuple[int, int]:
        """The first and the last step of a range."""
        structure = self.golden.stated.structure
        start = index * structure.steps_per_range
        return start, min(start + structure.steps_per_range, structure.num_steps) - 1

    def _steps(self) -> Judgement:
        made, expected = self.trace.num_rows, self.golden.stated.structure.num_steps
        if made == expected:
            return Judgement("pass")
        if made < expected and not self.trace.complete:
            return Judgement("not judged", detail=f"{self.run.name} is {self.trace.ending} after {made:,} steps")
        detail = f"{self.run.name} made {counted(made, 'step')}, the golden has {expected:,}"
        return Judgement("fail", self.shared, detail)

    def _digested(self, check: str, names: Sequence[str]) -> Judgement:
        """Whether the digests of these columns are the golden's."""
        if check == "boundaries" and self.other_data:
            return Judgement("fail", 0, f"{self.run.name} has different data: the same ids are different samples")
        columns = {**DIGESTED, "ids": IDENTITIES[self.golden.stated.structure.identity]}
        lacking = [name for name in names if not self.trace.known_throughout(columns[name])]
        if lacking and self.trace.num_rows:
            known_by = "sample ids" if self.golden.stated.structure.identity == "index" else "features"
            what = {"sizes": "batch sizes", "ids": known_by, "updates": "evidence of updates"}[lacking[0]]
            return Judgement("not judged", detail=f"{self.run.name} did not record {what} at every step")
        differing = [self._differing[name] for name in names if name in self._differing]
        if differing:
            index = min(differing)
            sized = self._differing.get("sizes") == index and check == "boundaries"
            what = "different updates" if check == "updates" else _WHAT["sizes" if sized else "ids"]
            first, self.lasts[check] = self.bounds(index)
            return Judgement("fail", first, f"{self.place(index)}: {what}")
        whole = self.trace.num_rows == self.golden.stated.structure.num_steps
        if check == "boundaries" and whole and not self._same and not self._differing:
            return Judgement("fail", None, "the certificates differ, though no digest of a range of steps does")
        detail = "" if whole else f"equal over the first {counted(self.until, 'step')}"
        return Judgement("pass" if self.shared else "not judged", detail=detail)

    def contents(self) -> Iterator[tuple[str, Judgement]]:
        """The judgements of what stands behind the samples' indices, by name; nothing of what the golden lacks."""
        for name in CONTENTS:
            stated = getattr(self.golden.stated.structure, f"{name}_digest")
            if stated is not None:
                yield name, self._content(name, stated)

    def _content(self, name: str, stated: str) -> Judgement:
        if not self.whole:
            return Judgement("not judged", detail="one digest of all steps, and these are not the golden's")
        own = contents_digest(self.trace, name)
        if own is None:
            return Judgement(
                "not judged", detail=f"{self.run.name} did not record {name} at every step", undecided=True
            )
        if own == stated:
            return Judgement("pass")
        if {*self.golden.stated.versions} & _BACKENDS != {*self.run.facts.versions} & _BACKENDS:
            detail = "made with a different framework, whose layout may differ: compare with a trace instead"
            return Judgement("not judged", detail=detail)
        self.lasts[name] = self.trace.num_rows - 1
        return Judgement(
            "fail", 0, f"{self.run.name} has other {name} than the golden behind the same indices of samples"
        )

    def place(self, index: int) -> str:
        """Which steps a range has, and in which epoch of the run they lie."""
        first, last = self.bounds(index)
        epochs = [self.run.value("epoch", step) for step in (first, min(last, self.trace.num_rows - 1))]
        named = sorted({epoch for epoch in epochs if epoch is not None})
        where = f"step {first:,}" if first == last else f"one of steps {first:,} to {last:,}"
        return where + (f" (epoch {' to '.join(map(str, named))})" if named else "")

    def _epochs(self) -> Judgement:
        counts, stated = self.trace.counts(), self.golden.stated.structure
        if not self.whole or None in (counts.num_epochs, stated.num_epochs):
            return Judgement("not judged", detail="no epochs of both, up to the end")
        for name in ("num_epochs", "steps_per_epoch"):
            own, expected = getattr(counts, name), getattr(stated, name)
            if own != expected:
                detail = f"{self.run.name} has {name.replace('_', ' ')} {own}, the golden {expected}"
                return Judgement("fail", None, detail)
        return Judgement("pass")

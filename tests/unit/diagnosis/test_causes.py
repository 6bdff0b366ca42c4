"""A cause stands in one file: its name nowhere else, and nothing else is needed for a new one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import xframe
from xframe.diagnosis import causes
from xframe.diagnosis.cause import Cause
from xframe.plan.training_plan import TrainingPlan
from xframe.report.text import text
from xframe.state.record import STAGES
from xframe.testing.faults.bases import Faulty
from xframe.testing.faults.declaring import Fault

PACKAGE = Path(xframe.__file__).parent
FIELDS = {
    "remainder": "keep",
    "leftover": "flush",
    "boundary": "epoch",
    "at_end": "update",
    "b": 64,
    "k": 4,
    "n": 1797,
    "s": 20,
    "missing": 59,
    "observed": 1,
}


@pytest.mark.parametrize("cause", causes.every(), ids=lambda cause: cause.name)
def test_each_is_whole(cause: Cause) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cause.name)
    assert (type(cause).__doc__ or "").endswith(".")
    fixes = cause.fix(FIELDS)
    assert fixes
    assert not any(re.search(r"[{}]|\.\.\.\.", text) for text in fixes.values())
    assert "{" not in "".join(cause.fix({}).values())  # what is not known is left open


def test_ranks_are_all_different() -> None:
    assert len(causes.every()) == 119
    assert len({cause.rank for cause in causes.every()}) == len(causes.every())


def test_a_name_stands_in_its_own_file_and_in_its_faults_only() -> None:
    quoted = {name: re.compile(rf"""(["'`]){re.escape(name)}\1""") for name in causes.by_name()}
    files = {cause.name: sys.modules[type(cause).__module__].__file__ for cause in causes.every()}
    for file in PACKAGE.rglob("*.py"):
        # What captured steps show as well, or the states of a resumed script, has the same name.
        if any(file.is_relative_to(PACKAGE / room) for room in ("testing", "numerics", "resuming")):
            continue
        source = file.read_text(encoding="utf-8")
        for name in {name for name, pattern in quoted.items() if pattern.search(source)}:
            if name in STAGES and not file.is_relative_to(PACKAGE / "diagnosis"):  # a stage has that name
                continue
            assert files[name] == str(file), f"{name} in {file}"
            assert len(quoted[name].findall(source)) == 1, f"{name} is written twice in {file}"


BACKWARDS = '''
"""Training that goes backwards."""

from collections.abc import Iterator

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings


class Backwards(Cause):
    """It goes through all samples from the last to the first."""

    name = "backwards"
    rank = 1
    fixes = settings(torch="a sampler that does not reverse the {n} samples", plan="batch_size = {observed}")

    def find(self, case: Case) -> Iterator[Fit]:
        if case.has_ids and (case.candidate.ids[::-1] == case.reference.ids).all():
            yield self.fit(case, "goes through all samples backwards")
'''


@pytest.fixture
def one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with a file that declares one more cause."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "backwards.py").write_text(BACKWARDS, encoding="utf-8")
    monkeypatch.setattr(causes, "__path__", [*causes.__path__, str(tmp_path / "more")])
    causes.every.cache_clear()
    yield
    causes.every.cache_clear()
    sys.modules.pop("xframe.diagnosis.causes.backwards", None)


@pytest.mark.usefixtures("one_more")
def test_a_new_cause_needs_one_file(tmp_path: Path) -> None:
    """It is found, ranked, explained in text and JSON, with its fix, and faults may name it."""
    ids = list(range(12))
    for name, order in (("a", ids), ("b", ids[::-1])):
        with xframe.record(tmp_path / name, num_samples=12) as rec:
            for i in range(0, 12, 3):
                rec.step(ids=order[i : i + 3], updates=i // 3 + 1)
    comparison = xframe.compare(tmp_path / "a", tmp_path / "b")
    assert comparison.causes[0].name == "backwards"
    assert "b goes through all samples backwards. [backwards]" in text(comparison)
    assert "a sampler that does not reverse the 12 samples" in text(comparison)
    (explained, *_) = comparison.to_dict()["causes"]
    assert explained["name"] == "backwards"
    assert explained["mend"] == {"torch": "a sampler that does not reverse the 12 samples"}
    Fault("one", "boundaries", 0, ("backwards",), TrainingPlan(batch_size=3, epochs=1), Faulty)  # it is known


def test_two_causes_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copied.py").write_text(BACKWARDS.replace('"backwards"', '"batch-lost"'), encoding="utf-8")
    monkeypatch.setattr(causes, "__path__", [*causes.__path__, str(tmp_path)])
    causes.every.cache_clear()
    with pytest.raises(ValueError, match="batch-lost"):
        causes.every()
    sys.modules.pop("xframe.diagnosis.causes.copied")
    causes.every.cache_clear()

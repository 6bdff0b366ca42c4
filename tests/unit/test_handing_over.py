"""``xframe verify --hand-over``: a table of all ways to finish a run, and one verdict."""

import json
from pathlib import Path

import pytest
from checkpointed import PLAN, run

from xframe import handing_over
from xframe.errors import UsageError
from xframe.numerics.result import Curve, Numerics
from xframe.running.progress import Progress
from xframe.running.request import Request
from xframe.running.states import read_content
from xframe.state.file import write_state as write
from xframe.verification import compare

LABELS = ("numpy", "torch")


@pytest.fixture
def handed(tmp_path, monkeypatch):
    """Makes what is handed over, in this process; ``spoils`` may change the bytes of a checkpoint."""
    folder = tmp_path / "runs"

    def whole(request, _):
        folder.mkdir()
        traces = [run(PLAN, folder / f"{label}.trace", label) for label in LABELS]
        return handing_over.replace(compare(*traces, plan=PLAN, numerics=handed.numerics), folder=folder)

    def alone(request, _):
        request.out.parent.mkdir(exist_ok=True)
        label, wanted = request.selections[0].label, request.checkpoints
        steps = {} if wanted.stop_after is None else {"file": wanted.file, "stop_after": wanted.stop_after}
        trace = run(PLAN, request.out, label, **steps, **({"resume": wanted.resume} if wanted.resume else {}))
        if wanted.file is not None:
            handed.spoils(Path(wanted.file))
        return trace

    def handed(step=4):
        request = Request(plan=PLAN, task="diabetes-regression", adapters=LABELS, out=folder)
        return handing_over.hand_over(request, step, Progress())

    handed.spoils, handed.numerics = lambda file: None, ()
    monkeypatch.setattr(handing_over, "run", alone)
    monkeypatch.setattr(handing_over, "run_and_compare", whole)
    return handed


def test_each_way_is_its_finishers_own_run(handed):
    result = handed()
    assert result, result.text()
    assert [(way.first, way.second) for way in result.ways] == [(a, b) for a in LABELS for b in LABELS]
    assert [way.comparison.numbers for way in result.ways if way.exact] == ["identical"] * 2
    assert result.text().endswith(f"PASSED  4 of 4 ways to stop at step 4 and go on; {result.folder}")
    written = json.loads((result.folder / "hand-over.json").read_text())
    assert (written["verdict"], written["hand_over"]["step"]) == ("passed", 4)
    assert {"structure", "numbers", "checks", "runs"} <= written.keys()


def test_an_open_windows_gradients_that_are_lost_are_seen(handed):
    def without_gradients(file):
        state, head = read_content(file)[:2]
        for values in state.gradients.values():
            values[...] = 0
        write(file, state, head)

    handed.spoils = without_gradients
    result = handed()
    assert (result.verdict, result.exit_code) == ("failed", 1)
    assert [way.comparison.structure for way in result.ways] == ["identical"] * 4
    assert {way.verdict for way in result.ways} == {"failed"}
    assert result.whole.verdict == "passed"


def test_rounding_of_its_own_state_is_seen(handed):
    def rounded(file):
        state, head = read_content(file)[:2]
        next(iter(state.parameters.values()))[0] *= 1 + 2e-7
        write(file, state, head)

    handed.spoils = rounded
    assert {way.first == way.second: (way.verdict, way.why) for way in handed().ways} == {
        True: ("failed", "not the same bits as its whole run"),
        False: ("passed", ""),
    }


@pytest.mark.parametrize(
    ("verdict", "unclear", "row", "why"),
    [
        (None, None, "failed", "loss, weights"),
        ("equivalent", None, "passed", ""),
        ("different", None, "failed", "resynchronised"),
        ("equivalent", 3, "inconclusive", "rounding alone had moved its losses too far to tell before that step"),
    ],
)
def test_where_another_began_numbers_are_judged_by_what_the_whole_runs_showed(handed, verdict, unclear, row, why):
    def moved(file):
        state, head = read_content(file)[:2]
        next(iter(state.parameters.values()))[0] += 0.005
        write(file, state, head)

    handed.spoils = moved
    if verdict is not None:
        curve = Curve("equivalent", 8, unclear=unclear, measured=8, floors=((0, 1e-3),), unit=1e-6, weights=1.0)
        handed.numerics = (Numerics("torch", verdict, steps=(0, 1), curve=curve),)
    ways = [way for way in handed().ways if way.first != way.second]
    assert [(way.verdict, way.why) for way in ways] == [(row, why)] * 2
    assert [way.comparison.structure for way in ways] == ["identical"] * 2


@pytest.mark.parametrize("step", [0, 10])
def test_a_step_that_the_run_does_not_have_is_refused(handed, step):
    with pytest.raises(UsageError, match="1 to 7"):
        handed(step)

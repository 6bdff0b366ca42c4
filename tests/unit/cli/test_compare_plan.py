"""``xframe compare --plan``: runs are compared with a plan that is given, whatever they state."""

import json

import numpy as np
import pytest

import xframe
from xframe.cli import app as cli
from xframe.plan.replicas import share

SAMPLES = 40
PLAN = xframe.TrainingPlan(batch_size=8, epochs=2)
TWO = xframe.TrainingPlan(batch_size=8, epochs=2, replicas=2)


def script(path, *, shift=None, **options):
    """A loop that does what ``PLAN`` says and states none, unless ``options`` do; at step ``shift`` it errs."""
    with xframe.record(path, **options) as rec:
        for step in PLAN.each_step(SAMPLES):
            ids = np.array(step.sample_ids)
            rec.step(ids=np.roll(ids, 1) if step.index == shift else ids, updates=step.update, loss=1.0, lr=0.1)


def ranks(path, *, replicas=2, **options):
    own = xframe.TrainingPlan(batch_size=8, epochs=2, replicas=replicas)
    for rank in range(replicas):
        with xframe.record(path, replica=(rank, replicas), num_samples=SAMPLES, **options) as rec:
            for step in own.each_step(SAMPLES):
                ids = np.array(step.sample_ids)
                rec.step(ids=ids[share(own, len(ids), rank)], updates=step.update, loss=1.0, lr=0.1)
            rec.weights({"w": np.ones(2, np.float32)})


@pytest.fixture
def xf(capsys, tmp_path, monkeypatch):
    """Runs a command line in a folder with plan files; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name, plan in (("one", PLAN), ("two", TWO), ("longer", xframe.TrainingPlan(batch_size=8, epochs=3))):
        (tmp_path / f"{name}.toml").write_text(plan.to_toml())

    def call(*tokens):
        code = cli.execute([str(token) for token in tokens])
        out, err = capsys.readouterr()
        return code, out, " ".join(err.split())

    return call


def check(out, name):
    (found,) = [one for one in json.loads(out)["checks"] if one["name"] == name]
    return found["result"], found["first"]


def test_one_trace_of_a_script_is_compared_with_the_plan_of_a_file(xf):
    script("a.trace")
    assert xf("compare", "a.trace")[0] == 2
    code, out, err = xf("compare", "--plan", "one.toml", "--samples", SAMPLES, "a.trace")
    assert (code, err) == (0, "")
    assert "== plan, per step" in out
    code, out, _ = xf("compare", "--plan", "longer.toml", "--samples", SAMPLES, "a.trace")
    assert code == 1
    assert "a made 10 steps, the plan says 15" in out


def test_each_of_several_traces_is(xf):
    script("a.trace", num_samples=SAMPLES)
    script("b.trace", shift=4, num_samples=SAMPLES)
    code, out, _ = xf("compare", "a.trace", "b.trace", "--plan", "one.toml", "--json")
    assert (code, check(out, "boundaries"), json.loads(out)["plan"]) == (1, ("fail", 4), PLAN.to_dict())
    script("c.trace", shift=4, num_samples=SAMPLES)  # alike, and neither is what the plan says
    assert xf("compare", "b.trace", "c.trace")[0] == 0
    assert xf("compare", "b.trace", "c.trace", "--plan", "one.toml")[0] == 1


@pytest.mark.parametrize("sizes", [(None,), (SAMPLES, SAMPLES + 1)])
def test_without_a_number_of_samples_nothing_could_be_compared_with_it(xf, sizes):
    names = [f"{place}.trace" for place in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        script(name, num_samples=size)
    code, _, err = xf("compare", *names, "--plan", "one.toml")
    assert code == 2
    assert "the number of samples is not known" in err
    assert "--samples N" in err
    code, out, _ = xf("compare", *names, "--plan", "one.toml", "--samples", SAMPLES)
    assert code == 0, out
    assert ("states 41 samples; it is compared with the plan over 40" in " ".join(out.split())) == (len(sizes) > 1)


def test_a_plan_that_a_run_states_and_is_not_the_one_given_is_said(xf):
    script("a.trace", num_samples=SAMPLES, plan=xframe.TrainingPlan(batch_size=8, steps=99, seed=4))
    code, out, _ = xf("compare", "a.trace", "--plan", "one.toml")
    text = " ".join(out.split())
    assert "a states a different plan (steps 99, not unset, seed 4, not 0, epochs unset, not 2)" in text
    assert code == 0, out
    script("b.trace", num_samples=SAMPLES, plan=PLAN)
    assert "different plan" not in xf("compare", "b.trace", "--plan", "one.toml")[1]


def test_a_folder_of_replicas(xf):
    ranks("two.trace")
    code, out, _ = xf("compare", "two.trace", "--plan", "two.toml")
    assert (code, "dealt as planned" in out) == (0, True), out
    assert xf("compare", "two.trace", "--plan", "one.toml")[0] == 0  # which says nothing of replicas


@pytest.mark.parametrize("stated", [False, True])
def test_replicas_that_follow_their_own_plan_and_not_the_one_given(xf, stated):
    four = xframe.TrainingPlan(batch_size=8, epochs=2, replicas=4)
    ranks("four.trace", replicas=4, **({"plan": four} if stated else {}))
    code, out, _ = xf("compare", "four.trace", "--plan", "two.toml", "--json")
    assert (code, check(out, "replicas")) == (1, ("fail", 0))
    assert "four was made by 4 replicas, the plan says 2" in out
    if stated:
        assert xf("compare", "four.trace")[0] == 0


def test_what_is_wrong_with_the_plan_is_reported(xf, tmp_path):
    script("a.trace", num_samples=SAMPLES)
    (tmp_path / "broken.toml").write_text("batch_size = 0\nepochs = 1\n")
    code, _, err = xf("compare", "a.trace", "--plan", "broken.toml")
    assert (code, "batch_size" in err) == (2, True)
    assert xf("compare", "a.trace", "--plan", "none.toml")[0] == 2
    assert xf("bless", "a.trace", "--out", "a.golden", "--why", "first")[0] == 0
    code, _, err = xf("compare", "a.golden", "a.trace", "--plan", "one.toml")
    assert (code, "plan beside a golden" in err) == (2, True)


def test_the_command_that_a_report_shows_makes_the_same_comparison(xf):
    script("a.trace")
    code, out, _ = xf("compare", "a.trace", "--plan", "one.toml", "--samples", SAMPLES, "--md")
    assert code == 0
    assert "xframe compare a.trace --plan one.toml --samples 40" in out

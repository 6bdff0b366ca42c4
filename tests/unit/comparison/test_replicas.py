"""The check ``replicas``: runs that cheat between their replicas, whose merged rows, or certificates, are in order."""

import numpy as np
import pytest

import xframe
from xframe.plan.replicas import share, shared_padding

SAMPLES = 103
PLAN = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=2)
WEIGHTS = {"w": np.arange(3, dtype=np.float32)}


def record(path, plan=PLAN, *, change=None, steps=None, weights=WEIGHTS, marks=True, stated=None, **options):
    """A run of replicas that do as planned, but for what ``change`` gives of a replica's step."""
    options = {"plan": plan, "num_samples": SAMPLES, **options}
    for rank in range(plan.replicas):
        with xframe.record(path, replica=(rank, plan.replicas), **options) as rec:
            for step in list(plan.each_step(SAMPLES))[: (steps or {}).get(rank)]:
                ids = np.array(step.sample_ids)
                row = {"ids": ids[share(plan, len(ids), rank)], "updates": step.update, "lr": 0.1, "loss": 1.0}
                row |= {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch}
                row["padding"] = int(shared_padding(plan, len(ids), step.padding, rank))
                row |= {"weights_mark": step.index / 4} if marks else {}
                if change is not None:
                    row |= change(rank, step.index, row, ids) or {}
                rec.step(**row)
            own = weights(rank) if callable(weights) else weights
            if own is not None:
                rec.weights(own)
    return xframe.Trace.open(path)


def check_of(comparison, name="replicas"):
    (found,) = [one for one in comparison.checks if one.name == name]
    return found


def results(comparison):
    return {one.name: one.result for one in comparison.checks}


def one_process(path, plan=PLAN):
    with xframe.record(path, plan=plan, num_samples=SAMPLES) as rec:
        for step in plan.each_step(SAMPLES):
            labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": 0}
            rec.step(ids=step.sample_ids, updates=step.update, lr=0.1, loss=1.0, **labels)
        rec.weights(WEIGHTS)
    return xframe.Trace.open(path)


def unplanned(path, plan=PLAN, **options):
    return record(path, plan, metadata={"plan": {}}, **options)


@pytest.fixture
def honest(tmp_path):
    return record(tmp_path / "honest.trace")


@pytest.mark.parametrize("split", ["slices", "interleaved", "dealt"])
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_replicas_that_do_as_planned(tmp_path, replicas, split):
    plan = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=replicas, replica_split=split, remainder="pad")
    run = record(tmp_path / "run.trace", plan)
    comparison = xframe.compare(run)
    assert comparison, comparison
    assert (check_of(comparison).result, check_of(comparison).first) == ("pass", None)
    assert check_of(comparison).values == {"run": str(replicas)}
    assert "dealt as planned, same steps, updates, rates, weights (digests)" in str(comparison)
    assert comparison.structure == "identical"


def test_runs_without_replicas_are_not_asked(tmp_path):
    runs = [one_process(tmp_path / name) for name in ("a.trace", "b.trace")]
    comparison = xframe.compare(*runs)
    assert "replicas" not in results(comparison)
    assert "replicas" not in str(comparison)


def test_one_process_and_replicas(tmp_path, honest):
    comparison = xframe.compare(one_process(tmp_path / "one.trace"), honest)
    assert comparison, comparison
    assert check_of(comparison).values == {"one": "1", "honest": "2"}


def test_no_synchronisation_shows_by_marks_in_which_step(tmp_path):
    """Every row is in order, and the certificate that of one process: the weights alone part."""
    run = record(
        tmp_path / "run.trace",
        change=lambda rank, step, row, ids: {"weights_mark": step / 4 + 1e-7 * rank * (step >= 5)},
        weights=lambda rank: {"w": WEIGHTS["w"] + np.float32(1e-6 * rank)},
    )
    assert run.certificate == one_process(tmp_path / "one.trace").certificate
    comparison = xframe.compare(run)
    assert (comparison.verdict, comparison.structure) == ("failed", "identical")
    found = check_of(comparison)
    assert (found.result, found.first) == ("fail", 5)
    assert "step 5: replica 1 of run had other weights than replica 0: they are not synchronised" in found.detail
    assert "replicas 0 and 1 of run end with different weights (w)" in found.detail
    assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (5, "replicas")
    assert [one for one, result in results(comparison).items() if result == "fail"] == ["replicas"]


@pytest.mark.parametrize(("without", "result"), [(None, "pass"), (7, "not judged")])
def test_marks_behind_each_update_show_the_weights_of_a_run_that_accumulates(tmp_path, without, result):
    plan = xframe.TrainingPlan(batch_size=12, epochs=2, gradient_accumulation_steps=4, replicas=2)
    updates = [step.update for step in plan.each_step(SAMPLES)]
    due = {at for at in range(len(updates)) if updates[at] > ([0, *updates])[at]}
    assert 7 in due

    def change(rank, step, row, ids):
        return {"weights_mark": step / 4 if step in due and step != without else None}

    check = check_of(xframe.compare(record(tmp_path / "run.trace", plan, weights=None, change=change)))
    assert check.result == result


def test_no_synchronisation_shows_at_the_end_without_marks(tmp_path):
    three = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=3)

    def ended(rank):
        return {"a": np.zeros(2), "b": np.full(2, np.float32(rank == 2)), "c": np.full(1, np.float64(rank == 2))}

    run = record(tmp_path / "run.trace", three, marks=False, weights=ended)
    found = check_of(comparison := xframe.compare(run))
    assert (comparison.verdict, found.result, found.first) == ("failed", "fail", None)
    words = "replicas 0 and 2 of run end with different weights (b and 1 more): they are not synchronised"
    assert found.detail == words
    assert words in str(comparison)
    (as_json,) = [one for one in comparison.to_dict()["checks"] if one["name"] == "replicas"]
    assert (as_json["result"], as_json["detail"]) == ("fail", words)


def test_without_weights_it_is_not_known_whether_replicas_stay_one_model(tmp_path):
    run = record(tmp_path / "run.trace", marks=False, weights=lambda rank: WEIGHTS if rank == 0 else None)
    found = check_of(comparison := xframe.compare(run))
    assert found.result == "not judged"
    assert "the final weights of run are not known of each replica; alike in all else" in found.detail
    assert comparison.structure == "identical"
    marked = record(tmp_path / "marked.trace", weights=None)
    assert check_of(xframe.compare(marked)).result == "pass"
    assert check_of(xframe.compare(marked)).rule.endswith("weights (marks)")


def test_a_file_of_weights_that_is_gone_is_said(tmp_path, honest):
    comparison = xframe.compare(honest)
    assert check_of(comparison).detail == ""
    (tmp_path / "honest.trace" / "1.weights.safetensors").unlink()
    found = check_of(comparison := xframe.compare(honest))
    words = "1.weights.safetensors of honest is not there: of these weights the digests in the trace were compared"
    assert (found.result, found.detail) == ("pass", words)
    assert words in str(comparison)


def _unsplit(rank, step, row, ids):
    """Each replica has what replica 0 is dealt."""
    return {"ids": ids[: len(row["ids"])]}


def test_replicas_that_share_samples_are_said_where_both_runs_do_it(tmp_path):
    a, b = (unplanned(tmp_path / f"{name}.trace", change=_unsplit) for name in "ab")
    comparison = xframe.compare(a, b)
    found = check_of(comparison)
    assert found.result == "pass"
    for name in "ab":
        assert f"step 0: replicas 0 and 1 of {name} share samples: 6 of 6, such as " in found.detail
    assert "share samples" in str(comparison)


def test_one_run_alone_is_judged_by_its_replicas(tmp_path):
    assert xframe.compare(unplanned(tmp_path / "honest.trace"))
    cheats = {
        "apart": (5, {"change": lambda rank, step, row, ids: {"weights_mark": step / 4 + rank * (step >= 5)}}),
        "rates": (6, {"change": lambda rank, step, row, ids: {"lr": 0.1 + rank * (step >= 6)}}),
        "unsplit": (0, {"change": _unsplit}),
        "short": (17, {"steps": {1: 17}}),
    }
    for name, (first, how) in cheats.items():
        comparison = xframe.compare(unplanned(tmp_path / f"{name}.trace", **how))
        assert (comparison.verdict, [one.name for one in comparison.checks]) == ("failed", ["replicas"])
        assert comparison.first_difference["step"] == first, comparison
    unknown = xframe.compare(unplanned(tmp_path / "unknown.trace", marks=False, weights=None))
    assert (unknown.verdict, check_of(unknown).result) == ("inconclusive", "not judged")


def test_one_sample_shared_in_a_later_step_is_said(tmp_path):
    def lent(rank, step, row, ids):
        return {"ids": np.append(row["ids"][:-1], ids[0])} if rank == 1 and step == 4 else {}

    a, b = (unplanned(tmp_path / f"{name}.trace", change=lent) for name in "ab")
    assert "step 4: replicas 0 and 1 of a share samples: 1 of 6" in check_of(xframe.compare(a, b)).detail


def test_samples_that_come_again_in_the_next_pass_are_not_shared(tmp_path):
    """Batches go over the ends of passes, so that of one step two replicas have the same sample."""
    plan = xframe.TrainingPlan(batch_size=60, steps=9, remainder="carry", replicas=2)
    runs = [unplanned(tmp_path / f"{name}.trace", plan) for name in "ab"]
    assert any(len(set(step.sample_ids.tolist())) < 60 for step in plan.each_step(SAMPLES))
    assert check_of(xframe.compare(*runs)).detail == ""


def _swap(rank, step, row, ids):
    """Samples 2 of replica 0 and 1 of replica 1 change places in step 4."""
    if step != 4:
        return {}
    own, there = row["ids"].copy(), (ids[:6], ids[6:])[1 - rank]
    own[1] = there[1]
    return {"ids": own}


def test_two_samples_swapped_between_replicas(tmp_path, honest):
    run = record(tmp_path / "run.trace", change=_swap)
    comparison = xframe.compare(run)
    assert comparison.verdict == "failed"
    found = check_of(comparison)
    ids = np.array(PLAN.step(4, SAMPLES).sample_ids)
    assert (found.result, found.first) == ("fail", 4)
    assert f"step 4: replica 0 of run has sample {ids[7]}, which is replica 1's" in found.detail
    beside = check_of(xframe.compare(honest, run))
    assert beside.first == 4
    assert f"step 4: replica 0 of run has sample {ids[7]}, which is replica 1's" in beside.detail


def test_other_samples_are_no_matter_of_replicas(tmp_path):
    run = record(
        tmp_path / "run.trace", change=lambda rank, step, row, ids: {"ids": row["ids"] * 0} if step == 3 else {}
    )
    assert results(xframe.compare(run))["boundaries"] == "fail"
    assert check_of(xframe.compare(run)).result == "pass"


def _uneven(rank, step, row, ids):
    return {"ids": ids[:7] if rank == 0 else ids[7:]} if step == 2 else {}


def test_the_same_step_shared_otherwise_has_the_same_certificate(tmp_path, honest):
    run = record(tmp_path / "run.trace", change=_uneven)
    assert run.certificate == honest.certificate
    found = check_of(comparison := xframe.compare(run))
    assert (comparison.verdict, comparison.structure, found.first) == ("failed", "identical", 2)
    assert found.detail == "step 2: replica 0 of run has 7 samples, the plan deals it 6"


def test_two_runs_without_a_plan_are_dealt_alike(tmp_path):
    paths = [tmp_path / f"{name}.trace" for name in "abcd"]
    three = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=3)
    a, b = (unplanned(path, change=change) for path, change in zip(paths, (None, _uneven), strict=False))
    c = unplanned(paths[2], three)
    found = check_of(xframe.compare(a, b))
    assert found.detail == "step 2: replica 0 of b has 7 samples, that of a 6"
    assert check_of(xframe.compare(a, c)).result == "pass"  # of other numbers of replicas nothing is asked
    assert check_of(xframe.compare(a, unplanned(paths[3]))).result == "pass"


def test_another_rate_in_one_replica(tmp_path, honest):
    run = record(tmp_path / "run.trace", change=lambda rank, step, row, ids: {"lr": 0.1 + 0.1 * (rank * (step >= 6))})
    found = check_of(comparison := xframe.compare(honest, run))
    assert (comparison.verdict, found.first) == ("failed", 6)
    assert "step 6: replica 1 of run had learning rate 0.2, replica 0 0.1" in found.detail


def test_an_update_less_in_one_replica(tmp_path):
    change = lambda rank, step, row, ids: {"updates": row["updates"] - (rank and step >= 3)}  # noqa: E731
    found = check_of(comparison := xframe.compare(record(tmp_path / "run.trace", change=change)))
    assert (comparison.verdict, found.first) == ("failed", 3)
    assert "step 3: replica 1 of run had applied 3 updates, replica 0 4" in found.detail


@pytest.mark.parametrize("replicas", [2, 3])
def test_a_replica_a_step_short(tmp_path, replicas):
    plan = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=replicas)
    comparison = xframe.compare(record(tmp_path / "run.trace", plan, steps={1: 17}))
    assert comparison.verdict == "failed"
    for name in ("steps", "replicas"):
        assert check_of(comparison, name).first == 17
        assert "replica 1 of run made 17 steps, replica 0 18" in check_of(comparison, name).detail


def test_a_run_cut_short_is_not_judged(tmp_path):
    def stop(rank, step, row, ids):
        if rank and step == 9:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        record(tmp_path / "run.trace", change=stop)
    found = check_of(comparison := xframe.compare(xframe.Trace.open(tmp_path / "run.trace")))
    assert (comparison.verdict, found.result) == ("inconclusive", "not judged")
    assert "run is interrupted by InterruptedError; alike up to there" in found.detail


def test_another_number_of_replicas_than_planned(tmp_path):
    plan = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=3)
    run = record(tmp_path / "run.trace", PLAN, num_samples=SAMPLES, metadata={"plan": plan.to_dict()})
    found = check_of(xframe.compare(run))
    assert (found.first, found.detail) == (0, "run was made by 2 replicas, the plan says 3")


def test_parts_of_a_run_with_other_replicas_are_each_judged(tmp_path):
    more = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=3, replica_split="interleaved")
    record(
        tmp_path / "a.trace", steps={0: 8, 1: 8}, change=lambda rank, step, row, ids: {"lr": 0.1 + (step == 7) * rank}
    )
    for rank in range(3):
        with xframe.record(
            tmp_path / "b.trace", replica=(rank, 3), plan=more, num_samples=SAMPLES, continues=tmp_path / "a.trace"
        ) as rec:
            for step in list(more.each_step(SAMPLES))[8:]:
                ids = np.array(step.sample_ids)
                own = ids[share(more, len(ids), rank)]
                if step.index == 10:
                    own = ids[:4] if rank == 0 else ids[4:9] if rank == 1 else ids[9:]
                rec.step(ids=own, updates=step.update, lr=0.1, loss=1.0)
            rec.weights(WEIGHTS)
    run = xframe.Trace.open(tmp_path / "b.trace")
    found = check_of(xframe.compare(run))
    assert found.values == {"a+b": "2, then 3"}
    assert found.first == 7
    assert "step 7: replica 1 of a+b had learning rate 1.1, replica 0 0.1" in found.detail
    assert "step 10: replica 1 of a+b has 5 samples, the plan deals it 4" in found.detail


def test_runs_under_different_plans_are_each_dealt_by_their_own(tmp_path, honest):
    four = xframe.TrainingPlan(batch_size=12, epochs=2, replicas=4, replica_split="interleaved")
    runs = one_process(tmp_path / "one.trace", xframe.TrainingPlan(batch_size=12, epochs=2)), honest
    comparison = xframe.compare(*runs, record(tmp_path / "four.trace", four))
    assert comparison, comparison
    assert check_of(comparison).values == {"one": "1", "honest": "2", "four": "4"}

    def otherwise(rank, step, row, ids):
        return {"ids": (ids[:1], ids[1:6], ids[6:9], ids[9:])[rank]} if step == 7 else {}

    comparison = xframe.compare(*runs, record(tmp_path / "other.trace", four, change=otherwise))
    assert "step 7: replica 0 of other has 1 sample, the plan deals it 3" in check_of(comparison).detail

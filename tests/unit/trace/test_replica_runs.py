"""A folder of replicas' traces as one run: what is merged, what ends it, and what is refused."""

import os
import random
import shutil

import numpy as np
import pytest
from sampling import part

import xframe
from xframe.plan.replicas import share, shared_padding
from xframe.recording import replicas as recording
from xframe.trace import merged as merging
from xframe.trace import opening, streams
from xframe.trace import parquet as closed_form
from xframe.trace.weaving import Lists, together

SAMPLES = 103


def plans(replicas=2, split="slices", **fields):
    fields = {"batch_size": 12, "epochs": 2, **fields}
    return xframe.TrainingPlan(**fields, replicas=replicas, replica_split=split)


def one_process(path, plan, samples=SAMPLES, steps=None, **options):
    with xframe.record(path, num_samples=samples, plan=plan, **options) as rec:
        for step in list(plan.each_step(samples))[:steps]:
            labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": step.padding}
            rec.step(ids=step.sample_ids, updates=step.update, loss=step.index / 8, lr=0.1, **labels)
    return xframe.Trace.open(path)


def rank_of(path, plan, rank, samples=SAMPLES, *, steps=None, change=None, first=0, **options):
    """One replica's file, as an engine that deals as the plan says records it."""
    options = {"plan": plan, "num_samples": samples, **options}
    with xframe.record(path, replica=(rank, plan.replicas), **options) as rec:
        for step in list(plan.each_step(samples))[first:steps]:
            ids = np.asarray(step.sample_ids)
            row = {"ids": ids[share(plan, len(ids), rank)], "updates": step.update, "loss": step.index / 8, "lr": 0.1}
            row |= {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch}
            row["padding"] = int(shared_padding(plan, len(ids), step.padding, rank))
            rec.step(**{**row, **(change(step, row) if change else {})})


def run_of(path, plan, samples=SAMPLES, **options):
    for rank in range(plan.replicas):
        rank_of(path, plan, rank, samples, **options)
    return xframe.Trace.open(path)


def truncate(path):
    """Makes the trace one that nobody closed."""
    import xframe.trace.writer as writing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "compact", lambda *_: None)
        yield
    os.truncate(path, path.stat().st_size - 1)


@pytest.fixture
def as_two(tmp_path):
    plan = plans()
    return run_of(tmp_path / "two.trace", plan), plan


@pytest.mark.parametrize("split", ["slices", "interleaved", "dealt"])
@pytest.mark.parametrize("replicas", [2, 3, 5])
@pytest.mark.parametrize("remainder", ["keep", "pad", "drop", "carry"])
def test_the_certificate_is_that_of_one_process(tmp_path, split, replicas, remainder):
    plan = plans(replicas, split, remainder=remainder)
    alone, run = one_process(tmp_path / "one.trace", plan), run_of(tmp_path / "many.trace", plan)
    assert run.certificate == alone.certificate
    assert (run.counts(), run.complete, run.name) == (alone.counts(), True, "many")
    for name in ("ids", "ids_digest", "batch_size", "updates", "lr", "epoch", "step_in_epoch", "padding", "step"):
        np.testing.assert_array_equal(run.column(name), alone.column(name))
        assert run.source.unknown[name] == 0
    np.testing.assert_allclose(run.column("loss"), alone.column("loss"))
    assert [list(batch) for batch in run.batches()] == [list(batch) for batch in alone.batches()]
    assert [part.num_rows for part in run.replicas] == [run.num_rows] * replicas
    assert len({part.certificate for part in run.replicas} | {run.certificate}) == replicas + 1
    assert run.metadata["replica"] == {"of": replicas, "split": split, "gradients": "rows"}
    assert (alone.replicas, alone.dealt) == ((), ())


@pytest.mark.parametrize("woven", [False, True])
def test_lists_are_put_together_as_they_were_dealt(woven):
    count = part(300)
    for case in range(count):
        pick = random.Random(case)
        steps, replicas, each = pick.randint(1, 9), pick.randint(1, 5), pick.choice([1, 3])
        same = pick.random() < 0.3
        sizes = [[2 if same else pick.randint(0, 4) for _ in range(steps)] for _ in range(replicas)]
        if woven and pick.random() < 0.5:  # as rows that go round
            sizes = [[(g - rank + replicas - 1) // replicas for g in sizes[0]] for rank in range(replicas)]
        known = [[pick.random() < 0.9 for _ in range(steps)] for _ in range(replicas)]
        known = [[True] * steps for _ in known] if pick.random() < 0.5 else known
        rows = [[[[pick.randint(0, 99) for _ in range(each)] for _ in range(size)] for size in own] for own in sizes]
        lists = []
        for own, there in zip(rows, known, strict=True):
            kept = [values if is_there else [] for values, is_there in zip(own, there, strict=True)]
            flat = np.array([one for step in kept for row in step for one in row], np.int64)
            lists.append(Lists(flat, np.array(list(map(len, kept))), None if all(there) else np.array(there)))
        expected = []
        for step in range(steps):
            parts = [own[step] for own in rows] if all(there[step] for there in known) else []
            if woven:
                turns = [(turn, rank) for rank, part in enumerate(parts) for turn in range(len(part))]
                expected.append([parts[rank][turn] for turn, rank in sorted(turns)])
            else:
                expected.append([row for part in parts for row in part])
        result = together(lists, woven=woven, each=each)
        assert result.lengths.tolist() == list(map(len, expected))
        assert result.values.tolist() == [one for step in expected for row in step for one in row]
        if result.known is not None:
            assert result.known.tolist() == [all(there[step] for there in known) for step in range(steps)]
    assert count >= 1


def test_numbers_are_weighted_by_rows_and_what_must_agree_is_unknown_where_it_does_not(tmp_path):
    path = tmp_path / "run.trace"
    rows = [
        [{"ids": [0, 1, 2], "loss": 1.0, "accuracy": 1.0, "updates": 1, "lr": 0.5, "epoch": 0},
         {"ids": [3], "loss": 4.0, "updates": 2, "lr": 0.5, "epoch": 0},
         {"ids": [4], "loss": float("nan"), "updates": 3, "lr": float("nan"), "epoch": 1}],
        [{"ids": [5], "loss": 3.0, "accuracy": 0.0, "updates": 1, "lr": 0.5, "epoch": 0},
         {"ids": np.zeros(0, np.int64), "loss": float("nan"), "updates": 2, "lr": 0.25, "epoch": 0},
         {"ids": [6], "loss": 2.0, "updates": 2, "lr": float("nan"), "epoch": 0}],
    ]  # fmt: skip
    for rank, own in enumerate(rows):
        with xframe.record(path, replica=(rank, 2)) as rec:
            for row in own:
                rec.step(**row, weights_mark=1.0, also={"loss_rows": len(row["ids"])})
    run = xframe.Trace.open(path)
    np.testing.assert_array_equal(run.column("loss"), [1.5, 4.0, np.nan])
    assert run.known("accuracy").tolist() == [True, False, False]
    assert run.column("accuracy")[0] == 0.75
    assert run.known("updates").tolist() == [True, True, False]
    assert run.known("lr").tolist() == [True, False, True]  # NaN in both
    assert run.known("epoch").tolist() == [True, True, False]
    assert run.column("loss_rows").tolist() == [4, 1, 2]
    assert run.column("weights_mark").tolist() == [1, 1, 1]
    assert [batch.tolist() for batch in run.batches()] == [[0, 1, 2, 5], [3], [4, 6]]
    assert (run.source.unknown["updates"], run.source.unknown["loss"], run.source.unknown["step_in_epoch"]) == (1, 0, 3)
    times = [part.column("time_ns") for part in run.replicas]
    np.testing.assert_array_equal(run.column("time_ns"), np.maximum(*times))


@pytest.mark.parametrize("rows", [(3, 1), (2, 2), (4, 0), (0, 4)])
def test_losses_that_are_parts_of_the_steps_are_summed_and_nothing_else_is(tmp_path, rows):
    for facts in ({"replica_losses": "sum"}, {}):
        path = tmp_path / f"{len(facts)}.trace"
        for rank, size in enumerate(rows):
            with xframe.record(path, replica=(rank, 2), metadata=facts) as rec:
                for loss in (0.5 + rank, float("nan")):
                    rec.step(ids=range(size), updates=1, loss=loss, accuracy=0.25 + rank / 4)
                rec.step(ids=range(size), updates=1, loss=None if rank else 2.0)
    summed, weighted = (xframe.Trace.open(tmp_path / f"{number}.trace") for number in (1, 0))
    losses = [0.5 * bool(rows[0]) + 1.5 * bool(rows[1]), np.nan]
    np.testing.assert_array_equal(summed.column("loss")[:2], losses)
    np.testing.assert_array_equal(weighted.column("loss")[:2], [(0.5 * rows[0] + 1.5 * rows[1]) / 4, np.nan])
    for trace in (summed, weighted):
        assert trace.known("loss").tolist() == [True, True, not rows[1]]
        assert trace.column("accuracy")[0] == (0.25 * rows[0] + 0.5 * rows[1]) / 4
    assert summed.metadata["replica"]["losses"] == "sum"
    assert "losses" not in weighted.metadata["replica"]
    assert "replica_losses" not in summed.metadata


def test_a_replica_that_sums_beside_one_that_does_not_is_of_another_run(as_two):
    run, plan = as_two
    (run.path / "1.trace").unlink()
    rank_of(run.path, plan, 1, metadata={"replica_losses": "sum"})
    with pytest.raises(xframe.TraceError, match="not of one run: it is one whose losses are put together otherwise"):
        xframe.Trace.open(run.path)


def test_ids_that_a_replica_did_not_keep_are_unknown_in_the_run(tmp_path):
    plan = plans()
    rank_of(tmp_path / "run.trace", plan, 0)
    rank_of(tmp_path / "run.trace", plan, 1, ids=False)
    run = xframe.Trace.open(tmp_path / "run.trace")
    assert (run.source.unknown["ids"], run.source.unknown["ids_digest"]) == (run.num_rows, run.num_rows)
    assert not run.has_ids
    assert run.column("batch_size").sum() == 2 * SAMPLES
    assert run.frame()["ids_digest"].isna().all()


def test_chunks_and_blocks_of_any_size_give_the_same(tmp_path, monkeypatch):
    plan = plans(3, "interleaved", epochs=4)
    expected = one_process(tmp_path / "one.trace", plan)
    run_of(tmp_path / "run.trace", plan)
    for rows, ids, kept in ((7, 1, 0), (5, 40, 1 << 22), (1 << 17, 1 << 21, 4)):
        monkeypatch.setattr(merging, "BLOCK_ROWS", rows)
        monkeypatch.setattr(merging, "BLOCK_IDS", ids)
        monkeypatch.setattr(merging, "_KEPT_DIGESTS", kept)
        run = xframe.Trace.open(tmp_path / "run.trace")
        assert run.certificate == expected.certificate
        for name in ("ids", "ids_digest", "loss", "epoch", "step"):
            np.testing.assert_array_equal(run.column(name), expected.column(name))
        for start, stop in ((9, 11), (3, 30), (0, 1), (8, 20)):  # and back again
            np.testing.assert_array_equal(
                run.between("ids", start, stop).values, expected.between("ids", start, stop).values
            )
        assert xframe.compare(expected, run)


def reads_of(source, monkeypatch):
    """The columns that are read from each replica's file from now on."""
    reads = [[] for _ in source.parts]
    for file, names in zip(source.parts, reads, strict=True):

        def read(block, name, *, read=file.read, names=names):
            names.append(name)
            return read(block, name)

        monkeypatch.setattr(file, "read", read)
    return reads


@pytest.mark.parametrize("other", [None, 0, 9, 10, 11, 23])
def test_what_all_replicas_have_alike_is_read_once_and_one_other_value_is_found(tmp_path, monkeypatch, other):
    """Files of several blocks; a replica that has another rate, or none, in one row only."""
    monkeypatch.setattr(closed_form, "BLOCK_ROWS", 5)
    monkeypatch.setattr(merging, "BLOCK_ROWS", 7)  # chunks that begin in the midst of blocks
    for rank in range(3):
        with xframe.record(tmp_path / "run.trace", replica=(rank, 3)) as rec:
            for step in range(24):
                rate = 0.1 if rank != 1 or step != other else 0.2
                rec.step(ids=[3 * step + rank], updates=step + 1, lr=rate, loss=rank, weights_mark=rate)
    run = xframe.Trace.open(tmp_path / "run.trace")
    rates = run.known("lr")
    assert np.flatnonzero(~rates).tolist() == ([] if other is None else [other])
    found = [run.source.parting(name) for name in ("lr", "weights_mark", "updates")]
    assert found == ([None] * 3 if other is None else [(other, 1), (other, 1), None])
    reads = reads_of(run.source, monkeypatch)
    run.source._chunk.clear()
    for start, stop in ((0, 7), (7, 14), (14, 21), (21, 24)):
        for name in ("lr", "batch_size", "updates", "loss"):
            run.between(name, start, stop)
    assert reads[0].count("lr") >= 4
    assert [names.count("lr") for names in reads[1:]] == ([0, 0] if other is None else [reads[1].count("lr")] * 2)
    assert all({*names} <= {"lr", "loss"} for names in reads[1:])
    assert all(names.count("loss") >= 4 for names in reads)
    assert (reads[2].count("lr") > 0) is (other is not None)


def test_lists_of_some_rows_of_each_replica(tmp_path, monkeypatch):
    monkeypatch.setattr(closed_form, "BLOCK_ROWS", 6)
    monkeypatch.setattr(streams, "_FEWEST", 2)
    run = run_of(tmp_path / "run.trace", plans(3, epochs=4))
    for rows in ([0], [35], [3, 4, 5, 6, 7], [1, 5, 17, 18, 30], [], list(range(run.num_rows))):
        each = list(run.source.lists_of_each("ids", rows))
        assert len(each) == 3
        for replica, lists in zip(run.replicas, each, strict=True):
            assert [one.values.tolist() for one in lists] == [replica.ids(row).tolist() for row in rows]
            assert all(one.known is None and not one.values.base for one in lists if len(one.values))


def test_an_open_file_of_which_nothing_is_asked_holds_nothing(tmp_path):
    import pyarrow as pa

    for rank in range(4):
        with xframe.record(tmp_path / "run.trace", replica=(rank, 4), num_samples=1 << 20) as rec:
            ids = np.random.default_rng(rank).integers(0, 1 << 20, 1 << 18)
            rec.block(ids=ids, batch_sizes=np.full(1 << 16, 4), updates=np.arange(1 << 16) + 1)
    before = pa.total_allocated_bytes()
    run = xframe.Trace.open(tmp_path / "run.trace")
    merged = pa.total_allocated_bytes() - before
    alone = [opening.open_source(path) for path in run.source.paths]
    for one in alone:
        one.forget(0)
    assert pa.total_allocated_bytes() - before - merged < 1 << 16  # of files of 700 kB each
    assert sum(path.stat().st_size for path in run.source.paths) > 4 * 600_000


def test_weights_are_the_first_replicas(tmp_path):
    for rank in range(2):
        with xframe.record(tmp_path / "run.trace", replica=(rank, 2)) as rec:
            rec.step(ids=[rank])
            rec.weights({"w": np.full(2, rank, np.float32)})
    run = xframe.Trace.open(tmp_path / "run.trace")
    assert run.weights()["w"].tolist() == [0, 0]
    assert run.weight_types() == {"float32"}
    assert [part.weights()["w"].tolist() for part in run.replicas] == [[0, 0], [1, 1]]


def test_a_truncated_replica_truncates_the_run(tmp_path):
    plan = plans()
    rank_of(tmp_path / "run.trace", plan, 0)
    for _ in truncate(tmp_path / "run.trace" / "1.trace"):
        rank_of(tmp_path / "run.trace", plan, 1, steps=7)
    run = xframe.Trace.open(tmp_path / "run.trace")
    assert (run.ending, run.num_rows, run.end) == ("truncated", 7, {})
    assert [part.ending for part in run.replicas] == ["complete", "truncated"]
    comparison = xframe.compare(run)
    assert comparison.verdict == "inconclusive"
    assert "run is truncated after 7 steps" in str(comparison)


def test_an_interrupted_replica_ends_the_run(tmp_path):
    plan = plans()

    def stop(step, row):
        if step.index == 4:
            raise KeyboardInterrupt
        return {}

    rank_of(tmp_path / "run.trace", plan, 0)
    with pytest.raises(KeyboardInterrupt):
        rank_of(tmp_path / "run.trace", plan, 1, change=stop)
    run = xframe.Trace.open(tmp_path / "run.trace")
    assert (run.ending, run.num_rows) == ("interrupted by KeyboardInterrupt", 4)


def test_facts_are_those_that_all_state(tmp_path):
    for rank in range(2):
        with xframe.record(tmp_path / "run.trace", replica=(rank, 2), metadata={"label": "torch", "host": rank}) as rec:
            rec.settings({"optimizer.lr": 0.5, "loader.seed": rank})
            rec.step(ids=[rank])
            if rank:
                rec.validation(loss=0.25)
    run = xframe.Trace.open(tmp_path / "run.trace")
    assert (run.name, "host" in run.metadata, run.settings) == ("torch", False, {"optimizer.lr": 0.5})
    assert run.facts.started is not None
    assert [one.loss for one in run.validations] == [0.25]


# What is refused


def test_a_missing_replica(as_two):
    run, _ = as_two
    (run.path / "1.trace").unlink()
    with pytest.raises(
        xframe.TraceError, match=r"^1 of 2 replicas are there: got '.*two\.trace', expected 1\.trace too"
    ):
        xframe.Trace.open(run.path)
    assert xframe.Trace.open(run.path / "0.trace").num_rows == run.num_rows  # by itself it is one


def test_many_missing_replicas(tmp_path):
    rank_of(tmp_path / "run.trace", plans(9), 4)
    with pytest.raises(
        xframe.TraceError, match=r"1 of 9 replicas are there: .* expected 0\.trace, 1\.trace, 2\.trace, … too"
    ):
        xframe.Trace.open(tmp_path / "run.trace")


def test_two_files_of_one_replica(as_two):
    run, _ = as_two
    shutil.copy(run.path / "0.trace", run.path / "1.trace")
    with pytest.raises(
        xframe.TraceError, match=r"1\.trace is of another replica than its name says: got 0, expected 1"
    ):
        xframe.Trace.open(run.path)


def test_replicas_of_which_one_does_not_know_how_it_is_dealt_are_one_run(tmp_path):
    """Their rows are joined: as of a script that gives one rank a sampler of its own."""
    for rank, split in enumerate(("interleaved", None)):
        stated = {"replica_split": split} if split else {}
        with xframe.record(tmp_path / "b.trace", num_samples=4, metadata=stated, replica=(rank, 2)) as rec:
            rec.step(ids=np.array([rank, rank + 2]), updates=1)
    run = xframe.Trace.open(tmp_path / "b.trace")
    assert run.metadata["replica"]["split"] is None
    assert run.column("ids").tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (plans(3), "it is of another number of replicas: got 3, expected 2"),
        (plans(2, "interleaved"), "it is dealt otherwise: got interleaved, expected slices"),
        (plans(replica_gradients="replicas"), "it is of another mean of gradients: got replicas, expected rows"),
        (plans(epochs=3), "it is recorded under another plan. Give each run a folder of its own"),
    ],
)
def test_files_of_different_runs(as_two, other, words):
    run, _ = as_two
    (run.path / "1.trace").unlink()
    rank_of(run.path, other, 1)
    with pytest.raises(xframe.TraceError, match=rf"1\.trace and 0\.trace are not of one run: {words}"):
        xframe.Trace.open(run.path)


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        (({"token": "a"}, {"token": "b"}), "token"),
        (({}, {"token": "a"}, {"token": "b"}), "token"),
        (({"launcher": "A"}, {"launcher": "B"}), "launcher"),
        (({"launcher": "A"}, {}, {"launcher": "B"}), "launcher"),
        (({"token": "a", "launcher": "A"}, {"launcher": "B"}), "launcher"),
        (({"token": "a", "launcher": "A"}, {"token": "b", "launcher": "A"}), "token"),
        (({"token": "a", "launcher": "A"}, {"token": "a", "launcher": "B"}), None),
        (({"token": "a", "launcher": "A"}, {"launcher": "A"}), None),
        (({"token": "a"}, {"launcher": "A"}), None),
        (({}, {"token": "a"}, {}), None),
    ],
)
def test_what_is_stated_of_a_run_tells_it_from_others(tmp_path, monkeypatch, runs, word):
    plan, path = plans(len(runs)), tmp_path / "run.trace"
    for rank, run in enumerate(runs):
        with monkeypatch.context() as patch:
            patch.setattr(recording, "told_apart", lambda *_, run=run: run)
            rank_of(path, plan, rank)
    if word is None:
        assert xframe.Trace.open(path).metadata["replica"]["of"] == len(runs)
        return
    with pytest.raises(xframe.TraceError, match=f"are not of one run: it is of another one, by its {word}") as raised:
        xframe.Trace.open(path)
    assert raised.value.exit_code == 4


def test_a_damaged_replica(as_two):
    run, _ = as_two
    with (run.path / "1.trace").open("r+b") as file:
        file.seek(200)
        file.write(b"\0\1")
    with pytest.raises(xframe.TraceError, match=r"1\.trace is damaged"):
        xframe.Trace.open(run.path)


def in_place_of(path, what):
    path.unlink()
    {
        "nothing in it": path.touch,
        "another file": lambda: path.write_text("mine"),
        "a folder": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to nothing": lambda: path.symlink_to("nowhere"),
    }[what]()


@pytest.mark.parametrize(
    "what", ["nothing in it", "another file", "a folder", "a pipe", "a link to itself", "a link to nothing"]
)
@pytest.mark.parametrize("rank", [0, 1])
def test_what_is_no_trace_in_a_replicas_place_is_as_if_it_were_missing(as_two, what, rank):
    run, _ = as_two
    in_place_of(run.path / f"{rank}.trace", what)
    with pytest.raises(xframe.TraceError, match=rf"{rank}\.trace'.*Put the replica's trace there") as raised:
        xframe.Trace.open(run.path)
    assert raised.value.exit_code == 4


def test_folders_that_are_no_run(tmp_path):
    with pytest.raises(xframe.TraceError, match="no trace in the folder"):
        xframe.Trace.open(tmp_path)
    one_process(tmp_path / "0.trace", plans(), steps=2, replica=(0, 1))
    with pytest.raises(xframe.TraceError, match=r"0\.trace does not state which replica it is of"):
        xframe.Trace.open(tmp_path)


@pytest.mark.parametrize(
    "stated",
    [
        {"index": 0},
        {"index": 2, "of": 2},
        {"index": 0, "of": 1 << 40},
        {"index": "0", "of": 2},
        {"index": 0, "of": 2, "losses": "product"},
        {"index": 0, "of": 2, "run": "mine"},
        {"index": 0, "of": 2, "run": {"token": 7}},
        {"index": 0, "of": 2, "run": {"launcher": "x" * 201}},
    ],
)
def test_what_is_stated_of_a_replica_must_fit(tmp_path, monkeypatch, stated):
    import xframe.recording.recorder as recording

    monkeypatch.setattr(recording, "stated", lambda *_: {"replica": stated})
    rank_of(tmp_path / "run.trace", plans(), 0, steps=2)
    with pytest.raises(xframe.TraceError, match="which replica it is of is not stated as it must be"):
        xframe.Trace.open(tmp_path / "run.trace")


@pytest.mark.parametrize("sizes", [(1 << 60,) * 4, (5, 1 << 61, 5, 5)])
def test_more_samples_than_can_be_counted(tmp_path, sizes):
    for rank, size in enumerate(sizes):
        with xframe.record(tmp_path / "run.trace", replica=(rank, 4)) as rec:
            rec.block(batch_sizes=[size, size], updates=[1, 2])
    with pytest.raises(xframe.TraceError, match="its replicas' batches have more samples than can be counted"):
        xframe.Trace.open(tmp_path / "run.trace")


# Runs in several parts


def test_a_run_goes_on_with_another_number_of_replicas(tmp_path):
    plan = plans()
    whole = one_process(tmp_path / "whole.trace", plan)
    one_process(tmp_path / "a.trace", plan, steps=5)
    more = plans(3, "interleaved")
    for rank in range(3):
        rank_of(tmp_path / "b.trace", more, rank, first=5, continues=tmp_path / "a.trace", steps=11)
    for rank in range(2):
        rank_of(tmp_path / "c.trace", plan, rank, first=9, continues=tmp_path / "b.trace", step=9)
    run = xframe.Trace.open(tmp_path / "c.trace")
    assert run.certificate == whole.certificate
    assert [(one.step, one.before, one.after, one.abandoned) for one in run.joins] == [
        (5, "a.trace", "b.trace", 0),
        (9, "b.trace", "c.trace", 2),
    ]
    assert [(one.first, one.rows, len(one.source.parts)) for one in run.dealt] == [(5, 4, 3), (9, run.num_rows - 9, 2)]
    assert len(run.replicas) == 2
    assert run.weights() is None
    assert [file.name for file in run.files] == ["a.trace", "b.trace", "c.trace"]


def test_parts_named_with_a_plus_may_be_folders(tmp_path):
    plan = plans()
    whole = one_process(tmp_path / "whole.trace", plan)
    for rank in range(2):
        rank_of(tmp_path / "a.trace", plan, rank, steps=6)
        rank_of(tmp_path / "b.trace", plan, rank, first=6)
    with xframe.record(tmp_path / "c.trace", plan=plan, num_samples=SAMPLES) as rec:
        for step in list(plan.each_step(SAMPLES))[6:]:
            rec.step(ids=step.sample_ids, updates=step.update)
    for last in ("b.trace", "c.trace"):
        run = xframe.Trace.open(f"{tmp_path}/a.trace+{tmp_path}/{last}")
        assert run.certificate == whole.certificate
    assert run.replicas == ()
    assert len(run.dealt) == 1


def test_a_part_that_is_not_what_was_continued(tmp_path):
    plan = plans()
    for rank in range(2):
        rank_of(tmp_path / "a.trace", plan, rank, steps=6)
    for rank in range(2):
        rank_of(tmp_path / "b.trace", plan, rank, first=6, continues=tmp_path / "a.trace")
    shutil.rmtree(tmp_path / "a.trace")
    for rank in range(2):
        rank_of(tmp_path / "a.trace", plans(seed=5), rank, steps=6)
    with pytest.raises(xframe.TraceError, match=r"b\.trace continues another a\.trace"):
        xframe.Trace.open(tmp_path / "b.trace")


def test_more_replicas_than_a_process_may_have_files(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for rank in range(60):
        with xframe.record(tmp_path / "run.trace", replica=(rank, 60)) as rec:
            rec.step(ids=[rank])
    few = len(os.listdir("/dev/fd")) + 20
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, limits[1]))
        run = xframe.Trace.open(tmp_path / "run.trace")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert run.ids(0).tolist() == list(range(60))

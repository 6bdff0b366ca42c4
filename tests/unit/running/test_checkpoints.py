"""A run that stops keeps its whole state, and one that goes on from there is the run that never stopped."""

import errno
import os
import re
import shutil
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkpointed import PLAN, differences, run

import xframe
from xframe import verification
from xframe.cli.app import execute
from xframe.errors import StateError, TraceError, UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.running import checkpoints, registry, resuming
from xframe.running.checkpoints import Of, Wanted, read_checkpoint
from xframe.running.messages import _failure
from xframe.running.request import Request
from xframe.running.resuming import left_behind, require_resumable, resumed
from xframe.running.standing import expected
from xframe.running.states import read_content, write_state
from xframe.tasks.lookup import find_task
from xframe.trace.trace import Trace


@pytest.fixture
def stopped(tmp_path):
    """A run that stopped after 4 of its 8 steps, and its checkpoint."""
    run(PLAN, tmp_path / "a.trace", file=tmp_path / "a.st", stop_after=4)
    return tmp_path / "a.st"


def going(checkpoint, fields=None, plan=None, **given):
    wanted = Wanted(resume=str(checkpoint))
    return resumed(wanted, {"out": checkpoint.with_name("b.trace"), **given}, fields or {}, plan)


def test_a_run_that_stops_goes_on_as_if_it_had_not(tmp_path):
    whole = run(PLAN, tmp_path / "whole.trace")
    assert (whole.num_rows, whole.counts().num_updates, len(whole.validations)) == (8, 2, 4)
    for step in (1, 4, 7):
        folder = tmp_path / str(step)
        folder.mkdir()
        a = run(PLAN, folder / "a.trace", file=folder / "st", stop_after=step)
        assert (a.num_rows, a.complete, a.ending, a.weights()) == (step, False, "stopped as asked", None)
        b = run(PLAN, folder / "b.trace", resume=folder / "st", file=folder / "end")
        assert differences(whole, b) == []
        again = run(PLAN, folder / "c.trace", resume=folder / "end")  # nothing is left to do
        assert differences(whole, again) == []


def test_the_comparison_sees_a_run_that_goes_on_with_a_bit_less(stopped):
    whole = run(PLAN, stopped.with_name("whole.trace"))
    state, of = read_content(stopped)[:2]
    next(iter(state.gradients.values()))[...] = 0
    write_state(stopped, state, of)
    assert differences(whole, run(PLAN, stopped.with_name("b.trace"), resume=stopped))


def test_checkpoints_are_kept_every_few_steps_with_their_rows_on_the_disk(tmp_path, monkeypatch):
    kept = []

    def written(path, state, head, announce):
        kept.append((head["steps"], state.position["window"]["steps"], Trace.open(tmp_path / "a.trace").num_rows))
        write_state(path, state, head, announce)

    monkeypatch.setattr(checkpoints, "write_state", written)
    run(PLAN, tmp_path / "a.trace", file=tmp_path / "st", every=3)
    assert kept == [(3, 3, 3), (6, 6, 6), (8, 8, 8)]
    of = read_checkpoint(tmp_path / "st")[1]
    assert (of.steps, of.certificate) == (8, Trace.open(tmp_path / "a.trace").certificate)
    assert (of.trace, of.task, of.adapter, of.loop) == ("a.trace", "diabetes-regression", "numpy", "eager")
    assert of.plan_digest == PLAN.digest


def test_a_state_that_says_nothing_of_a_run_is_no_checkpoint(stopped):
    write_state(stopped, xframe.read_state(stopped))
    with pytest.raises(StateError, match="says nothing of the run"):
        read_checkpoint(stopped)
    write_state(stopped, xframe.read_state(stopped), {"steps": 4})
    with pytest.raises(StateError, match="of its run it has no plan"):
        read_checkpoint(stopped)


def test_a_damaged_checkpoint_is_refused(stopped):
    content = bytearray(stopped.read_bytes())
    content[-9] ^= 1
    stopped.write_bytes(content)
    with pytest.raises(StateError, match="its digest is a different one"):
        going(stopped)


@pytest.mark.parametrize(
    ("given", "fields", "what"),
    [
        ({"task": "digits-mlp"}, {}, "--task contradicts"),
        ({"precision": "float64"}, {}, "--precision contradicts"),
        ({"optimizer": "adamw"}, {}, "--optimizer contradicts"),
        ({"tf32": True}, {}, "--tf32 contradicts"),
        ({}, {"batch_size": 32}, "--batch-size contradicts"),
        ({}, {"plan": TrainingPlan(batch_size=5, steps=3)}, "the plan contradicts"),
        ({}, {"steps": 3}, "has made 4 steps already"),
        ({"out": "/elsewhere/b.trace"}, {}, "is not beside the new one"),
    ],
)
def test_what_contradicts_the_checkpoint_is_refused(stopped, given, fields, what):
    plan = fields.pop("plan", None) if "plan" in fields else None
    with pytest.raises(UsageError, match=what):
        going(stopped, fields, plan, **given)


def test_what_is_the_checkpoints_own_may_be_repeated(stopped):
    request = going(stopped, {"batch_size": 100}, PLAN, task="diabetes-regression", threads=3, adapters=("torch",))
    assert (request.plan, request.runtime.threads, request.selections[0].label) == (PLAN, 3, "torch")


def test_the_threads_are_those_of_the_run_unless_others_are_asked_for(stopped):
    edited(stopped, threads=3)
    assert going(stopped).runtime.threads == 3
    assert going(stopped, threads=1).runtime.threads == 1


def edited(checkpoint, threads=1, **parts):
    """A checkpoint with something else, of which its trace knows."""
    state, head, stated = read_content(checkpoint)
    write_state(checkpoint, replace(state, **parts), head | {"runtime": {**head["runtime"], "threads": threads}})
    trace = checkpoint.with_name("a.trace")
    known = Trace.open(trace).source.checkpoints
    assert [one["digest"] for one in known] == [stated]
    again(trace, read_content(checkpoint).digest)


def test_a_file_does_not_choose_what_is_imported(stopped):
    state, head = read_content(stopped)[:2]
    write_state(stopped, state, head | {"task": "antigravity:task"})
    with pytest.raises(UsageError, match="--task antigravity:task"):
        going(stopped)
    assert "antigravity" not in sys.modules


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module with a task, and the checkpoint of its run."""
    module = types.ModuleType("own_task_of_checkpoints")
    module.task = replace(find_task("digits-mlp"), name="own")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.name = f"{module.__name__}:task"
    plan = TrainingPlan(batch_size=200, steps=4, validation_every=2, validation_unit="steps")
    run(plan, tmp_path / "a.trace", task=module.name, file=tmp_path / "a.st", stop_after=2)
    return module, tmp_path / "a.st"


def _other_validation(task):
    features, targets = task.validation()
    return lambda: (features, np.roll(targets, 1))


OTHERS = {
    "layers": lambda task: replace(task, layers=(replace(task.layers[0], activation="tanh"), *task.layers[1:])),
    "loss": lambda task: replace(task, loss=replace(xframe.losses.of(task.loss), label_smoothing=0.1)),
    "metrics": lambda task: replace(task, metrics=()),
    "validation": lambda task: replace(task, validation=_other_validation(task)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_task_of_the_same_name_that_computes_something_else_is_refused(own, what):
    module, checkpoint = own
    assert going(checkpoint, task=module.name).task == module.name
    module.task = OTHERS[what](module.task)
    with pytest.raises(StateError, match=rf"computes something else than the run of .*got {what} "):
        going(checkpoint, task=module.name)


def test_other_data_are_refused(stopped):
    state, head = read_content(stopped)[:2]
    write_state(stopped, state, head | {"data_fingerprint": "0" * 32})
    with pytest.raises(StateError, match="samples of task 'diabetes-regression' are not those"):
        going(stopped)


def test_the_trace_of_another_run_that_took_the_same_samples_is_refused(stopped, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "a.trace").write_bytes(run(PLAN, tmp_path / "other" / "a.trace", precision="float64").path.read_bytes())
    with pytest.raises(TraceError, match=r"of another run.*got precision 'float64', expected precision 'float32'"):
        going(stopped)


def test_the_trace_of_a_run_with_another_optimizer_is_refused(stopped):
    state, head = read_content(stopped)[:2]
    rule = find_task("diabetes-regression").optimizer.to_dict()
    write_state(stopped, state, head | {"optimizer": rule})
    with pytest.raises(TraceError, match=r"of another run.*optimizer.rule"):
        going(stopped)


def test_a_trace_that_is_not_the_checkpoints_is_refused(stopped):
    state, head = read_content(stopped)[:2]
    write_state(stopped, state, head | {"certificate": "xf1-another"})
    with pytest.raises(TraceError, match="is not the trace of the run"):
        going(stopped)
    stopped.with_name("a.trace").unlink()
    with pytest.raises(TraceError, match=r"Put a\.trace there") as error:
        going(stopped)
    assert error.value.exit_code == 4


EDITS = {
    "plan": ("plan", {"seed": 3}, "a plan with the digest"),
    "no-plan": ("plan", {"batch_size": 0}, "in its head"),
    "digest": ("plan_digest", "0" * 32, "expected the plan of its plan_digest 000"),
    "threads": ("runtime", {"threads": 10**9}, "in its head threads 1000000000, expected an integer from 1 to 1024"),
    "threads-text": ("runtime", {"threads": "x"}, "in its head threads 'x'"),
    "device": ("runtime", {"device": "tpu"}, "in its head unknown device 'tpu'"),
    "precision": ("runtime", {"precision": "float64"}, "got a state in float32, expected its run's precision, float64"),
    "no-precision": ("runtime", {}, "got a run with the runtime {}, expected its precision"),
    "trace": ("trace", "/elsewhere/a.trace", "its trace is '/elsewhere/a.trace'"),
    "no-trace": ("trace", "", "its trace is ''"),
    "epoch": ("walk", {"epoch": 9}, "walk.epoch 9 at step 4, expected 1"),
    "step_in_epoch": ("walk", {"step_in_epoch": 4}, "walk.step_in_epoch 4 at step 4, expected 0"),
    "pass": ("walk", {"pass_index": 10**12}, "walk.pass_index 1000000000000"),
    "offset": ("walk", {"offset": 300}, "walk.offset 300 at step 4, expected 0"),
    "count": ("window", {"count": 2}, "window.count 2 at step 4, expected 1"),
    "present": ("window", {"present": 3}, "window.present 3"),
    "fresh": ("window", {"fresh": True}, "window.fresh True"),
    "over": ("window", {"over": True}, "window.over True"),
    "due": ("window", {"updates": 3}, "window.updates 3 at step 4, expected 1"),
    "counted": ("course", {"counted": 3}, "course.counted 3 at step 4, expected 4"),
    "stopped": ("course", {"stopped": True}, "got a run that has stopped early"),
    "stopping": ("course", {"stopping": None}, "early stopping's state None"),
    "attempts": ("numbers", {"attempts": 2}, "got attempts 2, expected 1 update, as many as were due"),
    "updates": ("numbers", {"updates": 0}, "got updates 0, expected 1, as in the trace's row of step 4"),
    "rate": ("numbers", {"rate": 0.5}, "got rate 0.5, expected"),
    "negative": ("numbers", {"rate": -0.05}, "got rate -0.05, expected"),
}


@pytest.mark.parametrize(("part", "value", "what"), EDITS.values(), ids=EDITS)
def test_an_edited_checkpoint_with_a_valid_digest_is_refused(stopped, part, value, what):
    state, head = read_content(stopped)[:2]
    if part in head and not value:
        head[part] = value
    elif part in head:
        head[part] = {**head[part], **value} if isinstance(value, dict) else value
    elif part == "numbers":
        state = replace(state, numbers={**state.numbers, **value})
    else:
        state = replace(state, position={**state.position, part: {**state.position[part], **value}})
    write_state(stopped, state, head)
    with pytest.raises(StateError, match=re.escape(what)) as error:
        going(stopped)
    assert (error.value.exit_code, str(stopped) in str(error.value)) == (2, True)


@pytest.mark.parametrize("edit", [{"waited": 3}, {"seen": 9}, {"best": 0.5}, {"best_validation": 0}])
def test_early_stopping_that_the_traces_validations_do_not_make_is_refused(stopped, edit):
    state, head = read_content(stopped)[:2]
    course = state.position["course"]
    course = {**course, "stopping": {**course["stopping"], **edit}}
    write_state(stopped, replace(state, position={**state.position, "course": course}), head)
    with pytest.raises(StateError, match="as after the 2 validations in the trace"):
        going(stopped)


def test_a_checkpoint_of_another_plan_than_its_traces_is_refused(stopped):
    state, head = read_content(stopped)[:2]
    longer = PLAN.model_copy(update={"epochs": 7})
    write_state(stopped, state, {**head, "plan": longer.to_dict(), "plan_digest": longer.digest})
    with pytest.raises(StateError, match=r"'epochs': 2.* in its trace, expected .*'epochs': 7"):
        going(stopped)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """The checkpoint of a model with several arrays of one shape."""
    folder, plan = tmp_path_factory.mktemp("transformer"), TrainingPlan(batch_size=8, steps=3)
    run(plan, folder / "a.trace", task="tiny-transformer", file=folder / "a.st", stop_after=2)
    return folder / "a.st"


@pytest.mark.parametrize("part", ["parameters", "velocity"])
def test_arrays_of_one_shape_that_were_swapped_among_names_are_refused(transformer, part):
    (state, head, stated), edited = read_content(transformer), transformer.with_name("edited")
    held = {**(state.parameters if part == "parameters" else state.slots[part])}
    query, key = held["transformerblock_0/query"], held["transformerblock_0/key"]
    assert not np.array_equal(query, key)
    held |= {"transformerblock_0/query": key, "transformerblock_0/key": query}
    edit = {"parameters": held} if part == "parameters" else {"slots": {**state.slots, part: held}}
    write_state(edited, replace(state, **edit), head)
    with pytest.raises(StateError, match=f"expected {stated}, which its trace states of the checkpoint after 2 steps"):
        going(edited)
    assert going(transformer).checkpoints.vouched == stated


def test_a_trace_that_states_no_checkpoint_is_not_gone_on_from(stopped):
    again(stopped.with_name("a.trace"), None)
    with pytest.raises(StateError, match="expected one that its trace states after 4 steps"):
        going(stopped)


def test_a_trace_with_other_losses_is_not_gone_on_from(stopped):
    again(stopped.with_name("a.trace"), None, loss=2.0)
    with pytest.raises(TraceError, match=r"a\.trace has other losses or learning rates than the checkpoint's run"):
        going(stopped)


def again(path, digest, loss=1.0):
    """Replaces a trace by one whose rows are the same, but for their losses, and that states that checkpoint."""
    trace = Trace.open(path)
    path.unlink()
    metadata = {name: value for name, value in trace.metadata.items() if name not in ("started", "platform")}
    with xframe.record(path, metadata=metadata) as recorder:
        for index, ids in enumerate(trace.batches()):
            row = {name: trace.column(name)[index].item() for name in ("updates", "lr", "epoch", "step_in_epoch")}
            recorder.step(ids=ids, loss=loss * trace.column("loss")[index].item(), **row)
            if index % 2:
                recorder.validation(loss=trace.validations[index // 2].loss)
        if digest is not None:
            recorder.checkpointed(digest)
    assert Trace.open(path).certificate == trace.certificate


def test_a_checkpoint_of_each_step_of_a_run_in_two_traces_is_gone_on_from(tmp_path):
    run(PLAN, tmp_path / "a.trace", file=tmp_path / "a.st", stop_after=3)
    run(PLAN, tmp_path / "b.trace", resume=tmp_path / "a.st", file=tmp_path / "b.st", every=1, stop_after=6)
    joined = Trace.open(tmp_path / "b.trace")
    assert [len(joined.checkpoints(step)) for step in range(9)] == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert joined.checkpoints(6) == {read_checkpoint(tmp_path / "b.st")[1].digest}
    request = resumed(Wanted(resume=str(tmp_path / "b.st")), {"out": tmp_path / "c.trace"}, {}, None)
    assert request.checkpoints.vouched == read_checkpoint(tmp_path / "b.st")[1].digest
    run(PLAN, tmp_path / "c.trace", resume=tmp_path / "b.st", vouched=request.checkpoints.vouched)
    assert differences(run(PLAN, tmp_path / "whole.trace"), Trace.open(tmp_path / "c.trace")) == []


def test_a_killed_runs_trace_vouches_for_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("xframe.trace.writer.TraceWriter.end", lambda *_, **__: pytest.fail("killed"))
    with pytest.raises(BaseException, match="killed"):
        run(PLAN, tmp_path / "a.trace", file=tmp_path / "a.st", every=3)
    trace = Trace.open(tmp_path / "a.trace")
    assert (trace.ending, [one["after"] for one in trace.source.checkpoints]) == ("truncated", [3, 6, 8])
    assert going(tmp_path / "a.st").checkpoints.vouched in trace.checkpoints(8)


def test_a_checkpoint_or_trace_that_is_replaced_after_it_was_checked_is_refused(stopped):
    vouched = going(stopped).checkpoints.vouched
    state, head = read_content(stopped)[:2]
    write_state(stopped, replace(state, numbers={**state.numbers, "rate": 0.2}), head)
    with pytest.raises(StateError, match="a different file than the one that was vouched for"):
        run(PLAN, stopped.with_name("b.trace"), resume=stopped, vouched=vouched)
    write_state(stopped, state, head)
    again(stopped.with_name("a.trace"), None, loss=2.0)
    with pytest.raises(TraceError, match=r"a\.trace is no longer the trace of the run"):
        run(PLAN, stopped.with_name("b.trace"), resume=stopped, vouched=vouched)


def test_where_a_long_run_stands_is_known_at_once():
    plan = TrainingPlan(batch_size=7, steps=10**12, gradient_accumulation_steps=5, accumulation_remainder="drop")
    began = time.perf_counter()
    stands = expected(plan, 1001, 10**9 + 3)
    assert time.perf_counter() - began < 1
    assert (stands.window.steps, stands.walk.epoch) == (10**9 + 3, (10**9 + 3) // 143)


def test_a_longer_limit_is_taken_by_name_where_the_run_stands_as_that_of_the_longer_plan(tmp_path):
    longer = PLAN.model_copy(update={"epochs": 4})
    whole = run(longer, tmp_path / "whole.trace")
    for step in (4, None):
        folder = tmp_path / str(step)
        folder.mkdir()
        run(PLAN, folder / "a.trace", file=folder / "st", **({"stop_after": step} if step else {}))
        assert going(folder / "st", {"epochs": 4}).plan == longer
        assert differences(whole, run(longer, folder / "b.trace", resume=folder / "st")) == []


def test_an_ended_run_goes_on_under_a_longer_limit(tmp_path):
    short = TrainingPlan(batch_size=100, epochs=1)
    longer = TrainingPlan(batch_size=100, epochs=2)
    whole = run(longer, tmp_path / "whole.trace")
    run(short, tmp_path / "a.trace", file=tmp_path / "st")
    assert going(tmp_path / "st", {"epochs": 2}).plan == longer
    assert differences(whole, run(longer, tmp_path / "b.trace", resume=tmp_path / "st")) == []


VALIDATED = {
    "in mid-epoch": {"updates": 2, "validation_unit": "epochs"},
    "behind a dropped window": {
        "epochs": 1,
        "validation_unit": "updates",
        "gradient_accumulation_steps": 3,
        "accumulation_boundary": "epoch",
        "accumulation_remainder": "drop",
    },
    "between two": {"steps": 3, "validation_unit": "steps", "validation_every": 2},
}


@pytest.mark.parametrize("fields", VALIDATED.values(), ids=VALIDATED)
def test_a_run_that_validated_since_it_ended_is_not_gone_on_with(tmp_path, fields):
    short = TrainingPlan(**{"batch_size": 100, "validation_every": 1, **fields})
    trace = run(short, tmp_path / "a.trace", file=tmp_path / "a.st")
    assert trace.validations[-1].after == trace.num_rows
    with pytest.raises(UsageError, match="is not what one with a longer limit does there"):
        going(tmp_path / "a.st", {"steps": 9})


def test_a_run_that_ended_at_a_validation_is_gone_on_with(tmp_path):
    short = TrainingPlan(batch_size=100, epochs=1, validation_every=1, validation_unit="epochs")
    longer = short.model_copy(update={"epochs": 2})
    run(short, tmp_path / "a.trace", file=tmp_path / "a.st")
    assert going(tmp_path / "a.st", {"epochs": 2}).plan == longer
    whole = run(longer, tmp_path / "whole.trace")
    assert differences(whole, run(longer, tmp_path / "b.trace", resume=tmp_path / "a.st")) == []


def test_a_shorter_limit_is_taken_where_the_run_has_not_come_to_it(stopped):
    for limit in ({"steps": 6}, {"updates": 2}):
        shorter = PLAN.model_copy(update={"epochs": None, **limit})
        folder = stopped.parent / next(iter(limit))
        whole = run(shorter, folder.with_suffix(".trace"))
        assert going(stopped, limit).plan == shorter
        assert differences(whole, run(shorter, stopped.with_name(f"{folder.name}.b.trace"), resume=stopped)) == []
    for limit in ({"steps": 4}, {"steps": 2}, {"updates": 1}, {"epochs": 1}):
        with pytest.raises(UsageError, match=r"already: got .*, expected more"):
            going(stopped, limit)


def test_a_run_that_is_refused_before_its_first_step_leaves_nothing(stopped, monkeypatch):
    rows = Trace.open(stopped.with_name("a.trace")).num_rows
    monkeypatch.setattr("xframe.verification.make_way", lambda *_: None)

    def refused(path, **continued):
        def execute(*_):
            with xframe.record(path, **continued):
                path.with_suffix(".log").write_text("why")
            raise StateError("the state does not fit")

        monkeypatch.setattr("xframe.running.harness.execute", execute)
        with pytest.raises(StateError, match="does not fit"):
            verification.run(replace(going(stopped), out=path), None)
        return path.exists(), path.with_suffix(".log").exists()

    assert refused(stopped.with_name("n.trace")) == (False, False)
    assert refused(stopped.with_name("c.trace"), continues=stopped.with_name("a.trace"), step=4) == (False, False)
    assert Trace.open(stopped.with_name("a.trace")).num_rows == rows
    shutil.copy(stopped.with_name("a.trace"), stopped.with_name("n.trace"))
    verification._remove_refused(stopped.with_name("n.trace"))
    assert stopped.with_name("n.trace").exists()  # it has steps


def test_a_file_that_may_not_grow_further_is_named(tmp_path, monkeypatch):
    def write(*_):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(checkpoints, "write_state", write)
    with pytest.raises(OSError, match="too large") as error:
        run(PLAN, tmp_path / "a.trace", file=tmp_path / "st", stop_after=4)
    failed = _failure(error.value)
    assert (failed.kind, failed.text) == ("full", f"File too large: {tmp_path / 'st'}")


def test_an_adapter_that_is_gone_is_needed_only_where_no_other_is_named(stopped, monkeypatch):
    left = {name: entry for name, entry in registry.available().items() if name != "numpy"}
    for module in (registry, resuming):
        monkeypatch.setattr(module, "available", lambda: left)
    with pytest.raises(UsageError, match=r"made .*a\.st is not installed: got 'numpy', .*torch.*with --adapter"):
        going(stopped)
    request = going(stopped, adapters=("torch",), device="cpu")
    assert [selection.label for selection in request.selections] == ["torch"]
    require_resumable(request)


def test_loops_without_a_state_are_refused_by_name():
    with pytest.raises(UsageError, match=r"loop loader.*numpy:eager.*torch:eager.*torch:compile"):
        require_resumable(Request(plan=PLAN, adapters=("torch:loader",)))
    require_resumable(Request(plan=PLAN, adapters=("numpy", "torch:compile")))


@pytest.mark.parametrize(
    ("wanted", "what"),
    [({"every": 0, "file": "f"}, "from 1"), ({"every": 5}, "without a checkpoint"), ({"stop_after": 5}, "without a")],
)
def test_options_without_a_meaning_are_refused(wanted, what):
    with pytest.raises(UsageError, match=what):
        Wanted(**wanted)


def test_a_head_is_read_with_keys_that_are_not_known(stopped):
    _, head = read_content(stopped)[:2]
    assert Of.read(head | {"new": 1}) == read_checkpoint(Path(stopped))[1]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--precision", "float32"], None),
        (["--precision", "float64"], "--precision contradicts the checkpoint: got 'float64', expected float32"),
        (["--task", "digits-mlp"], "--task contradicts the checkpoint"),
        (["--adapter", "torch:loader"], "adapter 'torch:loader' keeps no checkpoints: got loop loader"),
        (["--checkpoint-every", "5"], "--checkpoint-every without a checkpoint"),
        (["--stop-after", "4", "--checkpoint", "new"], "expected more than the 4 steps that the run has made"),
    ],
)
def test_the_command_line_refuses_what_contradicts(stopped, monkeypatch, capsys, words, what):
    monkeypatch.chdir(stopped.parent)
    monkeypatch.setattr(verification, "run", lambda request, _: Trace.open("a.trace"))
    code = execute(["run", "--resume", "a.st", "--out", "b.trace", *words])
    assert code == (0 if what is None else 2)
    assert (what or "b.trace: 4 steps") in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["b.trace", "./b.trace", "link", "b.log", "b.weights.safetensors"])
def test_a_checkpoint_and_what_the_run_makes_are_not_one_file(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("b.trace")
    monkeypatch.setattr(verification.harness, "execute", lambda *_: pytest.fail("it began"))
    Path("plan.toml").write_text(PLAN.to_toml())
    words = ["run", "plan.toml", "--adapter", "numpy", "--out", "b.trace", "--checkpoint", name]
    assert execute([*words, "--task", "diabetes-regression"]) == 2
    assert "would take the place of a file that the run makes" in capsys.readouterr().err
    assert not Path("b.trace").exists()


def test_the_trace_is_not_written_over_the_checkpoint_that_it_goes_on_from(stopped, monkeypatch, capsys):
    monkeypatch.chdir(stopped.parent)
    before = stopped.read_bytes()
    assert execute(["run", "--resume", "a.st", "--out", "a.st"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert stopped.read_bytes() == before


def test_random_numbers_of_another_framework_are_said_to_stay_behind(stopped):
    assert left_behind(str(stopped), going(stopped)) is None
    edited(stopped, native={"torch/random_cpu": np.zeros(8, np.uint8)})
    assert left_behind(str(stopped), going(stopped, adapters=("torch",))) is None
    assert "numpy draws its own" in left_behind(str(stopped), going(stopped))

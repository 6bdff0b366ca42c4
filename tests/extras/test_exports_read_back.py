"""What was exported is read back by the tools that it is for: TensorBoard, MLflow, MLPerf's own parser and checker."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import xframe
from xframe.errors import TraceError, UsageError
from xframe.recording.logs import import_run
from xframe.report.exports import export_run

PLAN = xframe.TrainingPlan(batch_size=4, epochs=3, gradient_accumulation_steps=2, accumulation_remainder="flush")
NUM_SAMPLES = 10  # three steps an epoch, two updates


@pytest.fixture
def recorded(tmp_path):
    """A run with gradient norms at its updates, a loss that is no number, validations and settings."""

    def record(name="run", error=None):
        path = tmp_path / f"{name}.trace"
        try:
            with xframe.record(path, num_samples=NUM_SAMPLES, plan=PLAN) as rec:
                rec.settings({"optimizer.class": "SGD", "optimizer.weight_decay": 0.01, "layers/0:kind": "Dense"})
                updates = 0
                for step in PLAN.each_step(NUM_SAMPLES):
                    norm = {"gradient_norm": 0.5} if step.update > updates else {}
                    updates = step.update
                    loss = math.nan if step.index == 4 else 1 / (step.index + 3)
                    rec.step(
                        ids=step.sample_ids,
                        updates=updates,
                        loss=loss,
                        lr=0.1 - 0.01 * updates,
                        epoch=step.epoch,
                        also=norm,
                    )
                    if step.step_in_epoch == 2:
                        rec.validation(batch_sizes=[5], loss=0.25 * step.epoch, accuracy=0.2 * step.epoch)
                if error is not None:
                    raise error
        except KeyError:
            pass
        return xframe.Trace.open(path)

    return record


# In a process of its own, without TensorFlow: TensorBoard would load it where it is installed.
ACCUMULATE = """
import json, sys, types
sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
read.Reload()
found = {tag: [[one.step, one.value, one.wall_time] for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
assert "tensorflow" not in sys.modules
print(json.dumps([found, [text.decode() for text in read.Tensors("run")[0].tensor_proto.string_val]]))
"""


def test_tensorboard_shows_the_numbers_of_each_step(tmp_path, recorded):
    trace = recorded()
    folder = export_run(trace, tmp_path / "events", form="tensorboard").path
    done = subprocess.run([sys.executable, "-c", ACCUMULATE, folder], capture_output=True, text=True, check=True)
    found, told = json.loads(done.stdout)
    assert {"loss", "lr", "gradient_norm", "validation/loss", "validation/accuracy", "epoch"} <= found.keys()
    for name in ("loss", "lr", "gradient_norm", "updates"):
        rows, points = np.flatnonzero(trace.known(name)), np.array(found[name])
        np.testing.assert_array_equal(points[:, 0], rows)
        np.testing.assert_array_equal(points[:, 1], trace.column(name)[rows].astype(np.float32))
        assert (np.diff(points[:, 2]) >= 0).all()
        assert points[0, 2] > 1e9
    assert len(found["gradient_norm"]) == 6
    assert [point[:2] for point in found["validation/accuracy"]] == [
        [2, 0.0],
        [5, np.float32(0.2)],
        [8, np.float32(0.4)],
    ]
    assert {f"certificate: {trace.certificate}", "ending: complete", "plan.batch_size: 4"} <= {*told}


def test_the_same_trace_gives_the_same_events_which_are_imported_again(tmp_path, recorded):
    trace = recorded()
    folders = [export_run(trace, tmp_path / name, form="tensorboard").path for name in "ab"]
    first, second = ([(file.name, file.read_bytes()) for file in folder.iterdir()] for folder in folders)
    assert first == second
    import_run(folders[0], tmp_path / "again.trace")
    again = xframe.Trace.open(tmp_path / "again.trace")
    np.testing.assert_array_equal(again.column("updates"), trace.column("updates"))
    np.testing.assert_array_equal(again.column("loss"), trace.column("loss").astype(np.float32))


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    """A client of a database."""
    pytest.importorskip("alembic", reason="the extra mlflow is not installed")
    client = pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not installed").MlflowClient
    monkeypatch.chdir(tmp_path)
    return lambda path: client(tracking_uri=f"sqlite:///{path}")


@pytest.mark.filterwarnings("ignore")  # of its own libraries
def test_mlflow_has_parameters_and_metrics_of_each_run(tmp_path, recorded, mlflow, capsys):
    trace, path = recorded(), tmp_path / "runs.db"
    export_run(trace, path, form="mlflow")
    export_run(recorded("failed", KeyError("x")), path, form="mlflow")
    client = mlflow(path)
    experiment = client.get_experiment_by_name("xframe")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {"run": "FINISHED", "failed": "FAILED"}
    data = runs["run"].data
    assert data.params["plan.batch_size"] == "4"
    assert data.params["counts.num_updates"] == "6"
    assert data.params["optimizer.weight_decay"] == "0.01"
    assert data.params["layers_0_kind"] == "Dense"
    assert data.tags["xframe.certificate"] == trace.certificate
    history = {name: client.get_metric_history(runs["run"].info.run_id, name) for name in data.metrics}
    losses = [(one.step, one.value) for one in sorted(history["loss"], key=lambda one: one.step)]
    np.testing.assert_array_equal([value for _, value in losses], trace.column("loss"))
    assert [step for step, _ in losses] == list(range(9))
    assert sorted((one.step, one.value) for one in history["validation/loss"]) == [(2, 0.0), (5, 0.25), (8, 0.5)]
    assert runs["run"].info.start_time > 1e12
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != ".trace") == ["runs.db"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("form", "module"), [("mlflow", "mlflow"), ("tensorboard", "tensorboard.compat")])
def test_a_form_whose_library_is_missing_names_its_extra(tmp_path, recorded, form, module, monkeypatch):
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"pip install 'xframe-toolkit\[{form}\]'"):
        export_run(recorded(), tmp_path / "out", form=form)
    assert not os.path.lexists(tmp_path / "out")


def test_mlperf_reads_the_log_by_its_own_rules(tmp_path, recorded):
    parser = pytest.importorskip(
        "mlperf_logging.compliance_checker.mlp_parser", reason="MLCommons' mlperf_logging is not installed"
    )
    trace = recorded()
    path = export_run(trace, tmp_path / "run.log", form="mlperf").path
    lines, errors = parser.parse_file(str(path), ruleset="5.0.0")
    assert not errors
    assert len(lines) == len(path.read_text().splitlines())
    values = {line.key: line.value["value"] for line in lines}
    assert {key: values[key] for key in ("global_batch_size", "gradient_accumulation_steps", "train_samples")} == {
        "global_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "train_samples": 10,
    }
    assert (values["opt_name"], values["opt_base_learning_rate"], values["opt_weight_decay"]) == ("sgd", 0.1, 0.01)
    assert (values["eval_samples"], values["trained_samples"], values["seed"]) == (5, 30, 0)
    order = [
        line.key for line in lines if line.key.startswith(("run_", "epoch_", "eval_")) and line.key != "eval_samples"
    ]
    epoch = ["epoch_start", "epoch_stop", "eval_start", "eval_accuracy", "eval_stop"]
    assert order == ["run_start", *epoch * 3, "run_stop"]
    stops = [line.value["metadata"] for line in lines if line.key == "epoch_stop"]
    assert stops == [{"epoch_num": i + 1, "samples_count": 10 * (i + 1)} for i in range(3)]
    assert lines[-1].value["metadata"] == {"status": "success", "samples_count": 30}
    times = [line.timestamp for line in lines]
    assert times == sorted(times)
    failed = export_run(recorded("failed", KeyError("x")), tmp_path / "failed.log", form="mlperf").path
    assert parser.parse_file(str(failed), ruleset="5.0.0")[0][-1].value["metadata"]["status"] == "aborted"


def test_mlperf_finds_nothing_wrong_but_what_a_submitter_states(tmp_path, recorded):
    checker = pytest.importorskip(
        "mlperf_logging.compliance_checker.mlp_compliance", reason="MLCommons' mlperf_logging is not installed"
    )
    from mlperf_logging.compliance_checker import mlp_parser as parser

    path = export_run(recorded(), tmp_path / "run.log", form="mlperf").path
    lines, _ = parser.parse_file(str(path), ruleset="5.0.0")
    judge = checker.ComplianceChecker("training", "5.0.0", quiet=True, werror=False)
    judge.configured_checks(lines, os.path.join(os.path.dirname(checker.__file__), "training_5.0.0", "common.yaml"))
    stated = {"submission_org", "submission_platform", "submission_division", "cache_clear", "init_start", "init_stop"}
    assert judge.overwritable.keys() - stated == {"run_start"}  # which must follow init_stop
    assert judge.not_overwritable == []


@pytest.mark.parametrize(("form", "told"), [("tensorboard", b"ending: "), ("mlperf", b'"status": "aborted"')])
def test_a_run_that_was_cut_short_says_so(tmp_path, recorded, form, told):
    trace, out = recorded("failed", KeyError("x")), tmp_path / "out"
    export_run(trace, out, form=form)
    (file,) = [out] if out.is_file() else out.iterdir()
    assert told + trace.ending.encode() * (form == "tensorboard") in file.read_bytes()
    with pytest.raises(TraceError, match=r"the run would look whole.*tensorboard, mlflow, mlperf"):
        export_run(trace, tmp_path / "out.csv", form="csv")

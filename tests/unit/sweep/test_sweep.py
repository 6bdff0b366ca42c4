"""Sweeps: what a file lists, what is wrong with one, what is run, what the table has, and how a sweep goes on."""

import hashlib
import json
import shlex
import sys
import textwrap
import types

import pandas as pd
import pytest

import xframe
from xframe.cli import app as cli
from xframe.plan.fields import FIELDS
from xframe.sweep import engines, grid, table
from xframe.sweep.folder import Folder
from xframe.tasks.optimizers import read

GRID = """
    [plan]
    epochs = 1
    [grid]
    batch_size = [600, 900]
    adapter = ["numpy"]
    seed = [0, 1]
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a sweep's file in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="grid.toml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def varied(path):
    return [one.words for one in grid.read(path).trials]


def failing(*tokens, capsys):
    code = cli.execute(["sweep", *map(str, tokens)])
    return code, capsys.readouterr().err


# What a file lists


def test_every_combination_in_the_order_of_the_file(written):
    assert varied(written(GRID)) == [
        "batch_size 600, seed 0",
        "batch_size 600, seed 1",
        "batch_size 900, seed 0",
        "batch_size 900, seed 1",
    ]


def test_without_an_adapter_those_of_verify(written):
    trials = grid.read(written("[plan]\nepochs = 1\n[grid]\nbatch_size = [64]")).trials
    assert [one.settings["adapter"] for one in trials] == ["torch", "tensorflow"]
    assert trials[0].settings == {**grid.SETTINGS, "adapter": "torch"}


def test_cases_are_combined_with_the_grid_and_exceptions_left_out(written):
    text = """
        [plan]
        batch_size = 64
        epochs = 3
        [run]
        adapter = "numpy"
        [grid]
        seed = [0, 1]
        [[cases]]
        name = "whole"
        [[cases]]
        name = "accumulated"
        batch_size = 16
        gradient_accumulation_steps = 4
        [[cases]]
        name = "few updates"
        updates = 7
        [[exclude]]
        name = "whole"
        seed = 1
    """
    trials = grid.read(written(text)).trials
    shown = [(one.case, one.plan.batch_size, tuple(one.plan.limits), one.plan.seed) for one in trials]
    assert shown == [
        ("whole", 64, (3, None, None), 0),
        ("accumulated", 16, (3, None, None), 0),
        ("accumulated", 16, (3, None, None), 1),
        ("few updates", 64, (None, None, 7), 0),  # its limit replaces all of [plan]
        ("few updates", 64, (None, None, 7), 1),
    ]
    assert trials[1].words == "case accumulated, seed 0"


def test_a_trial_is_known_by_what_it_is(written):
    more = GRID.replace("[600, 900]", "[900, 300, 600]").replace("[0, 1]", "[1, 2, 0]")
    first = {one.words: one.id for one in grid.read(written(GRID)).trials}
    second = {one.words: one.id for one in grid.read(written(more)).trials}
    assert first.items() <= second.items()
    assert len(set(second.values())) == 9


def test_the_command_of_a_row_is_its_plan(written):
    text = GRID.replace("epochs = 1", 'steps = 7\nreshuffle = false\nremainder = "drop"')
    trial = grid.read(written(text)).trials[-1]
    words = trial.command.split()
    assert words[:4] == ["xframe", "verify", "--adapters", "numpy"]
    options = [word for word in words if word not in ("--no-reshuffle",)]
    given = dict(zip(options[4::2], options[5::2], strict=True))
    assert given == {
        "--task": "digits-mlp",
        "--precision": "float32",
        "--threads": "1",
        "--batch-size": "900",
        "--steps": "7",
        "--remainder": "drop",
        "--seed": "1",
    }
    assert "--no-reshuffle" in words


# What is wrong with one


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("batch_size = 64", ["'batch_size' outside a table", "under [plan]", "list under [grid]"]),
        ("[grids]\nseed = [1]", ["no table of a sweep", "'grids'", "Did you mean 'grid'?"]),
        ("", ["no trials in the file", "batch_size = [32, 64]"]),
        ("[plan]\nbatch_size = [1, 2]", ["a list in [plan]: batch_size", "Move the line to [grid]"]),
        ("[grid]\nbatch_size = 64", ["batch_size in [grid]", "batch_size = [64]", "move the line to [plan]"]),
        ("[grid]\nseed = []", ["seed in [grid]", "at least one value"]),
        ("[grid]\nseed = [1, 2, 1]", ["seed in [grid] has a value twice", "got 1"]),
        ("[grid]\nmax_epochs = [1]", ["unknown name in [grid]", "A plan calls it epochs"]),
        ("[grid]\nseeds = [1]", ["unknown name in [grid]", "Did you mean 'seed'?"]),
        ("[plan]\ntask = 'ledger'", ["'task' in [plan]", "it in [run]"]),
        ("[plan]\nseed = 1\n[grid]\nseed = [1]", ["seed in [plan] and in [grid]", "Remove it from [plan]"]),
        ("[cases]\nseed = 1", ["[cases]", "[[cases]]", "two brackets"]),
        ("[grid]\nseed = [1]\n[[cases]]\nseed = 1", ["seed in [grid] and in [[cases]]"]),
        ("[plan]\nepochs = 1\n[grid]\nseed = [1]", ["batch_size is missing", "batch_size = 64"]),
        (GRID + "    [[exclude]]\n    seed = 7", ["[[exclude]] that leaves nothing out", "seed"]),
        (GRID + "    [[exclude]]\n    seed = [1]", ["seed in [[exclude]]", "one value"]),
        (GRID + "    [run]\n    threads = '2'", ["threads: got '2'", "a whole number"]),
        (GRID + "    [run]\n    precision = 'float8'", ["4 of 4 trials cannot run", "unknown precision", "float64"]),
        (GRID + "    [run]\n    task = 'digit'", ["4 of 4 trials cannot run", "unknown task", "digits-mlp"]),
        (GRID.replace('"numpy"', '"numpi"'), ["unknown adapter", "Did you mean 'numpy'?"]),
        (
            GRID + "    gradient_accumulation_steps = [1, 4]\n    loss_normalization = ['sum']",
            ["the trial batch_size 600", "loss_normalization without", "[[exclude]]"],
        ),
        (GRID + "    remainder = ['keep', 'drop']\n    steps_per_epoch = [1]", []),
    ],
)
def test_each_mistake_has_its_remedy(written, capsys, text, parts):
    code, err = failing(written(text), "--list", capsys=capsys)
    assert code == (2 if parts else 0)
    shown = " ".join(err.split())
    assert [part for part in parts if part not in shown] == []


def test_optimizers_are_an_axis(written, tmp_path):
    """A rule in place of the task's own; a trial without one is known by what it was before there were any."""
    text = '[plan]\nepochs = 1\nbatch_size = 900\n[run]\nadapter = "numpy"\n{}'
    stated = ["adamw", "keras.adam learning_rate=0.01"]
    trials = grid.read(written(text.format(f"[grid]\noptimizer = {json.dumps(stated)}"))).trials
    assert [one.words for one in trials] == [f"optimizer {each}" for each in stated]
    assert [repr(one.request().rule) for one in trials] == [repr(read(each)) for each in stated]
    words = shlex.split(trials[1].command)
    assert words[words.index("--optimizer") + 1] == stated[1]
    (plain,) = grid.read(written(text.format(""))).trials
    meant = {
        "plan": plain.plan.to_dict(),
        **{name: value for name, value in plain.settings.items() if value is not None},
    }
    assert plain.id == f"numpy-{hashlib.blake2b(json.dumps(meant, sort_keys=True).encode(), digest_size=6).hexdigest()}"
    assert "--optimizer" not in plain.command
    (tmp_path / "own.toml").write_text('name = "adamw"')
    same = grid.read(written(text.format(f"[grid]\noptimizer = [{json.dumps(str(tmp_path / 'own.toml'))}]"))).trials
    assert [one.id for one in same] == [trials[0].id]  # known by the rule, not by how it is stated
    with pytest.raises(xframe.UsageError, match="Did you mean 'adam"):
        grid.read(written(text.format('[grid]\noptimizer = ["adamm"]')))


def test_the_list_of_trials(written, capsys):
    assert cli.execute(["sweep", str(written(GRID)), "--list", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["num_trials"], facts["num_steps"]) == (4, 2 * 3 + 2 * 2)
    assert facts["trials"][1]["plan"] == {"batch_size": 600, "epochs": 1, "seed": 1}
    code, err = failing("absent.toml", "--list", capsys=capsys)
    assert (code, "cannot read the sweep's file" in err) == (2, True)


def test_an_exclude_may_name_an_axis(written):
    assert len(varied(written(GRID + "    [[exclude]]\n    seed = 1\n    batch_size = 900"))) == 3


# What is run


def results(folder):
    return pd.read_parquet(folder / "results.parquet")


def test_a_sweep_and_how_it_goes_on(written, tmp_path, capsys, monkeypatch):
    """Trials that are done are not run again; those that are new, or half written, are."""
    path, out, ran = written(GRID.replace("[600, 900]", "[900]")), tmp_path / "out", []
    run_all = engines.run_all

    def counted(assignments, *others):
        ran.append([one.trial.words for one in assignments])
        run_all(assignments, *others)

    monkeypatch.setattr(engines, "run_all", counted)
    assert cli.execute(["sweep", str(path), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "PASSED  2 of 2 trials ran; no plan has two trials to compare" in printed.out
    assert f"If it is stopped: xframe sweep {path} --out {out}" in printed.err
    first = results(out)
    assert list(first.columns) == list(table.COLUMNS)
    assert set(FIELDS) <= set(first.columns)
    assert first[["batch_size", "seed", "num_steps", "samples_seen"]].to_numpy().tolist() == [
        [900, 0, 2, 1797],
        [900, 1, 2, 1797],
    ]
    for _, row in first.iterrows():
        trace = xframe.Trace.open(out / "trials" / f"{row['trial']}.trace")
        assert (trace.certificate, trace.complete) == (row["certificate"], True)
        assert trace.column("loss")[-1] == row["final_loss"]
        assert row["last_epoch_loss"] == pytest.approx(trace.epochs()["loss"].iloc[-1])
        assert json.loads(row["versions"])["numpy"]
    assert not (out / ".running").exists()

    # As a kill leaves it: a row half written, and what a trial writes that is not done.
    first_trial, second_trial = first["trial"]
    (out / "rows" / f"{second_trial}.json").rename(out / "rows" / f".{second_trial}.json.1234.passing")
    (out / ".running" / "ab").mkdir(parents=True)
    (out / ".running" / "ab" / "old.trace").write_text("half")
    assert cli.execute(["sweep", str(out), "--json"]) == 0  # the folder alone is enough
    facts = json.loads(capsys.readouterr().out)
    assert (facts["done_before"], facts["ok"], facts["agree"]) == (1, 2, None)
    again = results(out)
    steady = [name for name in first.columns if name not in table.TIMES]
    pd.testing.assert_frame_equal(again[steady], first[steady])
    assert not (out / ".running").exists()
    assert {file.name for file in (out / "rows").iterdir()} == {f"{first_trial}.json", f"{second_trial}.json"}

    path.write_text(path.read_text().replace("[0, 1]", "[2, 1]"))
    assert cli.execute(["sweep", str(path), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "1 done before, 1 to run" in printed.err
    assert "1 trial done before, no longer in the file, not in the table" in printed.out
    assert results(out)["seed"].tolist() == [2, 1]
    assert ran == [["seed 0", "seed 1"], ["seed 1"], ["seed 2"]]
    assert cli.execute(["sweep", str(path), "--out", str(out)]) == 0
    assert len(ran) == 3


def test_the_last_unfinished_folder_of_the_same_file_is_gone_on_with(written, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engines, "run_all", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    path = written(GRID)
    for _ in range(2):
        assert cli.execute(["sweep", str(path)]) == 130
        assert f"0 of 4 trials done in xframe-runs/grid-1. Go on: xframe sweep {path}" in capsys.readouterr().err
    tokens = ["sweep", str(path), "--jobs", "2", "--no-traces"]
    assert cli.execute(tokens) == 130
    assert f"Go on: xframe {' '.join(tokens)}" in capsys.readouterr().err
    path.write_text(path.read_text().replace("[0, 1]", "[0]"))
    assert cli.execute(["sweep", str(path)]) == 130
    assert "xframe-runs/grid-2" in capsys.readouterr().err


def test_what_is_no_folder_of_a_sweep_is_refused(written, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    code, err = failing(written(GRID), "--out", tmp_path / "out", capsys=capsys)
    assert code == 2
    assert "no sweep's folder" in err


def test_one_sweep_at_a_time_and_no_damaged_row(written, tmp_path, capsys):
    path, folder = written(GRID), Folder(tmp_path / "out")
    folder.root.mkdir()
    with folder.held():
        code, err = failing(path, "--out", "out", capsys=capsys)
        assert (code, "a sweep is at work in this folder" in err) == (2, True)
    folder.prepare(path.read_text())
    trial = grid.read(path).trials[0].id
    folder.row_file(trial).write_text('{"outcome": ')
    code, err = failing(path, "--out", "out", capsys=capsys)
    assert (code, "a damaged row" in err, f"{trial}.json" in err, "Remove it" in err) == (3, True, True, True)


TOY = """
    import os, signal, time
    import numpy as np
    import xframe
    def named(end):
        def load():
            if end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if end == "hung":
                time.sleep(600)
            if end == "stopped" and not os.path.exists("over"):
                os.kill(os.getpid(), signal.SIGTERM)
            if end == "mended" and not os.path.exists("mended"):
                raise RuntimeError("not yet")
            return np.eye(4, 3, dtype="float32"), np.zeros(4, dtype="int64")
        start = {"dense_0/kernel": np.zeros((3, 2)), "dense_0/bias": np.zeros(2)}
        return xframe.Task(name=end, num_samples=4, load=load, initial_weights=lambda: dict(start),
                           loss="softmax_cross_entropy", optimizer=xframe.SGD(0.1), layers=(xframe.Dense(2),))
    killed, hung, mended, fine = map(named, ("killed", "hung", "mended", "fine"))
"""


def test_what_becomes_of_a_trial_is_its_own_outcome(written, tmp_path, capsys):
    """A process that is killed, as without memory, one that hangs, and one that fails; the others run."""
    written(TOY, "toy_of_sweeps.py")
    tasks = [f"toy_of_sweeps:{name}" for name in ("killed", "hung", "mended", "fine")]
    path = written(f"[plan]\nbatch_size = 2\nepochs = 1\n[grid]\nadapter = ['numpy']\ntask = {tasks}")
    tokens = ["sweep", str(path), "--out", "out"]
    assert cli.execute([*tokens, "--timeout", "6", "--jobs", "3"]) == 3
    printed = capsys.readouterr().out
    assert "FAILED  1 of 4 trials ran" in printed
    assert "3 trials did not run to the end:" in printed
    rows = results(tmp_path / "out").set_index("task")
    assert rows["outcome"].tolist() == ["failed", "timeout", "failed", "ok"]
    assert "was killed by SIGKILL" in rows["error"].iloc[0]
    assert rows["error"].iloc[1] == "not done within --timeout 6 s"
    assert "RuntimeError: not yet" in rows["error"].iloc[2]
    assert rows["certificate"].notna().tolist() == [False, False, False, True]
    log = tmp_path / "out" / "trials" / f"{rows['trial'].iloc[2]}.log"
    assert "not yet" in log.read_text()
    assert str(log.relative_to(tmp_path)) in printed

    # Outcomes stay; --retry runs what failed again.
    path.write_text(path.read_text().replace(f"'{tasks[1]}', ", ""))
    assert cli.execute(tokens) == 3
    (tmp_path / "mended").touch()
    assert cli.execute([*tokens, "--retry", "--no-traces"]) == 3
    assert results(tmp_path / "out")["outcome"].tolist() == ["failed", "ok", "ok"]
    assert not (tmp_path / "out" / "trials" / f"{rows['trial'].iloc[2]}.trace").exists()
    capsys.readouterr()


def test_an_engine_that_is_not_there(written, capsys, monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    code, err = failing(written(GRID), "--engine", "ray", capsys=capsys)
    assert code == 2
    assert "--engine ray needs a package that is not installed" in err
    assert "pip install 'xframe-toolkit[ray]'" in err


def test_an_interpreter_that_is_not_there_is_refused_before_a_trial_runs(written, tmp_path, capsys):
    path = written(GRID)
    code, err = failing(path, "--python", "torch=python3", capsys=capsys)
    assert (code, "an interpreter for an adapter that no trial has" in err) == (2, True)
    code, err = failing(path, "--python", "numpy=/no/python", capsys=capsys)
    assert (code, "no such interpreter for 'numpy'" in err) == (2, True)
    code, err = failing(path, "--timeout", "0", capsys=capsys)
    assert (code, "a number of seconds above 0" in err) == (2, True)
    code, err = failing(path, "--jobs", "0", capsys=capsys)
    assert (code, "trials at a time" in err) == (2, True)
    assert not (tmp_path / "xframe-runs").exists()


def test_a_trial_that_was_stopped_from_outside_leaves_no_row(written, tmp_path, capsys):
    """It did not fail: the same command runs it."""
    written(TOY + "    stopped = named('stopped')", "stopped_toy.py")
    path = written("[plan]\nbatch_size = 2\nepochs = 1\n[run]\nadapter = 'numpy'\ntask = 'stopped_toy:stopped'")
    assert cli.execute(["sweep", str(path), "--out", "out"]) == 3
    assert "1 trial left no row: stopped from outside" in capsys.readouterr().err
    (tmp_path / "over").touch()
    assert cli.execute(["sweep", str(path), "--out", "out"]) == 0


def test_a_cluster_that_does_not_answer(written, capsys, monkeypatch):
    def init(**_):
        raise ConnectionError("no answer\nand much more")

    fake = types.SimpleNamespace(init=init, register_ray=None)
    modules = dict.fromkeys(("ray", "ray.util", "ray.util.joblib"), fake)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: True)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    code, err = failing(written(GRID), "--engine", "ray", capsys=capsys)
    assert code == 3
    assert "cannot connect to the engine's cluster: got 10.0.0.1:6379 (ConnectionError: no answer)" in err
    assert "Check RAY_ADDRESS" in err


def test_what_replicas_left_of_a_trial_is_forgotten(tmp_path):
    """A folder of traces, and a log of each; those of other trials stay."""
    folder = Folder(tmp_path)
    trace, other = folder.trace("t1"), folder.trace("t2")
    for one in (trace, other):
        one.mkdir(parents=True)
        for index in range(2):
            (one / f"{index}.trace").write_text("rows")
            one.with_name(f"{one.stem}-{index}.log").write_text("said")
    folder.forget(["t1"])
    assert {file.name for file in trace.parent.iterdir()} == {"t2.trace", "t2-0.log", "t2-1.log"}

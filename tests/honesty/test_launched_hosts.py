"""Replicas that a launcher has started, each with its own xframe, are one run; and what ends one of them ends all.

Two processes stand for two hosts. What dies, hangs or never comes is as in ``test_failing_replicas``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from honesty.test_failing_replicas import BEYOND, ENGINES, MODULE, PATIENCE, left

from xframe.running.replicas import free_ports
from xframe.trace.trace import Trace

PLAN = ["--batch-size", "8", "--steps", "24", "--order", "sequential", "--task", "ledger", "--precision", "float64"]
OPTIONS = ["--replicas", "2", "--threads", "1", "--device", "cpu"]


def ranks(of: int = 2) -> list[dict[str, str]]:
    """As ``torchrun`` and scripts for ``srun`` set them."""
    common = {"WORLD_SIZE": str(of), "LOCAL_WORLD_SIZE": str(of), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    return [{**common, "RANK": str(index), "LOCAL_RANK": str(index)} for index in range(of)]


def tasks(of: int = 2) -> list[dict[str, str]]:
    """As a launcher of TensorFlow sets them."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(of)]}
    each = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(of)]
    return [{"TF_CONFIG": json.dumps(one)} for one in each]


def start(variables: Mapping[str, str], command: Sequence[str], folder: Path, mark: str = "") -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in (*ranks()[0], "TF_CONFIG")}
    environment |= {"MARK": mark, **variables}
    words = [sys.executable, "-m", "xframe", *command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, env=environment, cwd=folder, **pipes)


def ended(processes: Sequence[subprocess.Popen[str]], seconds: float = 150) -> list[tuple[int, str, str]]:
    """How each has ended: exit code, stdout, stderr."""
    try:
        outputs = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def words(stderr: str) -> str:
    return " ".join(stderr.split())


@pytest.mark.costly
@pytest.mark.thorough
@pytest.mark.parametrize("launcher", [ranks, tasks], ids=["ranks", "cluster"])
def test_both_frameworks_are_one_run_and_that_of_one_process(
    tmp_path: Path, launcher: Callable[[], list[dict[str, str]]]
) -> None:
    verify = ["verify", *PLAN, *OPTIONS, "--adapters", "torch,tensorflow", "--out", "out"]
    outcomes = ended([start(one, verify, tmp_path) for one in launcher()])
    assert [code for code, _, _ in outcomes] == [0, 0], outcomes
    (_, verdict, _), (_, other, said) = outcomes
    assert "PASSED" in verdict
    assert other == "replica 1 of 2 has trained; replica 0 reads out\n"
    assert "xframe: this is replica 1 of 2, by" in said
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out"]
    logs = [f"{adapter}-{index}.log" for adapter in ("tensorflow", "torch") for index in (0, 1)]
    reports = ["report.html", "report.json", "report.md"]
    written = sorted(["plan.toml", *reports, "tensorflow.trace", "torch.trace", *logs])
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == written
    (tmp_path / "one.toml").write_text("batch_size = 8\nsteps = 24\n")
    run = ["run", "one.toml", *PLAN, "--device", "cpu", "--adapter", "torch", "--out"]
    alone, here = start({}, [*run, "1.trace"], tmp_path), start({}, [*run, "2.trace", "--replicas", "2"], tmp_path)
    assert [code for code, _, _ in ended([alone, here])] == [0, 0]
    traces = [Trace.open(tmp_path / name) for name in ("1.trace", "2.trace", "out/torch.trace", "out/tensorflow.trace")]
    assert [len(trace.replicas) for trace in traces] == [0, 2, 2, 2]
    assert len({trace.certificate for trace in traces}) == 1


@pytest.mark.costly
@pytest.mark.thorough
def test_torchrun_on_two_hosts_that_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    def run(*command: str) -> None:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", command[-1]]
        words = [*torchrun, "-m", "xframe", "run", *command]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        outcomes = ended([subprocess.Popen(words, cwd=tmp_path, **pipes) for _ in range(2)])
        assert [code for code, _, _ in outcomes] == [0, 0], outcomes

    (tmp_path / "plan.toml").write_text("batch_size = 8\nsteps = 24\nreplicas = 2\n")
    common = ["--adapter", "torch", "--device", "cpu", "--threads", "1", "--task", "ledger", "--precision", "float64"]
    run("plan.toml", *common, "--checkpoint", "kept", "--stop-after", "10", "--out", "a.trace")
    run(*common, "--resume", "kept", "--out", "b.trace")
    ((code, _, _),) = ended([start({}, ["run", "plan.toml", *common, "--out", "own.trace"], tmp_path)])
    assert code == 0
    whole, own = Trace.open(tmp_path / "b.trace"), Trace.open(tmp_path / "own.trace")
    assert (whole.num_rows, whole.certificate) == (24, own.certificate)


def refused(folder: Path, variables: Mapping[str, str], *command: str) -> str:
    ((code, out, stderr),) = ended([start(variables, command, folder)], 60)
    assert (code, out) == (2, "")
    assert "Traceback" not in stderr
    return words(stderr)


def test_another_number_of_replicas_is_refused(tmp_path: Path) -> None:
    for command in (["verify", *PLAN, "--out", "out"], ["verify", *PLAN, "--replicas", "3", "--out", "out"]):
        said = refused(tmp_path, ranks()[1], *command)
        assert "this is replica 1 of 2, by RANK and WORLD_SIZE" in said
        assert "the plan has another number of replicas than the launcher has started (RANK and WORLD_SIZE)" in said
        assert "unset the variables" in said
    assert list(tmp_path.iterdir()) == []


def test_an_out_is_needed_that_is_new_and_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    verify = ["verify", *PLAN, *OPTIONS]
    assert "--out is missing" in refused(tmp_path, tasks()[0], *verify)
    assert "the output exists already" in refused(tmp_path, tasks()[1], *verify, "--out", "there")
    assert "cannot meet the other replicas" in refused(tmp_path, ranks()[0], *verify, "--out", "file/out")
    assert "--hand-over" in refused(tmp_path, ranks()[0], *verify, "--out", "new", "--hand-over", "3")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "there"]


@pytest.mark.thorough
@pytest.mark.parametrize("index", [0, 1])
def test_one_that_never_comes_or_whose_folder_is_not_shared(tmp_path: Path, index: int) -> None:
    command = ["verify", *PLAN, *OPTIONS, "--out", "out", "--patience", "1"]
    ((code, out, stderr),) = ended([start(ranks()[index], command, tmp_path)], 60)
    assert (code, out) == (3, "")
    assert f"replica {1 - index} of 2 did not come" in stderr
    assert "in a folder that all hosts share" in words(stderr)
    assert not (tmp_path / "out").exists()


def faulty(folder: Path, base: str, fault: str, mark: str) -> list[subprocess.Popen[str]]:
    """Two replicas of an adapter, of which the second is at fault."""
    site, scratch = folder / "site", folder / "scratch"
    metadata = site / "faulty-1.0.dist-info"
    metadata.mkdir(parents=True)
    scratch.mkdir()
    (site / "faulty.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[xframe.adapters]\nfaulty = faulty:Faulty\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    common = {"PYTHONPATH": path, "FAULT": fault, "BASE": base, "TMPDIR": str(scratch)}
    command = ["verify", "--adapters", "faulty", *PLAN, *OPTIONS, "--patience", str(PATIENCE), "--out", "out"]
    return [start({**one, **common}, command, folder, mark) for one in (ranks() if base == "torch" else tasks())]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
@pytest.mark.costly
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("base", "fault", "says"),
    [
        ("torch", "killed", "replica 1 of worker 'faulty' was killed by SIGKILL"),
        ("torch", "raises", "replica 1 of worker 'faulty' failed"),
        ("torch", "stopped", "replica 1 of worker 'faulty' is stopped, as by SIGSTOP"),
        ("torch", "hangs", "replica 1 of worker 'faulty' has said nothing for"),
        ("torch", "absent", "replica 1 of worker 'faulty' has said nothing for"),
        ("tensorflow", "killed", "replica 1 of worker 'faulty' was killed by SIGKILL"),
        ("tensorflow", "stopped", "replica 1 of worker 'faulty' is stopped, as by SIGSTOP"),
        ("tensorflow", "absent", "replica 1 of worker 'faulty' has said nothing for"),
    ],
)
def test_the_replica_at_fault_is_named_on_all_hosts(tmp_path: Path, base: str, fault: str, says: str) -> None:
    mark = uuid.uuid4().hex
    outcomes = ended(faulty(tmp_path, base, fault, mark))
    assert [code for code, _, _ in outcomes] == [3, 3], outcomes
    assert time.time() - (tmp_path / "at fault").stat().st_mtime < ENGINES[base] + BEYOND
    for _, _, stderr in outcomes:
        (message,) = [line for line in stderr.splitlines() if line.startswith("xframe: replica")]
        assert says in message
        assert "Traceback" not in stderr
    assert left(mark) == []
    assert list((tmp_path / "scratch").glob("xframe*")) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["at fault", "out", "scratch", "site"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
@pytest.mark.costly
@pytest.mark.thorough
def test_a_host_that_is_lost_is_named(tmp_path: Path) -> None:
    """Its xframe is killed with all that it has started, so that it says nothing of it."""
    mark = uuid.uuid4().hex
    first, second = faulty(tmp_path, "torch", "hangs", mark)
    deadline = time.monotonic() + 60
    while not (tmp_path / "at fault").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second.kill()
    (code, _, stderr), _ = ended([first, second])
    assert code == 3
    assert "replica 1 of 2 ended without a word" in stderr
    assert left(mark) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["at fault", "out", "scratch", "site"]

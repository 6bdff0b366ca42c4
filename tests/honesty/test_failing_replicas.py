"""One of several replicas dies, hangs or never comes: the error names it and nothing of the run is left.

The adapter is torch's, with DistributedDataParallel, or TensorFlow's, with MultiWorkerMirroredStrategy, whose replica 1
does that of itself; or one of NumPy's that stands for a framework which waits without end, or whose ports others take.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest

MODULE = """
import os, signal, time
from xframe.running import registry

FAULT = os.environ["FAULT"]


class Faulty(type(registry.load(os.environ["BASE"]))):
    name = "faulty"

    def run(self, plan, task, runtime, recorder, *rest):
        self.fails = runtime.replica.index == 1
        if self.fails and FAULT == "absent":
            open("at fault", "x").close()
            time.sleep(600)
        return super().run(plan, task, runtime, recorder, *rest)

    def train_step(self, plan, task, runtime):
        step = super().train_step(plan, task, runtime)
        made, act = type(step).__call__, FAULTS.get(FAULT)

        class Failing(type(step)):
            def __call__(self, batch):
                if act is not None and self.window.steps == 12:
                    open("at fault", "x").close()
                    act()
                return made(self, batch)

        if self.fails:
            step.__class__ = Failing
        return step


def raises():
    raise LookupError("out of luck")


FAULTS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "raises": raises,
    "leaves": lambda: os._exit(0),
    "hangs": lambda: time.sleep(600),
}
"""
PATIENCE = 6
ENGINES = {
    "torch": PATIENCE,
    "tensorflow": 10 + 30,
}  # seconds until an engine gives up, and that TensorFlow starts later
BEYOND = 15 + 15  # seconds beyond the framework's own patience; the others are of a machine that has more to do


class Ended(NamedTuple):
    done: subprocess.CompletedProcess[str]
    seconds: float  # since the replica was at fault
    mark: str
    folder: Path


WAITING = """
import os, time
from pathlib import Path
from xframe_numpy import NumpyAdapter

FAULT = os.environ["FAULT"]


class Faulty(NumpyAdapter):
    name = "faulty"
    replicated = {"eager": "each"}

    def run(self, plan, task, runtime, recorder, *rest):
        own = runtime.replica
        Path("at fault").touch()
        ports = Path(f"ports-{own.index}.txt")
        ports.open("a").write(own.addresses[own.index] + chr(10))
        if own.index == 1 and FAULT == "absent":
            time.sleep(600)
        own.arrive()
        if len(ports.read_text().split()) <= {"port": 2}.get(FAULT, 9):
            while own.index == 0 or not Path(f"{own.meeting}-0").exists():
                time.sleep(0.01)
            raise RuntimeError("Could not start gRPC server")
        return super().run(plan, task, runtime, recorder, *rest)

    def left_alone(self, error):
        return False
"""


def run(folder: Path, base: str, fault: str, *options: str, module: str = MODULE) -> Ended:
    """``xframe verify`` with such an adapter; all its processes have the mark in their environment."""
    site, mark, scratch = folder / "site", uuid.uuid4().hex, folder / "scratch"
    metadata = site / "faulty-1.0.dist-info"
    metadata.mkdir(parents=True)
    scratch.mkdir()
    (site / "faulty.py").write_text(module)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[xframe.adapters]\nfaulty = faulty:Faulty\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "FAULT": fault, "BASE": base}
    environment |= {"MARK": mark, "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "xframe", "verify", "--adapters", "faulty", "--task", "ledger", "--threads", "1"]
    command += ["--batch-size", "8", "--steps", "24", "--patience", str(PATIENCE), "--out", "out", *options]
    command += ["--precision", "float64", "--device", "cpu", "--order", "sequential"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=150, check=False
    )
    return Ended(done, time.time() - (folder / "at fault").stat().st_mtime, mark, folder)


def left(mark: str) -> list[str]:
    """The commands of processes with that mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
@pytest.mark.costly
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("base", "fault", "replicas", "says"),
    [
        ("torch", "killed", 3, "replica 1 of worker 'faulty' was killed by SIGKILL"),
        ("torch", "raises", 2, "replica 1 of worker 'faulty' failed"),
        ("torch", "leaves", 2, "replica 1 of worker 'faulty' ended with exit code 0"),
        ("torch", "stopped", 2, "replica 1 of worker 'faulty' is stopped, as by SIGSTOP"),
        ("torch", "hangs", 3, "replica 1 of worker 'faulty' has said nothing for"),
        ("torch", "absent", 2, "replica 1 of worker 'faulty' has said nothing for"),
        ("tensorflow", "killed", 2, "replica 1 of worker 'faulty' was killed by SIGKILL"),
        ("tensorflow", "raises", 2, "replica 1 of worker 'faulty' failed"),
        ("tensorflow", "stopped", 2, "replica 1 of worker 'faulty' is stopped, as by SIGSTOP"),
        ("tensorflow", "absent", 2, "replica 1 of worker 'faulty' has said nothing for"),
    ],
)
def test_the_replica_at_fault_is_named_and_all_end(
    tmp_path: Path, base: str, fault: str, replicas: int, says: str
) -> None:
    ended = run(tmp_path, base, fault, "--replicas", str(replicas))
    assert ended.done.returncode == 3, ended.done.stderr
    (message,) = [line for line in ended.done.stderr.splitlines() if line.startswith("xframe: ")]
    assert says in message
    assert ("LookupError: out of luck" in message) == (fault == "raises")
    assert "Traceback" not in ended.done.stderr
    assert ended.seconds < ENGINES[base] + BEYOND
    assert left(ended.mark) == []
    assert list((tmp_path / "scratch").glob("xframe*")) == [], "where they met is removed"
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written == {"plan.toml", "faulty.trace", *(f"faulty-{index}.log" for index in range(replicas))}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
@pytest.mark.costly
@pytest.mark.thorough
def test_one_that_a_framework_would_wait_for_without_end(tmp_path: Path) -> None:
    ended = run(tmp_path, "numpy", "absent", "--replicas", "2", module=WAITING)
    assert ended.done.returncode == 3, ended.done.stderr
    assert "replica 1 of worker 'faulty' has said nothing for" in ended.done.stderr
    assert ended.seconds < PATIENCE + BEYOND
    assert left(ended.mark) == []
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.costly
@pytest.mark.thorough
@pytest.mark.parametrize(("fault", "tries"), [("port", 3), ("ports", 3)])
def test_a_port_that_another_program_took_is_replaced(tmp_path: Path, fault: str, tries: int) -> None:
    """At most three times; each time all replicas begin again, all with other ports."""
    ended = run(tmp_path, "numpy", fault, "--replicas", "2", module=WAITING)
    ports = [(tmp_path / f"ports-{index}.txt").read_text().split() for index in range(2)]
    assert len(ports[0]) == len(ports[1]) == tries
    assert len({*ports[0], *ports[1]}) == 2 * tries
    if fault == "port":  # each of this adapter's replicas trains on all rows, so that the run fails, at its end
        assert ended.done.returncode == 1, ended.done.stderr
        assert "trace complete" in ended.done.stderr
    else:
        assert ended.done.returncode == 3, ended.done.stderr
        assert "replica 1 of worker 'faulty' failed" in ended.done.stderr
        assert "Could not start gRPC server" in ended.done.stderr
    assert left(ended.mark) == []
    assert list((tmp_path / "scratch").iterdir()) == []

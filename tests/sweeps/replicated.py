"""Random plans trained by one process, by two replicas and by four: the same run, and the one that the simulator walks.

Each plan is run on the ledger, whose final weights spell which samples' gradients entered which update and how heavily,
and on digits, whose losses and weights under ``rows`` are those of one process but for rounding. A further run on the
ledger is of a plan whose passes are filled up or cut for its replicas, or whose gradients are means of means.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sweeps import Result
from sweeps.contract import Case, check_trace, draw, small
from sweeps.simulator import replicated_case
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.replicas import free_ports
from xframe.trace.trace import Trace

MOST_REPLICAS = 4
ONCE = ("tensorflow",)  # whose processes can meet but once, and then stay together
RTOL = 1e-9  # of losses and weights in float64, where a rounding is 1e-16 and a run some sixty steps
PATIENCE = 120.0


class Processes:
    """Those of replicas 0 to 3, and of runs of one process; where they meet but once, those of each number apart."""

    def __init__(self, adapter: str, loop: str | None = None) -> None:
        self.adapter, self.loop, self._held = adapter, loop, dict[int, list[subprocess.Popen[str]]]()
        self._addresses = dict[int, list[str]]()

    def run(
        self,
        plan: TrainingPlan,
        samples: int,
        path: Path,
        task: str,
        precision: str = "float64",
        optimizer: str | None = None,
    ) -> Trace:
        """The trace of that run.

        Raises:
            RuntimeError: a process could not train; the text is of the first that said so.
        """
        of, once = plan.replicas, self.adapter in ONCE
        held = self._held.setdefault(of if once else 0, [])
        while len(held) < of:
            command = [sys.executable, "-m", "sweeps._replica"]
            with path.with_name(f"{self.adapter}-{of}-{len(held)}.log").open("a") as log:
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
                held.append(subprocess.Popen(command, cwd=Path(__file__).parents[1], **pipes))
        if not once or of not in self._addresses:
            self._addresses[of] = [f"127.0.0.1:{port}" for port in free_ports(of)]
        asked = {"adapter": self.adapter, "loop": self.loop, "plan": plan.to_dict(), "samples": samples, "task": task}
        asked |= {"of": of, "path": str(path), "precision": precision, "optimizer": optimizer, "patience": PATIENCE}
        asked |= {"meeting": tempfile.mktemp(dir=path.parent), "addresses": self._addresses[of]}
        for index, process in enumerate(held[:of]):
            process.stdin.write(json.dumps(asked | {"index": index}) + "\n")
            process.stdin.flush()
        said = [
            next((line[1:].strip() for line in process.stdout if line[:1] == "@"), "it died") for process in held[:of]
        ]
        if set(said) != {"done"}:
            self.end()
            raise RuntimeError(
                "; ".join(f"replica {index}: {words}" for index, words in enumerate(said) if words != "done")
            )
        return Trace.open(path)

    def end(self) -> None:
        """Ends all of them."""
        for process in (process for held in self._held.values() for process in held):
            process.kill()
            process.communicate()
        self._held.clear()
        self._addresses.clear()


class Drawn(NamedTuple):
    """A plan for one process, the same for replicas, and one that is another run for them."""

    one: Case
    shared: list[TrainingPlan]
    other: Case


def cases(size: int, seed: int) -> Iterator[Drawn]:
    """That many."""
    rng, others = random.Random(seed), _others(seed)
    for one in draw(size, seed):
        splits = [rng.choice(["slices", "interleaved", "dealt"]) for _ in (2, 4)]
        fields = one.plan.to_dict()
        shared = [
            TrainingPlan.from_mapping({**fields, "replicas": of, "replica_split": split})
            for of, split in zip((2, 4), splits, strict=True)
        ]
        yield Drawn(one, shared, next(others))


def _others(seed: int) -> Iterator[Case]:
    for one in small(random.Random(seed), replicated_case):
        if one.plan.replicas > MOST_REPLICAS:
            continue
        if one.plan.replica_gradients == "replicas":  # of a sum, its share
            for update in one.run.updates:
                update.weights = {step: weight / one.plan.replicas for step, weight in update.weights.items()}
        yield one


def able() -> list[str]:
    """The adapters that run replicas in processes of their own."""
    names = ("torch", "tensorflow")
    return [name for name in names if "each" in getattr(registry.load(name), "replicated", {}).values()]


def run(size: int, seed: int, adapters: Sequence[str] = ()) -> Result:
    """That many plans through each adapter; by default through all that can."""
    adapters = adapters or able()
    result, certificates = Result(), dict[int, str]()
    for name in adapters:
        processes = Processes(name)
        try:
            for index, drawn in enumerate(cases(size, seed)):
                where = f"{name}, case {index}, {drawn.one.num_samples} samples"
                with tempfile.TemporaryDirectory() as folder:
                    wrong, certificate = check(processes, drawn, Path(folder))
                if certificates.setdefault(index, certificate) != certificate:
                    wrong.append(f"certificate {certificate}, of {adapters[0]} {certificates[index]}")
                result.mismatches += [f"{where}: {line}" for line in wrong]
                result.cases += 1
        finally:
            processes.end()
    return result


def check(processes: Processes, drawn: Drawn, folder: Path) -> tuple[list[str], str]:
    """What differs, and the certificate of all that are one run."""
    wrong = list[str]()

    def trained(plan: TrainingPlan, samples: int, task: str, name: str) -> Trace | None:
        try:
            return processes.run(plan, samples, folder / f"{name}.trace", task)
        except Exception as error:  # reported with its plan
            wrong.append(f"{task}, {plan.to_dict()}: {type(error).__name__}: {error}")
            return None

    plans = [drawn.one.plan, *drawn.shared]
    ledgers = [trained(plan, drawn.one.num_samples, "ledger", f"ledger-{plan.replicas}") for plan in plans]
    other = trained(drawn.other.plan, drawn.other.num_samples, "ledger", "other")
    audited = [(drawn.one._replace(plan=plan), trace) for plan, trace in zip(plans, ledgers, strict=True)]
    for case, trace in (*audited, (drawn.other, other)):
        if trace is not None:
            wrong += [
                f"{case.plan.to_dict()}: {line}" for line in (*check_trace(trace, case), *_ranks(trace, case.plan))
            ]
    certificates = {trace.certificate for trace in ledgers if trace is not None}
    if len(certificates) != 1:
        wrong.append(f"{drawn.one.plan.to_dict()}: certificates {certificates}")
    digits = [trained(plan, drawn.one.num_samples, "digits-mlp", f"digits-{plan.replicas}") for plan in plans]
    for plan, trace in zip(plans[1:], digits[1:], strict=True):
        if trace is not None and digits[0] is not None:
            wrong += [f"digits, {plan.to_dict()}: {line}" for line in _parted(digits[0], trace)]
    return wrong, min(certificates, default="")


def _ranks(trace: Trace, plan: TrainingPlan) -> Iterator[str]:
    """Where replicas end with weights that are not each other's to the bit."""
    if len(trace.replicas) != (plan.replicas if plan.replicas > 1 else 0):
        yield f"{len(trace.replicas)} replicas"
    weights = [rank.weights() or {} for rank in trace.replicas]
    for index, one in enumerate(weights):
        if {name: values.tobytes() for name, values in one.items()} != {
            name: values.tobytes() for name, values in weights[0].items()
        }:
            yield f"replica {index} ends with other weights than replica 0"


def _parted(one: Trace, trace: Trace) -> Iterator[str]:
    """Where numbers are not those of one process."""
    for name in ("loss", "accuracy", "lr"):
        own, shared = one.column(name), trace.column(name)
        if not np.allclose(own, shared, rtol=RTOL, atol=1e-12, equal_nan=name == "accuracy"):
            step = int(np.argmax(~np.isclose(own, shared, rtol=RTOL, atol=1e-12, equal_nan=name == "accuracy")))
            yield f"{name} {shared[step]} of step {step}, of one process {own[step]}"
    weights, others = one.weights() or {}, trace.weights() or {}
    if weights.keys() != others.keys():
        yield f"weights {list(others)}, of one process {list(weights)}"
    for name in weights.keys() & others.keys():
        if not np.allclose(weights[name], others[name], rtol=RTOL, atol=1e-12):
            yield f"weights {name} differ by {np.abs(weights[name] - others[name]).max()}"

"""The self-test: known faults, and whether a comparison finds each, at its very step, with its cause; and clean runs.

Each adapter trains in a process of its own, which writes traces to a folder. All judging is done on those traces, in
three settings:

    alone          the run against its plan; only where structure shows the fault
    with a plan    an honest run of the same adapter and this one, both recorded under the plan
    without one    the same two, recorded by loops that knew of no plan

A fault counts as found, localised or explained only if it is in every setting. The cause is the one named first.
Nothing is retried or left out: a fault that cannot run counts as missed.

Its files:

    training.py   has every adapter train; child.py is an adapter's process
    judging.py    what comparisons of the traces report of each fault
    results.py    the figures over all, and both as text
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from xframe.errors import UsageError, Verbatim, did_you_mean
from xframe.running import registry
from xframe.running.progress import Progress
from xframe.testing import clean
from xframe.testing.faults import BY_NAME, FAULTS
from xframe.testing.mutators import BASES
from xframe.testing.selftest.judging import judge_all, judge_clean
from xframe.testing.selftest.results import SelfTest
from xframe.testing.selftest.training import Store, train


def selftest(
    adapters: Sequence[str] | None = None,
    faults: Sequence[str] | None = None,
    mutations: int = 200,
    clean_runs: int = 60,
    seed: int = 0,
    progress: Progress | None = None,
) -> SelfTest:
    """Runs the self-test.

    Args:
        adapters: by name; default: all that are installed and whose frameworks are.
        faults: by name; default: all.
        mutations: of recorded rows, for each adapter.
        clean_runs: random plans, each run by every adapter.
        seed: of the places of the mutations and of the random plans.
        progress: learns how far each adapter is.

    Raises:
        UsageError: an adapter or a fault that is not there.
        WorkerError: an adapter's process failed.
    """
    began = time.monotonic()
    names = _adapters(adapters)
    for name in faults or ():
        if name not in BY_NAME:
            hint = did_you_mean(name, BY_NAME) or "xframe selftest --fault list prints them."
            raise UsageError("unknown fault", got=name, expected=f"one of {len(BY_NAME)} names", remedy=hint)
    if mutations < 0 or clean_runs < 0:
        raise UsageError("mutations and clean runs", got=Verbatim(f"{mutations}, {clean_runs}"), expected="from 0 up")
    chosen = FAULTS if faults is None else tuple(BY_NAME[name] for name in faults)
    # By their meaning: plans of one digest are one run.
    plans = {plan.digest: plan for plan in [fault.plan for fault in chosen] + list(BASES if mutations else ())}
    draws = list(islice(clean.draws(seed), clean_runs))
    progress = progress or Progress()
    with tempfile.TemporaryDirectory(prefix="xframe-selftest-") as place:
        stores = [Store(name, Path(place) / name) for name in names]
        trained = train(stores, chosen, list(plans.values()), clean_runs, seed, progress)
        findings = judge_all(stores, chosen, trained.problems, mutations, seed, progress)
        judged = judge_clean(stores, draws, list(plans.values()), trained.refused)
    return SelfTest(tuple(names), tuple(findings), judged, seed, time.monotonic() - began)


def _adapters(given: Sequence[str] | None) -> list[str]:
    if given is not None:
        return list(dict.fromkeys(one.adapter for one in registry.select(list(given))))
    requires = {name: registry.load(name).requires for name in registry.available()}
    names = [name for name, modules in requires.items() if all(map(importlib.util.find_spec, modules))]
    if not names:
        raise UsageError("no adapter can run", got="none installed", expected="at least xframe_numpy")
    return names

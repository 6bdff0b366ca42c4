"""Commands that run a plan, ``xframe verify`` and ``run``, and list with what: adapters, tasks, optimizers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from xframe.cli import names
from xframe.cli.checkpoints import NO_CHECKPOINTS, CheckpointOptions
from xframe.cli.grouping import GIVEN, JUDGED, PRINTED, WHAT
from xframe.cli.names import listed
from xframe.cli.options import (
    ANY_RUN,
    DEFAULTS,
    NO_OPTIONS,
    Atol,
    Json,
    PlanFile,
    PlanOptions,
    Rtol,
    RunOptions,
    RunOrResumeOptions,
    flag,
    number,
    option,
    word,
)
from xframe.cli.printing import answer, progress_bars, remark, report
from xframe.errors import UsageError, printable
from xframe.tables import plain

if TYPE_CHECKING:
    from xframe.running.launch import Launch


def verify(
    file: PlanFile = None,
    /,
    *,
    adapters: Annotated[
        str,
        option(
            "Separated by commas; one alone is compared with the plan; a loop after a colon, as torch:compile.",
            WHAT,
            listed(names.adapters),
        ),
    ] = "torch,tensorflow",
    options: RunOptions = DEFAULTS,
    out: Annotated[
        Path | None, option("New folder for traces, logs, reports. Default: in xframe-runs/.", PRINTED)
    ] = None,
    numerics: Annotated[
        Literal["quick", "full", "off"],
        word(
            "How closely the arithmetic is compared. Each further adapter makes single steps from the weights and the "
            "optimizer's state that the first adapter had there, so that one step's rounding is all that may lie "
            "between them, in float64 and in --precision. quick: the first ten updates and up to five later ones; "
            "full: the first ten and some thirty later ones, over the whole run; off: no such steps, and losses and "
            "final weights by a plain tolerance.",
            JUDGED,
        ),
    ] = "quick",
    rtol: Rtol = None,
    atol: Atol = None,
    hand_over: Annotated[
        int | None,
        number(
            "Also stop each adapter's run after N steps and let each finish it: to the bits of its own run without a "
            "stop where it goes on itself, up to rounding where another began.",
            WHAT,
        ),
    ] = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Run a plan through each adapter, one fresh process each, and compare what was observed.

    With no arguments: 3 epochs of the handwritten digits in batches of 64, torch against tensorflow.
    One adapter alone is compared with the plan.

    Where a launcher has started this command once for each of the plan's replicas, as torchrun does and TF_CONFIG says,
    each trains its own; --out is in a folder that all share, and replica 0 has the verdict.
    """
    from xframe.translate.ruling import lines_of
    from xframe.verification import run_and_compare

    name = None if file is None or plan != NO_OPTIONS else file.stem
    judged = {"numerics": numerics, "rtol": rtol, "atol": atol}
    request = options.request(plan.on(file), adapters=adapters, out=out, name=name, **judged)
    launch = beside_others()
    if launch is not None and hand_over is not None:
        raise UsageError(
            "--hand-over of replicas that a launcher has started", expected="no launcher, or no --hand-over"
        )
    if launch is not None:
        from xframe import launched

        with progress_bars() as progress:
            verdict = launched.verify(request, launch, progress)
        return recorded(launch, out, json=json) if verdict is None else report(verdict, "json" if json else "text")
    if hand_over is not None:
        from xframe import handing_over

        with progress_bars() as progress:
            handed = handing_over.hand_over(request, hand_over, progress)
        answer(handed.to_dict(), handed.text(), json=json)
        return handed.exit_code
    with progress_bars() as progress:
        comparison = run_and_compare(request, progress, lines_of)
    return report(comparison, "json" if json else "text")


def run(
    file: PlanFile = None,
    /,
    *,
    adapter: Annotated[
        str | None, option("The adapter; a loop after a colon. With --resume: the checkpoint's.", WHAT, names.adapters)
    ] = None,
    out: Annotated[Path, option("The trace to write; must not exist.", PRINTED)],
    options: RunOrResumeOptions = ANY_RUN,
    checkpoints: CheckpointOptions = NO_CHECKPOINTS,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Run a plan through one adapter and keep the trace, for a later xframe compare.

    A run may stop, and another process, framework or machine may finish it:

        xframe run plan.toml --adapter torch --out a.trace --checkpoint a.safetensors --stop-after 40
        xframe run --resume a.safetensors --adapter tensorflow --out b.trace

    b.trace continues a.trace, and both together are the whole run. With --checkpoint-every 500 a run that is killed
    goes on from its last checkpoint.

    Where a launcher has started this command once for each of the plan's replicas, as torchrun does and TF_CONFIG says,
    each trains its own; --out is in a folder that all share.
    """
    from xframe import launched, verification

    request = checkpoints.request(file, plan, options, adapter, out)
    launch = beside_others()
    with progress_bars() as progress:
        if launch is None:
            trace = verification.run(request, progress)
        elif (whole := launched.run(request, launch, progress)) is not None:
            trace = whole
        else:
            return recorded(launch, out, json=json)
    counts, certificate = trace.counts(), trace.certificate
    text = f"{printable(out)}: {counts.num_steps:,} steps, {counts.num_updates:,} updates, {counts.samples_seen:,} "
    text += "samples"
    if trace.num_replicas > 1:
        text += f", by {trace.num_replicas:,} replicas: a folder with a trace of each"
    several = {"num_replicas": trace.num_replicas} if trace.num_replicas > 1 else {}
    facts = {**counts.to_dict(), **several, "certificate": certificate, "trace": str(out)}
    answer({**facts, **checkpoints.remarks(trace)}, f"{text}\ncertificate: {certificate}", json=json)
    return 0


def beside_others() -> Launch | None:
    """Which of the replicas this process is that a launcher has started, which is said; None of none."""
    from xframe.running.launch import launched

    launch = launched(os.environ)
    if launch is not None:
        which = f"replica {launch.index} of {launch.of}, by {launch.said_by}"
        remark(f"xframe: this is {which}; the launcher has started the others")
    return launch


def recorded(launch: Launch, out: Path | None, *, json: bool) -> int:
    """Prints what a replica other than 0 has done, which has no verdict."""
    facts = {"replica": {"index": launch.index, "of": launch.of}, "out": str(out)}
    answer(facts, f"replica {launch.index} of {launch.of} has trained; replica 0 reads {printable(out)}", json=json)
    return 0


def record(
    *command: Annotated[
        str,
        Parameter(
            name="COMMAND",
            help="After --, as it is: python train.py, its arguments.",
            allow_leading_hyphen=True,
            group=GIVEN,
        ),
    ],
    out: Annotated[Path, option("The trace to write; must not exist, but for --replace.", PRINTED)],
    replace: Annotated[
        bool, flag("Replace an earlier trace, once the new one is there; it stays if nothing is trained.", PRINTED)
    ] = False,
    identity: Annotated[
        Literal["index", "exact", "close", "layout"],
        word(
            "How samples are known by content, beside their index: close is up to rounding, layout too with a sample's "
            "values in any order, as channels first and last; index is not at all.",
            WHAT,
        ),
    ] = "close",
    capture: Annotated[
        int,
        number(
            "Of the first N updates, and then of the 2N-th, 4N-th, 8N-th ..., keep weights, gradients, batch and "
            "outputs, from which a comparison names what differs. 0: of none.",
            PRINTED,
        ),
    ] = 0,
    capture_mb: Annotated[int, number("Megabytes that --capture keeps of a process at most.", PRINTED)] = 512,
    continues: Annotated[
        Path | None,
        option("The script resumes the run of this trace: the new one goes on with it, and stands for both.", WHAT),
    ] = None,
    step: Annotated[
        int | None,
        number(
            "With --continues: the run's first step in the script. Default: behind the updates that its optimizer has "
            "counted, or else the trace's end.",
            WHAT,
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Run a training script as it is and record its steps, without a line of xframe in it.

    Two such traces are then compared: xframe compare old.trace new.trace. Seen are PyTorch loops by hand and those of
    Lightning, Transformers and Accelerate; Keras' fit and train_on_batch, and GradientTape loops, on TensorFlow. Which
    samples were in a step is known by their index, where the pipeline has one, and by their content.

    Arguments, input, output, signals and exit code are the command's own; 4 if it ended well and nothing was recorded.
    With --json, the object stands behind what the command itself prints.
    Each process that trains has a trace: the second NAME-2.trace. Ranks of a launcher, such as torchrun, are found by
    themselves and share a folder NAME.trace, which is one run. Trainings one after the other in one process go on in
    one. In a notebook: with xframe.watch("new.trace").

    For example: xframe record --out new.trace -- python train.py --epochs 3
    Of a script that resumes: xframe record --continues a.trace --out b.trace -- python train.py --resume last.ckpt
    """
    from xframe.recording.attach.continuing import Continuing
    from xframe.recording.attach.launching import run_recorded

    before = Continuing(None if continues is None else str(continues), step)
    kept = (capture, capture_mb)
    outcome = run_recorded(command, out, identity, replace=replace, capture=kept, continues=before)
    if json:
        answer({"exit_code": outcome.exit_code, "steps": outcome.steps, "trace": str(out)}, "", json=True)
    remark(f"xframe: {outcome.words}")
    return outcome.exit_code or (4 if outcome.steps == 0 else 0)


def adapters(*, json: Json = False) -> int:
    """List the adapters, their loops, and whether their framework is installed here."""
    import importlib.util

    from xframe.running import registry
    from xframe.running.adapter import Adapter, modules

    def absent(adapter: Adapter, loop: str | None) -> list[str]:
        """The commands that install what that loop lacks here."""
        needed = modules(adapter, loop).items()
        return [install for module, install in needed if importlib.util.find_spec(module) is None]

    facts, rows = list[dict[str, Any]](), list[list[str]]()
    for one in (registry.load(name) for name in registry.available()):
        here = not absent(one, None)
        missing = {loop: installs[0] for loop in one.loops if here and (installs := absent(one, loop))}
        fact = {"name": one.name, "loops": one.loops, "installed": here, "install": one.install}
        facts.append({**fact, "loops_not_installed": missing})
        state = "installed" if here else f"not installed: {one.install}"
        for install in dict.fromkeys(missing.values()):
            loops = ", ".join(loop for loop in missing if missing[loop] == install)
            state += f"; without {loops}: {install}"
        rows.append([one.name, f"loops {', '.join(one.loops)}", state])
    answer(facts, "\n".join(plain(rows)), json=json)
    return 0


def optimizers(*, json: Json = False) -> int:
    """List the update rules by name, each with what is set in it; keras. and torch. have those frameworks' defaults.

    They go to xframe verify --optimizer. What a rule is, formula and fields, is in its docstring:
    python -c "import xframe; help(xframe.optimizers.Adam)"
    """
    from xframe.tasks.optimizers import named, names

    rules = {name: named(name) for name in names()}
    facts = [{"name": name, **rule.to_dict()} for name, rule in rules.items()]
    answer(facts, "\n".join(plain([[name, repr(rule)] for name, rule in rules.items()])), json=json)
    return 0


def tasks(*, json: Json = False) -> int:
    """List the built-in tasks."""
    from xframe.tasks.lookup import BUILT_IN, find_task

    every = [find_task(name) for name in BUILT_IN]
    facts = [{"name": t.name, "num_samples": t.num_samples, "description": t.description} for t in every]
    rows = [[t.name, f"{t.num_samples:,}", "samples", t.description] for t in every]
    answer(facts, "\n".join(plain(rows, right=(1,))), json=json)
    return 0

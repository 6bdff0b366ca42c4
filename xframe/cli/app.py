"""The command line. Results on stdout, progress and errors on stderr, and an exit code that says the verdict.

    0 passed   1 failed   2 usage or invalid plan   3 a worker or xframe itself failed
    4 inconclusive: a trace truncated or damaged, or nothing compared   130 interrupted

Each command imports what it needs when it runs, so that ``xframe plan`` starts at once.
"""

from __future__ import annotations

import json as jsonlib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from cyclopts import App, CycloptsError, Parameter

from xframe import __version__
from xframe.errors import UsageError, Verbatim, XframeError, did_you_mean, shown
from xframe.plan.vocabulary import (
    AtEnd,
    Better,
    Boundary,
    EpochIterator,
    Exhaustion,
    Leftover,
    Monitor,
    Normalization,
    Remainder,
    SampleOrder,
    Trainer,
    Unit,
)

if TYPE_CHECKING:
    from xframe.comparison.comparing import Comparison
    from xframe.plan.training_plan import TrainingPlan

DIGITS = 1797  # samples of the default task

app = App(
    name="xframe",
    version=__version__,
    help=(
        "Were two training runs the same run? xframe executes a training plan through native PyTorch and TensorFlow "
        "loops, or takes traces of your own, and compares steps, batch boundaries, updates and numbers from what was "
        "observed.\n\nExit codes: 0 passed, 1 failed, 2 usage or invalid plan, 3 a worker or xframe itself failed, "
        "4 inconclusive, 130 interrupted. --debug shows the traceback of an error."
    ),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main says what was kept
)
app.register_install_completion_command(help="Install shell completion for xframe.")


def _option(text: str) -> Parameter:
    return Parameter(help=text)


def _whole(_: Any, tokens: Sequence[Any]) -> int:
    """An integer as Python writes it; cyclopts' own conversion would round 2.5."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"got {shown(text)}, expected a whole number.") from None


def _known(words: Any, token: Any) -> str:
    """A word of a type, which help and completion show too; cyclopts' own error has no hint."""
    known = [word for word in _flat(words) if isinstance(word, str)]
    if token.value not in known:
        hint = did_you_mean(token.value, known)
        raise UsageError(token.keyword, got=token.value, expected="one of " + ", ".join(known), remedy=hint or None)
    return str(token.value)


def _flat(words: Any) -> list[Any]:
    return [found for word in get_args(words) for found in (_flat(word) or [word])]


def _word(text: str) -> Parameter:
    return Parameter(help=text, converter=lambda words, tokens: _known(words, tokens[0]))


def _number(text: str) -> Parameter:
    return Parameter(help=text, converter=_whole)


@Parameter(name="*")
@dataclass(frozen=True)
class PlanOptions:
    """Fields of the plan; each replaces the plan file's, and a limit replaces all its limits."""

    batch_size: Annotated[int | None, _number("Samples drawn together. Without a plan file: 64.")] = None
    epochs: Annotated[int | None, _number("Limit: stop after this many epochs. Without a plan file: 3.")] = None
    steps: Annotated[int | None, _number("Limit: stop after this many steps.")] = None
    updates: Annotated[int | None, _number("Limit: stop after this many updates.")] = None
    remainder: Annotated[
        Remainder | None,
        _word("The samples left of a pass: a short batch, none, filled up, into the next pass, refused."),
    ] = None
    steps_per_epoch: Annotated[int | None, _number("Steps of an epoch. Default: one pass over the samples.")] = None
    epoch_iterator: Annotated[
        EpochIterator | None, _word("An epoch of so many steps begins a new pass, or goes on in the old one.")
    ] = None
    on_exhaustion: Annotated[
        Exhaustion | None,
        _word("A step is due and the pass is over: the next pass, the end of the epoch, or of training."),
    ] = None
    gradient_accumulation_steps: Annotated[int | None, _number("Steps of a window; its update follows the last.")] = (
        None
    )
    accumulation_boundary: Annotated[Boundary | None, _word("The end that cuts a window short.")] = None
    accumulation_remainder: Annotated[
        Leftover | None, _word("What a cut does: update, zero the gradients, leave them to the next update, go on.")
    ] = None
    accumulation_at_end: Annotated[AtEnd | None, _word("A window still open when training stops.")] = None
    loss_normalization: Annotated[
        Normalization | None, _word("A window's gradients are divided by its steps, by k, by nothing, or by its rows.")
    ] = None
    order: Annotated[SampleOrder | None, _word("Default: shuffle.")] = None
    seed: Annotated[int | None, _number("Seed of the shuffled order. Default: 0.")] = None
    reshuffle: Annotated[bool | None, _option("A new order each pass, or the first one for all.")] = None
    schedule_clock: Annotated[Unit | None, _word("What the task's learning rate schedule ticks by.")] = None
    validation_every: Annotated[int | None, _number("Validate after so many epochs (or another unit), and last.")] = (
        None
    )
    validation_unit: Annotated[Unit | None, _word("The unit of --validation-every. Default: epochs.")] = None
    validation_batch_size: Annotated[int | None, _number("Default: the batch size.")] = None
    early_stopping_patience: Annotated[
        int | None, _number("Stop after so many validations in a row without improvement.")
    ] = None
    early_stopping_monitor: Annotated[Monitor | None, _word("Of the validation. Default: loss.")] = None
    early_stopping_mode: Annotated[Better | None, _word("Which is better. Default: min of a loss, else max.")] = None
    early_stopping_min_delta: Annotated[float | None, _option("An improvement is one by more than this.")] = None
    early_stopping_baseline: Annotated[
        float | None, _option("Patience is restored only by what is better than this too.")
    ] = None
    restore_best: Annotated[bool | None, _option("End with the weights of the best validation.")] = None

    def on(self, file: Path | None) -> TrainingPlan:
        """The plan of the file, or the default one, with these fields replaced."""
        from xframe.plan.training_plan import TrainingPlan

        return TrainingPlan.from_mapping(self.fields(file))

    def fields(self, file: Path | None) -> dict[str, Any]:
        """The fields of the file, or the default ones, with these replaced."""
        from xframe.plan.training_plan import DEFAULT, read_toml

        fields = dict(DEFAULT) if file is None else read_toml(file)
        given = {name: value for name, value in asdict(self).items() if value is not None}
        limits = {"epochs", "steps", "updates"}
        if limits & given.keys():
            fields = {name: value for name, value in fields.items() if name not in limits}
        return {**fields, **given}


NO_OPTIONS = PlanOptions()
Json = Annotated[bool, Parameter(negative="", help="Print one JSON object instead.")]
Task = Annotated[str, _option("A built-in task (see xframe tasks) or your own as package.module:name.")]
Device = Annotated[str, _option("auto, cpu or cuda; auto takes the best that all chosen adapters have.")]
Precision = Annotated[str, _option("float32, float64, bfloat16, or mixed_float16, which scales the loss.")]
Threads = Annotated[int | None, _number("CPU threads of each adapter. Default: the cores shared out.")]
Tf32 = Annotated[bool, Parameter(negative="", help="Allow TensorFloat-32 on CUDA, which is off otherwise.")]
Workers = Annotated[int, _number("Processes (torch) or threads (tf.data) that read data. Default: the loop reads.")]
Python = Annotated[
    list[str] | None,
    Parameter(help="ADAPTER=/path/to/python runs that adapter in its own environment; repeatable.", negative=""),
]
Rtol = Annotated[float | None, _option("Relative tolerance of loss and weights. Default: 1e-4, in float64 1e-9.")]
Atol = Annotated[float | None, _option("Absolute tolerance of loss and weights. Default: 1e-4, in float64 1e-10.")]


@app.command
def verify(
    file: Annotated[Path | None, Parameter(name="PLAN.toml", help="A plan file.")] = None,
    /,
    *,
    task: Task = "digits-mlp",
    adapters: Annotated[str, _option("Two or more adapters, comma separated; a loop after a colon.")] = (
        "torch,tensorflow"
    ),
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Threads = None,
    tf32: Tf32 = False,
    workers: Workers = 0,
    python: Python = None,
    out: Annotated[Path | None, _option("New folder for traces, logs, reports. Default: in xframe-runs/.")] = None,
    rtol: Rtol = None,
    atol: Atol = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Run a plan through each adapter, one fresh process each, and compare what was observed.

    With no arguments: 3 epochs of the handwritten digits in batches of 64, torch against tensorflow.
    One adapter alone is held against the plan.
    """
    from xframe.verification import verify as run_and_compare

    with _progress() as progress:
        comparison = run_and_compare(
            plan.on(file),
            task=task,
            adapters=adapters.split(","),
            device=device,
            precision=precision,
            threads=threads,
            tf32=tf32,
            workers=workers,
            python=_pairs("--python", python, "ADAPTER=/path/to/python"),
            out=out,
            rtol=rtol,
            atol=atol,
            name=None if file is None or plan != NO_OPTIONS else file.stem,
            progress=progress,
        )
    return _report(comparison, "json" if json else "text")


@app.command(name="plan")
def plan_command(
    file: Annotated[Path | None, Parameter(name="PLAN.toml", help="A plan file.")] = None,
    /,
    *,
    samples: Annotated[int, _number("Size of the data set. Default: the handwritten digits.")] = DIGITS,
    like: Annotated[
        list[Trainer] | None,
        Parameter(
            help="Count as this trainer does. Repeatable: side by side, with the reason for each difference.",
            negative="",
            converter=lambda words, tokens: [_known(words, token) for token in tokens],
        ),
    ] = None,
    step: Annotated[int | None, _number("Also show the step of this 0-based index.")] = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Write out how many steps, updates and samples a plan makes, without running anything.

    For example: xframe plan --samples 60000 --batch-size 1000 --epochs 10

    What would others do? xframe plan --like keras --like lightning --gradient-accumulation-steps 4
    """
    from xframe.report import plans, trainers

    asked = plan.fields(file)
    chosen = trainers.answers(like or [], samples, asked, beside=bool(like) and file is not None)
    if len(chosen) > 1 and step is not None:
        raise UsageError("--step with several plans", got=step, expected="one plan, or one --like")
    counts = {name: found.counts(samples) for name, found in chosen.items()}
    if len(chosen) > 1:
        if json:
            print(jsonlib.dumps({"plans": {name: found.to_dict() for name, found in counts.items()}}))
        else:
            print("\n".join(trainers.side_by_side(chosen, samples, asked)))
        return 0
    ((name, only),) = chosen.items()
    shown = None if step is None else only.step(step, samples)
    if json:
        result: dict[str, Any] = counts[name].to_dict()
        if shown is not None:
            result["step"] = {**asdict(shown), "sample_ids": shown.sample_ids.tolist()}
        print(jsonlib.dumps(result))
        return 0
    fields = ", ".join(f"{key} {value}" for key, value in only.to_dict().items())
    print(f"{name if like else 'plan'} {only.digest[:8]}: {fields}")
    print("\n".join(plans.arithmetic(only, samples)))
    if shown is not None:
        print("\n".join(plans.one_step(only, shown, samples)))
    return 0


@app.command
def run(
    file: Annotated[Path, Parameter(name="PLAN.toml", help="A plan file.")],
    /,
    *,
    adapter: Annotated[str, _option("The adapter; a loop after a colon.")],
    out: Annotated[Path, _option("The trace to write; must not exist.")],
    task: Task = "digits-mlp",
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Threads = None,
    tf32: Tf32 = False,
    workers: Workers = 0,
    python: Python = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Run a plan through one adapter and keep the trace, for a later xframe compare."""
    from xframe.verification import run as run_one

    with _progress() as progress:
        trace = run_one(
            plan.on(file),
            task=task,
            adapter=adapter,
            out=out,
            device=device,
            precision=precision,
            threads=threads,
            tf32=tf32,
            workers=workers,
            python=_pairs("--python", python, "ADAPTER=/path/to/python"),
            progress=progress,
        )
    if json:
        print(jsonlib.dumps({**trace.counts().to_dict(), "certificate": trace.certificate, "trace": str(out)}))
    else:
        counts = trace.counts()
        print(f"{out}: {counts.num_steps:,} steps, {counts.num_updates:,} updates, {counts.samples_seen:,} samples")
        print(f"certificate: {trace.certificate}")
    return 0


@app.command
def compare(
    reference: Annotated[Path, Parameter(name="TRACE", help="The reference.")],
    candidate: Annotated[Path, Parameter(name="TRACE2", help="The candidate.")],
    /,
    *,
    order: Annotated[
        str, _option("exact, or coverage for scripts that shuffled on their own: the same samples in each pass.")
    ] = "exact",
    rtol: Rtol = None,
    atol: Atol = None,
    json: Json = False,
    md: Annotated[bool, Parameter(negative="", help="Print Markdown instead.")] = False,
) -> int:
    """Compare two traces: structure first, numbers up to the first difference."""
    from xframe.diagnosis.diagnosing import compare as compare_traces
    from xframe.trace.trace import open_different

    if json and md:
        raise UsageError("two output formats", got=Verbatim("--json and --md"), expected="at most one of them")
    comparison = compare_traces(*open_different([reference, candidate]), order=order, rtol=rtol, atol=atol)
    return _report(comparison, "json" if json else "md" if md else "text")


@app.command
def explain(
    trace: Annotated[Path, Parameter(name="TRACE", help="A trace, or the reference of two.")],
    candidate: Annotated[Path | None, Parameter(name="TRACE2", help="The candidate.")] = None,
    /,
    *,
    samples: Annotated[int | None, _number("Size of the data set. Default: as recorded, or as the ids show.")] = None,
    json: Json = False,
) -> int:
    """Say which plan a run must have followed, from its rows alone; or why two runs part, and what mends it.

    Of one trace: what is certain, what the rows cannot tell apart, and the first step at which no plan fits
    (exit code 1; 4 if nothing can be told). Its recorded plan is not looked at. Of two: the causes, as a failed
    xframe compare tells them.
    """
    if candidate is not None:
        from xframe.diagnosis.diagnosing import compare as compare_and_explain
        from xframe.report.text import explained
        from xframe.trace.trace import open_different

        comparison = compare_and_explain(*open_different([trace, candidate]), num_samples=samples)
        if json:
            return _report(comparison, "json")
        _show(explained(comparison))
        return comparison.exit_code
    from xframe.inference.infer import infer
    from xframe.report.explained import one
    from xframe.trace.observed import Observed
    from xframe.trace.trace import Trace

    found = Trace.open(trace)
    size = found.metadata.get("num_samples") if samples is None else samples
    inference = infer(Observed.of_trace(found), size if isinstance(size, int) else None)
    print(jsonlib.dumps(inference.to_dict(), indent=2) if json else one(inference, found.name))
    if not found.complete:
        print(f"xframe: {trace} is {found.ending} after {found.num_rows:,} steps", file=sys.stderr)
    return 1 if inference.first_misfit is not None else 0 if inference.plan is not None else 4


@app.command(name="import")
def import_command(
    source: Annotated[
        Path, Parameter(name="LOG", help="A CSV or JSON lines file, TensorBoard events or their folder.")
    ],
    /,
    *,
    out: Annotated[Path, _option("The trace to write; must not exist.")],
    column: Annotated[
        list[str] | None,
        Parameter(
            help="NAME=COLUMN takes NAME (loss, updates …) from that column or tag, NAME= leaves it out; repeatable.",
            negative="",
        ),
    ] = None,
    samples: Annotated[int | None, _number("Size of the data set.")] = None,
    form: Annotated[Literal["csv", "jsonl", "tensorboard"] | None, _option("Default: by the file's name.")] = None,
) -> int:
    """Make a trace of what a run logged. What the log lacks is not judged when it is compared."""
    from xframe.recording.logs import import_run

    columns = _pairs("--column", column, "NAME=COLUMN", empty=True)
    found = import_run(source, out, columns=columns, num_samples=samples, form=form)
    taken = ", ".join(f"{name} from {source!r}" for name, source in found.columns.items())
    print(f"{out}: {found.rows:,} steps; {taken}")
    print(f"not judged: {', '.join(found.not_judged)}", file=sys.stderr)
    return 0


@app.command
def certificate(trace: Annotated[Path, Parameter(name="TRACE", help="A complete trace.")], /) -> int:
    """Print the one line that two people compare: equal lines mean the same samples and updates in each step.

    What the trace doesn't know, ids or updates, the line can't vouch for: that is said on stderr.
    """
    from xframe.trace.trace import Trace

    found = Trace.open(trace)
    if not found.complete:
        print(
            f"xframe: {trace} is {found.ending} after {found.num_rows:,} steps: "
            "a certificate would vouch for an unfinished run.",
            file=sys.stderr,
        )
        return 4
    for name, what in (("ids_digest", "which samples were in a step"), ("updates", "how many updates were applied")):
        if not found.known_throughout(name):
            print(f"xframe: {trace} does not say {what}, so its certificate does not either.", file=sys.stderr)
    print(found.certificate)
    return 0


@app.command
def selftest(
    *,
    adapters: Annotated[str | None, _option("Comma separated. Default: those whose framework is installed.")] = None,
    fault: Annotated[list[str] | None, Parameter(help="Only this one; repeatable. Default: all.", negative="")] = None,
    mutations: Annotated[int, _number("Random changes of recorded rows, for each adapter.")] = 200,
    clean_runs: Annotated[int, _number("Random plans run without a fault, through every adapter.")] = 60,
    seed: Annotated[int, _number("Of the mutations and the random plans.")] = 0,
    json: Json = False,
) -> int:
    """Prove that xframe can fail: train with known bugs and see whether each is found, where, and with its cause.

    Beside it the same runs judged as people do today: totals, loss curves, means and norms of batches. Takes a few
    minutes. Exit code 1 unless every fault is found at its very step and no clean run raises an alarm.
    """
    from xframe.testing.selftest import command

    chosen = None if adapters is None else adapters.split(",")
    return command(chosen, fault, mutations, clean_runs, seed, as_json=json)


@app.command
def bench(
    file: Annotated[Path | None, Parameter(name="PLAN.toml", help="A plan file.")] = None,
    /,
    *,
    loops: Annotated[
        str | None, _option("Comma separated: loops by name, or adapters for all of theirs. Default: all.")
    ] = None,
    rounds: Annotated[int | None, _number("Segments of each loop (15), or runs of each adapter (5).")] = None,
    seconds: Annotated[float | None, _option("That a segment of a loop is to take. Default: 0.5.")] = None,
    seed: Annotated[int, _number("Of the order in each round.")] = 0,
    task: Annotated[str | None, _option("With a plan: the task, see xframe tasks. Default: digits-mlp.")] = None,
    adapters: Annotated[
        str | None, _option("With a plan: adapters, comma separated; a loop after a colon. Default: torch,tensorflow.")
    ] = None,
    device: Annotated[str | None, _option("With a plan: auto, cpu or cuda.")] = None,
    precision: Annotated[str | None, _option("With a plan: float32, float64, bfloat16 or mixed_float16.")] = None,
    threads: Annotated[int | None, _number("With a plan: CPU threads of each run. Default: all cores.")] = None,
    tf32: Tf32 = False,
    python: Python = None,
    out: Annotated[Path | None, _option("With a plan: new folder for traces. Default: in xframe-runs/.")] = None,
    json: Json = False,
    plan: PlanOptions = NO_OPTIONS,
) -> int:
    """Measure what training loops cost per step, or how fast a plan is in each framework.

    Without a plan: bare loops, xframe's recorded ones and those of trainers, in turns, one process and one thread each,
    on a perceptron so small that the loops' own cost shows. What is not installed is left out and named.

    With a plan: samples a second of recorded runs, one at a time. The ratio is given only if those very runs had the
    same structure (else exit code 1).
    """
    from xframe.bench import measuring

    options = {"task": task, "device": device, "precision": precision, "threads": threads, "out": out}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if file is None:
        others = {**given, "adapters": adapters, "tf32": tf32, "python": python}
        stray = [name for name, value in others.items() if value] + ["the plan's fields"] * (plan != NO_OPTIONS)
        if stray:
            raise UsageError("bench without a plan", got=Verbatim(", ".join(stray)), expected="a PLAN.toml with these")
        with _progress() as progress:
            results = measuring.bench_loops(
                loops=None if loops is None else loops.split(","),
                rounds=measuring.ROUNDS if rounds is None else rounds,
                seconds=measuring.SECONDS if seconds is None else seconds,
                seed=seed,
                progress=progress,
            )
        print(jsonlib.dumps({"benches": [r.to_dict() for r in results]}) if json else "\n\n".join(map(str, results)))
        return max(result.exit_code for result in results)
    if loops is not None or seconds is not None:
        raise UsageError("--loops and --seconds", got=str(file), expected="no plan: they are for bench alone")
    with _progress() as progress:
        result = measuring.bench_plan(
            plan.on(file),
            adapters=("torch", "tensorflow") if adapters is None else adapters.split(","),
            rounds=measuring.PLAN_ROUNDS if rounds is None else rounds,
            seed=seed,
            tf32=tf32,
            python=_pairs("--python", python, "ADAPTER=/path/to/python"),
            name=None if plan != NO_OPTIONS else file.stem,
            progress=progress,
            **given,
        )
    print(jsonlib.dumps(result.to_dict()) if json else result)
    return result.exit_code


@app.command
def adapters(*, json: Json = False) -> int:
    """List the adapters, their loops, and whether their framework is installed here."""
    import importlib.util

    from xframe.running import registry

    found = [registry.load(name) for name in registry.available()]
    here = {a.name: all(importlib.util.find_spec(module) for module in a.requires) for a in found}
    if json:
        rows = [{"name": a.name, "loops": a.loops, "installed": here[a.name], "install": a.install} for a in found]
        print(jsonlib.dumps(rows))
        return 0
    width = max(len(", ".join(a.loops)) for a in found)
    for a in found:
        state = "installed" if here[a.name] else f"not installed: {a.install}"
        print(f"{a.name:12}  loops {', '.join(a.loops):{width}}  {state}")
    return 0


@app.command
def tasks(*, json: Json = False) -> int:
    """List the built-in tasks."""
    from xframe.tasks.task import BUILT_IN, find_task

    found = [find_task(name) for name in BUILT_IN]
    if json:
        print(
            jsonlib.dumps([{"name": t.name, "num_samples": t.num_samples, "description": t.description} for t in found])
        )
        return 0
    for task in found:
        print(f"{task.name:{max(map(len, BUILT_IN))}}  {task.num_samples:>6,} samples  {task.description}")
    return 0


def _pairs(option: str, texts: list[str] | None, form: str, *, empty: bool = False) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and (value or empty)):
            raise UsageError(option, got=text, expected=form)
        pairs[name] = value
    return pairs


def _progress() -> Any:
    from xframe.report.progress import watching

    return watching(sys.stderr)


def _report(comparison: Comparison, form: Literal["text", "json", "md"]) -> int:
    from xframe.report.markdown import markdown
    from xframe.report.text import text

    if form == "json":
        print(jsonlib.dumps(comparison.to_dict(), indent=2))
    elif form == "md":
        print(markdown(comparison))
    else:
        _show(text(comparison))
    return comparison.exit_code


def _show(text: str) -> None:
    """Prints; in a terminal, PASS and FAIL in colour (rich heeds NO_COLOR)."""
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.text import Text

    coloured = Text(text)
    coloured.highlight_regex(r"\b(PASS|PASSED)\b", "bold green")
    coloured.highlight_regex(r"\b(FAIL|FAILED)\b", "bold red")
    coloured.highlight_regex(r"\b(INCONCLUSIVE|not judged)\b", "yellow")
    Console(soft_wrap=True).print(coloured)


def execute(tokens: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; no error leaves it as a traceback unless asked for."""
    debug = "--debug" in tokens
    trouble: BaseException
    try:
        code = app(
            [text for text in tokens if text != "--debug"],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(code or 0)
    except XframeError as error:
        trouble, code, message = error, error.exit_code, str(error)
    except CycloptsError as error:
        command = " ".join(["xframe", *(error.command_chain or ())])
        trouble, code, message = error, 2, f"{str(error).strip()} See: {command} --help"
    except KeyboardInterrupt as error:
        kept = f" What was recorded so far stays readable: {error}" if str(error) else ""
        trouble, code, message = error, 130, f"interrupted.{kept}"
    except BrokenPipeError:  # whoever read the results has stopped reading
        sys.stderr.close()
        return 3
    except OSError as error:
        trouble, code, message = error, 3, f"cannot read or write: {error}"
    except Exception as error:
        advice = "This is a fault of xframe or of your task; --debug shows where."
        trouble, code, message = error, 3, f"{type(error).__name__}: {error}. {advice}"
    if debug:
        traceback.print_exception(trouble)
    print(f"xframe: {message}", file=sys.stderr)
    return code


def main() -> None:
    """The ``xframe`` command."""
    sys.exit(execute(sys.argv[1:]))

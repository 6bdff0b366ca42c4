"""Commands on what was recorded: ``xframe compare``, ``explain``, ``import`` and ``certificate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from xframe.cli.grouping import GIVEN, JUDGED, PRINTED, WHAT
from xframe.cli.names import columns
from xframe.cli.options import Atol, Json, Rtol, flag, many, number, option, pairs, word
from xframe.cli.printing import answer, remark, report, show
from xframe.errors import TraceError, UsageError, Verbatim, counted, lines, printable
from xframe.tables import escaped, fenced

if TYPE_CHECKING:
    from xframe.trace.trace import Trace

Runs = Annotated[
    Path,
    Parameter(
        name="TRACE", help="The reference, then what is compared with it; a run's folder for all in it.", group=GIVEN
    ),
]
OrderOption = Annotated[
    Literal["exact", "coverage"] | None,
    word("coverage is for scripts that shuffled on their own: the same samples in each pass.", JUDGED),
]
IdentityOption = Annotated[
    Literal["index", "exact", "close"] | None,
    word("Which samples are the same: by index, or by content. Default: index if all runs have it.", JUDGED),
]
MapOption = Annotated[
    Path | None,
    Parameter(
        name="--map", help='Captured parameters that are one: TOML, "dense/kernel" = "fc1.weight".', group=JUDGED
    ),
]

Md = Annotated[bool, flag("Print Markdown instead.", PRINTED)]


def compare(
    *runs: Runs,
    plan: Annotated[
        Path | None,
        option("A plan file that every run is compared with. Default: the plan that all of them state.", JUDGED),
    ] = None,
    samples: Annotated[
        int | None, number("Size of the data set, for the plan. Default: as recorded in all runs.", JUDGED)
    ] = None,
    order: OrderOption = None,
    identity: IdentityOption = None,
    rtol: Rtol = None,
    atol: Atol = None,
    map_: MapOption = None,
    json: Json = False,
    md: Md = False,
    html: Annotated[Path | None, option("Write a page with pictures to this new file, too.", PRINTED)] = None,
) -> int:
    """Compare traces: structure first, numbers up to the first difference.

    For example: xframe compare reference.trace candidate.trace

    A folder that xframe verify made stands for the traces in it. One trace alone is compared with its plan, or with
    that of a file, as a script's trace: xframe compare --plan plan.toml script.trace; of one folder of replicas without
    a plan, these are compared with each other. In place of the reference may stand a golden, which xframe bless made.
    Of scripts that were recorded with --capture, the updates that both captured are judged stage by stage, and what
    differs in them is named.

    Of settings that differ, those that matter much change what is trained if nothing else makes up for them. Exit
    codes: 0 passed, 1 failed, 2 usage, 4 inconclusive.
    """
    from xframe.comparison.given import no_size
    from xframe.comparison.result import Tolerance
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.request import refuse_existing
    from xframe.translate.ruling import lines_of
    from xframe.verification import compare as compare_traces
    from xframe.verification import write_page

    _one_form(json, md)
    Tolerance.given(rtol, atol)  # a wrong call is reported before a missing file
    if html is not None:
        refuse_existing(html)
    comparison = compare_traces(
        *runs,
        order=order,
        identity=identity,
        plan=None if plan is None else TrainingPlan.from_toml(plan),
        num_samples=samples,
        rtol=rtol,
        atol=atol,
        map_of_pairs=map_,
        write=lines_of,
    )
    given = {"--plan": plan, "--samples": samples}
    options = tuple(word for name, value in given.items() if value is not None for word in (name, str(value)))
    comparison = replace(comparison, options=options)
    if plan is not None and comparison.num_samples is None:
        raise no_size(comparison.sides)
    if html is not None:
        write_page(comparison, html)
    return report(comparison, "json" if json else "md" if md else "text")


def _one_form(json: bool, md: bool) -> None:
    if json and md:
        raise UsageError("two output formats", got=Verbatim("--json and --md"), expected="at most one of them")


def _files(paths: Sequence[Path]) -> list[Path]:
    """The traces, those in folders one by one."""
    from xframe.verification import run_files

    return [file for path in paths for file in run_files(path)]


def explain(
    trace: Annotated[Path, Parameter(name="TRACE", help="A trace, or the reference of two.", group=GIVEN)],
    candidate: Annotated[Path | None, Parameter(name="TRACE2", help="The candidate.", group=GIVEN)] = None,
    /,
    *,
    samples: Annotated[
        int | None, number("Size of the data set. Default: as recorded, or as the ids show.", WHAT)
    ] = None,
    order: OrderOption = None,
    identity: IdentityOption = None,
    json: Json = False,
    md: Md = False,
) -> int:
    """Show which plan a run must have followed, from its rows alone; or why two runs differ, and how to fix it.

    Of one trace: what is certain, what the rows leave open, and the first step at which no plan fits, or where its
    replicas part or share samples (exit code 1; 4 if nothing can be concluded). Its recorded plan is not looked at. Of
    two: the causes, as a failed xframe compare shows them. A folder that xframe verify made stands for the traces in
    it.
    """
    _one_form(json, md)
    (trace, *others) = files = _files([trace] if candidate is None else [trace, candidate])
    if others:
        from xframe.report.text import explained
        from xframe.trace.trace import open_different
        from xframe.verification import compare as compare_and_explain

        traces = open_different(files)
        comparison = compare_and_explain(*traces, order=order, identity=identity, num_samples=samples)
        if json or md:
            return report(comparison, "json" if json else "md")
        show(explained(comparison))
        return comparison.exit_code
    if order is not None or identity is not None:
        raise UsageError("--order and --identity are of two traces", got=Verbatim("one"))
    from xframe.comparison.pairing import Run
    from xframe.comparison.replicated import partings, sharing_samples, stated
    from xframe.inference.inferring import infer
    from xframe.report.inferred import one
    from xframe.trace.rows import Rows
    from xframe.trace.trace import Trace

    opened = Trace.open(trace)
    run = Run(opened.name, Rows.of_trace(opened), opened.facts, opened)
    size = opened.facts.num_samples if samples is None else samples
    inference = infer(run.rows.limited(), size, replicas=stated(run))
    faults = [*partings(run), *filter(None, [sharing_samples(run)])]
    text, facts = one(inference, opened.name), inference.to_dict()
    if opened.replicas:
        said, steps = [fault.sentence for fault in faults], [fault.step for fault in faults if fault.step is not None]
        facts["replicas"] = {"number": len(opened.replicas), "first_fault": min(steps, default=None), "faults": said}
        text += f"\nBetween the replicas: {'; '.join(said)}." if said else ""
    if md:
        print(lines("\n".join([f"# {escaped(opened.name)}", "", *fenced(text.splitlines())])))
    else:
        answer(facts, text, json=json)
    for join in opened.joins:
        remark(f"xframe: {join}.")
    if not opened.complete:
        remark(f"xframe: {printable(trace)} is {opened.ending} after {opened.num_rows:,} steps")
    return 1 if faults or inference.first_misfit is not None else 0 if inference.plan is not None else 4


def import_command(
    source: Annotated[
        Path, Parameter(name="LOG", help="A CSV or JSON lines file, TensorBoard events or their folder.", group=GIVEN)
    ],
    /,
    *,
    out: Annotated[Path, option("The trace to write; must not exist.", PRINTED)],
    column: Annotated[
        list[str] | None,
        many("NAME=COLUMN takes NAME (loss, updates …) from that column or tag, NAME= leaves it out.", WHAT, columns),
    ] = None,
    samples: Annotated[int | None, number("Size of the data set.", WHAT)] = None,
    form: Annotated[Literal["csv", "jsonl", "tensorboard"] | None, option("Default: by the file's name.", WHAT)] = None,
    json: Json = False,
) -> int:
    """Make a trace of what a run logged. What the log lacks is not judged when it is compared."""
    from xframe.comparison import checks
    from xframe.recording.logs import import_run

    columns = pairs("--column", column, "NAME=COLUMN", empty=True)
    imported = import_run(source, out, columns=columns, num_samples=samples, form=form)
    taken = ", ".join(f"{name} from {source!r}" for name, source in imported.columns.items())
    unjudged = checks.unjudged(imported.known)
    facts = {"trace": str(out), "num_steps": imported.rows, "columns": imported.columns, "not_judged": unjudged}
    answer(facts, f"{printable(out)}: {imported.rows:,} steps; {taken}", json=json)
    remark(f"not judged, or not at every step: {', '.join(unjudged)}")
    return 0


def certificate(
    *traces: Annotated[Path, Parameter(name="TRACE", help="Complete traces.", group=GIVEN)],
    replicas: Annotated[bool, flag("Of a run of replicas, a line for each.", PRINTED)] = False,
    json: Json = False,
) -> int:
    """Print the one line that two people compare: equal lines mean the same indices of samples in each step.

    And the same updates; that the same data stand behind the indices it does not say.

    Of several traces, a line each, with its file. What a trace doesn't know, ids or updates, the line can't vouch
    for: that is said on stderr.
    """
    if not traces:
        raise UsageError("TRACE is missing", remedy="See: xframe certificate --help")
    facts = [one for trace in traces for one in (_of_replicas(trace) if replicas else [_certified(trace)])]
    if len(facts) == 1:
        answer(facts[0], str(facts[0]["certificate"]), json=json)
    else:
        lines = [f"{one['certificate']}  {printable(one['trace'])}" for one in facts]
        answer({"certificates": facts}, "\n".join(lines), json=json)
    return 0


def _of_replicas(path: Path) -> list[dict[str, Any]]:
    """The certificates of the replicas of a run, each of its own rows."""
    from xframe.trace.trace import Trace

    if not (opened := Trace.open(path).replicas):
        raise UsageError(
            "--replicas is of a run of replicas",
            got=str(path),
            expected="a folder of their traces, 0.trace, 1.trace and so on",
        )
    return [_facts(one.path, one) for one in opened]


def _certified(path: Path) -> dict[str, Any]:
    """The certificate of a trace, and what it can't vouch for, which is said."""
    from xframe.trace.trace import Trace

    return _facts(path, Trace.open(path))


def _facts(path: Path, opened: Trace) -> dict[str, Any]:
    if not opened.complete:
        raise TraceError(
            f"{printable(path)} is {opened.ending} after {counted(opened.num_rows, 'step')}",
            expected="a complete trace: a certificate would vouch for an unfinished run",
        )
    stated = {"ids_digest": "which samples were in a step", "updates": "how many updates were applied"}
    unstated = [what for name, what in stated.items() if not opened.known_throughout(name)]
    for join in opened.joins:
        remark(f"xframe: {join}.")
    for what in unstated:
        remark(f"xframe: {printable(path)} does not state {what}, so its certificate does not either.")
    return {
        "certificate": opened.certificate,
        "trace": str(path),
        "num_steps": opened.num_rows,
        "unstated": unstated,
        "joined": [asdict(one) for one in opened.joins],
    }

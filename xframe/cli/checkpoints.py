"""Options of ``xframe run`` that keep a training's state and go on from one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from xframe.cli.grouping import KEPT
from xframe.cli.options import ANY_RUN, RunOptions, number, option, pairs
from xframe.cli.printing import remark
from xframe.errors import UsageError, counted, printable

if TYPE_CHECKING:
    from xframe.cli.options import PlanOptions
    from xframe.running.checkpoints import Wanted
    from xframe.running.request import Request
    from xframe.trace.trace import Trace


@Parameter(name="*")
@dataclass(frozen=True)
class CheckpointOptions:
    """What a run keeps, where it stops, and what it goes on from."""

    checkpoint: Annotated[
        Path | None,
        option(
            "Keep the training's whole state in this file where the run stops or ends: weights, the optimizer's state, "
            "an open accumulation window, early stopping, and where in which pass it stands. Written whole or not at "
            "all; must not exist, but for that of --resume.",
            KEPT,
        ),
    ] = None
    checkpoint_every: Annotated[
        int | None, number("Also after each N steps of the whole run, each in place of the last.", KEPT)
    ] = None
    stop_after: Annotated[
        int | None, number("Stop after N steps of the whole run; the trace ends as stopped, not as complete.", KEPT)
    ] = None
    resume: Annotated[
        Path | None,
        option(
            "Go on from this checkpoint, in place of PLAN.toml: plan, task, optimizer and precision are its own, and "
            "so is the adapter without --adapter. An option that contradicts it is refused, but for another limit "
            "(--epochs, --steps or --updates), longer, or shorter and beyond the steps made, and another number of "
            "--replicas, where the steps stay the same. The new trace continues the checkpoint's.",
            KEPT,
        ),
    ] = None

    def wanted(self) -> Wanted:
        """The same, as a run takes it."""
        from xframe.running.checkpoints import Wanted

        file, resume = (None if path is None else str(path.resolve()) for path in (self.checkpoint, self.resume))
        return Wanted(file, self.checkpoint_every, self.stop_after, resume)

    def request(
        self, file: Path | None, plan: PlanOptions, options: RunOptions, adapter: str | None, out: Path
    ) -> Request:
        """The run that is asked for, which begins or goes on."""
        from xframe.plan.training_plan import TrainingPlan
        from xframe.running.resuming import left_behind, require_resumable, resumed

        wanted = self.wanted()
        if wanted.resume is None:
            if file is None or adapter is None:
                what = "PLAN.TOML" if file is None else "--adapter"
                remedy = "See: xframe run --help, or go on from a checkpoint with --resume."
                raise UsageError(f"{what} is missing", remedy=remedy)
            request = options.request(plan.on(file), adapters=(adapter,), out=out, checkpoints=wanted)
        else:
            given = vars(options) | {"python": pairs("--python", options.python, "ADAPTER=/path/to/python")}
            default = vars(ANY_RUN)
            given = {name: value for name, value in given.items() if value != default[name]}
            given |= {"out": out} | ({} if adapter is None else {"adapters": (adapter,)})
            fields = {name: value for name, value in vars(plan).items() if value is not None}
            request = resumed(wanted, given, fields, None if file is None else TrainingPlan.from_toml(file))
            if (note := left_behind(wanted.resume, request)) is not None:
                remark(f"xframe: {note}")
        if wanted:
            require_resumable(request)
        return request

    def remarks(self, trace: Trace) -> dict[str, object]:
        """Says what can be done next; returns what ``--json`` has of it."""
        if self.checkpoint is None:
            return {}
        if not trace.complete:
            remark(
                f"xframe: {trace.ending} after {counted(self.stop_after or 0, 'step')}; "
                f"go on: xframe run --resume {printable(self.checkpoint)} --out NEW.trace"
            )
        return {"checkpoint": str(self.checkpoint), "ending": trace.ending}


NO_CHECKPOINTS = CheckpointOptions()

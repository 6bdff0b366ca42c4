"""In a worker: what a job's run keeps, and what it goes on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xframe.errors import TraceError, Verbatim, printable
from xframe.running.checkpoints import Checkpoints, Of, from_folder_of, head
from xframe.running.messages import Job
from xframe.running.resuming import begun_from
from xframe.running.standing import stated_before
from xframe.trace.trace import Trace
from xframe.trace.writer import SoFar

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.recording.recorder import Recorder
    from xframe.tasks.task import Task
    from xframe.trace.facts import Facts

STOPPED = "stopped as asked"  # how such a run's trace ends


class Kept:
    """What a job says of checkpoints, for its recorder and its adapter.

    Attributes:
        continued: further arguments of ``record``, of a run that goes on.
        before: the steps made before it does.
    """

    def __init__(self, job: Job, plan: TrainingPlan, task: Task, facts: Facts) -> None:
        wanted, begins = job.checkpoints, None
        self.of: Of | None = None  # what it goes on from
        self.continued: dict[str, Any] = {}
        self.before = 0
        if wanted.resume is not None:
            begins, of, trace = begun_from(wanted, plan, task.num_samples)
            self.of = of
            self.continued, self.before = {"continues": trace, "step": of.steps}, of.steps
        self.checkpoints = Checkpoints(wanted, begins=begins, replica=job.replica)
        if wanted.file is not None:
            self.checkpoints.of = head(
                Of(
                    plan=plan.to_dict(),
                    plan_digest=plan.digest,
                    task=job.task,
                    runtime=facts.runtime,
                    adapter=job.adapter,
                    loop=facts.loop or "",
                    data_fingerprint=facts.data_fingerprint or "",
                    weights_fingerprint=facts.weights_fingerprint or "",
                    computes=task.computes(),
                    trace=from_folder_of(wanted.file, job.trace),
                    steps=0,
                    certificate="",
                    losses="",
                    optimizer=job.optimizer,
                    replica=None if job.replica is None else {"index": 0, "of": job.replica.of},
                )
            )

    def argument(self, recorder: Recorder) -> dict[str, Checkpoints]:
        """The further argument of the adapter's ``run``; none where nothing is to be kept, as not all take one.

        Raises:
            TraceError: the trace that is continued is no longer the checkpoint's.
        """
        of = self.of
        if of is not None and (so_far := self._so_far(recorder, of)) != (of.steps, of.certificate, of.losses):
            raise TraceError(
                f"{printable(of.trace)} is no longer the trace of the run that the checkpoint is of",
                got=Verbatim(f"the certificate {so_far.certificate}, and the losses {so_far.losses}"),
                expected=f"{of.certificate}, and {of.losses}, as it had when it was checked",
            )
        self.checkpoints.recorder = recorder
        recorder.counts_the_whole_run()
        return {"checkpoints": self.checkpoints} if self.checkpoints.wanted else {}

    def _so_far(self, recorder: Recorder, of: Of) -> SoFar:
        """What is known of the rows that are continued, as the checkpoint states it."""
        so_far = recorder.so_far()
        if of.replica is None:
            return so_far
        source = Trace.open(self.continued["continues"]).source
        return SoFar(so_far.rows, *stated_before(source, of))

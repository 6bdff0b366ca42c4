"""What a cause is: everything that is known about one reason for two runs to differ, in one class.

A cause is declared as a subclass of ``Cause`` in a file of ``diagnosis/causes/``; nothing else needs to know its name.
It finds itself in the rows in one of two ways, or both:

    predictions  the reference's plan with fields changed; a prediction fits if it reproduces all rows of the candidate
    find         anything else: the reference's rows edited (a batch lost, two samples swapped), which may reproduce all
                 rows too, or a mark that it leaves (a sample drawn twice), which never does

and, where all rows agree, in the labels that the loops gave them (``find_in_labels``) or in what the runs computed
(``find_in_numbers``). Which cause is reported first, and whether one is certain, is decided in ``ranking``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import log
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from xframe.diagnosis import claims
from xframe.diagnosis.case import Case
from xframe.diagnosis.claims import Claim, Table
from xframe.diagnosis.fixes import fields_of
from xframe.diagnosis.numbers import Numbers
from xframe.diagnosis.reference import alike, changed
from xframe.plan.training_plan import TrainingPlan

LAST_RESORT = 1000.0  # added to a rank: among equally good explanations, report this one last


class Prediction(NamedTuple):
    """A plan that the candidate may follow instead of the reference's."""

    fields: Mapping[str, Any]  # of the reference's plan that are changed
    text: str  # what the run then does; a sentence without its subject
    observed: Any = None  # the field's value to write into the plan, where the run is right and the plan is not


@dataclass(frozen=True)
class Fit:
    """A cause that the rows, labels or numbers do not refute."""

    cause: Cause
    sentence: str  # what happened, with the arithmetic
    exact: bool = True  # it reproduces every row of the run; in numbers, it leaves no other cause
    guess: bool = False  # the rows are as it states, but the intent that it states is not in them
    shown: bool = False  # neither chance nor any two causes give the mark that it has left
    step: int | None = None  # the first at which it shows
    fields: Mapping[str, Any] = field(default_factory=dict)  # for the settings that fix it
    plan: TrainingPlan | None = None  # the plan that the run follows instead, if it is a prediction
    labels: bool = True  # the loop's own are as it predicts, where it predicts any
    by_reference: bool = False  # it is the reference that does so
    rank: float = 0.0  # in place of the cause's own
    besides: bool = False  # it holds together with the cause before it
    follows: bool = False  # from what other causes explain, which are reported first
    claims: tuple[Claim, ...] = ()  # what the sentence says besides, and the comparison's table must not refute


def settings(**by_framework: str) -> Mapping[str, str]:
    """Fixes by framework or trainer; in braces what is to be filled in, see ``Cause.fixes``."""
    return MappingProxyType(by_framework)


class Cause:
    """A reason for which a run differs; its docstring is what it means, of the run that differs ("it …").

    One instance serves all cases, so it keeps nothing.
    """

    name: ClassVar[str]  # stable; scripts read it from the JSON
    # Among explanations that fit equally well, the lowest rank is reported first: the commoner and the simpler.
    rank: ClassVar[float]
    # By framework or trainer, the setting that brings the run back to the reference; ``plan``: what to write into the
    # plan instead. In braces: ``Case.fields``, and ``{observed}``, without which a text is left out.
    fixes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    settles: ClassVar[bool] = False  # it rests on what the run states: where it fits, no other cause is looked for
    about_inputs: ClassVar[bool] = False  # what enters training was seen to differ: no setting explains that
    unless_set: ClassVar[str] = ""  # a setting that explains, where the runs state different ones, what this guesses at
    about_order: ClassVar[bool] = False  # only the order of the samples differs: no cause where orders may differ
    about_joins: ClassVar[bool] = False  # it rests on where a run goes on in a further trace
    of_replicas: ClassVar[bool] = False  # it rests on what several replicas did, those of the reference, too
    about_windows: ClassVar[bool] = False  # it concerns the ends of windows, which rows never show by themselves
    # What makes totals agree only by chance: a pass is cut into batches in a different way (totals of steps), updates
    # come after other steps (of updates), or either (of updates where the numbers of steps differ).
    cuts_passes: ClassVar[bool] = False
    moves_updates: ClassVar[bool] = False
    changes_counts: ClassVar[bool] = False
    needs_epochs: ClassVar[bool] = False  # without the loops' labels, epochs of a different kind explain the same rows
    explains_end: ClassVar[bool] = False  # it may be certain though the run merely ends before the plan does
    never_certain: ClassVar[bool] = False  # many a story has the same rows
    vague: ClassVar[bool] = False  # it says no more than where to look: not named where a setting explains it
    guesses: ClassVar[bool] = False  # at what nothing recorded speaks for: not beside what something does
    definite: ClassVar[bool] = False  # at its own rank it rests on what was recorded: no vague one stands beside it
    without_steps: ClassVar[bool] = False  # it guesses at what a judged step that differs shows
    settings_behind: ClassVar[str] = ""  # a pattern of the names of settings that, where they differ, speak for it
    # Of a cause found in numbers: which failed checks it explains.
    explains: ClassVar[staticmethod[[Table, int | None], set[str]]] = staticmethod(claims.of_losses)

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        """What the run may follow instead of ``plan``, one of those that reproduce the reference's rows."""
        return iter(())

    def find(self, case: Case) -> Iterator[Fit]:
        """Edits of the reference's rows and marks in the candidate's."""
        return iter(())

    def find_in_labels(self, case: Case) -> Iterator[Fit]:
        """Only asked where all that was observed agrees."""
        return iter(())

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        """Only asked where rows and labels agree."""
        return iter(())

    def find_in_replicas(self, case: Case) -> Iterator[Fit]:
        """Only asked where several replicas made the candidate: what none of their merged rows shows."""
        return iter(())

    def log_alternatives(self, case: Case) -> float:
        """The logarithm of the number of orders that this cause could have made; see ``ranking``.

        By default: the places of two samples or batches, or a place and a sample.
        """
        return 2 * log(max(int(case.candidate.bounds[case.shared]), 2))

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        """The fixes that apply; overridden where they depend on what the reference does."""
        return self.fixes

    def fix(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """The fixes, filled in; what is not known becomes ``...``."""
        known = defaultdict(lambda: "...", fields)
        fixes = self.fixes_for(fields).items()
        return {at: text.format_map(known) for at, text in fixes if "observed" in fields or "{observed}" not in text}

    def predicted(self, case: Case) -> Iterator[Fit]:
        """The predictions that reproduce the candidate's rows, up to the first that has its labels too."""
        n = case.num_samples
        if n is None or not len(case.candidate):
            return
        at = None if case.drawn is not None else case.differs_at
        for plan in case.basis.plans:
            for fields, text, observed in self.predictions(case, plan, n):
                if at is not None and at < alike(plan, fields, n, case.shared):
                    continue
                other = changed(plan, **fields)
                match = case.match(other) if other is not None and other != plan else None
                if match is None:
                    continue
                exact = match.labels and match.known > 0.5
                fit = self.fit(case, text, exact=exact, observed=observed, plan=plan)
                steps = (fit.step, case.labels_differ_at if match.labels else None)
                step = min((one for one in steps if one is not None), default=None)
                yield replace(fit, plan=other, labels=match.labels, step=step)
                if match.labels:
                    return

    def fit(
        self,
        case: Case,
        text: str,
        *,
        exact: bool = True,
        guess: bool = False,
        shown: bool = False,
        step: int | None = None,
        observed: Any = None,
        rank: float | None = None,
        plan: TrainingPlan | None = None,
        claims: tuple[Claim, ...] = (),
    ) -> Fit:
        """What a finder returns: the run does what ``text`` states; the totals that differ are added to it.

        By default it shows from the first step that differs on, and has the cause's own rank. ``observed``: the field's
        value to write into the plan; ``plan``: of the reference, where it is not the likeliest; both for the fixes;
        ``claims``: what the sentence says besides.
        """
        fields = fields_of(plan or case.plan, case.num_samples)
        if fields and observed is not None:
            fields = {**fields, "observed": observed}
        step, rank = case.differs_at if step is None else step, self.rank if rank is None else rank
        totals = "" if self.about_order and not exact else case.lengths  # no order makes fewer steps or updates
        text = f"{case.run} {text}{totals}"
        return Fit(self, text, exact, guess, shown, step, fields, rank=rank, claims=claims)

    def note(
        self,
        case: Case,
        sentence: str,
        step: int | None,
        *,
        exact: bool = False,
        rank: float | None = None,
        claims: tuple[Claim, ...] = (),
    ) -> Fit:
        """What finders in labels and numbers return; the sentence has its own subject."""
        fields = {"k": case.window, **fields_of(case.plan, case.num_samples)}
        rank = self.rank if rank is None else rank
        return Fit(self, sentence, exact, step=step, fields=fields, rank=rank, claims=claims)

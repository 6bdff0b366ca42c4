"""Explanations that a setting speaks for: these are named first among those of one difference, with the setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from xframe.comparison.pairing import Pair
from xframe.comparison.result import Explanation
from xframe.diagnosis import causes
from xframe.diagnosis.cause import Cause
from xframe.diagnosis.evidence import Evidence, set_to


def backed(explanations: Sequence[Explanation], pair: Pair | None) -> list[Explanation]:
    """The explanations of one run, of each step those first that rest on a setting in which the two runs differ.

    What is certain stays where it is.
    """
    if pair is None:
        return list(explanations)
    evidence, in_order = Evidence.of_settings(pair), list[Explanation]()
    for _, group in groupby(explanations, key=lambda one: one.step):
        several = _not_guessed(list(group), evidence)
        texts = [_settings(one, evidence, pair) for one in several]
        inputs = [causes.by_name()[one.name].about_inputs for one in several]
        places = sorted(range(len(several)), key=lambda i: (not several[i].certain, not inputs[i], texts[i] is None))
        first = places[0]
        for i in places:
            one = several[i]
            equal = _set_alike(one, evidence)
            one = replace(one, certain=one.certain and not equal and not _rivalled(one, evidence))
            if equal and (each := _in_each_replica(pair)):
                one = replace(one, sentence=f"{one.sentence}; {equal} in both, {each}")
            elif equal:
                one = replace(one, sentence=f"{one.sentence}; but {equal} in both, so the script itself does it")
            besides = several[0].besides if i == first else one.besides and i != 0
            sentence = f"{one.sentence}; {texts[i]}" if texts[i] else one.sentence
            in_order.append(replace(one, sentence=sentence, besides=besides))
    return in_order


def _not_guessed(several: list[Explanation], evidence: Evidence) -> list[Explanation]:
    """Those of one step without the guesses at what both runs set otherwise, if others are left: a batch size that
    each script states is no size per replica, taken for the global one."""

    def guessed(one: Explanation) -> bool:
        name = causes.by_name()[one.name].unless_set
        own, other = (stated.get(name) for stated in evidence.stated)
        return None not in (own, other) and own != other and not one.certain

    return [one for one in several if not guessed(one)] or several


def _rivalled(explanation: Explanation, evidence: Evidence) -> bool:
    """Whether something else that matters was set otherwise, which may be why numbers differ."""
    cause = causes.by_name()[explanation.name]
    if type(cause).find_in_numbers is Cause.find_in_numbers:
        return False
    own = {one.name for one in evidence.differing(cause.settings_behind)} if cause.settings_behind else set()
    own.add("loss.from_logits")  # which a model's last layer may make up for; it is a cause of its own where it shows
    return any(one.matters == "much" and one.name not in own for one in evidence.settings)


def _set_alike(explanation: Explanation, evidence: Evidence) -> str | None:
    """The one setting that an explanation would rest on, with its value, if both runs state the same."""
    name = causes.by_name()[explanation.name].settings_behind.replace("\\", "")
    own, other = (stated.get(name) for stated in evidence.stated)
    return f"{name} is {own}" if own is not None and own == other else None


def _in_each_replica(pair: Pair) -> str | None:
    """That one setting acts in more processes of one run than of the other, where they have different numbers."""
    candidate, reference = (
        max(1, 0 if run.trace is None else len(run.trace.replicas)) for run in (pair.candidate, pair.reference)
    )
    if candidate == reference:
        return None
    run, of = max((pair.candidate.name, candidate), (pair.reference.name, reference), key=lambda one: one[1])
    return f"and {run} has it in each of {of:,} replicas"


def _settings(explanation: Explanation, evidence: Evidence, pair: Pair) -> str | None:
    """The settings that speak for an explanation, which may name them already; None if none does."""
    pattern = causes.by_name()[explanation.name].settings_behind
    differing = evidence.differing(pattern) if pattern else []
    if not differing:
        return None
    said = set_to(differing, pair.candidate.name, pair.reference.name)
    named = said in explanation.sentence or all(one.name in explanation.sentence for one in differing)
    return "" if named else said

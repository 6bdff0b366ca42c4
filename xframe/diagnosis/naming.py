"""Sentences of runs whose samples are known by their contents: the numbers of these are in no run's data."""

from __future__ import annotations

import re

# Where sentences number samples; ``without`` is what is left where these are numbers of no data.
_NUMBER = re.compile(r"\d[\d,]*")
_SAMPLES = (
    re.compile(r"(?P<without>(?:training set|never has)) \((?P<ids>\d[\d,]*(?:, \d[\d,]*)*)(?:, …)?\)"),
    re.compile(r"\b(?P<without>samples) (?P<ids>\d[\d,]* and \d[\d,]*\b)"),
    re.compile(r"(?P<without>\b)sample (?P<ids>\d+(?:,\d{3})*)"),
    re.compile(r"(?P<without>\b)(?<=in place of )(?P<ids>\d+(?:,\d{3})*)"),
)


def by_content(sentence: str, named: int) -> str:
    """The sentence without the numbers of samples from ``named`` on, which are of contents and in no run's data."""

    def unnamed(words: re.Match[str]) -> str:
        numbers = [int(one.replace(",", "")) for one in _NUMBER.findall(words["ids"])]
        return words[0] if max(numbers) < named else words["without"] or "another sample"

    for pattern in _SAMPLES:
        sentence = pattern.sub(unnamed, sentence)
    return sentence

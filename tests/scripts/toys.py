"""A framework of a few lines, its instrument, and what came of a command that was recorded."""

import sys

import xframe

FRAMEWORK = """
import time
hooks = []
def train(steps, first=0, pause=0):
    for number in range(first, first + steps):
        for hook in hooks:
            hook(number)
        time.sleep(pause)
"""
INSTRUMENT = """
import numpy as np
import toyframe
from xframe.recording.attach.machine import Batch
from xframe.state.record import Record
from xframe.state.state import State

class Counter:
    applied = attempts = 0
    evidence = "counted"

class Instrument:
    def __init__(self, machine):
        self.machine, self.counter = machine, Counter()
    def attach(self):
        toyframe.hooks.append(self.step)
        self.machine.counters[1] = self.counter
        self.machine.evidence = "counted"
    def detach(self):
        toyframe.hooks.remove(self.step)
    def step(self, number):
        self.machine.used(Batch(np.array([number]), 1))
        self.machine.backward(0.5)
        self.counter.applied += 1
        self.counter.attempts += 1
        self.machine.stepped(1, 0.1)
        capture = self.machine.capture
        if capture is not None and capture.due(number):
            weights = State({"w": np.full(1000, float(number), "f8")})
            capture.keep(number, Record(self.machine.made, weights, {}, weights, {"update": number}))
"""
TRAIN = "import toyframe; toyframe.train(5)"
PYTHON = sys.executable


class Done:
    """What came of a recorded command."""

    def __init__(self, code, captured, folder):
        self.code, self.out, self.folder = code, captured.out, folder
        self.err = " ".join(captured.err.split())[-2000:]

    def steps(self, name="a.trace"):
        """Steps of a trace, by the samples that they took."""
        trace = xframe.Trace.open(self.folder / name)
        return [int(ids[0]) for ids in trace.frame().ids]

    def ending(self, name="a.trace"):
        return xframe.Trace.open(self.folder / name).ending

    def traces(self):
        return sorted(path.name for path in self.folder.glob("*.trace"))


def said(done, *words):
    for word in words:
        assert word in done.err, done.err


def steps(path):
    return [int(ids[0]) for ids in xframe.Trace.open(path).frame().ids]

"""Scripts that record, are interrupted, and know which of their steps were completed: what is read must be those.

Row ``k`` of a script is recognised by its first id, and has one value in every column, so that a torn one shows.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import xframe
from xframe.recording import unclosed
from xframe.trace import plainwriter

IDS = 8  # a step's first id is this many times k
HANDLERS_STEPS = 1 << 20  # from here on they are those of a signal's handler


class Interrupted(Exception):  # noqa: N818
    """What a signal's handler raises, where it isn't KeyboardInterrupt."""


INTERRUPTIONS = (KeyboardInterrupt, Interrupted)


def row(k: int) -> dict[str, Any]:
    """What a script gives to ``rec.step`` as its step ``k``."""
    ids = np.arange(IDS * k, IDS * k + 1 + k % 5)
    return {"ids": ids, "updates": k + 1, "loss": k / 4, "lr": 1 / (k + 1), "epoch": k // 10, "step_in_epoch": k % 10}


def give(rec: Any, k: int, rows: int) -> None:
    """Hands over the steps ``k`` to ``k + rows`` (excluded): one as a step, many as a block, none as a validation."""
    if rows == 1:
        rec.step(**row(k))
    elif rows == 0:
        rec.validation(loss=k, ids=np.arange(k))
    else:
        many = [row(k + i) for i in range(rows)]
        columns = {name: [one[name] for one in many] for name in many[0] if name != "ids"}
        sizes = [len(one["ids"]) for one in many]
        rec.block(ids=np.concatenate([one["ids"] for one in many]), batch_sizes=sizes, **columns)


@dataclass
class Account:
    """What a script did: the steps that it began, those whose call returned, and whether it left by itself."""

    begun: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    handled: list[int] = field(default_factory=list)  # steps that a signal's handler gave
    caught: int = 0
    kept_weights: bool = False
    signals: int = 0
    stated: int | None = None  # the recorder's own count, once it was closed
    left: bool = False  # the recorder was left without an exception
    closed: bool = False  # a signal's handler has begun to close it
    ended: bool = False  # and has done so

    def take(self, rec: Any, rows: int) -> None:
        """Gives the next steps; a call that is interrupted is not made again."""
        k = self.begun[-1] + 1 if self.begun else 0
        self.begun += range(k, k + rows)
        give(rec, k, rows)
        self.done += range(k, k + rows)

    def record(self, path: Path, style: str) -> Any:
        self.rec = plainwriter.record(path) if style == "plain" else xframe.record(path)
        return self.rec

    def keep_weights(self, rec: Any, style: str) -> None:
        if style == "mixed" and not self.kept_weights:
            rec.weights(WEIGHTS)
            self.kept_weights = True

    def settle(self) -> None:
        """As Python's end does, for recorders that are forgotten."""
        if isinstance(getattr(self, "rec", None), plainwriter.Recorder):
            self.rec.flush()
        unclosed.settle_all()

    def dumped(self) -> str:
        return json.dumps({name: value for name, value in vars(self).items() if name != "rec"})

    @classmethod
    def read(cls, text: str) -> "Account":
        return cls(**json.loads(text))


class Handler:
    """A signal's handler that records, and may raise after it."""

    def __init__(self, what: str, account: Account, raised: type[BaseException]) -> None:
        self.what, self.account, self.raised = what, account, raised

    def __call__(self) -> None:
        account = self.account
        rec = getattr(account, "rec", None)
        if rec is not None and not account.closed:
            self._record(account, rec)
        if "raise" in self.what:
            raise self.raised

    def _record(self, account: Account, rec: Any) -> None:
        if self.what == "step":
            with contextlib.suppress(*REFUSED):  # it is closed already
                k = HANDLERS_STEPS + len(account.handled)
                account.handled.append(k)
                rec.step(**row(k))
                account.done.append(k)
        elif "flush" in self.what:
            rec.flush()
        elif "close" in self.what:
            account.closed = True
            rec.close()
            account.ended = True


WEIGHTS = {"w": np.arange(3.0)}
STYLES = ("steps", "blocks", "mixed", "plain")  # plain: by plainwriter
REFUSED = (xframe.UsageError, ValueError)  # what a recorder raises, and a plain one


def sizes_of(style: str, call: int) -> int:
    """How many steps a script's call hands over."""
    return {"steps": 1, "plain": 1, "blocks": 3, "mixed": (1, 1, 3, 0)[call % 4]}[style]


def leaving(account: Account, path: Path, style: str, calls: int, pause: Callable[[], None]) -> None:
    """What interrupts it leaves the ``with``, as it would a script."""
    try:
        with account.record(path, style) as rec:
            for call in range(calls):
                account.take(rec, sizes_of(style, call))
                pause()
            account.keep_weights(rec, style)
        account.left = True
        account.stated = rec.num_steps
    except INTERRUPTIONS:
        account.caught += 1
    except REFUSED:
        if not account.closed:
            raise


def going_on(account: Account, path: Path, style: str, calls: int, pause: Callable[[], None]) -> None:
    """Catches inside the ``with`` and goes on with the next step."""
    try:
        with account.record(path, style) as rec:
            for call in range(calls):
                try:
                    account.take(rec, sizes_of(style, call))
                    pause()
                except INTERRUPTIONS:
                    account.caught += 1
        account.left = True
        account.stated = rec.num_steps
    except INTERRUPTIONS:
        account.caught += 1
    except REFUSED:
        if not account.closed:
            raise


def catching(account: Account, path: Path, style: str, calls: int, pause: Callable[[], None]) -> None:
    """Ends its loop at the first interruption, and then closes by itself, as often as it takes."""
    rec = None
    for _ in range(100):
        try:
            rec = account.record(path, style) if rec is None else rec
            for call in range(0 if account.caught else calls):
                account.take(rec, sizes_of(style, call))
                pause()
            account.keep_weights(rec, style)
            rec.close()
            account.left, account.stated = True, rec.num_steps
            return
        except INTERRUPTIONS:
            account.caught += 1
        except REFUSED:
            if account.closed:
                return
            if account.begun:
                raise
            path.unlink()  # the recorder was lost on its way here, and its file is still held by the exception


SCRIPTS = {script.__name__: script for script in (leaving, going_on, catching)}


def wrong(account: Account, path: Path) -> str | None:
    """What is wrong with the trace that a script left."""
    strangers = [file.name for file in path.parent.iterdir() if file.name.endswith(".closing")]
    if strangers:
        return f"left behind: {strangers}"
    if not path.exists():
        return "there is no trace" if account.done else None
    trace = xframe.Trace.open(path)
    found = [int(ids[0]) // IDS for ids in trace.batches()]
    by_handler = [k for k in found if k >= HANDLERS_STEPS]
    by_script = [k for k in found if k < HANDLERS_STEPS]
    if by_script != sorted(set(by_script)) or by_handler != sorted(set(by_handler)):
        return f"steps twice or out of order: {found[:50]}"
    if lost := set(account.done) - set(found):
        return f"lost {sorted(lost)[:10]} of {len(account.done)}"
    if extra := set(found) - {*account.begun, *account.handled}:
        return f"steps that nobody gave: {sorted(extra)[:10]}"
    columns = {name: trace.column(name).tolist() for name in ("updates", "loss", "lr", "epoch", "step_in_epoch")}
    for i, (k, ids) in enumerate(zip(found, trace.batches(), strict=True)):
        expected = row(k)
        if ids.tolist() != expected["ids"].tolist() or any(columns[n][i] != expected[n] for n in columns):
            return f"step {k} is torn"
    if account.left and not trace.complete:
        return f"it was left, and is {trace.ending}"
    if account.ended and trace.ending == "truncated":
        return "it was closed, and is truncated"
    weights = trace.weights()
    if (weights is None and account.kept_weights and trace.ending != "truncated") or (weights or WEIGHTS).keys() != {
        "w"
    }:
        return "its weights are not there"
    if account.stated not in (None, len(found)):
        return f"{account.stated} steps counted, {len(found)} written"
    return None

"""The command that keeps what a run must do: ``xframe bless``. ``xframe compare`` holds a run against it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xframe.cli.grouping import GIVEN, JUDGED, PRINTED, WHAT
from xframe.cli.options import Json, flag, option
from xframe.cli.printing import answer
from xframe.errors import counted, printable


def bless(
    trace: Annotated[Path, Parameter(name="TRACE", help="A trace of the run as it should be.", group=GIVEN)],
    /,
    *,
    why: Annotated[str, option("The reason, one line, for whoever reviews the change.", WHAT)],
    out: Annotated[Path | None, option("The golden to write. Default: NAME.golden beside the trace.", PRINTED)] = None,
    replace: Annotated[bool, flag("Renew a golden that exists.", PRINTED)] = False,
    rtol: Annotated[
        float | None, option("Relative tolerance of its numbers; with --atol. Default: by the run's precision.", JUDGED)
    ] = None,
    atol: Annotated[float | None, option("Absolute tolerance of its numbers; with --rtol.", JUDGED)] = None,
    json: Json = False,
) -> int:
    """Keep what a run did as a small text, a golden, that later runs are compared with.

    For example: xframe bless new.trace --out tests/digits.golden --why "first run of the port"

    Then: xframe compare tests/digits.golden newer.trace

    It holds the certificate and counts exactly, and some losses, learning rates, validations and moments of the final
    weights with their tolerance. The same run gives the same text, so that the diff of a golden that was renewed with
    --replace shows what changed.
    """
    from xframe.comparison.goldens.blessing import bless as bless_run
    from xframe.comparison.goldens.golden import SUFFIX

    path = trace.with_name(f"{trace.name.removesuffix('.trace')}{SUFFIX}") if out is None else out
    golden = bless_run(trace, path, why=why, rtol=rtol, atol=atol, replace=replace)
    structure, numbers = golden.stated.structure, golden.stated.numbers
    facts = {"golden": str(path), "certificate": structure.certificate, "num_steps": structure.num_steps}
    facts |= {"rtol": numbers.rtol, "atol": numbers.atol, "steps_per_range": structure.steps_per_range}
    text = f"{printable(path)}: {counted(structure.num_steps, 'step')}, numbers within {numbers.tolerance}"
    answer(facts, f"{text}\ncertificate: {structure.certificate}", json=json)
    return 0

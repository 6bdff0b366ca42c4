"""The file of a golden: what it states, its text, and how it is read. See the package's text for what it is."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from xframe.comparison.goldens.ranges import MOST, Identity
from xframe.comparison.result import Tolerance
from xframe.errors import NotATraceError, TraceError, printable
from xframe.files.limits import LARGEST, opened
from xframe.plan.counting import Counts
from xframe.trace.stated import Certificate, Count, Hex128, fitted

SUFFIX = ".golden"
HEAD = "# xframe golden: what a run must do."
MOST_BYTES = 1 << 16
MOST_ROWS = 6  # single steps, validations
MOST_ARRAYS = 4  # of weights
MOST_WHY = 500  # characters
_SHORT = 200
_DIGEST = "digest"


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text that cannot be printed")
    return text


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return number


Text = Annotated[str, StringConstraints(min_length=1, max_length=_SHORT), AfterValidator(_line)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=MOST_WHY), AfterValidator(_line)]
Finite = Annotated[float, AfterValidator(_finite)]
Digests = Annotated[str, StringConstraints(pattern="^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$")]
_DIGITS = {"float64": 11}  # of a number in the text, by precision


class _Stated(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class StatedRange(_Stated):
    """One range of steps, as ``ranges.ranges_of`` has it; its digests are those of sizes, ids and updates."""

    digests: Digests
    loss: float | None = None
    lr: float | None = None


class StatedStep(_Stated):
    """The numbers of one step."""

    step: Count
    loss: float | None = None
    lr: float | None = None


class StatedValidation(_Stated):
    """What one validation gave; ``index`` counts a run's validations."""

    index: Count
    after: Count
    num_samples: Count | None = None
    loss: float | None = None
    accuracy: float | None = None


class StatedWeights(_Stated):
    """One array of the final weights: its shape, mean, root of the mean square, and the first and last element."""

    name: Text
    shape: Annotated[list[Count], Field(max_length=32)]
    mean: float
    rms: float
    ends: Annotated[list[float], Field(min_length=2, max_length=2)]


class Structure(_Stated):
    """What was done: equal or not. ``identity`` is how samples are known: of those by content no certificate tells.

    Of samples known by index the digests of features and targets say that the same data stand behind the indices.
    """

    certificate: Certificate
    identity: Identity = "index"
    steps_per_range: Annotated[int, Field(ge=1, le=LARGEST)]
    ranges: Annotated[list[StatedRange], Field(min_length=1, max_length=MOST)]
    num_steps: Annotated[int, Field(ge=1, le=LARGEST)]
    num_updates: Count
    num_epochs: Count | None = None
    steps_per_epoch: Count | None = None
    samples_seen: Count | None = None
    samples_dropped: Count | None = None
    samples_padded: Count | None = None
    last_batch_size: Count | None = None
    num_validations: Count = 0
    data_fingerprint: Text | None = None
    features_digest: Hex128 | None = None
    targets_digest: Hex128 | None = None

    @model_validator(mode="after")
    def _ranges_fit(self) -> Structure:
        if len(self.ranges) != -(-self.num_steps // self.steps_per_range):
            raise ValueError("ranges that are not those of its steps")
        return self

    @property
    def counts(self) -> Counts:
        """The run's counts."""
        return Counts(**{name: getattr(self, name) for name in Counts.__slots__})


class Numbers(_Stated):
    """What was computed, and by which tolerance it is compared."""

    precision: Literal["float32", "float64", "bfloat16", "mixed_float16"]
    rtol: Annotated[Finite, Field(ge=0)]
    atol: Annotated[Finite, Field(ge=0)]
    steps: Annotated[list[StatedStep], Field(max_length=MOST_ROWS)] = Field(default_factory=list)
    validations: Annotated[list[StatedValidation], Field(max_length=MOST_ROWS)] = Field(default_factory=list)
    num_weights: Count = 0
    weights_digest: Hex128 | None = None
    weights: Annotated[list[StatedWeights], Field(max_length=MOST_ARRAYS)] = Field(default_factory=list)

    @property
    def tolerance(self) -> Tolerance:
        """The tolerance."""
        return Tolerance(self.rtol, self.atol)

    def rounded(self, number: float) -> float:
        """A number as the text has it, so that equal numbers stay equal."""
        return float(f"{number:.{_DIGITS.get(self.precision, 9)}g}")

    @property
    def rounding(self) -> float:
        """By what share of itself a number may differ from its text."""
        return float(10.0 ** (1 - _DIGITS.get(self.precision, 9)))


class StatedGolden(_Stated):
    """All of it."""

    format: Literal[1]
    why: Why
    run: Text
    digest: Hex128
    structure: Structure
    numbers: Numbers
    versions: Annotated[dict[Text, Text], Field(max_length=100)] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Golden:
    """A golden, as a file states it.

    Attributes:
        path: of the file, by which reports call it.
    """

    path: Path
    stated: StatedGolden

    @property
    def name(self) -> str:
        """What a report calls it."""
        return printable(self.path.name)

    @classmethod
    def open(cls, path: str | Path) -> Golden:
        """Reads a golden.

        Raises:
            NotATraceError: there is no such file, or it is no golden.
            TraceError: it is damaged, or was changed since it was made.
        """
        path = Path(path)
        try:
            with opened(path) as file:
                data = file.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            why = printable(getattr(error, "strerror", None) or error)
            remedy = f"Make it: xframe bless RUN.trace --why TEXT --out {printable(path)}"
            raise NotATraceError(
                "cannot read the golden", got=str(path), expected=f"a readable file ({why})", remedy=remedy
            ) from None
        try:
            if len(data) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES:,} bytes")
            facts = tomllib.loads(data.decode().replace("\r\n", "\n"))
            if type(facts.get("format")) is int and facts["format"] != 1:
                raise NotATraceError(
                    f"{printable(path)} is a golden of format {facts['format']}",
                    expected="format 1",
                    remedy="Update xframe.",
                )
            stated = fitted(StatedGolden, facts)
            if digest_of(facts) != stated.digest:
                raise ValueError("its digest is not that of what it says")
        except (ValueError, TypeError, RecursionError) as error:
            raise TraceError(
                f"{printable(path)} is no golden as xframe writes them: {printable(error)[:300]}",
                remedy="Take it from version control again, or make it anew with xframe bless.",
            ) from None
        return cls(path, stated)


def is_golden(path: str | Path) -> bool:
    """Whether a file is to be read as a golden: by its name, or by how it begins."""
    path = Path(path)
    if path.suffix == SUFFIX:
        return True
    try:
        with opened(path) as file:
            return file.read(len(HEAD)) == HEAD.encode()
    except (OSError, ValueError):
        return False


def digest_of(facts: dict[str, Any]) -> str:
    """The digest of what a golden says, but for the digest: of its facts, whatever its line ends and comments."""
    text = json.dumps({name: value for name, value in facts.items() if name != _DIGEST}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def text_of(facts: dict[str, Any]) -> str:
    """The text of a golden that states these facts, in this order; tables come last."""
    lines = [HEAD, "# Compare:  xframe compare THIS.golden RUN.trace"]
    lines += ['# Renew:    xframe bless RUN.trace --out THIS.golden --replace --why "…"', ""]
    facts = {**facts, _DIGEST: digest_of(tomllib.loads("\n".join(_lines(facts))))}
    return "\n".join([*lines, *_lines(facts), ""])


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    tables = {name: value for name, value in facts.items() if type(value) is dict}
    for name, value in facts.items():
        if name in tables or value is None:
            continue
        if type(value) is list and value and type(value[0]) is dict:
            yield f"{name} = ["
            yield from (f"  {_value(one)}," for one in value)
            yield "]"
        else:
            yield f"{name} = {_value(value)}"
    for name, table in tables.items():
        yield ""
        yield f"[{name}]"
        yield from _lines({_key(key): value for key, value in table.items()})


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() else _value(name)


def _value(value: Any) -> str:
    """A value as TOML has it; a text's letters need no escapes, for it is printable."""
    if type(value) is dict:
        pairs = (f"{_key(name)} = {_value(of)}" for name, of in value.items() if of is not None)
        return "{ " + ", ".join(pairs) + " }"
    if type(value) is list:
        return "[" + ", ".join(map(_value, value)) + "]"
    if type(value) is str:
        return json.dumps(printable(value), ensure_ascii=False)
    return repr(value)

"""What stands in a trace beside its columns: the one schema of head, end, validations and index.

It is checked when a trace is opened, and nothing is taken from a file that it does not fit; what it does not name is
left alone, for a later version may add keys. FORMAT.md describes each.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from xframe.errors import shown
from xframe.files.limits import LARGEST, MOST_REPLICAS, SETTING_CHARACTERS, SETTING_VALUES, parsed

Count = Annotated[int, Field(ge=0, le=LARGEST)]
MOST_CHARACTERS = 200  # of a name
Name = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS)]
Hex128 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
Certificate = Annotated[str, StringConstraints(pattern="^xf1-[0-9a-f]{40}$")]


def _setting(value: Any) -> Any:
    """What may stand as a setting: a scalar, or a list of scalars."""
    values = value if type(value) is list else [value]
    if len(values) > SETTING_VALUES:
        raise ValueError(f"a list of {len(values):,} values, more than {SETTING_VALUES:,}")
    for one in values:
        if type(one) not in (str, int, float, bool, type(None)):
            raise ValueError("no text, number, truth value, null or list of those")
        if type(one) is str and len(one) > SETTING_CHARACTERS:
            raise ValueError(f"a text of {len(one):,} characters, more than {SETTING_CHARACTERS:,}")
        if type(one) is int and abs(one) >= 1 << 64:
            raise ValueError("a whole number beyond 64 bits")
    return value


Settings = dict[Name, Annotated[Any, AfterValidator(_setting)]]


class _Stated(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class StatedColumn(_Stated):
    """A column in the head; its kind may be Arrow's name of a type that this version does not know."""

    name: Name
    kind: Name
    required: bool
    group: Name | None = None


class Head(_Stated):
    """The first frame of a journal, and ``head`` of a closed trace's index."""

    columns: Annotated[list[StatedColumn], Field(min_length=1, max_length=1000)]
    metadata: dict[str, Any]

    @model_validator(mode="after")
    def _each_once(self) -> Head:
        if len({column.name for column in self.columns}) < len(self.columns):
            raise ValueError("a column twice")
        return self


class StatedContinues(_Stated):
    """In a head's metadata: the trace that this one continues, from which step, and of the rows before it. Earlier
    versions stated no digest of losses."""

    trace: Name
    step: Count
    certificate: Certificate
    losses: Hex128 | None = None


class StatedRun(_Stated):
    """What tells a replica's run from others: two of one run have the same token, or else the same launcher's words."""

    token: Name | None = None
    launcher: Name | None = None


class StatedReplica(_Stated):
    """In a head's metadata: which replica of a run this trace is of; null what is not known of how it is dealt.

    ``losses``: ``sum`` where a step's loss is the sum of its replicas', else it is their mean by rows. ``run``: earlier
    versions stated nothing of it.
    """

    index: Count
    of: Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
    split: Name | None = None
    gradients: Name | None = None
    losses: Literal["sum"] | None = None
    run: StatedRun = StatedRun()

    @model_validator(mode="after")
    def _is_one(self) -> StatedReplica:
        if self.index >= self.of:
            raise ValueError("an index that is not below how many there are")
        return self


class StatedCaptured(_Stated):
    """What was captured: of each file its digest, and why others are not there."""

    files: dict[Name, Hex128] = Field(default_factory=dict)
    left_out: dict[Name, str] = Field(default_factory=dict)


class End(_Stated):
    """The end record; which rows and certificate it states is checked against the rows."""

    rows: Count
    outcome: str
    certificate: Certificate
    evidence: str | None = None
    weights: dict[str, Hex128] = Field(default_factory=dict)
    captured: StatedCaptured | None = None
    updates_before: Count = 0


class StatedSettings(_Stated):
    """What was set, by name; names are free, FORMAT.md lists the usual ones."""

    settings: Settings


class StatedValidation(_Stated):
    """A validation, as ``Validation`` documents it."""

    after: Count
    num_batches: Count | None = None
    num_samples: Count | None = None
    batch_sizes: list[Annotated[list[Count], Field(min_length=2, max_length=2)]] | None = None
    ids_digest: Hex128 | None = None
    loss: float | None = None
    accuracy: float | None = None
    training: bool | None = None
    time_ns: Count | None = None

    @model_validator(mode="after")
    def _sums(self) -> StatedValidation:
        sizes = self.batch_sizes
        if sizes is not None:
            sums = sum(times for _, times in sizes), sum(size * times for size, times in sizes)
            if sums != (self.num_batches, self.num_samples):
                raise ValueError("batch sizes that sum to other numbers")
        return self


class StatedCheckpoint(_Stated):
    """A checkpoint of the run: after how many of the trace's rows, and its file's digest."""

    after: Count
    digest: Hex128


class Index(_Stated):
    """The JSON under ``xframe`` in a closed trace's footer; its head has the form of ``Head``."""

    head: dict[str, Any]
    end: End
    validations: list[StatedValidation]
    checkpoints: list[StatedCheckpoint] = Field(default_factory=list)
    settings: Settings = Field(default_factory=dict)
    unknown: dict[str, Count]


class Blocks(_Stated):
    """The JSON under ``xframe.blocks``: of each block its first row, and its digests by group."""

    starts: list[Count]
    digests: list[dict[str, str]]


Model = TypeVar("Model", bound=BaseModel)


def fitted(model: type[Model], facts: Any) -> Model:
    """What JSON states, as ``model`` has it.

    Raises:
        ValueError: it does not fit.
    """
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_context=False)
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}, got {_short(first['input'])}".lstrip(": ")) from None


def object_of(text: bytes) -> dict[str, Any]:
    """A JSON object, within the limits.

    Raises:
        ValueError: it is none.
    """
    facts = parsed(text)
    if type(facts) is not dict:
        raise ValueError(f"no JSON object: {_short(facts)}")
    return facts


def _short(value: Any) -> str:
    """A value as a message shows it; of what may be large its kind."""
    if isinstance(value, (dict, list)):
        return {dict: "an object", list: "a list"}[type(value)]
    return shown(value[:80] if isinstance(value, str) else value, 80)

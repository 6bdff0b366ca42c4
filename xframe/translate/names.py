"""The names that are known, with the signatures of their frameworks as data, and what a call gives each argument.

``signatures/`` has one text a framework, each line as ``inspect.signature`` shows it, which a test compares with what
is installed. The kind of value an argument takes follows from its name, or else from its default.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, Verbatim, did_you_mean, unknown
from xframe.translate.parsing import Call, Name, expression

FRAMEWORKS = ("keras", "torch", "optax")
_SIGNATURES = Path(__file__).parent / "signatures"
_COMMON = {  # what every Keras optimizer and layer takes too
    "keras.optimizers.": "clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, "
    "ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None",
    "keras.layers.": "input_shape=None, trainable=True, dtype=None, name=None",
}
_PREFIXES = {  # as people import them; the first that fits
    "tf.keras.": "keras.",
    "tensorflow.keras.": "keras.",
    "keras.losses.": "keras.losses.",
    "optax.losses.": "optax.losses.",
    "optax.schedules.": "optax.",
    "optim.": "torch.optim.",
    "lr_scheduler.": "torch.optim.lr_scheduler.",
    "torch.nn.modules.": "torch.nn.",
    "nn.": "torch.nn.",
    "layers.": "keras.layers.",
    "losses.": "keras.losses.",
    "callbacks.": "keras.callbacks.",
    "optimizers.": "keras.optimizers.",
    "schedules.": "keras.optimizers.schedules.",
    "initializers.": "keras.initializers.",
}
STANDINS = {  # arguments that are the user's own, and what is written where they are left out
    "params": "model.parameters()",
    "predictions": "predictions",
    "predictor_outputs": "predictions",
    "log_predictions": "log_predictions",
    "targets": "targets",
    "logits": "logits",
    "labels": "labels",
    "optimizer": "",
}
_REQUIRED = ast.Name("required")


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument that a call takes. Without a default, ``required``."""

    name: str
    default: Any
    required: bool
    by_keyword: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """A call of a known name, with a value for every argument.

    Attributes:
        name: as the framework has it.
        values: by argument, defaults included.
        given: the arguments that the call itself has.
    """

    name: str
    values: Mapping[str, Any]
    given: frozenset[str]

    @property
    def framework(self) -> str:
        """Whose it is."""
        return self.name.partition(".")[0]

    @property
    def leaf(self) -> str:
        """Its name without the modules."""
        return self.name.rpartition(".")[2]

    def __getitem__(self, argument: str) -> Any:
        return self.values[argument]


@cache
def versions() -> dict[str, str]:
    """The version of each framework whose signatures these are."""
    return {one: (_SIGNATURES / f"{one}.txt").read_text().split("\n")[0].split()[-1] for one in FRAMEWORKS}


@cache
def signatures() -> dict[str, tuple[Parameter, ...]]:
    """What each known name takes, in order."""
    return {
        name: _parameters(name, text)
        for one in FRAMEWORKS
        for name, _, text in (line.partition("(") for line in (_SIGNATURES / f"{one}.txt").read_text().split("\n")[1:])
        if name
    }


def _parameters(name: str, text: str) -> tuple[Parameter, ...]:
    text = text.removesuffix(")")
    for prefix, common in _COMMON.items():
        if "<common>" in text:
            text = text.replace("<common>", common)
        elif prefix == "keras.layers." and name.startswith(prefix):
            taken = {part.split("=")[0].strip() for part in text.split(",")}
            more = [part for part in common.split(", ") if part.split("=")[0] not in taken]
            text = ", ".join(filter(None, (text, *(["*"] * (", *" not in text)), *more)))
    function = ast.parse(f"def f({text}): 0").body[0]
    assert isinstance(function, ast.FunctionDef)
    args, options = function.args.args, function.args.kwonlyargs
    defaults = [_REQUIRED] * (len(args) - len(function.args.defaults)) + function.args.defaults
    every = [*zip(args, defaults, [False] * len(args), strict=True)]
    every += zip(options, function.args.kw_defaults, [True] * len(options), strict=True)  # type: ignore[arg-type]
    return tuple(
        Parameter(arg.arg, None, True, option)
        if default is _REQUIRED or default is None
        else Parameter(arg.arg, ast.literal_eval(default), False, option)
        for arg, default, option in every
    )


def resolved(written: str) -> str:
    """The framework's own name for what was written.

    Raises:
        UsageError: there is none, or it is that of several frameworks.
    """
    known = signatures()
    for prefix, own in _PREFIXES.items():
        if written.startswith(prefix):
            written = own + written.removeprefix(prefix)
            break
    for name in (written, written.replace("optax.", "optax.losses.", 1), written.replace("optax.losses.", "optax.", 1)):
        if name in known:
            return name
    same = [name for name in known if name.rpartition(".")[2] == written]
    if len(same) == 1:
        return same[0]
    if same:
        raise UsageError(
            "a name of several frameworks",
            got=written,
            expected=f"one of {', '.join(same)}",
            remedy="Write the module before it, or an argument's name that only one of them has.",
        )
    folder, dot, _ = written.rpartition(".")
    near = [name for name in known if name.startswith(folder + dot)] if dot else []
    in_lower = {name.lower(): name for name in near or known}
    hint = did_you_mean(in_lower.get(written.lower(), written), near or known)
    raise UsageError(
        "unknown name",
        got=written,
        expected="an optimizer, schedule, loss, layer or initialiser of keras, torch or optax",
        remedy=hint or None,
    )


def _by_arguments(call: Call) -> str | None:
    """Of several frameworks' names without a module the one that alone has the arguments' names."""
    words = {keyword for keyword, _ in call.keywords}
    same = [name for name in signatures() if words and name.rpartition(".")[2] == call.name]
    fit = [name for name in same if words <= {each.name for each in signatures()[name]}]
    return fit[0] if len(fit) == 1 else None


def bind(call: Call) -> Bound:
    """Each argument's value.

    Raises:
        UsageError: an unknown name or argument, one that lacks or is given twice, a value of the wrong kind.
    """
    name = _by_arguments(call) or resolved(call.name)
    parameters = signatures()[name]
    places = [each for each in parameters if not each.by_keyword]
    if len(call.args) > len(places):
        expected = f"at most {len(places)}: {', '.join(each.name for each in places)}"
        raise UsageError(f"{name} has too many positional arguments", got=len(call.args), expected=expected)
    given = {each.name: value for each, value in zip(places, call.args, strict=False)}
    known = {each.name: each for each in parameters}
    for keyword, value in call.keywords:
        if keyword not in known:
            synonym = _SYNONYMS.get(keyword)
            remedy = f"Did you mean {synonym!r}?" if synonym in known else ""
            raise unknown(f"argument of {name}", keyword, known, remedy=remedy)
        if keyword in given:
            raise UsageError(f"{name} is given {keyword} twice", expected="each argument once")
        given[keyword] = value
    for argument, value in given.items():
        _check(name, known[argument], value)
    lacking = [each.name for each in parameters if each.required and each.name not in given]
    if really := [argument for argument in lacking if argument not in STANDINS]:
        raise UsageError(f"{name} lacks an argument", expected=", ".join(really))
    values = {each.name: each.default for each in parameters}
    values |= {argument: Name(STANDINS[argument]) for argument in lacking} | given
    return Bound(name, values, frozenset(given))


def bound(text: str) -> Bound:
    """The call that a text is."""
    return bind(expression(text))


def number(value: Any) -> bool:
    """Whether it is a number, which True is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _several(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (tuple, list)) and bool(value) and all(map(check, value))


def _between(least: float, below: float) -> Callable[[Any], bool]:
    return lambda value: number(value) and least <= value < below


def _is_params(value: Any) -> bool:
    """A name, or the argument-less call of a method of one; groups are refused later, with their reason."""
    if isinstance(value, Call):
        return value.name.endswith("parameters") and not value.args and not value.keywords
    groups = isinstance(value, (list, tuple)) and all(isinstance(each, (dict, Name)) for each in value)
    return isinstance(value, Name) or groups


def _is_pair(first: Any, second: Any) -> bool:
    return (first is None or _AMOUNT[0](first)) and _AMOUNT[0](second)


def _is_scales(value: Any) -> bool:
    return isinstance(value, dict) and all(_whole(key) and _AMOUNT[0](each) for key, each in value.items())


def _is_place(value: Any) -> bool:
    return _whole(value) or _several(_whole)(value)


_Check = tuple[Callable[[Any], bool], str]
_FLAG: _Check = (lambda value: isinstance(value, bool), "True or False")
_TEXT: _Check = (lambda value: isinstance(value, str), "a text")
_NUMBER: _Check = (number, "a number")
_AMOUNT: _Check = (lambda value: number(value) and value >= 0, "a number from 0 up")
_POSITIVE: _Check = (lambda value: number(value) and value > 0, "a number above 0")
_SHARE: _Check = (_between(0, 1), "a number from 0 up to below 1")
_COUNT: _Check = (lambda value: _whole(value) and value > 0, "an integer from 1 up")
_RATE: _Check = (lambda value: isinstance(value, Call) or _AMOUNT[0](value), "a number from 0 up, or a schedule")
_SIZE: _Check = (lambda value: _COUNT[0](value) or _several(_COUNT[0])(value), "a positive integer, or a tuple of them")
_PLACES: _Check = (
    lambda value: isinstance(value, str) or _is_place(value) or _several(_is_place)(value),
    "a word, a whole number, or a tuple of them",
)
_INITIAL: _Check = (lambda value: isinstance(value, (str, Call, dict)), "an initialiser")
_SIMPLE: _Check = (lambda value: value is not None and not isinstance(value, (Call, Name)), "a value")
_OWN: _Check = (lambda value: isinstance(value, Name), "a name")
_KINDS: Mapping[str, _Check] = {  # by argument
    "learning_rate": _RATE,
    "lr": _AMOUNT,
    "params": (_is_params, "model.parameters(), or a name"),
    **dict.fromkeys(("predictions", "predictor_outputs", "log_predictions", "targets", "logits", "labels"), _OWN),
    **dict.fromkeys(("optimizer", "opt"), (lambda value: isinstance(value, (Name, Call)), "an optimizer")),
    **dict.fromkeys(("momentum", "rho", "alpha_", "beta_1", "beta_2", "b1", "b2", "ema_momentum"), _SHARE),
    **dict.fromkeys(("dampening", "weight_decay", "epsilon", "eps_root", "epsilon_1", "epsilon_2"), _AMOUNT),
    **dict.fromkeys(("initial_accumulator_value", "lr_decay", "momentum_decay", "initial_scale"), _AMOUNT),
    **dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm", "max_norm", "max_delta", "delta", "beta"), _POSITIVE),
    **dict.fromkeys(("decay_steps", "first_decay_steps", "step_size", "T_max", "T_0"), _COUNT),
    **dict.fromkeys(("total_steps", "every_k_schedule", "epochs", "steps_per_epoch"), _COUNT),
    **dict.fromkeys(("units", "filters", "input_dim", "output_dim", "num_embeddings", "embedding_dim"), _COUNT),
    **dict.fromkeys(("in_features", "out_features", "in_channels", "out_channels", "num_features"), _COUNT),
    **dict.fromkeys(("groups", "num_groups", "num_channels", "input_size", "hidden_size", "num_layers"), _COUNT),
    **dict.fromkeys(("kernel_size", "pool_size", "strides", "stride", "dilation", "dilation_rate"), _SIZE),
    **dict.fromkeys(("initial_learning_rate", "init_value", "peak_value", "max_lr", "eta_min", "alpha"), _AMOUNT),
    **dict.fromkeys(("gamma", "decay_rate", "end_learning_rate", "end_value", "warmup_target"), _AMOUNT),
    "gradient_accumulation_steps": (lambda value: _whole(value) and value > 1, "an integer from 2 up"),
    **dict.fromkeys(("layer", "backward_layer"), (lambda value: isinstance(value, Call), "a layer")),
    **dict.fromkeys(("patience", "cooldown"), (lambda value: _whole(value) and value >= 0, "an integer from 0 up")),
    "min_delta": _AMOUNT,
    **dict.fromkeys(
        ("warmup_steps", "total_iters", "transition_steps"),
        (lambda value: _whole(value) and value >= 0, "an integer from 0 up"),
    ),
    "betas": (lambda value: _several(_SHARE[0])(value) and len(value) == 2, "two numbers from 0 up to below 1"),
    "label_smoothing": (lambda value: number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "rate": _SHARE,
    "p": (lambda value: number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "reduction": (lambda value: value is None or isinstance(value, str), "a text"),
    "loss_scale_factor": (lambda value: number(value) and value != 0, "a number other than 0"),
    **dict.fromkeys(("padding", "output_padding", "axis"), _PLACES),
    **dict.fromkeys(("normalized_shape", "size", "output_size"), _SIZE),
    "scale_factor": (lambda value: number(value) or _several(number)(value), "a number, or a tuple of them"),
    "input_shape": (
        lambda value: isinstance(value, (tuple, list)) and all(each is None or _whole(each) for each in value),
        "a tuple of integers and None",
    ),
    "boundaries_and_scales": (_is_scales, "a dict of numbers from 0 up by integers"),
    **dict.fromkeys(("value", "power", "exponent", "t_mul", "m_mul"), _AMOUNT),
    **dict.fromkeys(("weight", "pos_weight"), (lambda value: isinstance(value, Call), "torch.tensor([…])")),
    **dict.fromkeys(("ignore_index", "ignore_class"), (_whole, "an integer")),
    **dict.fromkeys(("milestones", "boundaries"), (_several(_whole), "a list of integers")),
    "start_factor": (lambda value: number(value) and 0 < value <= 1, "a number above 0, up to 1"),
    **dict.fromkeys(
        ("end_factor", "factor"), (lambda value: number(value) and 0 <= value <= 1, "a number from 0 to 1")
    ),
    "last_epoch": (_whole, "an integer"),
    "transition_begin": (_whole, "an integer"),
    "values": (_several(_AMOUNT[0]), "a list of numbers from 0 up"),
    **dict.fromkeys(
        ("schedulers", "schedules"), (_several(lambda value: isinstance(value, Call)), "a list of schedules")
    ),
    **{f"{part}_initializer": _INITIAL for part in ("kernel", "bias", "recurrent", "embeddings", "gamma", "beta")},
}
_ODD = {  # where a name means something else than it does elsewhere
    ("keras.losses.BinaryFocalCrossentropy", "gamma"): _NUMBER,
    ("keras.layers.BatchNormalization", "momentum"): _SHARE,
    **{
        (f"torch.nn.{lazy}BatchNorm{axes}d", "momentum"): (
            lambda value: value is None or _AMOUNT[0](value),
            "a number from 0 up, or None",
        )
        for lazy in ("", "Lazy")
        for axes in (1, 2, 3)
    },
    ("torch.nn.MultiMarginLoss", "p"): (lambda value: value in (1, 2), "1 or 2"),
    ("torch.nn.TripletMarginLoss", "p"): _POSITIVE,
    ("torch.optim.Adafactor", "d"): (lambda value: number(value) and value >= 1, "a number from 1 up"),
    ("keras.optimizers.SGD", "momentum"): (
        lambda value: isinstance(value, float) and 0 <= value < 1,
        "a number from 0 up to below 1, with a point: Keras refuses integers",
    ),
    ("torch.nn.Softplus", "beta"): _POSITIVE,
    ("torch.nn.SmoothL1Loss", "beta"): _AMOUNT,
    ("torch.optim.lr_scheduler.MultiStepLR", "milestones"): (
        lambda value: isinstance(value, (list, tuple)) and all(map(_whole, value)),
        "a list of integers",
    ),
    **dict.fromkeys(
        (("torch.optim.Adam", "betas"), ("torch.optim.AdamW", "betas")),
        (
            lambda value: _several(_SHARE[0])(value) and len(value) == 2 and all(isinstance(x, float) for x in value),
            "two numbers from 0 up to below 1, with a point: PyTorch refuses integers",
        ),
    ),
    ("torch.optim.RMSprop", "alpha"): _SHARE,
    ("optax.rmsprop", "decay"): _SHARE,
    ("keras.layers.GroupNormalization", "groups"): (_whole, "an integer"),
    ("torch.optim.Adafactor", "eps"): (
        lambda value: isinstance(value, (tuple, list)) and len(value) == 2 and _is_pair(*value),
        "(None or a number, a number)",
    ),
}


_SYNONYMS = {
    "lr": "learning_rate",
    "learning_rate": "lr",
    "beta1": "beta_1",
    "beta2": "beta_2",
    "decay": "weight_decay",
}


def _check(name: str, parameter: Parameter, value: Any) -> None:
    if isinstance(value, Name) and parameter.name not in STANDINS:
        expected = "a number, a text, True, False, None, a tuple, a list, or a call of a known name"
        remedy = "It is read as data; write the value itself."
        raise UsageError(
            f"{name}'s {parameter.name} is a name", got=Verbatim(value.text), expected=expected, remedy=remedy
        )
    if value is None and parameter.default is None and not parameter.required:
        return
    check, expected = _ODD.get((name, parameter.name)) or _KINDS.get(parameter.name) or _by_default(parameter)
    if not check(value):
        shown = Verbatim(f"{value.name}(…)") if isinstance(value, Call) else value
        raise UsageError(f"{name}'s {parameter.name}", got=shown, expected=expected)


def _by_default(parameter: Parameter) -> _Check:
    if isinstance(parameter.default, bool):
        return _FLAG
    if isinstance(parameter.default, str):
        return _TEXT
    return _NUMBER if isinstance(parameter.default, (int, float)) else _SIMPLE

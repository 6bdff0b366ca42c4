"""What is no call of a known name is refused at once, and nothing of it runs."""

import json
import random
import sys
import time

import pytest

from xframe.errors import UsageError
from xframe.translate.names import signatures
from xframe.translate.parsing import DEEPEST, LONGEST, expression
from xframe.translate.translating import translate

_WATCHED = {"exec", "import", "open", "os.system", "os.exec", "subprocess.Popen", "socket.connect", "ctypes.dlopen"}
_seen = []
_watching = False


def _hook(event, args):
    if _watching and event in _WATCHED:
        _seen.append((event, args))


PIECES = [  # where a number belongs
    "__import__('os').system('echo run')",
    "().__class__.__bases__[0].__subclasses__()",
    "lambda: 1",
    "(lambda x: x)(1)",
    "[x for x in (1, 2)]",
    "{x: 1 for x in 'ab'}",
    "(x for x in ())",
    "f'{1 + 1}'",
    "(x := 1)",
    "1 if True else 2",
    "9 ** 9 ** 9 ** 9",
    "10 ** 100000000",
    "1" * 5000,
    "0x" + "f" * 400,
    "1e999",
    "'a' * 10 ** 10",
    "b'bytes'",
    "1j",
    "...",
    "open('/etc/passwd').read()",
    "exec('1')",
    "eval('1')",
    "os.environ",
    "globals()",
    "{1, 2}",
    "[*range(3)]",
    "await x",
    "(yield)",
    "not 1",
    "1 < 2",
    "x[0]",
    "a" + ".a" * 3000,
    "-" * 3000 + "1",
    "(" * 1000 + ")" * 1000,
    "[" * 60 + "]" * 60,
    "{'a': " * 60 + "1" + "}" * 60,
    "torch.optim.Adam.__init__(1)",
    "keras.optimizers.Adam.from_config({})",
    "keras.optimizers.Adam(" * 45 + ")" * 45,
    "'\\N{SNOWMAN}' 'x'",
    "nan",
    "inf",
]
WHOLE = [  # by itself
    "",
    " ",
    "\x00",
    "keras.optimizers.Adam",
    "keras.optimizers.Adam(1e-3); import os",
    "import os",
    "keras.optimizers.Adam(1e-3)\nprint(1)",
    "x = y = keras.optimizers.Adam(1e-3)",
    "x = keras.optimizers.Adam(1e-3); import os",
    "x[open('y')] = keras.optimizers.Adam(1e-3)",
    "x += keras.optimizers.Adam(1e-3)",
    "x = __import__('os').system('echo run')",
    "torch.compile(model)",
    "keras.Sequential([__import__('os')])",
    "keras.Sequential([keras.optimizers.Adam(1e-3)])",
    "keras.Sequential([])",
    "keras.Sequential(1)",
    "keras.Sequential([keras.Input(('a', 5)), keras.layers.Dense(1)])",
    "torch.nn.Sequential(torch.nn.Linear(1, 2), layers)",
    "keras.optimizers.Adam(**{'learning_rate': 1})",
    "keras.optimizers.Adam(*[1])",
    "keras.optimizers.Adam(1e-3)(2)",
    "keras.optimizers.Adam(1e-3).apply()",
    "keras.optimizers.Adam()[0]",
    "keras.__builtins__.eval('1')",
    "_keras.optimizers.Adam(1)",
    "os.system('echo run')",
    "print(1)",
    "Adam('",
    "keras.optimizers.Adam(1e-3",
    "a" * (LONGEST + 1),
    "keras.optimizers.Adam(" + "1, " * 3000 + ")",
    "x" * 10_000_000,
    "(" * 10_000_000,
    "\ud800",
]
SOUND = ("keras.optimizers.Adam({})", "torch.optim.SGD(params, lr={})", "optax.adam({})", "keras.layers.Dense({})")


def drawn(count=500):
    """The pieces in each place of a call, two at once, and texts that were cut or changed."""
    random_ = random.Random(16)
    yield from WHOLE
    yield from (call.format(piece) for piece in PIECES for call in SOUND)
    for _ in range(count - len(WHOLE) - len(PIECES) * len(SOUND)):
        one, other = random_.choices(PIECES, k=2)
        kind = random_.randrange(4)
        if kind == 0:
            yield f"keras.optimizers.Adam({one}, {other})"
        elif kind == 1:
            yield f"keras.optimizers.SGD(learning_rate={one}, momentum=[{other}])"
        elif kind == 2:
            yield f"keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay({one}, decay_steps={other}))"
        else:
            text = f"optax.chain({one}, optax.adam(learning_rate={other}))"
            cut = random_.randrange(1, len(text))
            yield text[:cut] + chr(random_.randrange(1, 0x3000)) + text[cut:]


def test_hostile_and_nonsense_input_is_refused_and_nothing_runs():
    global _watching
    cases = list(drawn())
    assert len(cases) == 500
    with pytest.raises(UsageError):
        translate("keras.optimizers.Adm(1)")  # so that what is imported once is
    sys.addaudithook(_hook)
    slowest, began_all = 0.0, time.perf_counter()
    for text in cases:
        began, _watching = time.perf_counter(), True
        try:
            with pytest.raises(UsageError) as refused:
                translate(text)
        finally:
            _watching = False
        slowest = max(slowest, time.perf_counter() - began)
        assert len(str(refused.value)) < 4100, text[:80]
        assert str(refused.value).replace("\n", "").isprintable()
    assert not _seen
    assert slowest < 0.5
    assert time.perf_counter() - began_all < 5


def test_depth_and_length_are_bounded_where_they_are_said_to_be():
    deep = "f(" * (DEEPEST - 1) + "1" + ")" * (DEEPEST - 1)
    assert expression(deep).name == "f"
    with pytest.raises(UsageError, match="nested too deeply"):
        expression(f"f(f({deep}))")
    with pytest.raises(UsageError, match="too long"):
        expression("f(" + " " * LONGEST + "1)")
    assert expression("f('((((((" + "(" * 100 + "')").args == ("(" * 106,)


VALUES = (
    *("0", "1", "-1", "0.5", "2.5", "1e300", "'same'", "'sum'", "'relu'", "None", "True", "(1, 2)", "[]", "(0, 0)"),
    *("[0.1, 0.2, 0.3]", "{1: 0.5}", "{'a': 1}", "[{'params': params}]", "params", "((1, 1), (2, 2))"),
    *("keras.optimizers.Adam()", "optax.adam(0.1)", "torch.optim.SGD(params, lr=0.1)", "torch.tensor([1.0])"),
    *("keras.optimizers.schedules.CosineDecay(0.1, 10)", "optax.constant_schedule(0.1)"),
)


def test_any_arguments_of_known_names_are_translated_or_refused():
    random_, outcomes = random.Random(3), set()
    names = sorted(signatures())
    for _ in range(3000):
        name, words = random_.choice(names), []
        for each in signatures()[name]:
            if each.required or random_.random() < 0.25:
                usual = not each.required and random_.random() < 0.4
                words.append(f"{each.name}={each.default!r}" if usual else f"{each.name}={random_.choice(VALUES)}")
        try:
            translation = translate(f"{name}({', '.join(words)})", random_.choice((None, "keras", "torch", "optax")))
            outcomes.add(bool(translation))
            json.dumps(translation.to_dict())
        except UsageError:
            outcomes.add("refused")
    assert outcomes == {True, False, "refused"}

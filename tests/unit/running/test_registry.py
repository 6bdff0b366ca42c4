"""Adapters by name, found through entry points."""

import gc
from importlib.metadata import EntryPoint

import pytest

import xframe
from xframe.running import registry
from xframe.running.adapter import Adapter, Probe, modules, unsupported
from xframe.running.registry import Selection


class Good:
    name, loops, requires, install = "good", ("step", "fit"), (), "pip install good"

    def check(self, plan, task, runtime):
        return unsupported(self, plan, task, runtime, devices=("cpu",), precisions=("float32",))

    def probe(self):
        return Probe({}, ("cpu",))

    def run(self, plan, task, runtime, recorder):
        return {}


class Half:
    name, loops = "half", ("step",)


class Raises(Good):
    def __init__(self):
        raise RuntimeError("no licence")


class Wants(Good):
    def __init__(self, device):
        pass


@pytest.fixture
def installed(monkeypatch):
    """Installs these classes as adapters of this process, by name."""

    def installed(**values):
        entries = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in entries if e.group == group])
        registry.available.cache_clear()

    yield installed
    registry.available.cache_clear()


def here(name):
    return f"{__name__}:{name}"


def test_the_shipped_adapters():
    assert set(registry.available()) >= {"numpy", "torch", "tensorflow"}
    for name in ("numpy", "torch", "tensorflow"):
        adapter = registry.load(name)
        assert isinstance(adapter, Adapter)
        assert adapter.name == name
        assert adapter.loops
        assert len(set(adapter.loops)) == len(adapter.loops)


@pytest.mark.parametrize(
    ("name", "hint"), [("tensorflo", "Did you mean 'tensorflow'?"), ("Torch", "Did you mean 'torch'?"), ("", "")]
)
def test_unknown_adapter(name, hint):
    with pytest.raises(xframe.UsageError) as caught:
        registry.load(name)
    text = str(caught.value)
    assert f"unknown adapter: got '{name}', expected one of numpy, tensorflow, torch" in text
    assert hint in text
    assert caught.value.exit_code == 2


def test_unknown_loop(installed):
    installed(good=here("Good"))
    with pytest.raises(
        xframe.UsageError, match=r"unknown loop of adapter 'good': got 'fitt', expected one of fit, step. Did"
    ):
        registry.select(["good:step", "good:fitt"])


def test_selection(installed):
    installed(good=here("Good"))
    chosen = registry.select(["good", " good:fit ", "good:step"])
    assert chosen == [Selection("good", None), Selection("good", "fit"), Selection("good", "step")]
    assert [selection.label for selection in chosen] == ["good", "good:fit", "good:step"]
    assert Selection.parse("good:") == Selection("good", None)


@pytest.mark.parametrize("texts", [[], [""], [" "], (), ["numpy", ""]])
def test_no_adapter(texts):
    with pytest.raises(
        xframe.UsageError,
        match=r"no adapter given: got \w.*, expected one or more of numpy, tensorflow, torch, with commas between",
    ):
        registry.select(texts)


@pytest.mark.parametrize("texts", [["good", "good"], ["good:fit", "good:step", "good:fit"], ["good", "good:"]])
def test_twice(installed, texts):
    installed(good=here("Good"))
    with pytest.raises(xframe.UsageError, match="an adapter is given twice"):
        registry.select(texts)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (here("Raises"), "installed but broken: got RuntimeError: no licence"),
        (here("Wants"), "installed but broken: got TypeError"),
        (here("Nothing"), "installed but broken: got AttributeError"),
        ("no_such_module_anywhere:X", "installed but broken: got ModuleNotFoundError"),
        (here("Half"), "lacks a part of the contract: expected all of xframe.running.adapter.Adapter"),
        ("builtins:int", "lacks a part of the contract"),
    ],
)
def test_broken(installed, value, match):
    installed(bad=value, good=here("Good"))
    with pytest.raises(xframe.WorkerError, match=match) as caught:
        registry.load("bad")
    assert "'bad'" in str(caught.value)
    assert caught.value.exit_code == 3
    assert registry.load("good").name == "good"  # one that is broken does not harm another


def test_a_name_claimed_twice(installed, monkeypatch):
    entries = [EntryPoint("x", here(name), registry.GROUP) for name in ("Good", "Half")]
    installed()
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    registry.available.cache_clear()
    assert registry.available()["x"].value == here("Good")


@pytest.mark.parametrize("collecting", [True, False])
def test_no_garbage_is_looked_for_while_a_framework_is_imported(collecting):
    class Looks(Good):
        def probe(self):
            return Probe({"collecting": str(gc.isenabled())}, ("cpu",))

    before = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        assert registry.probe(Looks()).versions == {"collecting": "False"}
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if before else gc.disable)()


def test_reasons_why_not():
    task = xframe.Task("t", 1, lambda: ([], []), dict, "negative_sum", xframe.SGD(1.0))
    with_layers = xframe.Task(
        "t", 1, lambda: ([], []), dict, "negative_sum", xframe.SGD(1.0), layers=(xframe.Dense(1),)
    )
    plan = xframe.TrainingPlan(batch_size=1, epochs=1)
    check = lambda task, **fields: Good().check(plan, task, xframe.Runtime(**fields))  # noqa: E731
    assert check(with_layers) == check(with_layers, device="cpu", loop="fit") == []
    assert check(with_layers, device="cuda") == ["device 'cuda' is not one of its devices (cpu)"]
    assert check(with_layers, loop="x") == ["loop 'x' is not one of its loops (step, fit)"]
    assert check(task) == ["task 't' has no neutral layers and no builder for 'good'"]
    assert len(check(task, device="cuda", loop="x")) == 3


def test_a_loop_may_need_more_than_its_adapter():
    class Further(Good):
        requires = ("framework",)
        loops_require = {"fit": (("trainer",), "pip install trainer")}  # noqa: RUF012

    assert modules(Further(), "step") == modules(Further(), None) == {"framework": "pip install good"}
    assert modules(Further(), "fit") == {"framework": "pip install good", "trainer": "pip install trainer"}

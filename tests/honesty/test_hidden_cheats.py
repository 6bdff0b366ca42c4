"""Each hidden cheat passes what is fixed in the contract suite, and is caught by what is drawn or steered."""

from pathlib import Path

import hidden_cheats as cheats
import pytest
from cases import LEDGER_TESTS
from cheats import ADAPTERS, Honest, HonestWindow, make

from xframe.running import steering
from xframe.testing import AdapterContract, observe
from xframe.testing.contract import LEDGER, PLANS, TWIN_PLANS
from xframe.testing.contract.drawn import SEED

NATIVE = Path(__file__).parents[1] / "native"
ALL = ("numpy", "torch", "tensorflow")
CASES = [  # the cheat, the test that catches it, what it says
    (cheats.CountsByACopy, "test_it_draws_the_batches_it_counts", "not the batches that arrived"),
    (cheats.UpdatesByACopy, "test_it_makes_the_updates_it_counts", "its counts are a copy"),
    (cheats.CastsToHalf, "test_drawn_twin", "is not bit-equal"),
    (cheats.CastsToHalf, "test_drawn_numbers", "loss: step 0"),
    (cheats.CastsToSingle, "test_drawn_numbers", "loss: step "),
    (cheats.HonestUpToASize, "test_drawn_twin", "is not bit-equal"),
    (cheats.HonestForSoManySteps, "test_drawn_twin", "is not bit-equal"),
    (cheats.ReversesItsRows, "test_drawn_twin", "is not bit-equal"),
    (cheats.ExchangesTwoRows, "test_drawn_twin", "is not bit-equal"),
]
DRAWN = [name for name in vars(AdapterContract.__mro__[1]) if name.startswith("test_")]
# A bare twin of TensorFlow's takes seconds to import it: of the cheats that it catches, one there.
SLOW = {cheats.CastsToHalf, cheats.HonestUpToASize, cheats.HonestForSoManySteps, cheats.ExchangesTwoRows}
RUNS = [
    (framework, *case)
    for framework in ALL
    for case in CASES
    if framework != "tensorflow" or case[1] != "test_drawn_twin" or case[0] not in SLOW
]


def suite(framework, cheat=None):
    adapter = ADAPTERS[framework]() if cheat is None else make(framework, cheat)
    names = {"adapter": adapter, "twin": NATIVE / f"{framework}_digits.py", "loop": adapter.loops[0]}
    return type("Bound", (AdapterContract,), names)()


@pytest.mark.parametrize(
    ("framework", "cheat", "test", "says"), RUNS, ids=[f"{r[0]}-{r[1].__name__}-{r[2]}" for r in RUNS]
)
def test_it_is_caught(framework, cheat, test, says, tmp_path):
    with pytest.raises(AssertionError, match=says):
        getattr(suite(framework, cheat), test)(tmp_path)


@pytest.mark.parametrize("cheat", dict.fromkeys(case[0] for case in CASES), ids=lambda cheat: cheat.__name__)
def test_what_is_fixed_lets_it_through(cheat, tmp_path):
    """As the suite was without what is drawn; in NumPy, which is the fastest."""
    bound = suite("numpy", cheat)
    for i, plan in enumerate(PLANS):
        (tmp_path / f"plan-{i}").mkdir()
        for name in LEDGER_TESTS:
            getattr(bound, name)(plan, tmp_path / f"plan-{i}")
    bound.test_twin(TWIN_PLANS[0], tmp_path)
    bound.test_it_draws_no_random_numbers(tmp_path)
    bound.test_it_repeats(tmp_path)
    for precision in ("float32", "float64"):
        (tmp_path / precision).mkdir()
        bound.test_numbers(TWIN_PLANS[0], precision, tmp_path / precision)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(
    ("control", "test"), [*((Honest, name) for name in DRAWN), (HonestWindow, "test_it_makes_the_updates_it_counts")]
)
def test_an_honest_adapter_passes(framework, test, control, tmp_path):
    getattr(suite(framework, control), test)(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_drawn_an_honest_adapter_passes(seed, tmp_path, monkeypatch):
    monkeypatch.setenv(SEED, str(seed))
    for name in DRAWN:
        (tmp_path / name).mkdir()
        getattr(suite("numpy"), name)(tmp_path / name)


def test_a_failure_names_its_seed_and_the_seed_draws_the_same(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match=f"{SEED}=") as caught:
        suite("numpy", cheats.CastsToHalf).test_drawn_numbers(tmp_path)
    text = str(caught.value)
    monkeypatch.setenv(SEED, text.rpartition(f"{SEED}=")[2].partition(" ")[0])
    (tmp_path / "again").mkdir()
    with pytest.raises(AssertionError) as again:
        suite("numpy", cheats.CastsToHalf).test_drawn_numbers(tmp_path / "again")
    assert str(again.value) == text


def test_what_steers_is_whole_again():
    walk, close = steering.walk, steering.Window.close
    test_it_is_steered = suite("numpy").test_it_draws_the_batches_it_counts
    with pytest.raises(TypeError):
        test_it_is_steered(None)
    assert (steering.walk, steering.Window.close) == (walk, close)


def test_a_run_finds_no_other_near_its_trace(tmp_path):
    """It lies in a folder of its own until it is over."""
    observe(ADAPTERS["numpy"](), PLANS[0], LEDGER, tmp_path / "numpy.trace")
    with pytest.raises(AssertionError, match="assert Counts"):
        suite("numpy", cheats.CopiesWhatItFinds).test_steps(PLANS[0], tmp_path)
    kept = {f"{name}.{kind}" for name in ("numpy", "ledger") for kind in ("trace", "weights.safetensors")}
    assert {file.name for file in tmp_path.iterdir()} == kept


def test_every_cheat_is_used():
    found = {value for value in vars(cheats).values() if getattr(value, "__module__", "") == "hidden_cheats"}
    used = {case[0] for case in CASES} | {cheats.CopiesWhatItFinds}
    assert {value for value in found if isinstance(value, type)} == used

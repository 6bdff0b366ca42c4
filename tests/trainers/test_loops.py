"""The contract suite, bound to the torch adapter's loops that are trainers; what these cannot be set to is refused."""

import signal
from pathlib import Path

import pytest
import torch
from trained import bound, made

from xframe.running.registry import load
from xframe.running.runtime import Runtime
from xframe.testing.contract import LEDGER, PLANS, observe
from xframe.testing.contract.adapter import _random_states
from xframe.testing.contract.features import small

BARE = Path(__file__).parent / "bare"
WINDOW = {"loss_normalization": "window"}
CARRIED = {**WINDOW, "accumulation_remainder": "carry"}


@pytest.mark.sweep(fewest=3)
class TestLightning(bound("lightning", BARE / "lightning_digits.py", fewest=15, **WINDOW)):
    pass


def test_ctrl_c_in_lightning_is_ctrl_c(tmp_path, monkeypatch):
    """Lightning would make an exit of it."""
    from xframe_torch.loops import watched

    def interrupted(*_):
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(watched.Watched, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        observe(load("torch"), made(epochs=1), LEDGER, tmp_path / "a.trace", loop="lightning")
    signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on


@pytest.mark.sweep(fewest=3)
class TestAccelerate(bound("accelerate", BARE / "accelerate_digits.py", fewest=15, **WINDOW)):
    pass


@pytest.mark.sweep(fewest=3)
class TestIgnite(bound("ignite", BARE / "ignite_digits.py", fewest=12, **CARRIED)):
    def test_it_draws_the_batches_it_counts(self, tmp_path):
        """A batch that never arrives is in no step; Ignite then makes its epoch full from the next pass."""
        plan, left_out = made(epochs=2), 7
        with self.without_batch(left_out):
            trace = self.observed(plan, LEDGER, tmp_path / "run.trace")
        expected = [step.sample_ids.tolist() for step in made(epochs=3).each_step(LEDGER.num_samples)][:11]
        del expected[left_out]
        assert [ids.tolist() for ids in trace.batches()] == expected


@pytest.mark.sweep(fewest=3)
class TestTransformers(bound("transformers", BARE / "transformers_digits.py", fewest=12)):
    def test_it_draws_no_random_numbers(self, tmp_path):
        """None but the Trainer's own: it seeds all generators, and each of its loaders' iterators draws a seed."""
        self.observed(PLANS[0], LEDGER, tmp_path / "quiet.trace")
        after = _random_states()
        import transformers

        transformers.set_seed(42)
        for _ in range(PLANS[0].epochs):
            torch.empty((), dtype=torch.int64).random_()
        assert after == _random_states()


@pytest.mark.parametrize("path", sorted(BARE.glob("*.py")), ids=lambda path: path.stem)
def test_a_bare_twin_is_short_and_bare(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    assert "xframe" not in text


@pytest.mark.parametrize(
    ("loop", "fields", "reason"),
    [
        ("lightning", {"remainder": "pad"}, "remainder 'pad'"),
        ("lightning", {"steps_per_epoch": 3, "epoch_iterator": "continue"}, "has epoch_iterator 'restart'"),
        ("lightning", {"gradient_accumulation_steps": 2}, "has loss_normalization 'window', and the plan 'actual'"),
        ("ignite", {"updates": 4}, "both max_epochs and max_iters"),
        ("transformers", {"steps_per_epoch": 3}, "An epoch of the Trainer is a whole pass."),
        ("transformers", {"validation_every": 2}, "validates after each epoch, not after every 2"),
        (
            "transformers",
            {"validation_every": 2, "validation_unit": "steps", "gradient_accumulation_steps": 2},
            "validates after updates or epochs, not after steps",
        ),
        ("accelerate", {"remainder": "carry"}, "remainder 'carry'"),
    ],
)
def test_what_a_trainer_has_no_setting_for_is_refused_by_name(loop, fields, reason):
    plan = made(**{"epochs": 2, **fields})
    task = LEDGER if plan.validation_every is None else small()
    reasons = load("torch").check(plan, task, Runtime(device="cpu", loop=loop))
    assert reason in "; ".join(reasons)

"""A step's stages apart make the step, and each goes on from what is given in its place."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from contract.test_builders import BUILT
from sweeps.resumed import made, sums_in_one_order

import xframe
from xframe.plan.training_plan import TrainingPlan
from xframe.running.stages import STAGES
from xframe.tasks import optimizers
from xframe.tasks.lookup import find_task
from xframe.tasks.schedules import Cosine

PLAN = TrainingPlan(batch_size=60, steps=5, gradient_accumulation_steps=2, loss_normalization="samples")


@pytest.fixture(autouse=True)
def one_order(request):
    """Of TensorFlow's sums, for as long as a test trains in it."""
    with sums_in_one_order() if "tensorflow" in request.node.name else nullcontext():
        yield


def of_rule(name="keras.adamw", task="diabetes-regression", **settings):
    rule = replace(optimizers.named(name), clip_global_norm=0.05, **settings)
    return replace(find_task(task), optimizer=replace(rule, learning_rate=Cosine(rule.rate(0), ticks=20)))


def batches(drive):
    for batch in drive.batches:
        yield batch
        if drive.train_step.window.over:
            return


def staged(adapter, task, precision="float64", given=None):
    """The outcomes of each step of a run, made stage by stage; ``given``, by step, is fed."""
    drive = made(adapter, PLAN, task, precision)
    outcomes = []
    for i, batch in enumerate(batches(drive)):
        outcomes.append(drive.train_step.stages(batch, given[i] if given else {}))
    return drive, outcomes


@pytest.mark.parametrize(
    ("adapter", "task"),
    [
        ("numpy", "diabetes-regression"),
        ("numpy", "digits-cnn"),
        ("torch", "diabetes-regression"),
        ("torch", "digits-cnn"),
        ("tensorflow", "diabetes-regression"),
        ("tensorflow", "digits-cnn"),
    ],
)
def test_stages_make_the_step(adapter, task):
    """Bit for bit, buffers and averages included, within windows and after them."""
    task = of_rule(task=task, average=optimizers.Average(0.9))
    whole = made(adapter, PLAN, task, "float32")
    after = []
    for batch in batches(whole):
        whole.train_step(batch)
        after.append(whole.train_step.state())
    drive, outcomes = staged(adapter, task, "float32")
    assert len(outcomes) == 5
    assert after[-1].differences(drive.train_step.state()) == []
    for state, one in zip(after, outcomes, strict=True):
        assert tuple(one) == STAGES
        for name, values in {**one["update"], **one["buffers"]}.items():
            assert values.tobytes() == {**state.parameters, **state.buffers}[name].tobytes()
        for name, values in state.gradients.items():
            assert one["gradient"][name].tobytes() == values.tobytes()
    assert [bool(one["update"]) for one in outcomes] == [False, True, False, True, False]
    clipped = np.sqrt(sum(np.sum(values.astype(float) ** 2) for values in outcomes[1]["clipping"].values()))
    assert clipped == pytest.approx(0.05)


@pytest.mark.parametrize("adapter", ["torch", "tensorflow"])
def test_another_adapters_outcome_is_gone_on_from(adapter):
    """With an outcome of NumPy's given at each step, what follows is within 64 eps of NumPy's, of its largest."""
    task, fed = of_rule(), ("gradient", "clipping", "forward", "gradient", "forward")
    _, theirs = staged("numpy", task)
    _, ours = staged(adapter, task, given=[{stage: one[stage]} for stage, one in zip(fed, theirs, strict=True)])
    for stage, mine, reference in zip(fed, ours, theirs, strict=True):
        for later in STAGES[STAGES.index(stage) :]:
            for name, values in reference[later].items():
                most = 64 * np.finfo(float).eps * np.abs(values).max()
                assert np.abs(mine[later][name] - values).max() <= most, (stage, later, name)


@pytest.mark.parametrize("adapter", ["numpy", "torch"])
def test_what_is_given_counts(adapter):
    task = of_rule()
    _, own = staged(adapter, task)
    zero = {name: np.zeros_like(values) for name, values in own[0]["gradient"].items()}
    fed = {
        "gradient": {"gradient": zero},
        "batch": {"batch": {"features": np.zeros_like(own[1]["batch"]["features"])}},
        "forward": {"forward": {"outputs": own[1]["batch"]["targets"].reshape(own[1]["forward"]["outputs"].shape)}},
        "update": {"update": {"dense_0/kernel": zero["dense_0/kernel"] + 1}},
    }
    for stage, given in fed.items():
        drive = made(adapter, PLAN, task, "float64")
        first, second = islice(batches(drive), 2)
        outcomes = [drive.train_step.stages(first), drive.train_step.stages(second, given)]
        assert outcomes[0]["update"].keys() == own[0]["update"].keys()
        changed = drive.train_step.state().parameters["dense_0/kernel"]
        assert not np.array_equal(changed, own[1]["update"]["dense_0/kernel"]), stage
        if stage == "forward":
            assert outcomes[1]["loss"]["loss"] == pytest.approx(0)
        if stage == "update":
            assert (changed == 1).all()


@pytest.mark.parametrize("adapter", ["numpy", "torch"])
def test_a_stage_that_was_given_anothers_shows_its_own(adapter):
    """Fed with all that another's step made, from the batch to the update, each stage shows what it makes of it."""
    drive = made(adapter, PLAN, of_rule(), "float64")
    first, second = islice(batches(drive), 2)
    drive.train_step(first)
    honest = drive.train_step.stages(second)
    wrong = {"forward": {"outputs": 2 * honest["forward"]["outputs"]}}
    wrong["clipping"] = {name: 2 * values for name, values in honest["clipping"].items()}
    fed = made(adapter, PLAN, of_rule(), "float64").train_step
    fed(first)
    outcomes = fed.stages(second, wrong)
    for stage in ("batch", "forward"):
        for name, values in honest[stage].items():
            assert np.array_equal(outcomes[stage][name], values)
    assert outcomes["loss"]["loss"] != honest["loss"]["loss"]
    assert not np.array_equal(outcomes["gradient"]["dense_0/kernel"], honest["gradient"]["dense_0/kernel"])
    assert not np.array_equal(outcomes["update"]["dense_0/kernel"], honest["update"]["dense_0/kernel"])


@pytest.mark.parametrize("adapter", ["torch", "tensorflow"])
def test_each_layer_goes_on_from_what_was_given_before_it(adapter):
    """Whatever is given for layers and the slope, what follows is within 64 eps of what NumPy makes of the same."""
    sides = {}
    for name in ("numpy", adapter):
        step = (drive := made(name, PLAN, of_rule(task="digits-cnn"), "float64")).train_step
        (batch,) = islice(drive.batches, 1)
        if name == "numpy":
            state = step.state()
            own = step.stages(batch)
            step.restore(state)
            step.window.restore(made(name, PLAN, of_rule(task="digits-cnn"), "float64").train_step.window.state())
            forward = {layer: 0.5 + 2 * values for layer, values in own["forward"].items()}
            given = {"forward": forward, "loss": {"slope": 3 * own["loss"]["slope"]}}
        sides[name] = step.stages(batch, given)
    assert list(sides[adapter]["forward"]) == list(sides["numpy"]["forward"])
    assert list(own["forward"])[-1] == "outputs"
    assert len(own["forward"]) > 4
    first, *_ = own["forward"]
    assert np.array_equal(sides["numpy"]["forward"][first], own["forward"][first])
    for stage in ("forward", "loss", "gradient", "update", "buffers"):
        for name, values in sides["numpy"][stage].items():
            most = 64 * np.finfo(float).eps * np.abs(values).max(initial=1e-300)
            assert np.abs(sides[adapter][stage][name] - values).max(initial=0) <= most, (stage, name)
    for name, values in sides["numpy"]["forward"].items():
        assert name == first or not np.allclose(values, own["forward"][name]), name


@pytest.mark.parametrize("adapter", ["torch", "tensorflow"])
def test_layers_of_a_builders_model_are_seen_before_the_function_that_follows(adapter):
    """torch has that as a module of its own, Keras in the layer: what both have is the product."""
    task = replace(BUILT, optimizer=of_rule().optimizer)
    drive = made(adapter, PLAN, task, "float64")
    (batch,) = islice(drive.batches, 1)
    weights = drive.train_step.state().parameters
    own = drive.train_step.stages(batch)
    assert list(own["forward"]) == ["dense_0/outputs", "dense_1/outputs", "outputs"]
    product = own["batch"]["features"] @ weights["dense_0/kernel"] + weights["dense_0/bias"]
    assert own["forward"]["dense_0/outputs"] == pytest.approx(product, rel=1e-13, abs=1e-13)
    (batch,) = islice((drive := made(adapter, PLAN, task, "float64")).batches, 1)
    fed = drive.train_step.stages(batch, {"forward": {"dense_0/outputs": 1 + product}})["forward"]
    behind = np.maximum(1 + product, 0) @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    assert fed["outputs"] == pytest.approx(behind, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("adapter", ["numpy", "torch"])
def test_what_does_not_fit_a_stage_changes_nothing(adapter):
    drive = made(adapter, PLAN, of_rule(), "float64")
    step = drive.train_step
    first, second = islice(drive.batches, 2)
    step(first)
    before = step.state()
    kernel = before.parameters["dense_0/kernel"]
    for given in (
        {"gradients": {}},
        {"gradient": {"dense_9/kernel": kernel}},
        {"gradient": {"dense_0/kernel": kernel[:1]}},
        {"clipping": {"dense_0/kernel": kernel.astype("f4")}},
        {"buffers": {"dense_0/kernel": kernel}},
        {"forward": {"outputs": kernel}},
        {"forward": {"dense_0/outputs": kernel}},
        {"loss": {"slope": kernel}},
    ):
        with pytest.raises(xframe.UsageError):
            step.stages(second, given)
        assert before.differences(step.state()) == []
    with pytest.raises(xframe.UsageError, match="scaled"):
        made("torch", PLAN, of_rule(), "mixed_float16").train_step.stages(first)

"""Training with losses that no word names: the same loss each step, and the same validation, in every adapter."""

from dataclasses import replace

import numpy as np
import pytest

import xframe
from xframe.running import registry
from xframe.tasks.lookup import find_task
from xframe.tasks.losses import BinaryCrossEntropy, CrossEntropy, named
from xframe.testing import observe

# Batches' classes differ, so that a mean by weights is none by samples; 3 is in most batches.
WEIGHED = CrossEntropy(
    class_weights=tuple(0.1 * i for i in range(10)), label_smoothing=0.1, ignored=3, reduction="weighted_mean"
)
PLAN = xframe.TrainingPlan(batch_size=100, steps=4, validation_every=1, validation_unit="epochs")
CLOSE = 1e-13


def trained(name, loop, loss, folder, plan=PLAN):
    task = replace(find_task("digits-mlp"), loss=loss, metrics=())
    trace = folder / f"{name}-{plan.validation_batch_size}.trace"
    return observe(registry.load(name), plan, task, trace, precision="float64", loop=loop)


@pytest.mark.parametrize("run", ["torch:eager", "torch:loader", "tensorflow:block"])
def test_a_weighted_loss_is_the_same_in_training_and_validation(run, tmp_path):
    reference = trained("numpy", "eager", WEIGHED, tmp_path)
    other = trained(*run.split(":"), WEIGHED, tmp_path)
    np.testing.assert_allclose(other.column("loss"), reference.column("loss"), rtol=CLOSE)
    (seen,), (wanted,) = other.validations, reference.validations
    assert seen.loss == pytest.approx(wanted.loss, rel=CLOSE)


def test_a_validation_is_the_mean_of_all_samples(tmp_path):
    """Whatever its batches are."""
    losses = [
        trained("numpy", "eager", WEIGHED, tmp_path, replace(PLAN, validation_batch_size=size)).validations[0].loss
        for size in (50, 360)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=CLOSE)


def test_fit_takes_a_loss_and_refuses_what_it_averages_otherwise(tmp_path):
    loss = named("keras.SparseCategoricalCrossentropy", {"outputs": "logits"})
    reference, other = (trained(*run, loss, tmp_path) for run in (("numpy", "eager"), ("tensorflow", "fit")))
    np.testing.assert_allclose(other.column("loss"), reference.column("loss"), rtol=CLOSE)
    assert other.validations[0].loss == pytest.approx(reference.validations[0].loss, rel=CLOSE)
    task = replace(find_task("digits-mlp"), loss=WEIGHED, metrics=())
    reasons = registry.load("tensorflow").check(PLAN, task, xframe.Runtime(device="cpu", loop="fit"))
    assert ["averages a validation's batches" in reason for reason in reasons] == [True]


def test_what_is_no_probability_has_no_loss_anywhere():
    """PyTorch's own raises: from within a step, and for a diverged model alone."""
    import tensorflow as tf
    import torch
    import xframe_numpy.losses
    import xframe_tensorflow.losses
    import xframe_torch.losses

    loss = BinaryCrossEntropy(outputs="probabilities", guard="floor")
    x, y = np.array([[-0.5, 0, 0.3, 1], [1, 2, 0.7, np.nan]]), np.array([[1.0, 0, 1, 1], [1, 1, 0, 0]])
    value, gradient = xframe_numpy.losses.lowered(loss)(x, y)
    assert np.isnan(value)
    assert (np.isnan(gradient) == [[1, 0, 0, 0], [0, 1, 0, 1]]).all()
    tensor, variable = torch.tensor(x, requires_grad=True), tf.Variable(x)
    of_torch = xframe_torch.losses.lowered(loss)(tensor, torch.tensor(y))
    of_torch.backward()
    with tf.GradientTape() as tape:
        of_tensorflow = xframe_tensorflow.losses.lowered(loss)(tf.constant(y), variable)
    assert np.isnan(of_torch.item())
    assert np.isnan(of_tensorflow.numpy())
    for other in (tensor.grad.numpy(), tape.gradient(of_tensorflow, variable).numpy()):
        np.testing.assert_allclose(other, gradient, rtol=1e-5)  # floatx is float32

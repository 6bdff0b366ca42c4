"""Steps as few scripts take them: several backward passes or loaders, gradients of inputs, losses bound long before."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import xframe

pytestmark = pytest.mark.xdist_group("torch")
N = 24
MSE = torch.nn.functional.mse_loss


def data(first=0.0):
    return TensorDataset((first + torch.arange(N) / N).reshape(N, 1), torch.arange(N) % 2)


def ids(inputs):
    return np.round(N * (inputs.detach()[:, 0].numpy() % 1)).astype(int).tolist()


@pytest.fixture
def watched(tmp_path):
    """Trains, on each batch by a function that is given, and says what it took and what was recorded."""

    def train(step, optimizer=torch.optim.SGD, **arguments):
        torch.manual_seed(0)
        it = SimpleNamespace(model=torch.nn.Linear(1, 2))
        it.optimizer = optimizer(it.model.parameters(), 0.1, **arguments)
        path, taken, losses = tmp_path / "a.trace", [], []
        with xframe.watch(path, replace=True):
            for inputs, targets in DataLoader(data(), batch_size=8, shuffle=True):
                taken.append(ids(inputs))
                losses.append(step(it, inputs, targets))
        trace = xframe.Trace.open(path)
        rows = trace.frame()
        assert [row.tolist() for row in rows.ids] == taken
        assert rows.updates.tolist() == [1, 2, 3]
        assert rows.loss.tolist() == pytest.approx(losses)
        assert rows.lr.tolist() == [0.1] * 3
        return trace, it

    return train


def test_a_loss_that_was_bound_before_is_seen_and_is_its_own_again_afterwards(watched, tmp_path):
    codes = cross_entropy.__code__, MSE.__code__

    def step(it, inputs, targets):
        it.optimizer.zero_grad()
        loss = cross_entropy(it.model(inputs), targets)
        loss.backward()
        it.optimizer.step()
        with torch.no_grad():
            MSE(it.model(inputs), torch.zeros(len(inputs), 2))
        return loss.item()

    trace, _ = watched(step)
    assert trace.frame().targets.notna().all()
    assert trace.frame().loss_rows.tolist() == [8] * 3
    assert trace.settings["loss.class"] == "cross_entropy"
    assert (cross_entropy.__code__, MSE.__code__) == codes
    assert not hasattr(cross_entropy, "__wrapped__")


def test_inputs_that_gradients_are_asked_of_are_the_batch(watched):
    def step(it, inputs, targets):
        inputs.requires_grad_()
        it.optimizer.zero_grad()
        outputs = it.model(inputs)
        (slope,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
        loss = cross_entropy(outputs, targets) + (slope.norm(dim=1) - 1).square().mean()
        loss.backward()
        it.optimizer.step()
        return loss.item()

    assert watched(step)[0].frame().features.notna().all()


def test_losses_of_several_backward_passes_add_up_as_their_gradients_do(watched):
    def step(it, inputs, targets):
        it.optimizer.zero_grad()
        losses = cross_entropy(it.model(inputs), targets), it.model(inputs).square().mean()
        for loss in losses:
            loss.backward()
        it.optimizer.step()
        return sum(losses).item()

    watched(step)


class _WithLoss(torch.nn.Module):
    """A model that gives its loss, as Transformers' do."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs, targets):
        return {"loss": cross_entropy(self.model(inputs), targets)}


@pytest.mark.parametrize("unused", [False, True])
def test_a_loss_that_replicas_pass_on_is_known_before_it_was_divided(watched, tmp_path, unused):
    def step(it, inputs, targets):
        if "parallel" not in vars(it):
            it.parallel = DistributedDataParallel(_WithLoss(it.model), find_unused_parameters=unused)
        it.optimizer.zero_grad()
        loss = it.parallel(inputs, targets)["loss"]
        (loss / 4).backward()
        it.optimizer.step()
        return loss.item()

    init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    try:
        trace, _ = watched(step)
    finally:
        destroy_process_group()
    assert (trace.complete, trace.replicas) == (True, ())


def test_a_loss_whose_gradients_were_set_to_zero_again_does_not_count(watched):
    def step(it, inputs, targets):
        cross_entropy(it.model(inputs.requires_grad_()), targets).backward()
        moved = inputs.detach() + 0.01 * inputs.grad.sign()
        it.optimizer.zero_grad()
        loss = cross_entropy(it.model(moved), targets)
        loss.backward()
        it.optimizer.step()
        it.optimizer.zero_grad()
        return loss.item()

    watched(step)


def test_gradients_of_one_network_set_to_zero_leave_the_loss_of_the_other(watched):
    other = torch.nn.Linear(1, 2)
    of_other = torch.optim.SGD(other.parameters(), 0.1)

    def step(it, inputs, targets):
        it.optimizer.zero_grad()
        loss = cross_entropy(it.model(inputs), targets)
        loss.backward()
        other.zero_grad()
        second = cross_entropy(other(inputs), targets)
        second.backward()
        it.optimizer.step()
        return (loss + second).item()

    watched(step)
    assert of_other.param_groups


def test_an_optimizer_that_computes_gradients_as_often_as_it_likes_takes_one_step(watched):
    def step(it, inputs, targets):
        inputs = inputs * 1.0  # of which nobody knows where it is from

        def closure():
            it.optimizer.zero_grad()
            loss = cross_entropy(it.model(inputs), targets)
            loss.backward()
            return loss

        return it.optimizer.step(closure).item()

    watched(step, torch.optim.LBFGS, max_iter=4)


@pytest.mark.parametrize("how", ["in one call", "in two", "with labels guessed first", "in two backward passes"])
def test_a_step_on_batches_of_two_loaders_has_the_samples_of_the_first(tmp_path, how):
    model = torch.nn.Linear(1, 2)
    optimizer, taken = torch.optim.SGD(model.parameters(), 0.1), []
    with xframe.watch(tmp_path / "a.trace"):
        for (inputs, targets), (more, _) in zip(
            DataLoader(data(), 8, shuffle=True), DataLoader(data(), 12, shuffle=True), strict=False
        ):
            optimizer.zero_grad()
            if how == "with labels guessed first":
                with torch.no_grad():
                    model(more)
            if how == "in one call":
                outputs, unlabelled = model(torch.cat([inputs, more])).split([len(inputs), len(more)])
            else:
                outputs, unlabelled = model(inputs), model(more)
            if how == "in two backward passes":
                cross_entropy(outputs, targets).backward()
                unlabelled.square().mean().backward()
            else:
                (cross_entropy(outputs, targets) + unlabelled.square().mean()).backward()
            optimizer.step()
            taken.append(ids(inputs))
    trace = xframe.Trace.open(tmp_path / "a.trace")
    rows = trace.frame()
    assert [row.tolist() for row in rows.ids] == taken
    assert rows.batch_size.tolist() == [8, 8]
    assert not trace.validations
    assert rows.features.notna().tolist() == [how != "in one call"] * 2


@pytest.mark.parametrize("order", ["alike", "on its own"])
def test_targets_of_a_loader_of_their_own_are_those_that_the_step_took(tmp_path, order):
    """Features and targets each have a loader: the samples are the features', and both have prints."""
    model, (features, labels) = torch.nn.Linear(1, 2), data().tensors
    optimizer, taken, answers = torch.optim.SGD(model.parameters(), 0.1), [], []
    seeds = (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2 if order == "on its own" else 1))
    loaders = [
        DataLoader(each, 8, shuffle=True, generator=seed) for each, seed in zip((features, labels), seeds, strict=True)
    ]
    with xframe.watch(tmp_path / "a.trace"):
        for inputs, targets in zip(*loaders, strict=True):
            optimizer.zero_grad()
            cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            taken.append(ids(inputs))
            answers.append(targets.tolist())
    rows = xframe.Trace.open(tmp_path / "a.trace").frame()
    assert [row.tolist() for row in rows.ids] == taken
    assert rows.batch_size.tolist() == [8, 8, 8]
    for name, values in (("features", taken), ("targets", answers)):
        prints = dict.fromkeys(tuple(part) for row in rows[name] for part in np.reshape(row, (8, -1)).tolist())
        assert len(prints) == len({value for row in values for value in row})  # equal where the numbers are
    assert (rows.ids.map(lambda row: [sample % 2 for sample in row]).tolist() == answers) is (order == "alike")


def test_a_second_loader_drawn_from_after_the_first_loss_leaves_the_samples_those_of_the_first(tmp_path):
    model = torch.nn.Linear(1, 2)
    optimizer, taken, losses = torch.optim.SGD(model.parameters(), 0.1), [], []
    with xframe.watch(tmp_path / "a.trace"):
        others = iter(DataLoader(data(), 12, shuffle=True))
        for inputs, targets in DataLoader(data(), 12, shuffle=True):
            optimizer.zero_grad()
            loss = cross_entropy(model(inputs), targets)
            loss = loss + model(next(others)[0]).square().mean()
            loss.backward()
            optimizer.step()
            taken.append(ids(inputs))
            losses.append(loss.item())
    trace = xframe.Trace.open(tmp_path / "a.trace")
    rows = trace.frame()
    assert [row.tolist() for row in rows.ids] == taken
    assert rows.batch_size.tolist() == [12, 12]
    assert rows.features.notna().tolist() == [False, True]  # at first every thread may be the one that trains
    assert rows.updates.tolist() == [1, 2]
    assert rows.loss.tolist() == pytest.approx(losses)
    assert not trace.validations


@pytest.mark.parametrize("batches", [1, 2, 24])
def test_a_validation_with_gradients_on_hides_no_step(tmp_path, batches):
    model, loss = torch.nn.Linear(1, 2), cross_entropy
    optimizer, taken = torch.optim.SGD(model.parameters(), 0.1), []
    with xframe.watch(tmp_path / "a.trace"):
        for _ in range(2):
            for inputs, targets in DataLoader(data(), 8, shuffle=True):
                optimizer.zero_grad()
                loss(model(inputs), targets).backward()
                optimizer.step()
                taken.append(ids(inputs))
            for inputs, targets in DataLoader(data(), N // batches):
                loss(model(inputs), targets)
    rows = xframe.Trace.open(tmp_path / "a.trace").frame()
    assert [row.tolist() for row in rows.ids] == taken


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_validation_has_the_mode_that_the_model_was_in(tmp_path, mode):
    model = torch.nn.Linear(1, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with xframe.watch(tmp_path / "a.trace"):
        for _ in range(2):
            model.train()
            for inputs, targets in DataLoader(data(), 8):
                optimizer.zero_grad()
                cross_entropy(model(inputs), targets).backward()
                optimizer.step()
            getattr(model, mode)()
            with torch.no_grad():
                for inputs, targets in DataLoader(data(), 12):
                    cross_entropy(model(inputs), targets)
    validations = xframe.Trace.open(tmp_path / "a.trace").validations
    assert [(one.after, one.training) for one in validations] == [(3, mode == "train"), (6, mode == "train")]


def test_what_was_looked_at_before_the_first_step_is_not_of_it(tmp_path):
    """With gradients on, and no use made of them."""
    model = torch.nn.Linear(1, 2)
    optimizer, taken = torch.optim.SGD(model.parameters(), 0.1), []
    with xframe.watch(tmp_path / "a.trace"):
        for inputs, _ in DataLoader(data(), 12, shuffle=True):
            model(inputs)
        for inputs, targets in DataLoader(data(), 8, shuffle=True):
            cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            taken.append(ids(inputs))
    assert [row.tolist() for row in xframe.Trace.open(tmp_path / "a.trace").frame().ids] == taken


@pytest.mark.parametrize("zeroed", ["optimizer", "model", "by hand", "through data", "never"])
def test_gradients_that_are_never_set_to_zero_are_noted(watched, zeroed):
    def step(it, inputs, targets):
        if zeroed in ("optimizer", "model"):
            getattr(it, zeroed).zero_grad(set_to_none=zeroed == "model")
        loss = cross_entropy(it.model(inputs), targets)
        loss.backward()
        it.optimizer.step()
        for parameter in it.model.parameters():
            if zeroed == "by hand":
                parameter.grad = None
            elif zeroed == "through data":
                parameter.grad.data.zero_()
        return loss.item()

    assert watched(step)[0].settings["optimizer.zero_grad"] is (zeroed != "never")


def test_weights_say_whether_they_are_trained(watched):
    def step(it, inputs, targets):
        it.model.bias.requires_grad_(False)
        loss = cross_entropy(it.model(inputs), targets)
        loss.backward()
        it.optimizer.step()
        return loss.item()

    settings = watched(step)[0].settings
    assert [settings[f"weights.{k}.trainable"] for k in range(2)] == [True, False]


def test_two_optimizers_that_share_a_model_are_compared_with_one(tmp_path):
    for name in ("one", "two"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Linear(3, 2))
        parts = [model] if name == "one" else [*model]
        optimizers = [torch.optim.SGD(part.parameters(), 0.1) for part in parts]
        with xframe.watch(tmp_path / f"{name}.trace"):
            for inputs, targets in DataLoader(data(), 8):
                model.zero_grad()
                cross_entropy(model(inputs), targets).backward()
                for optimizer in optimizers:
                    optimizer.step()
    comparison = xframe.compare(tmp_path / "one.trace", tmp_path / "two.trace")
    assert comparison, comparison
    assert comparison.check("gradient norm").result == "pass"
    assert xframe.Trace.open(tmp_path / "two.trace").frame().updates.tolist() == [2, 4, 6]
    assert not comparison.settings

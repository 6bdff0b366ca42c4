"""Calls as they stand in scripts: each argument of each installed trainer is known, and what is said of it is so."""

import importlib
import inspect
import warnings

import pytest
from agreement import TRAINERS, compare

import xframe
from xframe.plan import presets
from xframe.plan.validation import due, stopped_after
from xframe.trace.trace import Validation

# What each trainer is called with, and the arguments of ours that are the script's and no function's.
STRATEGY = "strategy num_replicas_in_sync auto_shard_policy"
CALLED = {
    "keras": (
        "keras:Model.fit keras:Model.compile tensorflow:data.Dataset.batch",
        f"data gradient_accumulation_steps {STRATEGY}",
    ),
    "keras2": ("tf_keras:Model.fit tf_keras:Model.compile tensorflow:data.Dataset.batch", f"data {STRATEGY}"),
    "lightning": ("lightning:Trainer lightning:Trainer.fit torch.utils.data:DataLoader", "data"),
    "transformers": (
        "transformers:TrainingArguments transformers:Trainer transformers:Trainer.train",
        "data num_items_in_batch world_size",
    ),
    "accelerate": (
        "accelerate:Accelerator accelerate.utils:GradientAccumulationPlugin "
        "accelerate.utils:DataLoaderConfiguration torch.utils.data:DataLoader",
        "num_epochs steps_per_epoch max_train_steps num_processes",
    ),
    "ignite": (
        "ignite.engine:create_supervised_trainer ignite.engine:Engine.run ignite.engine:Engine "
        "torch.utils.data:DataLoader",
        "",
    ),
    "optax": ("optax:MultiSteps", "batch_size num_epochs drop_remainder"),
    "tf_distribute": ("tensorflow:data.Dataset.batch", f"epochs loss {STRATEGY}"),
    "pytorch": (
        "torch.utils.data:DataLoader torch.utils.data:DistributedSampler torch.distributed:init_process_group "
        "torch.nn.parallel:DistributedDataParallel",
        "epochs gradient_accumulation_steps leftover normalization max_steps sampler_drop_last join",
    ),
}
OTHERS = {"seed", "num_steps"}  # a plan has a seed of its own; the plugin's, which is given as it is


def real(trainer):
    """The keyword arguments of what the installed trainer is called with."""
    names = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in CALLED[trainer][0].split():
            module, _, path = place.partition(":")
            function = importlib.import_module(module)
            for part in path.split("."):
                function = getattr(function, part)
            names |= {
                name
                for name, parameter in inspect.signature(function).parameters.items()
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            }
    return {name for name in names if name != "self" and not name.startswith("_")}


@pytest.mark.parametrize("trainer", CALLED)
def test_every_argument_of_the_installed_trainer_is_known_and_no_other(trainer):
    known = presets.preset(trainer)
    ours = set(known.parameters) | set(known.accepts)
    theirs = real(trainer) - OTHERS
    assert set(CALLED) == set(presets.trainers())
    assert theirs - ours == set(), "unknown to xframe"
    assert ours - theirs == set(CALLED[trainer][1].split()), "unknown to the trainer"
    assert not set(known.parameters) & set(known.accepts)
    assert "self" not in ours


def like(trainer, num_samples, **arguments):
    return xframe.TrainingPlan.like(trainer, num_samples=num_samples, **{"order": "sequential", **arguments})


def run(trainer, num_samples, **arguments):
    module, function, _ = TRAINERS[trainer]
    return getattr(importlib.import_module(module), function)(num_samples, **arguments)


LOADER = {"num_workers": 0, "pin_memory": False, "persistent_workers": False}


@pytest.mark.parametrize(
    ("trainer", "arguments", "more"),
    [
        ("keras", {"data": "arrays", "batch_size": 5, "epochs": 4, "initial_epoch": 1}, {"class_weight": None}),
        (
            "keras",
            {"data": "arrays", "batch_size": 5, "epochs": 5, "initial_epoch": 2, "steps_per_epoch": 3},
            {"loss": "mse", "metrics": ["accuracy"], "jit_compile": False},
        ),
        ("keras", {"data": "batch-repeat", "batch_size": 5, "epochs": 5, "initial_epoch": 2, "steps_per_epoch": 3}, {}),
        ("keras2", {"data": "arrays", "batch_size": 5, "epochs": 4, "initial_epoch": 1}, {"workers": 1}),
        ("keras2", {"data": "arrays", "batch_size": 5, "epochs": 7, "initial_epoch": 4, "steps_per_epoch": 4}, {}),
        ("keras2", {"data": "dataset", "batch_size": 5, "epochs": 7, "initial_epoch": 4, "steps_per_epoch": 4}, {}),
        ("lightning", {"batch_size": 5, "max_epochs": 3, "overfit_batches": 2}, {"logger": False, **LOADER}),
        ("lightning", {"batch_size": 5, "max_epochs": 3, "overfit_batches": 0.5}, {"precision": 32}),
        ("lightning", {"batch_size": 5, "max_epochs": 3, "overfit_batches": 9, "accumulate_grad_batches": 2}, {}),
        ("lightning", {"batch_size": 5, "max_epochs": 3, "fast_dev_run": True}, {"devices": 1}),
        ("lightning", {"batch_size": 5, "fast_dev_run": 3, "accumulate_grad_batches": 2, "max_steps": 1}, {}),
        ("lightning", {"batch_size": 5, "fast_dev_run": 9}, {}),
        ("lightning", {"batch_size": 5, "fast_dev_run": 4, "overfit_batches": 2}, {}),
        ("lightning", {"batch_size": 5, "max_epochs": 2, "gradient_clip_val": 9.0}, {"num_nodes": 1}),
        ("lightning", {"batch_size": 5, "max_epochs": 2, "min_epochs": 5, "min_steps": 99}, {}),
        (
            "transformers",
            {"per_device_train_batch_size": 5, "num_train_epochs": 2, "warmup_steps": 3, "weight_decay": 0.0},
            {"logging_steps": 10, "report_to": "none", "learning_rate": 1.0, "fsdp": "", "optimizers": (None, None)},
        ),
        ("ignite", {"batch_size": 5, "max_epochs": 2, "deterministic": True}, {"device": "cpu"}),
        ("ignite", {"batch_size": 5, "max_epochs": 3, "epoch_length": 3, "deterministic": True}, {}),
        ("ignite", {"batch_size": 5, "max_epochs": 2, "epoch_length": 7, "deterministic": True}, {"scaler": False}),
        ("accelerate", {"batch_size": 5, "num_epochs": 2}, {"mixed_precision": "no", "cpu": True, **LOADER}),
    ],
)
def test_what_an_argument_does_is_what_the_trainer_was_seen_to_do(trainer, arguments, more):
    plan = like(trainer, 23, **arguments, **more)
    if arguments.get("data") == "batch-repeat":
        arguments = {**arguments, "data": "dataset-repeat"}  # as the script calls it
    assert compare(plan, 23, run(trainer, 23, **arguments)) is None


@pytest.mark.parametrize("trainer", ["keras", "keras2"])
@pytest.mark.parametrize("share", [0.2, 0.3, 0.9])
def test_validation_split_leaves_the_first_samples(trainer, share):
    arguments = {"data": "arrays", "batch_size": 5, "epochs": 2, "validation_split": share}
    trained = presets.like(trainer, num_samples=23, **arguments)["num_samples"]
    with pytest.warns(UserWarning, match=f"trains on {trained} of the 23 samples"):
        plan = like(trainer, 23, **arguments)
    seen = run(trainer, 23, **arguments)
    assert not any(gradient[trained:].any() for gradient in seen.gradients)
    seen.gradients = [gradient[:trained] for gradient in seen.gradients]
    assert compare(plan, trained, seen) is None


def test_a_scheduler_that_never_changes_windows():
    from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelSummary

    callbacks = [GradientAccumulationScheduler({0: 3}), ModelSummary()]
    plan = like("lightning", 23, batch_size=5, max_epochs=2, callbacks=callbacks)
    assert plan.gradient_accumulation_steps == 3
    assert compare(plan, 23, run("lightning", 23, batch_size=5, max_epochs=2, callbacks=callbacks)) is None
    with pytest.raises(xframe.UsageError, match="windows are all of one length"):
        like("lightning", 23, batch_size=5, max_epochs=2, callbacks=[GradientAccumulationScheduler({4: 2})])


def test_a_plugin_of_accumulation():
    from accelerate.utils import GradientAccumulationPlugin

    plugin = GradientAccumulationPlugin(num_steps=3, sync_with_dataloader=False)
    plan = like("accelerate", 23, batch_size=5, num_epochs=2, gradient_accumulation_plugin=plugin)
    alone = {"gradient_accumulation_steps": 3, "sync_with_dataloader": False}
    assert plan == like("accelerate", 23, batch_size=5, num_epochs=2, **alone)
    assert compare(plan, 23, run("accelerate", 23, batch_size=5, num_epochs=2, **alone)) is None


def test_all_that_training_arguments_hold(tmp_path):
    import transformers

    arguments = transformers.TrainingArguments(str(tmp_path), per_device_train_batch_size=4, use_cpu=True)
    plan = like("transformers", 23, **arguments.to_dict())
    assert (plan.batch_size, plan.epochs, plan.seed) == (4, 3, 42)


# Early stopping: scripted values, so that training ends where they say

VALUES = [3.0, 2.0, 2.5, 1.99, 2.2, 1.5, 1.6, 1.7, 1.8, 1.9, 1.0, 0.5]
STOPS = [
    {"patience": 1},
    {"patience": 2},
    {"patience": 3},
    {"patience": 2, "min_delta": 0.1},
    {"patience": 2, "mode": "max"},
    {"patience": 12},
]


def stops_as(plan, seen, num_samples, **validated):
    """Whether it went on for as long as the plan's early stopping does, by the same validations."""
    validations = [
        Validation(after=int(after), **dict.fromkeys(validated, value))
        for after, value in zip(due(plan, num_samples), next(iter(validated.values())), strict=False)
    ]
    assert (stopped_after(plan, validations) or plan.counts(num_samples).num_steps) == len(seen.ids)


@pytest.mark.filterwarnings("ignore:Early stopping conditioned")  # in epochs that are not validated
@pytest.mark.parametrize("more", [*STOPS, {"patience": 0}, {"patience": 2, "baseline": 1.7}])
@pytest.mark.parametrize("trainer", ["keras", "keras2"])
@pytest.mark.parametrize("around", [{}, {"validation_freq": 2}, {"initial_epoch": 2}])
def test_early_stopping_of_keras(trainer, more, around):
    callbacks = importlib.import_module("keras" if trainer == "keras" else "tf_keras").callbacks

    class Scripted(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if "val_loss" in logs:
                logs["val_loss"] = values.pop(0)

    values, x = list(VALUES), importlib.import_module("keras_fit").one_hot(7)
    arguments = {"data": "arrays", "batch_size": 3, "epochs": 12, "validation_data": x, **around}
    stopping = callbacks.EarlyStopping(**more)
    plan = like(trainer, 7, callbacks=[stopping], **arguments)
    stops_as(plan, run(trainer, 7, callbacks=[Scripted(), stopping], **arguments), 7, loss=VALUES)


@pytest.mark.parametrize("more", STOPS)
@pytest.mark.parametrize("every", [1, 2])
def test_early_stopping_of_lightning(more, every):
    from lightning.pytorch.callbacks import EarlyStopping

    arguments = {"batch_size": 3, "max_epochs": 12, "check_val_every_n_epoch": every}
    plan = like("lightning", 7, callbacks=EarlyStopping("val_loss", **more), **arguments)
    seen = run("lightning", 7, callbacks=EarlyStopping("val_loss", **more), script=VALUES, **arguments)
    stops_as(plan, seen, 7, loss=VALUES)


@pytest.mark.parametrize("patience", [1, 2, 3, 12])
@pytest.mark.parametrize("when", [{"eval_strategy": "epoch"}, {"eval_strategy": "steps", "eval_steps": 2}])
def test_early_stopping_of_transformers(patience, when):
    from transformers import EarlyStoppingCallback

    arguments = {"per_device_train_batch_size": 3, "num_train_epochs": 5, "metric_for_best_model": "accuracy", **when}
    callbacks = [EarlyStoppingCallback(patience)]
    plan = like("transformers", 7, callbacks=callbacks, greater_is_better=False, **arguments)
    values = [*VALUES, *VALUES]
    seen = run("transformers", 7, callbacks=callbacks, greater_is_better=False, script=values, **arguments)
    stops_as(plan, seen, 7, accuracy=values)


# A trainer's own callbacks change no counting, but for those that a preset names: each has been looked at

REVIEWED = {
    "keras.callbacks": """
        BackupAndRestore CSVLogger Callback CallbackList EarlyStopping History LambdaCallback LearningRateScheduler
        ModelCheckpoint OrbaxCheckpoint ProgbarLogger ReduceLROnPlateau RemoteMonitor SwapEMAWeights TensorBoard
        TerminateOnNaN
    """,
    "tf_keras.callbacks": """
        BackupAndRestore BaseLogger CSVLogger Callback CallbackList EarlyStopping History LambdaCallback
        LearningRateScheduler ModelCheckpoint ProgbarLogger ReduceLROnPlateau RemoteMonitor
        SidecarEvaluatorModelExport TensorBoard TerminateOnNaN
    """,
    "lightning.pytorch.callbacks": """
        BackboneFinetuning BaseFinetuning BasePredictionWriter BatchSizeFinder Callback Checkpoint DeviceStatsMonitor
        EMAWeightAveraging EarlyStopping GradientAccumulationScheduler LambdaCallback LearningRateFinder
        LearningRateMonitor ModelCheckpoint ModelPruning ModelSummary OnExceptionCheckpoint ProgressBar
        RichModelSummary RichProgressBar SpikeDetection StochasticWeightAveraging TQDMProgressBar ThroughputMonitor
        Timer WeightAveraging
    """,
    "transformers.trainer_callback": """
        CallbackHandler DefaultFlowCallback EarlyStoppingCallback PrinterCallback ProgressCallback TrainerCallback
    """,
}


@pytest.mark.parametrize("module", REVIEWED)
def test_every_callback_of_the_installed_trainer_was_looked_at(module):
    members = vars(importlib.import_module(module)).values()
    hooks = ("on_epoch_end", "on_train_epoch_end", "on_step_end", "on_train_begin", "start")
    own = {
        member.__name__
        for member in members
        if isinstance(member, type)
        and member.__module__.startswith(module.split(".")[0])
        and any(hasattr(member, hook) for hook in hooks)
    }
    assert own == set(REVIEWED[module].split())

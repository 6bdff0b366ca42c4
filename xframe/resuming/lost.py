"""What a resume can lose: each by a name that stays, with what keeps it.

What rows can show too has the cause's name and fixes that comparisons have; what only states show is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from xframe.diagnosis import causes


class Loss(NamedTuple):
    """One way to lose something.

    Attributes:
        meaning: of the resumed run ("it …").
        fix: by framework or trainer, what keeps it.
    """

    meaning: str
    fix: Mapping[str, str]


def _loss(meaning: str, **fix: str) -> Loss:
    return Loss(meaning, MappingProxyType(fix))


# Of causes that comparisons have, what a trainer's user is to write.
_FURTHER: Mapping[str, Mapping[str, str]] = {
    "weights-not-restored-after-resuming": {
        "lightning": "trainer.fit(model, loader, ckpt_path=PATH)",
        "transformers": "trainer.train(resume_from_checkpoint=True)",
        "keras": "BackupAndRestore(DIR) in fit's callbacks, its folder not deleted by the first run",
        "any": "save and load all weights, after an update, in the precision that they are trained in",
    },
    "optimizer-state-lost-after-resuming": {
        "lightning": "ModelCheckpoint(save_weights_only=False)",
        "transformers": "TrainingArguments(save_only_model=False)",
    },
    "window-lost-after-resuming": {
        "lightning": "ModelCheckpoint(every_n_train_steps=...) counts updates, so that it saves between windows; or a "
        "callback that saves each .grad",
        "accelerate": "save_state where accelerator.sync_gradients is true; or save each .grad and accelerator.step",
        "ignite": "an object in Checkpoint's to_save whose state_dict has each .grad",
    },
    "schedule-restarted-after-resuming": {"keras": "a LearningRateSchedule in the optimizer goes by its iterations"},
    "resumed-at-wrong-place": {},
    "pass-order-restarted-after-resuming": {
        "lightning": "torchdata's StatefulDataLoader; or a sampler with set_epoch that skips the batches made",
        "ignite": "a sampler that follows from trainer.state.iteration, and skips the batches made",
    },
    "epoch-repeated-after-resuming": {"ignite": "state_dict with iteration, and epoch_length as before"},
    "order-drawn-anew-after-resuming": {
        "lightning": "a sampler with set_epoch, such as DistributedSampler(num_replicas=1, rank=0)",
        "keras": "shuffle=False, and a PyDataset whose order follows from the epoch",
        "ignite": "a sampler whose order follows from the epoch",
    },
    "random-state-lost-after-resuming": {
        "accelerate": "load_state sets it, and loaders draw behind that: set it again before the first step",
        "ignite": "an object in Checkpoint's to_save whose state_dict has torch.get_rng_state()",
    },
}
_ONLY_HERE: Mapping[str, Loss] = {
    "nothing-restored-after-resuming": _loss(
        "It began from the very start: no checkpoint was written, or the flag is not read.",
        any="let the script save into {dir} before the step that it is cut after, and read what --resume adds; "
        "--stop-after N cuts it later",
    ),
    "order-generator-lost-after-resuming": _loss(
        "It goes on at the right place, and the generator that the epochs' orders are drawn by began again.",
        torch="save generator.get_state(), and generator.set_state(...) before the next epoch's order is drawn; or a "
        "sampler whose order follows from the epoch, by set_epoch",
        tensorflow="an order that follows from the epoch: a seed of its number; or the iterator in the checkpoint",
        any="save the state of the generator that orders are drawn by, beside the weights",
    ),
    "end-weights-lost-after-resuming": _loss(
        "All of its steps are the same, and what is done after the last one is not.",
        any="averaged weights (EMA, SWA) and the best weights so far, with the value by which they are best, go into "
        "the checkpoint too",
        keras="EarlyStopping and ModelCheckpoint keep their best in the callback alone: save it, and set it again",
    ),
    "statistics-lost-after-resuming": _loss(
        "Its buffers, such as a normalisation's running means, are others.",
        torch="save and load model.state_dict(), which has them, not the parameters alone, and strict=True",
        keras="save model.weights, not model.trainable_weights",
    ),
    "optimizer-count-lost-after-resuming": _loss(
        "Its optimizer counts its updates anew, so that Adam corrects its moments as at the beginning.",
        torch="save optimizer.state_dict() beside the model's: its 'step' is the count",
        tensorflow="tf.train.Checkpoint(model=model, optimizer=optimizer): optimizer.iterations is the count",
    ),
    "length-lost-after-resuming": _loss(
        "It makes more steps or fewer than were left.",
        any="save how many steps and epochs were made, and begin the loops' counters there",
        keras="fit(initial_epoch=...), which BackupAndRestore sets",
        lightning="torchdata's StatefulDataLoader, saved by on_train_batch_end of a pass's last batch, is at its end, "
        "so that the next epoch has no batch: save there in on_train_epoch_end",
    ),
    "early-stopping-lost-after-resuming": _loss(
        "It ends elsewhere, though all that it computed is the same: what it stops by began anew.",
        torch="save the best value and how long none was better, beside the weights",
        keras="EarlyStopping has best and wait in the callback alone: save them, and set them behind on_train_begin",
        lightning="EarlyStopping is in a whole checkpoint: ckpt_path, not load_from_checkpoint",
    ),
    "computes-otherwise-after-resuming": _loss(
        "Its losses differ, and nothing that was observed before them.",
        any="what is kept outside of model, optimizer and generators, such as an average of weights or a loss scale: "
        "save it too",
    ),
}


def _of_causes() -> Mapping[str, Loss]:
    known = causes.by_name()
    return {
        name: Loss((known[name].__doc__ or "").strip(), MappingProxyType({**known[name].fixes, **further}))
        for name, further in _FURTHER.items()
    }


LOSSES: Mapping[str, Loss] = MappingProxyType({**_of_causes(), **_ONLY_HERE})

"""ReduceLROnPlateau, which follows a metric: no two frameworks' are the same, so why, and what comes closest."""

from __future__ import annotations

from xframe.translate.names import Bound
from xframe.translate.parsing import Name
from xframe.translate.written import NothingExactError, called

NAME = "ReduceLROnPlateau"
_REASONS = (
    "ReduceLROnPlateau follows a metric of each epoch, which no rule of updates knows; the metrics of two frameworks "
    "agree only to rounding, and a rounding decides.",
    "Keras reduces after patience epochs without improvement, PyTorch after one more.",
    "Keras' min_delta is an absolute difference, PyTorch's threshold relative unless threshold_mode='abs'.",
    "Of a cooldown's last epoch Keras counts that it brought nothing, PyTorch does not.",
    "Keras is a callback of fit; PyTorch's step(metric) is called once an epoch, after validation.",
)


def refuse(call: Bound, target: str) -> None:
    """Says why nothing is the same, and what comes closest.

    Raises:
        NothingExactError: always.
    """
    keras = call.framework == "keras"
    patience = max(call["patience"] - 1, 0) if keras and target == "torch" else call["patience"]
    words = {"factor": call["factor"], "patience": patience, "cooldown": call["cooldown"], "min_lr": call["min_lr"]}
    if target == "optax":
        del words["min_lr"]
        absolute = keras or call["threshold_mode"] == "abs"
        least = call["min_delta" if keras else "threshold"]
        words |= {"rtol": 0.0 if absolute else least, "atol": least if absolute else 0.0}
        raise NothingExactError(*_REASONS[:1], closest=called("optax.contrib.reduce_on_plateau", **words))
    if keras:
        most = call["mode"] == "max" or (call["mode"] == "auto" and "acc" in call["monitor"])
        words |= {"mode": "max" if most else "min", "threshold": call["min_delta"], "threshold_mode": "abs", "eps": 0.0}
        closest = called(f"torch.optim.lr_scheduler.{NAME}", Name("optimizer"), **words)
    else:
        words |= {"monitor": "val_loss", "mode": call["mode"], "min_delta": call["threshold"]}
        closest = called(f"keras.callbacks.{NAME}", **words | {"patience": patience + 1})
    raise NothingExactError(*_REASONS, closest=closest)

"""Both rates, update by update, in float64."""

import re

import numpy as np

from translations.optimizers import Torch, exact

UPDATES = 120


def rates(framework, code, setup, first, count):
    """The rates of the first updates."""
    if framework == "torch":
        if "optimizer" in code and first is not None:
            code = code.replace("(optimizer", f"(torch.optim.SGD(params, lr={first})", 1)
        run, found = Torch(code, setup), []
        for _ in range(count):
            found.append(run.rate())
            run.update([np.zeros_like(each) for each in run.values()])
        return found
    names = {"numpy": np}
    if framework == "keras":
        import keras

        keras.config.set_floatx("float64")
        names["keras"] = keras
        exec(exact("\n".join(setup), "exec"), names)
        schedule = eval(exact(code, "eval"), names)
        if isinstance(schedule, float):
            return [schedule] * count
        return [float(schedule(keras.ops.convert_to_tensor(t, dtype="int64"))) for t in range(count)]
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    names["optax"] = optax
    exec("\n".join(setup), names)
    schedule = eval(code, names)
    return [float(schedule(jax.numpy.asarray(t))) for t in range(count)]


def judge(translation, written):
    """The greatest difference relative to the greatest rate, in eps. A remark may end the range."""
    remarks = " ".join(written.notes)
    end = re.search(r"The same up to update (\d+)", remarks)
    first = re.search(r"optimizer with lr=([-\d.e]+),", remarks)
    count = int(end[1]) + 1 if end else UPDATES
    expected = np.array(rates(translation.framework, translation.source, (), None, count))
    candidate = np.array(rates(translation.target, written.code, written.setup, first and first[1], count))
    return float(np.abs(expected - candidate).max() / np.abs(expected).max() / np.finfo(np.float64).eps)

"""The signatures of what is installed, in the form of xframe/translate/signatures, and compared with what is there.

``python -m translations.installed NAME ...`` prints those of names, as for a newer framework.
"""

import importlib
import importlib.metadata
import inspect
import sys
from pathlib import Path

import xframe.translate
from xframe.translate.names import FRAMEWORKS, versions

_COMMON = (  # of every Keras optimizer
    "clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, "
    "ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None"
)
_UNSEEN = {  # whose own signature is (*args, **kwargs); from the framework's documentation
    "torch.nn.LSTM": "input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, "
    "bidirectional=False, proj_size=0, device=None, dtype=None",
    "torch.nn.GRU": "input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, "
    "bidirectional=False, device=None, dtype=None",
    "torch.nn.RNN": "input_size, hidden_size, num_layers=1, nonlinearity='tanh', bias=True, batch_first=False, "
    "dropout=0.0, bidirectional=False, device=None, dtype=None",
    "torch.nn.Sigmoid": "",
    "torch.nn.Tanh": "",
    "torch.nn.Softsign": "",
    "torch.nn.Identity": "",
}


def line(name):
    """The signature of what has that dotted name, on one line."""
    module, _, leaf = name.rpartition(".")
    function = getattr(importlib.import_module(module), leaf)
    if name in _UNSEEN:
        return f"{name}({_UNSEEN[name]})"
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = [each.replace(annotation=each.empty) for each in inspect.signature(function).parameters.values()]
    parameters = [each for each in parameters if each.kind not in kinds]
    simple = (int, float, str, bool, type(None), tuple)
    parameters = [
        each if each.default is each.empty or isinstance(each.default, simple) else each.replace(default=None)
        for each in parameters
    ]
    text = str(inspect.Signature(parameters))
    return name + text.replace(_COMMON, "<common>")


def compare():
    """The frameworks that are installed in the version that the texts are of, and the lines that differ."""
    compared, differ = [], []
    for framework in FRAMEWORKS:
        try:
            version = importlib.metadata.version(framework)
        except importlib.metadata.PackageNotFoundError:
            continue
        if version.partition("+")[0].startswith(versions()[framework]):
            compared.append(framework)
            text = (Path(xframe.translate.__file__).parent / "signatures" / f"{framework}.txt").read_text()
            written = text.splitlines()[1:]
            differ += [each for each in written if line(each.partition("(")[0]) != each]
    return compared, differ


if __name__ == "__main__":
    print("\n".join(line(name) for name in sys.argv[1:]))

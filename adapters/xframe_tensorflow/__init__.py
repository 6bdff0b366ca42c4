"""The TensorFlow adapter: tf.data, tf.function with GradientTape, Keras. Importing it does not import TensorFlow.

Its files are named as those of ``xframe_numpy``, which says what each is for. ``optim`` are optimizers for anyone's
scripts, which need nothing of xframe.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe_tensorflow.adapter import TensorflowAdapter

__all__ = ["TensorflowAdapter"]


def __getattr__(name: str) -> Any:
    if name == "TensorflowAdapter":
        from xframe_tensorflow import adapter

        return adapter.TensorflowAdapter
    raise AttributeError(f"module 'xframe_tensorflow' has no attribute {name!r}")

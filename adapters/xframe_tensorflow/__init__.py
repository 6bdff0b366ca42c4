"""The TensorFlow adapter: tf.data, tf.function with GradientTape, Keras. Importing it does not import TensorFlow.

Its files are named as those of ``xframe_numpy``, which says what each is for.
"""

from xframe_tensorflow.adapter import TensorflowAdapter

__all__ = ["TensorflowAdapter"]

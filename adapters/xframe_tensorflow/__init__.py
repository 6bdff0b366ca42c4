"""The TensorFlow adapter: tf.data, tf.function with GradientTape, Keras. Importing it does not import TensorFlow."""

from xframe_tensorflow.adapter import TensorflowAdapter

__all__ = ["TensorflowAdapter"]

"""The TensorFlow adapter: tf.data, tf.function with GradientTape, a Keras optimizer. Importing it does not import TensorFlow."""

from xframe_tensorflow.adapter import TensorflowAdapter

__all__ = ["TensorflowAdapter"]

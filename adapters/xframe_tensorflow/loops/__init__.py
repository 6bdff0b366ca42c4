"""TensorFlow's native training loops: a call a step (function, xla), many steps a call (block), Keras' own (fit)."""

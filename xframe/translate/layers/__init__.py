"""Layers: those of Keras as modules of PyTorch, and the other way; a whole model where it is one after the other.

Keras has channels last, PyTorch behind the samples. A layer has the same outputs for the same weights, which are laid
out as ``xframe.layers`` says; how it begins is another matter, so weights are copied.

Its files:

    common.py     what both directions use: activations, padding, the sentences that come up
    to_torch.py   Keras' layers as modules
    to_keras.py   modules as Keras' layers
    shapes.py     the shape of what a layer gives, as far as a sequence shows it
    models.py     ``model.get_config()`` as JSON, and a printed torch.nn.Sequential
"""

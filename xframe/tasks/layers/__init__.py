"""Neutral layers: what each computes, and the canonical names, layouts and shapes of its weights.

A task's model is a tuple of them, and each adapter lowers it to native layers. Arrays between layers
are as in the data, channels last: (rows, features), (rows, T, features) or (rows, H, W, channels).
Shapes here are those of one sample. A weight is named ``<kind>_<i>/<weight>``, where the kind is the
layer's class in lower case and i counts the layers of that kind from 0: ``dense_0/kernel``.

What a layer states of its weights is all that binds them: initial values are the task's, and the
formula is the same in all frameworks, down to which variance a running one is. Where frameworks differ a field chooses
between them, with both settings lowered by all: ``padding`` by a word is Keras', by a number torch's. A weight is one
native tensor everywhere, so that what a rule does to a tensor as a whole, such as clipping its norm, is the same.

Its files:

    layer.py          what all layers have, and how a model's are placed one after the other
    dense.py          products and tables: Dense, Embedding, Position; Flatten
    activations.py    Activation, and those with a setting or weights
    convolution.py    convolutions, transposed ones too, and Upsample2D; window.py: strides and padding
    pooling.py        the greatest or the mean of windows, or of a whole image
    norms.py, dropout.py, recurrent.py, attention.py

A new layer is a class here, in ``KINDS``, and for each adapter a function in ``LOWER`` of the file of the same
name in its ``layers``.
"""

from xframe.tasks.layers.activations import ELU, Activation, LeakyReLU, PReLU
from xframe.tasks.layers.attention import TransformerBlock
from xframe.tasks.layers.convolution import Conv1D, Conv2D, ConvTranspose2D, DepthwiseConv2D, Upsample2D
from xframe.tasks.layers.dense import Dense, Embedding, Flatten, Position
from xframe.tasks.layers.dropout import Dropout
from xframe.tasks.layers.layer import Layer
from xframe.tasks.layers.layer import Placed as Placed
from xframe.tasks.layers.layer import Shape as Shape
from xframe.tasks.layers.layer import place as place
from xframe.tasks.layers.norms import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from xframe.tasks.layers.pooling import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from xframe.tasks.layers.recurrent import GRU, LSTM, SimpleRNN

KINDS: tuple[type[Layer], ...] = (
    *(Dense, Activation, Flatten, Conv2D, MaxPool2D, AveragePool2D, BatchNorm, LayerNorm, Embedding, Position, LSTM),
    *(TransformerBlock, GRU, SimpleRNN, Conv1D, DepthwiseConv2D, ConvTranspose2D, GlobalAveragePool2D, Upsample2D),
    *(LeakyReLU, ELU, PReLU, Dropout, GroupNorm, RMSNorm),
)

__all__ = [  # what ``xframe.layers`` has
    "ELU",
    "GRU",
    "LSTM",
    "Activation",
    "AveragePool2D",
    "BatchNorm",
    "Conv1D",
    "Conv2D",
    "ConvTranspose2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePool2D",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool2D",
    "PReLU",
    "Position",
    "RMSNorm",
    "SimpleRNN",
    "TransformerBlock",
    "Upsample2D",
]

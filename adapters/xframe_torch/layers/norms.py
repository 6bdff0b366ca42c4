"""Normalisation, by the statistics of a batch or of each sample."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe_torch.layers.layer import Lowered, Lowering, Series, empty


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """torch's own, but the running variance is that of the batches, divided by N, where torch's is by N − 1."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's name
        pass  # of the shapes that place() lets through

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_var is not None
        assert self.momentum is not None
        before, estimate = self.running_var, self.running_var.clone()
        outputs = functional.batch_norm(
            x, self.running_mean, estimate, self.weight, self.bias, True, self.momentum, self.eps
        )
        # The estimate is now (1 − m)·before + m·v·n/(n − 1), and the running variance is to be (1 − m)·before + m·v.
        n = x.numel() // self.num_features
        before.mul_((1 - self.momentum) / n).add_(estimate, alpha=(n - 1) / n)
        return outputs


def _batch_norm(layer: layers.BatchNorm, inputs: Shape) -> Lowered:
    norm = empty(_BatchNorm, inputs[-1], eps=layer.epsilon, momentum=1 - layer.momentum)
    norm.num_batches_tracked.zero_()
    weights = {"scale": norm.weight, "bias": norm.bias, "mean": norm.running_mean, "variance": norm.running_var}
    return norm, {name: Parameter(tensor) for name, tensor in weights.items()}


def _layer_norm(layer: layers.LayerNorm, inputs: Shape) -> Lowered:
    norm = empty(nn.LayerNorm, inputs[-1], eps=layer.epsilon)
    return norm, {"scale": Parameter(norm.weight), "bias": Parameter(norm.bias)}


def _group_norm(layer: layers.GroupNorm, inputs: Shape) -> Lowered:
    norm = empty(nn.GroupNorm, layer.groups, inputs[-1], eps=layer.epsilon)
    weights = {"scale": Parameter(norm.weight), "bias": Parameter(norm.bias)}
    return norm if len(inputs) == 3 else Series(norm), weights


def _rms_norm(layer: layers.RMSNorm, inputs: Shape) -> Lowered:
    norm = empty(nn.RMSNorm, inputs[-1], eps=layer.epsilon)
    return norm, {"scale": Parameter(norm.weight)}


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.GroupNorm: _group_norm,
    layers.RMSNorm: _rms_norm,
}

"""Attention."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe_torch.layers.layer import TRANSPOSED, Lowered, Lowering, empty


class _Block(nn.Module):
    """A pre-norm transformer block over ``scaled_dot_product_attention``."""

    def __init__(self, layer: layers.TransformerBlock, units: int) -> None:
        super().__init__()
        self.heads = layer.heads
        self.norm_1, self.norm_2 = (empty(nn.LayerNorm, units, eps=layer.epsilon) for _ in range(2))
        self.query, self.key, self.value, self.output = (empty(nn.Linear, units, units, bias=False) for _ in range(4))
        self.up, self.down = empty(nn.Linear, units, layer.hidden), empty(nn.Linear, layer.hidden, units)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm_1(x)
        query, key, value = (
            product(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (rows, heads, T, units / heads)
            for product in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).flatten(-2))
        outputs: Tensor = x + self.down(functional.silu(self.up(self.norm_2(x))))
        return outputs


def _transformer_block(layer: layers.TransformerBlock, inputs: Shape) -> Lowered:
    block, weights = _Block(layer, inputs[-1]), dict[str, Parameter]()
    for name in ("norm_1", "norm_2"):
        norm = getattr(block, name)
        weights |= {f"{name}_scale": Parameter(norm.weight), f"{name}_bias": Parameter(norm.bias)}
    for name in ("query", "key", "value", "output", "up", "down"):
        weights[name] = Parameter(getattr(block, name).weight, TRANSPOSED)
    for name in ("up", "down"):
        weights[f"{name}_bias"] = Parameter(getattr(block, name).bias)
    return block, weights


LOWER: dict[type[layers.Layer], Lowering] = {layers.TransformerBlock: _transformer_block}

"""What conversion promises, written independently of it: the float model itself, every product quantised.

The float model runs under a mode that takes its products in the order in which they come, rounds their
operands with the scales of the converted layers, and multiplies in float64, which is exact here.
"""

import re

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slipstick.model.conversion.batch import forward, logits
from slipstick.model.layers.attention import ApproxAttention
from slipstick.model.layers.matmul import ApproxMatmul
from slipstick.model.layers.mixed import MixedWeights
from slipstick.model.layers.table_layer import TableLayer
from slipstick.model.layers.weights import WeightLayer


def codes(values, scale, limit=127, low=None):
    return torch.round(values / scale).clamp(-limit if low is None else low, limit).double()


def layers_in_order(model, batch) -> list[TableLayer]:
    """The converted layers as one forward pass runs them."""
    order = []
    layers = [layer for layer in model.modules() if isinstance(layer, TableLayer)]
    for layer in layers:
        layer.recorder = lambda path, which, *_: order.append(which)
    forward(model, batch)
    for layer in layers:
        layer.recorder = None
    return order


class Quantised(TorchFunctionMode):
    """Quantise every product of a float model as the layers of its converted twin say."""

    def __init__(self, model, batch, weight_limit=127) -> None:
        super().__init__()
        self.layers, self.weight_limit = layers_in_order(model, batch), weight_limit
        whole = [module for module in model.modules() if isinstance(module, ApproxAttention)]
        self.requantised = {id(layer) for a in whole if a.integer_operands for layer in (a.qkv, a.av)}

    def take(self, kind) -> TableLayer:
        assert self.layers, "the float model makes more products than the converted one"
        layer = self.layers.pop(0)
        assert isinstance(layer, kind), f"{layer.path} is not the layer of this product"
        return layer

    def scaled(self, layer, sums, scale):
        if id(layer) in self.requantised:  # integers go on to the next product
            return torch.from_numpy(layer.requant()(sums.numpy())).float() * layer.output_scale
        return sums.float() * scale

    def weighted(self, layer, weight, bias, multiply):
        """A product with a weight: ``multiply`` takes the weight codes and gives the sums, channels last."""
        scale = weight.flatten(1).abs().amax(1) / self.weight_limit
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        scale = scale * layer.weight_clip
        shaped = scale.view(-1, *[1] * (weight.ndim - 1))
        sums, product_scale = multiply(codes(weight, shaped, self.weight_limit)), layer.activation_scale * scale
        if bias is not None and layer.bias is not None:
            sums = sums + torch.round(bias.double() / product_scale.double())
        result = self.scaled(layer, sums, product_scale)
        return result + bias if bias is not None and layer.bias is None else result

    def activations(self, layer, values):
        return codes(values, layer.activation_scale, layer.high, layer.low)

    def linear(self, values, weight, bias=None):
        parts, start = [], 0
        while start < len(weight):  # a fused projection is several layers
            layer = self.take(WeightLayer)
            rows = slice(start, start + len(layer.weight))
            own = None if bias is None else bias[rows]
            left = self.activations(layer, values)
            parts.append(self.weighted(layer, weight[rows], own, lambda w, left=left: left @ w.T))
            start = rows.stop
        return torch.cat(parts, -1)

    def conv2d(self, values, weight, bias=None, *geometry):
        layer = self.take(WeightLayer)
        left = self.activations(layer, values)
        result = self.weighted(layer, weight, bias, lambda w: F.conv2d(left, w, None, *geometry).movedim(1, -1))
        return result.movedim(-1, 1)

    def matmul(self, left, right):
        layer = self.take(ApproxMatmul)
        sums = self.activations(layer, left) @ codes(
            right, layer.stationary_scale, layer.stationary_high, layer.stationary_low
        )
        return self.scaled(layer, sums, layer.product_scale())

    def attention(self, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_):
        weights = self.matmul(q, k.transpose(-2, -1)) * (scale or q.shape[-1] ** -0.5)
        if attn_mask is not None:
            weights = torch.where(attn_mask, weights, float("-inf")) if attn_mask.dtype == torch.bool else (
                weights + attn_mask
            )  # fmt: skip
        return self.matmul(weights.softmax(-1), v)

    def multi_head(
        self, query, key, value, width, heads, in_weight, in_bias, bias_k, bias_v, zero, dropout, out_weight, out_bias,
        *, key_padding_mask=None, attn_mask=None, **_,
    ):  # fmt: skip
        assert query is key is value and attn_mask is None and bias_k is None
        tokens, batch, _ = query.shape
        split = self.linear(query, in_weight, in_bias).view(tokens, batch, 3, heads, width // heads)
        q, k, v = split.permute(2, 1, 3, 0, 4)
        mixed = self.attention(q, k, v, attn_mask=key_padding_mask[:, None, None])
        return self.linear(mixed.permute(2, 0, 1, 3).flatten(2), out_weight, out_bias), None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        answers = {
            F.linear: self.linear, F.conv2d: self.conv2d, torch.matmul: self.matmul, torch.Tensor.matmul: self.matmul,
            F.scaled_dot_product_attention: self.attention, F.multi_head_attention_forward: self.multi_head,
        }  # fmt: skip
        return answers.get(func, func)(*args, **kwargs)


def quantised_reference(float_model, converted, batch, weight_limit=127):
    """Logits of the float model with every product quantised; fails unless the products match one to one."""
    mode = Quantised(converted, batch, weight_limit)
    with mode:
        result = logits(forward(float_model, batch))
    assert not mode.layers, f"the float model has no product for {[layer.path for layer in mode.layers]}"
    return result


PRODUCT = re.compile(
    r"(^|_)(mm|bmm|addmm|baddbmm|addbmm|mv|addmv|dot|vdot|linear|matmul|einsum|conv\w*)(_|$)"
    r"|scaled_dot|multi_head|encoder_layer|trilinear|cdist|rnn|lstm|gru"
)


class FloatProducts(TorchDispatchMode):
    """Names of ATen operators that multiply float tensors, outside the exact arithmetic of the cells."""

    def __init__(self, monkeypatch) -> None:
        super().__init__()
        self.seen, self.inside = [], 0
        for name in ("__init__", "matmul"):
            monkeypatch.setattr(MixedWeights, name, self.counted(getattr(MixedWeights, name)))

    def counted(self, method):
        def call(*args, **kwargs):
            self.inside += 1
            try:
                return method(*args, **kwargs)
            finally:
                self.inside -= 1

        return call

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        floats = any(isinstance(x, torch.Tensor) and x.is_floating_point() for x in tree_leaves(args))
        if not self.inside and floats and PRODUCT.search(name):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def float_products(model: nn.Module, batch, monkeypatch) -> list[str]:
    """The float products that one forward pass makes."""
    with monkeypatch.context() as patch, FloatProducts(patch) as mode:
        forward(model, batch)
    return mode.seen

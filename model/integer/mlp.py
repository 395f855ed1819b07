"""MLPs between codes: two products and an activation function, or look-up tables and a conditional sum."""

import copy
from typing import Any

import torch
from timm.layers.mlp import Mlp
from torch import Tensor

from slipstick.rtl.spec.lutnet import LutNetConstants, LutNetSpec

from ..layers.derived import Derived
from ..layers.linear import ApproxLinear
from ..weightless.export import to_spec
from ..weightless.mlp import TOKENS, WeightlessMlp
from .codes import Codes, straight_through
from .products import accumulate


class IntegerMlp(Mlp):
    """A timm MLP on cells whose activation function is a ``PwlActivation``; made by changing the class."""

    fc1: Any  # on cells by now, which torch cannot type
    fc2: Any
    act: Any

    @property
    def input_scale(self) -> Tensor:
        """Of the int8 codes that it takes, float []."""
        assert isinstance(self.fc1, ApproxLinear)
        return self.fc1.activation_scale

    def forward(self, x: Codes) -> Codes:
        """int8 codes [B, T, D] -> accumulators of the second product [B, T, D]."""
        hidden = accumulate(self.fc1, x)
        return accumulate(self.fc2, self.act(hidden, self.fc2.activation_scale))


class IntegerWeightlessMlp(WeightlessMlp):
    """A weightless MLP as ``rtl.spec.lutnet``, its mappings fixed; made by ``take_over_``."""

    integers: Derived[tuple[LutNetSpec, LutNetConstants, Tensor]]

    @classmethod
    def take_over_(cls, mlp: WeightlessMlp) -> None:
        """Turn a float one, in place, into an integer one."""
        mlp.fix_mapping_()
        mlp.__class__ = cls
        assert isinstance(mlp, IntegerWeightlessMlp)
        mlp.integers = Derived()

    @property
    def input_scale(self) -> Tensor:
        """Of the int8 codes that it takes, float []."""
        return self.thermometer.scale

    def spec(self) -> tuple[LutNetSpec, LutNetConstants, Tensor]:
        """The contract that the tables, thresholds and entries of now make, its integers, and the outputs' scale."""
        return self.integers(self._make, *self.parameters(), *self.buffers())

    def _make(self) -> tuple[LutNetSpec, LutNetConstants, Tensor]:
        binary = copy.deepcopy(self)
        binary.binarise_()
        spec, scale = to_spec(binary), self.sum.scale
        return spec, spec.constants(lambda array: torch.from_numpy(array).to(scale.device)), scale

    def forward(self, x: Codes) -> Codes:  # type: ignore[override]  # codes, not floats
        """int8 codes [B, T, D] -> accumulators int32 [B, T, D']."""
        if x.values is None:
            spec, constants, scale = self.spec()
            parts = x.codes.flatten(0, -2).split(TOKENS)
            sums = torch.cat([spec(part, constants) for part in parts])
            return Codes(sums.int().unflatten(0, x.codes.shape[:-1]), scale)
        values, scale = super().forward(x.values), self.sum.scale
        return straight_through(values, (values.detach() / scale).round().int(), scale)

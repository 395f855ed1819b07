"""``nn.Linear`` on multiplier cells."""

import torch.nn.functional as F
from torch import Tensor, nn

from .weights import WeightLayer


class ApproxLinear(WeightLayer):
    """``nn.Linear`` on multiplier cells."""

    @classmethod
    def from_float(cls, layer: nn.Linear) -> "ApproxLinear":
        """Take over weight and bias of a Linear."""
        return cls(layer.weight, layer.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Rows [..., K] -> [..., N]."""
        if not self.observing:
            return self.run(values)
        result = F.linear(values, self.weight, self.bias)
        self.seen += values.numel() // values.shape[-1]
        self.observe(self.input_observer, values, "input")
        self.observe(self.output_observer, result, "output")
        return result

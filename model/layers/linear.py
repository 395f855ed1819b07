"""``nn.Linear`` on multiplier cells."""

import torch.nn.functional as F
from torch import Tensor, nn

from .mixin import change_class_
from .weights import WeightLayer


class ApproxLinear(WeightLayer):
    """``nn.Linear`` on multiplier cells."""

    @classmethod
    def take_over_(cls, layer: nn.Linear) -> "ApproxLinear":
        """Turn a Linear, in place, into one on cells."""
        changed = change_class_(layer, cls)
        changed.begin()
        return changed

    def forward(self, values: Tensor) -> Tensor:
        """Rows [..., K] -> [..., N]."""
        if values.ndim == 1:
            return self.forward(values[None])[0]
        if not self.observing:
            return self.run(values.float()).to(values.dtype)
        result = F.linear(values, self.weight, self.bias)
        self.count_rows(values.shape[:-1].numel())
        self.observe(self.input_observer, values, "input")
        self.observe(self.output_observer, result, "output")
        self.keep(values, self.weight)
        return result

    def float_product(self, values: Tensor, held: Tensor) -> Tensor:
        """Rows [..., K] and weights [N, K] -> [..., N]."""
        return F.linear(values, held)

"""The tokens that reach weightless MLPs, as the codes that their hardware gets, beside what the MLPs give."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from slipstick.rtl.spec.lutnet import LutNetSpec

from .replace import recording, weightless_mlps
from .thermometer import feature_codes


@dataclass(frozen=True)
class Tokens:
    """Tokens of one MLP in the order of the images: ``codes`` int64 [M, D], ``outputs`` float32 [M, D']."""

    codes: np.ndarray
    outputs: np.ndarray

    def differences(self, spec: LutNetSpec) -> int:
        """How many outputs are not the spec's accumulators times its scale, to the last bit."""
        return int((spec(self.codes).astype(np.float32) * np.float32(spec.output_scale) != self.outputs).sum())


@torch.no_grad()
def record_tokens(model: nn.Module, inputs: Tensor) -> dict[str, Tokens]:
    """Tokens of every weightless MLP by its name, while the model runs once on ``inputs`` [N, 3, H, W]."""
    model.eval()
    mlps = weightless_mlps(model)
    with ExitStack() as stack:
        seen = {name: stack.enter_context(recording(mlp)) for name, mlp in mlps.items()}
        model(inputs)
    found = {}
    for name, ((got, gave),) in seen.items():
        codes = feature_codes(got, mlps[name].thermometer.scale)
        found[name] = Tokens(codes.to(torch.int64).cpu().numpy(), gave.cpu().numpy())
    return found

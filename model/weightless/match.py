"""Teach a weightless MLP to do what the MLP in its place does, on recorded activations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from slipstick.limits import COUNT, POSITIVE, SEED, STEPS, Limits, check_fields

from .mlp import SOLVED, WeightlessMlp
from .sum import solve

WARMUP = 0.1


@dataclass(frozen=True)
class MatchConfig:
    """``steps`` of Adam on batches of ``tokens``; ``rate`` for tables and scores, a tenth of it for thresholds.

    Raises UserError for values out of range.
    """

    limits: ClassVar[dict[str, Limits]] = {"steps": STEPS, "tokens": COUNT, "rate": POSITIVE, "seed": SEED}
    steps: int = 200
    tokens: int = 2048
    rate: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, self.limits, "matching {}".format)


def explained(mlp: WeightlessMlp, inputs: Tensor, outputs: Tensor) -> float:
    """Share of the variance of ``outputs`` [M, D'] that the weightless MLP explains; 1 is a perfect match."""
    with torch.no_grad():
        return 1 - float((mlp(inputs) - outputs).square().sum() / (outputs - outputs.mean(0)).square().sum())


def match_(
    mlp: WeightlessMlp, inputs: Tensor, outputs: Tensor, config: MatchConfig,
    report: Callable[[dict[str, float]], None] = lambda record: None,
) -> None:  # fmt: skip
    """Train on pairs ``inputs`` [M, D], ``outputs`` [M, D'], then solve entries that learn for what the bits became.

    The loss is the squared error over the outputs' mean square. The same seed and data give the same result.
    """
    tables = [layer.tables for _, layer in mlp.stages()] + list(mlp.mappings.parameters())
    unit = float(mlp.sum.entries.detach().std())  # entries are in the unit of the outputs, tables have none
    thresholds = [p for p in mlp.thermometer.parameters() if p.requires_grad]
    entries = [p for p in mlp.sum.parameters() if p.requires_grad]
    groups = [(tables, 1.0), (entries, unit), (thresholds, 0.1)]
    optimiser = torch.optim.Adam([{"params": part, "factor": factor} for part, factor in groups if part])
    size = outputs.square().mean()
    mlp.train()
    for step in range(config.steps):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        index = torch.randint(len(inputs), (config.tokens,), generator=generator).to(inputs.device)
        fraction = (step + 1) / config.steps
        for group in optimiser.param_groups:
            group["lr"] = config.rate * group["factor"] * min(fraction / WARMUP, 1 - fraction + 1 / config.steps)
        loss = F.mse_loss(mlp(inputs[index]), outputs[index]) / size
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        report({"step": step + 1, "loss": loss.item()})
    mlp.eval()
    if not entries:
        return
    with torch.no_grad():
        mlp.sum.entries.copy_(solve(mlp.bits(inputs[:SOLVED]).codes, outputs[:SOLVED]))

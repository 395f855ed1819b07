"""A block's MLP without multiplications: thermometer, look-up tables, conditional summation."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.limits import SEED, Limits, check_fields

from .bits import Bits
from .lut import LutLayer, check_arity
from .mapping import SAMPLED, FixedMapping, LearnableMapping, check_reach, random_index
from .sum import ENTRY_WIDTH, SUMS, ConditionalSum, group_entries, solve
from .thermometer import RULES, SURROGATES, THRESHOLDS, Thermometer

MAPPINGS = ("random", "learnable", "sampled")
TOKENS = 2048  # that are computed at a time: what lies between the layers is large
SOLVED = 16384  # tokens that the first entries are solved on


@dataclass(frozen=True)
class WeightlessConfig:
    """What a weightless MLP is made of.

    ``thresholds`` of a feature, placed by ``rule``, learnt or not, with a gradient of kind ``surrogate``;
    ``luts`` tables of ``arity`` inputs in each layer; ``mapping`` of the first layer: ``random``, ``learnable``,
    or ``sampled``, which learns at a fraction of the cost; ``entry_width`` bits of an entry of the ``sum``, which is
    ``conditional``, or ``group``: every output counts the bits of a group of its own, half of them with a minus.
    Raises UserError for values out of range.
    """

    limits: ClassVar[dict[str, Limits]] = {"thresholds": THRESHOLDS, "entry_width": ENTRY_WIDTH, "seed": SEED}
    thresholds: int = 8
    rule: str = "distributive"
    learnt: bool = True
    surrogate: str = "window"
    luts: tuple[int, ...] = (512, 512)
    arity: int = 6
    mapping: str = "random"
    entry_width: int = 8
    sum: str = "conditional"
    seed: int = 0

    def __post_init__(self) -> None:
        check_arity(self.arity)
        check_fields(self, self.limits, "weightless {}".format)
        for name, value, known in (
            ("rule", self.rule, tuple(RULES)), ("surrogate", self.surrogate, SURROGATES),
            ("mapping", self.mapping, MAPPINGS), ("sum", self.sum, SUMS),
        ):  # fmt: skip
            if value not in known:
                raise UserError(f"weightless {name} {value!r} is none of {', '.join(known)}")
        if not self.luts or min(self.luts) < 1:
            raise UserError(f"weightless layers of {self.luts} tables; give one positive number a layer")
        for before, after in pairwise(self.luts):
            check_reach(before, after * self.arity)


class WeightlessMlp(nn.Module):
    """Takes the place of an MLP on D features; every number it gives is that of its integers, times a scale.

    ``inputs`` [M, D] and ``outputs`` [M, D'] are what the MLP in its place got and gave: thresholds and the
    scale of the int8 input codes follow the inputs, and the entries of the sum are solved for the outputs.
    Raises UserError when the tables have too few inputs for the bits.
    """

    def __init__(self, config: WeightlessConfig, inputs: Tensor, outputs: Tensor) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(config.seed)
        bits = inputs.shape[1] * config.thresholds
        scale = float(inputs.abs().max()) / 127
        self.thermometer = Thermometer(inputs, config.thresholds, scale, config.rule, config.learnt, config.surrogate)
        self.mappings, self.layers = nn.ModuleList(), nn.ModuleList()
        for place, count in enumerate(config.luts):
            slots = count * config.arity
            if place or config.mapping == "random":
                mapping: nn.Module = FixedMapping(random_index(bits, slots, generator))
            else:
                mapping = LearnableMapping(bits, slots, SAMPLED if config.mapping == "sampled" else None, generator)
            self.mappings.append(mapping)
            self.layers.append(LutLayer(count, config.arity, generator))
            bits = count
        self.to(inputs.device)
        if config.sum == "group":
            self.sum = ConditionalSum(group_entries(bits, outputs), config.entry_width, learnt=False)
            return
        with torch.no_grad():
            fired = self.bits(inputs[:SOLVED]).codes
        self.sum = ConditionalSum(solve(fired, outputs[:SOLVED]), config.entry_width)

    def stages(self) -> Iterator[tuple[FixedMapping | LearnableMapping, LutLayer]]:
        """Every layer of tables, with the mapping before it."""
        for mapping, layer in zip(self.mappings, self.layers, strict=True):
            assert isinstance(mapping, FixedMapping | LearnableMapping) and isinstance(layer, LutLayer)
            yield mapping, layer

    def bits(self, x: Tensor) -> Bits:
        """Features float [M, D] -> bits of the last layer."""
        bits = self.thermometer(x)
        for mapping, layer in self.stages():
            fixed = isinstance(mapping, FixedMapping)
            bits = layer(bits, mapping.chosen()) if fixed else layer(mapping(bits))  # the first takes less memory
        return bits

    def forward(self, x: Tensor) -> Tensor:
        """Features float [..., D] -> float [..., D']."""
        parts = x.reshape(-1, x.shape[-1]).split(TOKENS)
        return torch.cat([self.sum(self.bits(part)) for part in parts]).view(*x.shape[:-1], -1)

    def binarise_(self) -> None:
        """Keep what hardware has: fixed mappings, and tables of -1 and 1, which give the same numbers as before."""
        self.fix_mapping_()
        with torch.no_grad():
            for _, layer in self.stages():
                layer.tables.copy_(layer.binary() * 2.0 - 1)

    def fix_mapping_(self) -> None:
        """Keep the bits that learnt scores chose, and drop the scores."""
        for place, (mapping, _) in enumerate(self.stages()):
            self.mappings[place] = FixedMapping(mapping.chosen())

    def learn_mapping_(self) -> None:
        """Let the first mapping learn again, from random scores, if it learnt before it was fixed."""
        if self.config.mapping != "random" and isinstance(self.mappings[0], FixedMapping):
            bits, slots = self.thermometer.thresholds.numel(), len(self.mappings[0].index)
            self.mappings[0] = LearnableMapping(bits, slots, SAMPLED if self.config.mapping == "sampled" else None)

"""Weightless MLP: thermometer comparators, layers of look-up tables, conditional summation (QuWeiT, DWN).

Nothing is multiplied: a bit that is 1 adds its row of entries to the D accumulators, one that is 0 does not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstick.errors import UserError

from .fixed import Requant
from .residual import ResidualSpec
from .widths import signed_width

ARITIES = range(2, 7)
CODE_RANGE = (-128, 127)
ENTRY_WIDTHS = range(2, 17)


@dataclass(frozen=True, eq=False)
class LutLayerSpec:
    """N tables of n inputs: ``mapping`` int64 [N, n] of bits of the layer before, ``tables`` uint8 [N, 2^n] of 0, 1.

    Input l of a table has weight 2^l in its address. Raises UserError for another number of inputs than
    ARITIES, and tables that are not binary.
    """

    mapping: np.ndarray
    tables: np.ndarray

    def __post_init__(self) -> None:
        if self.mapping.ndim != 2 or self.arity not in ARITIES:
            raise UserError(f"look-up tables: mapping of shape {self.mapping.shape}; tables have "
                            f"{ARITIES[0]} to {ARITIES[-1]} inputs")  # fmt: skip
        if self.tables.shape != (len(self.mapping), 1 << self.arity):
            raise UserError(f"look-up tables: {len(self.mapping)} tables of {self.arity} inputs cannot have "
                            f"the shape {self.tables.shape}")  # fmt: skip
        if self.tables.dtype != np.uint8 or (self.tables > 1).any():
            raise UserError("look-up tables are not binary: uint8 entries of 0 and 1 are needed")
        if (self.mapping < 0).any():
            raise UserError("look-up tables: the mapping names a negative bit")

    @property
    def arity(self) -> int:
        """n, the inputs of a table."""
        return self.mapping.shape[1]

    @property
    def fan_outs(self) -> np.ndarray:
        """How many inputs of tables every bit before drives, int64 [up to the highest bit used]."""
        return np.bincount(self.mapping.ravel())

    def __call__(self, bits: Any, constants: "LayerConstants") -> Any:
        """Bits [..., B] -> bits [..., N]; bool or whole numbers."""
        address = (bits[..., constants.mapping] * constants.weights).sum(-1)
        return constants.tables[constants.rows, address]


@dataclass(frozen=True)
class LayerConstants:
    """Integers of a layer in the array library at hand; ``weights`` [n] are 2^l, ``rows`` [N] are 0 to N - 1."""

    mapping: Any
    tables: Any
    weights: Any
    rows: Any


@dataclass(frozen=True)
class LutNetConstants:
    """Integers of a whole block in the array library at hand."""

    thresholds: Any
    layers: tuple[LayerConstants, ...]
    entries: Any


@dataclass(frozen=True, eq=False)
class LutNetSpec:
    """A block that turns D int8 codes into D' accumulators.

    Bit d * T + t is ``code[d] > thresholds[d, t]``; ``thresholds`` int64 [D, T] lie in CODE_RANGE and ascend. Bits go
    through ``layers``; accumulator d is the sum of ``entries[i, d]`` over the bits i of the last layer that are
    1; ``entries`` int64 [N, D'] are signed and have ``entry_width`` bits. A code stands for ``input_scale``, an
    accumulator for ``output_scale``. Raises UserError for a mapping beyond the bits there are, and anything out
    of its range.
    """

    thresholds: np.ndarray
    layers: tuple[LutLayerSpec, ...]
    entries: np.ndarray
    entry_width: int
    input_scale: float
    output_scale: float

    def __post_init__(self) -> None:
        low, high = CODE_RANGE
        if self.thresholds.ndim != 2 or not self.thresholds.size:
            raise UserError(f"thermometer: thresholds of shape {self.thresholds.shape} are not [D, T]")
        if (self.thresholds < low).any() or (self.thresholds > high).any():
            raise UserError(f"thermometer: a threshold is outside int8, {low} to {high}")
        if (np.diff(self.thresholds) < 0).any():
            raise UserError("thermometer: a feature's thresholds do not ascend")
        if not self.layers:
            raise UserError("weightless MLP: no layer of look-up tables")
        bits = self.thresholds.size
        for place, layer in enumerate(self.layers):
            if layer.mapping.max() >= bits:
                raise UserError(f"look-up tables of layer {place}: the mapping names bit {layer.mapping.max()}, "
                                f"there are {bits}")  # fmt: skip
            bits = len(layer.tables)
        if self.entries.ndim != 2 or len(self.entries) != bits:
            raise UserError(f"conditional sum: {len(self.entries)} rows of entries for {bits} bits")
        limit = 1 << (self.entry_width - 1)
        if self.entry_width not in ENTRY_WIDTHS or (self.entries < -limit).any() or (self.entries >= limit).any():
            raise UserError(f"conditional sum: an entry overflows its {self.entry_width} bits")
        if not (self.input_scale > 0 and self.output_scale > 0):
            raise UserError("weightless MLP: scales must be positive")

    @property
    def accumulator_range(self) -> tuple[int, int]:
        """Smallest and largest value that any accumulator can have, also in between: proved by the entries."""
        low, high = (part(0, self.entries).sum(0) for part in (np.minimum, np.maximum))
        return int(low.min()), int(high.max())

    @property
    def accumulator_width(self) -> int:
        """Bits of an accumulator."""
        return signed_width(*self.accumulator_range)

    def constants(self, convert: Any = lambda array: array) -> LutNetConstants:
        """The block's integers, each passed through ``convert``: ``torch.from_numpy`` for torch."""
        layers = tuple(
            LayerConstants(
                convert(layer.mapping), convert(layer.tables.astype(np.int64)),
                convert(1 << np.arange(layer.arity)), convert(np.arange(len(layer.tables))),
            )
            for layer in self.layers
        )  # fmt: skip
        return LutNetConstants(convert(self.thresholds), layers, convert(self.entries))

    def bits(self, codes: Any, constants: LutNetConstants | None = None) -> Any:
        """int codes [..., D] -> bits of the last layer [..., N], 0 and 1."""
        found = constants or self.constants()
        bits = (codes[..., None] > found.thresholds).reshape(*codes.shape[:-1], -1)
        for layer, integers in zip(self.layers, found.layers, strict=True):
            bits = layer(bits, integers)
        return bits

    def __call__(self, codes: Any, constants: LutNetConstants | None = None) -> Any:
        """int codes [..., D] -> accumulators int64 [..., D'], in the array library of ``constants``."""
        found = constants or self.constants()
        return self.bits(codes, found) @ found.entries

    def residual(self, stream_scale: float) -> ResidualSpec:
        """How accumulators are added to the int16 residual stream of scale ``stream_scale``."""
        requant = Requant.from_scale(np.array([self.output_scale / stream_scale]))
        return ResidualSpec(requant.multiplier, requant.shift)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything but the scales, by name, as a safetensors file holds it."""
        layers = enumerate(self.layers)
        parts = {f"layers.{i}.{name}": getattr(one, name) for i, one in layers for name in ("mapping", "tables")}
        return {"thresholds": self.thresholds, **parts, "entries": self.entries}

    def to_json(self) -> dict[str, Any]:
        """Facts that read without the arrays: shapes, widths, scales."""
        return {
            "features": self.thresholds.shape[0], "thresholds": self.thresholds.shape[1],
            "luts": [len(layer.tables) for layer in self.layers], "arity": [layer.arity for layer in self.layers],
            "outputs": self.entries.shape[1], "entry_width": self.entry_width,
            "accumulator_width": self.accumulator_width, "accumulator_range": list(self.accumulator_range),
            "input_scale": self.input_scale, "output_scale": self.output_scale,
        }  # fmt: skip

    @classmethod
    def from_parts(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> "LutNetSpec":
        """What ``to_json`` and ``arrays`` gave. Raises UserError when a part is missing, or no such part."""
        try:
            layers = tuple(
                LutLayerSpec(arrays[f"layers.{place}.mapping"], arrays[f"layers.{place}.tables"])
                for place in range(len(facts["luts"]))
            )
            return cls(
                arrays["thresholds"], layers, arrays["entries"], facts["entry_width"], facts["input_scale"],
                facts["output_scale"],
            )  # fmt: skip
        except KeyError as error:
            raise UserError(f"weightless MLP: {error} is missing") from error
        except TypeError as error:
            raise UserError(f"weightless MLP: its facts have another form ({error})") from error

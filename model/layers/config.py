"""How operands become codes: bits, and the method that chooses their ranges. Without torch, for the command line."""

from dataclasses import dataclass
from typing import Literal, get_args

from slipstick.errors import UserError
from slipstick.limits import Limits

ACTIVATION_BITS, WEIGHT_BITS = Limits(4, 8), Limits(2, 8)
STATIONARY_BITS = Limits(WEIGHT_BITS.least, ACTIVATION_BITS.most)
PERCENTILE = Limits(0, 100, above=True)
Method = Literal["output", "percentile", "minmax", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class QuantConfig:
    """How operands become codes.

    ``method`` chooses the range of every operand: ``output`` by what its codes do to the layer's output on
    calibration data (``layers/ranges.py``), or for activations a ``percentile`` of the |x| that are not zero,
    their maximum (``minmax``), or least squared error (``mse``), for weights the maximum of a channel then.
    Without ``clip_weights`` weights always have that. Codes are int8 whatever the bits: activations of b bits
    lie in [-2^(b-1), 2^(b-1) - 1], weights in +-(2^(b-1) - 1).

    The second operand of a product of two activations, such as K and V of attention, is an activation that the
    array holds in the place of weights, so it has as few bits as the narrower of both: ``stationary_bits``,
    which may be set, within [-2^(b-1), 2^(b-1) - 1]. Raises UserError for bits out of range.
    """

    method: Method = "output"
    percentile: float = 99.99
    activation_bits: int = 8
    weight_bits: int = 8
    stationary_bits: int | None = None
    clip_weights: bool = True

    def __post_init__(self) -> None:
        ACTIVATION_BITS.check("activation_bits", self.activation_bits)
        WEIGHT_BITS.check("weight_bits", self.weight_bits)
        Limits(STATIONARY_BITS.least, self.activation_bits).check("stationary_bits", self.held_bits)
        PERCENTILE.check("percentile", self.percentile)
        if self.method not in METHODS:
            raise UserError(f"method is {self.method!r}; choose one of {', '.join(METHODS)}")

    @property
    def held_bits(self) -> int:
        """Bits of the second operand of a product of two activations."""
        return self.stationary_bits or min(self.activation_bits, self.weight_bits)

    @property
    def held_limit(self) -> int:
        """Largest code of such a second operand; the least is one below its negative."""
        return 2 ** (self.held_bits - 1) - 1

    @property
    def activation_limit(self) -> int:
        """Largest activation code; the least is one below its negative."""
        return 2 ** (self.activation_bits - 1) - 1

    @property
    def weight_limit(self) -> int:
        """Largest weight code; the least is its negative."""
        return 2 ** (self.weight_bits - 1) - 1

"""The choices of integer-only inference that are not fixed by the contract."""

from dataclasses import dataclass, field

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlFormat


@dataclass(frozen=True)
class IntegerConfig:
    """How a ViT becomes integer-only.

    ``entries`` segments of every piecewise linear function, of coefficients in ``format``; activation
    functions take int8, the exponential ``exponential_width`` bits of scale 2^-``exponential_fraction``;
    mantissas of sums have ``mantissa_fraction`` bits. The residual stream is int16 with ``headroom``
    times the range that calibration saw. Raises UserError for values out of range.
    """

    entries: int = 8
    format: PwlFormat = field(default_factory=PwlFormat)
    exponential_width: int = 8
    exponential_fraction: int = 4
    mantissa_fraction: int = 8
    headroom: float = 1.5

    def __post_init__(self) -> None:
        for name, low, high in (
            ("entries", 2, 64), ("exponential_width", 4, 12), ("exponential_fraction", 0, 10),
            ("mantissa_fraction", 4, 12), ("headroom", 1, 100),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UserError(f"integer {name} is {getattr(self, name)}; it lies between {low} and {high}")

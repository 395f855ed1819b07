"""The choices of integer-only inference that are not fixed by the contract."""

from dataclasses import dataclass, field
from typing import ClassVar

from slipstick.limits import Limits, check_fields
from slipstick.rtl.spec.pwl import PwlFormat


@dataclass(frozen=True)
class IntegerConfig:
    """How a ViT becomes integer-only.

    ``entries`` segments of every piecewise linear function. Activation functions take ``activation_width`` bits and
    have coefficients in ``format``; those of the exponential and of reciprocals are WIDE bits longer, all of them
    fraction. The exponential takes ``exponential_width`` bits of scale 2^-``exponential_fraction``; mantissas of
    sums have ``mantissa_fraction`` bits. The residual stream is int16 with ``headroom`` times the range that
    calibration saw. Raises UserError for values out of range.
    """

    limits: ClassVar[dict[str, Limits]] = {
        "entries": Limits(2, 64), "activation_width": Limits(8, 12), "exponential_width": Limits(4, 12),
        "exponential_fraction": Limits(0, 10), "mantissa_fraction": Limits(4, 12), "headroom": Limits(1, 100),
    }  # fmt: skip
    entries: int = 16
    format: PwlFormat = field(default_factory=PwlFormat)
    activation_width: int = 10
    exponential_width: int = 8
    exponential_fraction: int = 4
    mantissa_fraction: int = 8
    headroom: float = 1.5

    def __post_init__(self) -> None:
        check_fields(self, self.limits, "integer {}".format)

"""Bits of two's complement, and the numbers that they hold."""

LANE_BITS = 32
"""Of an accumulator: the widest that an array's answer carries."""


def signed_range(width: int) -> tuple[int, int]:
    """Least and largest number of ``width`` bits in two's complement."""
    return -(1 << (width - 1)), (1 << (width - 1)) - 1


def signed_width(low: int, high: int) -> int:
    """Bits that two's complement needs for every number from ``low`` to ``high``, 0 or -1 alone included: 1."""
    return 1 + max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0)

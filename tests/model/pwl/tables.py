"""Published tables of GQA-LUT and their errors, as facts to hold ours to."""

import numpy as np

from slipstick.rtl.spec.pwl import PwlFormat

NINE_BITS = PwlFormat(9, 9, 6)
"""What reciprocals need for 6 fraction bits."""

HEADROOM = {
    "gelu": (3.0e-5, 3.5e-6), "hswish": (1.1e-4, 8.3e-6), "silu": (2.5e-5, 6.3e-6), "exp": (1.1e-5, 7.8e-6),
    "reciprocal": (1.5e-5, 3.6e-6), "rsqrt": (1.2e-5, 2.2e-6),
}  # fmt: skip
"""MSE of unclipped least-squares fits of 8 and 16 segments over the published sample points."""

SHIPPED = {
    "gelu": ([0, -2, -7, 3, 23, 48, 69, 64], [0, -6, -17, -8, 0, -1, -14, 0],
             [-3.015625, -2.203125, -0.890625, -0.421875, 0.03125, 0.625, 2.796875]),
    "hswish": ([0, -21, -1, 19, 40, 61, 83, 64], [0, -64, -24, -2, 1, -18, -59, 0],
               [-2.984375, -2, -1.125, -0.125, 0.875, 1.875, 3.03125]),
    "exp": ([0, 1, 4, 7, 13, 25, 40, 56], [0, 5, 15, 23, 34, 49, 59, 64],
            [-5.25, -3.4375, -2.328125, -2, -1.25, -0.671875, -0.296875]),
}  # fmt: skip
"""Slopes and intercepts of 8 entries, times 64; breakpoints of input scale 2^-6."""

FLOAT_MSE = {
    ("gelu", 8): 7.22e-5, ("gelu", 16): 1.61e-5, ("hswish", 8): 3.33e-4, ("hswish", 16): 1.84e-5,
    ("exp", 8): 1.93e-5, ("exp", 16): 2.21e-5, ("silu", 8): 1.10e-4,
    ("reciprocal", 8): 3.82e-5, ("reciprocal", 16): 1.95e-5, ("rsqrt", 8): 2.43e-5, ("rsqrt", 16): 7.72e-6,
}  # fmt: skip
"""Over the sample points: of the shipped tables; of the better of two runs of its trainer where none is shipped."""

INT8_MSE = {
    ("gelu", 8): (1.19e-4, 1.43e-4, 1.04e-4, 7.62e-5, 7.26e-5, 7.24e-5, 1.11e-4),
    ("gelu", 16): (3.67e-4, 1.73e-4, 3.08e-5, 1.82e-5, 1.83e-5, 1.62e-5, 1.06e-5),
    ("hswish", 8): (7.54e-5, 3.28e-4, 3.17e-4, 3.28e-4, 3.27e-4, 3.33e-4, 4.46e-4),
    ("hswish", 16): (1.04e-3, 2.26e-4, 4.24e-5, 2.52e-5, 2.09e-5, 1.92e-5, 2.13e-5),
    ("exp", 8): (5.80e-4, 1.43e-4, 3.74e-5, 2.29e-5, 2.10e-5, 2.79e-5, 2.26e-5),
    ("exp", 16): (2.94e-4, 1.86e-4, 2.95e-5, 2.37e-5, 2.33e-5, 1.66e-5, 1.32e-5),
}
"""Over the int8 codes inside the range, by d of scale 2^-d from 0 to 6, of the shipped tables."""


def shipped(name: str) -> dict:
    """The shipped table in the published form, scale 2^-6 alone."""
    slopes, intercepts, breakpoints = SHIPPED[name]
    entry = {
        "breakpoints": breakpoints,
        "slopes": (np.array(slopes) / 64).tolist(),
        "intercepts": (np.array(intercepts) / 64).tolist(),
    }
    return {name: {"6": entry}}

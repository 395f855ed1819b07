"""Functions that are fitted: their formula, where fits are judged, and where inputs can be at all."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slipstick.errors import UnknownName, UserError

STEP = 0.01
MAX_STEPS = 1_000_000
FAR = (-1e4, 1e4)
LEAST_POSITIVE = 2.0**-24  # the finest input scale


@dataclass(frozen=True)
class Function:
    """A real function of NumPy arrays, judged on [``low``, ``high``] in steps of ``step``.

    ``formula`` maps float64 [...] to float64 [...]. ``domain`` holds every input that can occur, [``low``,
    ``high``] among them. ``tails`` are inputs so far out that a chord from there is the function's straight end; the
    range's own ends where it has none. Raises UserError for an empty range, a formula that does not take arrays and one
    that is not finite on the range.
    """

    name: str
    formula: Callable[[np.ndarray], np.ndarray]
    low: float
    high: float
    domain: tuple[float, float] = (-math.inf, math.inf)
    step: float = STEP
    tails: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high and self.step > 0):
            raise UserError(f"function {self.name!r}: no range [{self.low}, {self.high}] in steps of {self.step}")
        if (self.high - self.low) / self.step > MAX_STEPS:
            raise UserError(f"function {self.name!r}: more than {MAX_STEPS} steps of {self.step} in its range")
        if not self.domain[0] <= self.low < self.high <= self.domain[1]:
            raise UserError(f"function {self.name!r}: its range is not inside its domain {self.domain}")
        inputs = np.append(self.grid, self.high)
        bad = inputs[~np.isfinite(self(inputs))]
        if bad.size:
            raise UserError(f"function {self.name!r} is not finite at {bad[0]:g}, inside [{self.low:g}, {self.high:g}]")

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Values float64 of inputs of any shape; NaN or infinite where the function has none."""
        inputs = np.asarray(inputs, np.float64)
        try:
            with np.errstate(all="ignore"):
                return np.broadcast_to(np.asarray(self.formula(inputs), np.float64), inputs.shape)
        except (TypeError, ValueError) as error:
            raise UserError(f"function {self.name!r} does not take NumPy arrays: {error}") from error

    @property
    def grid(self) -> np.ndarray:
        """The published sample points float64 [G]: from ``low`` in steps of ``step``, ``high`` left out."""
        return self.low + self.step * np.arange(math.ceil((self.high - self.low) / self.step - 1e-9))

    def inside(self, inputs: np.ndarray) -> np.ndarray:
        """Whether inputs lie in the range that is judged, ends included."""
        return (inputs >= self.low) & (inputs <= self.high)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))  # exp would overflow


GELU = Function("gelu", _gelu, -4, 4, tails=FAR)  # exact, with the error function
GELU_TANH = Function(
    "gelu_tanh", lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), -4, 4, tails=FAR
)
QUICK_GELU = Function("quick_gelu", lambda x: x * _sigmoid(1.702 * x), -4, 4, tails=FAR)
RELU = Function("relu", lambda x: np.maximum(x, 0), -4, 4, tails=FAR)
RELU6 = Function("relu6", lambda x: np.clip(x, 0, 6), -8, 8, tails=FAR)
HSWISH = Function("hswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, -4, 4, tails=FAR)
SILU = Function("silu", lambda x: x * _sigmoid(x), -4, 4, tails=FAR)
SIGMOID = Function("sigmoid", _sigmoid, -8, 8, tails=FAR)  # range of our own: 3e-4 from its limits
TANH = Function("tanh", np.tanh, -4, 4, tails=FAR)  # range of our own: 7e-4 from its limits
EXP = Function("exp", np.exp, -8, 0, (-math.inf, 0), tails=(-16, 0))  # of a softmax, whose largest input is 0
RECIPROCAL = Function("reciprocal", lambda x: 1 / x, 0.5, 4, (LEAST_POSITIVE, math.inf))  # GQA-LUT's DIV
RSQRT = Function("rsqrt", lambda x: 1 / np.sqrt(x), 0.25, 4, (LEAST_POSITIVE, math.inf))

FUNCTIONS = {one.name: one for one in (GELU, HSWISH, SILU, SIGMOID, TANH, EXP, RECIPROCAL, RSQRT)}
"""The named functions; ranges are GQA-LUT's where nothing else is said."""


def named(function: Function | str) -> Function:
    """The function of a name, in any case; UnknownName for one that is not there."""
    if isinstance(function, Function):
        return function
    if function.lower() not in FUNCTIONS:
        raise UnknownName("function", function, FUNCTIONS)
    return FUNCTIONS[function.lower()]

"""How far two float32 evaluations of one real-valued function may lie apart, on any CPU.

CPUs add in different orders, with and without fused multiply-adds, so no constant tolerance is right
everywhere. Two that are: the proven bound of a product, and what this very CPU rounds off against float64.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

UNIT = 2.0**-24  # half a unit in the last place of float32
MARGIN = 16  # two evaluations of a network err alike, not equally: their ratio stays far below this


def product_error(left: Tensor, right: Tensor) -> Tensor:
    """Greatest difference of two float32 evaluations of ``left @ right`` in any order of sums, float64.

    Each errs by at most ``K u / (1 - K u)`` times ``|left| @ |right|`` (Higham, "Accuracy and Stability
    of Numerical Algorithms", 2002, section 3.1); four further roundings are allowed for scales and a bias.
    """
    count = left.shape[-1] + 4
    return 2 * count * UNIT / (1 - count * UNIT) * (left.detach().double().abs() @ right.detach().double().abs())


def assert_within(got: Tensor, wanted: Tensor, error: Tensor) -> None:
    """``got`` and ``wanted`` differ by at most ``error``, element by element."""
    excess = (got.detach().double() - wanted.detach().double()).abs() - error
    assert (excess <= 0).all(), f"differs by {float(excess.max()):.3g} more than rounding explains"


def assert_same_function(got: Tensor, wanted: Tensor, exact: Tensor) -> None:
    """``got`` is ``wanted`` up to rounding: 16 times as far, at most, as ``wanted`` is from ``exact``, in float64."""
    assert exact.dtype == torch.float64
    got, wanted, exact = (part.detach().double() for part in (got, wanted, exact))
    rounded_off = (wanted - exact).abs().max() + UNIT * exact.abs().max()
    difference = (got - wanted).abs().max()
    assert difference <= MARGIN * rounded_off, f"differs by {difference:.3g}, rounding explains {rounded_off:.3g}"


def in_double(value: Any) -> Any:
    """A copy of a module or a tensor in float64; anything else as it is."""
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).double()
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


@torch.no_grad()
def assert_same_model(got: Tensor, model: nn.Module, data: Tensor) -> None:
    """``got`` is ``model(data)`` up to rounding."""
    assert_same_function(got, model(data), in_double(model)(data.double()))

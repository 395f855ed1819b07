"""The bound on a loss of top-1: that of a score test, its true error by enumeration, its limits."""

from bisect import bisect_left
from math import lgamma

import numpy as np
import pytest

from slipstick.model.paired import Paired, fewest_images

LOG_FACTORIAL = np.array([lgamma(i + 1) for i in range(1001)])


def test_counts_are_those_of_the_images() -> None:
    reference, candidate = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0], bool)
    found = Paired.of(reference, candidate)
    assert found == Paired(5, 2, 1) and found.loss == pytest.approx(0.2)
    assert found.standard_error == pytest.approx((reference.astype(float) - candidate).std() / 5**0.5)


@pytest.mark.parametrize("found", [Paired(44, 1, 1), Paired(1000, 0, 0), Paired(1000, 20, 14), Paired(50, 0, 9)])
def test_the_bound_is_where_a_score_test_stops_rejecting(found: Paired) -> None:
    """With the rate of images gained that is likeliest if the bound were the true loss, found on a grid."""
    bound, n = found.upper_bound(0.95), found.images
    gained = np.linspace(max(0, -bound) + 1e-9, (1 - bound) / 2 - 1e-9, 200_001)
    likelihood = (
        found.lost * np.log(gained + bound)
        + found.gained * np.log(gained)
        + (n - found.lost - found.gained) * np.log1p(-2 * gained - bound)
    )
    variance = (2 * gained[likelihood.argmax()] + bound - bound**2) / n
    assert (bound - found.loss) / variance**0.5 == pytest.approx(1.6449, abs=2e-3)


@pytest.mark.parametrize(("images", "loss"), [(100, 0.01), (100, 0.03), (300, 0.01), (1000, 0.01), (1000, 0.005)])
def test_a_loss_is_wrongly_bounded_in_one_of_twenty_cases(images: int, loss: float) -> None:
    """Over all outcomes, at several rates of images gained: how often a true loss is bounded below itself."""
    for rate in (1e-5, 0.001, 0.003, 0.01, 0.03, 0.1):
        wrong = 0.0
        for gained in range(min(images, int(images * rate + 7 * (images * rate) ** 0.5 + 9)) + 1):
            lost = np.arange(_least_lost(images, gained, loss))
            rest = images - gained - lost
            ways = LOG_FACTORIAL[images] - LOG_FACTORIAL[gained] - LOG_FACTORIAL[lost] - LOG_FACTORIAL[rest]
            logs = ways + gained * np.log(rate) + lost * np.log(rate + loss) + rest * np.log1p(-2 * rate - loss)
            wrong += float(np.exp(logs).sum())
        assert wrong <= 0.056, rate


def _least_lost(images: int, gained: int, loss: float) -> int:
    """The fewest images lost at which the bound reaches ``loss``: it rises with them."""
    return bisect_left(
        range(images - gained + 1), True, key=lambda n: Paired(images, n, gained).upper_bound(0.95) >= loss
    )


def test_few_images_are_told_and_confirm_nothing() -> None:
    needed = fewest_images(0.01, 0.95)
    assert needed == 268
    assert Paired(needed, 0, 0).upper_bound(0.95) <= 0.01 + 1e-8 < Paired(needed - 1, 0, 0).upper_bound(0.95)


def test_the_images_that_would_do_do() -> None:
    found = Paired(1000, 20, 14)
    needed = found.images_to_confirm(0.01, 0.95)
    assert needed is not None and needed > 1000
    more = Paired(needed, round(0.020 * needed), round(0.014 * needed))
    assert more.upper_bound(0.95) == pytest.approx(0.01, abs=5e-4)
    assert Paired(1000, 30, 10).images_to_confirm(0.01, 0.95) is None

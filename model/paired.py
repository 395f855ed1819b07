"""Top-1 of a model against that of a reference on the same images: the loss, its error, and a bound on it."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Paired:
    """``lost`` images the reference has right and the candidate wrong, ``gained`` the other way round, of ``images``.

    Losses are fractions of 1.
    """

    images: int
    lost: int
    gained: int

    @classmethod
    def of(cls, reference: np.ndarray, candidate: np.ndarray) -> "Paired":
        """From whether each image is right: bool [N] each."""
        return cls(len(reference), int((reference & ~candidate).sum()), int((candidate & ~reference).sum()))

    @property
    def loss(self) -> float:
        """Top-1 of the reference less that of the candidate."""
        return (self.lost - self.gained) / self.images

    @property
    def standard_error(self) -> float:
        """Of ``loss``."""
        return math.sqrt(((self.lost + self.gained) / self.images - self.loss**2) / self.images)

    def upper_bound(self, confidence: float) -> float:
        """One-sided upper bound on the loss of all images of this kind: Tango's score bound (1998).

        The largest loss that a score test at level 1 - ``confidence`` does not reject; the variance is that under
        the loss tested, so it holds for few discordant images too, where loss + z x error would be too low (with
        none of them, 0). Its error at 95 % is at most 5.6 % from 100 images on (the tests enumerate it).
        """
        z = NormalDist().inv_cdf(confidence)
        low, high = self.loss, 1.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            low, high = (low, middle) if self._score(middle) <= -z else (middle, high)
        return high

    def _score(self, loss: float) -> float:
        """Tango's statistic of the hypothesis that the true loss is ``loss`` (less than 1)."""
        n, total = self.images, self.lost + self.gained
        b = (2 * n - self.lost + self.gained) * loss - total
        c = -self.gained * loss * (1 - loss)
        gained_share = (math.sqrt(b * b - 8 * n * c) - b) / (4 * n)  # most likely one if the hypothesis were true
        variance = n * (2 * gained_share + loss * (1 - loss))
        return (self.lost - self.gained - n * loss) / math.sqrt(variance) if variance > 0 else 0.0

    def images_to_confirm(self, most: float, confidence: float) -> int | None:
        """About how many images of the same rates would bound the loss by ``most``; None where none would."""
        if self.loss >= most:
            return None
        z, variance = NormalDist().inv_cdf(confidence), self.images * self.standard_error**2
        return max(fewest_images(most, confidence), math.ceil(z * z * variance / (most - self.loss) ** 2))


def standard_error(right: np.ndarray) -> float:
    """Of the top-1 that bool [N] tells, a fraction."""
    return math.sqrt(right.mean() * (1 - right.mean()) / len(right))


def fewest_images(most: float, confidence: float) -> int:
    """Images that bound a loss by ``most`` (above 0) where not one of them is lost or gained."""
    z = NormalDist().inv_cdf(confidence)
    return math.ceil(z * z * (1 - most) / most)

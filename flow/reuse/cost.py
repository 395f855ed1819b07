"""Energy, delay and area together, and their product."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ReuseCost:
    """Energy in mJ and delay in ms of one image, area in mm2."""

    energy_mj: float
    delay_ms: float
    area_mm2: float

    @property
    def edap(self) -> float:
        """Energy x delay x area, mJ ms mm2."""
        return self.energy_mj * self.delay_ms * self.area_mm2

    def __add__(self, other: "ReuseCost") -> "ReuseCost":
        return ReuseCost(
            self.energy_mj + other.energy_mj, self.delay_ms + other.delay_ms, self.area_mm2 + other.area_mm2
        )

    def __mul__(self, times: int) -> "ReuseCost":
        return ReuseCost(times * self.energy_mj, times * self.delay_ms, times * self.area_mm2)


@dataclass(frozen=True)
class SpatialCost:
    """Of ``arrays`` that each have one product, images in a pipeline: an image's cost, its delay the way through.

    Another image comes out every ``interval_ms``.
    """

    arrays: int
    image: ReuseCost
    interval_ms: float

    @property
    def interval_edap(self) -> float:
        """EDAP with the time from image to image in place of the delay, mJ ms mm2."""
        return replace(self.image, delay_ms=self.interval_ms).edap

"""Energy, delay and area together, and their product."""

from dataclasses import dataclass


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

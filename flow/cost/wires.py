"""Capacitance of wires before any layout: a stated model, to be overridden by whoever knows better.

A pin that a net drives adds a wire of a few gate pitches. A gate pitch is the side of the mean mapped
cell at the usual utilisation; Donath (1979) and later work find means of 1 to 4 pitches in blocks whose
wiring is local, as a systolic array's is.
"""

from dataclasses import dataclass

from slipstick.errors import UserError


@dataclass(frozen=True)
class WireModel:
    """Wire of ``pitches`` gate pitches a fan-out at ``ff_per_um``; ``pitches`` 0 means no wires."""

    pitches: float = 2.0
    ff_per_um: float = 0.2
    utilisation: float = 0.7

    def __post_init__(self) -> None:
        if self.pitches < 0 or self.ff_per_um < 0 or not 0 < self.utilisation <= 1:
            raise UserError(f"wires need lengths and capacitances of at least 0 and a utilisation in (0, 1]: {self}")

    def ff_per_fanout(self, mean_cell_area_um2: float) -> float:
        """Capacitance of the wire to one pin."""
        return self.pitches * (mean_cell_area_um2 / self.utilisation) ** 0.5 * self.ff_per_um

    def describe(self) -> str:
        """The model in words."""
        if not self.pitches:
            return "none"
        return (
            f"{self.pitches:g} gate pitches a fan-out at {self.ff_per_um:g} fF/um, {self.utilisation:.0%} utilisation"
        )


WIRES, NO_WIRES = WireModel(), WireModel(pitches=0.0)

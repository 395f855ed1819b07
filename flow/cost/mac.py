"""Energy of one multiply-accumulate in a processing element, by part."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from slipstick.flow.power.cell_power import NO_ENERGY, Energy
from slipstick.flow.power.power import GroupEnergy

from .groups import ADDER, MULTIPLIER, REGISTERS, WEIGHT_LOADING, plain

Groups = dict[str, GroupEnergy]
PARTS = (MULTIPLIER, ADDER, WEIGHT_LOADING, "registers", "clock pins")
NOTHING = GroupEnergy(NO_ENERGY, NO_ENERGY)


@dataclass(frozen=True)
class EnergyPerMac:
    """Energy of one multiply-accumulate on a layer's streams, one a cycle, by part (``groups``).

    ``multiplier`` is the cell mapped alone; the groups are those of the whole element, measured in
    place. ``load_groups`` and ``idle_groups`` are an element's in a cycle that shifts weights, which pass
    as activations too, and in one in which nothing moves; they count at array level. ``pin_toggles``
    are transitions of an input pin other than the clock's, in a MAC and in a cycle that loads.
    """

    multiplier: Energy
    groups: Groups
    load_groups: Groups
    idle_groups: Groups
    cycles: int
    pin_toggles: float = 0.0
    load_pin_toggles: float = 0.0

    @property
    def multiplier_fj(self) -> float:
        """Total of the multiplier alone."""
        return self.multiplier.total_fj

    @cached_property
    def pe(self) -> Energy:
        """The whole element."""
        return _total(self.groups)

    @cached_property
    def load(self) -> Energy:
        """The element in a cycle that shifts weights."""
        return _total(self.load_groups)

    @cached_property
    def idle(self) -> Energy:
        """The element in a cycle in which nothing moves."""
        return _total(self.idle_groups)

    @property
    def registers(self) -> Energy:
        """The element's registers, clock pins included."""
        return _total({name: one for name, one in self.groups.items() if plain(name) in REGISTERS})

    @property
    def pe_fj(self) -> float:
        """Total of the processing element."""
        return self.pe.total_fj

    @property
    def parts_fj(self) -> dict[str, float]:
        """The element's total by part: multiplier, adder, weight loading, registers, clock pins."""
        return self.parts_of(self.groups)

    @staticmethod
    def parts_of(groups: Groups, presence: Mapping[str, float] | None = None) -> dict[str, float]:
        """Totals by part, fJ; ``presence`` is the share of the elements that have each group."""
        parts = dict.fromkeys(PARTS, 0.0)
        for name, one in groups.items():
            share = 1.0 if presence is None else presence[name]
            parts["registers" if plain(name) in REGISTERS else plain(name)] += share * one.data.total_fj
            parts["clock pins"] += share * one.clock_pins.total_fj
        return parts


def _total(groups: Groups) -> Energy:
    return NO_ENERGY.plus(*(one.total for one in groups.values()))

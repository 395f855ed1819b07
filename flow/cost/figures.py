"""What the cost model answers with: figures at four levels that always stand together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Levels:
    """A figure at the four levels that always stand together.

    ``multiplier``, ``pe`` and ``array`` count mapped gates; ``inference`` is everything for one image:
    requantisers, drains and idle cycles, and clock tree and wires by their stated models.
    """

    multiplier: float
    pe: float
    array: float
    inference: float


LEVELS = tuple(Levels.__dataclass_fields__)


@dataclass(frozen=True)
class ArrayEnergy:
    """Energy per MAC of a whole array, fJ, by part; weights loaded and pipeline filled once a tile.

    The first five parts are those of the elements while they multiply; ``load`` and ``idle`` are of all
    registers and gates while weights pass and sums drain. ``wires_fj`` follows the wire model.
    """

    multiplier_fj: float
    adder_fj: float
    weight_loading_fj: float
    registers_fj: float
    clock_pins_fj: float
    skew_fj: float
    accumulate_fj: float
    control_fj: float
    load_fj: float
    idle_fj: float
    wires_fj: float

    @property
    def elements_fj(self) -> float:
        """The processing elements while they multiply."""
        return self.multiplier_fj + self.adder_fj + self.weight_loading_fj + self.registers_fj + self.clock_pins_fj

    @property
    def total_fj(self) -> float:
        """Sum of the parts that are mapped gates, without wires."""
        return sum(vars(self).values()) - self.wires_fj


@dataclass(frozen=True)
class LayerFigures:
    """One layer of one image: energy by part in nJ, clock tree and wires included, and what it takes.

    ``macs`` are those of padding included, ``useful_macs`` without; ``elements`` of the array, R x C.
    """

    parts_nj: dict[str, float]
    macs: int
    useful_macs: int
    cycles: float
    elements: int
    clock_mhz: float

    @property
    def energy_nj(self) -> float:
        """Everything for this layer."""
        return sum(self.parts_nj.values())

    @property
    def latency_us(self) -> float:
        """Time at the clock."""
        return self.cycles / self.clock_mhz

    def as_json(self) -> dict[str, Any]:
        """All figures; pJ a MAC of padded and of useful MACs, TOPS/W with two operations a useful MAC."""
        energy = self.energy_nj
        return {
            "energy_nj": energy,
            "mw": energy / self.latency_us if self.cycles else 0.0,
            "pj_per_mac": 1e3 * energy / self.useful_macs,
            "pj_per_padded_mac": 1e3 * energy / self.macs,
            "tops_per_watt": 2e-3 * self.useful_macs / energy if energy else 0.0,
            "macs": self.useful_macs,
            "padded_macs": self.macs,
            "cycles": round(self.cycles),
            "latency_us": self.latency_us,
            "utilisation": self.useful_macs / (self.cycles * self.elements) if self.cycles else 0.0,
            "parts_nj": self.parts_nj,
        }


@dataclass(frozen=True)
class InferenceEnergy:
    """Energy of one inference in nJ: in total and by layer, with the best exact designs' beside it.

    Each level of the exact figures is that of the exact candidate which is best at this level, so an
    exact array may show a small negative saving at one of them. ``details`` are by layer;
    ``period_cycles`` pass from image to image where several arrays work at a time.
    """

    total_nj: Levels
    layers_nj: dict[str, Levels]
    exact_total_nj: Levels
    exact_layers_nj: dict[str, Levels]
    requantise_nj: float
    notes: tuple[str, ...]
    details: dict[str, LayerFigures]
    exact_details: dict[str, LayerFigures]
    period_cycles: float | None = None

    @property
    def saving(self) -> Levels:
        """Fractions saved against the exact baseline."""
        pairs = zip(vars(self.total_nj).values(), vars(self.exact_total_nj).values(), strict=True)
        return Levels(*(1 - own / exact if exact else 0.0 for own, exact in pairs))


def whole(details: Mapping[str, LayerFigures], elements: int, period: float | None = None) -> dict[str, Any]:
    """``LayerFigures.as_json`` of all layers together, one after another, on ``elements`` in all arrays.

    ``period`` in cycles is what passes from image to image where several arrays work at a time: it
    decides power and utilisation, while the latency stays that of one image.
    """
    every = list(details.values())
    parts: dict[str, float] = {}
    for one in every:
        for name, energy in one.parts_nj.items():
            parts[name] = parts.get(name, 0.0) + energy
    cycles = sum(one.cycles for one in every)
    macs, useful = sum(one.macs for one in every), sum(one.useful_macs for one in every)
    clock = every[0].clock_mhz
    found = LayerFigures(parts, macs, useful, cycles, elements, clock).as_json()
    period = period or cycles
    return found | {
        "mw": found["energy_nj"] * clock / period,
        "utilisation": useful / (period * elements),
        "images_per_second": 1e6 * clock / period,
    }

"""What the cost model answers with: figures at four levels that always stand together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARTS = (
    "multiplier", "adder", "sum registers", "broadcast", "activations", "weights", "clock pins", "accumulate",
    "requantise", "control", "wires", "clock tree",
)  # fmt: skip
"""Parts of the energy of an accelerator. Wires and clock tree follow models; clock gates count as clock pins."""
OF_MAC = ("multiplier", "adder", "sum registers")
OF_ARRAY = (*OF_MAC, "broadcast", "activations", "weights", "clock pins")


@dataclass(frozen=True)
class Levels:
    """A figure at the four levels that always stand together.

    ``multiplier`` are the products, ``mac`` adds adder trees and sum registers, ``array`` the rest of the mesh:
    activations, weights, broadcast buffers, clock pins. ``inference`` is everything for one image but memories:
    accumulation, requantisers, control, clock tree and wires by their stated models, and cycles that wait.
    """

    multiplier: float
    mac: float
    array: float
    inference: float

    @classmethod
    def of(cls, parts: Mapping[str, float]) -> "Levels":
        """The levels of an energy by part."""
        levels: tuple[tuple[str, ...], ...] = ("multiplier",), OF_MAC, OF_ARRAY, tuple(parts)
        return cls(*(sum(parts[name] for name in names) for names in levels))


LEVELS = tuple(Levels.__dataclass_fields__)


@dataclass(frozen=True)
class PassEnergy:
    """Energy of a cycle of a whole array in fJ, by part."""

    parts: dict[str, float]

    @property
    def total_fj(self) -> float:
        """Sum of the parts."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class LayerFigures:
    """One layer of one image: energy by part in nJ, and what it takes.

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
    def levels(self) -> Levels:
        """The energy at every level, nJ."""
        return Levels.of(self.parts_nj)

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
            "utilisation": self.macs / (self.cycles * self.elements) if self.cycles else 0.0,
            "useful_utilisation": self.useful_macs / (self.cycles * self.elements) if self.cycles else 0.0,
            "parts_nj": self.parts_nj,
        }


@dataclass(frozen=True)
class InferenceEnergy:
    """Energy of one inference in nJ: in total and by layer, with the best exact design's beside it.

    ``details`` are by layer; ``period_cycles`` pass from image to image where several arrays work at a time.
    """

    notes: tuple[str, ...]
    details: dict[str, LayerFigures]
    exact_details: dict[str, LayerFigures]
    period_cycles: float | None = None

    @property
    def layers_nj(self) -> dict[str, Levels]:
        """Energy by layer."""
        return {layer: one.levels for layer, one in self.details.items()}

    @property
    def exact_layers_nj(self) -> dict[str, Levels]:
        """Energy of the exact design by layer."""
        return {layer: one.levels for layer, one in self.exact_details.items()}

    @property
    def total_nj(self) -> Levels:
        """Energy of all layers."""
        return _sum(self.layers_nj)

    @property
    def exact_total_nj(self) -> Levels:
        """Energy of all layers of the exact design."""
        return _sum(self.exact_layers_nj)

    @property
    def saving(self) -> Levels:
        """Fractions saved against the exact baseline."""
        pairs = zip(vars(self.total_nj).values(), vars(self.exact_total_nj).values(), strict=True)
        return Levels(*(1 - own / exact if exact else 0.0 for own, exact in pairs))


def _sum(layers: Mapping[str, Levels]) -> Levels:
    return Levels(**{level: sum(getattr(part, level) for part in layers.values()) for level in LEVELS})


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
        "utilisation": macs / (period * elements),
        "useful_utilisation": useful / (period * elements),
        "images_per_second": 1e6 * clock / period,
    }

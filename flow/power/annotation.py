"""Activity that somebody else found, net by net: no waveforms, so states of several pins are not known jointly."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError

from .gates import MappedNetlist

MINIMUM_COVERAGE = 0.9
"""Share of nets below which power is refused; between this and 1 it is warned of."""

TIME_PS = {"s": 1e12, "ms": 1e9, "us": 1e6, "ns": 1e3, "ps": 1.0, "fs": 1e-3}
"""Units of time of wave files."""


@dataclass(frozen=True)
class Annotation:
    """Transitions a cycle ``density`` and share of time at 1 ``probability``, float [nets]; ``covered`` bool [nets].

    Nets that are not covered are still and 0. It serves ``PowerModel`` under ``Rule.INDEPENDENT`` only.
    """

    netlist: MappedNetlist
    density: np.ndarray
    probability: np.ndarray
    covered: np.ndarray

    @classmethod
    def of(
        cls, netlist: MappedNetlist, found: Iterable[tuple[int, float, float]], source: str, minimum: float
    ) -> "Annotation":
        """From (net, transitions a cycle, share of time at 1); UserError below ``minimum`` of the nets covered."""
        density, probability = np.zeros(netlist.net_count), np.zeros(netlist.net_count)
        covered = np.zeros(netlist.net_count, bool)
        probability[1] = 1.0
        for net, transitions, high in found:
            density[net], probability[net], covered[net] = transitions, high, True
        annotation = cls(netlist, density, probability, covered)
        if annotation.coverage < minimum:
            raise UserError(
                f"{source} tells the activity of {annotation.coverage:.0%} of the nets of {netlist.top!r}, "
                f"less than {minimum:.0%}"
            )
        return annotation

    @property
    def coverage(self) -> float:
        """Share of the nets, constants aside, whose activity is known."""
        return float(self.covered[2:].mean()) if len(self.covered) > 2 else 1.0

"""Tables IV and V of TReX (arXiv 2408.12742v1), with the numbers of reuse encoders that they do not print.

Energies are EDAP / (delay * area): the printed ones have two or three digits.
"""

from dataclasses import dataclass

from slipstick.flow.reuse.geometry import DEIT_S, LV_VIT_S, Geometry


@dataclass(frozen=True)
class Row:
    """A row of a table; ``target`` in ms, None for the baseline; ``printed_mj`` as printed."""

    geometry: Geometry
    name: str
    target: float | None
    reuse: int
    printed_mj: float
    delay_ms: float
    area_mm2: float
    edap: float

    @property
    def energy_mj(self) -> float:
        return self.edap / (self.delay_ms * self.area_mm2)


ROWS = (
    Row(DEIT_S, "DeiT-S", None, 0, 0.13, 10.92, 775.2, 1115.23),
    Row(DEIT_S, "TReX-D-9", 9, 3, 0.12, 8.46, 701.1, 700.2),
    Row(DEIT_S, "TReX-D-7", 7, 5, 0.11, 6.82, 651.7, 484.15),
    Row(DEIT_S, "TReX-D-6", 6, 7, 0.10, 5.18, 602.3, 311.43),
    Row(DEIT_S, "TReX-D-4", 4, 9, 0.091, 3.54, 552.9, 177.6),
    Row(LV_VIT_S, "LV-ViT-S", None, 0, 0.153, 14.55, 912.0, 2030.1),
    Row(LV_VIT_S, "TReX-L-12", 12, 4, 0.135, 11.28, 813.2, 1234.87),
    Row(LV_VIT_S, "TReX-L-10", 10, 6, 0.125, 9.64, 763.8, 924.03),
    Row(LV_VIT_S, "TReX-L-9", 9, 7, 0.121, 8.82, 739.1, 788.35),
    Row(LV_VIT_S, "TReX-L-8", 8, 9, 0.112, 7.18, 689.7, 553.72),
    Row(LV_VIT_S, "TReX-L-6", 6, 11, 0.103, 5.55, 640.3, 364.35),
)
TARGETS = tuple(row for row in ROWS if row.target is not None)

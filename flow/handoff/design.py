"""The design that is handed on, with names that are safe in Tcl, make, Yosys' scripts and YAML."""

import re
from dataclasses import dataclass

from slipstick.errors import UserError
from slipstick.rtl.spec.machine import AcceleratorConfig

TIME_UNIT_PS = {"sky130hd": 1000.0, "nangate45": 1000.0, "ihp-sg13g2": 1000.0, "gf180": 1000.0, "asap7": 1.0}
"""Platforms of OpenROAD-flow-scripts, and the unit in which their Liberty files state times: SDC has no other."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class HandedDesign:
    """Module ``top`` in ``<top>.v`` with a clock port, for a clock and a platform: the accelerator of ``config``.

    UserError for names that are no plain identifiers, an unknown platform, a clock that is not positive.
    """

    top: str
    clock_port: str
    clock_mhz: float
    platform: str
    config: AcceleratorConfig

    def __post_init__(self) -> None:
        for name in (self.top, self.clock_port):
            if not _PLAIN.fullmatch(name):
                raise UserError(f"{name!r} cannot be handed to other tools: letters, digits and _ only")
        if self.platform not in TIME_UNIT_PS:
            raise UserError(f"no platform {self.platform!r}; there are: {', '.join(TIME_UNIT_PS)}")
        if not 0 < self.clock_mhz < float("inf"):
            raise UserError(f"a clock of {self.clock_mhz:g} MHz is not positive")

    @property
    def period(self) -> float:
        """Clock period in the platform's unit of time."""
        return 1e6 / self.clock_mhz / TIME_UNIT_PS[self.platform]

    @property
    def memory_bits(self) -> int:
        """Bits of all accumulators: one memory a column."""
        widths = [self.config.sum_width(column) for column in range(self.config.array.columns)]
        return self.config.accumulator_rows * sum(widths)

    @property
    def verilog(self) -> str:
        """Name of the Verilog file."""
        return f"{self.top}.v"

"""A FuseSoC core (CAPI2): the Verilog, and a lint target for Verilator."""

from slipstick import __version__

from .design import HandedDesign


def core(design: HandedDesign) -> str:
    """Text of ``<top>.core``."""
    return f"""CAPI=2:
name: "slipstick:generated:{design.top}:{__version__}"
description: "Weight-stationary systolic array with approximate multipliers"
filesets:
  rtl:
    files: [{design.verilog}]
    file_type: verilogSource
targets:
  default: &default
    filesets: [rtl]
    toplevel: {design.top}
  lint:
    <<: *default
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
"""

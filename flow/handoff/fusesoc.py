"""A FuseSoC core (CAPI2, flows of edalize): the Verilog, lint and simulation."""

from slipstick import __version__

from .design import HandedDesign


def core(design: HandedDesign) -> str:
    """Text of ``<top>.core``: its target ``sim`` plays the bench, in Verilator, or in Icarus by ``--tool icarus``."""
    return f"""CAPI=2:
name: "slipstick:generated:{design.top}:{__version__}"
description: "Systolic mesh of dot-product tiles with approximate multipliers"
filesets:
  rtl:
    files: [{design.verilog}]
    file_type: verilogSource
  bench:
    files: [{design.top}_tb.sv]
    file_type: systemVerilogSource
targets:
  default: &default
    filesets: [rtl]
    toplevel: {design.top}
  lint:
    <<: *default
    flow: lint
    flow_options:
      tool: verilator
  sim:
    filesets: [rtl, bench]
    toplevel: {design.top}_tb
    flow: sim
    flow_options:
      tool: verilator
      mode: binary
      verilator_options: [--timing, -Wno-fatal]
      iverilog_options: [-g2012]
"""

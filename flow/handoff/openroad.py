"""``config.mk`` of OpenROAD-flow-scripts: from Verilog to a layout on an open platform."""

from slipstick.flow.library.liberty import default_liberty

from .design import HandedDesign

CORE_UTILIZATION = 40
"""Percent: low enough for a first run to route."""


def config_mk(design: HandedDesign) -> str:
    """The text; run ``make DESIGN_CONFIG=<folder>/config.mk`` in the flow folder of OpenROAD-flow-scripts."""
    return f"""# Accumulators are memories of {design.memory_bits} bits in all, beyond the usual limit of this flow.
# Without SRAM macros they become as many flip-flops{_area(design)}.
# Fewer --accumulator-rows make them smaller; a macro takes the place of the memory in modules *accumulators_*.
export DESIGN_NAME = {design.top}
export PLATFORM = {design.platform}

HANDOFF := $(dir $(lastword $(MAKEFILE_LIST)))
export VERILOG_FILES = $(HANDOFF){design.verilog}
export SDC_FILE = $(HANDOFF){design.top}.sdc
ifeq ($(wildcard $(VERILOG_FILES)),)
$(error $(VERILOG_FILES) is not there: move the folder to a path without blanks)
endif

export SYNTH_MEMORY_MAX_BITS = {design.memory_bits}
export CORE_UTILIZATION = {CORE_UTILIZATION}
export PLACE_DENSITY_LB_ADDON = 0.2
export SYNTH_HIERARCHICAL = 1
"""


def _area(design: HandedDesign) -> str:
    """What flip-flops in the place of memories would take, where the library is at hand, in words."""
    if design.platform != "ihp-sg13g2":
        return ""
    flops = [cell.area_um2 for cell in default_liberty().cells.values() if cell.flop and not cell.dont_use]
    return f", at {min(flops):.1f} um2 each {design.memory_bits * min(flops) / 1e6:.2f} mm2 before their multiplexers"

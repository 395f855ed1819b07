"""``config.mk`` of OpenROAD-flow-scripts: from Verilog to a layout on an open platform."""

from .design import HandedDesign

CORE_UTILIZATION = 40
"""Percent: low enough for a first run to route."""


def config_mk(design: HandedDesign) -> str:
    """The text; run ``make DESIGN_CONFIG=<folder>/config.mk`` in the flow folder of OpenROAD-flow-scripts."""
    return f"""export DESIGN_NAME = {design.top}
export PLATFORM = {design.platform}

HANDOFF := $(dir $(lastword $(MAKEFILE_LIST)))
export VERILOG_FILES = $(HANDOFF){design.verilog}
export SDC_FILE = $(HANDOFF){design.top}.sdc
ifeq ($(wildcard $(VERILOG_FILES)),)
$(error $(VERILOG_FILES) is not there: move the folder to a path without blanks)
endif

export CORE_UTILIZATION = {CORE_UTILIZATION}
export PLACE_DENSITY_LB_ADDON = 0.2
export SYNTH_HIERARCHICAL = 1
"""

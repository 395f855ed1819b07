"""Synopsys design constraints: the clock, and a share of its period outside the ports."""

from .design import TIME_UNIT_PS, HandedDesign

IO_SHARE = 0.2
"""Share of the period that passes outside, before inputs and after outputs."""


def sdc(design: HandedDesign) -> str:
    """SDC text, times in the unit of the platform's Liberty files."""
    outside = IO_SHARE * design.period
    unit = "ns" if TIME_UNIT_PS[design.platform] == 1000 else "ps"
    return f"""# {design.clock_mhz:g} MHz; times in {unit}
current_design {design.top}
create_clock -name clock -period {design.period:g} [get_ports {design.clock_port}]
set data_inputs [lsearch -inline -all -not -exact [all_inputs] [get_ports {design.clock_port}]]
set_input_delay {outside:g} -clock clock $data_inputs
set_output_delay {outside:g} -clock clock [all_outputs]
"""

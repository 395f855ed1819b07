"""Scripts for Yosys and OpenSTA: gates of a library, then timing and power of these gates."""

from .design import HandedDesign

LIBERTY, NETLIST, SAIF = "library.lib", "netlist.v", "activity.saif"
"""Files beside the scripts: the user's Liberty file, and what the first script leaves for the second."""


def yosys_script(design: HandedDesign) -> str:
    """Map the design to ``library.lib``, its hierarchy kept: equal parts are mapped once."""
    period_ps = 1e6 / design.clock_mhz
    return f"""# yosys {design.top}.ys, beside {LIBERTY}
read_verilog {design.verilog}
hierarchy -check -top {design.top}
synth -top {design.top} -booth -noalumacc
dfflibmap -liberty {LIBERTY}
abc -liberty {LIBERTY} -D {period_ps:.0f}
opt_clean -purge
stat -liberty {LIBERTY}
write_verilog -noattr -noexpr -nohex {NETLIST}
"""


def opensta_script(design: HandedDesign) -> str:
    """Longest path and power; the activity is that of ``activity.saif`` where there is one, else 0.1 a cycle at inputs.

    OpenSTA 2.0.17, which Debian has, reads no SAIF. It counts an activity by cycle of the clock behind a net, as
    later versions do, but a second where there is none: the input delays of the SDC relate all inputs to the clock.
    """
    return f"""# sta {design.top}.tcl, beside {LIBERTY} and {NETLIST}
read_liberty {LIBERTY}
read_verilog {NETLIST}
link_design {design.top}
read_sdc {design.top}.sdc
if {{ [llength [info commands read_saif]] && [file exists {SAIF}] }} {{
  read_saif -scope {design.top} {SAIF}
  puts "activity: {SAIF}"
}} else {{
  set_power_activity -input -activity 0.1 -duty 0.5
  puts "activity: 0.1 a cycle at every input, no vectors"
}}
report_checks -path_delay max -digits 4
report_power -digits 6
"""

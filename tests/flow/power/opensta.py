"""OpenSTA on a mapped netlist, as a reference: 2.0.17 of 2019, the version that Debian packages."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, Liberty
from slipstick.flow.power.cell_power import Energy
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.synth import OUTPUT_LOAD_FF, synthesise
from slipstick.flow.power.timing import INPUT_SLEW_PS
from slipstick.rtl.array.mesh import Mesh
from slipstick.rtl.cells.registry import cell
from slipstick.rtl.parts.place import Library
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import to_verilog
from tests.flow.power.designs import ELEMENT, element_verilog

CLOCK_PS = 10_000
SHARED = Path(__file__).parents[4] / "shared" / "data" / "liberty"
FOLDERS = [SHARED, *(Path(one) for one in os.environ.get("SLIPSTICK_TEST_LIBERTY", "").split(os.pathsep) if one)]
LIBRARIES = [DEFAULT_LIBERTY, *sorted(file for folder in FOLDERS for file in folder.glob("*.lib*"))]
"""The shipped library, and all Liberty files beside the checkout and in folders that SLIPSTICK_TEST_LIBERTY names."""

needs_opensta = pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA (Debian package opensta) is absent")


def label(path: Path, liberty: Liberty) -> str:
    """Name of a library in tables; the shipped one stands beside its original."""
    return f"{liberty.describe()}{', shipped' if path == DEFAULT_LIBERTY else ''}"


def mapped(liberty: Liberty, kind: str, name: str = "exact8s") -> MappedNetlist:
    """Gates of a cell: the "multiplier" alone, its "element", or an "array" of 4 x 4 of them, flattened."""
    one = cell(name)
    if kind == "array":
        array = ArrayConfig(4, 4, CellMix.by_column([one] * 4, rows=4, columns=4))
        library = Library()
        library.part(Mesh, AcceleratorConfig(array, 2, 2))
        text = "\n".join(to_verilog(part, part.module_name) for part in library.parts())
        return MappedNetlist.build(synthesise(text, Mesh.module_name, liberty, clock_ps=CLOCK_PS), liberty)
    text, top = (multiplier_verilog(one), MULTIPLIER) if kind == "multiplier" else (element_verilog(one, 20), ELEMENT)
    return MappedNetlist.build(synthesise(text, top, liberty, clock_ps=CLOCK_PS), liberty)


def longest_path_ps(netlist: MappedNetlist, liberty: Liberty, clock_ps: float, folder: Path) -> float:
    """Longest path as OpenSTA has it, setup time included, under the assumptions of ``timing.analyse``."""
    report = ["report_checks -unconstrained -path_delay max -digits 7"]
    log = run(netlist, liberty, clock_ps, folder, report)
    arrivals = re.findall(r"([\d.]+)\s+data arrival time", log)
    assert arrivals, log[-2000:]
    setup = re.findall(r"(-?[\d.]+) +-?[\d.]+ +library setup time", log)
    return _unit(liberty, "time_unit") * (float(arrivals[0]) - (float(setup[0]) if setup else 0.0))


def powers(netlist: MappedNetlist, clock_ps: float, density: float, duty: float, folder: Path) -> dict[str, Energy]:
    """Energy of a cycle in fJ by instance of ``netlist_verilog``, all nets at one activity.

    2.0.17 takes no activity of single inner nets: every net changes ``density`` times a cycle and is 1 for the
    share ``duty`` of the time; clocks change twice.
    """
    report = [
        "set_input_delay 0 -clock clock [all_inputs]",  # activities count by cycle of the clock behind a net
        *(f"set_power_activity {which} -activity {density} -duty {duty}" for which in ("-global", "-input")),
        "report_power -digits 9 -instances [get_cells *]",
    ]
    log = run(netlist, netlist.liberty, clock_ps, folder, report)
    rows = re.findall(r"^ *([-\d.e+]+) +([-\d.e+]+) +([-\d.e+]+) +[-\d.e+]+ (\w+)$", log, re.M)
    to_fj = 1e15 * clock_ps * 1e-12  # W over a cycle
    return {name: Energy(*(to_fj * float(one) for one in shares)) for *shares, name in rows}


def run(netlist: MappedNetlist, liberty: Liberty, clock_ps: float, folder: Path, report: list[str]) -> str:
    """Log of OpenSTA on a netlist, under the assumptions of ``timing.analyse``."""
    verilog = netlist_verilog(netlist)
    (folder / "netlist.v").write_text(verilog.text)
    # 2.0.17 applies the default wire load unasked.
    (folder / "library.lib").write_text(re.sub(r"default_wire_load[^;]*;", "", liberty.text))
    to_ps, to_ff = _unit(liberty, "time_unit"), _unit(liberty, "capacitive_load_unit")
    clocks = " ".join(verilog.nets[net] for net in netlist.clock_nets)
    script = [
        "read_liberty library.lib", "read_verilog netlist.v", f"link_design {netlist.top}",
        f"create_clock -name clock -period {clock_ps / to_ps} {clocks}",
        f"set_input_transition {INPUT_SLEW_PS / to_ps} [all_inputs]",
        *([f"set_clock_transition {INPUT_SLEW_PS / to_ps} clock"] if clocks else []),
        f"set_load -pin_load {OUTPUT_LOAD_FF / to_ff} [all_outputs]",
        *report,
    ]  # fmt: skip
    (folder / "run.tcl").write_text("\n".join(script) + "\n")
    done = subprocess.run(["sta", "-no_splash", "-exit", "run.tcl"], cwd=folder, capture_output=True, text=True)
    log = done.stdout + done.stderr
    assert "Error" not in log, log[-2000:]
    return log


def _unit(liberty: Liberty, name: str) -> float:
    """A unit of the library's text in ps or fF."""
    size = {"ns": 1000.0, "ps": 1.0, "pf": 1000.0, "ff": 1.0}
    found = re.search(rf'{name}\s*[:(]\s*"?([\d.]+)[\s,"]*(\w+)', liberty.text)
    assert found, f"{name} is missing"
    return float(found[1]) * size[found[2].lower()]

"""OpenSTA on a mapped netlist, as a reference: 2.0.17 of 2019, which Debian packages, and later ones."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from slipstick.flow.cost.modules import ELEMENT, MULTIPLIER, element_verilog, multiplier_verilog
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, Liberty
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.synth import OUTPUT_LOAD_FF, synthesise
from slipstick.flow.power.timing import INPUT_SLEW_PS
from slipstick.rtl.cells.registry import cell

CLOCK_PS = 10_000
SHARED = Path(__file__).parents[4] / "shared" / "data" / "liberty"
FOLDERS = [SHARED, *(Path(one) for one in os.environ.get("SLIPSTICK_LIBERTY", "").split(os.pathsep) if one)]
LIBRARIES = [DEFAULT_LIBERTY, *sorted(file for folder in FOLDERS for file in folder.glob("*.lib*"))]
"""The shipped library, and all Liberty files beside the checkout and in the folders that SLIPSTICK_LIBERTY names."""

needs_opensta = pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA (Debian package opensta) is absent")


def label(path: Path, liberty: Liberty) -> str:
    """Name of a library in tables; the shipped one stands beside its original."""
    return f"{liberty.describe()}{', shipped' if path == DEFAULT_LIBERTY else ''}"


def mapped(liberty: Liberty, kind: str) -> MappedNetlist:
    """Gates of ``exact8s``: the "multiplier" alone, or its "element"."""
    one = cell("exact8s")
    text, top = (multiplier_verilog(one), MULTIPLIER) if kind == "multiplier" else (element_verilog(one, 20), ELEMENT)
    return MappedNetlist.build(synthesise(text, top, liberty, clock_ps=CLOCK_PS), liberty)


def switching_fj(netlist: MappedNetlist, density: float) -> dict[str, float]:
    """Our switching energy of a cycle by gate of ``netlist_verilog``, all nets at one density, ports loaded."""
    ends = {net for direction, nets in netlist.ports.values() if direction == "output" for net in nets}
    found = {}
    for name, gate in zip(netlist_verilog(netlist).instances, netlist.gates, strict=False):
        nets = [gate.nets[pin.name] for pin in gate.cell.outputs if pin.name in gate.nets]
        load = sum(netlist.load_ff[net] + OUTPUT_LOAD_FF * (net in ends) for net in nets)
        found[name] = 0.5 * load * netlist.liberty.voltage_v**2 * density
    return found


def longest_path_ps(netlist: MappedNetlist, liberty: Liberty, clock_ps: float, folder: Path) -> float:
    """Longest path as OpenSTA has it, setup time included, under the assumptions of ``timing.analyse``."""
    report = ["report_checks -unconstrained -path_delay max -digits 7"]
    log = run(netlist, liberty, clock_ps, folder, report)
    arrivals = re.findall(r"([\d.]+)\s+data arrival time", log)
    assert arrivals, log[-2000:]
    setup = re.findall(r"(-?[\d.]+) +-?[\d.]+ +library setup time", log)
    return _unit(liberty, "time_unit") * (float(arrivals[0]) - (float(setup[0]) if setup else 0.0))


def powers(
    netlist: MappedNetlist, liberty: Liberty, clock_ps: float, density: float, folder: Path
) -> dict[str, tuple[float, float, float]]:
    """(internal, switching, leakage) energy of a cycle in fJ by instance of ``netlist_verilog``.

    All nets change ``density`` times a cycle and are 1 half of the time: 2.0.17 takes activities of input ports
    alone, and gives every net behind them the greatest of its inputs'.
    """
    per_second = density / (clock_ps * 1e-12)
    report = [
        f"set_power_activity -input -activity {per_second} -duty 0.5",
        "report_power -digits 9 -instances [get_cells *]",
    ]
    log = run(netlist, liberty, clock_ps, folder, report)
    rows = re.findall(r"^ *([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+) +[\d.e+-]+ (\w+)$", log, re.M)
    to_fj = 1e15 * clock_ps * 1e-12  # W over a cycle
    return {name: (to_fj * float(a), to_fj * float(b), to_fj * float(c)) for a, b, c, name in rows}


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

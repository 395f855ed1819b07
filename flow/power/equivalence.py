"""Proof by SAT that mapped gates compute what the Verilog they came from computes: for cells too wide for a table."""

import tempfile
from pathlib import Path

from slipstick.flow import yosys
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .gates import MappedNetlist
from .synth import Synthesis, SynthesisError

TIMEOUT_S = 600
_SWEEP = "+strash;&get,-n;&fraig,-x;&put;strash;fraig;dfraig"  # ABC merges what both halves compute alike
_SCRIPT = f"""read_verilog gold.v
hierarchy -check -top {{top}}
proc
flatten
rename {{top}} gold
design -stash gold
read_verilog gate.v
read_liberty -ignore_miss_func library.lib
hierarchy -check -top gate
flatten
design -stash gate
design -copy-from gold gold
design -copy-from gate gate
miter -equiv -flatten -make_outputs gold gate miter
hierarchy -top miter
flatten
opt -full
techmap
opt
abc -g AND,XOR -script {_SWEEP}
opt
tee -o proof sat -prove trigger 0 miter
"""


def mapped_verilog(netlist: MappedNetlist, top: str = "gate") -> str:
    """Structural Verilog of a combinational mapped netlist, one instance a gate."""
    ports = ", ".join(f"{direction} [{len(bits) - 1}:0] {name}" for name, (direction, bits) in netlist.ports.items())
    lines = [f"module {top}({ports});", f"  wire [{netlist.net_count - 1}:0] net;"]
    lines += ["  assign net[0] = 1'b0;", "  assign net[1] = 1'b1;"]
    for name, (direction, bits) in netlist.ports.items():
        word = ", ".join(f"net[{bit}]" for bit in reversed(bits))
        lines.append(f"  assign {{{word}}} = {name};" if direction == "input" else f"  assign {name} = {{{word}}};")
    for number, gate in enumerate(netlist.gates):
        pins = ", ".join(f".{pin}(net[{net}])" for pin, net in gate.nets.items())
        lines.append(f"  {gate.cell.name} g{number} ({pins});")
    return "\n".join([*lines, "endmodule", ""])


def proved_equal(verilog: str, synthesis: Synthesis, netlist: MappedNetlist, *, store: Store | None = None) -> bool:
    """Whether the mapped ``netlist`` of module ``synthesis.top`` equals its ``verilog`` for every operand; kept.

    False when SAT finds operands on which they differ. Raises SynthesisError when neither is shown in TIMEOUT_S.
    """
    gate = mapped_verilog(netlist)
    key = digest(verilog, gate, netlist.liberty.digest, synthesis.tools, _SCRIPT, code_digest(__name__))
    return (store or Store("equivalence")).json(key, lambda: _prove(verilog, gate, synthesis.top, netlist.liberty.text))


def _prove(verilog: str, gate: str, top: str, library: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="slipstick-proof-") as name:
        folder = Path(name)
        for file, text in {"gold.v": verilog, "gate.v": gate, "library.lib": library}.items():
            (folder / file).write_text(text)
        done = yosys.run(folder, _SCRIPT.format(top=top), timeout_s=TIMEOUT_S)
        proof = (folder / "proof").read_text() if (folder / "proof").exists() else ""
    if "no model found: SUCCESS" in proof:
        return True
    if "model found: FAIL" in proof:
        return False
    raise SynthesisError(f"no proof that {top!r} was mapped rightly", done)

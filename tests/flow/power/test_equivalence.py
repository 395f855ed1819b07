"""Proofs of equivalence: what is mapped rightly passes, any single changed gate does not."""

import contextlib
import dataclasses
from pathlib import Path

import pytest

from slipstick.errors import UserError
from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.power.equivalence import proved_equal
from slipstick.flow.power.gates import MappedNetlist, check_against_table
from slipstick.flow.power.synth import synthesise
from slipstick.rtl.cells import FAMILIES, build, cell, names
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.parts.multiplier import Multiplier
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.store import Store


def mapped(cell: Cell, store: Store):
    verilog, library = to_verilog(Multiplier(cell), "wide"), default_liberty()
    synthesis = synthesise(verilog, "wide", library, clock_ps=10_000, store=store)
    return verilog, synthesis, MappedNetlist.build(synthesis, library)


def wide(family: str) -> Cell:
    """A 12 x 12 cell of a family, 16 x 16 where it takes no 12 bits, with parameters of a registered 8 x 8 one."""
    for width in (12, 16):
        for one in map(cell, names(f"{family}8s*")):
            with contextlib.suppress(UserError):
                return build(family, width=width, **dict(one.parameters))
    raise AssertionError(f"{family} takes neither 12 nor 16 bits")


@pytest.mark.parametrize("family", ["exact", "truncated_magnitude", "drum"])
def test_mapped_gates_of_wide_cells_equal_their_verilog(family: str, tmp_path: Path) -> None:
    store = Store("proof", tmp_path)
    assert proved_equal(*mapped(wide(family), store), store=store)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_mapped_gates_of_every_family_are_proved_at_12_or_16_bits(tmp_path: Path) -> None:
    store = Store("proof", tmp_path)
    for family in FAMILIES:
        assert proved_equal(*mapped(wide(family), store), store=store), family


def test_a_swapped_gate_is_found_exactly_when_the_table_finds_it(tmp_path: Path) -> None:
    store = Store("proof", tmp_path)
    cell = build("truncated", width=4, k=2)
    verilog, synthesis, netlist = mapped(cell, store)
    library = netlist.liberty
    others = {"sg13g2_nand2_1": "sg13g2_nor2_1", "sg13g2_nor2_1": "sg13g2_nand2_1", "sg13g2_xor2_1": "sg13g2_xnor2_1",
              "sg13g2_xnor2_1": "sg13g2_xor2_1", "sg13g2_and2_1": "sg13g2_or2_1"}  # fmt: skip
    swapped = 0
    for place, gate in enumerate(netlist.gates):
        if gate.cell.name in others:
            other = dataclasses.replace(gate, cell=library.cell(others[gate.cell.name]))
            if set(other.nets) != set(other.cell.pins):
                continue
            wrong = dataclasses.replace(netlist, gates=(*netlist.gates[:place], other, *netlist.gates[place + 1 :]))
            assert proved_equal(verilog, synthesis, wrong, store=store) == (check_against_table(wrong, cell) == 0)
            swapped += 1
    assert swapped >= 5

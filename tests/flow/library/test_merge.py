"""Libraries that come in several files, in the manner of ASAP7: units of ps, fF and pW, leakage by supply."""

import re

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.library.liberty import parse_liberty
from slipstick.flow.library.merge import merge
from slipstick.flow.library.slim import slim
from slipstick.flow.library.syntax import Group, read, write
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.synth import synthesise

REGISTER = "module top(input clk, input d, output reg q); always @(posedge clk) q <= d; endmodule"


def part(text: str, keep: set[str]) -> str:
    """The library with some of its cells only."""
    library = read(text, "whole")
    items = [item for item in library.items if not (isinstance(item, Group) and item.kind == "cell")]
    items += [cell for cell in library.groups("cell") if cell.name in keep]
    return write(Group(library.kind, library.arguments, items))


@pytest.fixture
def files(toy_text):
    cells = {"INV", "NAND", "BUF1", "BUF2", "DFF"}
    return [("one.lib", part(toy_text(), {"INV", "NAND"})), ("two.lib", part(toy_text(), cells - {"INV", "NAND"}))]


def test_parts_make_the_whole_again(files, toy_text):
    assert parse_liberty(merge(files)).cells == parse_liberty(toy_text()).cells


def test_templates_of_one_name_that_differ_keep_their_own_axes(files, toy_text):
    swapped = part(toy_text(swapped=True), {"BUF1", "BUF2", "DFF"})
    assert parse_liberty(merge([files[0], ("two.lib", swapped)])).cells == parse_liberty(toy_text()).cells


def test_other_units_or_another_corner_are_refused(files, toy_text):
    other = part(toy_text(units="ff"), {"BUF1"})
    with pytest.raises(UserError, match=r"one\.lib and two\.lib differ in capacitive_load_unit: 1,pf and 1,ff"):
        merge([files[0], ("two.lib", other)])
    slow = files[1][1].replace("nom_voltage : 2.0", "nom_voltage : 1.6")
    with pytest.raises(UserError, match=r"differ in nom_voltage: 2\.0 and 1\.6"):
        merge([files[0], ("two.lib", slow)])


def test_a_cell_that_stands_twice_is_refused(files):
    with pytest.raises(UserError, match=r"cell 'INV' stands in one\.lib and in again\.lib"):
        merge([files[0], ("again.lib", files[0][1])])


def test_an_inverting_flip_flop_survives_slimming_and_is_mapped(toy_text):
    """ASAP7's flip-flops hold the inverse of D and show it inverted."""
    text = toy_text().replace('next_state : "D"', 'next_state : "!D"')
    text = re.sub(r"pin \(Q\) .*?\} \}\n", "", text, count=1, flags=re.S).replace('when : "Q * !QN"', 'when : "!QN"')
    liberty = parse_liberty(slim(text))
    assert liberty.cells["DFF"].flop is not None and "Q" not in liberty.cells["DFF"].pins
    netlist = MappedNetlist.build(synthesise(REGISTER, "top", liberty, clock_ps=1000), liberty)
    words = [0, 1, 1, 0, 1, 0, 0, 1]
    shown = simulate(netlist, {"d": np.array(words)}).values("q")
    assert shown[1:].tolist() == words[:-1]

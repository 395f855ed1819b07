"""Gate costs from a Liberty file: what every mapping to a library must pay."""

import pytest

from slipstick.errors import UserError
from slipstick.flow.evolve.genome import ANDN, NAND, NOR, XNOR
from slipstick.flow.evolve.proxy import GateCosts, gate_costs
from slipstick.flow.library.liberty import parse_liberty
from slipstick.rtl.cells.netlist import AND, NOT, OR, XOR


def test_polarity_is_free_and_an_xor_dearer(costs: GateCosts) -> None:
    for part in (costs.output, costs.input):
        assert len({part[kind] for kind in (AND, OR, NAND, NOR, ANDN)}) == 1
        assert part[XOR] == part[XNOR] > part[AND] > part[NOT] > 0
    assert min(costs.present) >= 1


def test_figures_are_those_of_the_cheapest_cell(toy_text) -> None:
    costs = gate_costs(parse_liberty(toy_text()), 1e4)
    pin_ff, voltage = 3.0, 2.0
    hidden = (1.0 + 3.0) / 2 / 2  # of pin B alone, so the mean over both pins
    assert costs.input[AND] == pytest.approx(1000 * (0.5 * pin_ff * voltage**2 + hidden), abs=1)
    assert costs.input[NOT] == 1000 * 0.5 * pin_ff * voltage**2
    assert costs.output[XOR] == 3 * costs.output[AND] and costs.input[XOR] == 3 * costs.input[AND]  # no XOR cell


def test_a_library_without_gates_is_refused(toy_text) -> None:
    text = toy_text().replace('function : "!(A B)"', 'function : "A"')
    with pytest.raises(UserError, match="toy: has no two-input gate or no inverter"):
        gate_costs(parse_liberty(text), 1e4)

"""The shipped evolved cells: sound netlists, within the bounds that their names and the asset state."""

import json
import operator

import numpy as np
import pytest

from slipstick.rtl.cells import cell, names
from slipstick.rtl.cells.evolved import ASSET
from slipstick.rtl.cells.netlist import NOT, Netlist

NAMES = names("evolved*")
BOUNDS = [int(name.rpartition("_mae")[2]) for name in NAMES]
OPERATORS = (operator.and_, operator.or_, operator.xor)
DOCUMENT = json.loads(ASSET.read_text())
SETTINGS = {one["name"]: DOCUMENT["runs"][one["run"]]["settings"] for one in DOCUMENT["cells"]}
PLAIN = [name for name in NAMES if "_b60_" not in name]


def test_a_dozen_or_more_cells_ship_under_bounds_that_were_asked_for() -> None:
    assert len(NAMES) >= 12 and set(NAMES) == set(SETTINGS)
    assert all(bound in SETTINGS[name]["mae"] for name, bound in zip(NAMES, BOUNDS, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_netlist_is_sound_and_canonical(name: str) -> None:
    own = cell(name)
    netlist = own.netlist
    assert own.signed and own.widths == (8, 8) and own.product_width == 16 and own.family == "evolved"
    for node, (gate, x, y) in enumerate(netlist.gates, netlist.first_gate):
        assert 0 <= gate <= NOT and 1 < x < node and (y == 0 if gate == NOT else 1 < y < node)

    def replay(a: list, w: list) -> list:
        nodes = [0, 1, *a, *w]
        for gate, x, y in netlist.gates:
            nodes.append(~nodes[x] if gate == NOT else OPERATORS[gate](nodes[x], nodes[y]))
        return [nodes[node] for node in netlist.outputs]

    assert Netlist.trace(replay, (8, 8)) == netlist  # no dead, constant or doubled gate


@pytest.mark.parametrize(("name", "bound"), list(zip(NAMES, BOUNDS, strict=True)))
def test_errors_keep_the_bounds_that_no_workload_weighs(name: str, bound: int) -> None:
    own = cell(name)
    assert own.errors.wce <= SETTINGS[name]["wce_factor"] * bound
    assert SETTINGS[name]["keep_zero"] and not own.table[0].any() and not own.table[:, 0].any()


def test_a_price_of_bits_makes_low_bits_zero() -> None:
    priced = [cell(name) for name in NAMES if "_b60_" in name]
    assert priced and all(not (own.table & 0x7F).any() for own in priced)


def test_gates_fall_as_bounds_loosen() -> None:
    gates = [len(cell(name).netlist.gates) for name in PLAIN]
    bounds = [int(name.rpartition("_mae")[2]) for name in PLAIN]
    assert np.corrcoef(np.log(bounds), gates)[0, 1] < -0.95 and gates[-1] < gates[0] / 4

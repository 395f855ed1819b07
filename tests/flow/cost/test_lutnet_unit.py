"""Mapped weightless MLP units compute their spec, and cost what more parallel sums must cost."""

from dataclasses import replace

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.cost import lutnet_unit
from slipstick.flow.cost.lutnet_unit import lutnet_cost
from slipstick.flow.cost.unit import MappingError
from slipstick.flow.library.liberty import default_liberty
from slipstick.rtl.lutnet.unit import LutNetUnit
from slipstick.rtl.verilog.emit import to_verilog
from tests.rtl.spec.lutnets import random_lutnet

SPEC = random_lutnet(6, 4, (16, 12), 4, outputs=6)
CODES = np.random.default_rng(3).integers(-128, 128, (24, 6)).astype(np.int8)


def test_more_bits_a_cycle_take_fewer_cycles_and_more_area() -> None:
    costs = [lutnet_cost(LutNetUnit(SPEC, 2, parallel), CODES, default_liberty()) for parallel in (1, 4)]
    assert [cost.cycles for cost in costs] == [12, 3]
    assert costs[0].area_um2 < costs[1].area_um2 and costs[1].energy_fj < costs[0].energy_fj
    for cost in costs:
        assert 0 < cost.sequential_area_um2 < cost.area_um2 and 0 < cost.energy_fj < cost.glitch_energy_fj
        assert 0 < cost.delay_ps < 10_000  # a default clock cycle


def test_tokens_that_never_change_take_less_energy() -> None:
    unit = LutNetUnit(SPEC, 2, 4)
    still = np.repeat(CODES[:1], len(CODES), 0)
    assert lutnet_cost(unit, still, default_liberty()).energy_fj < lutnet_cost(unit, CODES, default_liberty()).energy_fj


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(UserError, match="5 tokens of at least 6"):
        lutnet_cost(LutNetUnit(SPEC, 2), CODES[:5], default_liberty())


def test_beats_wider_than_a_machine_word_are_measured() -> None:
    wide = random_lutnet(9, 4, (16, 12), 4, outputs=9)
    codes = np.random.default_rng(4).integers(-128, 128, (24, 9)).astype(np.int8)
    assert lutnet_cost(LutNetUnit(wide, 9, 12), codes, default_liberty()).cycles == 1


def test_a_netlist_of_other_entries_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = SPEC.entries.copy()
    entries[11, 5] ^= 1
    other = LutNetUnit(replace(SPEC, entries=entries), 2, 4)
    monkeypatch.setattr(lutnet_unit, "to_verilog", lambda unit, name: to_verilog(other, name))
    with pytest.raises(MappingError, match="lutnet_d6_n12_p2_s4: the mapped netlist does not compute its spec"):
        lutnet_cost(LutNetUnit(SPEC, 2, 4), CODES, default_liberty())

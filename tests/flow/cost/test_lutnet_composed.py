"""A weightless MLP unit put together from parts costs what it costs when it is mapped whole."""

from dataclasses import replace

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.cost import lutnet_composed
from slipstick.flow.cost.lutnet_composed import composed_cost
from slipstick.flow.cost.lutnet_unit import lutnet_cost
from slipstick.flow.cost.unit import MappingError
from slipstick.flow.cost.wires import NO_WIRES
from slipstick.flow.library.liberty import default_liberty
from slipstick.rtl.lutnet.sums import ConditionalSums
from slipstick.rtl.lutnet.unit import LutNetUnit
from tests.rtl.spec.lutnets import random_lutnet

SPEC = random_lutnet(8, 4, (24,), 5, outputs=8)
CODES = np.random.default_rng(3).integers(-128, 128, (24, 8))
HALVES = [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "parallel"), [(2, 6), (8, 24)])
def test_parts_together_cost_about_what_the_whole_does(lanes: int, parallel: int) -> None:
    unit = LutNetUnit(SPEC, lanes, parallel)
    whole = lutnet_cost(unit, CODES, default_liberty())
    composed = composed_cost(unit, CODES, HALVES, default_liberty())
    assert composed.cycles == whole.cycles
    # Slices share no gates of their ROMs: together they are the larger.
    assert 1 < composed.area_um2 / whole.area_um2 < 1.12
    assert composed.gates_fj[0] == pytest.approx(whole.energy_fj, rel=0.06)
    assert composed.gates_fj[1] == pytest.approx(whole.glitch_energy_fj, rel=0.08)
    assert composed.delay_ps == pytest.approx(whole.delay_ps, rel=0.12)


def test_clock_tree_and_wires_come_on_top_of_the_gates() -> None:
    unit = LutNetUnit(SPEC, 2, 6)
    wired, bare = (composed_cost(unit, CODES, HALVES[:1], default_liberty(), wires=one)
                   for one in (lutnet_composed.WIRES, NO_WIRES))  # fmt: skip
    assert wired.gates_fj == bare.gates_fj and bare.wires_fj == (0, 0)
    for k in (0, 1):
        assert wired.whole_fj[k] > bare.whole_fj[k] > bare.gates_fj[k] > 0
    assert wired.wires_fj[1] > wired.wires_fj[0] > 0
    assert 0 < bare.leakage_fj < 0.01 * bare.gates_fj[0]


def test_one_slice_stands_for_two_like_it() -> None:
    spec = replace(SPEC, entries=np.concatenate([SPEC.entries[:, :4]] * 2, axis=1))
    unit = LutNetUnit(spec, 2, 6)
    one, both = (composed_cost(unit, CODES, slices, default_liberty()) for slices in (HALVES[:1], HALVES))
    assert one.area_um2 == pytest.approx(both.area_um2) and one.whole_fj == pytest.approx(both.whole_fj)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(UserError, match="8 tokens of at least 9"):
        composed_cost(LutNetUnit(SPEC, 8, 24), CODES[:8], HALVES, default_liberty())


def test_sums_of_other_entries_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(entries: np.ndarray, *rest: object) -> ConditionalSums:
        changed = entries.copy()
        changed[11, 2] ^= 1
        return ConditionalSums(changed, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(lutnet_composed, "ConditionalSums", other)
    with pytest.raises(MappingError, match=r"mapped sums of outputs \[0, 1, 2, 3\] are not the spec's"):
        composed_cost(LutNetUnit(SPEC, 2, 6), CODES, HALVES, default_liberty())

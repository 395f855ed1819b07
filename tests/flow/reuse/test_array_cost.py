"""Energy of attention reuse on the array: composed from parts, it is that of the network measured as a whole."""

from dataclasses import replace

import pytest

from slipstick.errors import UserError
from slipstick.flow.cost.baseline import BASELINE
from slipstick.flow.reuse.array_cost import ArrayParts
from slipstick.flow.reuse.geometry import SHIPPED_VIT, Geometry
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches
from slipstick.model.reuse.convert import reuse_
from slipstick.model.workload import workload
from slipstick.model.zoo import load_model


@pytest.mark.slow
def test_cost_falls_by_the_same_amount_for_every_encoder_and_agrees_with_the_whole_network(one_thread: None) -> None:
    loaded = load_model()
    reuse_(loaded.module, (1, 3, 5))
    batches = input_batches(loaded, shipped("calibration")[:32])
    parts = ArrayParts.measure(loaded, batches, rows=8, columns=8, clock_mhz=100)
    costs = [parts.cost(SHIPPED_VIT, reuse) for reuse in range(6)]
    assert len({cost.area_mm2 for cost in costs}) == 1
    for name in ("energy_mj", "delay_ms", "edap"):
        values = [getattr(cost, name) for cost in costs]
        assert values == sorted(values, reverse=True) and len(set(values)) == 6
    bare = parts.cost(SHIPPED_VIT, 3, transform=False)
    assert bare.energy_mj < costs[3].energy_mj and bare.delay_ms < costs[3].delay_ms
    shapes = {name: one for name, one in workload(loaded.module).items() if name.startswith("blocks.")}
    direct = replace(parts.model, shapes=shapes).inference_energy({})
    assert costs[3].energy_mj == pytest.approx(1e-6 * direct.total_nj.inference, rel=0.03)
    assert costs[3].delay_ms == pytest.approx(sum(x.latency_us for x in direct.details.values()) / 1000, rel=0.01)
    wide = Geometry("wide", 197, 384, 12, 6, 4)
    assert parts.cost(wide, 5).energy_mj > 20 * costs[3].energy_mj
    for find in (parts.cost, parts.spatial_cost):
        with pytest.raises(UserError, match="6 of 6 encoders cannot reuse"):
            find(SHIPPED_VIT, 6)
    check_arrays_of_their_own(parts)


def check_arrays_of_their_own(parts: ArrayParts) -> None:
    """Area is that of so many arrays; the way through what one array takes; what waits adds to the energy."""
    one = [parts.cost(SHIPPED_VIT, reuse) for reuse in range(6)]
    for matrix, whole, less in ((False, 6, 2), (True, 14, 10)):
        found = [parts.spatial_cost(SHIPPED_VIT, reuse, matrix=matrix) for reuse in range(6)]
        assert [cost.arrays for cost in found] == [6 * whole - less * reuse for reuse in range(6)]
        for cost, shared in zip(found, one, strict=True):
            assert cost.image.area_mm2 == pytest.approx(cost.arrays * shared.area_mm2)
            assert cost.image.energy_mj > shared.energy_mj
            assert cost.interval_edap < cost.image.edap
            assert 2 * cost.interval_ms < cost.image.delay_ms <= shared.delay_ms * (1 + 1e-9)
        assert len({cost.interval_ms for cost in found}) == 1  # encoder 0 keeps its attention, and MLPs stay
        for values in ([cost.image.edap for cost in found], [cost.interval_edap for cost in found]):
            assert values == sorted(values, reverse=True)
    layers = parts.spatial_cost(SHIPPED_VIT, 2, matrix=False)
    assert layers.image.delay_ms == pytest.approx(one[2].delay_ms)
    busy = parts.cost(SHIPPED_VIT, 2).delay_ms
    waiting = 32 * layers.interval_ms - busy  # of all arrays, at so much energy a cycle
    idle_fj = sum(parts.model.resting_cycle_fj(BASELINE))
    assert layers.image.energy_mj - one[2].energy_mj == pytest.approx(waiting * 1e5 * idle_fj * 1e-12)

"""Energy of attention reuse on the array: composed from parts, it is that of the network measured as a whole."""

import pytest

from slipstick.errors import UserError
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
    macs = {  # all of them are whole tiles: nothing is padded
        name: one.macs for name, one in shapes.items()
    }
    outputs = {name: one.rows * one.repeats * one.channels for name, one in shapes.items()}
    direct = parts.model.inference_energy(dict.fromkeys(macs, "exact8s"), macs, outputs)
    assert costs[3].energy_mj == pytest.approx(1e-6 * direct.total_nj.inference, rel=0.03)
    assert costs[3].delay_ms == pytest.approx(sum(x.latency_us for x in direct.details.values()) / 1000, rel=0.01)
    wide = Geometry("wide", 197, 384, 12, 6, 4)
    assert parts.cost(wide, 5).energy_mj > 20 * costs[3].energy_mj
    with pytest.raises(UserError, match="6 of 6 encoders cannot reuse"):
        parts.cost(SHIPPED_VIT, 6)

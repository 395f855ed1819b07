"""Everything that is emitted has a price: each module is in the model, or holds wires only, or is a memory."""

import pytest

from slipstick.flow.cost.cost import CostModel
from slipstick.flow.cost.emitted import emitted_modules, map_modules
from slipstick.rtl.array.accelerator import Accelerator
from slipstick.rtl.array.accumulators import Accumulators
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.cycles import Shape
from tests.flow.cost.operands import tile

MIX = ("exact_multiples8s", "truncated_magnitude8s_k6_c2", "exact8s", "evolved8s_b60_mae140")


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (4, 4)])
@pytest.mark.parametrize("uniform", [True, False])
def test_every_module_of_an_emitted_accelerator_has_a_price(shape: tuple[int, int], uniform: bool) -> None:
    mix = (MIX[1],) * 4 if uniform else MIX
    model = CostModel.build(
        [cell(name) for name in MIX], {"x": [tile("x", 1, rows=4, columns=4)]}, {"x": Shape(64, 4, 4)}, rows=4,
        columns=4, tile=shape,
    )  # fmt: skip
    config = model.config(mix)
    emitted = emitted_modules(Accelerator, config)
    priced, waiting = set[str](), [name for name in model.units(mix) if name in emitted]
    while waiting:
        name = waiting.pop()
        if name not in priced:
            priced.add(name)
            waiting += emitted[name].children
    assert "control" in priced and any(name.startswith("requantiser") for name in priced)
    memories = {Accumulators(config.sum_width(c), config.accumulator_rows).module_name for c in range(4)}
    left = set(emitted) - priced - memories
    wires = map_modules([emitted[name] for name in left], model.liberty, model.clock_ps)
    gates = {
        name: {kind: count for kind, count in one.cells_by_type.items() if kind not in emitted}
        for name, one in wires.items()
    }
    assert gates.pop("accelerator") == {"sg13g2_inv_1": 1}  # of the reset, which does not move
    assert not any(gates.values()), gates


def test_units_are_placed_as_often_as_the_design_has_them() -> None:
    """Counted in the emitted Verilog, instance by instance."""
    model = CostModel.build(
        [cell(MIX[1])], {"x": [tile("x", 1, rows=4, columns=4)]}, {"x": Shape(64, 4, 4)}, rows=4, columns=4,
        tile=(2, 2),
    )  # fmt: skip
    emitted = emitted_modules(Accelerator, model.config(MIX[1]))
    counts: dict[str, int] = {}

    def count(name: str) -> None:
        counts[name] = counts.get(name, 0) + 1
        text = emitted[name].verilog.rpartition("(* blackbox *)")[2]
        body = text.partition("\n")[2] if emitted[name].children else text
        for child in emitted[name].children:
            for _ in range(sum(line.split()[:1] == [child] for line in body.splitlines())):
                count(child)

    count("accelerator")
    for name, (_, placed) in model.units(MIX[1]).items():
        assert counts[name] == pytest.approx(placed), name

"""An unsigned cell between negations gives the signed product of its own table, on all pairs."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.cells import Cell, build, cell, library, names
from slipstick.rtl.cells.netlist import Netlist
from slipstick.rtl.cells.wrapped import for_arrays, on_signed_operands
from slipstick.rtl.spec.array import ArrayConfig, CellMix

UNSIGNED = [name for name in names("*8u*") if cell(name).widths == (8, 8)]


@pytest.mark.parametrize("name", UNSIGNED)
def test_every_product_is_that_of_the_magnitudes_with_the_sign(name: str) -> None:
    inner, outer = cell(name), for_arrays(cell(name))
    values = np.arange(256).astype(np.uint8).view(np.int8).astype(int)
    products = inner.table[np.abs(values)[:, None], np.abs(values)]
    negative = (values[:, None] < 0) ^ (values < 0)
    np.testing.assert_array_equal(outer.table, np.where(negative, -products, products))
    assert (
        outer.signed and outer.name == f"{name}_on_magnitudes" and len(outer.netlist.gates) > len(inner.netlist.gates)
    )


def test_the_exact_one_is_exact_at_the_least_operand_too() -> None:
    assert for_arrays(cell("exact8u")).errors.wce == 0


def test_the_name_leads_back_to_the_cell_also_for_the_users_own() -> None:
    library.save(Cell("mine8u", "imported", False, cell("truncated8u_k6").netlist), {})
    for name in ("mine8u_on_magnitudes", "exact8u_on_magnitudes"):
        assert cell(name) == for_arrays(cell(name.removesuffix("_on_magnitudes"))) and names(name) == [name]
    with pytest.raises(UserError, match="'exact8s' is signed"):
        cell("exact8s_on_magnitudes")
    with pytest.raises(UserError, match="unknown cell"):
        cell("nothing_on_magnitudes")
    with pytest.raises(UserError, match="names in _on_magnitudes"):
        library.save(Cell("x_on_magnitudes", "imported", True, build("exact").netlist), {})


def test_arrays_take_signed_cells_as_they_are_and_wrap_the_others() -> None:
    mix = CellMix.by_column([cell("exact8s"), cell("exact8u")], rows=2, columns=2)
    assert [one.name for one in ArrayConfig(2, 2, mix).cells] == ["exact8s", "exact8u_on_magnitudes"]
    assert for_arrays(cell("exact8s")) is cell("exact8s")


def test_other_widths_and_products_that_reach_the_sign_are_refused() -> None:
    with pytest.raises(UserError, match="is 4 x 4, and layers and arrays take 8 x 8 cells"):
        for_arrays(build("exact", width=4, signed=False))
    ones = Netlist((8, 8), (), (1,) * 16)
    with pytest.raises(UserError, match="gives 65535 for some operands up to 128; .* below 32768"):
        on_signed_operands(Cell("ones8u", "imported", False, ones))

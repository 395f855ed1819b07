"""Multipliers of an independent generator, ArithsGen, in Verilog and C: figures and tables are as they must be.

Klhufek and Mrazek, "ArithsGen: Arithmetic Circuit Generator for Hardware Accelerators", DDECS 2022.
"""

from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.importer import import_files
from slipstick.rtl.cells import Cell, cell

wires = pytest.importorskip("ariths_gen.wire_components", reason="pip install ariths-gen: the test group has it")
from ariths_gen.multi_bit_circuits import approximate_multipliers as approximate  # noqa: E402
from ariths_gen.multi_bit_circuits import multipliers  # noqa: E402

EXACT = ["Array", "CarrySave", "Dadda", "Wallace"]


@pytest.fixture
def generate(tmp_path: Path):
    def generate(kind: str, width: int, *, signed: bool, flat: bool = True, **cuts: int) -> Cell:
        """Import Verilog and C of one generated circuit; both must agree."""
        source = multipliers if kind in EXACT else approximate
        maker = getattr(source, f"{'Signed' if signed else 'Unsigned'}{kind}Multiplier")
        circuit = maker(wires.Bus(N=width, prefix="a"), wires.Bus(N=width, prefix="b"), name="mul", **cuts)
        paths = [tmp_path / "mul.v", tmp_path / "mul.c"]
        for path, language in zip(paths, "vc", strict=True):
            with path.open("w") as file:
                getattr(circuit, f"get_{language}_code_{'flat' if flat else 'hier'}")(file)
        found = import_files(paths, allow_run_c=True, signed=signed, top="mul", widths=(width, width))
        assert any("mul.v and mul.c agree on all" in note for note in found.notes)
        return found.cell

    return generate


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("width", [4, 8])
def test_exact_multipliers_have_no_errors(generate, kind: str, signed: bool, width: int) -> None:
    found = generate(kind, width, signed=signed)
    assert found.widths == (width, width) and found.errors.wce == 0 and found.errors.ep == 0


@pytest.mark.parametrize("kind", ["Array", "Dadda", "Wallace"])
def test_hierarchical_verilog_gives_the_same_netlist_as_flat(generate, kind: str) -> None:
    assert generate(kind, 4, signed=True, flat=False) == generate(kind, 4, signed=True)


def test_a_defect_of_the_generator_is_found(generate) -> None:
    """ArithsGen 1.1.4 drives a net twice in the hierarchical Verilog of its signed carry-save multiplier."""
    with pytest.raises(UserError, match="drives a net twice"):
        generate("CarrySave", 8, signed=True, flat=False)


@pytest.mark.parametrize("kind, h, v", [
    *(("BrokenArray", h, v) for h, v in ((1, 4), (1, 6), (2, 4), (2, 6), (2, 8), (3, 6), (3, 8), (4, 8))),
    *(("BrokenCarrySave", h, v) for h, v in ((1, 4), (2, 6))),  # from v = 8 on it drops more, in its last adder
])  # fmt: skip
def test_broken_array_multipliers_equal_our_family(generate, kind: str, h: int, v: int) -> None:
    found = generate(kind, 8, signed=False, horizontal_cut=h, vertical_cut=v)
    np.testing.assert_array_equal(found.table, cell(f"broken_array8u_h{h}_v{v}").table)


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["TruncatedArray", "TruncatedCarrySave"])
def test_truncated_multipliers_multiply_truncated_operands(generate, kind: str, cut: int) -> None:
    """Their truncation drops the low bits of both operands, unlike ours, which drops columns."""
    found = generate(kind, 8, signed=False, truncation_cut=cut)
    values = np.arange(256) >> cut << cut
    np.testing.assert_array_equal(found.table, np.outer(values, values))
    low = (1 << cut) - 1
    assert found.errors.wce == 255**2 - (255 - low) ** 2
    assert found.errors.mae == -found.errors.bias == 127.5**2 - (127.5 - low / 2) ** 2


@pytest.mark.slow
@pytest.mark.parametrize("signed", [True, False])
def test_12_bit_multipliers_are_exact_on_all_pairs(generate, signed: bool) -> None:
    assert generate("Dadda", 12, signed=signed).errors.wce == 0

"""Figures of EvoApproxLib's circuits equal the published ones; needs the circuits, which are not ours to ship.

Closed forms stand in for some of them: their figures are compared with the published table wherever it is there.
"""

import csv
import os
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from slipstick.flow.importer import from_table, import_files
from slipstick.rtl.cells import Cell, ErrorFigures, cell
from slipstick.rtl.cells.errors import operand_values

VARIABLE = "SLIPSTICK_TEST_EVOAPPROX"
NAME = re.compile(r"mul(\d+)(?:x(\d+))?([us])_\w+")


def printed_as(value: float, published: str) -> bool:
    """Whether ``value`` rounds to the digits that were published, either way at a tie."""
    text = Decimal(published)
    unit = Decimal(1).scaleb(int(text.as_tuple().exponent))
    return abs(Decimal(value) - text) <= unit * Decimal("0.500001")


def check_figures(figures: ErrorFigures, bits: int, published: dict[str, str], what: str) -> None:
    """Compare with figures by their published names; a sample's within its intervals."""
    margins = figures.sample.margins if figures.sample else {}
    values = {
        "MAE": figures.mae, "WCE": figures.wce, "EP%": 100 * figures.ep, "MRE%": 100 * figures.mre, "MSE": figures.mse,
        "WCE%": 100 * figures.wce / 2**bits, "MAE%": 100 * figures.mae / 2**bits,
    }  # fmt: skip
    for name, text in published.items():
        value = values[name]
        if figures.sample:
            key = name.rstrip("%").lower()
            scale = 2**bits if name == "MAE%" else 1
            unit = 10.0 ** int(Decimal(text).as_tuple().exponent)
            allowed = 2 * margins.get(key, 0) * (100 if "%" in name else 1) / scale + unit
            assert key == "wce" or abs(value - float(text)) <= allowed, (what, name, value, text)
        elif name == "MAE%":  # some were computed from a MAE that was rounded before
            rounded = {value, *(100 * (float(published["MAE"]) + half) / 2**bits for half in (0, -0.05, 0.05))}
            assert any(printed_as(one, text) for one in rounded), (what, name, value, text)
        else:
            assert printed_as(value, text), (what, name, value, text)


def circuits() -> list[Path]:
    folder = os.environ.get(VARIABLE)
    found = sorted(Path(folder).rglob("mul*.v")) if folder else []
    return [path for path in found if NAME.fullmatch(path.stem) and not path.stem.endswith("_pdk45")]


@pytest.mark.skipif(not circuits(), reason=f"{VARIABLE} names no folder of EvoApproxLib: its circuits are not shipped")
@pytest.mark.parametrize("path", circuits(), ids=lambda path: path.stem)
def test_a_circuit_has_its_published_figures_in_verilog_and_c(path: Path) -> None:
    match = NAME.fullmatch(path.stem)
    assert match
    widths = (int(match[1]), int(match[2] or match[1]))
    paths = [path, *([path.with_suffix(".c")] if path.with_suffix(".c").exists() else [])]
    found = import_files(paths, top=path.stem, allow_run_c=True, widths=widths, signed=match[3] == "s")
    assert found.cell.widths == widths
    published = dict(re.findall(r"^// (MAE%?|WCE%?|EP%|MRE%|MSE) = ([\d.]+(?:e\d+)?)", path.read_text(), re.M))
    assert len(published) == 7
    check_figures(found.cell.errors, sum(widths), published, path.stem)


def cut(left: int, right: int) -> Cell:
    """Signed 8 x 8 products of operands whose low ``left`` and ``right`` bits are dropped."""
    a, w = (operand_values(8, True) >> bits << bits for bits in (left, right))
    return from_table(np.outer(a, w), signed=True)


CLOSED_FORMS = {  # what the circuits compute, found from their published figures and confirmed on their text
    "mul8s_1KVA": lambda: cell("truncated8s_k2"), "mul8s_1KVB": lambda: cell("truncated8s_k3"),
    "mul8s_1KX2": lambda: cell("truncated8s_k4"), "mul8s_1KR8": lambda: cut(0, 1), "mul8s_1L2H": lambda: cut(1, 1),
    "mul8s_1L2D": lambda: cut(2, 2), "mul8s_1KTY": lambda: cut(0, 3), "mul8s_1KR3": lambda: cut(0, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms_have_the_published_figures(name: str, shared: Path) -> None:
    with (shared / "evoapprox_8x8.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["name"] == name)
    columns = {"MAE": "mae_abs", "WCE": "wce_abs", "EP%": "ep_pct", "MRE%": "mre_pct", "MSE": "mse",
               "WCE%": "wce_pct", "MAE%": "mae_pct"}  # fmt: skip
    check_figures(CLOSED_FORMS[name]().errors, 16, {key: row[column] for key, column in columns.items()}, name)

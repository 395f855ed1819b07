"""Power, area and delay of multipliers beside published ones: rank correlations."""

import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from ariths_gen.multi_bit_circuits import adders, multipliers
from ariths_gen.wire_components import Bus

from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.flow.importer import from_verilog, import_files
from slipstick.flow.library.liberty import Liberty, load_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.measure import measure_power, random_vectors
from slipstick.flow.power.synth import synthesise
from slipstick.rtl.cells import Cell, cell
from tests.flow.importer.test_evoapproxlib import circuits
from tests.flow.power.opensta import CLOCK_PS, LIBRARIES, SHARED, label

VECTORS = 16_384
OWN = {
    "mul8s_1KV8": "exact8s", "mul8u_1JFF": "exact8u", "mul8s_1KVB": "truncated8s_k3", "mul8s_1KX2": "truncated8s_k4",
}  # fmt: skip
"""Circuits that equal a cell of ours, table by table."""
COLUMNS = ("pdk45_power_mw", "pdk45_power_mw", "pdk45_area_um2", "pdk45_delay_ns")


def published() -> Iterator[dict[str, object]]:
    """By library: Spearman correlation of power (zero-delay, NLDM), area and delay; nothing without the figures."""
    table = SHARED.parent / "evoapprox_8x8.csv"
    rows = {row["name"]: row for row in csv.DictReader(table.read_text().splitlines())} if table.exists() else {}
    paths = [path for path in circuits() if path.stem in rows]
    if not paths:
        return
    found = {name: cell(own) for name, own in OWN.items() if name in rows}
    for path in paths:
        signed = path.stem.startswith("mul8s")
        found[path.stem] = import_files([path], top=path.stem, widths=(8, 8), signed=signed).cell
    wanted = [[float(rows[name][column]) for name in found] for column in COLUMNS]
    for file in LIBRARIES:
        liberty = load_liberty(file)
        figures = zip(*(_figures(one, liberty) for one in found.values()), strict=True)
        correlations = [_spearman(own, other) for own, other in zip(figures, wanted, strict=True)]
        yield {
            "library": label(file, liberty), "circuits": len(found), "imported": len(paths), "spearman": correlations,
        }  # fmt: skip


ARCHITECTURES = {
    "array": (multipliers.UnsignedArrayMultiplier, None, 392.4, 616.0, 1.89),
    "carry-save array, carry select": (
        multipliers.UnsignedCarrySaveMultiplier, adders.UnsignedCarrySelectAdder, 414.3, 653.0, 1.21,
    ),
    "Wallace, carry look-ahead": (
        multipliers.UnsignedWallaceMultiplier, adders.UnsignedCarryLookaheadAdder, 513.7, 911.0, 1.07,
    ),
    "Wallace, carry select": (
        multipliers.UnsignedWallaceMultiplier, adders.UnsignedCarrySelectAdder, 536.4, 755.0, 1.06,
    ),
}  # fmt: skip
"""Exact 8 x 8 multipliers by ArithsGen: class, final adder, and power, area and delay of that architecture at 45 nm.

The figures head the files of EvoApprox8b's conventional multipliers (github.com/ehw-fit/evoapprox8b; Mrazek et al.,
DATE 2017, doi 10.23919/DATE.2017.7926993), in units of their own.
"""


def architectures() -> Iterator[dict[str, object]]:
    """By library: our figures of ArithsGen's exact multipliers and their Spearman correlations with published ones."""
    found = [_generated(maker, adder) for maker, adder, *_ in ARCHITECTURES.values()]
    power, area, delay = zip(*(figures for _, _, *figures in ARCHITECTURES.values()), strict=True)
    for file in LIBRARIES:
        own = list(zip(*(_figures(one, load_liberty(file)) for one in found), strict=True))
        correlations = [_spearman(x, y) for x, y in zip(own, (power, power, area, delay), strict=True)]
        yield {"library": label(file, load_liberty(file)), "power": own[0], "spearman": correlations}


def _generated(maker: Callable, adder: type | None) -> Cell:
    settings = {"unsigned_adder_class_name": adder} if adder else {}
    circuit = maker(Bus(N=8, prefix="a"), Bus(N=8, prefix="b"), name="mul", **settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mul.v"
        with path.open("w") as file:
            circuit.get_v_code_flat(file)
        return from_verilog(path, top="mul", signed=False)


def _figures(one: Cell, liberty: Liberty) -> tuple[float, float, float, float]:
    design = synthesise(multiplier_verilog(one), MULTIPLIER, liberty, clock_ps=CLOCK_PS)
    words = random_vectors(MappedNetlist.build(design, liberty), VECTORS, seed=0)
    zero, nldm = (
        measure_power(design, liberty, words, clock_mhz=100, delays=delays) for delays in (Delays.ZERO, Delays.NLDM)
    )
    return zero.power.total_uw, nldm.power.total_uw, design.area_um2, zero.delay_ps


def _spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; equal values share their mean rank."""
    ranks = [
        [(np.less(values, one).sum() + np.less_equal(values, one).sum()) / 2 for one in values] for values in (x, y)
    ]
    return float(np.corrcoef(*ranks)[0, 1])

"""Our multipliers' power, area and delay beside EvoApproxLib's published ones: rank correlations."""

import csv
from collections.abc import Iterator, Sequence

import numpy as np

from slipstick.flow.cost.modules import MULTIPLIER, multiplier_verilog
from slipstick.flow.importer import import_files
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

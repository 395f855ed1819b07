"""The exact design that approximate cells must beat: the best that the same flow finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.synth import Design, Synthesis, synthesise_all
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.registry import cell as find_cell
from slipstick.rtl.spec.streams import TileStream

from .element import CellCost, Element
from .modules import (
    ELEMENT,
    MULTIPLIER,
    column_element_verilog,
    element_sum_width,
    multiplier_verilog,
    operator_verilog,
)

BASELINE = "exact_baseline"
Streams = Mapping[str, Sequence[TileStream]]


@dataclass(frozen=True)
class Form:
    """A way to build the exact multiplier: the gates of a cell, or a ``product`` in Verilog and Yosys' options."""

    name: str
    cell: str = "exact8s"
    product: str = ""
    booth: bool = False
    alumacc: bool = False


FORMS = (
    Form("dadda gates"),
    Form("array gates", "exact_array8s"),
    Form("booth gates", "exact_booth8s"),
    Form("booth gates, fast adder", "exact_booth8s_fast1"),
    Form("sign-magnitude gates", "exact_magnitude8s"),
    Form("yosys default", product="a * w", alumacc=True),
    Form("yosys -noalumacc", product="a * w"),
    Form("yosys -booth -noalumacc", product="a * w", booth=True),
    Form("yosys -booth -noalumacc, w * a", product="w * a", booth=True),
    Form("yosys -booth", product="a * w", booth=True, alumacc=True),
)


@dataclass(frozen=True)
class Candidate:
    """One exact design, its cost, and its mean energy of a MAC over the layers.

    ``tile_fj`` is the element's energy over a whole weight tile, per MAC: weight loading and the
    cycles in which the pipeline fills included. It decides which candidate is chosen.
    """

    form: str
    cost: CellCost
    multiplier_fj: float
    pe_fj: float
    tile_fj: float
    meets_clock: bool


@dataclass(frozen=True)
class ExactBaseline:
    """The chosen exact processing element, every candidate's figures, and the elements that meet the clock."""

    element: Element
    chosen: str
    candidates: tuple[Candidate, ...]
    elements: tuple[Element, ...]


def element_designs(name: str, cell: Cell, rows: int, form: Form | None = None) -> list[Design]:
    """The two modules of a processing element to synthesise: the multiplier alone and the whole."""
    product, options = (form.product, (form.booth, form.alumacc)) if form else ("", (False, False))
    alone = operator_verilog(cell, product) if product else multiplier_verilog(cell)
    whole = column_element_verilog(cell, element_sum_width(cell, rows), product)
    return [
        Design(f"{name}/{MULTIPLIER}", alone, MULTIPLIER, *options),
        Design(f"{name}/{ELEMENT}", whole, ELEMENT, *options),
    ]


def build_element(
    name: str, cell: Cell, rows: int, mapped: Mapping[str, Synthesis], liberty: Liberty, clock_ps: float, delays: Delays
) -> Element:
    """The element of ``element_designs(name, ...)`` once these are mapped; its gates are checked."""
    sum_width = element_sum_width(cell, rows)
    multiplier, whole = (mapped[f"{name}/{top}"] for top in (MULTIPLIER, ELEMENT))
    element = Element(name, cell, sum_width, multiplier, whole, liberty, clock_ps, delays)
    element.check()
    return element


def exact_baseline(
    liberty: Liberty,
    clock_mhz: float,
    streams: Streams,
    *,
    rows: int = 16,
    delays: Delays = Delays.ZERO,
    progress: Callable[[int, int, str], None] | None = None,
) -> ExactBaseline:
    """Synthesise every form of the exact element and choose the one of least energy on the streams.

    Only elements that meet the clock qualify; UserError says how fast the fastest is when none does.
    Energies are means over the layers of ``streams``, a tile's weight loading included, under ``delays``.
    """
    clock_ps = 1e6 / clock_mhz
    designs = [part for form in FORMS for part in element_designs(form.name, find_cell(form.cell), rows, form)]
    mapped = synthesise_all(designs, liberty, clock_ps=clock_ps, progress=progress)
    elements = [
        build_element(form.name, find_cell(form.cell), rows, mapped, liberty, clock_ps, delays) for form in FORMS
    ]
    candidates = tuple(_candidate(element, streams, clock_ps) for element in elements)
    ranked = sorted((one.tile_fj, index) for index, one in enumerate(candidates) if one.meets_clock)
    if not ranked:
        fastest = max(one.cost.f_max_mhz for one in candidates)
        raise UserError(f"no exact element reaches {clock_mhz:g} MHz in {liberty.name}; the fastest: {fastest:.0f} MHz")
    best = ranked[0][1]
    fast = tuple(element for element, one in zip(elements, candidates, strict=True) if one.meets_clock)
    return ExactBaseline(elements[best], candidates[best].form, candidates, fast)


def _candidate(element: Element, streams: Streams, clock_ps: float) -> Candidate:
    multiplier_fj = pe_fj = tile_fj = 0.0
    for tiles in streams.values():
        energy = element.energy(tiles, rows=len(tiles[0].weights))
        active = sum(len(tile.activations) for tile in tiles) / len(tiles)
        rows, columns = tiles[0].weights.shape
        waiting = rows * energy.load.total_fj + (rows + columns) * energy.idle.total_fj
        multiplier_fj += energy.multiplier_fj / len(streams)
        pe_fj += energy.pe_fj / len(streams)
        tile_fj += (energy.pe_fj + waiting / active) / len(streams)
    meets = element.cost.pe_delay_ps <= clock_ps
    return Candidate(element.name, element.cost, multiplier_fj, pe_fj, tile_fj, meets)

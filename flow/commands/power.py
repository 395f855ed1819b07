"""``slipstick power``: power of a cell or of a Verilog design on real gates."""

from pathlib import Path
from typing import Annotated

import typer

from slipstick.arrays import read_npz
from slipstick.errors import UserError
from slipstick.files import check_writable, write_text
from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.flow.importer.hierarchy import choose_top, texts_of
from slipstick.flow.importer.verilog_text import load_sources
from slipstick.flow.library.liberty import default_liberty, load_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.annotation import Annotation
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.measure import as_json, measure_annotated, measure_power, random_vectors
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.saif import read_saif, write_saif
from slipstick.flow.power.synth import SynthesisError, synthesise, tool_versions
from slipstick.flow.power.vcd import read_vcd
from slipstick.limits import Limits, whole_number
from slipstick.rtl.cells import cell as find_cell

from .options import ClockMhz, DelayModel, Json, Library, Seed, print_json, print_table

VECTORS = Limits(2, 1 << 22)
VECTOR_FILE = "an .npz file with whole numbers [n] by input port"


def run(
    design: Annotated[
        Path | None, typer.Argument(help="Verilog file, of gates of the library too; registers start at 0.")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="A registered cell in place of a file.")] = None,
    top: Annotated[str | None, typer.Option(help="Module of the file; default: the one that no other names.")] = None,
    liberty: Library = None,
    vectors: Annotated[
        str, typer.Option(help="Number of random vectors, or an .npz file: whole numbers [n] by input port.")
    ] = "16384",
    clock_mhz: ClockMhz = 100.0,
    delays: DelayModel = "zero",
    activity: Annotated[
        Path | None,
        typer.Option(help="SAIF or VCD file of the mapped netlist, in place of vectors; pins taken as independent."),
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Where the netlist stands in that file, such as bench/dut; a VCD: bench.dut.")
    ] = None,
    netlist: Annotated[Path | None, typer.Option(help="Verilog file to write: the mapped gates.")] = None,
    saif: Annotated[Path | None, typer.Option(help="SAIF file to write: the simulated activity.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Map a design to a library and add up internal, switching and leakage power on its vectors.

    Example: slipstick power --cell drum8s_k4 --vectors 16384 --delays nldm

    Registers are simulated cycle by cycle, on the clock and the vectors of the other inputs. Waveforms of your own:
    write the gates with --netlist, simulate them, and give the waves with --activity wave.vcd --scope bench.dut.

    Gates and activity for other tools: slipstick power --cell drum8s_k4 --netlist drum.v --saif drum.saif
    """
    if (design is None) == (cell is None):
        raise UserError("give a Verilog file or --cell NAME, and only one of them")
    if activity and saif:
        raise UserError("--saif writes a simulated activity; with --activity there is none")
    count = _count(vectors)
    for file in filter(None, (netlist, saif)):
        check_writable(file)
    library = default_liberty() if liberty is None else load_liberty(liberty)
    if cell is not None:
        text, module, name = multiplier_verilog(find_cell(cell)), MULTIPLIER, cell
    else:
        assert design is not None
        sources = load_sources([design])
        module = name = choose_top(sources, top)
        if len(sources.texts) > 1:
            raise UserError(f"{design} includes other files; give one file that holds all modules")
        text = texts_of(sources, name)[sources.roots[0]]
    try:
        mapped = synthesise(text, module, library, clock_ps=1e6 / clock_mhz)
    except SynthesisError as error:
        raise UserError(f"{design or cell}: {error}") from error
    gates = MappedNetlist.build(mapped, library)
    if netlist:
        write_text(netlist, netlist_verilog(gates).text)
    if activity:
        figures = measure_annotated(
            mapped, library, _annotation(activity, gates, scope, clock_mhz), clock_mhz=clock_mhz
        )
    else:
        words = read_npz(Path(vectors), VECTOR_FILE) if count is None else random_vectors(gates, count, seed)
        model = Delays[delays.upper()]
        figures = measure_power(mapped, library, words, clock_mhz=clock_mhz, delays=model)
        if saif:
            write_saif(with_glitches(simulate(gates, words), model), saif, 1e6 / clock_mhz)
    where = f"{library.describe()}, {tool_versions()}"
    if json:
        print_json({"design": name, "library": where, "library_warnings": list(library.warnings), **as_json(figures)})
        return
    rows = [
        (part, *(f"{value:.4g}" for value in vars(one).values()))
        for part, one in (*figures.parts.items(), ("total", figures.power))
    ]
    print_table(f"{name}: {where}", ("uW", "internal", "switching", "leakage", "total"), rows)
    typer.echo(
        f"{clock_mhz:g} MHz, {figures.cycle_fj:.1f} fJ a cycle; {figures.gates} cells, {figures.area_um2:.0f} um2; "
        f"longest path {figures.delay_ps:.0f} ps, f_max {figures.f_max_mhz:.0f} MHz\n"
        f"activity: {figures.activity}, {figures.vectors or 'no'} vectors, coverage {figures.coverage:.0%}; "
        "no wires, no clock tree"
    )
    for warning in figures.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _annotation(path: Path, gates: MappedNetlist, scope: str | None, clock_mhz: float) -> Annotation:
    if path.suffix == ".vcd":
        return read_vcd(path, gates, scope or gates.top, 1e6 / clock_mhz)
    if path.suffix == ".saif":
        return read_saif(path, gates, 1e6 / clock_mhz, instance=scope)
    raise UserError(f"{path} is neither .saif nor .vcd")


def _count(text: str) -> int | None:
    """The number of vectors to draw; None for the name of a file."""
    try:
        float(text)
    except ValueError:
        return None
    return whole_number(text, "--vectors", VECTORS)

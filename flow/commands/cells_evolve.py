"""``slipstick cells evolve``: cheaper multipliers within bounds on their weighted errors."""

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from slipstick.errors import UserError
from slipstick.flow.characterise.operands import Operands, load_operands, uniform_operands
from slipstick.flow.characterise.recorded import shipped_operands
from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.evolve.kernel import Evaluator
from slipstick.flow.evolve.output import Found, found_cells, open_folder, write_cells
from slipstick.flow.evolve.proxy import gate_costs
from slipstick.flow.evolve.search import Search, Settings, State
from slipstick.flow.evolve.seeds import scored, seed_cells
from slipstick.flow.job.console import Steps, Update
from slipstick.flow.library.liberty import default_liberty, load_liberty
from slipstick.limits import COUNT, POSITIVE

from .options import ClockMhz, Json, Library, Seed, number, print_json, print_table

SEEDS = "exact*8u"
LIMITS = Settings.limits


def run(
    mae: Annotated[
        str, typer.Option(help="Bounds on the weighted MAE, comma-separated: a cell for each.")
    ] = "10,30,100",
    wce: Annotated[
        int | None, number(LIMITS["wce"], help="Bound on the WCE over all pairs. [default: 20 x MAE]")
    ] = None,
    bias: Annotated[
        float, number(LIMITS["bias"], help="Bound on |weighted mean error|, as a fraction of the MAE's.")
    ] = 0.1,
    keep_zero: Annotated[
        bool, typer.Option("--keep-zero/--no-keep-zero", help="A zero operand gives a zero product.")
    ] = True,
    seed_cell: Annotated[
        str, typer.Option(help="Patterns of cells to start from; unsigned ones in sign-magnitude form.")
    ] = SEEDS,
    signed: Annotated[bool, typer.Option("--signed/--unsigned", help="Operands of the evolved cells.")] = True,
    workload: Annotated[
        Path | None, typer.Option(help="A file of `cells workload`. [default: the shipped ViT's operands]")
    ] = None,
    uniform: Annotated[bool, typer.Option("--uniform", help="All operand pairs equally often.")] = False,
    minutes: Annotated[float | None, number(POSITIVE, help="Time in all. [default: 1, without --rounds]")] = None,
    rounds: Annotated[int | None, number(COUNT, help="Walks for each bound: reproducible, unlike time.")] = None,
    generations: Annotated[int, number(LIMITS["generations"], help="Generations of a walk.")] = Settings.generations,
    children: Annotated[int, number(LIMITS["children"], help="Candidates a generation.")] = Settings.children,
    mutations: Annotated[
        int, number(LIMITS["mutations"], help="Most active genes that a candidate changes.")
    ] = Settings.mutations,
    liberty: Library = None,
    clock_mhz: ClockMhz = CLOCK_MHZ,
    bit_fj: Annotated[
        float,
        number(LIMITS["bit_fj"], help="Energy that a product bit costs in adder and registers: about 60."),
    ] = 0.0,
    seed: Seed = 0,
    name: Annotated[str, typer.Option(help="What the names of the cells begin with.")] = "own",
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on where it stopped.")] = Path(
        "out/evolved"
    ),
    json: Json = False,
) -> None:
    """Evolve multipliers of least mapped energy under bounds on MAE, WCE and bias, weighted by a workload.

    Writes netlists (JSON) and Verilog into OUT/cells; with SLIPSTICK_CELLS=OUT/cells every command knows them.

    Example: slipstick cells evolve --mae 5,20,50 --minutes 10 --out out/mine
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name):
        raise UserError(f"names cannot begin with {name!r}; give a letter, then letters, digits or _")
    settings = Settings(
        mae=_bounds(mae), wce=wce, bias=bias, keep_zero=keep_zero, signed=signed, generations=generations,
        children=children, mutations=mutations, clock_mhz=clock_mhz, bit_fj=bit_fj, seed=seed,
    )  # fmt: skip
    if rounds is None and minutes is None:
        minutes = 1.0
    steps = Steps(quiet=json)
    library = default_liberty() if liberty is None else load_liberty(liberty)
    cells = seed_cells(seed_cell, signed)
    with steps.step("operands"):
        operands = _operands(workload, uniform, signed, cells[0].widths)
    operands.check_fits(cells[0])
    evaluator = Evaluator(cells[0].widths, signed, operands, gate_costs(library, 1e6 / clock_mhz, bit_fj))
    search = Search(settings, evaluator, operands, library, scored(cells, evaluator))
    inputs = {
        "seed_cells": {cell.name: cell.digest for cell in cells},
        "operands": {"name": operands.name, "digest": operands.digest},
        "liberty": {"name": library.name, "digest": library.digest},
    }
    path = open_folder(out, settings, inputs)
    if path.exists():
        search.state = State.load(path)
    with steps.step("evolution"):
        stopped = _evolve(search, path, minutes, rounds, steps.bar("walks"))
    found = found_cells(search.state.archive, settings, name)
    write_cells(out, found, {**asdict(settings), **inputs})
    if stopped:
        steps.note("stopped; the same command goes on from here")
    if search.state.round == 0 and search.state.target < len(settings.mae):
        waiting = ", ".join(f"{bound:g}" for bound in settings.mae[search.state.target :])
        steps.note(f"no walk has ended yet for MAE {waiting}; the same command with more --minutes goes on")
    _report(search, found, out, json)


def _bounds(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--mae {text!r} is not a list of numbers such as 10,30,100") from None


def _operands(workload: Path | None, uniform: bool, signed: bool, widths: tuple[int, int]) -> Operands:
    if workload and uniform:
        raise UserError("give --workload or --uniform, not both")
    if uniform:
        return uniform_operands(widths)
    if workload:
        return load_operands(workload)
    if not signed or widths != (8, 8):
        raise UserError("the shipped ViT's operands are signed 8 x 8; give --workload FILE or --uniform")
    return shipped_operands()


def _evolve(search: Search, path: Path, minutes: float | None, rounds: int | None, bar: Update) -> bool:
    """Run to the end of the budget; True where the user stopped it. The state is saved after every slice."""
    began, before, targets = time.monotonic(), search.state.seconds, len(search.settings.mae)

    def until(state: State) -> bool:
        state.seconds = before + time.monotonic() - began
        walks = state.round * targets + state.target
        shares = [state.seconds / (60 * minutes)] if minutes else []
        shares += [walks / (rounds * targets)] if rounds else []
        share = max(shares)
        bar(walks, max(walks, round(walks / share)) if share else targets)
        return share >= 1

    try:
        search.run(until, lambda state: state.save(path))
    except KeyboardInterrupt:
        return True
    return False


def _report(search: Search, found: list[Found], out: Path, json: bool) -> None:
    state = search.state
    if json:
        facts: dict[str, Any] = {
            "cells": [one.to_json() for one in found], "front": [vars(one.measured) for one in state.archive.front()],
            "rounds": state.round, "seconds": round(state.seconds, 1), "statistics": asdict(state.statistics),
            "folder": str(out),
        }  # fmt: skip
        print_json(facts)
        return
    rows = [
        (one.cell.name, f"{m.energy_fj:.0f}", f"{m.area_um2:.0f}", f"{m.delay_ps:.0f}", f"{m.mae:.2f}", f"{m.bias:.2f}",
         str(m.wce), f"{m.mse:.4g}", one.member.seed_cell)
        for one in found for m in (one.member.measured,)
    ]  # fmt: skip
    count = state.statistics.candidates
    title = f"{len(found)} cells in {out}/cells; {state.round} rounds, {count:,} candidates in {state.seconds:.0f} s"
    print_table(title, ("cell", "fJ", "area um2", "delay ps", "MAE", "bias", "WCE", "MSE", "seed"), rows)

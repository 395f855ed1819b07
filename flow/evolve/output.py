"""The folder of an evolution: what it was asked, how far it is, and the cells it found."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipstick.errors import UserError
from slipstick.files import write_text
from slipstick.flow.job.manifest import manifest
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.library import cell_document
from slipstick.rtl.parts.multiplier import Multiplier
from slipstick.rtl.verilog.emit import to_verilog

from .archive import Archive, Member
from .search import Settings

MANIFEST, STATE, CELLS = "manifest.json", "state.json", "cells"


@dataclass(frozen=True)
class Found:
    """The cheapest cell under a target's bounds, where it is not that of a tighter target."""

    cell: Cell
    member: Member

    def to_json(self) -> dict[str, Any]:
        """Name, bounds and figures."""
        one = self.member
        return {
            "name": self.cell.name,
            "digest": self.cell.digest,
            "gates": len(one.netlist.gates),
            "seed_cell": one.seed_cell,
            "found_for_mae": one.target_mae,
            **asdict(one.measured),
        }


def found_cells(archive: Archive, settings: Settings, prefix: str) -> list[Found]:
    """One cell a target, named by the bound on its MAE, such as ``own8s_mae30``; fewer where one serves several."""
    found: dict[str, Found] = {}
    for target, mae in enumerate(settings.mae):
        member = archive.best(settings.bounds(target))
        if member is not None:
            cell = Cell(cell_name(prefix, member, settings.signed, mae), "evolved", settings.signed, member.netlist)
            found.setdefault(cell.digest, Found(cell, member))
    return list(found.values())


def cell_name(prefix: str, member: Member, signed: bool, mae: float) -> str:
    """Prefix, widths, signedness, bound."""
    wa, ww = member.netlist.widths
    size = str(wa) if wa == ww else f"{wa}x{ww}"
    return f"{prefix}{size}{'s' if signed else 'u'}_mae{mae:g}".replace(".", "p").replace("-", "m")


def open_folder(out: Path, settings: Settings, inputs: Mapping[str, Any]) -> Path:
    """Begin or go on with a run in ``out``; the path of its state, which exists where the run had begun.

    Raises UserError where the folder holds a run of other settings or inputs, or other files, and where it
    cannot be written.
    """
    asked = json.loads(json.dumps({**asdict(settings), **inputs}))
    path = out / MANIFEST
    if path.exists():
        try:
            held = json.loads(path.read_text())["asked"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not the manifest of an evolution; name another --out") from error
        different = [key for key in {**held, **asked} if held.get(key) != asked.get(key)]
        if different:
            raise UserError(f"{out} holds a run with another {different[0]}; name another --out to begin anew")
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} holds other files; name an empty or new folder with --out")
    else:
        text = json.dumps(manifest(asked=asked), indent=1) + "\n"
        write_text(path, text)
    return out / STATE


def write_cells(out: Path, found: Sequence[Found], provenance: Mapping[str, Any]) -> None:
    """Write every cell as a netlist in JSON and as Verilog; cells of an earlier stage of the run go."""
    folder = out / CELLS
    names = {one.cell.name for one in found}
    own = {name.rpartition("_mae")[0] for name in names}
    for old in folder.glob("*_mae*") if folder.is_dir() else ():  # others in a folder of cells are the user's
        if old.suffix in (".json", ".v") and old.stem not in names and old.stem.rpartition("_mae")[0] in own:
            old.unlink()
    for one in found:
        origin = {"seed_cell": one.member.seed_cell, "found_for_mae": one.member.target_mae, **provenance}
        _write(folder / f"{one.cell.name}.json", json.dumps(cell_document(one.cell, origin)) + "\n")
        _write(folder / f"{one.cell.name}.v", to_verilog(Multiplier(one.cell), f"mul_{one.cell.name}"))


def _write(path: Path, text: str) -> None:
    write_text(path, text)

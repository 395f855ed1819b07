"""``slipstick cells export``: a cell as Verilog or as a table."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from slipstick.errors import UserError
from slipstick.files import write_text, write_whole
from slipstick.rtl.cells import cell
from slipstick.rtl.parts.multiplier import Multiplier
from slipstick.rtl.verilog.emit import to_verilog

from .options import Json, print_json


def run(
    name: Annotated[str, typer.Argument(help="Name of the cell.")],
    verilog: Annotated[Path | None, typer.Option(help="Write the gates as one Verilog module here.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write all products here (.npy or .csv), by operand bits.")] = None,
    json: Json = False,
) -> None:
    """Write a cell for other tools; what is written imports again as the same cell.

    Example: slipstick cells export drum8s_k4 --verilog drum.v --table drum.npy
    """
    chosen = cell(name)
    if verilog is None and table is None:
        raise UserError("say what to write: --verilog FILE, --table FILE or both")
    if table is not None and table.suffix not in (".npy", ".csv"):
        raise UserError(f"--table {table}: the ending must be .npy or .csv")
    products = chosen.table if table is not None else None
    if verilog is not None:
        text = to_verilog(Multiplier(chosen), f"mul_{name}")
        write_text(verilog, text)
    if table is not None and products is not None:
        write_whole(table, lambda file: np.save(file, products) if table.suffix == ".npy"
                    else np.savetxt(file, products, "%d", ","))  # fmt: skip
    written = [str(path) for path in (verilog, table) if path is not None]
    if json:
        print_json({"name": name, "digest": chosen.digest, "files": written})
    else:
        typer.echo(f"{name} -> {', '.join(written)}")

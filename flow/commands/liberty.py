"""``slipstick liberty``: work on Liberty files."""

from pathlib import Path
from typing import Annotated

import typer

from slipstick.flow.library.liberty import read_text
from slipstick.flow.library.slim import write_slim

app = typer.Typer(help="Work on Liberty files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def slim(
    source: Annotated[Path, typer.Argument(help="Liberty file, gzipped or not.")],
    out: Annotated[Path, typer.Argument(help="Slimmed file to write, gzipped.")],
) -> None:
    """Keep what mapping and power need, at 4 significant digits.

    Example: slipstick liberty slim sg13g2_stdcell_typ_1p20V_25C.lib.gz sg13g2_typ_slim.lib.gz
    """
    write_slim(read_text(source), out, str(source))
    typer.echo(f"{out}: {out.stat().st_size} bytes, from {source.stat().st_size}")

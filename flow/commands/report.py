"""``slipstick report``: draw the page of a finished run anew."""

from pathlib import Path
from typing import Annotated

import typer

from slipstick.flow.report.page import read_summary, write_report

from .options import Json, print_json


def run(folder: Annotated[Path, typer.Argument(help="Folder of a finished run.")], json: Json = False) -> None:
    """Write report.html of a finished run from its summary.json.

    Example: slipstick report out/vit-cifar10-1a2b3c4d
    """
    page = write_report(read_summary(folder), folder)
    if json:
        print_json({"report": str(page)})
    else:
        typer.echo(f"report: {page}")

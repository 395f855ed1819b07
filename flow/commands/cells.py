"""``slipstick cells``: the list of cells, and the commands that make and share them."""

import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from slipstick.rtl import cells as registry

from . import cells_export, cells_import
from .options import Json, print_json, print_table


class _ListByDefault(TyperGroup):
    """A group whose arguments are those of its command ``list`` unless they start with another command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListByDefault,
    help="""List cells and their errors, or make a cell of your own.

    Example: slipstick cells 'truncated8s_*' --json
    """,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("list")
def run(pattern: Annotated[str, typer.Argument(help="Shell pattern of cell names.")] = "*", json: Json = False) -> None:
    """List cells and their errors over all operand pairs (the default command).

    Example: slipstick cells 'truncated8s_*'
    """
    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("always")
        found = registry.cells(pattern)
    for warning in damaged:
        print(f"slipstick: {warning.message}", file=sys.stderr)
    if json:
        print_json([
            {"name": c.name, "family": c.family, "signed": c.signed, "widths": c.widths, "digest": c.digest,
             "gates": len(c.netlist.gates), "errors": c.errors.as_json()}
            for c in found
        ])  # fmt: skip
        return
    rows = [
        (c.name, str(len(c.netlist.gates)), f"{c.errors.mae:.2f}", f"{'>= ' if c.errors.sample else ''}{c.errors.wce}",
         f"{100 * c.errors.ep:.1f} %", f"{100 * c.errors.mre:.2f} %", f"{c.errors.mse:.4g}", f"{c.errors.bias:.2f}",
         f"{c.errors.variance:.4g}")
        for c in found
    ]  # fmt: skip
    print_table(f"{len(found)} cells", ("cell", "gates", "MAE", "WCE", "EP", "MRE", "MSE", "bias", "variance"), rows)


for _command in (cells_import, cells_export):
    app.command(_command.__name__.rpartition("_")[2])(_command.run)

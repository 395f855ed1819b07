"""``slipstick cells``: the list of cells, and the commands that make and share them."""

from typing import Any

import typer
from typer.core import TyperGroup

from . import cells_evolve, cells_export, cells_import, cells_list, cells_workload


class _ListByDefault(TyperGroup):
    """A group whose arguments are those of its command ``list`` unless they start with another command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListByDefault,
    help="""List cells with their errors and costs, or make a cell of your own.

    Example: slipstick cells 'truncated8s_*' --json
    """,
    context_settings={"help_option_names": ["-h", "--help"]},
)


for _command in (cells_list, cells_import, cells_export, cells_evolve, cells_workload):
    app.command(_command.__name__.rpartition("_")[2])(_command.run)

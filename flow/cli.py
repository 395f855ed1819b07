"""The command line: lists the commands; each lives in ``commands``."""

import sys

import typer

from slipstick import __version__
from slipstick.errors import UserError

from .commands import (
    cells,
    cells_evolve,
    cells_workload,
    cosim,
    evaluate,
    finetune,
    flow,
    generate,
    kernels,
    liberty,
    report,
    search,
    synth,
    train,
)

app = typer.Typer(
    name="slipstick",
    help="From a timm Vision Transformer to a verified approximate accelerator.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True)) -> None:
    pass


for _command in (cells, generate, cosim, synth, evaluate, search, report, flow, train, finetune, kernels):
    app.command(_command.__name__.rpartition(".")[2])(_command.run)
app.add_typer(liberty.app, name="liberty")
app.command("evolve")(cells_evolve.run)  # until `cells` is a group
app.command("workload")(cells_workload.run)


def run() -> int:
    """Run the command line; a user's mistake is one line on standard error and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"slipstick: {error}", file=sys.stderr)
        return 2
    return 0

"""``slipstick kernels``: compile the emulation's kernels ahead of time and say what products run on."""

import typer

from slipstick.errors import ToolNotFound
from slipstick.model.kernels.compiler import KernelError
from slipstick.model.kernels.native import build

from .options import Json, print_json


def run(json: Json = False) -> None:
    """Compile and test the kernels of the emulation now, instead of at the first product.

    Example: slipstick kernels --json
    """
    try:
        native = build()
    except KernelError as error:
        raise ToolNotFound(f"no compiled kernels, products run in plain torch: {error}") from error
    found = {"library": str(native.path), "compiler": native.compiler, "flags": list(native.flags)}
    if json:
        print_json(found)
    else:
        typer.echo(f"{native.path}: compiled by {native.compiler} {' '.join(native.flags)}, equal to the plain loop")

"""``slipstick cells``: the registered cells and their errors."""

from dataclasses import asdict
from typing import Annotated

import typer

from slipstick.rtl import cells as registry

from .options import Json, print_json, print_table


def run(pattern: Annotated[str, typer.Argument(help="Shell pattern of cell names.")] = "*", json: Json = False) -> None:
    """List cells and their errors over all operand pairs.

    Example: slipstick cells 'truncated8s_*'
    """
    found = registry.cells(pattern)
    if json:
        print_json([
            {"name": c.name, "family": c.family, "signed": c.signed, "widths": c.widths, "digest": c.digest,
             "gates": len(c.netlist.gates), "errors": asdict(c.errors)}
            for c in found
        ])  # fmt: skip
        return
    rows = [
        (c.name, str(len(c.netlist.gates)), f"{c.errors.mae:.2f}", str(c.errors.wce), f"{100 * c.errors.ep:.1f} %",
         f"{100 * c.errors.mre:.2f} %", f"{c.errors.mse:.4g}", f"{c.errors.bias:.2f}", f"{c.errors.variance:.4g}")
        for c in found
    ]  # fmt: skip
    print_table(f"{len(found)} cells", ("cell", "gates", "MAE", "WCE", "EP", "MRE", "MSE", "bias", "variance"), rows)

"""A multiplier alone, as Verilog."""

from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.parts.multiplier import Multiplier

from .emitted import part_verilog

MULTIPLIER = "multiplier"
"""Module of a multiplier alone: ports a, w and product."""


def multiplier_verilog(cell: Cell) -> str:
    """The gates of a cell's netlist."""
    return part_verilog(Multiplier(cell), MULTIPLIER, cell.digest)


def operator_verilog(cell: Cell, product: str = "a * w") -> str:
    """A multiplier of the cell's operands made of Verilog's ``*``.

    Booth multipliers recode the right-hand operand, so ``product`` tells a stationary weight from a
    stationary multiplicand.
    """
    kind, (a, w) = "signed " if cell.signed else "", cell.widths
    return f"""module {MULTIPLIER}(a, w, product);
  input {kind}[{a - 1}:0] a;
  input {kind}[{w - 1}:0] w;
  output {kind}[{cell.product_width - 1}:0] product;
  assign product = {product};
endmodule
"""

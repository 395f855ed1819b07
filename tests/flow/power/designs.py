"""Small designs for the power tests: a processing element, an adder, a register."""

from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.rtl.cells.cell import Cell

ELEMENT = "pe"


def element_verilog(cell: Cell, sum_width: int) -> str:
    """A multiplier with its adder and three registers, of which the weight's has an enable: module ELEMENT."""
    return f"""{multiplier_verilog(cell)}
module {ELEMENT}(
  input clk, input signed [7:0] activation_in, input signed [7:0] weight_in, input load,
  input signed [{sum_width - 1}:0] sum_in, output reg signed [7:0] activation_out, output reg signed [7:0] weight_out,
  output reg signed [{sum_width - 1}:0] sum_out
);
  wire signed [{cell.product_width - 1}:0] product;
  {MULTIPLIER} multiplier(.a(activation_in), .w(weight_out), .product(product));
  always @(posedge clk) begin
    if (load) weight_out <= weight_in;
    activation_out <= activation_in;
    sum_out <= sum_in + product;
  end
endmodule
"""


def adder_verilog(narrow: int, width: int) -> str:
    """Module ``accumulate``: the sum of a word and a narrower one."""
    return f"""module accumulate(
  input signed [{narrow - 1}:0] column_sum, input signed [{width - 1}:0] stored, output signed [{width - 1}:0] sum
);
  assign sum = stored + column_sum;
endmodule
"""


def register_verilog(width: int) -> str:
    """Module ``delay_register``: one register."""
    return f"""module delay_register(input clk, input [{width - 1}:0] d, output reg [{width - 1}:0] q);
  always @(posedge clk) q <= d;
endmodule
"""

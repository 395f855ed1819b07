"""From Verilog to gates, activity and power."""

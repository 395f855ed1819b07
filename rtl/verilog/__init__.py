"""Verilog text of components, its clean-up, and names that tools take."""

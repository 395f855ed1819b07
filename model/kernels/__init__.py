"""Matrix products of looked-up operands on a CPU: one C++ file, compiled on first use, as torch operators."""

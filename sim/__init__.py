"""Proof that hardware and model agree: Verilator and cocotb. Imports nothing itself."""

if __name__ != "slipstick.sim":
    raise ImportError(f"import slipstick.sim, not {__name__}")

"""Hardware: what is computed (cells, spec) and how it is built. Imports nothing itself."""

if __name__ != "slipstick.rtl":
    raise ImportError(f"import slipstick.rtl, not {__name__}")

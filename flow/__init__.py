"""What it costs, and which to choose: synthesis, power, search, report. Imports nothing itself."""

if __name__ != "slipstick.flow":
    raise ImportError(f"import slipstick.flow, not {__name__}")

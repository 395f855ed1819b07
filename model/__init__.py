"""What the network feels: quantised, approximate PyTorch. Imports nothing itself."""

if __name__ != "slipstick.model":
    raise ImportError(f"import slipstick.model, not {__name__}")
